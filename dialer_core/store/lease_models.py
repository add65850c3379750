"""The table of what nodes have for a while: their own life, shares of trunks, and pools to pace.

Who gets what is `store/leases.py`'s.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Float, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import Base


class Lease(Base):
    """Something a node has until a time, unless it asks again before."""

    __tablename__ = "lease"
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    """`node` (it is alive), `trunk` (a share of its lines and calls per second) or `pool` (it paces it)."""
    name: Mapped[str] = mapped_column(String(512), primary_key=True)
    node: Mapped[str] = mapped_column(String(64), primary_key=True)
    until_utc: Mapped[dt.datetime]
    """By the database's clock: nodes' own may differ."""
    lines: Mapped[int | None] = mapped_column(Integer)
    calls_per_second: Mapped[float | None] = mapped_column(Float)
