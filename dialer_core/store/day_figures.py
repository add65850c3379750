"""What was promised and paid in a stretch of time, and how many leads are done: figures for a supervisor's day.

It owns these questions. The tables are others' (`store/promises.py`, `store/leads.py`, `store/events.py`), and it changes none.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from sqlalchemy import Table, func, select

from dialer_core.store.models import EventRow, Lead
from dialer_core.store.portfolio_models import Payment, Promise
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

_PROMISE: Table = Promise.__table__  # type: ignore[assignment]
_PAYMENT: Table = Payment.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_EVENT: Table = EventRow.__table__  # type: ignore[assignment]


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """So many, of so much. Amounts are in the currency's minor unit."""

    count: int = 0
    amount_minor: int = 0
    currency: str = ""
    """Empty where there is none, or more than one."""


def promised(tx: Tx, campaign_id: CampaignId, since: dt.datetime, until: dt.datetime) -> Sum:
    """Add up the promises made in a campaign in [since, until)."""
    where = (
        _PROMISE.c.campaign_id == campaign_id,
        _PROMISE.c.made_at_utc >= since,
        _PROMISE.c.made_at_utc < until,
    )
    return _sum(tx, select(*_sums(_PROMISE, _PROMISE.c.total_minor)).where(*where))


def promised_by_agent(tx: Tx, campaign_id: CampaignId | None, since: dt.datetime) -> dict[str, int]:
    """Return how many promises each agent took in a campaign since then; None: in all."""
    query = (
        select(_PROMISE.c.agent_id, func.count().label("many"))
        .where(_PROMISE.c.made_at_utc >= since, _PROMISE.c.agent_id.is_not(None))
        .group_by(_PROMISE.c.agent_id)
    )
    if campaign_id is not None:
        query = query.where(_PROMISE.c.campaign_id == campaign_id)
    return {row.agent_id: row.many for row in tx.execute(query)}


def recovered(tx: Tx, campaign_id: CampaignId, since: dt.datetime, until: dt.datetime) -> Sum:
    """Add up what became known as paid in [since, until) of accounts on a campaign's list."""
    listed = select(_LEAD.c.account_id).where(_LEAD.c.campaign_id == campaign_id)
    where = (
        _PAYMENT.c.received_at_utc >= since,
        _PAYMENT.c.received_at_utc < until,
        _PAYMENT.c.account_id.in_(listed),
    )
    return _sum(tx, select(*_sums(_PAYMENT, _PAYMENT.c.amount_minor)).where(*where))


def finished(tx: Tx, campaign_id: CampaignId, since: dt.datetime) -> int:
    """Return how many leads of a campaign were done with since then."""
    query = select(func.count()).where(
        _EVENT.c.name == "lead.finished", _EVENT.c.at_utc >= since, _EVENT.c.campaign_id == campaign_id
    )
    return int(tx.scalar(query) or 0)


def leads_by_state(tx: Tx, campaign_id: CampaignId) -> dict[str, int]:
    """Return how many leads of a campaign there are in each state."""
    query = (
        select(_LEAD.c.state, func.count().label("many"))
        .where(_LEAD.c.campaign_id == campaign_id)
        .group_by(_LEAD.c.state)
    )
    return {row.state: row.many for row in tx.execute(query)}


def _sums(table: Table, amount: Any) -> tuple[Any, ...]:
    currency = table.c.currency
    return func.count(), func.coalesce(func.sum(amount), 0), func.min(currency), func.max(currency)


def _sum(tx: Tx, query: Any) -> Sum:
    count, amount, first, last = tx.execute(query).one()
    return Sum(count=count, amount_minor=int(amount), currency=first if count and first == last else "")
