"""`dialer payments import` and `dialer contacts import`: what was paid, and whom somebody has contacted already.

It owns words and exit statuses. Reading and writing is `campaigns/payments_import.py`'s and `campaigns/contacts_import.py`'s.
"""

from __future__ import annotations

import zoneinfo
from pathlib import Path

import click
import msgspec

from dialer_core.campaigns import contacts_import, payments_import
from dialer_core.campaigns.csv_reading import inspect
from dialer_core.campaigns.mapping_file import MappingFile, load_mapping
from dialer_core.campaigns.table_import import TableReport, understood
from dialer_core.commands.imports import (
    DRY_RUN,
    FILE,
    MAPPING,
    confirm_guess,
    progress_bar,
    say_rejects,
    told_dry,
)
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import open_store


@click.group(epilog=example("dialer payments import pagos.csv"))
def payments() -> None:
    """Bring in payments."""


@click.group(epilog=example("dialer contacts import gestiones.csv"))
def contacts() -> None:
    """Bring in earlier contacts, for the caps."""


@payments.command(
    "import", epilog=example("dialer payments import pagos.csv", "dialer payments import pagos.csv --dry-run")
)
@click.argument("file", type=FILE)
@MAPPING
@DRY_RUN
@invocation
def import_payments(call: Invocation, file: Path, *, mapping_file: Path | None, dry_run: bool) -> None:
    """Bring in payments: each counts once, and stops the calls about what it paid, one ringing now included.

    A CSV with the account, the amount and the day; without a number of the payment, day and amount stand for it.
    """
    settings, mapping = call.settings, _mapping(mapping_file)
    table = understood(mapping.applied(inspect(file)), payments_import.FIELDS, mapping)
    confirm_guess(call, table, asked=False)
    with open_store(settings) as database, progress_bar(call) as tell:
        report = payments_import.import_payments(
            database,
            file,
            reject_dir=settings.state_dir / "rejects",
            mapping=mapping,
            dry_run=dry_run,
            progress=tell,
        )
    _say(call, report)


@contacts.command("import", epilog=example("dialer contacts import gestiones.csv --zone America/Tijuana"))
@click.argument("file", type=FILE)
@click.option(
    "--zone",
    default="America/Mexico_City",
    show_default=True,
    metavar="ZONE",
    help="Of times that carry no offset.",
)
@MAPPING
@DRY_RUN
@invocation
def import_contacts(
    call: Invocation, file: Path, *, zone: str, mapping_file: Path | None, dry_run: bool
) -> None:
    """Bring in contacts that were made elsewhere, by whatever channel: the caps count them.

    A CSV with the account and the time; channel, phone, result and whether they spoke where there are any.
    """
    settings, mapping = call.settings, _mapping(mapping_file)
    try:
        fields = contacts_import.fields(zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(
            f"{zone!r}: write an IANA zone such as America/Tijuana", param_hint="--zone"
        ) from None
    table = understood(mapping.applied(inspect(file)), fields, mapping)
    confirm_guess(call, table, asked=False)
    with open_store(settings) as database, progress_bar(call) as tell:
        report = contacts_import.import_contacts(
            database,
            file,
            reject_dir=settings.state_dir / "rejects",
            zone=zone,
            mapping=mapping,
            dry_run=dry_run,
            progress=tell,
        )
    _say(call, report)


def _mapping(file: Path | None) -> MappingFile:
    return load_mapping(file) if file is not None else MappingFile()


def _say(call: Invocation, report: TableReport) -> None:
    call.give(msgspec.to_builtins(report, enc_hook=str))
    call.say(
        f"{report.file}{told_dry(report.dry_run)}: {report.rows} rows: {report.accepted} new, {report.unchanged} known,"
        f" {report.rejected} rejected"
    )
    if report.cells_rejected:
        call.say(f"{report.cells_rejected} cells were left out of rows that went in")
    say_rejects(call, report)
