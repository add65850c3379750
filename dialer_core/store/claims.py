"""What a claim and a recycling ask of the attempt table, for many leads in one statement.

It owns these reads only; the rows are `store/attempts.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Table, func, select, true

from dialer_core.store.models import Attempt
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId, LeadId, Outcome, PhoneId

_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]


class LastTry(msgspec.Struct, frozen=True):
    """A lead's last attempt."""

    phone_id: PhoneId
    outcome: Outcome | None


def live_persons(tx: Tx, person_ids: Collection[str]) -> set[str]:
    """Return those of these people who have a live attempt, on any node and campaign."""
    query = select(_ATTEMPT.c.person_id).where(
        _ATTEMPT.c.live == true(), _ATTEMPT.c.person_id.in_(list(person_ids))
    )
    return set(tx.scalars(query))


def live_numbers(tx: Tx, numbers: Collection[str]) -> set[str]:
    """Return those of these numbers that have a live attempt."""
    query = select(_ATTEMPT.c.number).where(_ATTEMPT.c.live == true(), _ATTEMPT.c.number.in_(list(numbers)))
    return set(tx.scalars(query))


def last_tries(tx: Tx, lead_ids: Collection[LeadId]) -> dict[LeadId, LastTry]:
    """Return the last attempt of each of these leads that has one."""
    if not lead_ids:
        return {}
    query = (
        select(_ATTEMPT.c.lead_id, _ATTEMPT.c.phone_id, _ATTEMPT.c.outcome)
        .where(_ATTEMPT.c.lead_id.in_(list(lead_ids)))
        .order_by(_ATTEMPT.c.id)
    )
    return {
        row.lead_id: LastTry(row.phone_id, Outcome(row.outcome) if row.outcome else None)
        for row in tx.execute(query)
    }


def count_outcome(tx: Tx, lead_id: LeadId, outcome: Outcome, *, without: AttemptId) -> int:
    """Count a lead's ended attempts with an outcome, leaving one out."""
    query = select(func.count()).where(
        _ATTEMPT.c.lead_id == lead_id, _ATTEMPT.c.outcome == outcome.value, _ATTEMPT.c.id != without
    )
    return tx.scalar(query) or 0
