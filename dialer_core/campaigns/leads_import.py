"""Importing a lead file: good rows in, broken rows to a reject file, the same file again changes nothing.

It owns the order of things: read, understand, check, write in short transactions, so that an engine goes on claiming meanwhile. The
reading of rows is `import_reading.py`'s, their writing `lead_writing.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dialer_core.campaigns import import_reading
from dialer_core.campaigns.csv_reading import inspect
from dialer_core.campaigns.import_reading import Batch
from dialer_core.campaigns.import_writing import BatchWriter, Written
from dialer_core.campaigns.lead_columns import Columns, LeadRow, understand
from dialer_core.campaigns.lead_writing import BatchResult, write_batch
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.campaigns.rejects import RejectFile
from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError, ConfigError
from dialer_core.events import LeadsImported
from dialer_core.store import attribute_marks, bulk, campaigns, import_runs
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId, CampaignState

log = structlog.get_logger(__name__)

TRANSACTION_S = {"sqlite": 0.04, "postgresql": 0.25}
"""A transaction is to be as long as this: on SQLite a claim waits for its end, on PostgreSQL nobody does."""
_MANY_ROWS = 1_000
_FEWEST_ROWS, _MOST_ROWS = 100, 4_000


@dataclass(slots=True)
class _Pace:
    """How many rows go into one transaction: as many as were written in `TRANSACTION_S` of late."""

    transaction_s: float
    rows: int = 250

    def learn(self, rows: int, took_s: float) -> None:
        """Take note of a transaction."""
        if rows >= self.rows and took_s:
            fitting = self.rows * self.transaction_s / max(took_s, 0.001)
            self.rows = int(min(max(0.5 * (self.rows + fitting), _FEWEST_ROWS), _MOST_ROWS))


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
    """Cells (numbers and e-mail addresses) that were left out of rows that went in."""
    zone_unknown: int = 0
    """Leads that wait for a time zone: no number's zone is known and the row names none."""
    restricted: int = 0
    """New leads whose every number is on a do-not-call list; they are finished from the start."""
    reject_file: Path | None = None
    refused: bool = False
    """A strict import found something wrong and wrote nothing."""
    dry_run: bool = False
    """Nothing was written: this is what would have come of it."""
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
    mapping: MappingFile | None = None,
    dry_run: bool = False,
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
        What the user says of the file, for what the guess does not know.
    dry_run
        Do everything, and take it back batch by batch: the report says what would have come of it.
    progress
        Called after every batch.

    Raises
    ------
    ImportFileError
        The file as a whole cannot be used; nothing was imported.
    ConfigError
        The store does not know the campaign.
    CommandRefusedError
        The campaign is archived.
    StoreError
        The database failed; what was imported before it stays, and importing again goes on from there.
    """
    mapping = mapping or MappingFile()
    source = mapping.applied(inspect(file))
    with database.read() as tx:
        if campaigns.settings_of(tx, campaign_id) is None:
            known = ", ".join(sorted(campaigns.states(tx))) or "none"
            raise ConfigError(f"there is no campaign {campaign_id!r} in the store; known are: {known}")
        if campaigns.states(tx)[campaign_id] is CampaignState.ARCHIVED:
            raise CommandRefusedError(
                f"campaign {campaign_id} is archived and takes no leads; 'dialer campaign reopen {campaign_id}' first"
            )
    columns = understand(source, mapping)
    report = ImportReport(
        file, source.sha256, source.encoding, source.delimiter, columns.mapping, dry_run=dry_run
    )
    tell = progress or (lambda _progress: None)
    with RejectFile(reject_dir, file, source.sha256) as rejects:
        report.reasons = rejects.reasons
        if strict:
            for batch in import_reading.read(source, columns):
                _take(report, rejects, batch)
                tell(Progress(report.rows, batch.bytes_read, source.size_bytes, True))
            if report.rejected or report.cells_rejected:
                report.refused = True
                report.reject_file = rejects.path
                return report
            report.rows = 0
        with database.write() as tx:
            bulk.prepare(tx)
            if not dry_run and mapping.public_attributes:
                attribute_marks.mark(tx, mapping.portfolio, mapping.public_attributes, sensitive=False)
        pace = _Pace(TRANSACTION_S[database.dialect])

        def count(result: BatchResult, rows: int, took_s: float) -> None:
            _count(report, result)
            pace.learn(rows, took_s)

        with BatchWriter(database, campaign_id, clock, count) as writer:
            put = (
                (lambda rows: _rehearse(database, rows, campaign_id, clock, count)) if dry_run else writer.put
            )
            waiting: list[LeadRow] = []
            for batch in import_reading.read(source, columns):
                _take(report, rejects, batch)
                waiting += batch.rows
                while len(waiting) >= (size := pace.rows):
                    put(waiting[:size])
                    del waiting[:size]
                tell(Progress(report.rows, batch.bytes_read, source.size_bytes, False))
            put(waiting)
        report.reject_file = rejects.path
    if dry_run:
        return report
    with database.write() as tx:
        if report.accepted > _MANY_ROWS:
            bulk.finish(tx, "person", "phone", "email_address", "account", "lead")
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


def understood(file: Path, mapping: MappingFile | None = None) -> Columns:
    """Return what an import would take each column for, for showing it first.

    Raises
    ------
    ImportFileError
        The file cannot be used.
    """
    mapping = mapping or MappingFile()
    return understand(mapping.applied(inspect(file)), mapping)


def _take(report: ImportReport, rejects: RejectFile, batch: Batch) -> None:
    """Count what was read, and write down what was wrong."""
    report.rows += batch.records
    report.rejected += batch.rejected_rows
    for one in batch.rejected:
        report.cells_rejected += one.imported
        rejects.add(one.line, one.column, one.reason, one.raw, imported=one.imported)


def _rehearse(
    database: Database, rows: Sequence[LeadRow], campaign_id: CampaignId, clock: Clock, count: Written
) -> None:
    if rows:
        with database.rehearse() as tx:
            began = time.monotonic()
            result = write_batch(tx, rows, campaign_id, clock.utc())
        count(result, len(rows), time.monotonic() - began)


def _count(report: ImportReport, result: BatchResult) -> None:
    report.accepted += result.accepted
    report.updated += result.updated
    report.unchanged += result.unchanged
    report.zone_unknown += result.zone_unknown
    report.restricted += result.restricted
