"""Rows for tests of the store, written as plain inserts, so that a fault in an owner module cannot hide itself.

`Debtor` is one person with one number, one account and one lead on campaign `spring`.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert

from dialer_core.store.attempts import NewAttempt
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    CampaignId,
    LeadId,
    PersonId,
    PhoneId,
    TrunkId,
    new_id,
)

TABLES = Base.metadata.tables
CAMPAIGN = CampaignId("spring")
NOON = dt.datetime(2026, 3, 2, 18, 0, tzinfo=dt.UTC)
"""A Monday, noon in Mexico City."""


@dataclass(frozen=True)
class Debtor:
    """Ids of one person and what hangs on them."""

    number: str
    person: PersonId = field(default_factory=lambda: PersonId(new_id()))
    phone: PhoneId = field(default_factory=lambda: PhoneId(new_id()))
    account: AccountId = field(default_factory=lambda: AccountId(new_id()))
    lead: LeadId = field(default_factory=lambda: LeadId(new_id()))


def put(tx: Tx, table: str, **row: Any) -> None:
    """Insert one row."""
    tx.execute(insert(TABLES[table]), row)


def put_campaign(tx: Tx, name: str = CAMPAIGN, **settings: Any) -> None:
    """Store a running campaign."""
    put(tx, "campaign", id=name, state="running", settings=settings, changed_at_utc=NOON)


def put_debtor(tx: Tx, number: str, *, campaign: str = CAMPAIGN, name: str = "Debtor") -> Debtor:
    """Store a person with a number, an account and a lead of a stored campaign."""
    debtor = Debtor(number)
    put(tx, "person", id=debtor.person, name=name, language="es", created_at_utc=NOON)
    put(
        tx, "phone", id=debtor.phone, person_id=debtor.person, e164=number, kind="mobile", rank=0,
        zones="America/Mexico_City", failures=0,
    )  # fmt: skip
    put(
        tx, "account", id=debtor.account, person_id=debtor.person, portfolio="default",
        external_id=debtor.account, creditor="Banco", attributes={}, created_at_utc=NOON,
    )  # fmt: skip
    put(
        tx, "lead", id=debtor.lead, campaign_id=campaign, account_id=debtor.account, person_id=debtor.person,
        state="dialable", priority=0.0, next_at_utc=NOON, attempts=0, created_at_utc=NOON,
    )  # fmt: skip
    return debtor


def new_attempt(debtor: Debtor, **changes: Any) -> NewAttempt:
    """Return an attempt at a debtor's number, as the engine would commit it."""
    fields: dict[str, Any] = {
        "id": AttemptId(new_id()),
        "node": "node1",
        "boot_id": "boot-1",
        "campaign_id": CAMPAIGN,
        "lead_id": debtor.lead,
        "account_id": debtor.account,
        "person_id": debtor.person,
        "phone_id": debtor.phone,
        "number": debtor.number,
        "trunk": TrunkId("carrier"),
        "committed_at_utc": NOON,
        "evidence": {},
    }
    return NewAttempt(**(fields | changes))
