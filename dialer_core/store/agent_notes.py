"""The agent_note table: what supervisors wrote to agents, and whether it was read. It owns the rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec
from sqlalchemy import Table, insert, null, select, update

from dialer_core.store.tx import Tx
from dialer_core.store.voice_models import AgentNote
from dialer_core.vocabulary import AgentId, new_id

_TABLE: Table = AgentNote.__table__  # type: ignore[assignment]
MOST_SHOWN = 100


class NoteView(msgspec.Struct, frozen=True, kw_only=True):
    """One note."""

    id: str
    author: str
    note: str
    at_utc: str
    read: bool


def add(tx: Tx, agent_id: AgentId, author: str, note: str, at_utc: dt.datetime) -> str:
    """Write a note; return its id."""
    note_id = new_id()
    tx.execute(
        insert(_TABLE),
        {"id": note_id, "agent_id": agent_id, "author": author, "note": note, "at_utc": at_utc},
    )
    return note_id


def of(tx: Tx, agent_id: AgentId) -> Sequence[NoteView]:
    """Return an agent's notes, the latest first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.agent_id == agent_id)
        .order_by(_TABLE.c.at_utc.desc(), _TABLE.c.id.desc())
    )
    return [
        NoteView(id=row.id, author=row.author, note=row.note, at_utc=row.at_utc.isoformat(), read=row.read_at_utc is not None)
        for row in tx.execute(query.limit(MOST_SHOWN))
    ]  # fmt: skip


def mark_read(tx: Tx, agent_id: AgentId, note_id: str, at_utc: dt.datetime) -> None:
    """Note that the agent has read it; the first time counts."""
    tx.execute(
        update(_TABLE)
        .where(_TABLE.c.id == note_id, _TABLE.c.agent_id == agent_id, _TABLE.c.read_at_utc.is_(null()))
        .values(read_at_utc=at_utc)
    )
