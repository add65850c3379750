"""Importing a lead file: good rows in, broken rows to a reject file, the same file again changes nothing.

It owns the order of things: read, understand, check, write in short transactions, so that an engine goes on claiming meanwhile. The
reading of CSV is `csv_reading.py`'s, of columns `lead_columns.py`'s, the writing of rows `lead_writing.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dialer_core.campaigns.csv_reading import CsvFile, Record, inspect
from dialer_core.campaigns.lead_columns import Columns, LeadRow, Problem, understand
from dialer_core.campaigns.lead_writing import BatchResult, write_batch
from dialer_core.campaigns.rejects import RejectFile
from dialer_core.clock import Clock
from dialer_core.errors import ConfigError, ImportFileError
from dialer_core.events import LeadsImported
from dialer_core.store import campaigns, import_runs
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId

log = structlog.get_logger(__name__)

BATCH_ROWS = 200
"""Rows of one transaction: some 50 ms, so that a claim in between does not wait for long."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is. `checking`: the first pass of a strict import, which writes nothing."""

    rows: int
    bytes_read: int
    bytes_total: int
    checking: bool


@dataclass(slots=True)
class ImportReport:
    """What an import did. Every row is accepted (new), updated, unchanged or rejected."""

    file: Path
    file_sha256: str
    encoding: str
    delimiter: str
    columns: dict[str, str]
    """Header to field, as it was understood."""
    rows: int = 0
    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    cells_rejected: int = 0
    """Cells (numbers, mostly) that were left out of rows that went in."""
    zone_unknown: int = 0
    """Leads that wait for a time zone: no number's zone is known and the row names none."""
    restricted: int = 0
    """New leads whose every number is on a do-not-call list; they are finished from the start."""
    reject_file: Path | None = None
    refused: bool = False
    """A strict import found something wrong and wrote nothing."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rejects by column and reason."""


def import_leads(
    database: Database,
    file: Path,
    campaign_id: CampaignId,
    *,
    clock: Clock,
    strict: bool = False,
    reject_dir: Path,
    mapping: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ImportReport:
    """Import a CSV file of leads into a campaign.

    Parameters
    ----------
    database
        Migrated, and holding the campaign.
    file
        CSV with a header, of any common encoding and delimiter.
    campaign_id
        Whose list the leads go on.
    clock
        For the times written.
    strict
        Nothing goes in if anything is wrong.
    reject_dir
        Where the reject file goes; it is made where it is missing.
    mapping
        Header to field, for what the guess does not know; `-` leaves a column out.
    progress
        Called after every batch.

    Raises
    ------
    ImportFileError
        The file as a whole cannot be used; nothing was imported.
    ConfigError
        The store does not know the campaign.
    StoreError
        The database failed; what was imported before it stays, and importing again goes on from there.
    """
    source = inspect(file)
    with database.read() as tx:
        if campaigns.settings_of(tx, campaign_id) is None:
            known = ", ".join(sorted(campaigns.states(tx))) or "none"
            raise ConfigError(f"there is no campaign {campaign_id!r} in the store; known are: {known}")
    columns = _columns_of(source, mapping)
    report = ImportReport(file, source.sha256, source.encoding, source.delimiter, columns.mapping)
    tell = progress or (lambda _progress: None)
    with RejectFile(reject_dir, file, source.sha256) as rejects:
        if strict:
            for batch in _batches(source, columns, report, rejects):
                tell(Progress(report.rows, batch.bytes_read, source.size_bytes, True))
            if report.rejected or report.cells_rejected:
                report.refused = True
                report.reject_file = rejects.path
                return report
            report.rows = 0
        for batch in _batches(source, columns, report, rejects):
            with database.write() as tx:
                _count(report, write_batch(tx, batch.rows, campaign_id, clock.utc()))
            tell(Progress(report.rows, batch.bytes_read, source.size_bytes, False))
        report.reject_file = rejects.path
    with database.write() as tx:
        import_runs.add(
            tx,
            "leads",
            campaign_id=campaign_id,
            file_sha256=source.sha256,
            accepted=report.accepted,
            updated=report.updated,
            rejected=report.rejected,
            at_utc=clock.utc(),
        )
        tx.emit(
            LeadsImported(
                campaign_id=campaign_id,
                file_sha256=source.sha256,
                accepted=report.accepted,
                updated=report.updated,
                rejected=report.rejected,
            )
        )
    log.info(
        "leads_imported",
        campaign=campaign_id,
        rows=report.rows,
        accepted=report.accepted,
        updated=report.updated,
        unchanged=report.unchanged,
        rejected=report.rejected,
    )
    return report


def understood_columns(file: Path, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what an import would take each column for: header to field, for showing it first.

    Raises
    ------
    ImportFileError
        The file cannot be used.
    """
    return _columns_of(inspect(file), mapping).mapping


@dataclass(slots=True)
class _Batch:
    rows: list[LeadRow]
    bytes_read: int


def _columns_of(source: CsvFile, mapping: Mapping[str, str] | None) -> Columns:
    first = next(source.records(), None)
    if first is None:
        raise ImportFileError(f"{source.path}: is empty; it needs a header line and a row per lead")
    header, _ = first
    if header.problem:
        raise ImportFileError(
            f"{source.path}: line {header.line}: the header cannot be read: {header.problem}"
        )
    return understand(header.cells, mapping, source.path)


def _batches(
    source: CsvFile, columns: Columns, report: ImportReport, rejects: RejectFile
) -> Iterator[_Batch]:
    """Yield the good rows of a file in batches; what is wrong goes to the reject file and the report."""
    records = source.records()
    next(records)  # the header
    seen: dict[bytes, int] = {}
    rows: list[LeadRow] = []
    bytes_read = 0
    for record, bytes_read in records:
        report.rows += 1
        row, problems = _read(columns, record, seen)
        for problem in problems:
            rejects.add(record.line, problem.column, problem.reason, record.raw, imported=row is not None)
            key = f"{problem.column}: {problem.reason}" if problem.column else problem.reason
            report.reasons[key] = report.reasons.get(key, 0) + 1
        if row is None:
            report.rejected += 1
            continue
        report.cells_rejected += len(problems)
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            yield _Batch(rows, bytes_read)
            rows = []
    yield _Batch(rows, bytes_read)


def _read(columns: Columns, record: Record, seen: dict[bytes, int]) -> tuple[LeadRow | None, list[Problem]]:
    if record.problem:
        return None, [Problem("", record.problem)]
    cells, width = record.cells, len(columns.header)
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]  # a spreadsheet's empty columns
    if len(cells) != width:
        return None, [Problem("", f"{len(cells)} columns, and the header has {width}")]
    row, problems = columns.read(record.line, cells)
    if any(problem.fatal for problem in problems):
        return None, problems
    key = hashlib.blake2b(
        f"{row.portfolio}\0{row.external_id}".encode(errors="replace"), digest_size=12
    ).digest()
    if (first := seen.setdefault(key, record.line)) != record.line:
        return None, [Problem("", f"the account of line {first} again")]
    return row, problems


def _count(report: ImportReport, result: BatchResult) -> None:
    report.accepted += result.accepted
    report.updated += result.updated
    report.unchanged += result.unchanged
    report.zone_unknown += result.zone_unknown
    report.restricted += result.restricted
