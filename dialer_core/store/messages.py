"""The message table: the outbox and the conversation log. It also owns receipts that came too early.

It owns the rows and their questions. Which state follows which is `messaging/outbox.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Table, bindparam, delete, exc, func, insert, select, update

from dialer_core.store.message_models import EarlyReceipt, Message, MessagePart
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    CampaignId,
    Channel,
    MessageId,
    MessageState,
    PersonId,
    PhoneId,
    UncertainPolicy,
)

_TABLE: Table = Message.__table__  # type: ignore[assignment]
_EARLY: Table = EarlyReceipt.__table__  # type: ignore[assignment]
_PART: Table = MessagePart.__table__  # type: ignore[assignment]


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Out: who gets it and by which rules; in: who sent it, as far as the address says."""

    id: MessageId
    channel: Channel
    state: MessageState
    reason: str | None = None
    person_id: PersonId | None
    account_id: AccountId | None
    campaign_id: CampaignId | None
    phone_id: PhoneId | None
    address: str
    purpose: str
    template: str | None
    language: str
    subject: str
    body: str
    provider_template: dict[str, Any] | None = None
    letters: list[dict[str, str]] | None = None
    reminds: dict[str, Any] | None = None
    when_uncertain: UncertainPolicy = UncertainPolicy.HOLD
    request_key: str | None = None
    source: str
    node: str | None = None
    tries: int = 0
    next_at_utc: dt.datetime
    not_after_utc: dt.datetime | None = None
    provider_id: str | None = None
    contact_id: str | None = None
    evidence: dict[str, Any] | None = None
    cost_micro: int | None = None
    cost_currency: str | None = None
    created_at_utc: dt.datetime
    submitted_at_utc: dt.datetime | None = None
    settled_at_utc: dt.datetime | None = None


_FIELDS = MessageRow.__struct_fields__
_SETTLED_FIELDS = (
    "state", "reason", "node", "tries", "next_at_utc", "provider_id", "contact_id", "evidence",
    "cost_micro", "cost_currency", "submitted_at_utc", "settled_at_utc",
)  # fmt: skip
"""What may change once it is written."""
_INSERT = Prepared(insert(_TABLE))
_SET = Prepared(
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in _SETTLED_FIELDS})
)
_DUE = (
    select(_TABLE)
    .where(
        _TABLE.c.channel == bindparam("by"),
        _TABLE.c.state == MessageState.QUEUED.value,
        _TABLE.c.next_at_utc <= bindparam("now"),
    )
    .order_by(_TABLE.c.next_at_utc, _TABLE.c.id)
    .limit(bindparam("most"))
)
_DUE_ALONE = Prepared(_DUE)
_DUE_KEPT = Prepared(_DUE.with_for_update(skip_locked=True))
_BY_ID = select(_TABLE).where(_TABLE.c.id.in_(bindparam("keys", expanding=True))).order_by(_TABLE.c.id)
_BY_ID_ALONE, _BY_ID_KEPT = Prepared(_BY_ID), Prepared(_BY_ID.with_for_update())
_OF_PROVIDER = (
    select(_TABLE)
    .where(
        _TABLE.c.channel == bindparam("by"),
        _TABLE.c.provider_id.in_(bindparam("numbers", expanding=True)),
        _TABLE.c.state != MessageState.RECEIVED.value,
    )
    .order_by(_TABLE.c.id)
)
_OF_PROVIDER_ALONE, _OF_PROVIDER_KEPT = Prepared(_OF_PROVIDER), Prepared(_OF_PROVIDER.with_for_update())


def _row(found: Row[Any] | Any) -> MessageRow:
    return msgspec.convert({name: getattr(found, name) for name in _FIELDS}, MessageRow)


def add(tx: Tx, messages: Sequence[MessageRow]) -> None:
    """Write new messages."""
    if messages:
        tx.execute(_INSERT, [msgspec.to_builtins(one, builtin_types=(dt.datetime,)) for one in messages])


def add_received(tx: Tx, message: MessageRow) -> bool:
    """Write a message that came, once: False where the provider told of it before."""
    known = select(_TABLE.c.id).where(
        _TABLE.c.channel == message.channel.value,
        _TABLE.c.provider_id == message.provider_id,
        _TABLE.c.state == MessageState.RECEIVED.value,
    )
    if tx.scalar(known) is not None:
        return False
    try:
        with tx.savepoint():
            add(tx, [message])
    except exc.IntegrityError:  # the same webhook, delivered twice at once
        return False
    return True


