"""The database: how it is opened, migrated, and how a transaction begins and ends.

It owns engines, connections and their settings. SQLite (WAL, every commit on disk, one writer at a time) and
PostgreSQL by psycopg behave the same to the owner modules. It does not own the group commit of the call loop:
that is the `Journal`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from psycopg.types.string import TextLoader
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from dialer_core.clock import Clock, SystemClock, read_boot_id
from dialer_core.errors import StoreError
from dialer_core.store import audit, events, migrate
from dialer_core.store.errors import DatabaseAwayError, as_store_error, is_busy
from dialer_core.store.prepared import run_plain
from dialer_core.store.tx import Stamp, Tx

BUSY_TIMEOUT_MS = 5_000
"""How long SQLite waits for another process's transaction; bulk jobs keep theirs under 50 ms."""
TURN_POLL_S = 0.001
"""How often whoever is next looks whether the present transaction has ended."""

READING_IDLE_LIMIT_MS = 60_000
"""A transaction in which nothing is asked for so long is ended by PostgreSQL: its process hangs."""
WRITING_IDLE_LIMIT_MS = 10_000
"""The same of one that writes: others wait for what it holds. Less than leases last, so that a node that was stopped in the middle of a commit
keeps nobody from taking its place."""
_POSTGRESQL_LINK = {
    "connect_timeout": 5,
    # a server whose machine is gone answers nothing, not even that it is gone
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_PLANNED_ONCE = ("plan_cache_mode=force_generic_plan", "jit=off")
"""Of writers: they ask for few rows by key, the same way each time. Some were planned anew for each list of values."""

_SQLITE_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA wal_autocheckpoint=4000",  # imports have less, so that they move the log into the file, and no claim (`bulk.prepare`)
)


