"""`dialer status`: the running dialer, once or live."""

from __future__ import annotations

import time

import click
from rich.live import Live

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.status_view import render


@click.command(epilog=example("dialer status", "dialer status --watch"))
@click.option("--watch", is_flag=True, help="Keep showing it, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@invocation
def status(call: Invocation, *, watch: bool, every_s: float) -> None:
    """What the running dialer is doing: campaigns, agents, trunks."""
    with api(call.settings) as client:
        now = client.get("/status")
        if not watch:
            call.give(now)
            if not call.as_json:
                call.console.print(render(now))
            return
        try:
            if call.as_json:
                while True:
                    call.give(now)
                    time.sleep(every_s)
                    now = client.get("/status")
            with Live(render(now), console=call.console, auto_refresh=False) as live:
                while True:
                    time.sleep(every_s)
                    live.update(render(client.get("/status")), refresh=True)
        except KeyboardInterrupt:
            return
