"""Segments over the store: which leads an expression names, counted and kept in the leads' own column.

It owns the SQL that `segment_language.py`'s trees become, alike on both databases, and `lead.segment`. It does not own which segments
there are (settings), nor when leads are put into them (`portfolio/segmenting.py`).

Every comparison is made false where something is not known, so that `not` has two values as the language says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, and_, bindparam, case, func, literal, not_, or_, select, update
from sqlalchemy import false as sql_false

from dialer_core.segment_language import All, Compare, Kind, Node, Not, OneOf, Op, Unknown, Value, kind_of
from dialer_core.store.models import Account, Contact, Lead, Person
from dialer_core.store.portfolio_models import Payment, Promise
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    CampaignId,
    ContactSettlement,
    LeadId,
    LeadState,
    PersonId,
    PromiseState,
)

_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_PERSON: Table = Person.__table__  # type: ignore[assignment]
_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]
_CONTACT: Table = Contact.__table__  # type: ignore[assignment]
_PAYMENT: Table = Payment.__table__  # type: ignore[assignment]
_PROMISE: Table = Promise.__table__  # type: ignore[assignment]

REST = ""
"""The segment of leads that are in none of their campaign's mix."""

_SET = Prepared(update(_LEAD).where(_LEAD.c.id == bindparam("key")).values(segment=bindparam("named")))


Change = tuple[LeadId, str]
"""A lead, and the segment that it is to be in."""
Changes = tuple[list[Change], str | None]
MixOf = Sequence[tuple[str, Node]]
"""Segments in order, each with its expression."""


class Named(msgspec.Struct, frozen=True):
    """A lead, its account in the customer's systems, and what segments are mostly made of."""

    lead_id: LeadId
    external_id: str
    days_past_due: int | None
    balance_minor: int | None
    currency: str | None
    product: str | None
    state: LeadState


def count(tx: Tx, campaign_id: CampaignId, node: Node, now: dt.datetime) -> dict[LeadState, int]:
    """Count a campaign's leads that an expression names, by state."""
    query = (
        select(_LEAD.c.state, func.count().label("leads"))
        .select_from(_joined())
        .where(_LEAD.c.campaign_id == campaign_id, condition(node, now))
        .group_by(_LEAD.c.state)
    )
    return {LeadState(row.state): row.leads for row in tx.execute(query)}


def preview(tx: Tx, campaign_id: CampaignId, node: Node, now: dt.datetime, limit: int) -> list[Named]:
    """Return the first unfinished leads that an expression names, by priority."""
    query = (
        select(
            _LEAD.c.id,
            _ACCOUNT.c.external_id,
            _ACCOUNT.c.days_past_due,
            _ACCOUNT.c.balance_minor,
            _ACCOUNT.c.currency,
            _ACCOUNT.c.product,
            _LEAD.c.state,
        )
        .select_from(_joined())
        .where(
            _LEAD.c.campaign_id == campaign_id,
            _LEAD.c.state != LeadState.FINISHED.value,
            condition(node, now),
        )
        .order_by(_LEAD.c.priority.desc(), _LEAD.c.attempts, _LEAD.c.id)
        .limit(limit)
    )
    return [
        Named(
            LeadId(row.id),
            row.external_id,
            row.days_past_due,
            row.balance_minor,
            row.currency,
            row.product,
            LeadState(row.state),
        )
        for row in tx.execute(query)
    ]


