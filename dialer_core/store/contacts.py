"""The contact table: the ledger of contacts over all channels, which the caps count.

It owns the rows: reserved by the gate, settled once. It does not own what a cap counts (`compliance/caps.py`) nor which outcomes void.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Table, bindparam, insert, select, update

from dialer_core.store import bulk
from dialer_core.store.models import Contact
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    CampaignId,
    Channel,
    ContactSettlement,
    PersonId,
    new_id,
    new_ids,
)

ANSWER = "answer"
"""The purpose of a contact that answers what the person wrote: they began it, and it counts for no cap."""
_TABLE: Table = Contact.__table__  # type: ignore[assignment]
_INSERT = Prepared(insert(_TABLE))
_SETTLE = Prepared(
    update(_TABLE)
    .where(
        _TABLE.c.attempt_id == bindparam("attempt"), _TABLE.c.settlement == ContactSettlement.RESERVED.value
    )
    .values(settlement=bindparam("settled"), outcome=bindparam("ended_as"), conversation=bindparam("talked"))
)
_SETTLE_ONE = Prepared(
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("key"), _TABLE.c.settlement == ContactSettlement.RESERVED.value)
    .values(settlement=bindparam("settled"), outcome=bindparam("ended_as"))
)
_ENTRY_COLUMNS = (
    _TABLE.c.id,
    _TABLE.c.person_id,
    _TABLE.c.account_id,
    _TABLE.c.address,
    _TABLE.c.channel,
    _TABLE.c.at_utc,
    _TABLE.c.conversation,
    _TABLE.c.outcome,
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
    outcome: str | None = None
    """How it ended, once it has."""


class NewContact(msgspec.Struct, frozen=True):
    """A contact about to be made."""

    entry: Entry
    campaign_id: CampaignId | None
    purpose: str
    attempt_id: AttemptId | None = None
    external_id: str | None = None
    """What somebody outside of calls and messages knows it by; it is there once."""


def _query(column: str) -> Prepared:
    query = select(*_ENTRY_COLUMNS).where(
        _TABLE.c[column].in_(bindparam("values", expanding=True)),
        _TABLE.c.at_utc >= bindparam("since"),
        _TABLE.c.settlement != ContactSettlement.VOID.value,
        _TABLE.c.purpose != ANSWER,
    )
    if column != "person_id":  # nearly every one is of a person asked for anyway: those are not read twice
        query = query.where(_TABLE.c.person_id.not_in(bindparam("persons", expanding=True)))
    return Prepared(query)


_QUERIES = {column: _query(column) for column in ("person_id", "account_id", "address")}
_CHANNELS = {channel.value: channel for channel in Channel}


def entries_since(
    tx: Tx,
    since_utc: dt.datetime,
    *,
    persons: Collection[str],
    accounts: Collection[str],
    addresses: Collection[str],
) -> list[Entry]:
    """Return every contact since then that counts and is of one of these people, accounts or addresses."""
    wanted = {"person_id": persons, "account_id": accounts, "address": addresses}
    found: dict[str, Entry] = {}
    for column, values in wanted.items():
        if values:
            asked = {"values": list(values), "since": since_utc, "persons": list(persons)}
            for row_id, person, account, address, channel, at, talked, outcome in tx.execute(
                _QUERIES[column], asked
            ):
                found[row_id] = Entry(person, account, address, _CHANNELS[channel], at, bool(talked), outcome)
    return list(found.values())


def reserve(tx: Tx, new: Sequence[NewContact]) -> list[str]:
    """Write reserved contacts and return their ids; the gate's alone."""
    rows = [
        {
            "id": contact_id,
            "person_id": one.entry.person_id,
            "account_id": one.entry.account_id,
            "attempt_id": one.attempt_id,
            "campaign_id": one.campaign_id,
            "channel": one.entry.channel.value,
            "address": one.entry.address,
            "purpose": one.purpose,
            "at_utc": one.entry.at_utc,
            "settlement": ContactSettlement.RESERVED.value,
            "conversation": False,
            "prior": False,
            "external_id": one.external_id,
        }
        for one, contact_id in zip(new, new_ids(len(new)), strict=True)
    ]
    if rows:
        tx.execute(_INSERT, rows)
    return [str(row["id"]) for row in rows]