def put(tx: Tx, message: MessageRow) -> None:
    """Store what has become of a message."""
    row = msgspec.to_builtins(message, builtin_types=(dt.datetime,))
    tx.execute(_SET, {"key": message.id} | {f"new_{name}": row[name] for name in _SETTLED_FIELDS})


def get(tx: Tx, ids: Collection[str], *, keep: bool = False) -> dict[MessageId, MessageRow]:
    """Return messages by id; `keep`: nobody else changes them before the transaction's end."""
    if not ids:
        return {}
    query = _BY_ID_KEPT if keep and tx.dialect == "postgresql" else _BY_ID_ALONE
    return {one.id: one for one in map(_row, tx.execute(query, {"keys": list(ids)}))}


def requested(tx: Tx, request_key: str) -> MessageId | None:
    """Return the message that was queued under the asker's name of the request, if any."""
    found = tx.scalar(select(_TABLE.c.id).where(_TABLE.c.request_key == request_key))
    return MessageId(found) if found else None


def take_due(tx: Tx, channel: Channel, now: dt.datetime, limit: int) -> list[MessageRow]:
    """Return queued messages whose time has come, the longest due first, kept for this transaction; what others keep is passed over."""
    query = _DUE_KEPT if tx.dialect == "postgresql" else _DUE_ALONE
    return [_row(one) for one in tx.execute(query, {"by": channel.value, "now": now, "most": limit})]


def of_provider(tx: Tx, channel: Channel, provider_ids: Collection[str]) -> dict[str, MessageRow]:
    """Return messages that we sent by the provider's ids, kept for this transaction."""
    if not provider_ids:
        return {}
    query = _OF_PROVIDER_KEPT if tx.dialect == "postgresql" else _OF_PROVIDER_ALONE
    rows = tx.execute(query, {"by": channel.value, "numbers": list(provider_ids)})
    return {str(one.provider_id): _row(one) for one in rows}


def left_submitting(tx: Tx, node: str, before_utc: dt.datetime) -> list[MessageRow]:
    """Return messages that this node was submitting when it ended, or any node so long ago that it is not coming back."""
    query = select(_TABLE).where(
        _TABLE.c.state == MessageState.SUBMITTING.value,
        (_TABLE.c.node == node) | (_TABLE.c.submitted_at_utc < before_utc),
    )
    return [_row(one) for one in tx.execute(query)]


def uncertain(tx: Tx, channel: Channel, now: dt.datetime, limit: int) -> list[MessageRow]:
    """Return messages about which the provider is to be asked now."""
    query = (
        select(_TABLE)
        .where(
            _TABLE.c.channel == channel.value,
            _TABLE.c.state == MessageState.UNCERTAIN.value,
            _TABLE.c.next_at_utc <= now,
        )
        .order_by(_TABLE.c.next_at_utc)
        .limit(limit)
    )
    return [_row(one) for one in tx.execute(query)]


def waiting(
    tx: Tx, *, account_id: AccountId | None = None, channel: Channel | None = None, address: str | None = None
) -> list[MessageRow]:
    """Return messages that are queued or held: of an account, or to an address by a channel."""
    query = select(_TABLE).where(_TABLE.c.state.in_([MessageState.QUEUED.value, MessageState.HELD.value]))
    if account_id is not None:
        query = query.where(_TABLE.c.account_id == account_id)
    if channel is not None:
        query = query.where(_TABLE.c.channel == channel.value, _TABLE.c.address == address)
    if tx.dialect == "postgresql":
        query = query.with_for_update(skip_locked=True)
    return [_row(one) for one in tx.execute(query)]


def last_from(tx: Tx, channel: Channel, person_id: PersonId) -> dt.datetime | None:
    """Return when a person last wrote by a channel."""
    query = select(func.max(_TABLE.c.created_at_utc)).where(
        _TABLE.c.channel == channel.value,
        _TABLE.c.person_id == person_id,
        _TABLE.c.state == MessageState.RECEIVED.value,
    )
    found: dt.datetime | None = tx.scalar(query)
    return found


def last_heard(tx: Tx, channel: Channel, address: str) -> dt.datetime | None:
    """Return when somebody last wrote from an address."""
    query = select(func.max(_TABLE.c.created_at_utc)).where(
        _TABLE.c.channel == channel.value,
        _TABLE.c.address == address,
        _TABLE.c.state == MessageState.RECEIVED.value,
    )
    found: dt.datetime | None = tx.scalar(query)
    return found


