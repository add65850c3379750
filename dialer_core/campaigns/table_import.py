"""Importing a CSV whose rows are about accounts that are known: columns by their headers, good rows in batches, broken ones to a reject file.

It owns that course of things for files of payments and of earlier contacts, which say what their columns are (`Field`) and how a batch is
written. Files of leads have their own (`leads_import.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from dialer_core.campaigns.amounts import AmountStyle, cents
from dialer_core.campaigns.cell_values import fold
from dialer_core.campaigns.csv_reading import CsvFile, Record, inspect
from dialer_core.campaigns.leads_import import Progress
from dialer_core.campaigns.mapping_file import IGNORED, MappingFile
from dialer_core.campaigns.rejects import RejectFile
from dialer_core.compliance.phone_numbers import NumberError
from dialer_core.errors import ImportFileError
from dialer_core.store import import_runs
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx

log = structlog.get_logger(__name__)

BATCH_ROWS = 250


@dataclass(frozen=True)
class Field:
    """A column: the headers it goes by, how its cells are read, and whether a row must have it."""

    headers: tuple[str, ...]
    read: Callable[[str], Any] = str
    needed: bool = False
    spared: bool = False
    """A cell that cannot be read is left out, and the row goes in without it."""


AMOUNT = cents
"""How a field of amounts is read: in the style of its file."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row's values by field; a field that the row leaves empty is absent."""

    line: int
    raw: str
    values: dict[str, Any]


Reject = Callable[[Row, str, str], None]
"""Rejects a row: column and reason."""
WriteBatch = Callable[[Tx, Sequence[Row], Reject], int]
"""Writes a batch, rejecting what cannot be, and returns how many rows were new."""


@dataclass(slots=True)
class TableReport:
    """What an import did. Every row is accepted (new), unchanged (known already) or rejected."""

    file: Path
    file_sha256: str
    columns: dict[str, str]
    """Header to field, as it was understood; `-`: not wanted."""
    rows: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    cells_rejected: int = 0
    """Cells that were left out of rows that went in."""
    reject_file: Path | None = None
    dry_run: bool = False
    """Nothing was written."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rejects by column and reason."""


