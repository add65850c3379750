"""Statements that are compiled once: what every attempt runs a dozen times.

It owns the way of such a statement past the library's per-call work (parameters, caches, result objects: 0.1 ms each time, of which the driver
and the database need a tenth): SQL text, the parameters' conversions and the rows' conversions are worked out once per dialect and reused. It
owns no statement (the owner modules write them, with the library's words), no transaction and no connection.

A list given for an expanding parameter (`IN`) is filled up with its last value to the next power of two, so that few texts are made of
one statement.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Executable, Insert, Select, exc
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import visitors

_Convert = Callable[[Any], Any] | None


class Rows:
    """What a prepared statement returned: every row, fetched."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        """Rows that matched, of a statement that changes some."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> Sequence[Any]:
        """Return every row: a tuple with the columns' names."""
        return self._rows

    def first(self) -> Any:
        """Return the first row, or None."""
        return self._rows[0] if self._rows else None


@dataclass(frozen=True, slots=True)
class _Bind:
    """Where one parameter's value comes from."""

    name: str
    """As the text names it; of no meaning where parameters go by position."""
    key: str | None
    """In what the caller gives; None: `value` is the statement's own."""
    index: int | None
    """Which of a list's."""
    value: Any
    convert: _Convert

    def of(self, given: Mapping[str, Any]) -> Any:
        if self.key is None:
            return self.value
        value = given[self.key] if self.index is None else given[self.key][self.index]
        return value if self.convert is None else self.convert(value)


class _Text:
    """A statement for one dialect, one set of columns and one length of every list."""

    __slots__ = ("_binds", "_columns", "_dialect", "_make", "_positional", "_selected", "sql")

    def __init__(
        self, statement: Any, dialect: Dialect, columns: Collection[str] | None, lists: Mapping[str, int]
    ) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        if missing := [column.name for column in compiled.insert_prefetch]:
            raise exc.CompileError(f"a prepared INSERT needs every column with a default; missing: {missing}")
        asked = {bind.key: None for bind in compiled.binds.values() if bind.required and not bind.expanding}
        state = compiled.construct_expanded_state(
            asked | {name: [None] * length for name, length in lists.items()}
        )
        of_list = {
            one: (name, index)
            for name, several in state.parameter_expansion.items()
            for index, one in enumerate(several)
        }
        self.sql: str = state.statement
        self._positional: bool = compiled.positional
        self._binds: list[_Bind] = []
        for name in state.positiontup if self._positional else state.parameters:
            base, index = of_list.get(name, (name, None))
            bind = compiled.binds[base]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if index is not None or bind.required:
                self._binds.append(_Bind(name, bind.key, index, None, convert))
            else:
                value = state.parameters[name]
                self._binds.append(
                    _Bind(name, None, None, value if convert is None else convert(value), None)
                )
        self._dialect = dialect
        self._selected = list(statement.selected_columns) if isinstance(statement, Select) else []
        row = namedtuple("Row", [str(one.key) for one in self._selected], rename=True)  # type: ignore[misc]  # noqa: PYI024 - columns known now only
        self._make = row._make
        self._columns: list[_Convert] | None = None

    def values(self, given: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
        """Return the driver's parameters."""
        if self._positional:
            return [bind.of(given) for bind in self._binds]
        return {bind.name: bind.of(given) for bind in self._binds}

    def fetch(self, cursor: Any) -> Rows:
        """Return what a cursor has."""
        if not self._selected:
            return Rows((), cursor.rowcount)
        make, rows = self._make, cursor.fetchall()
        columns = self._columns
        if columns is None:  # what the database calls a column's type is known now
            columns = self._columns = [
                one.type.dialect_impl(self._dialect).result_processor(self._dialect, told[1])
                for one, told in zip(self._selected, cursor.description, strict=True)
            ]
        if not any(columns):
            return Rows([make(row) for row in rows], len(rows))
        return Rows(
            [
                make([value if convert is None else convert(value) for convert, value in zip(columns, row, strict=True)])
                for row in rows
            ],
            len(rows),
        )  # fmt: skip


class Prepared:
    """A statement, compiled when it first runs. `Tx.execute` takes it like any other.

    An INSERT is given every column it writes; what it is given decides its columns.
    """

    __slots__ = ("_by_columns", "_lists", "_texts", "statement")

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._by_columns = isinstance(statement, Insert) and statement.select is None
        self._lists = _expanding(statement)
        self._texts: dict[tuple[Any, ...], _Text] = {}

    def execute(
        self, connection: Connection, params: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Rows:
        """Run it on a connection whose transaction has begun; a sequence of parameters runs it once for each.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            As the library's own `Connection.execute` does.
        """
        if isinstance(params, Mapping):
            several, first = None, params
            if self._lists:
                first = {**first, **{name: _filled(first[name]) for name in self._lists}}
        else:
            several, first = params, params[0]
        text = self._text(connection.dialect, first)
        values: Any
        try:
            values = text.values(first) if several is None else [text.values(one) for one in several]
        except (KeyError, TypeError, ValueError) as error:
            raise exc.StatementError(str(error), text.sql, None, error, hide_parameters=True) from error
        cursor = connection.connection.cursor()
        try:
            if several is None:
                cursor.execute(text.sql, values)
            else:
                cursor.executemany(text.sql, values)
            return text.fetch(cursor)
        except connection.dialect.loaded_dbapi.Error as error:
            raise _translated(connection, text.sql, error) from error
        finally:
            cursor.close()

    def _text(self, dialect: Dialect, given: Mapping[str, Any]) -> _Text:
        columns = tuple(given) if self._by_columns else None
        lists = {name: len(given[name]) for name in self._lists}
        key = (dialect.name, columns, *lists.values())
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text(self.statement, dialect, columns, lists)
        return text


def run_plain(connection: Connection, sql: str) -> None:
    """Run SQL without parameters or rows (a savepoint's): nothing of it is worth the library's way."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _translated(connection, sql, error) from error
    finally:
        cursor.close()


def _expanding(statement: Any) -> tuple[str, ...]:
    found = (one for one in visitors.iterate(statement) if isinstance(one, BindParameter) and one.expanding)
    return tuple(dict.fromkeys(one.key for one in found))


def _filled(values: Collection[Any]) -> list[Any]:
    found = list(values)
    if not found:
        return found
    return found + [found[-1]] * ((1 << (len(found) - 1).bit_length()) - len(found))


def _translated(connection: Connection, sql: str, error: Any) -> Exception:
    """Return a driver's error as the library tells it, and give up a connection that is lost."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection, None)
    told: Exception = exc.DBAPIError.instance(
        sql, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, connection_invalidated=lost, dialect=dialect
    )  # fmt: skip
    if lost:
        connection.invalidate(error)
    return told
