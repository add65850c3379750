"""The tables, with their final keys. Owner modules beside this one hold the queries.

Ids are UUIDv7 in text. Times are UTC; `*_mono_ns` are monotonic nanoseconds of the boot named by `boot_id`
and are never compared across boots. Outside the store a row is a detached record: changing it changes nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store import (  # noqa: F401 - their tables are of the same metadata
    access_models,
    dialing_models,
    lease_models,
    message_models,
    portfolio_models,
    push_models,
    rollup_models,
    steering_models,
    voice_models,
)
from dialer_core.store.columns import ID, Base


class Person(Base):
    """Somebody who may be spoken to. One person has several accounts and phones."""

    __tablename__ = "person"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    external_id: Mapped[str | None] = mapped_column(String(128), unique=True)
    name: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(String(8), default="es")
    region: Mapped[str | None] = mapped_column(String(16))
    """Where they live, where known (`MX-BCN`): both this and the number's zone must allow a call."""
    created_at_utc: Mapped[dt.datetime]


class Phone(Base):
    """One number of one person. The same number may belong to several people."""

    __tablename__ = "phone"
    __table_args__ = (Index("uq_phone_person_id_e164", "person_id", "e164", unique=True),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    e164: Mapped[str] = mapped_column(String(20), index=True)
    kind: Mapped[str] = mapped_column(String(16), default="unknown")
    rank: Mapped[int] = mapped_column(Integer, default=0)
    zones: Mapped[str] = mapped_column(Text)
    """IANA zones separated by a space; several where the number is ambiguous: all must allow the call."""
    consent: Mapped[bool | None] = mapped_column(Boolean)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Successive outcomes that speak against the number (invalid, fax, sit)."""
    last_outcome: Mapped[str | None] = mapped_column(String(24))
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Attempts that reached the network at this number."""
    answers: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Those at which a person spoke."""
    last_answer_utc: Mapped[dt.datetime | None]
    hours: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """By the number's local hour: `{"18": [tries, answers]}`."""


class Account(Base):
    """One debt of one person."""

    __tablename__ = "account"
    __table_args__ = (Index("uq_account_external_id_portfolio", "external_id", "portfolio", unique=True),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"), index=True)
    portfolio: Mapped[str] = mapped_column(String(64), default="default")
    external_id: Mapped[str] = mapped_column(String(128))
    creditor: Mapped[str] = mapped_column(default="")
    product: Mapped[str | None] = mapped_column(String(64))
    currency: Mapped[str | None] = mapped_column(String(3))
    balance_minor: Mapped[int | None] = mapped_column(BigInteger)
    """In hundredths of the currency (cents of a peso), also where it has no coins so small."""
    days_past_due: Mapped[int | None] = mapped_column(Integer)
    due_date: Mapped[str | None] = mapped_column(String(10))
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Free ones; which are sensitive says `attribute_mark`."""
    created_at_utc: Mapped[dt.datetime]
    status: Mapped[str] = mapped_column(String(16), default="open", server_default="open")


class Campaign(Base):
    """What a campaign's file says was last loaded, and its state, which the file does not say."""

    __tablename__ = "campaign"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    changed_at_utc: Mapped[dt.datetime]


class Lead(Base):
    """An account on a campaign's list."""

    __tablename__ = "lead"
    __table_args__ = (
        Index("uq_lead_account_id_campaign_id", "account_id", "campaign_id", unique=True),
        # ix_lead_hopper stands after the class: it needs a column in descending order
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    campaign_id: Mapped[str] = mapped_column(String(64), ForeignKey("campaign.id"))
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    priority: Mapped[float] = mapped_column(Float, default=0.0)
    """Higher first."""
    next_at_utc: Mapped[dt.datetime]
    waiting_for: Mapped[str | None] = mapped_column(String(32))
    blocked_rule: Mapped[str | None] = mapped_column(String(64))
    """The gate's last refusal, in its own words; empty once dialed."""
    blocked_reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    last_outcome: Mapped[str | None] = mapped_column(String(24))
    finished_reason: Mapped[str | None] = mapped_column(String(32))
    created_at_utc: Mapped[dt.datetime]
    segment: Mapped[str | None] = mapped_column(String(64))
    """The first segment of its campaign's mix that it is in, empty text where in none; null where its campaign has no mix."""
    propensity: Mapped[str | None] = mapped_column(String(48))
    """Probability that its person answers a call, by their hour of the day, as `store/lead_ranks.py` writes it; null: nobody says."""
    propensity_at_utc: Mapped[dt.datetime | None]
    """When that was last told."""


# The hopper walks it: ready leads (one value of next_at_utc, see `store/leads.py`) by priority, the untried
# first, in order of import.
Index(
    "ix_lead_hopper",
    Lead.campaign_id,
    Lead.state,
    Lead.next_at_utc,
    Lead.priority.desc(),
    Lead.attempts,
    Lead.id,
)


# The same within one segment, for campaigns that have a mix; the others pay nothing for it.
Index(
    "ix_lead_segment",
    Lead.campaign_id,
    Lead.segment,
    Lead.state,
    Lead.next_at_utc,
    Lead.priority.desc(),
    Lead.attempts,
    Lead.id,
    sqlite_where=text("segment IS NOT NULL"),
    postgresql_where=text("segment IS NOT NULL"),
)


LIVE = "live"
"""Attempts under way, in the words of the indexes that hold them: SQLite uses those for a question in these very words only."""
ANSWERED_LIVE = "(live_answer OR abandoned)"
"""Attempts that the abandonment ledger counts: the condition of an index, and of the question that is to use it."""


class Attempt(Base):
    """One try at one number: one Call-ID. Committed before its INVITE leaves (I1)."""

    __tablename__ = "attempt"
    __table_args__ = (
        Index(
            "uq_attempt_live_person",
            "person_id",
            unique=True,
            sqlite_where=text(LIVE),
            postgresql_where=text(LIVE),
        ),
        Index(
            "uq_attempt_live_number",
            "line",
            unique=True,
            sqlite_where=text(LIVE),
            postgresql_where=text(LIVE),
        ),
        Index("ix_attempt_campaign_id_committed_at_utc", "campaign_id", "committed_at_utc"),
        Index("ix_attempt_lead_id", "lead_id"),
        # the abandonment ledger is counted along it, without reading a row
        Index(
            "ix_attempt_answered_live",
            "campaign_id",
            "committed_at_utc",
            "abandoned",
            "disposition",
            "live_answer",
            "id",
            sqlite_where=text(ANSWERED_LIVE),
            postgresql_where=text(ANSWERED_LIVE),
        ),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    node: Mapped[str] = mapped_column(String(64))
    boot_id: Mapped[str] = mapped_column(String(64))
    campaign_id: Mapped[str] = mapped_column(String(64), ForeignKey("campaign.id"))
    lead_id: Mapped[str] = mapped_column(ID, ForeignKey("lead.id"))
    account_id: Mapped[str] = mapped_column(ID, ForeignKey("account.id"))
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    phone_id: Mapped[str] = mapped_column(ID, ForeignKey("phone.id"))
    number: Mapped[str] = mapped_column(String(20))
    trunk: Mapped[str] = mapped_column(String(64))
    retry_of: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"))
    live: Mapped[bool] = mapped_column(Boolean)
    """True from the commit to the outcome; a lead, a number and a person have one live at most (I3)."""
    state: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str | None] = mapped_column(String(24))
    sip_code: Mapped[int | None] = mapped_column(Integer)
    q850: Mapped[int | None] = mapped_column(Integer)
    ended_by: Mapped[str | None] = mapped_column(String(8))
    call_id: Mapped[str | None] = mapped_column(String(255), index=True)
    """Settled at the commit: the attempt's id, by which its leg and so its INVITE go."""
    worker: Mapped[str | None] = mapped_column(String(64))
    verdict: Mapped[str | None] = mapped_column(String(16))
    """The final verdict, after revision."""
    verdict_reason: Mapped[str | None] = mapped_column(String(48))
    verdict_revised_from: Mapped[str | None] = mapped_column(String(16))
    live_answer: Mapped[bool] = mapped_column(Boolean, default=False)
    """It was routed as a person: counts in the abandonment ledger."""
    abandoned: Mapped[bool] = mapped_column(Boolean, default=False)
    agent_id: Mapped[str | None] = mapped_column(String(64))
    disposition: Mapped[str | None] = mapped_column(String(32))
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What the gate saw: rule pack and version, zones, counts (I11)."""
    committed_at_utc: Mapped[dt.datetime]
    ended_at_utc: Mapped[dt.datetime | None]
    sent_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    ringing_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    answered_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    verdict_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    """First verdict after the answer."""
    greeting_end_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    bridged_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    """First bridge."""
    abandoned_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    ended_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(String(32))
    """Why they do not pay, as the agent understood it."""
    segment: Mapped[str | None] = mapped_column(String(64))
    """The lead's segment when it was dialed."""
    caller_id: Mapped[str | None] = mapped_column(String(20))
    """The number that was shown, where it came from a pool."""
    line: Mapped[str | None] = mapped_column(String(20))
    """The number by the one name of its line (`line_names.line_of`): what rings once at a time."""


class Leg(Base):
    """One SIP dialog of ours: a customer's or an agent's. The journal from which an orphan can be ended."""

    __tablename__ = "leg"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"), index=True)
    agent_id: Mapped[str | None] = mapped_column(String(64))
    node: Mapped[str] = mapped_column(String(64))
    worker: Mapped[str] = mapped_column(String(64))
    live: Mapped[bool] = mapped_column(Boolean)
    call_id: Mapped[str | None] = mapped_column(String(255))
    dialog: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    media_port: Mapped[int | None] = mapped_column(Integer)
    codec: Mapped[str | None] = mapped_column(String(16))
    sip_code: Mapped[int | None] = mapped_column(Integer)
    statistics: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    opened_at_utc: Mapped[dt.datetime]
    ended_at_utc: Mapped[dt.datetime | None]


class EventRow(Base):
    """The event log. One writer per source; `seq` has no gaps within (node, source)."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_attempt_id", "attempt_id"),
        Index("ix_event_name_at_utc", "name", "at_utc"),
    )
    node: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(String(16), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(ID)
    boot_id: Mapped[str] = mapped_column(String(64))
    at_utc: Mapped[dt.datetime]
    at_mono_ns: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(48))
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    account_id: Mapped[str | None] = mapped_column(ID)
    attempt_id: Mapped[str | None] = mapped_column(ID)
    data: Mapped[dict[str, Any]]


class Contact(Base):
    """The ledger of contacts over all channels: what the caps count."""

    __tablename__ = "contact"
    __table_args__ = (
        Index("ix_contact_person_id_at_utc", "person_id", "at_utc"),
        Index("ix_contact_account_id_at_utc", "account_id", "at_utc"),
        Index("ix_contact_address_at_utc", "address", "at_utc"),
        Index(
            "uq_contact_external_id",
            "external_id",
            unique=True,
            sqlite_where=text("external_id IS NOT NULL"),
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    person_id: Mapped[str] = mapped_column(ID, ForeignKey("person.id"))
    account_id: Mapped[str | None] = mapped_column(ID, ForeignKey("account.id"))
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"), index=True)
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(128))
    purpose: Mapped[str] = mapped_column(String(32))
    at_utc: Mapped[dt.datetime]
    settlement: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str | None] = mapped_column(String(24))
    conversation: Mapped[bool] = mapped_column(Boolean, default=False)
    """They and an agent spoke: the seven days after a conversation run from here."""
    prior: Mapped[bool] = mapped_column(Boolean, default=False)
    """Imported: it happened before this system did the dialing."""
    external_id: Mapped[str | None] = mapped_column(String(128))
    """An imported one's own number, so that it counts once."""


class Restriction(Base):
    """Why somebody may not be contacted, and until when. The gate reads these."""

    __tablename__ = "restriction"
    __table_args__ = (Index("ix_restriction_scope_scope_value", "scope", "scope_value"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    scope: Mapped[str] = mapped_column(String(16))
    scope_value: Mapped[str] = mapped_column(String(128))
    channel: Mapped[str | None] = mapped_column(String(16))
    """Only this channel, or every channel where empty."""
    source: Mapped[str] = mapped_column(String(128))
    from_utc: Mapped[dt.datetime]
    until_utc: Mapped[dt.datetime | None]
    """Empty: for good."""
    hours: Mapped[str | None] = mapped_column(Text)
    """Only at these hours of the callee: `mon-fri 09:00-17:00`."""


class Agent(Base):
    """An agent as last loaded from `agents.toml`."""

    __tablename__ = "agent"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    sip_uri: Mapped[str]
    active: Mapped[bool] = mapped_column(Boolean, default=True)


class AgentInterval(Base):
    """What an agent did from when to when; the intervals of a log-in tile it without gap or overlap (I8)."""

    __tablename__ = "agent_interval"
    __table_args__ = (
        Index(
            "uq_agent_interval_open",
            "agent_id",
            unique=True,
            sqlite_where=text("to_utc IS NULL"),
            postgresql_where=text("to_utc IS NULL"),
        ),
        Index("ix_agent_interval_agent_id_from_utc", "agent_id", "from_utc"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(64), ForeignKey("agent.id"))
    session_id: Mapped[str] = mapped_column(ID, index=True)
    """One log-in."""
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(48), default="")
    attempt_id: Mapped[str | None] = mapped_column(ID, ForeignKey("attempt.id"))
    boot_id: Mapped[str] = mapped_column(String(64))
    from_utc: Mapped[dt.datetime]
    to_utc: Mapped[dt.datetime | None]
    from_mono_ns: Mapped[int] = mapped_column(BigInteger)
    to_mono_ns: Mapped[int | None] = mapped_column(BigInteger)
    wants_ready: Mapped[bool | None] = mapped_column(Boolean)
    """Is to be ready when the softphone is (back) up."""
    after_call: Mapped[str | None] = mapped_column(String(16))
    """`pause` or `logout`, asked for during the conversation."""
    after_reason: Mapped[str | None] = mapped_column(String(48))
    node: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """At which they are logged in; empty in rows older than several nodes."""


class DetectionSample(Base):
    """A machine verdict that was drawn for evidence: the draw can be checked, and the share weighs what was heard."""

    __tablename__ = "detection_sample"
    __table_args__ = (Index("ix_detection_sample_campaign_id_at_utc", "campaign_id", "at_utc"),)
    attempt_id: Mapped[str] = mapped_column(ID, ForeignKey("attempt.id"), primary_key=True)
    campaign_id: Mapped[str] = mapped_column(String(64), ForeignKey("campaign.id"))
    label: Mapped[str] = mapped_column(String(16))
    share: Mapped[float] = mapped_column(Double)
    draw: Mapped[float] = mapped_column(Double)
    agent_free: Mapped[bool] = mapped_column(Boolean)
    connected: Mapped[bool] = mapped_column(Boolean)
    at_utc: Mapped[dt.datetime]


class ImportRun(Base):
    """One import of one file, so that the same file again changes nothing and rejects can be found."""

    __tablename__ = "import_run"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    campaign_id: Mapped[str | None] = mapped_column(String(64))
    file_sha256: Mapped[str] = mapped_column(String(64), index=True)
    accepted: Mapped[int] = mapped_column(Integer)
    updated: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
    at_utc: Mapped[dt.datetime]


class PacingState(Base):
    """What a pool's pacer had learned in one hour of the day."""

    __tablename__ = "pacing_state"
    pool: Mapped[str] = mapped_column(Text, primary_key=True)
    segment: Mapped[str] = mapped_column(String(64), primary_key=True)
    hour_utc: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[dict[str, Any]] = mapped_column(JSON)
    at_utc: Mapped[dt.datetime]


__all__ = [
    "Account",
    "Agent",
    "AgentInterval",
    "Attempt",
    "Base",
    "Campaign",
    "Contact",
    "DetectionSample",
    "EventRow",
    "ImportRun",
    "Lead",
    "Leg",
    "PacingState",
    "Person",
    "Phone",
    "Restriction",
]
