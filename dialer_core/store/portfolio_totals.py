"""Promises, payments and accounts added up, for reports.

It owns reads over their tables; the rows are `store/promises.py`'s and `store/people.py`'s. Attempts are added up in `store/rollups.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, Table, and_, case, cast, func, select

from dialer_core.store.models import Account, Lead
from dialer_core.store.portfolio_models import Payment, Promise
from dialer_core.store.rollups import HourOf
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountStatus, PromiseState

_PROMISE: Table = Promise.__table__  # type: ignore[assignment]
_PAYMENT: Table = Payment.__table__  # type: ignore[assignment]
_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]

Key = Literal["hour", "day", "campaign_id", "portfolio", "product", "agent_id", "segment"]
Only = Mapping[str, Collection[str]]
"""Values to keep, by `campaign_id`, `portfolio`, `product`, `agent_id` or `segment`; an empty text keeps what has none."""
_OF_A_LEAD = frozenset({"campaign_id", "segment"})


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What rows with the same keys come to. A key not asked for is None."""

    hour: int | None = None
    """As `rollups.hour_of` names it."""
    day: str | None = None
    """As ISO text, of the portfolio."""
    campaign_id: str | None = None
    portfolio: str | None = None
    product: str | None = None
    agent_id: str | None = None
    segment: str | None = None
    count: int = 0
    amount_minor: int = 0
    days: float = 0.0
    """Added up, where days are asked for."""


def promises(
    tx: Tx,
    by: Sequence[Key],
    state: PromiseState | None,
    *,
    since: dt.datetime | None,
    until: dt.datetime | None,
    only: Only,
    currency: str,
) -> list[Sum]:
    """Add up promises that were made in a time (`state` None), or that became kept or broken in it."""
    moment = _PROMISE.c.made_at_utc if state is None else _PROMISE.c.settled_at_utc
    columns: dict[str, ColumnElement[Any]] = {
        "hour": HourOf(moment),
        "campaign_id": func.coalesce(_PROMISE.c.campaign_id, ""),
        "agent_id": func.coalesce(_PROMISE.c.agent_id, ""),
        "segment": func.coalesce(_LEAD.c.segment, ""),
        **_of_account(),
    }
    query = _summed(by, columns, func.count(), func.sum(_PROMISE.c.total_minor), only).select_from(_PROMISE)
    query = query.join(_ACCOUNT, _ACCOUNT.c.id == _PROMISE.c.account_id)
    if "segment" in {*by, *only}:
        theirs = (_LEAD.c.account_id == _PROMISE.c.account_id, _LEAD.c.campaign_id == _PROMISE.c.campaign_id)
        query = query.outerjoin(_LEAD, and_(*theirs))
    query = query.where(_PROMISE.c.currency == currency)
    if state is not None:
        query = query.where(_PROMISE.c.state == state.value)
    if since is not None:
        query = query.where(moment >= since)
    if until is not None:
        query = query.where(moment < until)
    return _sums(tx, query)


def payments(
    tx: Tx,
    by: Sequence[Key],
    *,
    first_day: str | None,
    last_day: str | None,
    only: Only,
    currency: str,
) -> list[Sum]:
    """Add up payments of some days. By campaign each counts on every list that has its account; by agent those of promises made to one."""
    columns: dict[str, ColumnElement[Any]] = {
        "day": _PAYMENT.c.paid_on,
        **_of_lead(),
        "agent_id": func.coalesce(_PROMISE.c.agent_id, ""),
        **_of_account(),
    }
    listed = _on_lists(_PAYMENT.c.account_id, only)
    count = func.sum(case((_PAYMENT.c.amount_minor < 0, -1), else_=1))
    query = _summed(by, columns, count, func.sum(_PAYMENT.c.amount_minor), only, listed=listed)  # fmt: skip
    query = query.select_from(_PAYMENT).join(_ACCOUNT, _ACCOUNT.c.id == _PAYMENT.c.account_id)
    if "agent_id" in {*by, *only}:
        query = query.outerjoin(_PROMISE, _PROMISE.c.id == _PAYMENT.c.promise_id)
    if _OF_A_LEAD & set(by):
        query = query.join(_LEAD, _LEAD.c.account_id == _PAYMENT.c.account_id)
    query = query.where(_PAYMENT.c.currency == currency)
    if first_day is not None:
        query = query.where(_PAYMENT.c.paid_on >= first_day)
    if last_day is not None:
        query = query.where(_PAYMENT.c.paid_on <= last_day)
    return _sums(tx, query)


def owed(tx: Tx, by: Sequence[Key], *, only: Only, currency: str) -> list[Sum]:
    """Add up open accounts and what is owed on them now; by campaign each counts on every list that has it."""
    columns: dict[str, ColumnElement[Any]] = _of_lead() | _of_account()
    listed = _on_lists(_ACCOUNT.c.id, only)
    query = _summed(by, columns, func.count(), func.sum(_ACCOUNT.c.balance_minor), only, listed=listed)  # fmt: skip
    query = query.select_from(_ACCOUNT)
    if _OF_A_LEAD & set(by):
        query = query.join(_LEAD, _LEAD.c.account_id == _ACCOUNT.c.id)
    return _sums(
        tx,
        query.where(
            _ACCOUNT.c.status == AccountStatus.OPEN.value,
            func.coalesce(_ACCOUNT.c.currency, currency) == currency,
        ),
    )


