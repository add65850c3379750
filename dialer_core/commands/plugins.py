"""`dialer plugins`: what is installed, what runs, and why something does not."""

from __future__ import annotations

import click
import msgspec

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import DialerError
from dialer_core.plugin_host import PluginView, list_plugins


@click.command(epilog=example("dialer plugins", "dialer plugins --json"))
@invocation
def plugins(call: Invocation) -> None:
    """List installed plugins: those of the running dialer as they are, else as they would be."""
    found = {view.name: view for view in list_plugins(call.settings.dialer.plugins.enabled)}
    try:
        with api(call.settings) as client:
            running = msgspec.convert(client.get("/plugins"), list[PluginView])
    except DialerError as error:
        call.say(f"(not running, so this is what is installed: {error})")
    else:
        found |= {view.name: view for view in running}
    shown = list(found.values())
    call.give(shown)
    call.table(
        ("plugin", "state", "package", "hooks", "failures", "why"),
        [(p.name, p.state, p.package, ", ".join(p.hooks), p.failures, p.reason) for p in shown],
    )
