"""Many new rows of one table at once, as fast as the database takes them: COPY on PostgreSQL, one prepared statement on SQLite.

It owns the writing of values in each database's own form, which SQLAlchemy would do value by value at several times the cost. Rows are
given complete and correct: what they mean and which columns they have is the owner modules'.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import JSON, Table, exc

from dialer_core.store.columns import Id, UtcDateTime
from dialer_core.store.tx import Tx

CACHE_KIB = 200_000
_LOG_PAGES = 2_000
_Writer = Callable[[Any], Any]


def prepare(tx: Tx) -> None:
    """Make a connection ready for a long run of inserts: room for the indexes' pages, and the moving of the log into the file its own work.

    On SQLite whoever commits with a long log moves it; with a shorter bound than everybody else's the import does, and no claim waits for it.
    """
    if tx.dialect == "sqlite":
        tx.connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")
        tx.connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")


def finish(tx: Tx, *tables: str) -> None:
    """Let PostgreSQL count anew what stands in tables that have grown: by its old numbers it walks through them whole."""
    if tx.dialect == "postgresql":
        tx.connection.exec_driver_sql(f"ANALYZE {', '.join(tables)}")


def insert(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, all with the same columns in the same order.

    Raises
    ------
    SQLAlchemyError
        A row breaks a constraint, or the database is away; the transaction is spoilt.
    """
    if rows:
        columns = tuple(rows[0])
        insert_values(tx, table, columns, list(map(itemgetter(*columns), rows)))


def insert_values(tx: Tx, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose values stand in the order of these columns; errors as `insert`."""
    if rows:
        write = _copy if tx.dialect == "postgresql" else _execute
        write(tx, table, columns, rows)


def _execute(tx: Tx, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    # ids lose their dashes in the database's own code, at a tenth of what it costs here
    marks = ", ".join(
        "replace(?, '-', '')" if isinstance(table.c[name].type, Id) else "?" for name in columns
    )
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of ours
    tx.connection.exec_driver_sql(statement, _written(rows, _writers(table, columns, "sqlite")))


def _copy(tx: Tx, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    dialect, link = tx.connection.dialect, tx.connection.connection
    cursor: Any = link.cursor()
    statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"
    try:
        with cursor.copy(statement) as copy:
            for row in _written(rows, _writers(table, columns, "postgresql")):
                copy.write_row(row)
    except dialect.loaded_dbapi.Error as error:
        gone = dialect.is_disconnect(error, link.driver_connection, cursor)
        raise exc.DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        ) from None
    finally:
        cursor.close()


def _written(
    rows: Sequence[tuple[Any, ...]], writers: Sequence[tuple[int, _Writer]]
) -> Sequence[tuple[Any, ...]]:
    if not writers:
        return rows
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for index, write in writers:
        columns[index] = [None if value is None else write(value) for value in columns[index]]
    return list(zip(*columns, strict=True))


@lru_cache(maxsize=64)
def _writers(table: Table, columns: tuple[str, ...], dialect: str) -> tuple[tuple[int, _Writer], ...]:
    """Return which columns are written how, as the models read them: on SQLite, times without their zone."""
    kinds: dict[type, _Writer] = {JSON: _json}
    if dialect == "sqlite":
        kinds[UtcDateTime] = _time
    return tuple(
        (index, write)
        for index, name in enumerate(columns)
        for kind, write in kinds.items()
        if isinstance(table.c[name].type, kind)
    )


@lru_cache(maxsize=1024)
def _time(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