def resolved(tx: Tx, by: Sequence[Key], *, first_day: str | None, last_day: str | None, only: Only, currency: str) -> list[Sum]:  # fmt: skip
    """Add up accounts that are paid, by the day of their last payment, and the days from their import to it."""
    last = (
        select(_PAYMENT.c.account_id, func.max(_PAYMENT.c.paid_on).label("day"))
        .where(_PAYMENT.c.currency == currency)
        .group_by(_PAYMENT.c.account_id)
        .subquery()
    )
    columns: dict[str, ColumnElement[Any]] = {
        "day": last.c.day,
        **_of_lead(),
        **_of_account(),
    }
    keys = [columns[name].label(name) for name in by]
    query = select(*keys, _ACCOUNT.c.created_at_utc, last.c.day.label("last_day")).select_from(_ACCOUNT)
    query = query.join(last, last.c.account_id == _ACCOUNT.c.id)
    if _OF_A_LEAD & set(by):
        query = query.join(_LEAD, _LEAD.c.account_id == _ACCOUNT.c.id)
    query = query.where(
        _ACCOUNT.c.status == AccountStatus.PAID.value,
        *_wanted(columns, only, by, _on_lists(_ACCOUNT.c.id, only)),
    )
    if first_day is not None:
        query = query.where(last.c.day >= first_day)
    if last_day is not None:
        query = query.where(last.c.day <= last_day)
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in tx.execute(query):
        paid = dt.datetime.combine(dt.date.fromisoformat(row.last_day), dt.time(12), dt.UTC)
        took = max(0.0, (paid - row.created_at_utc) / dt.timedelta(days=1))
        found.setdefault(tuple(getattr(row, name) for name in by), []).append(took)
    return [
        Sum(**dict(zip(by, key, strict=True)), count=len(days), days=sum(days)) for key, days in found.items()
    ]


def currencies(tx: Tx) -> list[str]:
    """Return the currencies that promises and payments are in, the most frequent first."""
    found: dict[str, int] = {}
    for table in (_PROMISE, _PAYMENT):
        for row in tx.execute(
            select(table.c.currency, func.count().label("payments_or_promises")).group_by(table.c.currency)
        ):
            found[row.currency] = found.get(row.currency, 0) + row.payments_or_promises
    return sorted(found, key=lambda name: -found[name])


def _of_account() -> dict[str, ColumnElement[Any]]:
    return {name: func.coalesce(_ACCOUNT.c[name], "") for name in ("portfolio", "product")}


def _of_lead() -> dict[str, ColumnElement[Any]]:
    return {"campaign_id": _LEAD.c.campaign_id, "segment": func.coalesce(_LEAD.c.segment, "")}


def _on_lists(account: ColumnElement[Any], only: Only) -> list[ColumnElement[bool]]:
    """Return the condition that an account is on one of some campaigns' lists or in some segments, so that it counts once, however many have it."""
    wanted = [column.in_(list(only[name])) for name, column in _of_lead().items() if name in only]
    if not wanted:
        return []
    return [select(_LEAD.c.id).where(_LEAD.c.account_id == account, *wanted).exists()]


def _wanted(
    columns: Mapping[str, ColumnElement[Any]],
    only: Only,
    by: Sequence[Key],
    listed: Sequence[ColumnElement[bool]] | None,
) -> list[ColumnElement[bool]]:
    """Return the conditions of what is to be kept; with `listed`, those of leads hold for the joined lead, or else by that condition."""
    apart = set() if listed is None or _OF_A_LEAD & set(by) else _OF_A_LEAD
    kept = [
        columns[name].in_(list(values))
        for name, values in only.items()
        if name in columns and name not in apart
    ]
    return [*kept, *(listed or [] if apart else [])]


def _summed(
    by: Sequence[Key],
    columns: Mapping[str, ColumnElement[Any]],
    count: ColumnElement[Any],
    amount: ColumnElement[Any],
    only: Only,
    *,
    listed: Sequence[ColumnElement[bool]] | None = None,
) -> Select[Any]:
    keys = [columns[name].label(name) for name in by]
    sums = (
        cast(count, BigInteger).label("count"),
        cast(func.coalesce(amount, 0), BigInteger).label("amount_minor"),
    )
    query = select(*keys, *sums).where(*_wanted(columns, only, by, listed))
    return query.group_by(*(columns[name] for name in by))


def _sums(tx: Tx, query: Select[Any]) -> list[Sum]:
    return [Sum(**row) for row in tx.execute(query).mappings() if row["count"] is not None]
