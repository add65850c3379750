"""A report as it is handed on: named columns with their units, and rows.

It owns that shape, which tables, files, the API and screens share, and no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

Unit = Literal["key", "text", "time", "count", "rate", "seconds", "days", "money"]
"""`money` is in the currency's minor unit (cents of a peso); `rate` lies in [0, 1]."""


class Column(msgspec.Struct, frozen=True):
    """One column."""

    name: str
    unit: Unit
    words: str = ""
    """What it says."""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One report. A value that there is nothing to say of is None: a rate of nothing, say."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[Any, ...]]
    currency: str = ""
    """Of its amounts."""
    notes: tuple[str, ...] = ()
    """What a reader must know of it."""

    def records(self) -> Iterable[dict[str, Any]]:
        """Return each row by its columns' names."""
        names = [column.name for column in self.columns]
        return (dict(zip(names, row, strict=True)) for row in self.rows)
