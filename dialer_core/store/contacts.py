"""The contact table: the ledger of contacts over all channels, which the caps count.

It owns the rows: reserved by the gate, settled once. It does not own what a cap counts (`compliance/caps.py`) nor which outcomes void.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, bindparam, insert, select, union, update

from dialer_core.store.models import Contact
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    CampaignId,
    Channel,
    ContactSettlement,
    PersonId,
    new_id,
)

_TABLE: Table = Contact.__table__  # type: ignore[assignment]
_INSERT = insert(_TABLE)
_LINK = update(_TABLE).where(_TABLE.c.id == bindparam("key")).values(attempt_id=bindparam("attempt"))
_ENTRY_COLUMNS = (
    _TABLE.c.id,
    _TABLE.c.person_id,
    _TABLE.c.account_id,
    _TABLE.c.address,
    _TABLE.c.channel,
    _TABLE.c.at_utc,
    _TABLE.c.conversation,
)


class Entry(msgspec.Struct, frozen=True):
    """A contact that counts: reserved or counted, not void."""

    person_id: PersonId
    account_id: AccountId | None
    address: str
    channel: Channel
    at_utc: dt.datetime
    conversation: bool = False
    """They and an agent spoke."""


def entries_since(
    tx: Tx,
    since_utc: dt.datetime,
    *,
    persons: Collection[str],
    accounts: Collection[str],
    addresses: Collection[str],
) -> list[Entry]:
    """Return every contact since then that counts and is of one of these people, accounts or addresses."""
    queries = [
        select(*_ENTRY_COLUMNS).where(
            column.in_(values),
            _TABLE.c.at_utc >= since_utc,
            _TABLE.c.settlement != ContactSettlement.VOID.value,
        )
        for column, values in (
            (_TABLE.c.person_id, persons),
            (_TABLE.c.account_id, accounts),
            (_TABLE.c.address, addresses),
        )
        if values
    ]
    if not queries:
        return []
    return [
        Entry(
            row.person_id,
            row.account_id,
            row.address,
            Channel(row.channel),
            row.at_utc,
            bool(row.conversation),
        )
        for row in tx.execute(union(*queries))
    ]


def reserve(tx: Tx, entry: Entry, *, campaign_id: CampaignId | None, purpose: str) -> str:
    """Write a reserved contact and return its id; the gate's alone."""
    contact_id = new_id()
    tx.execute(
        _INSERT,
        {
            "id": contact_id,
            "person_id": entry.person_id,
            "account_id": entry.account_id,
            "campaign_id": campaign_id,
            "channel": entry.channel.value,
            "address": entry.address,
            "purpose": purpose,
            "at_utc": entry.at_utc,
            "settlement": ContactSettlement.RESERVED.value,
            "conversation": False,
            "prior": False,
        },
    )
    return contact_id


def link_attempt(tx: Tx, contact_id: str, attempt_id: AttemptId) -> None:
    """Say which attempt a reservation was made for, once the attempt's row is there."""
    tx.execute(_LINK, {"key": contact_id, "attempt": attempt_id})


def settle(
    tx: Tx, attempt_id: AttemptId, settlement: ContactSettlement, *, outcome: str, conversation: bool
) -> bool:
    """Settle an attempt's contact; False where it has been settled before, and then nothing changes."""
    statement = (
        update(_TABLE)
        .where(_TABLE.c.attempt_id == attempt_id, _TABLE.c.settlement == ContactSettlement.RESERVED.value)
        .values(settlement=settlement.value, outcome=outcome, conversation=conversation)
    )
    return tx.execute(statement).rowcount > 0
