"""`dialer run`: checks the configuration, migrates the store, and hands over to the supervisor."""

from __future__ import annotations

import click

from dialer_core import supervisor
from dialer_core.campaigns import readiness
from dialer_core.commands.doctor_checks import Grade, check_ports, runs_already
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.compliance.packs import load_packs
from dialer_core.errors import ConfigError, StartError
from dialer_core.log_setup import configure_logging
from dialer_core.plugin_host import check_names, installed
from dialer_core.store.database import open_database


@click.command(epilog=example("dialer run", "dialer run --config /etc/marcador"))
@invocation
def run(call: Invocation) -> int:
    """Start dialing, in the foreground, until Ctrl-C or SIGTERM.

    Then it drains: nothing new is dialed, conversations end, all stops. A second Ctrl-C ends the
    conversations too. Logs go to the standard error.
    """
    settings = call.settings
    if problems := readiness.check(settings, load_packs(settings.directory / "compliance")):
        raise ConfigError("\n".join(problems))
    check_names(settings.dialer.plugins.enabled, installed())  # else the host would die of it again and again
    if runs_already(settings):
        raise StartError(
            f"a dialer runs with {settings.directory} already: stop it first, or give this one its own folder"
        )
    if taken := next((finding for finding in check_ports(settings) if finding.grade == Grade.FAIL), None):
        raise StartError(f"{taken.check}: {taken.found}; {taken.advice}")
    log = settings.dialer.log
    configure_logging(level=log.level, log_format=log.format, process="supervisor")
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.migrate()
    finally:
        database.dispose()
    return supervisor.run(settings)
