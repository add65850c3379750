"""The detection_sample table: machine verdicts that were drawn for evidence, with the share they were drawn under and what came of it.

It owns the rows, and the tallies of verdicts against agents' words that the estimate of lost people is made of. The estimate is
`compliance/detection_quality.py`'s, the draw `calls/machines.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec
from sqlalchemy import Table, func, select
from sqlalchemy import insert as sql_insert

from dialer_core.store.models import Attempt, DetectionSample
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId, CampaignId

_TABLE: Table = DetectionSample.__table__  # type: ignore[assignment]
_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_INSERT = sql_insert(_TABLE)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One machine verdict that was drawn for."""

    attempt_id: AttemptId
    campaign_id: CampaignId
    label: str
    share: float
    """Share of such verdicts that were to be connected then."""
    draw: float
    """The attempt's number in [0, 1): under the share it was chosen."""
    agent_free: bool
    """An agent was free: without one nothing is connected."""
    connected: bool
    at_utc: dt.datetime


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many answered calls of one kind there are."""

    first: str
    """The verdict that was acted on."""
    last: str
    """The same after any revision."""
    bridged: bool
    disposition: str | None
    share: float | None
    """Share it was drawn under; None where it was not drawn, or where no agent was free."""
    connected: bool
    """Connected because it was drawn."""
    calls: int


def insert(tx: Tx, sample: Sample) -> None:
    """Write one row; an attempt is drawn once, whatever engine it is in the hands of."""
    if tx.scalar(select(_TABLE.c.attempt_id).where(_TABLE.c.attempt_id == sample.attempt_id)) is not None:
        return
    tx.execute(_INSERT, {field: getattr(sample, field) for field in Sample.__struct_fields__})


def tallies(tx: Tx, campaign_id: CampaignId, since_utc: dt.datetime) -> Iterator[Tally]:
    """Yield the calls of a campaign that got a verdict after their answer, committed since then, counted by kind."""
    bridged = _ATTEMPT.c.bridged_mono_ns.is_not(None).label("bridged")
    columns = (
        _ATTEMPT.c.verdict,
        _ATTEMPT.c.verdict_revised_from,
        bridged,
        _ATTEMPT.c.disposition,
        _TABLE.c.share,
        _TABLE.c.agent_free,
        _TABLE.c.connected,
    )
    query = (
        select(*columns, func.count().label("calls"))
        .select_from(_ATTEMPT.outerjoin(_TABLE, _TABLE.c.attempt_id == _ATTEMPT.c.id))
        .where(
            _ATTEMPT.c.campaign_id == campaign_id,
            _ATTEMPT.c.committed_at_utc >= since_utc,
            _ATTEMPT.c.verdict.is_not(None),
        )
        .group_by(*columns)
    )
    for row in tx.execute(query):
        yield Tally(
            first=row.verdict_revised_from or row.verdict,
            last=row.verdict,
            bridged=bool(row.bridged),
            disposition=row.disposition,
            share=row.share if row.agent_free else None,
            connected=bool(row.connected),
            calls=row.calls,
        )
