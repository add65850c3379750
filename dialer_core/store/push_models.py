"""The tables of what other systems have been told: how far, and what they did not take.

Who is told what, and when, is `dialer_core/pushing.py`'s.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import ID, Base


class PushTarget(Base):
    """How far a node has told a target its events."""

    __tablename__ = "push_target"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    node: Mapped[str] = mapped_column(String(64), primary_key=True)
    cursor: Mapped[str] = mapped_column(Text)
    told: Mapped[int] = mapped_column(Integer, default=0)
    """Events, in all."""
    trouble: Mapped[str] = mapped_column(default="")
    """Why it is not told now; empty: it is."""
    changed_at_utc: Mapped[dt.datetime]


class PushDead(Base):
    """Events that a target did not take, as the stretch of the log that they stand in."""

    __tablename__ = "push_dead"
    __table_args__ = (Index("ix_push_dead_name_node", "name", "node"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    node: Mapped[str] = mapped_column(String(64))
    since: Mapped[str] = mapped_column(Text)
    until: Mapped[str] = mapped_column(Text)
    events: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str]
    state: Mapped[str] = mapped_column(String(8))
    """`dead`, `again` (to be sent once more) or `told`."""
    at_utc: Mapped[dt.datetime]
