"""Writing an import's batches one after the other, each while the next is being planned.

It owns the order of these two, and what happens where somebody else writes the same people meanwhile: such a batch is planned and written anew
in one transaction, behind whoever else imports. What stands in a plan is `lead_writing.py`'s; how long a transaction may be, `leads_import.py`'s.

A batch is written apart from its planning only where the store knows nothing of it, neither people nor accounts: then its unique keys guard it.
Every other batch changes what it has read, and does so under the turn that imports take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import structlog

from dialer_core.campaigns import lead_writing
from dialer_core.campaigns.lead_columns import LeadRow
from dialer_core.campaigns.lead_writing import BatchResult, Plan
from dialer_core.clock import Clock
from dialer_core.errors import StoreError
from dialer_core.store import import_runs
from dialer_core.store.database import Database
from dialer_core.store.errors import DatabaseAwayError
from dialer_core.vocabulary import CampaignId

log = structlog.get_logger(__name__)

Written = Callable[[BatchResult, int, float], None]
"""Told of each batch that is in: what became of it, its rows, and the seconds that its transaction took."""


class BatchWriter:
    """Writes batches in order. Left by its block's end, everything given to it is in, or an error says that it is not."""

    def __init__(self, database: Database, campaign_id: CampaignId, clock: Clock, written: Written) -> None:
        self._database, self._campaign_id, self._clock, self._written = database, campaign_id, clock, written
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="import")
        self._under_way: Future[float] | None = None
        self._batch: tuple[Sequence[LeadRow], Plan] | None = None
        self._persons: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._thread.shutdown()

    def put(self, rows: Sequence[LeadRow]) -> None:
        """Write some rows, each of another account, after those given before.

        Raises
        ------
        StoreError
            The database failed under these rows or the ones before.
        """
        if not rows:
            return
        persons = {row.person_id for row in rows if row.person_id}
        if not self._persons.isdisjoint(persons):  # what is planned of them must see what is being written
            self._finish()
        with self._database.read() as tx:
            planned = lead_writing.plan(tx, rows, self._campaign_id, self._clock.utc())
        self._finish()
        if not planned.of_news:
            self._write_in_turn(rows)
            return
        self._batch, self._persons = (rows, planned), persons
        self._under_way = self._thread.submit(self._write, planned)

    def _finish(self) -> None:
        """Wait for the batch under way."""
        if self._under_way is None or self._batch is None:
            return
        (rows, planned), under_way = self._batch, self._under_way
        self._batch = self._under_way = None
        self._persons = set()
        try:
            took_s = under_way.result()
        except DatabaseAwayError:
            raise
        except StoreError as error:
            log.info("import_met_another", campaign_id=self._campaign_id, rows=len(rows), error=str(error))
            self._write_in_turn(rows)
        else:
            self._written(planned.result, len(rows), took_s)

    def _write(self, planned: Plan) -> float:
        if planned.writes.nothing:
            return 0.0
        asked = time.monotonic()
        with self._database.write() as tx:
            began = time.monotonic() if tx.dialect == "sqlite" else asked
            import_runs.take_turn(tx, "leads")
            lead_writing.write(tx, planned)
        return time.monotonic() - began

    def _write_in_turn(self, rows: Sequence[LeadRow]) -> None:
        asked = time.monotonic()
        with self._database.write() as tx:
            began = time.monotonic() if tx.dialect == "sqlite" else asked
            result = lead_writing.write_batch(tx, rows, self._campaign_id, self._clock.utc())
        self._written(result, len(rows), time.monotonic() - began)
