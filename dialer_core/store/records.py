"""Many rows given to one statement on PostgreSQL, as a JSON array that the server takes apart.

The driver runs a statement once for each row it is given: parameters bound, sent, planned and answered a row at a time, at several times the
cost of the rows themselves. Here an INSERT selects from all rows, and an UPDATE joins them. It owns this text and its one parameter; the
statements are the owner modules', and who runs them is `prepared.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Executable, Insert, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from dialer_core.store.columns import UtcDateTime

_GIVEN = re.compile(r"%\((\w+)\)s")
_ROWS = "given_rows"
_encode = msgspec.json.Encoder().encode


def fits(statement: Executable) -> bool:
    """Say whether a statement may be given many rows at once: one that inserts values or changes rows, and returns none."""
    if isinstance(statement, Insert):
        return statement.select is None and not statement._returning  # noqa: SLF001 - there is no public way to ask
    return isinstance(statement, Update) and not statement._returning  # noqa: SLF001


class Records:
    """An INSERT or UPDATE for any number of rows. Those of an UPDATE name each row of the table once at most."""

    __slots__ = ("_fixed", "_times", "sql")

    def __init__(
        self, statement: Insert | Update, compiled: Any, dialect: Dialect, columns: Collection[str]
    ) -> None:
        if isinstance(statement, Insert):
            kinds = {name: statement.table.c[name].type for name in columns}
            quoted = ", ".join(map(dialect.identifier_preparer.quote, kinds))
            target = dialect.identifier_preparer.format_table(statement.table)
            self._fixed: dict[str, Any] = {}
            self.sql = f"INSERT INTO {target} ({quoted}) SELECT {quoted} FROM {_source(kinds, dialect)}"  # noqa: S608 - names of ours
        else:
            given = {bind.key: bind.type for bind in compiled.binds.values() if bind.required}
            kinds = {name: given[name] for name in columns if name in given}
            self._fixed = {}
            for name, bind in compiled.binds.items():
                if not bind.required:
                    convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
                    self._fixed[name] = bind.value if convert is None else convert(bind.value)
            what, _, which = self._joined(compiled).partition(" WHERE ")
            self.sql = f"{what} FROM {_source(kinds, dialect)} WHERE {which}"
        self._times = [name for name, kind in kinds.items() if isinstance(kind, UtcDateTime)]

    @staticmethod
    def _joined(compiled: Any) -> str:
        """Return the statement's text with the rows' columns where its parameters were."""

        def column(found: re.Match[str]) -> str:
            bind = compiled.binds[found[1]]
            return f'given."{bind.key}"' if bind.required else found[0]

        return _GIVEN.sub(column, compiled.string)

    def values(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the driver's parameters.

        Raises
        ------
        ValueError
            A time has no zone, or a text is none that UTF-8 has.
        """
        for name in self._times:
            for row in rows:
                if row[name] is not None and row[name].tzinfo is None:
                    msg = "a naive time was given to the store; use UTC with tzinfo"
                    raise ValueError(msg)
        return {**self._fixed, _ROWS: _encode(rows).decode()}


def _source(kinds: Mapping[str, TypeEngine[Any]], dialect: Dialect) -> str:
    quote, told = dialect.identifier_preparer.quote, dialect.type_compiler_instance.process
    columns = ", ".join(f"{quote(name)} {told(kind)}" for name, kind in kinds.items())
    return f"json_to_recordset(%({_ROWS})s::json) AS given ({columns})"
