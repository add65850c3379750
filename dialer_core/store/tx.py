"""One transaction as the owner modules see it.

It owns the connection of one transaction and the events and audit entries waiting to be written with it. It owns neither
commit nor rollback (the `Database` and the `Journal` do) nor their tables (`store/events.py` and `store/audit.py` give them their numbers,
just before the commit).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, overload

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.exc import SQLAlchemyError

from dialer_core.clock import Clock
from dialer_core.errors import StoreError
from dialer_core.events import Event
from dialer_core.store.errors import DatabaseAwayError
from dialer_core.store.prepared import Prepared, Rows, run_plain

AUDIT_NAME_MAX: Final = 64
"""Characters that the audit table holds of a subject and of an actor."""
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose events a transaction writes: the log is ordered by (node, source, seq)."""

    node: str
    source: str
    boot_id: str
    clock: Clock


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that waits for its number."""

    event: Event
    at_utc: dt.datetime
    at_mono_ns: int


@dataclass(frozen=True, slots=True)
class PendingAudit:
    """Something to be accounted for that waits for its place in the chain."""

    action: str
    subject: str
    actor: str
    data: Mapping[str, Any]


class Tx:
    """A transaction: statements and events that are committed together or not at all.

    Parameters
    ----------
    connection
        A connection whose transaction has begun.
    stamp
        Whose events this writes; None in a read transaction, which may not emit.
    """

    __slots__ = ("_depth", "audited", "connection", "dialect", "last_seq", "pending", "stamp")

    def __init__(self, connection: Connection, stamp: Stamp | None) -> None:
        self.connection = connection
        self.stamp = stamp
        self.dialect = connection.dialect.name
        """`sqlite` or `postgresql`."""
        self.pending: list[PendingEvent] = []
        self.audited: list[PendingAudit] = []
        self._depth = 0
        self.last_seq = 0
        """Number of the last event written in this transaction; 0 while there is none."""

    @overload
    def execute(self, stmt: Prepared, params: Parameters | None = None) -> Rows: ...
    @overload
    def execute(self, stmt: Executable, params: Parameters | None = None) -> CursorResult[Any]: ...
    def execute(
        self, stmt: Executable | Prepared, params: Parameters | None = None
    ) -> CursorResult[Any] | Rows:
        """Run a statement; a sequence of parameters runs it once for each."""
        if isinstance(stmt, Prepared):
            return stmt.execute(self.connection, params or {})
        return self.connection.execute(stmt, params)

    def scalar(self, stmt: Executable | Prepared, params: Mapping[str, Any] | None = None) -> Any:
        """Return the first column of the first row, or None."""
        if isinstance(stmt, Prepared):
            first = stmt.execute(self.connection, params or {}).first()
            return None if first is None else first[0]
        return self.connection.scalar(stmt, params)

    def scalars(self, stmt: Executable | Prepared, params: Mapping[str, Any] | None = None) -> Iterable[Any]:
        """Return the first column of every row."""
        if isinstance(stmt, Prepared):
            return [row[0] for row in stmt.execute(self.connection, params or {})]
        return self.connection.scalars(stmt, params)

    def utc(self) -> dt.datetime:
        """Return the time now by the transaction's clock."""
        return self._writing_stamp().clock.utc()

    def emit(self, *events: Event) -> None:
        """Write events with this transaction. One that carries no `at_mono_ns` happened now.

        Raises
        ------
        StoreError
            This is a read transaction.
        """
        clock = self._writing_stamp().clock
        now_utc, now_mono_ns = clock.utc(), clock.mono_ns()
        for event in events:
            at_mono_ns = event.at_mono_ns or now_mono_ns
            age = dt.timedelta(microseconds=(now_mono_ns - at_mono_ns) / 1000)
            self.pending.append(PendingEvent(event, now_utc - age, at_mono_ns))

    def audit(self, action: str, subject: str, *, actor: str = "", **data: Any) -> None:
        """Account for something with this transaction (`store/audit.py`).

        Parameters
        ----------
        action
            What was done: `restriction.added`.
        subject
            The row it was done to: `person ID`. Ids only, nothing personal.
        actor
            Who did it: `agent:ana`; by default the part of ours that writes.
        **data
            Ids and numbers, as JSON holds them.

        Raises
        ------
        StoreError
            This is a read transaction.
        """
        self._writing_stamp()
        # PostgreSQL takes no longer ones, and names of agents and tokens have no bound
        self.audited.append(PendingAudit(action, subject[:AUDIT_NAME_MAX], actor[:AUDIT_NAME_MAX], data))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what was done inside, events too, if the block raises; the transaction itself goes on.

        PostgreSQL needs it around whatever may fail and be passed over: without it, the first error ends the
        transaction.
        """
        # Plain statements: the library's own savepoints are compiled anew each time, at many times the cost.
        name = f"unit_{self._depth}"
        mark, audit_mark = len(self.pending), len(self.audited)
        run_plain(self.connection, f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
        except BaseException:
            del self.pending[mark:]
            del self.audited[audit_mark:]
            try:
                run_plain(self.connection, f"ROLLBACK TO SAVEPOINT {name}")
                run_plain(self.connection, f"RELEASE SAVEPOINT {name}")
            except SQLAlchemyError:
                # a full disk, for one, ends the whole transaction and the savepoint with it
                raise DatabaseAwayError(
                    "the transaction was lost in the middle; nothing of it was stored"
                ) from None
            raise
        else:
            run_plain(self.connection, f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1

    def _writing_stamp(self) -> Stamp:
        if self.stamp is None:
            raise StoreError("a read transaction cannot write or emit events; open it with write()")
        return self.stamp
