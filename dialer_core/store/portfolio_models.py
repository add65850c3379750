"""The tables of what is owed, agreed and paid, of who may be contacted how, and of what was done by whom.

Amounts are whole numbers of hundredths of the currency (cents of a peso), also where it has no such coins. Days are local calendar
days of the portfolio, as ISO text. Owner modules beside this one hold the queries.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import ID, Base


class AttributeMark(Base):
    """What one of a portfolio's free attributes is: sensitive unless somebody has said otherwise."""

    __tablename__ = "attribute_mark"
    portfolio: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sensitive: Mapped[bool] = mapped_column(Boolean)
    """It may not be said, shown or written before the person is identified (I19)."""


class AccountDocument(Base):
    """A document as proof of an account: contract, statement, agreement letter."""

    __tablename__ = "account_document"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    title: Mapped[str]
    location: Mapped[str]
    """Where it lies: a path or an address of the customer's own archive."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    at_utc: Mapped[dt.datetime]


class AccountNote(Base):
    """What somebody wrote about an account, for whoever speaks to its person next."""

    __tablename__ = "account_note"
    __table_args__ = (Index("ix_account_note_account_id_at_utc", "account_id", "at_utc"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"))
    """The conversation it was written in."""
    author: Mapped[str] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(Text)
    at_utc: Mapped[dt.datetime]


class Promise(Base):
    """A promise to pay: an agreement, a settlement or a restructuring, in instalments."""

    __tablename__ = "promise"
    __table_args__ = (
        Index(
            "uq_promise_open",
            "account_id",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_promise_account_id", "account_id"),
        Index("ix_promise_campaign_id_made_at_utc", "campaign_id", "made_at_utc"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"))
    """The conversation in which it was made."""
    agent_id: Mapped[str | None] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    total_minor: Mapped[int] = mapped_column(BigInteger)
    settles_minor: Mapped[int | None] = mapped_column(BigInteger)
    """What of the balance is settled when it is kept (a settlement forgives the rest); empty: what was paid."""
    grace_days: Mapped[int] = mapped_column(Integer)
    made_at_utc: Mapped[dt.datetime]
    settled_at_utc: Mapped[dt.datetime | None]


class PromiseInstalment(Base):
    """One payment of a promise: how much, until when, and how much of it has come."""

    __tablename__ = "promise_instalment"
    __table_args__ = (Index("ix_promise_instalment_due_date", "due_date"),)
    promise_id: Mapped[str] = mapped_column(ID, ForeignKey("promise.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    due_date: Mapped[str] = mapped_column(String(10))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    paid_minor: Mapped[int] = mapped_column(BigInteger)


class Payment(Base):
    """A payment of an account as the customer's systems tell it."""

    __tablename__ = "payment"
    __table_args__ = (
        Index("uq_payment_account_id_external_id", "account_id", "external_id", unique=True),
        Index("ix_payment_paid_on", "paid_on"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    external_id: Mapped[str] = mapped_column(String(128))
    """The customer's own number of it; where there is none, made from day, amount and its place among equals."""
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    """Negative: a payment taken back."""
    currency: Mapped[str] = mapped_column(String(3))
    paid_on: Mapped[str] = mapped_column(String(10))
    promise_id: Mapped[str | None] = mapped_column(ID, ForeignKey("promise.id"), index=True)
    """The promise it was counted for."""
    source: Mapped[str] = mapped_column(String(128))
    received_at_utc: Mapped[dt.datetime]


class Callback(Base):
    """Somebody is to be called at a time they named: by one agent, or by any."""

    __tablename__ = "callback"
    __table_args__ = (
        Index(
            "uq_callback_open_lead",
            "lead_id",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_callback_campaign_id_state_due_at_utc", "campaign_id", "state", "due_at_utc"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    lead_id: Mapped[str] = mapped_column(ID, ForeignKey("lead.id"))
    campaign_id: Mapped[str] = mapped_column(String(64), ForeignKey("campaign.id"))
    agent_id: Mapped[str | None] = mapped_column(String(64))
    """Whose it is; empty: any agent's."""
    phone_id: Mapped[str | None] = mapped_column(ID, ForeignKey("phone.id"))
    """The number they named; empty: by rank."""
    due_at_utc: Mapped[dt.datetime]
    open_from_utc: Mapped[dt.datetime]
    """From then on any agent's, so that one who is away keeps nobody waiting."""
    state: Mapped[str] = mapped_column(String(16))
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"))
    """The conversation in which it was asked for."""
    made_at_utc: Mapped[dt.datetime]


class Consent(Base):
    """What a person said, once, about being contacted by a channel; the latest word counts."""

    __tablename__ = "consent"
    __table_args__ = (Index("ix_consent_person_id_channel", "person_id", "channel"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    phone_id: Mapped[str | None] = mapped_column(ID, ForeignKey("phone.id"))
    """Only this number; empty: every one."""
    channel: Mapped[str] = mapped_column(String(16))
    purpose: Mapped[str] = mapped_column(String(32))
    granted: Mapped[bool] = mapped_column(Boolean)
    source: Mapped[str] = mapped_column(String(128))
    """How it is known: a form, a call, a message."""
    at_utc: Mapped[dt.datetime]


class Target(Base):
    """What a campaign is to reach on a day."""

    __tablename__ = "target"
    campaign_id: Mapped[str] = mapped_column(String(64), ForeignKey("campaign.id"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    metric: Mapped[str] = mapped_column(String(24), primary_key=True)
    goal: Mapped[float] = mapped_column(Float)


class AuditEntry(Base):
    """Something done that must be accounted for. Each entry's digest covers the one before it."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_utc: Mapped[dt.datetime]
    node: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(64))
    """Who did it: `agent:ana`, `user:eva`, `cli`, `engine`."""
    action: Mapped[str] = mapped_column(String(48))
    subject: Mapped[str] = mapped_column(String(64))
    """The row it was done to: `person ID`."""
    data: Mapped[str] = mapped_column(Text)
    """Canonical JSON: ids and numbers, nothing personal."""
    digest: Mapped[str] = mapped_column(String(64))
