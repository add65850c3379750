"""The push_target and push_dead tables: how far other systems have been told what happened, and what they did not take.

It owns the rows. Events themselves are the log's (`store/events.py`): a dead letter is a stretch of it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from sqlalchemy import Table, func, insert, select, update

from dialer_core.store.push_models import PushDead, PushTarget
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import new_id

_TARGET: Table = PushTarget.__table__  # type: ignore[assignment]
_DEAD: Table = PushDead.__table__  # type: ignore[assignment]

DEAD, AGAIN, TOLD = "dead", "again", "told"


class PushView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a node has told a target."""

    name: str
    node: str
    cursor: str
    told: int
    """Events, in all."""
    dead: int
    """Stretches of events that it did not take."""
    trouble: str
    """Why it is not told now; empty: it is."""
    changed_at_utc: dt.datetime


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Events that a target did not take: those of the log between two cursors."""

    id: str
    name: str
    node: str
    since: str
    until: str
    events: int
    reason: str
    state: str
    """`dead`, `again` (to be sent once more) or `told`."""
    at_utc: dt.datetime


def cursor(tx: Tx, name: str, node: str) -> str | None:
    """Return how far a target has been told by a node; None: never."""
    found: str | None = tx.scalar(
        select(_TARGET.c.cursor).where(_TARGET.c.name == name, _TARGET.c.node == node)
    )
    return found


def advance(tx: Tx, name: str, node: str, cursor: str, told: int) -> None:
    """Keep how far a target has been told, and so many events more."""
    _change(tx, name, node, cursor, {"cursor": cursor, "told": _TARGET.c.told + told, "trouble": ""}, told)


def troubled(tx: Tx, name: str, node: str, cursor: str, why: str) -> None:
    """Keep why a target is not told now."""
    _change(tx, name, node, cursor, {"trouble": why}, 0, why)


def _change(
    tx: Tx, name: str, node: str, cursor: str, values: dict[str, Any], told: int, why: str = ""
) -> None:
    where = (_TARGET.c.name == name, _TARGET.c.node == node)
    if not tx.execute(update(_TARGET).where(*where).values(**values, changed_at_utc=tx.utc())).rowcount:
        row = {"name": name, "node": node, "cursor": cursor, "told": told, "trouble": why}
        tx.execute(insert(_TARGET), row | {"changed_at_utc": tx.utc()})


def bury(tx: Tx, name: str, node: str, since: str, until: str, events: int, reason: str) -> str:
    """Put a stretch of events aside and go on behind it, both or neither; return its id."""
    made = new_id()
    row = {"id": made, "name": name, "node": node, "since": since, "until": until, "events": events}
    tx.execute(insert(_DEAD), row | {"reason": reason, "state": DEAD, "at_utc": tx.utc()})
    advance(tx, name, node, until, 0)
    return made


def views(tx: Tx) -> list[PushView]:
    """Return every target of every node, by name."""
    dead = (
        select(_DEAD.c.name, _DEAD.c.node, func.count().label("many"))
        .where(_DEAD.c.state != TOLD)
        .group_by(_DEAD.c.name, _DEAD.c.node)
        .subquery()
    )
    joined = _TARGET.outerjoin(dead, (dead.c.name == _TARGET.c.name) & (dead.c.node == _TARGET.c.node))
    query = select(_TARGET, func.coalesce(dead.c.many, 0).label("dead")).select_from(joined)
    return [PushView(**row._asdict()) for row in tx.execute(query.order_by(_TARGET.c.name, _TARGET.c.node))]


def letters(
    tx: Tx, name: str | None = None, *, node: str | None = None, state: str | None = None, limit: int = 500
) -> list[DeadLetter]:
    """Return dead letters, the oldest first; by default of every target, and whatever has become of them."""
    query = select(_DEAD).order_by(_DEAD.c.id).limit(limit)
    for column, value in ((_DEAD.c.name, name), (_DEAD.c.node, node), (_DEAD.c.state, state)):
        if value is not None:
            query = query.where(column == value)
    return [DeadLetter(**row._asdict()) for row in tx.execute(query)]


def again(tx: Tx, name: str, *, letter: str | None = None, actor: str) -> int:
    """Let a target's dead letters, or one of them, be sent once more; return how many."""
    where = [_DEAD.c.name == name, _DEAD.c.state == DEAD]
    if letter is not None:
        where.append(_DEAD.c.id == letter)
    count: int = tx.execute(update(_DEAD).where(*where).values(state=AGAIN)).rowcount
    if count:
        tx.audit("push.replayed", f"push {name}", actor=actor, letters=count)
    return count


def settle(tx: Tx, letter: str, *, told: bool, reason: str = "") -> None:
    """Keep what became of a dead letter that was sent once more."""
    values = {"state": TOLD} if told else {"state": DEAD, "reason": reason}
    tx.execute(update(_DEAD).where(_DEAD.c.id == letter).values(**values))
