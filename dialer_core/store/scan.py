"""Whole tables, row by row: for `verify` and reports, which look at everything and at no one thing.

It owns streaming. It asks no question of its own: those are the owner modules'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, select

from dialer_core.store.models import Base
from dialer_core.store.tx import Tx

_ROWS_AT_ONCE = 2_000


def rows(
    tx: Tx,
    table: str,
    *columns: str,
    order_by: tuple[str, ...] = ("id",),
    only_with: str | None = None,
    only: tuple[str, str] | None = None,
) -> Iterator[Row[Any]]:
    """Yield a table's rows in order, holding a few thousand at a time.

    Parameters
    ----------
    tx
        The transaction; the rows are those of its snapshot.
    table
        A name of `models.py`.
    *columns
        Only these; all by default. Attributes of each row.
    order_by
        Columns.
    only_with
        Only rows in which this column is set.
    only
        Only rows in which this column has this value.
    """
    source = Base.metadata.tables[table]
    query = select(*(source.c[name] for name in columns) if columns else [source])
    query = query.order_by(*(source.c[name] for name in order_by))
    if only_with is not None:
        query = query.where(source.c[only_with].is_not(None))
    if only is not None:
        query = query.where(source.c[only[0]] == only[1])
    yield from tx.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