def import_table(
    database: Database,
    file: Path,
    kind: str,
    fields: Mapping[str, Field],
    write: WriteBatch,
    *,
    reject_dir: Path,
    mapping: MappingFile | None = None,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TableReport:
    """Import a file.

    Parameters
    ----------
    database
        Migrated.
    file
        CSV with a header, of any common encoding and delimiter.
    kind
        What it is, for the record of imports.
    fields
        By name.
    write
        Writes a batch.
    reject_dir
        Where the reject file goes.
    mapping
        The user's own, before the guess.
    dry_run
        Do everything, and take it back.
    progress
        Called after every batch.

    Raises
    ------
    ImportFileError
        The file as a whole cannot be used; nothing was imported.
    StoreError
        The database failed; what was imported before stays.
    """
    mapping = mapping or MappingFile()
    source = mapping.applied(inspect(file))
    table = understood(source, fields, mapping)
    report = TableReport(file, source.sha256, table.mapping, dry_run=dry_run)
    tell = progress or (lambda _progress: None)
    with RejectFile(reject_dir, file, source.sha256) as rejects:
        report.reasons = rejects.reasons

        def reject(row: Row, column: str, reason: str) -> None:
            report.rejected += 1
            rejects.add(row.line, column, reason, row.raw, imported=False)

        def spare(row: Row, column: str, reason: str) -> None:
            report.cells_rejected += 1
            rejects.add(row.line, column, reason, row.raw, imported=True)

        for batch, bytes_read in _batches(source, table, report, reject, spare):
            with database.rehearse() if dry_run else database.write() as tx:
                import_runs.take_turn(tx, kind)
                report.accepted += write(tx, batch, reject)
            tell(Progress(report.rows, bytes_read, source.size_bytes, dry_run))
        report.reject_file = rejects.path
    report.unchanged = report.rows - report.accepted - report.rejected
    if not dry_run:
        with database.write() as tx:
            import_runs.add(
                tx,
                kind,
                campaign_id=None,
                file_sha256=source.sha256,
                accepted=report.accepted,
                updated=0,
                rejected=report.rejected,
                at_utc=database.clock.utc(),
            )
    log.info(
        "table_imported", kind=kind, rows=report.rows, accepted=report.accepted, rejected=report.rejected
    )
    return report


@dataclass(frozen=True, slots=True)
class Table:
    """What the columns of a file mean, and how its amounts are written."""

    mapping: dict[str, str]
    """Header to field, or `-`."""
    amounts: AmountStyle
    readers: dict[str, Callable[[str], Any]]
    """By field."""
    fields: Mapping[str, Field]
    assumed: str = ""
    """What was assumed of the file's encoding, in words."""


def understood(source: CsvFile, fields: Mapping[str, Field], mapping: MappingFile) -> Table:
    """Return what each column of a file is taken for.

    Raises
    ------
    ImportFileError
        A needed column is missing, or the mapping names what there is not.
    """
    names = mapping.header_of(source, fields)
    if len(set(names)) != len(names):
        raise ImportFileError(f"{source.path}: two columns have the same header")
    by_header = {header: name for name, one in fields.items() for header in one.headers}
    found: dict[str, str] = {}
    for name in names:
        meaning = mapping.columns.get(name) or by_header.get(fold(name), IGNORED)
        if meaning != IGNORED and meaning in found.values():
            meaning = IGNORED  # the first column of a meaning has it
        found[name] = meaning
    for name, one in fields.items():
        if one.needed and name not in found.values():
            raise ImportFileError(
                f"{source.path}: no column is the {name}: name one {' or '.join(one.headers[:3])}, or give a mapping"
            )
    money = [
        place for place, name in enumerate(found.values()) if name in fields and fields[name].read is AMOUNT
    ]
    style = mapping.amounts_of(source, money)
    readers = {
        name: partial(cents, style=style) if one.read is AMOUNT else one.read for name, one in fields.items()
    }
    return Table(found, style, readers, fields, source.assumed)


def _batches(
    source: CsvFile, table: Table, report: TableReport, reject: Reject, spare: Reject
) -> Iterator[tuple[list[Row], int]]:
    records = source.records()
    next(records)  # the header
    batch: list[Row] = []
    bytes_read = 0
    for record, bytes_read in records:
        report.rows += 1
        row = _row(record, table, reject, spare)
        if row is not None:
            batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch, bytes_read
            batch = []
    if batch:
        yield batch, bytes_read


def _row(record: Record, table: Table, reject: Reject, spare: Reject) -> Row | None:
    row = Row(record.line, record.raw, {})
    try:
        cells = record.fitted(len(table.mapping))
    except ValueError as error:
        reject(row, "", str(error))
        return None
    spared: list[tuple[str, str]] = []
    for name, cell in zip(table.mapping.values(), cells, strict=True):
        value = cell.strip()
        if name == IGNORED or not value:
            continue
        try:
            row.values[name] = table.readers[name](value)
        except (NumberError, ValueError) as error:
            if not table.fields[name].spared:
                reject(row, name, str(error))
                return None
            spared.append((name, str(error)))
    for name, one in table.fields.items():
        if one.needed and name not in row.values:
            reject(row, name, "is empty")
            return None
    for name, reason in spared:
        spare(row, name, reason)
    return row


def local_time(zone: dt.tzinfo) -> Callable[[str], dt.datetime]:
    """Return how an instant is read: ISO or day first, with an offset or in this zone."""

    def read(text: str) -> dt.datetime:
        for pattern in ("", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y"):
            try:
                at = dt.datetime.strptime(text, pattern) if pattern else dt.datetime.fromisoformat(text)  # noqa: DTZ007 - the next line knows the zone
                return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(dt.UTC)
            except ValueError:
                continue
            except OverflowError:  # 9999-12-31 23:59, by which some systems mean none
                break
        raise ValueError("not a time; write YYYY-MM-DD HH:MM or DD/MM/YYYY HH:MM")

    return read
