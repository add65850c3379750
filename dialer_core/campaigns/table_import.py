"""Importing a CSV whose rows are about accounts that are known: columns by their headers, good rows in batches, broken ones to a reject file.

It owns that course of things for files of payments and of earlier contacts, which say what their columns are (`Field`) and how a batch is
written. Files of leads have their own (`leads_import.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from dialer_core.campaigns.cell_values import fold
from dialer_core.campaigns.csv_reading import CsvFile, Record, inspect
from dialer_core.campaigns.leads_import import Progress
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.campaigns.phone_numbers import NumberError
from dialer_core.campaigns.rejects import RejectFile
from dialer_core.errors import ImportFileError
from dialer_core.store import import_runs
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx

log = structlog.get_logger(__name__)

BATCH_ROWS = 250
IGNORED = "-"


@dataclass(frozen=True)
class Field:
    """A column: the headers it goes by, how its cells are read, and whether a row must have it."""

    headers: tuple[str, ...]
    read: Callable[[str], Any] = str
    needed: bool = False


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
    columns = understood(source, fields, mapping)
    report = TableReport(file, source.sha256, columns, dry_run=dry_run)
    tell = progress or (lambda _progress: None)
    with RejectFile(reject_dir, file, source.sha256) as rejects:

        def reject(row: Row, column: str, reason: str) -> None:
            report.rejected += 1
            key = f"{column}: {reason}" if column else reason
            report.reasons[key] = report.reasons.get(key, 0) + 1
            rejects.add(row.line, column, reason, row.raw, imported=False)

        for batch, bytes_read in _batches(source, fields, list(columns.values()), report, reject):
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


def understood(source: CsvFile, fields: Mapping[str, Field], mapping: MappingFile) -> dict[str, str]:
    """Return what each column of a file is taken for: header to field, or `-`.

    Raises
    ------
    ImportFileError
        A needed column is missing, or the mapping names what there is not.
    """
    first = next(source.records(), None)
    if first is None or first[0].problem:
        raise ImportFileError(f"{source.path}: has no header line that can be read")
    names = [name.strip().lstrip("\ufeff") for name in first[0].cells]
    if len(set(names)) != len(names):
        raise ImportFileError(f"{source.path}: two columns have the same header")
    if wrong := sorted(set(mapping.columns) - set(names)):
        raise ImportFileError(
            f"{source.path}: the mapping names a column {wrong[0]!r}; the file has: {', '.join(names)}"
        )
    if wrong := sorted(set(mapping.columns.values()) - {*fields, IGNORED}):
        raise ImportFileError(
            f"{source.path}: the mapping gives a field {wrong[0]!r}; use one of {', '.join(fields)} or -"
        )
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
    return found


def _batches(
    source: CsvFile, fields: Mapping[str, Field], columns: Sequence[str], report: TableReport, reject: Reject
) -> Iterator[tuple[list[Row], int]]:
    records = source.records()
    next(records)  # the header
    batch: list[Row] = []
    bytes_read = 0
    for record, bytes_read in records:
        report.rows += 1
        row = _row(record, fields, columns, reject)
        if row is not None:
            batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch, bytes_read
            batch = []
    if batch:
        yield batch, bytes_read


def _row(record: Record, fields: Mapping[str, Field], columns: Sequence[str], reject: Reject) -> Row | None:
    row = Row(record.line, record.raw, {})
    if record.problem:
        reject(row, "", record.problem)
        return None
    if len(record.cells) != len(columns):
        reject(row, "", f"{len(record.cells)} columns, and the header has {len(columns)}")
        return None
    for name, cell in zip(columns, record.cells, strict=True):
        value = cell.strip()
        if name == IGNORED or not value:
            continue
        try:
            row.values[name] = fields[name].read(value)
        except (NumberError, ValueError) as error:
            reject(row, name, str(error))
            return None
    for name, one in fields.items():
        if one.needed and name not in row.values:
            reject(row, name, "is empty")
            return None
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
