"""`kind = "sql"`: a database of the customer's, by any URL of SQLAlchemy's. Nothing in ours is touched by it.

It owns reading by a column that grows, and writing rows by a key of theirs. Every call runs in a thread.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, MetaData, String, Table, and_, create_engine, or_, select, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    InvalidRequestError,
    NoSuchModuleError,
    NoSuchTableError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.types import NullType

from plugins.crm.connection_settings import SqlSettings
from plugins.crm.connector import OK, AwayError, LoginError, MappingError, Outgoing, Page, Written
from plugins.crm.mapping import paths_of
from plugins.crm.records import as_text, kept, moment
from plugins.crm.settings import AccountsSettings

T = TypeVar("T")
_AWAY = (OperationalError, InterfaceError, InternalError)


class SqlConnector:
    """A database.

    Parameters
    ----------
    its
        The connection.
    url
        SQLAlchemy's, with its password.
    """

    def __init__(self, its: SqlSettings, url: str) -> None:
        self._its = its
        self._tables: dict[str, Table] = {}
        try:
            # threads of its own: a database that answers nothing keeps one for as long, and the host has few
            self._reading, self._writing = (ThreadPoolExecutor(1, f"crm-sql-{one}") for one in ("in", "out"))
            self._engine: Engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
            raise LoginError(
                f"the URL is none that SQLAlchemy understands, or its driver is not installed ({type(error).__name__})"
            ) from None

    async def close(self) -> None:
        """Close the connections; what hangs is not waited for."""
        for one in (self._reading, self._writing):
            one.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._engine.dispose)

    async def check(self) -> None:
        """Ask for nothing."""

        def ask() -> None:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))

        await self._do(ask, "the database")

    async def fields_of(self, source: str) -> set[str] | None:
        """Return a table's or view's columns."""
        return set((await self._do(lambda: self._table(source), source)).c.keys())

    async def read(self, its: AccountsSettings, since: Any, resume: str | None) -> AsyncGenerator[Page, None]:
        """Yield pages in the order of the growing column and the key, each behind the last row of the one before."""
        after = json.loads(resume) if resume else None
        while True:
            rows = await self._do(partial(self._page, its, since, after), its.source)
            whole = len(rows) < self._its.page_rows
            if rows:
                after = [kept(rows[-1][its.modified]) if its.modified else None, rows[-1][its.key]]
            yield Page(rows, None if whole else json.dumps(after, default=str))
            if whole:
                return

    async def write(self, batch: Sequence[Outgoing]) -> list[Written]:
        """Write all in one transaction; where the database refuses one of them, each in its own."""
        try:
            return await self._do(lambda: self._all(batch), "the database", writes=True)
        except MappingError:
            return [await self._one(one) for one in batch]

    async def _one(self, one: Outgoing) -> Written:
        try:
            return (await self._do(lambda: self._all([one]), one.target, writes=True))[0]
        except MappingError as error:
            return Written("refused", str(error))

    def _all(self, batch: Sequence[Outgoing]) -> list[Written]:
        with self._engine.begin() as connection:
            return [self._upsert(connection, one) for one in batch]

    def _upsert(self, connection: Connection, one: Outgoing) -> Written:
        table = self._table(one.target)
        if unknown := [name for name in (*one.fields, one.its.key) if name not in table.c]:
            return Written("refused", f"{one.target} has no column {unknown[0]!r}")
        row = {
            name: as_text(value) if value is not None and _is_text(table.c[name]) else value
            for name, value in one.fields.items()
        }
        mine = table.c[one.its.key] == one.id
        changed = connection.execute(table.update().where(mine).values(**row)).rowcount if one.fields else 0
        if (
            changed
            or connection.execute(select(table.c[one.its.key]).where(mine).limit(1)).first() is not None
        ):
            return OK
        if not one.its.create:
            return Written("refused", f"{one.target} has no row of this id")
        connection.execute(table.insert().values({one.its.key: one.id} | row))
        return OK

    def _page(self, its: AccountsSettings, since: Any, after: Sequence[Any] | None) -> list[dict[str, Any]]:
        table = self._table(its.source)
        names = {*paths_of(its).values(), *(name for name in (its.modified, *its.also_modified) if name)}
        if unknown := sorted(names - set(table.c.keys())):
            raise MappingError(
                f"{its.source} has no column {unknown[0]!r}; it has: {', '.join(table.c.keys())}"
            )
        key = table.c[its.key]
        order = [table.c[its.modified], key] if its.modified else [key]
        query = select(*(table.c[name] for name in sorted(names))).order_by(*order).limit(self._its.page_rows)
        if its.where:
            query = query.where(text(f"({its.where})"))
        if since is not None and its.modified:
            query = query.where(
                or_(
                    *(
                        table.c[name] >= _bound(table.c[name], since)
                        for name in (its.modified, *its.also_modified)
                    )
                )
            )
        if after is not None:
            query = query.where(_behind(table, its, after))
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _table(self, name: str) -> Table:
        if name not in self._tables:
            schema, _, plain = name.rpartition(".")
            try:
                self._tables[name] = Table(
                    plain, MetaData(), schema=schema or None, autoload_with=self._engine
                )
            except NoSuchTableError:
                raise MappingError(f"there is no table {name!r} in the database") from None
        return self._tables[name]

    async def _do(self, work: Callable[[], T], what: str, *, writes: bool = False) -> T:
        """Do something in the thread of its direction. What is late may come yet: the next waits behind it, so that no row is written twice."""
        thread = self._writing if writes else self._reading
        try:
            return await asyncio.wait_for(asyncio.wrap_future(thread.submit(work)), self._its.timeout_s)
        except TimeoutError as error:
            raise AwayError(f"{what}: no answer in {self._its.timeout_s:g} s") from error
        except ProgrammingError as error:
            raise MappingError(f"{what}: {_words(error)}") from None
        except _AWAY as error:
            # SQLite says of a wrong condition what others say of a connection that is lost
            if any(word in str(error.orig) for word in ("no such", "syntax error")):
                raise MappingError(f"{what}: {_words(error)}") from None
            raise AwayError(f"{what}: {_words(error)}") from None
        except (DBAPIError, InvalidRequestError, SQLAlchemyError) as error:
            raise MappingError(f"{what}: {_words(error)}") from None


def _behind(table: Table, its: AccountsSettings, after: Sequence[Any]) -> Any:
    key = table.c[its.key]
    if not its.modified:
        return key > after[1]
    grown = table.c[its.modified]
    last = after[0] if _is_text(grown) else moment(after[0])
    return or_(grown > last, and_(grown == last, key > after[1]))


def _bound(column: ColumnElement[Any], since: Any) -> Any:
    """Return a moment as a column compares it: where times are text, one that stands before every way to write it."""
    if _is_text(column):
        return str(kept(since)).replace("T", " ")
    return since.replace(tzinfo=None) if isinstance(since, dt.datetime) and not _aware(column) else since


def _is_text(column: ColumnElement[Any]) -> bool:
    """Say whether a column holds text; one without a type, as SQLite has them, does."""
    return isinstance(column.type, String | NullType)


def _aware(column: ColumnElement[Any]) -> bool:
    return bool(getattr(column.type, "timezone", False))


def _words(error: SQLAlchemyError) -> str:
    """Return the database's words, without the statement and its values."""
    return str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0][:200]
