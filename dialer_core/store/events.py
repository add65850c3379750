"""The event log: rows written with the state they report, and the tail that everyone else reads.

It owns the `event` table: the numbers of (node, source), the tail, and the cursor of the API. It does not own
the events themselves (`dialer_core/events.py`) nor who is told that there are new ones.

A cursor is a string: `node:source:seq` for every writer seen so far, joined by commas, in order
(`node1:engine:4711,node1:host:12`); the empty string stands before everything. Clients hand back what they
were given.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, Table, Text, bindparam, cast, insert, select, text, tuple_

from dialer_core.errors import StoreError
from dialer_core.events import StoredEvent
from dialer_core.store.models import EventRow
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, new_ids

Writer = tuple[str, str]
"""(node, source)."""

_TABLE: Table = EventRow.__table__  # type: ignore[assignment]
_INSERT = Prepared(insert(_TABLE))
_LAST_SEQ = Prepared(
    # not max(): PostgreSQL walks along all of a writer's events where it does not know how many there are
    select(_TABLE.c.seq)
    .where(_TABLE.c.node == bindparam("node"), _TABLE.c.source == bindparam("source"))
    .order_by(_TABLE.c.seq.desc())
    .limit(1)
)
_WRITERS = select(_TABLE.c.node, _TABLE.c.source).order_by(_TABLE.c.node, _TABLE.c.source).limit(1)
_FIRST_WRITER = Prepared(_WRITERS)
_NEXT_WRITER = Prepared(
    _WRITERS.where(
        tuple_(_TABLE.c.node, _TABLE.c.source)
        > tuple_(bindparam("node", type_=_TABLE.c.node.type), bindparam("source", type_=_TABLE.c.source.type))
    )
)
_NEXT = (
    select(_TABLE)
    .where(
        _TABLE.c.node == bindparam("of_node"),
        _TABLE.c.source == bindparam("of_source"),
        _TABLE.c.seq > bindparam("seen"),
    )
    .order_by(_TABLE.c.seq)
    .limit(bindparam("most"))
)
_NEXT_OF_ALL = Prepared(_NEXT)
_LOCK = Prepared(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"))


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events and where to go on reading."""

    events: list[StoredEvent]
    cursor: str


def insert_pending(tx: Tx) -> int:
    """Write the pending events under the next numbers of their writer; return the last number (0 if none).

    The numbers are taken inside the transaction, so a unit that fails leaves no gap and several processes may
    share a source: SQLite has one writer at a time, PostgreSQL waits on an advisory lock of (node, source)
    until the commit. So, too, a reader never sees a number before the one below it.
    """
    if not tx.pending or tx.stamp is None:
        return tx.last_seq
    stamp, pending = tx.stamp, tx.pending
    if tx.dialect == "postgresql":
        tx.execute(_LOCK, {"key": f"event/{stamp.node}/{stamp.source}"})
    seq = tx.scalar(_LAST_SEQ, {"node": stamp.node, "source": stamp.source}) or 0
    rows = [
        {
            "node": stamp.node,
            "source": stamp.source,
            "seq": number,
            "id": event_id,
            "boot_id": stamp.boot_id,
            "at_utc": item.at_utc,
            "at_mono_ns": item.at_mono_ns,
            "name": item.event.name,
            "campaign_id": item.event.campaign_id,
            "account_id": item.event.account_id,
            "attempt_id": item.event.attempt_id,
            "data": item.event.data(),
        }
        for number, (item, event_id) in enumerate(zip(pending, new_ids(len(pending)), strict=True), seq + 1)
    ]
    tx.execute(_INSERT, rows)
    tx.last_seq = seq + len(rows)
    pending.clear()
    return tx.last_seq


def writers(tx: Tx) -> list[Writer]:
    """Return every (node, source) that has written, by skipping from one to the next along the key."""
    found: list[Writer] = []
    row = tx.execute(_FIRST_WRITER).first()
    while row is not None:
        found.append((row.node, row.source))
        row = tx.execute(_NEXT_WRITER, {"node": row.node, "source": row.source}).first()
    return found


def last_seq(tx: Tx, node: str, source: str) -> int:
    """Return the number of the last event of a writer, 0 if it has written none."""
    insert_pending(tx)
    return tx.scalar(_LAST_SEQ, {"node": node, "source": source}) or 0


def last(tx: Tx, node: str, source: str) -> StoredEvent | None:
    """Return the last event of a writer."""
    insert_pending(tx)
    query = (
        select(_TABLE)
        .where(_TABLE.c.node == node, _TABLE.c.source == source)
        .order_by(_TABLE.c.seq.desc())
        .limit(1)
    )
    row = tx.execute(query).first()
    return None if row is None else _stored(row)


def last_positions(tx: Tx) -> dict[Writer, int]:
    """Return where the log ends now."""
    return {writer: last_seq(tx, *writer) for writer in writers(tx)}


def happened(tx: Tx, name: str, campaign_id: CampaignId) -> bool:
    """Say whether a campaign has an event of this name."""
    query = select(_TABLE.c.seq).where(_TABLE.c.name == name, _TABLE.c.campaign_id == campaign_id).limit(1)
    return tx.execute(query).first() is not None


