"""Statements that are compiled once: what every attempt runs a dozen times.

It owns the way of such a statement past the library's per-call work (parameters, caches, result objects: 0.1 ms each time, of which the driver
and the database need a tenth): SQL text, the parameters' conversions and the rows' conversions are worked out once per dialect and reused. It
owns no statement (the owner modules write them, with the library's words), no transaction and no connection.

A list given for an expanding parameter (`IN`) is an array on PostgreSQL; on SQLite it is filled up with its last value to the next power of
two. So few texts are made of one statement. Many rows given to an INSERT or UPDATE are one statement on PostgreSQL (`records.py`), whose
rows come and go in their turn on SQLite, where that costs nothing.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Executable, Insert, Select, exc
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import visitors

from dialer_core.store import records
from dialer_core.store.records import Records


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


_IN_LIST = re.compile(r"(?P<negated>NOT )?IN \(__\[POSTCOMPILE_(?P<name>\w+)\]\)")
_Convert = Callable[[Any], Any]


class _Text:
    """A statement for one dialect, one set of columns and one length of every list."""

    __slots__ = (
        "_arrays",
        "_converted", "_converting", "_dialect", "_fixed", "_given", "_keys", "_lists", "_make", "_pick", "_positional", "_selected", "sql",
    )  # fmt: skip

    def __init__(
        self, statement: Any, dialect: Dialect, columns: Collection[str] | None, lists: Mapping[str, int]
    ) -> None:
        compiled = _compiled(statement, dialect, columns)
        asked = {bind.key: None for bind in compiled.binds.values() if bind.required and not bind.expanding}
        self._arrays: dict[str, _Convert | None] = {}
        if arrays := dialect.name == "postgresql" and bool(lists):
            lists = dict.fromkeys(lists, 1)
        state = compiled.construct_expanded_state(
            asked | {name: [None] * length for name, length in lists.items()}
        )
        expansion = state.parameter_expansion
        of_list = {one: name for name, several in expansion.items() for one in several}
        self._positional: bool = compiled.positional
        names = list(state.positiontup if self._positional else state.parameters)
        self.sql: str = state.statement
        if arrays:
            self.sql = self._with_arrays(compiled, dialect)
            names = [name for name in names if name not in of_list]
            expansion, of_list = {}, {}
        # Values are merged by their name in the text, picked in its order, and those whose type asks for it converted.
        self._fixed: dict[str, Any] = {}
        self._given: dict[str, str] = {}
        self._lists = {name: list(several) for name, several in expansion.items()}
        self._converted: list[tuple[Any, Callable[[Any], Any]]] = []
        for index, name in enumerate(names):
            bind = compiled.binds[of_list.get(name, name)]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if name in of_list or bind.required:
                if name not in of_list and name != bind.key:
                    self._given[name] = bind.key
                if convert is not None:
                    self._converted.append((index if self._positional else name, convert))
            else:
                value = state.parameters[name]
                self._fixed[name] = value if convert is None else convert(value)
        self._keys = names
        self._pick = itemgetter(*names) if len(names) > 1 else None
        self._dialect = dialect
        self._selected = list(statement.selected_columns) if isinstance(statement, Select) else []
        row = namedtuple("Row", [str(one.key) for one in self._selected], rename=True)  # type: ignore[misc]  # noqa: PYI024 - columns known now only
        self._make = row._make
        self._converting: list[tuple[int, Callable[[Any], Any]]] | None = None

    def _with_arrays(self, compiled: Any, dialect: Dialect) -> str:
        """Return the text with each list as one parameter, an array: one text for every length, and short enough for the driver to keep."""

        def array(found: re.Match[str]) -> str:
            name = found["name"]
            kind = compiled.binds[name].type
            self._arrays[name] = kind.dialect_impl(dialect).bind_processor(dialect)
            compared = "<> ALL" if found["negated"] else "= ANY"
            return f"{compared} (%({name})s::{dialect.type_compiler_instance.process(kind)}[])"

        return _IN_LIST.sub(array, compiled.string)

    def values(self, given: Mapping[str, Any]) -> Sequence[Any] | dict[str, Any]:
        """Return the driver's parameters."""
        values = {**given, **self._fixed} if self._fixed else dict(given)
        for name, key in self._given.items():
            values[name] = given[key]
        for name, several in self._lists.items():
            values.update(zip(several, given[name], strict=True))
        pick = self._pick
        picked = pick(values) if pick is not None else tuple(values[key] for key in self._keys)
        if not self._positional:
            found = dict(zip(self._keys, picked, strict=True))
            for name, convert in self._arrays.items():
                several = given[name] if convert is None else [convert(one) for one in given[name]]
                found[name] = _array(several)
            for name, convert in self._converted:
                found[name] = convert(found[name])
            return found
        if not self._converted:
            return picked
        ordered = list(picked)
        for index, convert in self._converted:
            ordered[index] = convert(ordered[index])
        return ordered

    def fetch(self, cursor: Any) -> Rows:
        """Return what a cursor has."""
        if not self._selected:
            return Rows((), cursor.rowcount)
        make, rows = self._make, cursor.fetchall()
        if self._converting is None:  # what the database calls a column's type is known now
            columns = [
                one.type.dialect_impl(self._dialect).result_processor(self._dialect, told[1])
                for one, told in zip(self._selected, cursor.description, strict=True)
            ]
            self._converting = [(index, one) for index, one in enumerate(columns) if one is not None]
        converting = self._converting
        if not converting:
            return Rows([make(row) for row in rows], len(rows))
        found = []
        for row in rows:
            values = list(row)
            for index, convert in converting:
                values[index] = convert(values[index])
            found.append(make(values))
        return Rows(found, len(found))