class Database:
    """One database. Made by `open_database`; threads may share it, processes open their own.

    `node` and `boot_id` are what the events written through `write` carry.
    """

    def __init__(self, writer: Engine, reader: Engine, *, node: str, boot_id: str, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self.node = node
        self.boot_id = boot_id
        self.clock = clock
        self.dialect = writer.dialect.name
        """`sqlite` or `postgresql`."""
        self.place = writer.url.render_as_string(hide_password=True)
        """The URL without its password, for messages."""

    def migrate(self) -> None:
        """Bring the tables to the newest revision; harmless when they are.

        Raises
        ------
        StoreError
            The database is away, or newer than this program.
        """
        with self._translated(), self._writer.connect() as connection:
            migrate.upgrade(connection, self.place)

    def downgrade(self, revision: str) -> None:
        """Take the tables back to a revision (`base`: none are left). For development and tests."""
        with self._translated(), self._writer.connect() as connection:
            migrate.downgrade(connection, revision)

    def require_current(self) -> None:
        """Check that the tables are those of this program.

        Raises
        ------
        StoreError
            The database is away, behind or ahead; the message says what to do.
        """
        with self._translated(), self._reader.connect() as connection:
            migrate.require_current(connection, self.place)

    @contextmanager
    def read(self, limit_s: float | None = None) -> Iterator[Tx]:
        """Open a read transaction: one snapshot, which no writer waits for.

        A statement that takes PostgreSQL longer than the limit is given up as if the database were away; SQLite has nobody else to wait for.
        """
        with self._translated(), self._reader.connect() as connection, connection.begin():
            if limit_s is not None and self.dialect == "postgresql":
                run_plain(connection, f"SET LOCAL statement_timeout = {int(limit_s * 1000)}")
            yield Tx(connection, None)

    @contextmanager
    def write(self, source: str = "host") -> Iterator[Tx]:
        """Open a write transaction, committed at the block's end; a block that raises changes nothing."""
        with self.transaction(Stamp(self.node, source, self.boot_id, self.clock)) as tx:
            yield tx

    @contextmanager
    def rehearse(self, source: str = "host") -> Iterator[Tx]:
        """Open a write transaction that is taken back at the block's end: what would have happened can be told, and nothing did."""
        with self._translated(), self._writer.connect() as connection, connection.begin() as begun:
            yield Tx(connection, Stamp(self.node, source, self.boot_id, self.clock))
            begun.rollback()

    @contextmanager
    def transaction(self, stamp: Stamp) -> Iterator[Tx]:
        """Open a write transaction whose events carry a stamp of one's own (the journal's)."""
        with self._translated(), self._writer.connect() as connection, connection.begin():
            tx = Tx(connection, stamp)
            yield tx
            audit.insert_pending(tx)
            events.insert_pending(tx)

    def dispose(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            # The cause is cut off on purpose: databases quote the values of a row in their messages (I17).
            raise as_store_error(error, self.place) from None


def open_database(
    url: str, *, node: str = "node1", clock: Clock | None = None, boot_id: str | None = None
) -> Database:
    """Open a database by URL; the first use connects.

    Parameters
    ----------
    url
        `sqlite:///FILE` (its folder is made) or `postgresql+psycopg://…`.
    node
        This node's name in the events written through `Database.write`.
    clock
        The machine's, unless a test gives another.
    boot_id
        This boot's, unless a test gives another.

    Raises
    ------
    StoreError
        The URL is not one of the two kinds, or the file or its folder cannot be opened or made.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise StoreError(
            "store.url is not a database URL; use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        ) from None
    place = parsed.render_as_string(hide_password=True)
    kind = parsed.get_backend_name()
    options: dict[str, Any] = {
        "hide_parameters": True,
        "json_serializer": _to_json,
        "json_deserializer": msgspec.json.decode,
    }
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError(
                f"store.url {place} names no file; several processes share the store, so use sqlite:///FILE"
            )
        _make_file(Path(parsed.database))
        writer, reader = create_engine(parsed, **options), create_engine(parsed, **options)
        _prepare_sqlite(
            writer, _begin_in_turn(Path(f"{parsed.database}-turn")), last_pragma="PRAGMA busy_timeout=0"
        )
        _prepare_sqlite(reader, _begin_reading, last_pragma="PRAGMA query_only=ON")
    elif kind == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        options |= {"pool_pre_ping": True}
        writer = create_engine(
            parsed, **options, connect_args=_link(parsed, WRITING_IDLE_LIMIT_MS, *_PLANNED_ONCE)
        )
        event.listen(writer, "connect", _prefer_indexes)
        reader = create_engine(
            parsed,
            **options,
            connect_args=_link(parsed, READING_IDLE_LIMIT_MS),
            execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        )
        for engine in (writer, reader):
            event.listen(engine, "connect", _take_ids_as_text)
    else:
        raise StoreError(
            f"store.url {place}: {kind} is not supported; use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        )
    return Database(
        writer, reader, node=node, boot_id=boot_id or read_boot_id(), clock=clock or SystemClock()
    )


def _link(url: URL, idle_limit_ms: int, *more: str) -> dict[str, Any]:
    settings = ("timezone=UTC", f"idle_in_transaction_session_timeout={idle_limit_ms}", *more)
    session = " ".join(f"-c {one}" for one in settings)
    return _POSTGRESQL_LINK | {"options": f"{url.query.get('options', '')} {session}"}


def _to_json(value: object) -> str:
    # msgspec writes NaN and infinities as null, which PostgreSQL's json would refuse
    return msgspec.json.encode(value).decode()


def _make_file(file: Path) -> None:
    """Make an absent database's folder and file, for our eyes only: it will hold people's data. SQLite's other files follow it."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            f"cannot open or make the database {file}: {error.strerror}; choose another store.url or node.state_dir"
        ) from None


def _prefer_indexes(dbapi_connection: Any, _record: object) -> None:
    """Let writers go by indexes wherever there is one.

    They ask for few rows by key. Where PostgreSQL has not counted a young table yet, it takes it for empty and walks through it whole, for
    each claim and each foreign key: milliseconds, and more with every attempt.
    """
    dbapi_connection.execute("SET enable_seqscan = off")
    dbapi_connection.commit()


def _take_ids_as_text(dbapi_connection: Any, _record: object) -> None:
    """Let the driver give ids as the text they come in: an object of each would be made to be taken apart again."""
    dbapi_connection.adapters.register_loader("uuid", TextLoader)


def _prepare_sqlite(engine: Engine, begin: Callable[[Connection], None], *, last_pragma: str) -> None:
    """Take transactions into our own hands: the driver would begin late, and never for reading."""

    def set_up(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None
        for pragma in (*_SQLITE_PRAGMAS, last_pragma):
            _run_pragma(dbapi_connection, pragma)

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)


def _run_pragma(dbapi_connection: Any, pragma: str) -> None:
    """Run a pragma. Where a new file is made WAL by several at once, SQLite says `locked` without asking its busy handler: we wait ourselves."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            dbapi_connection.execute(pragma)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(TURN_POLL_S)
        else:
            return


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_in_turn(turn_file: Path) -> Callable[[Connection], None]:
    """Return a BEGIN IMMEDIATE under which no process starves another.

    SQLite itself lets whoever asks at the right moment write, and a job that writes one transaction after the
    other asks at the right moment always: beside one, the journal was seen to wait for seconds. So whoever
    waits to write holds a turnstile, and a second transaction of the same job stands behind it.
    """

    def begin(connection: Connection) -> None:
        try:
            turnstile = os.open(turn_file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DatabaseAwayError(
                f"cannot write beside the database: {turn_file}: {error.strerror}"
            ) from None
        try:
            fcntl.flock(turnstile, fcntl.LOCK_EX)
            deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
            while True:
                try:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                except exc.OperationalError as error:
                    if not is_busy(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(TURN_POLL_S)
                else:
                    return
        finally:
            os.close(turnstile)  # and let the next one through

    return begin
