"""What goes wrong between us and the database, told in one line and without secrets or personal data.

It owns the branch of `StoreError` and the reading of driver errors. Statements' parameters and the values
that databases quote in their messages never get into a text made here: a duplicate key names its constraint,
not the number (I17).

    StoreError
    ├── DatabaseAwayError     no connection, locked, full, read-only: the same work may succeed later
    ├── AlreadyLiveError      the person or the number has a live attempt (I3)
    └── AlreadyEndedError     the attempt or leg has ended; it ends once (I2)
"""

from __future__ import annotations

from sqlalchemy import exc

from dialer_core.errors import StoreError

# SQLite's primary result codes that speak of the machine and not of the statement.
_SQLITE_AWAY = frozenset({5, 6, 7, 8, 10, 11, 13, 14, 15, 17, 26})
# BUSY LOCKED NOMEM READONLY IOERR CORRUPT FULL CANTOPEN PROTOCOL SCHEMA NOTADB

_SQLITE_BUSY = 5

# Classes of SQLSTATE: connection, transaction rollback (deadlock), resources, operator intervention, system
# error, lock.
_POSTGRESQL_AWAY = frozenset({"08", "40", "53", "55", "57", "58"})
_READ_ONLY_TRANSACTION = "25006"
# Classes whose messages speak of the connection or the statement and quote no value of a row.
_QUOTABLE = _POSTGRESQL_AWAY | {"25", "28", "3D", "42"}


class DatabaseAwayError(StoreError):
    """The database cannot be reached or cannot write now; the same work may succeed later."""


class AlreadyLiveError(StoreError):
    """The person or the number has a live attempt already (I3); `what` says which."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the {what} of this attempt has a live attempt already; wait for its end")
        self.what = what


class AlreadyEndedError(StoreError):
    """The attempt or leg has ended already; an end is stored once (I2)."""


def is_away(error: exc.SQLAlchemyError) -> bool:
    """Say whether the same work may succeed later: the fault is with the database, not with the statement."""
    if isinstance(error, exc.TimeoutError):  # no connection of the pool came free
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_AWAY
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, exc.OperationalError | exc.InterfaceError)
    return state[:2] in _POSTGRESQL_AWAY or state == _READ_ONLY_TRANSACTION


def is_busy(error: exc.DBAPIError) -> bool:
    """Say whether SQLite is being written to by someone else."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == _SQLITE_BUSY


def violated_constraint(error: exc.IntegrityError) -> str:
    """Return what is violated: a constraint (PostgreSQL) or `table.column` (SQLite); may be empty."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return diagnosis.constraint_name or diagnosis.column_name or ""
    return str(error.orig).partition(": ")[2]


def as_store_error(error: exc.SQLAlchemyError, place: str) -> StoreError:
    """Tell a database error in one line; `place` is the database's URL without its password."""
    if is_away(error):
        return DatabaseAwayError(f"the database {place} is not available: {_first_line(error)}")
    if isinstance(error, exc.IntegrityError):
        constraint = violated_constraint(error) or "a constraint"
        return StoreError(f"the database {place} refused a row: it would break {constraint}")
    return StoreError(f"the database {place} refused a statement: {_first_line(error)}")


def _first_line(error: exc.SQLAlchemyError) -> str:
    origin = getattr(error, "orig", None)
    state = getattr(origin, "sqlstate", None)
    if origin is not None and state is not None and state[:2] not in _QUOTABLE:
        return f"{type(origin).__name__} ({state})"  # such messages may quote a value
    text = str(origin if origin is not None else error).strip()
    return text.splitlines()[0] if text else type(error).__name__