def happened_in(tx: Tx, name: str, attempt_id: str) -> bool:
    """Say whether an event of this name speaks of an attempt."""
    query = select(_TABLE.c.id).where(_TABLE.c.attempt_id == attempt_id, _TABLE.c.name == name).limit(1)
    return tx.execute(query).first() is not None


def of_leg(tx: Tx, leg_id: str, names: Sequence[str], since: dt.datetime) -> list[StoredEvent]:
    """Return the events of these names that speak of a leg, in order; for the few legs that nobody else knows of."""
    query = (
        select(_TABLE)
        .where(
            _TABLE.c.name.in_(list(names)),
            _TABLE.c.at_utc >= since,
            cast(_TABLE.c.data, Text).like(f"%{leg_id}%"),
        )
        .order_by(_TABLE.c.at_utc, _TABLE.c.seq)
    )
    return [_stored(row) for row in tx.execute(query)]


def latest(tx: Tx, name: str, since: dt.datetime) -> list[StoredEvent]:
    """Return the events of a name since then, in order."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.name == name, _TABLE.c.at_utc >= since)
        .order_by(_TABLE.c.at_utc, _TABLE.c.seq)
    )
    return [_stored(row) for row in tx.execute(query)]


def tail(
    tx: Tx,
    after: Mapping[Writer, int],
    names: Collection[str] | None = None,
    limit: int = 1000,
    *,
    attempt_id: str | None = None,
    campaign_id: str | None = None,
) -> list[StoredEvent]:
    """Return events after the given positions: in order within each writer, writers interleaved by time.

    Parameters
    ----------
    tx
        The transaction.
    after
        Last number seen of each (node, source); one that is not named is read from its beginning.
    names
        Only these events.
    limit
        At most so many.
    attempt_id, campaign_id
        Only events that carry this id.
    """
    insert_pending(tx)
    return _tail(tx, writers(tx), after, names, limit, attempt_id=attempt_id, campaign_id=campaign_id)


def _tail(
    tx: Tx,
    of: Iterable[Writer],
    after: Mapping[Writer, int],
    names: Collection[str] | None,
    limit: int,
    *,
    attempt_id: str | None,
    campaign_id: str | None,
) -> list[StoredEvent]:
    query: Select[Any] | Prepared = _NEXT_OF_ALL
    if (names, attempt_id, campaign_id) != (None, None, None):
        query = _NEXT
        if names is not None:
            query = query.where(_TABLE.c.name.in_(names))
        if attempt_id is not None:
            query = query.where(_TABLE.c.attempt_id == attempt_id)
        if campaign_id is not None:
            query = query.where(_TABLE.c.campaign_id == campaign_id)
    streams: list[Sequence[Any]] = []
    for node, source in of:
        seen = after.get((node, source), 0)
        given = {"of_node": node, "of_source": source, "seen": seen, "most": limit}
        streams.append(tx.execute(query, given).all())
    merged = heapq.merge(*streams, key=lambda row: row.at_utc)
    return [_stored(row) for row, _ in zip(merged, range(limit), strict=False)]


def page(
    tx: Tx,
    cursor: str = "",
    names: Collection[str] | None = None,
    limit: int = 1000,
    *,
    attempt_id: str | None = None,
    campaign_id: str | None = None,
) -> EventPage:
    """Return the events after a cursor and the cursor to go on with; parameters as in `tail`.

    When nothing more matches, the cursor moves over what the filters left out, so that it is not read again.

    Raises
    ------
    StoreError
        The string is not a cursor.
    """
    after = parse_cursor(cursor)
    end = last_positions(tx)
    ahead = [writer for writer, seq in end.items() if seq > after.get(writer, 0)]
    found = _tail(tx, ahead, after, names, limit, attempt_id=attempt_id, campaign_id=campaign_id)
    if len(found) < limit:
        after.update(end)
    for event in found:
        writer = (event.node, event.source)
        after[writer] = max(event.seq, after.get(writer, 0))
    return EventPage(events=found, cursor=format_cursor(after))


def parse_cursor(cursor: str) -> dict[Writer, int]:
    """Return the positions that a cursor stands for.

    Raises
    ------
    StoreError
        It is not a cursor.
    """
    positions: dict[Writer, int] = {}
    for part in filter(None, cursor.split(",")):
        node, _, rest = part.partition(":")
        source, _, seq = rest.partition(":")
        if not (node and source and seq.isascii() and seq.isdigit()):
            raise StoreError(
                "this is not a cursor of the event log; use one that a former answer gave, or an empty one"
            )
        positions[node, source] = int(seq)
    return positions


def format_cursor(positions: Mapping[Writer, int]) -> str:
    """Return the cursor for these positions."""
    return ",".join(f"{node}:{source}:{seq}" for (node, source), seq in sorted(positions.items()))


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(
        node=row.node,
        source=row.source,
        seq=row.seq,
        id=row.id,
        boot_id=row.boot_id,
        at_utc=row.at_utc.isoformat(),
        at_mono_ns=row.at_mono_ns,
        name=row.name,
        campaign_id=row.campaign_id,
        account_id=row.account_id,
        attempt_id=row.attempt_id,
        data=row.data,
    )
