"""The attribute_mark table: which of a portfolio's free attributes may be said before the person is identified (I19).

It owns the rows. One that is not marked is sensitive.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Table, delete, insert, select

from dialer_core.store.portfolio_models import AttributeMark
from dialer_core.store.tx import Tx

_TABLE: Table = AttributeMark.__table__  # type: ignore[assignment]


def mark(tx: Tx, portfolio: str, names: Iterable[str], *, sensitive: bool) -> None:
    """Say of some attributes whether they are sensitive."""
    rows = [
        {"portfolio": portfolio, "name": name[:64], "sensitive": sensitive} for name in dict.fromkeys(names)
    ]
    if rows:
        marked = [row["name"] for row in rows]
        tx.execute(delete(_TABLE).where(_TABLE.c.portfolio == portfolio, _TABLE.c.name.in_(marked)))
        tx.execute(insert(_TABLE), rows)
        tx.audit("attributes.marked", f"portfolio {portfolio}"[:64], sensitive=sensitive, count=len(rows))


def public(tx: Tx, portfolio: str) -> frozenset[str]:
    """Return a portfolio's attributes that may be said to anybody."""
    query = select(_TABLE.c.name).where(_TABLE.c.portfolio == portfolio, _TABLE.c.sensitive.is_(False))
    return frozenset(tx.scalars(query))
