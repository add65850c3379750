"""What a day of dialing was like, read from the attempt and agent_interval tables: the laws that a simulation of it needs.

It owns the reading only; it writes no table.
"""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import Table, select

from dialer_core.store.models import AgentInterval, Attempt
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_INTERVAL: Table = AgentInterval.__table__  # type: ignore[assignment]


class DayAttempt(msgspec.Struct, frozen=True):
    """One attempt of the day; seconds, None where it did not come to that."""

    at_utc: dt.datetime
    outcome: str | None
    live: bool
    abandoned: bool
    answered: bool
    rang_s: float | None
    """From the INVITE to the answer, or to the end."""
    waited_s: float | None
    """From the greeting's end to the bridge."""


class DayInterval(msgspec.Struct, frozen=True):
    """One interval of an agent."""

    agent_id: str
    state: str
    from_utc: dt.datetime
    to_utc: dt.datetime


def attempts(tx: Tx, campaign_id: CampaignId, since: dt.datetime, until: dt.datetime) -> list[DayAttempt]:
    """Return the attempts of a campaign committed in [since, until) that reached the wire and ended, in order."""
    query = (
        select(
            _ATTEMPT.c.committed_at_utc, _ATTEMPT.c.outcome, _ATTEMPT.c.live_answer, _ATTEMPT.c.abandoned, _ATTEMPT.c.sent_mono_ns,
            _ATTEMPT.c.answered_mono_ns, _ATTEMPT.c.ended_mono_ns, _ATTEMPT.c.greeting_end_mono_ns, _ATTEMPT.c.bridged_mono_ns,
        )
        .where(
            _ATTEMPT.c.campaign_id == campaign_id, _ATTEMPT.c.committed_at_utc >= since, _ATTEMPT.c.committed_at_utc < until,
            _ATTEMPT.c.sent_mono_ns.is_not(None), _ATTEMPT.c.outcome.is_not(None),
        )
        .order_by(_ATTEMPT.c.committed_at_utc, _ATTEMPT.c.id)
    )  # fmt: skip
    return [
        DayAttempt(
            at_utc=row.committed_at_utc, outcome=row.outcome, live=row.live_answer, abandoned=row.abandoned,
            answered=row.answered_mono_ns is not None, rang_s=_between(row.sent_mono_ns, row.answered_mono_ns or row.ended_mono_ns),
            waited_s=_between(row.greeting_end_mono_ns, row.bridged_mono_ns),
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def intervals(tx: Tx, agents: list[str], since: dt.datetime, until: dt.datetime) -> list[DayInterval]:
    """Return what these agents did in [since, until), cut to it; an open interval ends at `until`."""
    query = (
        select(_INTERVAL.c.agent_id, _INTERVAL.c.state, _INTERVAL.c.from_utc, _INTERVAL.c.to_utc)
        .where(
            _INTERVAL.c.agent_id.in_(agents),
            _INTERVAL.c.from_utc < until,
            (_INTERVAL.c.to_utc.is_(None)) | (_INTERVAL.c.to_utc > since),
        )
        .order_by(_INTERVAL.c.from_utc, _INTERVAL.c.id)
    )
    return [
        DayInterval(row.agent_id, row.state, max(row.from_utc, since), min(row.to_utc or until, until))
        for row in tx.execute(query)
    ]


def _between(from_ns: int | None, to_ns: int | None) -> float | None:
    return None if from_ns is None or to_ns is None or to_ns < from_ns else (to_ns - from_ns) / 1e9
