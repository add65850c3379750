"""The tables of what dialing keeps beside attempts: the number a person is called from, the strategies that run, what plugins keep.

Owner modules beside this one hold the queries.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import ID, Base

_RUNNING = text("state = 'running'")


class KeptCallerId(Base):
    """The number that one person is called from, out of a pool: chosen once and kept."""

    __tablename__ = "kept_caller_id"
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[str] = mapped_column(String(20))
    since_utc: Mapped[dt.datetime]


class StrategyRun(Base):
    """One strategy that runs for one account: its steps, and which is due when."""

    __tablename__ = "strategy_run"
    __table_args__ = (
        Index("ix_strategy_run_account_id", "account_id"),
        Index("ix_strategy_run_due_at_utc", "due_at_utc", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        Index("ix_strategy_run_person_id", "person_id", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        Index(
            "uq_strategy_run_running",
            "account_id",
            "strategy",
            unique=True,
            sqlite_where=_RUNNING,
            postgresql_where=_RUNNING,
        ),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    strategy: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    steps: Mapped[list[Any]] = mapped_column(JSON)
    """As they were when it began: `[{"after_s": 0, "what": "call", "with": {...}}, ...]`."""
    position: Mapped[int] = mapped_column(Integer)
    """The step that is due next."""
    due_at_utc: Mapped[dt.datetime]
    leased_by: Mapped[str | None] = mapped_column(String(64))
    leased_until_utc: Mapped[dt.datetime | None]
    """Whoever does the step has until then to say so; then it is anybody's again."""
    tries: Mapped[int] = mapped_column(Integer)
    """How often the present step was begun."""
    stopped_because: Mapped[str | None] = mapped_column(String(32))
    started_at_utc: Mapped[dt.datetime]


class PluginValue(Base):
    """What a plugin keeps under a key of its own."""

    __tablename__ = "plugin_value"
    plugin: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    changed_at_utc: Mapped[dt.datetime]