def last_to(tx: Tx, channel: Channel, address: str) -> MessageRow | None:
    """Return the last message that we sent to an address: what an answer from there is probably about."""
    query = (
        select(_TABLE)
        .where(
            _TABLE.c.channel == channel.value,
            _TABLE.c.address == address,
            _TABLE.c.state != MessageState.RECEIVED.value,
        )
        .order_by(_TABLE.c.created_at_utc.desc())
        .limit(1)
    )
    found = tx.execute(query).first()
    return _row(found) if found else None


def conversation(tx: Tx, person_id: PersonId, limit: int = 200) -> list[MessageRow]:
    """Return what was written to and by a person over all channels, the oldest first, at most so many of the newest."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.person_id == person_id)
        .order_by(_TABLE.c.created_at_utc.desc(), _TABLE.c.id.desc())
        .limit(limit)
    )
    return [_row(one) for one in tx.execute(query)][::-1]


def at_address(tx: Tx, channel: Channel, address: str, limit: int = 200) -> list[MessageRow]:
    """Return what was written to and from an address, the oldest first, at most so many of the newest."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.channel == channel.value, _TABLE.c.address == address)
        .order_by(_TABLE.c.created_at_utc.desc(), _TABLE.c.id.desc())
        .limit(limit)
    )
    return [_row(one) for one in tx.execute(query)][::-1]


def in_state(tx: Tx, state: MessageState, limit: int = 200) -> list[MessageRow]:
    """Return messages in a state, the newest first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.state == state.value)
        .order_by(_TABLE.c.created_at_utc.desc())
        .limit(limit)
    )
    return [_row(one) for one in tx.execute(query)]


def counts(tx: Tx) -> dict[tuple[Channel, MessageState], int]:
    """Return how many messages there are by channel and state."""
    query = select(_TABLE.c.channel, _TABLE.c.state, func.count().label("number")).group_by(
        _TABLE.c.channel, _TABLE.c.state
    )
    return {(Channel(one.channel), MessageState(one.state)): one.number for one in tx.execute(query)}


class Early(msgspec.Struct, frozen=True):
    """A receipt of a message whose provider id we do not know yet."""

    channel: Channel
    provider_id: str
    delivered: bool
    reason: str


def keep_early(tx: Tx, receipts: Collection[Early], at_utc: dt.datetime) -> None:
    """Keep receipts until the answers they belong to come; one told twice is kept once."""
    for one in receipts:
        key = (
            (_EARLY.c.channel == one.channel.value)
            & (_EARLY.c.provider_id == one.provider_id)
            & (_EARLY.c.delivered == one.delivered)
        )
        if tx.scalar(select(_EARLY.c.provider_id).where(key)) is None:
            tx.execute(
                insert(_EARLY),
                {"channel": one.channel.value, "provider_id": one.provider_id, "delivered": one.delivered,
                 "reason": one.reason[:64], "at_utc": at_utc},
            )  # fmt: skip


def take_early(tx: Tx, channel: Channel, provider_ids: Collection[str]) -> list[Early]:
    """Return the receipts that came before these answers, and forget them."""
    if not provider_ids:
        return []
    here = (_EARLY.c.channel == channel.value) & _EARLY.c.provider_id.in_(list(provider_ids))
    found = [
        Early(channel, row.provider_id, bool(row.delivered), row.reason)
        for row in tx.execute(select(_EARLY).where(here))
    ]
    if found:
        tx.execute(delete(_EARLY).where(here))
    return found


def overtaken(tx: Tx, channel: Channel, limit: int = 500) -> list[str]:
    """Return provider ids of receipts that are kept although their answers have come meanwhile: both were stored at the same time."""
    here = _EARLY.c.channel == channel.value
    wholes = (
        select(_EARLY.c.provider_id)
        .join(_TABLE, (_TABLE.c.channel == _EARLY.c.channel) & (_TABLE.c.provider_id == _EARLY.c.provider_id))
        .where(here, _TABLE.c.state != MessageState.RECEIVED.value)
        .limit(limit)
    )
    parts = (
        select(_EARLY.c.provider_id)
        .join(_PART, (_PART.c.channel == _EARLY.c.channel) & (_PART.c.provider_id == _EARLY.c.provider_id))
        .where(here)
        .limit(limit)
    )
    return list(dict.fromkeys([*tx.scalars(wholes), *tx.scalars(parts)]))


def forget_early(tx: Tx, before_utc: dt.datetime) -> int:
    """Forget receipts of nothing that we sent; return how many there were."""
    return tx.execute(delete(_EARLY).where(_EARLY.c.at_utc < before_utc)).rowcount
