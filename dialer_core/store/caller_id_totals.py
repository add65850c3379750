"""What came of the attempts from each caller ID of a pool: counted over the attempt table. It owns this read only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import ColumnElement, Table, and_, case, func, select

from dialer_core.store.models import Attempt
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import EndedBy

_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
BLOCKED_CODES = (403, 433, 603, 607, 608)
"""How networks and phones say that they do not take calls from a number: forbidden, anonymity disallowed, declined, unwanted, rejected by analytics
(RFC 3261, 5079, 8197, 8688)."""
SHORT_NS = 6_000_000_000
"""They hang up so soon after the answer: what a `spam` label on the display does."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts from one number."""

    number: str
    attempts: int
    """That had a final answer of the far end."""
    answered: int
    short: int
    """Of those answered, hung up by them within `SHORT_NS`."""
    blocked: int
    """Refused with one of `BLOCKED_CODES`."""


def of(tx: Tx, numbers: Collection[str], since: dt.datetime) -> list[Totals]:
    """Count the attempts from these numbers committed since an instant."""

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    its = _ATTEMPT.c
    answered = its.answered_mono_ns.is_not(None)
    short = and_(
        answered, its.ended_by == EndedBy.FAR.value, its.ended_mono_ns - its.answered_mono_ns < SHORT_NS
    )
    query = (
        select(
            its.caller_id.label("number"),
            func.count().label("attempts"),
            count(answered).label("answered"),
            count(short).label("short"),
            count(and_(~answered, its.sip_code.in_(BLOCKED_CODES))).label("blocked"),
        )
        .where(
            its.caller_id.in_(list(numbers)), its.committed_at_utc >= since, its.outcome.is_not(None),
            answered | (its.ended_by == EndedBy.FAR.value) | (its.sip_code.in_((408, 480, 487))),
        )
        .group_by(its.caller_id)
    )  # fmt: skip
    return [
        Totals(**{name: row[name] for name in Totals.__struct_fields__})
        for row in tx.execute(query).mappings()
    ]
