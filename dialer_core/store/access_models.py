"""The tables of who may use the screens and the API: users, their sessions, tokens. Owner modules hold the queries.

Rules as in `models.py`. No secret is kept: passwords as argon2id, sessions and tokens as SHA-256 of random 256 bits.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Boolean, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import ID, Base


class WebUser(Base):
    """Somebody who logs in to the screens."""

    __tablename__ = "web_user"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The name by which they log in."""
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str]
    agent_id: Mapped[str | None] = mapped_column(String(64))
    """The agent of `agents.toml` they are; not a foreign key: users may be made before the first run."""
    extension: Mapped[str | None] = mapped_column(String(64))
    """Where a supervisor listens."""
    language: Mapped[str] = mapped_column(String(8), default="")
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at_utc: Mapped[dt.datetime]
    password_at_utc: Mapped[dt.datetime]


class WebSession(Base):
    """One log-in of a browser."""

    __tablename__ = "web_session"
    __table_args__ = (
        Index("ix_web_session_user_id", "user_id"),
        Index("ix_web_session_until_utc", "until_utc"),
    )
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of what the cookie holds."""
    user_id: Mapped[str] = mapped_column(String(64), ForeignKey("web_user.id"))
    began_at_utc: Mapped[dt.datetime]
    seen_at_utc: Mapped[dt.datetime]
    until_utc: Mapped[dt.datetime]


class ApiToken(Base):
    """A program's way in."""

    __tablename__ = "api_token"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token."""
    scopes: Mapped[str] = mapped_column(Text)
    """Separated by a space."""
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at_utc: Mapped[dt.datetime]
