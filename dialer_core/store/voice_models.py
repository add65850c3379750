"""The tables of what was said on the line: recordings, and notes to agents. Owner modules hold the queries.

Rules as in `models.py`.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Boolean, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import ID, Base


class Recording(Base):
    """One recorded conversation: where it is, and since when it may be deleted. The sound itself is a sealed file."""

    __tablename__ = "recording"
    __table_args__ = (
        Index("ix_recording_attempt_id", "attempt_id"),
        Index("ix_recording_campaign_id_began_at_utc", "campaign_id", "began_at_utc"),
        Index("ix_recording_state", "state"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"))
    """Empty: of somebody who called in."""
    campaign_id: Mapped[str] = mapped_column(String(64))
    agent_id: Mapped[str | None] = mapped_column(String(64))
    node: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    """recording, spooled, stored, lost, unwanted, refused or expired."""
    began_at_utc: Mapped[dt.datetime]
    seconds: Mapped[float | None] = mapped_column(Float)
    lost_pieces: Mapped[int | None] = mapped_column(Integer)
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    """It was paused at least once."""
    container: Mapped[str | None] = mapped_column(String(8))
    size: Mapped[int | None] = mapped_column(Integer)
    """Bytes of the sealed file."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the sealed file."""


class AgentNote(Base):
    """What a supervisor wrote to an agent."""

    __tablename__ = "agent_note"
    __table_args__ = (Index("ix_agent_note_agent_id_at_utc", "agent_id", "at_utc"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(64), ForeignKey("agent.id"))
    author: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(Text)
    at_utc: Mapped[dt.datetime]
    read_at_utc: Mapped[dt.datetime | None]
