"""What a claim and a recycling ask of the attempt table, for many leads in one statement.

It owns these reads only; the rows are `store/attempts.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, bindparam, func, select, text

from dialer_core.store.models import LIVE, Attempt
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    AttemptId,
    CampaignId,
    LeadId,
    Outcome,
    PersonId,
    PhoneId,
)

_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]

_LIVE_PERSONS, _LIVE_LINES = (
    Prepared(select(which).where(text(LIVE), which.in_(bindparam("values", expanding=True))))
    for which in (_ATTEMPT.c.person_id, _ATTEMPT.c.line)
)
_LAST_TRIES = Prepared(
    select(_ATTEMPT.c.lead_id, _ATTEMPT.c.phone_id, _ATTEMPT.c.outcome)
    .where(_ATTEMPT.c.lead_id.in_(bindparam("leads", expanding=True)))
    .order_by(_ATTEMPT.c.id)
)
_COUNT_OUTCOME = Prepared(
    select(func.count()).where(
        _ATTEMPT.c.lead_id == bindparam("lead"),
        _ATTEMPT.c.outcome == bindparam("named"),
        _ATTEMPT.c.id != bindparam("left_out"),
    )
)


_ATTEMPTS_SINCE = Prepared(
    select(_ATTEMPT.c.lead_id, _ATTEMPT.c.committed_at_utc)
    .where(
        _ATTEMPT.c.lead_id.in_(bindparam("leads", expanding=True)),
        _ATTEMPT.c.committed_at_utc >= bindparam("since"),
        _ATTEMPT.c.retry_of.is_(None),
        _ATTEMPT.c.outcome.is_distinct_from(Outcome.CANCELLED.value),
        _ATTEMPT.c.outcome.is_distinct_from(Outcome.TRUNK_FAILED.value),
        _ATTEMPT.c.outcome.is_distinct_from(Outcome.CONGESTION.value),
    )
    .order_by(_ATTEMPT.c.id)
)


class Tried(msgspec.Struct, frozen=True):
    """Whom an attempt was for, and what was said of it: what recycling needs of its row."""

    id: AttemptId
    campaign_id: CampaignId
    lead_id: LeadId
    account_id: AccountId
    person_id: PersonId
    phone_id: PhoneId
    number: str
    live: bool
    agent_id: AgentId | None
    disposition: str | None
    sent_mono_ns: int | None
    reason: str | None


_TRIED = Prepared(
    select(*(_ATTEMPT.c[name] for name in Tried.__struct_fields__)).where(_ATTEMPT.c.id == bindparam("key"))
)


class LastTry(msgspec.Struct, frozen=True):
    """A lead's last attempt."""

    phone_id: PhoneId
    outcome: Outcome | None


def tried(tx: Tx, attempt_id: AttemptId) -> Tried | None:
    """Return whom and what an attempt was for, or None where there is none."""
    row = tx.execute(_TRIED, {"key": attempt_id}).first()
    return None if row is None else Tried(*row)


def live_persons(tx: Tx, person_ids: Collection[str]) -> set[str]:
    """Return those of these people who have a live attempt, on any node and campaign."""
    return set(tx.scalars(_LIVE_PERSONS, {"values": list(person_ids)}))


def live_lines(tx: Tx, lines: Collection[str]) -> set[str]:
    """Return those of these lines (`line_names.line_of`) that have a live attempt, whichever way its number is written."""
    return set(tx.scalars(_LIVE_LINES, {"values": list(lines)}))


def last_tries(tx: Tx, lead_ids: Collection[LeadId]) -> dict[LeadId, LastTry]:
    """Return the last attempt of each of these leads that has one."""
    if not lead_ids:
        return {}
    return {
        row.lead_id: LastTry(row.phone_id, Outcome(row.outcome) if row.outcome else None)
        for row in tx.execute(_LAST_TRIES, {"leads": list(lead_ids)})
    }


def attempts_since(
    tx: Tx, lead_ids: Collection[LeadId], since: dt.datetime
) -> dict[LeadId, list[dt.datetime]]:
    """Return when each of these leads was tried since then; what never reached the network, and failover, left out."""
    found: dict[LeadId, list[dt.datetime]] = {}
    if lead_ids:
        for row in tx.execute(_ATTEMPTS_SINCE, {"leads": list(lead_ids), "since": since}):
            found.setdefault(row.lead_id, []).append(row.committed_at_utc)
    return found


def count_outcome(tx: Tx, lead_id: LeadId, outcome: Outcome, *, without: AttemptId) -> int:
    """Count a lead's ended attempts with an outcome, leaving one out."""
    return tx.scalar(_COUNT_OUTCOME, {"lead": lead_id, "named": outcome.value, "left_out": without}) or 0
