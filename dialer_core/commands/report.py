"""`dialer report`: figures of campaigns, agents and days, and call detail records, as tables or files.

It owns words, formats and exit statuses. The figures are `reports/`'s; nothing running is needed, and nothing that runs is disturbed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import campaign_of, open_store
from dialer_core.errors import CommandRefusedError
from dialer_core.money import written
from dialer_core.reports import breakdown as broken_down
from dialer_core.reports import cdr as call_details
from dialer_core.reports import files
from dialer_core.reports import phones as phone_quality
from dialer_core.reports import summary as figures
from dialer_core.reports import targets as reached
from dialer_core.reports.asked import BY, FILTERS, Asked
from dialer_core.reports.figures import FIGURES
from dialer_core.reports.sheet import Column, Sheet
from dialer_core.store.database import open_database
from dialer_core.store.tx import Tx

DAY = click.DateTime(formats=["%Y-%m-%d"])
FILE = click.Path(path_type=Path, dir_okay=False)
_IN_ROWS = (
    "attempts", "contacts", "contact_rate", "right_party", "abandoned", "promises", "promised", "kept", "kept_rate", "recovered",
    "cost_per_contact",
)  # fmt: skip
"""Figures that a table of several rows shows: more do not fit beside one another."""


@click.group(
    epilog=example(
        "dialer report summary --by campaign --since 2026-11-01", "dialer report cdr --output cdr.csv"
    )
)
def report() -> None:
    """Figures of campaigns, agents and days, and call detail records.

    By e-mail at their time: the plugin email, and 'dialer mail-reports'.
    """


def _asking(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that every report has, and their `Asked` as its second argument."""

    @click.option(
        "--since", type=DAY, default=None, metavar="DAY", help="From this day on, such as 2026-11-01."
    )
    @click.option("--until", type=DAY, default=None, metavar="DAY", help="Up to this day, itself included.")
    @click.option("--campaign", multiple=True, metavar="NAME", help="Only this campaign; may be given again.")
    @click.option("--segment", multiple=True, metavar="NAME", help="Only leads that were in this segment.")
    @click.option("--portfolio", multiple=True, metavar="NAME", help="Only accounts of this portfolio.")
    @click.option("--product", multiple=True, metavar="NAME", help="Only accounts of this product.")
    @click.option("--agent", multiple=True, metavar="NAME", help="Only this agent.")
    @click.option("--currency", default="", metavar="CODE", help="Of amounts, where there are several.")
    @click.option("--zone", default="", metavar="ZONE", help="Whose days and hours; by default reports.zone.")
    @click.option(
        "--format", "file_format", type=click.Choice(["table", *files.FORMATS]), default=None,
        help="By default the ending of --output, and else a table.",
    )  # fmt: skip
    @click.option("--output", type=FILE, default=None, metavar="FILE", help="Write a file instead.")
    @invocation
    @functools.wraps(function)
    def wrapped(
        call: Invocation, *, since: dt.datetime | None, until: dt.datetime | None, currency: str, zone: str, file_format: str | None,
        output: Path | None, campaign: tuple[str, ...], segment: tuple[str, ...],
        portfolio: tuple[str, ...], product: tuple[str, ...], agent: tuple[str, ...],
        **options: Any,
    ) -> Any:  # fmt: skip
        its = call.settings.dialer.reports
        if zone:
            try:
                its = type(its).model_validate(its.model_dump() | {"zone": zone})
            except ValueError:
                raise click.BadParameter(
                    f"{zone!r}: write an IANA zone such as America/Tijuana", param_hint="--zone"
                ) from None
        if since and until and until < since:
            raise click.BadParameter("lies before --since", param_hint="--until")
        given = {
            "campaign": campaign,
            "segment": segment,
            "portfolio": portfolio,
            "product": product,
            "agent": agent,
        }
        asked = Asked(
            since=since.date() if since else None,
            until=until.date() if until else None,
            only={name: values for name, values in given.items() if values},
            settings=its,
            currency=currency.upper(),
        )
        return function(call, asked, _Out(call, file_format, output), **options)

    return wrapped


