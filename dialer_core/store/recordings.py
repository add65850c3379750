"""The recording table: what was recorded, how far it has come, and until when it is kept.

It owns the rows. The sound is the media plane's (`media/spool.py`) and the archive's (`archive.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, and_, insert, or_, select, update

from dialer_core.store.tx import Tx
from dialer_core.store.voice_models import Recording
from dialer_core.vocabulary import AgentId, AttemptId, CampaignId

_TABLE: Table = Recording.__table__  # type: ignore[assignment]
RECORDING, SPOOLED, STORED, LOST, UNWANTED, REFUSED, EXPIRED = (
    "recording", "spooled", "stored", "lost", "unwanted", "refused", "expired",
)  # fmt: skip
"""States: it goes on; waits to be archived; is there; nothing of it could be kept; they did not want it, and its sound is still to be deleted;
they did not want it; its time is over."""
MOST_FOUND = 500


class RecordingView(msgspec.Struct, frozen=True, kw_only=True):
    """One recording, as it is found and shown."""

    id: str
    attempt_id: str | None
    campaign: str
    agent: str | None
    state: str
    began_at_utc: str
    seconds: float | None
    lost_pieces: int | None
    paused: bool
    container: str | None
    size: int | None
    sha256: str | None


def begin(
    tx: Tx, recording_id: str, *, attempt_id: AttemptId | None, campaign_id: CampaignId, agent_id: AgentId, node: str, at_utc: dt.datetime
) -> None:  # fmt: skip
    """Write that a recording has begun."""
    tx.execute(
        insert(_TABLE),
        {
            "id": recording_id, "attempt_id": attempt_id, "campaign_id": campaign_id, "agent_id": agent_id, "node": node,
            "state": RECORDING, "began_at_utc": at_utc, "paused": False,
        },
    )  # fmt: skip


def change(tx: Tx, recording_id: str, **columns: Any) -> None:
    """Write what has become of it. Harmless where it is not known."""
    tx.execute(update(_TABLE).where(_TABLE.c.id == recording_id).values(**columns))


def refuse(tx: Tx, attempt_id: AttemptId | None, former: Collection[str], *, but: str = "") -> list[str]:
    """Say of every other recording of a call that they did not want it: it is not played any more, and the archive deletes it.

    Parameters
    ----------
    tx
        The transaction.
    attempt_id
        The call; None: of somebody who called in.
    former
        Recordings of it that are known besides.
    but
        One that goes on, and is ended otherwise.

    Returns
    -------
    list of str
        Their ids.
    """
    theirs = or_(
        _TABLE.c.id.in_(list(former)),
        and_(_TABLE.c.attempt_id.is_not(None), _TABLE.c.attempt_id == attempt_id),
    )
    there = _TABLE.c.state.in_((RECORDING, SPOOLED, STORED))
    query = select(_TABLE.c.id).where(theirs, there).order_by(_TABLE.c.id)
    found = [one for one in tx.scalars(query) if one != but]
    if found:
        tx.execute(update(_TABLE).where(_TABLE.c.id.in_(found)).values(state=UNWANTED))
    return found


def unwanted(tx: Tx, node: str, limit: int = 100) -> list[str]:
    """Return the ids of a node's recordings whose sound is to be deleted."""
    query = select(_TABLE.c.id).where(_TABLE.c.node == node, _TABLE.c.state == UNWANTED).limit(limit)
    return list(tx.scalars(query))


def get(tx: Tx, recording_id: str) -> RecordingView | None:
    """Return one recording."""
    row = tx.execute(select(_TABLE).where(_TABLE.c.id == recording_id)).first()
    return _view(row) if row is not None else None


def find(
    tx: Tx,
    *,
    campaign: str = "",
    agent: str = "",
    attempt: str = "",
    since_utc: dt.datetime | None = None,
    until_utc: dt.datetime | None = None,
    limit: int = 100,
) -> Sequence[RecordingView]:
    """Return recordings, the latest first."""
    query = select(_TABLE).order_by(_TABLE.c.began_at_utc.desc(), _TABLE.c.id.desc())
    for column, wanted in (
        (_TABLE.c.campaign_id, campaign),
        (_TABLE.c.agent_id, agent),
        (_TABLE.c.attempt_id, attempt),
    ):
        if wanted:
            query = query.where(column == wanted)
    if since_utc is not None:
        query = query.where(_TABLE.c.began_at_utc >= since_utc)
    if until_utc is not None:
        query = query.where(_TABLE.c.began_at_utc < until_utc)
    return [_view(row) for row in tx.execute(query.limit(min(limit, MOST_FOUND)))]


def of_attempts(tx: Tx, attempt_ids: Collection[str]) -> dict[str, list[str]]:
    """Return the ids of recordings that can be played, by attempt."""
    query = (
        select(_TABLE.c.id, _TABLE.c.attempt_id)
        .where(_TABLE.c.attempt_id.in_(list(attempt_ids)), _TABLE.c.state == STORED)
        .order_by(_TABLE.c.began_at_utc)
    )
    found: dict[str, list[str]] = {}
    for row in tx.execute(query):
        found.setdefault(row.attempt_id, []).append(row.id)
    return found


def kept_before(tx: Tx, node: str, before_utc: dt.datetime, limit: int = 100) -> list[str]:
    """Return the ids of stored recordings that began before then: their time is over."""
    query = (
        select(_TABLE.c.id)
        .where(_TABLE.c.node == node, _TABLE.c.state == STORED, _TABLE.c.began_at_utc < before_utc)
        .order_by(_TABLE.c.began_at_utc)
        .limit(limit)
    )
    return list(tx.scalars(query))


def _view(row: Any) -> RecordingView:
    return RecordingView(
        id=row.id, attempt_id=row.attempt_id, campaign=row.campaign_id, agent=row.agent_id, state=row.state,
        began_at_utc=row.began_at_utc.isoformat(), seconds=row.seconds, lost_pieces=row.lost_pieces, paused=bool(row.paused),
        container=row.container, size=row.size, sha256=row.sha256,
    )  # fmt: skip
