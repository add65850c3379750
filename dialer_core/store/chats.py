"""The chat table: who answers what a person writes at one address.

It owns the rows. Who takes over from whom is `messaging/chats.py`'s, what a flow answers `messaging/bots.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Row, Table, func, insert, select, update

from dialer_core.store.message_models import Chat, Message
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    CampaignId,
    Channel,
    ChatState,
    MessageState,
    PersonId,
    PhoneId,
)

_TABLE: Table = Chat.__table__  # type: ignore[assignment]
_MESSAGE: Table = Message.__table__  # type: ignore[assignment]


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """One chat."""

    id: str
    channel: Channel
    address: str
    person_id: PersonId | None
    account_id: AccountId | None
    campaign_id: CampaignId | None
    phone_id: PhoneId | None
    state: ChatState
    flow: str = ""
    place: dict[str, Any] | None = None
    agent_id: AgentId | None = None
    began_at_utc: dt.datetime
    waits_since_utc: dt.datetime
    expires_at_utc: dt.datetime
    seen_at_utc: dt.datetime | None = None
    identified_at_utc: dt.datetime | None = None


_FIELDS = ChatRow.__struct_fields__


def _row(found: Row[Any] | Any) -> ChatRow:
    return msgspec.convert({name: getattr(found, name) for name in _FIELDS}, ChatRow)


def add(tx: Tx, chat: ChatRow) -> None:
    """Write a new chat."""
    tx.execute(insert(_TABLE), msgspec.to_builtins(chat, builtin_types=(dt.datetime,)))


def put(tx: Tx, chat: ChatRow) -> None:
    """Store what has become of a chat."""
    row = msgspec.to_builtins(chat, builtin_types=(dt.datetime,))
    del row["id"]
    tx.execute(update(_TABLE).where(_TABLE.c.id == chat.id).values(row))


def get(tx: Tx, chat_id: str, *, keep: bool = True) -> ChatRow | None:
    """Return a chat, with `keep` for this transaction, which writes; None: there is none."""
    return _first(tx, select(_TABLE).where(_TABLE.c.id == chat_id), keep=keep)


def open_at(tx: Tx, channel: Channel, address: str) -> ChatRow | None:
    """Return the chat at an address that is not closed, kept for this transaction."""
    return _first(
        tx,
        select(_TABLE).where(
            _TABLE.c.channel == channel.value,
            _TABLE.c.address == address,
            _TABLE.c.state != ChatState.CLOSED.value,
        ),
    )


def in_state(tx: Tx, state: ChatState, *, agent_id: AgentId | None = None, limit: int = 200) -> list[ChatRow]:
    """Return chats in a state, of an agent or of all, those that wait longest first."""
    query = select(_TABLE).where(_TABLE.c.state == state.value)
    if agent_id is not None:
        query = query.where(_TABLE.c.agent_id == agent_id)
    return [_row(one) for one in tx.execute(query.order_by(_TABLE.c.waits_since_utc, _TABLE.c.id).limit(limit))]  # fmt: skip


def number_with(tx: Tx, agent_id: AgentId) -> int:
    """Return how many chats an agent has."""
    query = select(func.count()).where(
        _TABLE.c.state == ChatState.WITH_AGENT.value, _TABLE.c.agent_id == agent_id
    )
    return int(tx.scalar(query) or 0)


def unread(tx: Tx, chat_ids: Collection[str]) -> dict[str, int]:
    """Return how many texts of theirs nobody has seen, by chat; chats without any are left out."""
    if not chat_ids:
        return {}
    since = func.coalesce(_TABLE.c.seen_at_utc, _TABLE.c.began_at_utc)
    # a chat begins with a text that was stored a moment before it
    came = (_MESSAGE.c.created_at_utc > since) | (
        _TABLE.c.seen_at_utc.is_(None) & (_MESSAGE.c.created_at_utc == since)
    )
    query = (
        select(_TABLE.c.id, func.count().label("number"))
        .join(_MESSAGE, (_MESSAGE.c.channel == _TABLE.c.channel) & (_MESSAGE.c.address == _TABLE.c.address))
        .where(_TABLE.c.id.in_(list(chat_ids)), _MESSAGE.c.state == MessageState.RECEIVED.value, came)
        .group_by(_TABLE.c.id)
    )
    return {one.id: one.number for one in tx.execute(query)}


def overdue(tx: Tx, now: dt.datetime, limit: int = 200) -> list[ChatRow]:
    """Return chats of flows in which nobody has answered in time, kept for this transaction."""
    query = select(_TABLE).where(_TABLE.c.state == ChatState.BOT.value, _TABLE.c.expires_at_utc <= now)
    if (
        tx.dialect == "postgresql"
    ):  # one that is being answered in this moment is not overdue, and must not be written over
        query = query.with_for_update(skip_locked=True)
    return [_row(one) for one in tx.execute(query.limit(limit))]


def _first(tx: Tx, query: Any, *, keep: bool = True) -> ChatRow | None:
    if keep and tx.dialect == "postgresql":
        query = query.with_for_update()
    found = tx.execute(query).first()
    return _row(found) if found else None