class Prepared:
    """A statement, compiled when it first runs. `Tx.execute` takes it like any other.

    An INSERT is given every column it writes; what it is given decides its columns.
    """

    __slots__ = ("_by_columns", "_lists", "_many_rows", "_records", "_texts", "statement")

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._by_columns = isinstance(statement, Insert) and statement.select is None
        self._lists = _expanding(statement)
        self._texts: dict[tuple[Any, ...], _Text] = {}
        self._many_rows = not self._lists and records.fits(statement)
        self._records: dict[tuple[str, ...], Records] = {}

    def execute(
        self, connection: Connection, params: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Rows:
        """Run it on a connection whose transaction has begun; a sequence of parameters is as if it ran once for each, in any order.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            As the library's own `Connection.execute` does.
        """
        if not isinstance(params, Mapping) and connection.dialect.name == "postgresql" and self._many_rows:
            return self._execute_rows(connection, params)
        if isinstance(params, Mapping):
            several, first = None, params
            if self._lists and connection.dialect.name != "postgresql":
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

    def _execute_rows(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Rows:
        columns = tuple(rows[0])
        text = self._records.get(columns)
        if text is None:
            compiled = _compiled(self.statement, connection.dialect, columns if self._by_columns else None)
            text = self._records[columns] = Records(self.statement, compiled, connection.dialect, columns)  # type: ignore[arg-type] # `fits` says so
        try:
            values = text.values(rows)
        except (KeyError, TypeError, ValueError) as error:
            raise exc.StatementError(str(error), text.sql, None, error, hide_parameters=True) from error
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text.sql, values)
            return Rows((), cursor.rowcount)
        except connection.dialect.loaded_dbapi.Error as error:
            raise _translated(connection, text.sql, error) from error
        finally:
            cursor.close()

    def _text(self, dialect: Dialect, given: Mapping[str, Any]) -> _Text:
        columns = tuple(given) if self._by_columns else None
        # arrays have one text for every length
        lists = {name: 1 if dialect.name == "postgresql" else len(given[name]) for name in self._lists}
        key = (dialect.name, columns, *lists.values())
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text(self.statement, dialect, columns, lists)
        return text


def _compiled(statement: Any, dialect: Dialect, columns: Collection[str] | None) -> Any:
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    if missing := [column.name for column in compiled.insert_prefetch]:
        raise exc.CompileError(f"a prepared INSERT needs every column with a default; missing: {missing}")
    return compiled


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


def _array(values: Collection[Any]) -> str | list[Any]:
    """Return an array as the database reads it. The driver takes each value apart to see what it is, at a tenth of what a claim costs here."""
    if not values:
        return "{}"
    try:
        joined = '","'.join(values)
    except TypeError:  # other than texts
        return list(values)
    if "\\" in joined or joined.count('"') > 2 * (len(values) - 1):
        joined = '","'.join([one.replace("\\", "\\\\").replace('"', '\\"') for one in values])
    return f'{{"{joined}"}}'


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
