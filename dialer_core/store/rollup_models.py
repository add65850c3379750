"""The tables of attempts counted up: one row for many, so that a report over millions reads thousands.

What is counted and when is `store/rollups.py`'s.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import Base


class AttemptRollup(Base):
    """Attempts of one hour that are alike, counted. An empty text is what the attempts did not have."""

    __tablename__ = "attempt_rollup"
    hour: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Hours since 1970-01-01 00:00 UTC at which they were committed."""
    campaign_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    portfolio: Mapped[str] = mapped_column(String(64), primary_key=True)
    product: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(24), primary_key=True)
    """Empty while they are live."""
    disposition: Mapped[str] = mapped_column(String(32), primary_key=True)
    reason: Mapped[str] = mapped_column(String(32), primary_key=True)
    attempts: Mapped[int] = mapped_column(Integer)
    live_answers: Mapped[int] = mapped_column(Integer)
    abandoned: Mapped[int] = mapped_column(Integer)
    talks: Mapped[int] = mapped_column(Integer)
    """Bridged to an agent."""
    ring_ms: Mapped[int] = mapped_column(BigInteger)
    """From the INVITE to the answer, or to the end where there was none."""
    line_ms: Mapped[int] = mapped_column(BigInteger)
    """From the answer to the end: what a carrier charges for."""
    talk_ms: Mapped[int] = mapped_column(BigInteger)
    """From the first bridge to the end."""


class RollupMark(Base):
    """Up to which hour attempts have been counted up."""

    __tablename__ = "rollup_mark"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    until_hour: Mapped[int] = mapped_column(Integer)
    """The first hour that has not been."""


class RollupChange(Base):
    """An hour whose attempts have changed since: to be counted again. Only ever added to, so that no change is missed by a count under way."""

    __tablename__ = "rollup_change"
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    hour: Mapped[int] = mapped_column(Integer)
