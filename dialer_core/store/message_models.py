"""The tables of messages: what was and is to be sent, what came, the parts of long ones, and receipts that came before what they are of.

It owns the shapes. The queries are `messages.py`'s.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import ID, Base


class Message(Base):
    """One text, out or in. The outbox is those that are queued; the conversation log is all of them."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_state_channel_next_at_utc", "state", "channel", "next_at_utc"),
        Index("ix_message_channel_provider_id", "channel", "provider_id"),
        Index("ix_message_person_id_created_at_utc", "person_id", "created_at_utc"),
        Index("ix_message_account_id_created_at_utc", "account_id", "created_at_utc"),
        Index("ix_message_channel_address_created_at_utc", "channel", "address", "created_at_utc"),
        Index(
            "uq_message_request_key",
            "request_key",
            unique=True,
            sqlite_where=text("request_key IS NOT NULL"),
            postgresql_where=text("request_key IS NOT NULL"),
        ),
        Index(
            "uq_message_received",
            "channel",
            "provider_id",
            unique=True,
            sqlite_where=text("state = 'received'"),
            postgresql_where=text("state = 'received'"),
        ),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    channel: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    """Why it failed, was cancelled, or is still queued: the provider's code, the gate's rule, or ours."""
    person_id: Mapped[str | None] = mapped_column(ID, ForeignKey("person.id"))
    """Empty: it came from an address that is nobody's."""
    account_id: Mapped[str | None] = mapped_column(ID, ForeignKey("account.id"))
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    """Whose rules it goes by."""
    phone_id: Mapped[str | None] = mapped_column(ID, ForeignKey("phone.id"))
    address: Mapped[str] = mapped_column(String(128))
    purpose: Mapped[str] = mapped_column(String(32))
    template: Mapped[str | None] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(8))
    subject: Mapped[str]
    body: Mapped[str]
    provider_template: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    when_uncertain: Mapped[str] = mapped_column(String(8))
    request_key: Mapped[str | None] = mapped_column(String(128))
    """The asker's own name of the request: asked for twice, it is queued once."""
    source: Mapped[str] = mapped_column(String(64))
    """Who asked: `agent:ana`, `plugin:contact_strategy`, `cli`."""
    node: Mapped[str | None] = mapped_column(String(64))
    """Which node is submitting it."""
    tries: Mapped[int] = mapped_column(Integer)
    next_at_utc: Mapped[dt.datetime]
    not_after_utc: Mapped[dt.datetime | None]
    provider_id: Mapped[str | None] = mapped_column(String(128))
    contact_id: Mapped[str | None] = mapped_column(ID, ForeignKey("contact.id"))
    """What the gate reserved for it in the ledger."""
    evidence: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What the gate saw when it was submitted (I11)."""
    cost_micro: Mapped[int | None] = mapped_column(BigInteger)
    """In millionths of `cost_currency`."""
    cost_currency: Mapped[str | None] = mapped_column(String(3))
    created_at_utc: Mapped[dt.datetime]
    submitted_at_utc: Mapped[dt.datetime | None]
    settled_at_utc: Mapped[dt.datetime | None]
    """When it was delivered, failed or cancelled."""
    letters: Mapped[list[dict[str, str]] | None] = mapped_column(JSON(none_as_null=True))
    """What goes with it: `name`, `title` and `text` of each."""
    reminds: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The promised payment that it reminds of: `promise_id`, `position` and `open_minor`, what was to come of it when this was written."""


class MessagePart(Base):
    """One of several short messages that a long text went out in: its receipt is of a part, not of the whole."""

    __tablename__ = "message_part"
    __table_args__ = (Index("ix_message_part_message_id", "message_id"),)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    provider_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    message_id: Mapped[str] = mapped_column(ID, ForeignKey("message.id"))
    delivered: Mapped[bool]


class Chat(Base):
    """Who answers what a person writes at one address: a flow, an agent, or nobody yet. One that is not closed at a time."""

    __tablename__ = "chat"
    __table_args__ = (
        Index(
            "uq_chat_open",
            "channel",
            "address",
            unique=True,
            sqlite_where=text("state <> 'closed'"),
            postgresql_where=text("state <> 'closed'"),
        ),
        Index("ix_chat_state_waits_since_utc", "state", "waits_since_utc"),
        Index("ix_chat_person_id", "person_id"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    channel: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(128))
    person_id: Mapped[str | None] = mapped_column(ID, ForeignKey("person.id"))
    account_id: Mapped[str | None] = mapped_column(ID, ForeignKey("account.id"))
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    phone_id: Mapped[str | None] = mapped_column(ID, ForeignKey("phone.id"))
    state: Mapped[str] = mapped_column(String(16))
    flow: Mapped[str] = mapped_column(String(64))
    place: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Where its flow is."""
    agent_id: Mapped[str | None] = mapped_column(String(64))
    began_at_utc: Mapped[dt.datetime]
    waits_since_utc: Mapped[dt.datetime]
    """When they last wrote, or it last changed hands."""
    expires_at_utc: Mapped[dt.datetime]
    """Until then the flow, or the agent, waits for an answer."""
    seen_at_utc: Mapped[dt.datetime | None]
    """When an agent last had it before them: what came later is unread."""
    identified_at_utc: Mapped[dt.datetime | None]
    """Since when it is known that it is the person who writes; empty: not yet."""


class DocumentLink(Base):
    """The link to a document that a message carries."""

    __tablename__ = "document_link"
    message_id: Mapped[str] = mapped_column(ID, ForeignKey("message.id"), primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    document_id: Mapped[str | None] = mapped_column(ID, ForeignKey("account_document.id"))
    """Empty: it leads to a letter of the message."""
    letter: Mapped[str | None] = mapped_column(String(48))
    field: Mapped[str] = mapped_column(String(80))
    digits: Mapped[int] = mapped_column(Integer)
    question: Mapped[str]
    until_utc: Mapped[dt.datetime]
    wrong: Mapped[int] = mapped_column(Integer)
    opened: Mapped[int] = mapped_column(Integer)
    ended_because: Mapped[str | None] = mapped_column(String(32))


class EmailAddress(Base):
    """One e-mail address of one person."""

    __tablename__ = "email_address"
    __table_args__ = (
        Index("uq_email_address_person_id_address", "person_id", "address", unique=True),
        Index("ix_email_address_address", "address"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    address: Mapped[str] = mapped_column(String(128))
    rank: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    """Letters that came back from it since somebody last wrote from there."""
    source: Mapped[str] = mapped_column(String(64))
    added_at_utc: Mapped[dt.datetime]


class EarlyReceipt(Base):
    """A receipt that came before the answer it is about, kept until that comes; or one of nothing that we sent."""

    __tablename__ = "early_receipt"
    __table_args__ = (Index("ix_early_receipt_at_utc", "at_utc"),)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    provider_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    delivered: Mapped[bool] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(String(64))
    at_utc: Mapped[dt.datetime]
