"""The journal: how the call loop writes without ever waiting for a disk.

It owns one writer thread and its queue. A unit of work is submitted on the loop, runs on the thread, and is
committed with whatever else has come in meanwhile (group commit); its future is resolved on the loop after
the commit, so "done" means "on disk". It does not own what is written (the owner modules) nor when an INVITE
may leave (`calls/`).

What a unit may rely on, and what it must keep:

- Units take effect in the order of their submission, and one that raises fails alone, its events with it: its group is
  undone and run again, each unit in a savepoint of its own (which costs two statements, and most groups do not need).
- A unit may run more than once, then and when the database goes away in the middle: it must touch nothing but its
  transaction.
- While the database is away, units wait in order and nothing is dropped; `healthy` is False, and `backlog`
  and `oldest_wait_s` grow.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dialer_core.clock import Clock
from dialer_core.errors import StoreError
from dialer_core.events import Event
from dialer_core.store import audit
from dialer_core.store import events as event_log
from dialer_core.store.database import Database
from dialer_core.store.errors import DatabaseAwayError, as_store_error, is_away
from dialer_core.store.tx import Stamp, Tx

T = TypeVar("T")

GROUP_WINDOW_NS = 5_000_000
"""A transaction takes in new units for so long at most; it is committed as soon as none is waiting."""
GROUP_MAX_UNITS = 500
GROUP_EVERY_S = 0.01
"""Shortest time between the beginnings of two transactions: what comes in sooner is committed together. A unit after a pause does not wait."""
GROUP_FULL_UNITS = 20
"""So many waiting units are worth a transaction at once."""
RETRY_FIRST_S = 0.02
RETRY_MAX_S = 1.0
BEHIND_S = 1.0
"""A unit that the store has not taken for so long: the journal is behind."""
HIGH_MARK_UNITS = 2_000
"""So many units waiting: the journal is behind, until they are down to the low mark."""
LOW_MARK_UNITS = 200

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Unit:
    work: Callable[[Tx], Any]
    events: tuple[Event, ...]
    future: asyncio.Future[Any]
    submitted_ns: int
    result: Any = None
    error: Exception | None = None


def _nothing(_tx: Tx) -> None:
    """The work of `append`: events alone."""


class Journal:
    """The engine's writer.

    Parameters
    ----------
    database
        Where to.
    node, source, boot_id
        Whose events these are.
    clock
        Stamps events that carry no time of their own.
    inline
        Run each unit at once, on the caller's thread, and return a future that is done: for tests on a
        virtual clock.
    """

    def __init__(
        self,
        database: Database,
        *,
        node: str,
        source: str = "engine",
        boot_id: str,
        clock: Clock,
        inline: bool = False,
    ) -> None:
        self._database = database
        self._stamp = Stamp(node, source, boot_id, clock)
        self._queue: SimpleQueue[_Unit | None] = SimpleQueue()
        self._callbacks: list[tuple[asyncio.AbstractEventLoop, Callable[[int], None]]] = []
        self._submitted = 0
        self._settled = 0
        self._oldest_ns = 0
        self._healthy = True
        self._over_mark = False
        self._last_seq = 0
        self._at_end = False
        self._closing = False
        self._give_up = threading.Event()
        self._thread: threading.Thread | None = None
        if not inline:
            self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
            self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the last transaction was committed; nothing new is dialed while it was not."""
        return self._healthy

    @property
    def backlog(self) -> int:
        """Units submitted and not yet settled."""
        return self._submitted - self._settled

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest unit of the present transaction has waited; 0 when there is none."""
        oldest_ns = self._oldest_ns
        return (time.monotonic_ns() - oldest_ns) / 1e9 if oldest_ns else 0.0

    @property
    def behind(self) -> bool:
        """Whether nothing new should be begun: commits fail, take too long, or too many units wait for them."""
        self._over_mark = self.backlog > (LOW_MARK_UNITS if self._over_mark else HIGH_MARK_UNITS)
        return not self._healthy or self._over_mark or self.oldest_wait_s > BEHIND_S

    def submit(self, work: Callable[[Tx], T], *events: Event) -> asyncio.Future[T]:
        """Queue a unit of work; `events` are written with it, after those it emits itself.

        Called on a running loop; the future is resolved there after the commit, with what `work` returned or
        raised.

        Raises
        ------
        StoreError
            The journal is closed.
        """
        if self._closing:
            raise StoreError("the journal is closed; nothing more can be written")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        unit = _Unit(work, events, future, time.monotonic_ns())
        self._submitted += 1
        if self._thread is None:
            self._commit([unit])
            self._settle([unit])
        else:
            self._queue.put(unit)
        return future

    def append(self, *events: Event) -> asyncio.Future[None]:
        """Queue events that report no row of their own."""
        return self.submit(_nothing, *events)

    def on_committed(self, callback: Callable[[int], None]) -> None:
        """Call `callback(seq)` on this running loop after each commit of events; `seq` is the last."""
        self._callbacks.append((asyncio.get_running_loop(), callback))

    def close(self, timeout_s: float | None = None) -> bool:
        """Commit what is queued and stop. Blocks: call it from a thread, or when the loop has nothing to do.

        Returns
        -------
        bool
            Whether everything was committed. With a time limit, units that a database kept away has not taken
            by then fail with `StoreError`, and their number is logged.
        """
        if self._closing or self._thread is None:
            self._closing = True
            return self.backlog == 0
        self._closing = True
        self._queue.put(None)
        self._thread.join(timeout_s)
        self._give_up.set()
        self._thread.join()
        return self.backlog == 0

    # --- the writer thread
    # ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        begun_s = 0.0
        while (first := self._queue.get()) is not None:
            group = [first]
            self._oldest_ns = first.submitted_ns
            early_s = begun_s + GROUP_EVERY_S - time.monotonic()
            if early_s > 0 and not self._closing and self._queue.qsize() < GROUP_FULL_UNITS:
                time.sleep(early_s)
            begun_s = time.monotonic()
            if not self._commit_until_done(group):
                self._refuse(group)
                return
            self._oldest_ns = 0
            self._settle(group)
            if self._at_end:
                return

    def _commit_until_done(self, group: list[_Unit]) -> bool:
        """Commit a group, however long the database is away; False if told to give up before that."""
        delay_s = RETRY_FIRST_S
        while True:
            try:
                self._commit(group)
            except DatabaseAwayError as error:
                if self._healthy:
                    _log.error(
                        "journal_database_away",
                        node=self._stamp.node,
                        source=self._stamp.source,
                        error=str(error),
                    )
                self._healthy = False
                if self._give_up.wait(delay_s):
                    return False
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            else:
                if not self._healthy:
                    _log.info(
                        "journal_database_back",
                        node=self._stamp.node,
                        source=self._stamp.source,
                        backlog=self.backlog,
                    )
                self._healthy = True
                return True

    def _commit(self, group: list[_Unit]) -> None:
        """Commit a group in one transaction; units that raised carry their error afterwards.

        Raises
        ------
        DatabaseAwayError
            Nothing of the group is in the database; all of it may be tried again.
        """
        try:
            self._transact(group, growing=self._thread is not None, apart=False)
        except DatabaseAwayError:
            raise
        except Exception as error:  # noqa: BLE001 - a unit's, or its events': find whose
            _log.info(
                "journal_group_retried", node=self._stamp.node, units=len(group), error=type(error).__name__
            )
            try:
                self._transact(group, growing=False, apart=True)
            except DatabaseAwayError:
                raise
            except Exception as last_error:  # noqa: BLE001 - handed to the futures; the thread lives on
                for unit in group:
                    unit.error = last_error

    def _transact(self, group: list[_Unit], *, growing: bool, apart: bool) -> None:
        with self._database.transaction(self._stamp) as tx:
            # from here: what came in while we waited to begin belongs to this group
            deadline_ns = time.monotonic_ns() + GROUP_WINDOW_NS
            for unit in group:  # the list grows under the loop
                if apart:
                    self._run_apart(tx, unit)
                else:
                    unit.error = None
                    unit.result = unit.work(tx)
                    tx.emit(*unit.events)
                if (
                    growing
                    and unit is group[-1]
                    and len(group) < GROUP_MAX_UNITS
                    and time.monotonic_ns() < deadline_ns
                ):
                    self._take_next(group)
        self._last_seq = tx.last_seq

    def _take_next(self, group: list[_Unit]) -> None:
        if self._at_end:
            return
        try:
            unit = self._queue.get_nowait()
        except Empty:
            return
        if unit is None:
            self._at_end = True
        else:
            group.append(unit)

    def _run_apart(self, tx: Tx, unit: _Unit) -> None:
        unit.error = None
        try:
            with tx.savepoint():
                unit.result = unit.work(tx)
                tx.emit(*unit.events)
                audit.insert_pending(tx)
                event_log.insert_pending(tx)
        except DatabaseAwayError:
            raise
        except SQLAlchemyError as error:
            if is_away(error):
                raise
            unit.error = as_store_error(error, self._database.place)
        except Exception as error:  # noqa: BLE001 - it is the unit's own, and goes to its future
            unit.error = error

    # --- telling the loop
    # ----------------------------------------------------------------------------------------------

    def _settle(self, group: list[_Unit]) -> None:
        self._settled += len(group)
        if self._thread is None:
            _resolve(group)
            for _, callback in self._callbacks if self._last_seq else ():
                callback(self._last_seq)
            return
        for loop, units in groupby(group, key=lambda unit: unit.future.get_loop()):
            self._call(loop, _resolve, list(units))
        for loop, callback in self._callbacks if self._last_seq else ():
            self._call(loop, callback, self._last_seq)

    def _call(self, loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
        try:
            loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop was closed while its units were being written; they are committed
            _log.warning("journal_loop_gone", node=self._stamp.node, source=self._stamp.source)

    def _refuse(self, group: list[_Unit]) -> None:
        """Fail what the database did not take before the journal had to close."""
        while (unit := self._queue.get()) is not None:
            group.append(unit)
        _log.error(
            "journal_closed_unwritten", node=self._stamp.node, source=self._stamp.source, units=len(group)
        )
        for unit in group:
            unit.error = StoreError("the database was away until the journal closed; this was not written")
        for loop, units in groupby(group, key=lambda unit: unit.future.get_loop()):
            self._call(loop, _resolve, list(units))


def _resolve(units: list[_Unit]) -> None:
    for unit in units:
        if unit.future.cancelled():
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.result)
