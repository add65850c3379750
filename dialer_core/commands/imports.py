"""`dialer leads import` and `dialer dnc import`: files into the store, with what was wrong in a reject file.

It owns words and exit statuses. Reading and writing is `campaigns/leads_import.py`'s and
`campaigns/dnc_import.py`'s. It needs no running dialer, and disturbs none: a running one dials what comes in,
and ends what it may no longer dial.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dialer_core.campaigns import dnc_import, leads_import
from dialer_core.campaigns.lead_columns import Columns
from dialer_core.campaigns.leads_import import understood
from dialer_core.campaigns.mapping_file import MappingFile, load_mapping
from dialer_core.campaigns.table_import import Table
from dialer_core.clock import SystemClock
from dialer_core.commands.accounts import consent, lift, restrict
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.outlook import forecast_leads, why_not_dialed
from dialer_core.commands.store_access import campaign_of, open_store

FILE = click.Path(path_type=Path, dir_okay=False)
MAPPING = click.option(
    "--mapping",
    "mapping_file",
    type=FILE,
    default=None,
    metavar="FILE",
    help="A TOML that says what the columns are.",
)
DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Do everything, write nothing, and say what would have come of it."
)
MOST_REASONS = 8


@click.group(epilog=example("dialer leads import cartera.csv --campaign cobranza"))
def leads() -> None:
    """Bring leads into a campaign."""


@click.group(epilog=example("dialer dnc import reus.csv --source 'REUS 2026-01'"))
def dnc() -> None:
    """Bring in do-not-call lists."""


@contextlib.contextmanager
def progress_bar(call: Invocation) -> Iterator[Callable[[leads_import.Progress], None] | None]:
    """Show a bar on the standard error of a terminal."""
    if call.as_json or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} a second,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", rows=0, rate=0.0, total=None)
        began_s = time.monotonic()

        def tell(at: leads_import.Progress) -> None:
            what = "checking" if at.checking else "importing"
            bar.update(task, description=what, total=at.bytes_total, completed=at.bytes_read, rows=at.rows,
                       rate=at.rows / max(time.monotonic() - began_s, 0.1))  # fmt: skip

        yield tell


def _mapping(pairs: tuple[str, ...], file: Path | None) -> MappingFile:
    """Return what the user says of a file: the mapping file's columns, and those of the command line before them."""
    found = load_mapping(file) if file is not None else MappingFile()
    mapping = dict(found.columns)
    for pair in pairs:
        header, separator, field = pair.partition("=")
        if not (separator and header and field):
            raise click.BadParameter(
                f"{pair!r}: write HEADER=FIELD, such as 'Núm. crédito=external_id'", param_hint="--map"
            )
        mapping[header] = field
    return replace(found, columns=mapping)


def confirm_guess(call: Invocation, columns: Columns | Table, *, asked: bool) -> None:
    """Show what each column is taken for before anything is imported; on a terminal, ask whether that is right."""
    if call.as_json:
        return
    if not (asked and sys.stdin.isatty()):
        call.say("Taken for: " + ", ".join(f"{header}={field}" for header, field in columns.mapping.items()))
        tell_assumed(call, columns)
        return
    call.table(("column", "taken for"), list(columns.mapping.items()))
    tell_assumed(call, columns)
    click.confirm("Is that right? Else give --map HEADER=FIELD or --mapping FILE", abort=True, default=True)


def tell_assumed(call: Invocation, columns: Columns | Table) -> None:
    """Say what encoding and amounts are taken for where nothing in the file proves it."""
    if columns.assumed:
        call.say(
            f"{columns.assumed[0].upper()}{columns.assumed[1:]}; [file] encoding in a mapping file says otherwise"
        )
    if words := columns.amounts.words():
        call.say(words)


def told_dry(dry_run: bool) -> str:  # noqa: FBT001 - a flag of the command line, in words
    """Return what a line says of a dry run."""
    return " (dry run, nothing written)" if dry_run else ""


def say_rejects(call: Invocation, report: Any) -> None:
    """Say what was wrong most often, and where each row's reason is."""
    if report.reasons:
        most = sorted(report.reasons.items(), key=lambda item: -item[1])
        for reason, count in most[:MOST_REASONS]:
            call.say(f"  {count:>6}  {reason}")
        if len(most) > MOST_REASONS:
            call.say(f"          and {len(most) - MOST_REASONS} other reasons")
    if report.reject_file is not None:
        call.say(f"Each with its line and reason: {report.reject_file}")