class PriorContact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that was made before this system, or beside it."""

    external_id: str
    """The customer's own number of it; it counts once."""
    person_id: PersonId
    account_id: AccountId | None
    channel: Channel
    address: str
    at_utc: dt.datetime
    outcome: str | None
    conversation: bool


def add_prior(tx: Tx, prior: Sequence[PriorContact]) -> int:
    """Write earlier contacts that are not known yet, as counted; return how many were new."""
    known = set(
        tx.scalars(
            select(_TABLE.c.external_id).where(_TABLE.c.external_id.in_([one.external_id for one in prior]))
        )
    )
    rows = [
        {
            "id": new_id(),
            "person_id": one.person_id,
            "account_id": one.account_id,
            "channel": one.channel.value,
            "address": one.address,
            "purpose": "collection",
            "at_utc": one.at_utc,
            "settlement": ContactSettlement.COUNTED.value,
            "outcome": one.outcome,
            "conversation": one.conversation,
            "prior": True,
            "external_id": one.external_id,
        }
        for one in prior
        if one.external_id not in known
    ]
    bulk.insert(tx, _TABLE, rows)
    return len(rows)


def settle(
    tx: Tx, attempt_id: AttemptId, settlement: ContactSettlement, *, outcome: str, conversation: bool
) -> bool:
    """Settle an attempt's contact; False where it has been settled before, and then nothing changes."""
    values = {"attempt": attempt_id, "settled": settlement.value, "ended_as": outcome, "talked": conversation}
    return tx.execute(_SETTLE, values).rowcount > 0


class PastContact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that was not a call of this system's: a message, a visit, or what was imported."""

    id: str
    account_id: AccountId | None
    channel: Channel
    at_utc: dt.datetime
    outcome: str | None
    conversation: bool
    prior: bool


def apart_from_calls(tx: Tx, person_id: PersonId, limit: int) -> list[PastContact]:
    """Return a person's contacts that no attempt stands for, the latest first; those that never reached them are left out."""
    columns = [_TABLE.c[name] for name in PastContact.__struct_fields__]
    query = (
        select(*columns)
        .where(
            _TABLE.c.person_id == person_id,
            _TABLE.c.attempt_id.is_(None),
            _TABLE.c.settlement != ContactSettlement.VOID.value,
        )
        .order_by(_TABLE.c.at_utc.desc(), _TABLE.c.id.desc())
        .limit(limit)
    )
    return [PastContact(**row) for row in tx.execute(query).mappings()]


def settle_message(tx: Tx, contact_id: str, settlement: ContactSettlement, *, outcome: str) -> bool:
    """Settle a message's contact; False where it has been settled before, and then nothing changes."""
    values = {"key": contact_id, "settled": settlement.value, "ended_as": outcome[:24]}
    return tx.execute(_SETTLE_ONE, values).rowcount > 0


def is_known(tx: Tx, external_id: str) -> bool:
    """Say whether a contact of this name is in the ledger."""
    return tx.execute(select(_TABLE.c.id).where(_TABLE.c.external_id == external_id)).first() is not None


def settle_named(
    tx: Tx, external_id: str, settlement: ContactSettlement, *, outcome: str, conversation: bool
) -> bool:
    """Settle a contact by its name; False where it has been settled before, or is none, and then nothing changes.

    One that was told late counts from the beginning: it only gets its outcome.
    """
    query = update(_TABLE).where(_TABLE.c.external_id == external_id, _TABLE.c.outcome.is_(None))
    values = {"settlement": settlement.value, "outcome": outcome[:24], "conversation": conversation}
    return tx.execute(query.values(**values)).rowcount > 0