class _Out:
    """Where a report goes, and how."""

    def __init__(self, call: Invocation, file_format: str | None, file: Path | None) -> None:
        ending = file.suffix[1:].lower() if file is not None else ""
        self._call = call
        self._file = file
        self._format = file_format or (
            ending if ending in files.FORMATS else "csv" if file is not None else "table"
        )
        if self._format == "table" and file is not None:
            raise click.BadParameter(
                "a table goes to the terminal; use csv, json or parquet", param_hint="--format"
            )
        if self._format == "parquet" and file is None:
            raise click.BadParameter(
                "Parquet is written to a file: give --output FILE", param_hint="--format"
            )

    def sheet(self, sheet: Sheet) -> None:
        """Give a whole report."""
        if self._call.as_json and self._file is None:
            self._call.give(list(sheet.records()))
        elif self._format == "table":
            _table(self._call, sheet)
        else:
            self.rows(sheet.columns, sheet.rows)

    def rows(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
        """Give rows as they come."""
        if self._file is None:
            as_json = self._call.as_json or self._format == "json"
            (files.write_json if as_json else files.write_csv)(sys.stdout, columns, rows)
            return
        written = _write(self._file, self._format, columns, rows)
        self._call.give({"file": str(self._file), "rows": written})
        self._call.say(f"{self._file}: {written} rows")


def _write(file: Path, file_format: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """Write a file beside its place and put it there when it is whole."""
    half = file.with_name(f".{file.name}.half")
    try:
        if file_format == "parquet":
            written = files.write_parquet(half, columns, rows)
        else:
            with half.open("w", encoding="utf-8", newline="") as out:
                written = (files.write_json if file_format == "json" else files.write_csv)(out, columns, rows)
        half.replace(file)
    except OSError as error:
        raise CommandRefusedError(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)
    return written


@contextlib.contextmanager
def _reading(call: Invocation) -> Iterator[Tx]:
    settings = call.settings
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.require_current()
        with database.read() as tx:
            yield tx
    finally:
        database.dispose()


@report.command(
    epilog=example(
        "dialer report summary --by campaign --by day --since 2026-11-01",
        "dialer report summary --output nov.parquet",
    )
)
@click.option("--by", type=click.Choice(BY), multiple=True, help="A row for each; may be given again.")
@_asking
def summary(call: Invocation, asked: Asked, out: _Out, *, by: tuple[Any, ...]) -> None:
    """Attempts, contacts, promises, recovery and what they cost; `docs/reports.md` defines every figure."""
    wanted = msgspec.structs.replace(asked, by=tuple(dict.fromkeys(by)))
    with _reading(call) as tx:
        out.sheet(figures.summary(tx, wanted, SystemClock().utc()))


def _counted(of: broken_down.Of, words: str, usage: str) -> click.Command:
    @click.option(
        "--by",
        type=click.Choice(FILTERS),
        multiple=True,
        help="Shares within each; may be given again.",
    )
    @_asking
    def command(call: Invocation, asked: Asked, out: _Out, *, by: tuple[Any, ...]) -> None:
        with _reading(call) as tx:
            out.sheet(
                broken_down.breakdown(tx, msgspec.structs.replace(asked, by=tuple(dict.fromkeys(by))), of)
            )

    command.__doc__ = words
    return click.command(f"{of}s", help=words, epilog=example(usage))(command)


report.add_command(_counted("outcome", "What attempts came to.", "dialer report outcomes --by campaign"))
report.add_command(
    _counted(
        "disposition", "What agents said that conversations were.", "dialer report dispositions --by agent"
    )
)
report.add_command(_counted("reason", "Why people do not pay.", "dialer report reasons --since 2026-11-01"))


@report.command(epilog=example("dialer report hours --campaign cobranza"))
@_asking
def hours(call: Invocation, asked: Asked, out: _Out) -> None:
    """Contacts by weekday and hour, the best first."""
    with _reading(call) as tx:
        out.sheet(broken_down.best_hours(tx, asked))


@report.command(epilog=example("dialer report phones --portfolio default"))
@_asking
def phones(call: Invocation, asked: Asked, out: _Out) -> None:
    """How good the phone numbers are, as they are now."""
    with _reading(call) as tx:
        out.sheet(phone_quality.phones(tx, asked))


@report.command(epilog=example("dialer report targets --since 2026-11-22"))
@_asking
def targets(call: Invocation, asked: Asked, out: _Out) -> None:
    """Targets by campaign and day, and how far each was reached; `dialer target set` sets them."""
    with _reading(call) as tx:
        out.sheet(reached.targets(tx, asked, SystemClock().utc()))


@report.command(
    epilog=example("dialer report cdr --since 2026-11-22 --output cdr.csv", "dialer report cdr --format json")
)
@_asking
def cdr(call: Invocation, asked: Asked, out: _Out) -> None:
    """Call detail records: a row for each attempt, with times, SIP's reason and who spoke; CSV unless another format is named."""
    with _reading(call) as tx:
        out.rows(call_details.COLUMNS, call_details.cdr(tx, asked))


@click.group(epilog=example("dialer target set cobranza recovered 250000 --day 2026-11-23"))
def target() -> None:
    """Set what a campaign is to reach on a day."""


@target.command(
    "set",
    epilog=example(
        "dialer target set cobranza kept 40 --day 2026-11-23", "dialer target set cobranza recovered 250000"
    ),
)
@click.argument("campaign")
@click.argument("metric", type=click.Choice(reached.METRICS))
@click.argument("goal", type=click.IntRange(min=0))
@click.option("--day", type=DAY, default=None, metavar="DAY", help="By default today, of reports.zone.")
@invocation
def set_target(call: Invocation, campaign: str, metric: str, goal: int, *, day: dt.datetime | None) -> None:
    """Set CAMPAIGN's GOAL of a METRIC for a day, in place of a former one; 0 takes it away. Amounts are in pesos, not cents."""
    settings, now = call.settings, SystemClock().utc()
    name = campaign_of(settings, campaign)
    when = day.date() if day else now.astimezone(Asked(settings=settings.dialer.reports).zone).date()
    with open_store(settings) as database, database.write() as tx:
        reached.put(
            tx, name, when, metric, goal * (100 if reached.UNITS[metric] == "money" else 1), actor="cli"
        )
    call.give({"campaign": name, "day": when.isoformat(), "metric": metric, "goal": goal})
    call.say(f"{name}: {metric} {goal:,} on {when}" if goal else f"{name}: no target of {metric} on {when}")


def _table(call: Invocation, sheet: Sheet) -> None:
    """Print a report for people: amounts in main units, shares in percent. Of the summary one row stands upright with all its figures."""
    upright = len(sheet.rows) == 1 and set(FIGURES) <= set(sheet.columns)
    shown = [
        index
        for index, column in enumerate(sheet.columns)
        if column not in FIGURES
        or (upright and sheet.rows[0][index])
        or (not upright and column.name in _IN_ROWS)
    ]
    columns = [sheet.columns[index] for index in shown]
    rows = [
        [_cell(sheet.columns[index], row[index], sheet.currency) for index in shown] for row in sheet.rows
    ]
    if upright:
        call.table(
            ("figure", "value"), [(column.name, cell) for column, cell in zip(columns, rows[0], strict=True)]
        )
    else:
        call.table([column.name for column in columns], rows)
        if len(shown) < len(sheet.columns):
            call.say("every figure: --format csv or json")
    for note in sheet.notes:
        call.say(note)


def _cell(column: Column, value: Any, currency: str) -> Any:
    if value is None:
        return "-"
    match column.unit:
        case "money":
            return written(value, currency)
        case "rate":
            return f"{100 * value:.1f} %"
        case "seconds":
            return str(dt.timedelta(seconds=round(value)))
        case "days":
            return f"{value:.1f}"
        case "count":
            return value
        case _:
            return value or "-"
