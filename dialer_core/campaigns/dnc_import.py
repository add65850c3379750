"""Importing a do-not-call list: numbers that nobody may call from the next claim on, and from now on where they are ringing.

It owns reading the list and restricting the numbers, batch by batch, each in force at its commit. It does not cancel calls under way:
the engine asks `store.restrictions.forbidden_live_attempts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dialer_core.campaigns.cell_values import fold
from dialer_core.campaigns.csv_reading import CsvFile, Record, inspect
from dialer_core.campaigns.lead_columns import HEADERS, PHONE
from dialer_core.campaigns.leads_import import Progress
from dialer_core.campaigns.rejects import RejectFile
from dialer_core.clock import Clock
from dialer_core.compliance.phone_numbers import MEXICO, NumberError, normalise
from dialer_core.errors import ImportFileError
from dialer_core.store import import_runs, restrictions
from dialer_core.store.database import Database
from dialer_core.vocabulary import RestrictionKind, RestrictionScope

log = structlog.get_logger(__name__)

BATCH_NUMBERS = 500
_HEADERS = frozenset({*HEADERS[PHONE], "numero", "number", "num"})


@dataclass(slots=True)
class DncReport:
    """What an import of a do-not-call list did."""

    file: Path
    file_sha256: str
    column: str
    """Header of the column taken for the number; empty where the file has none."""
    rows: int = 0
    accepted: int = 0
    """Numbers newly restricted."""
    unchanged: int = 0
    """Numbers that were restricted already, or stand in the file twice."""
    rejected: int = 0
    reject_file: Path | None = None
    refused: bool = False
    """A strict import found something wrong and restricted nobody."""
    reasons: dict[str, int] = field(default_factory=dict)


def import_dnc(
    database: Database,
    file: Path,
    *,
    source: str,
    clock: Clock,
    reject_dir: Path,
    strict: bool = False,
    country: str = MEXICO,
    kind: RestrictionKind = RestrictionKind.DO_NOT_CALL,
    progress: Callable[[Progress], None] | None = None,
) -> DncReport:
    """Restrict every number of a file, for good and on every channel, in every campaign.

    Parameters
    ----------
    database
        Migrated.
    file
        A CSV with a column that is a phone number, or a number a line without a header.
    source
        Where the list comes from (`REUS 2025-11`); kept with each restriction.
    clock
        For the times written.
    reject_dir
        Where the reject file goes.
    strict
        Restrict nobody if any row is broken. Otherwise broken rows are rejected and the others count: the safe side.
    country
        ISO code of the country of numbers without `+`.
    kind
        What kind of restriction it is.
    progress
        Called after every batch.

    Raises
    ------
    ImportFileError
        The file as a whole cannot be used; nobody was restricted.
    StoreError
        The database failed; what was restricted before stays.
    """
    listed = inspect(file)
    index, header = _number_column(listed, country)
    report = DncReport(file, listed.sha256, header)
    tell = progress or (lambda _progress: None)
    with RejectFile(reject_dir, file, listed.sha256) as rejects:
        report.reasons = rejects.reasons
        numbers = _Numbers(listed, index, header, country)
        if strict:
            for _, bytes_read in numbers.batches(report, rejects):
                tell(Progress(report.rows, bytes_read, listed.size_bytes, True))
            if report.rejected:
                report.refused, report.reject_file = True, rejects.path
                return report
            report.rows = 0
        for batch, bytes_read in numbers.batches(report, rejects):
            with database.write() as tx:
                import_runs.take_turn(tx, "restrictions")
                report.accepted += restrictions.add_missing(
                    tx, kind, RestrictionScope.NUMBER, batch, source=source, from_utc=clock.utc()
                )
            tell(Progress(report.rows, bytes_read, listed.size_bytes, False))
        report.reject_file = rejects.path
    report.unchanged = report.rows - report.rejected - report.accepted
    with database.write() as tx:
        import_runs.add(
            tx,
            "dnc",
            campaign_id=None,
            file_sha256=listed.sha256,
            accepted=report.accepted,
            updated=0,
            rejected=report.rejected,
            at_utc=clock.utc(),
        )
    log.info("dnc_imported", rows=report.rows, accepted=report.accepted, rejected=report.rejected)
    return report


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers of a list."""

    listed: CsvFile
    index: int
    header: str
    country: str

    def batches(self, report: DncReport, rejects: RejectFile) -> Iterator[tuple[list[str], int]]:
        """Yield numbers in batches and how many bytes have been read; what is no number goes to the reject file and the report."""
        batch: dict[str, None] = {}
        bytes_read = 0
        for position, (record, bytes_read) in enumerate(self.listed.records()):
            if position == 0 and self.header:
                continue
            report.rows += 1
            try:
                batch[_number(record, self.index, self.country)] = None
            except NumberError as error:
                report.rejected += 1
                rejects.add(record.line, self.header, str(error), record.raw, imported=False)
            if len(batch) == BATCH_NUMBERS:
                yield list(batch), bytes_read
                batch = {}
        yield list(batch), bytes_read


def _number_column(source: CsvFile, country: str) -> tuple[int, str]:
    """Return (index, header) of the column of numbers; the header is empty where the first record is a number itself."""
    first = next(source.records(), None)
    if first is None:
        raise ImportFileError(f"{source.path}: is empty; it needs a number a line")
    cells = [cell.strip() for cell in first[0].cells]
    for index, cell in enumerate(cells):
        folded = fold(cell)
        if folded.rstrip("0123456789").rstrip("_") in _HEADERS:
            return index, cell
    for index, cell in enumerate(cells):
        try:
            normalise(cell, country)
        except NumberError:
            continue
        return index, ""
    if len(cells) == 1:
        return 0, cells[0] if any(char.isalpha() for char in cells[0]) else ""
    raise ImportFileError(
        f"{source.path}: no column is a phone number: name one 'telefono' or 'phone', or give one number a line"
    )


def _number(record: Record, index: int, country: str) -> str:
    if record.problem:
        raise NumberError(record.problem)
    if index >= len(record.cells):
        raise NumberError(f"{len(record.cells)} columns, and the number is in column {index + 1}")
    return normalise(record.cells[index], country)