def to_change(
    tx: Tx,
    campaign_id: CampaignId,
    mix: MixOf,
    now: dt.datetime,
    after: str | None,
    limit: int,
) -> Changes:
    """Look at the next unfinished leads of a campaign by id; return whose segment is another than is written, and where to go on.

    Parameters
    ----------
    mix
        Segments in order, each with its expression: a lead is in the first that names it, and else in `REST`.
    after, limit
        Begin behind this lead; look at so many. None: there are no more.
    """
    wanted = (
        case(*((condition(node, now), literal(name)) for name, node in mix), else_=literal(REST))
        if mix
        else literal(REST)
    )
    query = (
        select(_LEAD.c.id, _LEAD.c.segment, wanted.label("wanted"))
        .select_from(_joined())
        .where(_LEAD.c.campaign_id == campaign_id, _LEAD.c.state != LeadState.FINISHED.value)
        .order_by(_LEAD.c.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_LEAD.c.id > after)
    found = list(tx.execute(query))
    changes = [(LeadId(row.id), str(row.wanted)) for row in found if row.segment != row.wanted]
    return changes, found[-1].id if len(found) == limit else None


def holding(
    tx: Tx, account_id: AccountId, campaign_id: CampaignId, among: MixOf, now: dt.datetime
) -> str | None:
    """Return the first of some segments that an account on a campaign's list is in, or None."""
    query = select(
        case(*((condition(node, now), literal(name)) for name, node in among), else_=literal(REST))
    ).select_from(_joined())
    found = tx.scalar(query.where(_LEAD.c.account_id == account_id, _LEAD.c.campaign_id == campaign_id))
    return found or None


def accounts(
    tx: Tx, campaign_id: CampaignId, node: Node, now: dt.datetime, after: str, limit: int
) -> list[tuple[LeadId, AccountId, PersonId]]:
    """Return the next unfinished leads that an expression names behind the lead `after` (empty: from the first), by id, each with whose it is."""
    query = (
        select(_LEAD.c.id, _LEAD.c.account_id, _LEAD.c.person_id)
        .select_from(_joined())
        .where(
            _LEAD.c.campaign_id == campaign_id,
            _LEAD.c.state != LeadState.FINISHED.value,
            condition(node, now),
        )
        .order_by(_LEAD.c.id)
        .limit(limit)
    )
    if after:
        query = query.where(_LEAD.c.id > after)
    return [(LeadId(row.id), AccountId(row.account_id), PersonId(row.person_id)) for row in tx.execute(query)]


def put(tx: Tx, changes: Sequence[Change]) -> None:
    """Write leads' segments."""
    if changes:
        tx.execute(_SET, [{"key": lead_id, "named": name} for lead_id, name in changes])


def counts(tx: Tx, campaign_id: CampaignId) -> dict[str, int]:
    """Count a campaign's unfinished leads by the segment they were put into; `REST` is none of them."""
    query = (
        select(func.coalesce(_LEAD.c.segment, REST).label("named"), func.count().label("leads"))
        .where(_LEAD.c.campaign_id == campaign_id, _LEAD.c.state != LeadState.FINISHED.value)
        .group_by("named")
    )
    return {row.named: row.leads for row in tx.execute(query)}


def condition(node: Node, now: dt.datetime) -> ColumnElement[bool]:
    """Return the SQL of an expression over lead, account and person."""
    match node:
        case Not(part):
            return not_(condition(part, now))
        case Unknown(field):
            return _column(field).is_(None)
        case OneOf(field, values):
            return or_(*(_compare(field, Op.EQ, value, now) for value in values))
        case Compare(field, op, value):
            return _compare(field, op, value, now)
        case All(parts):
            return and_(*(condition(part, now) for part in parts))
        case _:
            return or_(*(condition(part, now) for part in node.parts))


def _joined() -> Any:
    return _LEAD.join(_ACCOUNT, _ACCOUNT.c.id == _LEAD.c.account_id).join(
        _PERSON, _PERSON.c.id == _LEAD.c.person_id
    )


def _compare(field: str, op: Op, value: Value, now: dt.datetime) -> ColumnElement[bool]:
    column, kind = _column(field), kind_of(field)
    if kind is Kind.MONEY:
        return _known(column, op, int(Decimal(value) * 100))
    if kind is Kind.NUMBER:
        return _known(column, op, float(value))
    if kind is Kind.DAYS_SINCE_DAY:
        day = now.date() - dt.timedelta(days=int(value))
        return _known(column, _TURNED[op], day.isoformat())
    if kind is Kind.DAYS_SINCE_TIME:
        return _days_since(column, op, int(value), now)
    return _known(column, op, value)


_TURNED = {Op.EQ: Op.EQ, Op.NE: Op.NE, Op.LT: Op.GT, Op.LE: Op.GE, Op.GT: Op.LT, Op.GE: Op.LE}


def _days_since(column: ColumnElement[Any], op: Op, days: int, now: dt.datetime) -> ColumnElement[bool]:
    """Compare the whole days since an instant: `days` of them have passed from this moment back to the one a day earlier."""
    begin, end = now - dt.timedelta(days=days), now - dt.timedelta(days=days + 1)
    known = func.coalesce(and_(column <= begin, column > end), sql_false())
    return {
        Op.EQ: known,
        Op.NE: and_(column.is_not(None), not_(known)),
        Op.GE: func.coalesce(column <= begin, sql_false()),
        Op.GT: func.coalesce(column <= end, sql_false()),
        Op.LT: func.coalesce(column > begin, sql_false()),
        Op.LE: func.coalesce(column > end, sql_false()),
    }[op]


def _known(column: ColumnElement[Any], op: Op, value: Any) -> ColumnElement[bool]:
    made = {
        Op.EQ: column == value,
        Op.NE: column != value,
        Op.LT: column < value,
        Op.LE: column <= value,
        Op.GT: column > value,
        Op.GE: column >= value,
    }[op]
    return func.coalesce(made, sql_false())


def _column(field: str) -> ColumnElement[Any]:
    if field.startswith("attribute."):
        found: ColumnElement[Any] = _ACCOUNT.c.attributes[field.removeprefix("attribute.")].as_string()
        return found
    if field in _OF_THE_ROW:
        return _OF_THE_ROW[field]
    return _HISTORY[field]


_OF_THE_ROW: Mapping[str, ColumnElement[Any]] = {
    **{
        name: _ACCOUNT.c[name]
        for name in ("days_past_due", "currency", "product", "portfolio", "creditor", "due_date")
    },
    "balance": _ACCOUNT.c.balance_minor,
    "language": _PERSON.c.language,
    "region": _PERSON.c.region,
    **{name: _LEAD.c[name] for name in ("priority", "attempts", "last_outcome")},
}


def _of_account(table: Table, what: ColumnElement[Any], *which: ColumnElement[bool]) -> ColumnElement[Any]:
    return select(what).where(table.c.account_id == _LEAD.c.account_id, *which).scalar_subquery()


def _of_person(what: ColumnElement[Any], *which: ColumnElement[bool]) -> ColumnElement[Any]:
    counts_now = _CONTACT.c.settlement != ContactSettlement.VOID.value
    return select(what).where(_CONTACT.c.person_id == _LEAD.c.person_id, counts_now, *which).scalar_subquery()


_HISTORY: Mapping[str, ColumnElement[Any]] = {
    "contacts": _of_person(func.count()),
    "conversations": _of_person(func.count(), _CONTACT.c.conversation.is_(True)),
    "days_since_contact": _of_person(func.max(_CONTACT.c.at_utc)),
    "payments": _of_account(_PAYMENT, func.count(), _PAYMENT.c.amount_minor > 0),
    "days_since_payment": _of_account(_PAYMENT, func.max(_PAYMENT.c.paid_on), _PAYMENT.c.amount_minor > 0),
    "promises_kept": _of_account(_PROMISE, func.count(), _PROMISE.c.state == PromiseState.KEPT.value),
    "promises_broken": _of_account(_PROMISE, func.count(), _PROMISE.c.state == PromiseState.BROKEN.value),
}
