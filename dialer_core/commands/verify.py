"""`dialer verify`: the invariants over the store, and over logs where they are given."""

from __future__ import annotations

from pathlib import Path

import click

from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.compliance.packs import load_packs
from dialer_core.store.database import open_database
from dialer_core.verify import verify_store

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
MOST_SHOWN = 50


@click.command(epilog=example("dialer verify", "dialer verify --carrier-log sim/log.jsonl --log dialer.log"))
@click.option(
    "--carrier-log",
    type=FILE,
    default=None,
    metavar="FILE",
    help="The simulated carrier's log of the same run.",
)
@click.option(
    "--log",
    "logs",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="A log file of the dialer, looked through for personal data.",
)
@invocation
def verify(call: Invocation, *, carrier_log: Path | None, logs: tuple[Path, ...]) -> int:
    """Check that what must always be true is true of the store, row by row; the dialer may be running.

    Ends with status 1 if anything is broken.
    """
    settings = call.settings
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.require_current()
        report = verify_store(
            database,
            packs=load_packs(settings.directory / "compliance"),
            trunks={str(name): trunk for name, trunk in settings.trunks.items()},
            carrier_log=carrier_log,
            logs=logs,
        )
    finally:
        database.dispose()
    call.give(report)
    for violation in report.violations[:MOST_SHOWN]:
        call.say(f"broken: {violation}")
    if len(report.violations) > MOST_SHOWN:
        call.say(f"and {len(report.violations) - MOST_SHOWN} more; --json shows all")
    for left_out in report.not_checked:
        call.say(f"not checked: {left_out}")
    held = f"{len(report.checked)} claims checked"
    call.say(f"{held}: {len(report.violations)} violations" if report.violations else f"{held}: all hold")
    return 0 if report.ok else 1