@leads.command(
    "import",
    epilog=example(
        "dialer leads import cartera.csv --campaign cobranza",
        "dialer leads import cartera.csv --campaign cobranza --strict --map 'Núm. crédito=external_id'",
        "dialer leads import cartera.csv --campaign cobranza --columns",
    ),
)
@click.argument("file", type=FILE)
@click.option("--campaign", required=True, metavar="NAME", help="Whose list the leads go on.")
@click.option("--strict", is_flag=True, help="Import nothing if anything is wrong.")
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="HEADER=FIELD",
    help="What a column is, where the guess is wrong; '-' leaves it out.",
)
@MAPPING
@DRY_RUN
@click.option("--yes", is_flag=True, help="Do not ask whether the guess is right.")
@click.option(
    "--columns", "only_columns", is_flag=True, help="Only show what each column would be taken for."
)
@invocation
def import_leads(
    call: Invocation, file: Path, *, campaign: str, strict: bool, pairs: tuple[str, ...], mapping_file: Path | None,
    dry_run: bool, yes: bool, only_columns: bool,
) -> int:  # fmt: skip
    """Bring a CSV file of leads into a campaign.

    Any common encoding and delimiter, headers in Spanish or English, several phones a row. Broken rows go to
    a reject file with line and reason, and good rows go in; importing the same file again changes nothing.
    """
    mapping = _mapping(pairs, mapping_file)
    if only_columns:
        columns = understood(file, mapping)
        call.give(columns.mapping)
        call.table(("column", "taken for"), list(columns.mapping.items()))
        tell_assumed(call, columns)
        return 0
    settings = call.settings
    name = campaign_of(settings, campaign)
    with open_store(settings) as database:
        columns = understood(file, mapping)
        asked = mapping_file is None and not (yes or dry_run)
        confirm_guess(call, columns, asked=asked)
    with open_store(settings) as database, progress_bar(call) as tell:
        report = leads_import.import_leads(
            database,
            file,
            name,
            clock=SystemClock(),
            strict=strict,
            reject_dir=settings.state_dir / "rejects",
            mapping=mapping,
            dry_run=dry_run,
            progress=tell,
        )
    call.give(msgspec.to_builtins(report, enc_hook=str))
    if report.refused:
        call.say(
            f"{file}: nothing imported (--strict): {report.rejected} rows and {report.cells_rejected} cells are wrong"
        )
    else:
        call.say(
            f"{file}{told_dry(dry_run)}: {report.rows} rows: {report.accepted} new, {report.updated} updated, {report.unchanged} unchanged,"
            f" {report.rejected} rejected"
        )
        if report.cells_rejected:
            call.say(
                f"{report.cells_rejected} cells (numbers, e-mail addresses) were left out of rows that went in"
            )
        if report.zone_unknown:
            call.say(
                f"{report.zone_unknown} leads wait for a time zone: no number's zone is known; add a column 'zona'"
            )
        if report.restricted:
            call.say(
                f"{report.restricted} new leads are finished at once: every number is on a do-not-call list"
            )
    say_rejects(call, report)
    return 1 if report.refused else 0


@dnc.command("import", epilog=example("dialer dnc import reus.csv --source 'REUS 2026-01'"))
@click.argument("file", type=FILE)
@click.option(
    "--source",
    default="",
    metavar="TEXT",
    help="Where the list comes from; kept with each number. By default the file's name.",
)
@click.option("--strict", is_flag=True, help="Restrict nobody if any row is wrong.")
@invocation
def import_dnc(call: Invocation, file: Path, *, source: str, strict: bool) -> int:
    """Bring in a list of numbers that nobody may call: a number a line, or a CSV with a column of numbers.

    In force at once, in every campaign and for calls that are ringing now.
    """
    settings = call.settings
    with open_store(settings) as database, progress_bar(call) as tell:
        report = dnc_import.import_dnc(
            database,
            file,
            source=source or file.name,
            clock=SystemClock(),
            reject_dir=settings.state_dir / "rejects",
            strict=strict,
            progress=tell,
        )
    call.give(msgspec.to_builtins(report, enc_hook=str))
    if report.refused:
        call.say(f"{file}: nobody restricted (--strict): {report.rejected} rows are wrong")
    else:
        call.say(
            f"{file}: {report.rows} rows: {report.accepted} newly restricted, {report.unchanged} known, {report.rejected} rejected"
        )
    say_rejects(call, report)
    return 1 if report.refused else 0


leads.add_command(restrict)
leads.add_command(lift)
leads.add_command(consent)
leads.add_command(why_not_dialed)
leads.add_command(forecast_leads)
