"""The promise, promise_instalment and payment tables: what was agreed, and what came.

It owns the rows and the counting of payments for instalments. What follows from a promise kept or broken is `portfolio/`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Table, bindparam, case, func, insert, select, update

from dialer_core.store.portfolio_models import Payment, Promise, PromiseInstalment
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    AttemptId,
    CampaignId,
    PersonId,
    PromiseKind,
    PromiseState,
)

_PROMISE: Table = Promise.__table__  # type: ignore[assignment]
_INSTALMENT: Table = PromiseInstalment.__table__  # type: ignore[assignment]
_PAYMENT: Table = Payment.__table__  # type: ignore[assignment]

MOST_GRACE_DAYS = 31

_OPEN_OF = select(_PROMISE).where(
    _PROMISE.c.account_id.in_(bindparam("accounts", expanding=True)),
    _PROMISE.c.state == PromiseState.OPEN.value,
)
_AGENTS_OF = Prepared(
    select(_PROMISE.c.account_id, _PROMISE.c.agent_id)
    .where(_PROMISE.c.account_id.in_(bindparam("accounts", expanding=True)), _PROMISE.c.agent_id.is_not(None))
    .order_by(_PROMISE.c.made_at_utc)
)
_INSTALMENTS_OF = (
    select(_INSTALMENT)
    .where(_INSTALMENT.c.promise_id.in_(bindparam("promises", expanding=True)))
    .order_by(_INSTALMENT.c.promise_id, _INSTALMENT.c.position)
)
_PAY = (
    update(_INSTALMENT)
    .where(_INSTALMENT.c.promise_id == bindparam("promise"), _INSTALMENT.c.position == bindparam("nth"))
    .values(paid_minor=bindparam("paid"))
)


class Instalment(msgspec.Struct, frozen=True):
    """One payment of a promise. `due_date` is a local day in ISO form; amounts are in minor units."""

    due_date: str
    amount_minor: int
    paid_minor: int = 0

    @property
    def open_minor(self) -> int:
        """What is still to come."""
        return max(0, self.amount_minor - self.paid_minor)


class PromiseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A promise and its instalments, in order."""

    id: str
    account_id: AccountId
    person_id: PersonId
    campaign_id: CampaignId | None
    attempt_id: AttemptId | None
    agent_id: AgentId | None
    kind: PromiseKind
    state: PromiseState
    currency: str
    total_minor: int
    settles_minor: int | None
    grace_days: int
    made_at_utc: dt.datetime
    settled_at_utc: dt.datetime | None = None
    """When it was kept, broken, replaced or taken back."""
    instalments: tuple[Instalment, ...] = ()

    @property
    def paid(self) -> bool:
        """Every instalment has come."""
        return not any(one.open_minor for one in self.instalments)

    def overdue(self, today: str) -> bool:
        """Say whether an instalment has not come by its day and grace."""
        grace = dt.timedelta(days=self.grace_days)
        return any(
            one.open_minor and (dt.date.fromisoformat(one.due_date) + grace).isoformat() < today
            for one in self.instalments
        )


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it is stored."""

    id: str
    account_id: AccountId
    external_id: str
    amount_minor: int
    currency: str
    paid_on: str
    promise_id: str | None
    source: str
    received_at_utc: dt.datetime


def add(tx: Tx, promise: PromiseRow) -> None:
    """Write a promise and its instalments; an account has one open one at most."""
    row = msgspec.structs.asdict(promise)
    instalments: Sequence[Instalment] = row.pop("instalments")
    tx.execute(
        insert(_PROMISE),
        row | {"kind": promise.kind.value, "state": promise.state.value},
    )
    tx.execute(
        insert(_INSTALMENT),
        [
            {"promise_id": promise.id, "position": position, "due_date": one.due_date,
             "amount_minor": one.amount_minor, "paid_minor": one.paid_minor}
            for position, one in enumerate(instalments)
        ],
    )  # fmt: skip


def set_state(tx: Tx, promise_id: str, state: PromiseState, at_utc: dt.datetime) -> None:
    """Say what has become of a promise."""
    settled = None if state is PromiseState.OPEN else at_utc
    tx.execute(
        update(_PROMISE).where(_PROMISE.c.id == promise_id).values(state=state.value, settled_at_utc=settled)
    )


def open_of(tx: Tx, account_ids: Collection[str]) -> dict[AccountId, PromiseRow]:
    """Return the open promise of each of these accounts that has one."""
    if not account_ids:
        return {}
    return {
        one.account_id: one
        for one in _with_instalments(tx, tx.execute(_OPEN_OF, {"accounts": list(account_ids)}).mappings())
    }


def of(tx: Tx, account_ids: Collection[str]) -> list[PromiseRow]:
    """Return every promise of these accounts, the latest first."""
    query = (
        select(_PROMISE)
        .where(_PROMISE.c.account_id.in_(list(account_ids)))
        .order_by(_PROMISE.c.made_at_utc.desc(), _PROMISE.c.id.desc())
    )
    return _with_instalments(tx, tx.execute(query).mappings())


def get(tx: Tx, promise_id: str) -> PromiseRow | None:
    """Return one promise, or None."""
    return get_many(tx, [promise_id]).get(promise_id)


def get_many(tx: Tx, promise_ids: Collection[str]) -> dict[str, PromiseRow]:
    """Return those of these promises that there are, by id."""
    query = select(_PROMISE).where(_PROMISE.c.id.in_(list(promise_ids)))
    return {one.id: one for one in _with_instalments(tx, tx.execute(query).mappings())}


def payments_of(tx: Tx, account_ids: Collection[str]) -> list[PaymentRow]:
    """Return every payment of these accounts, the latest first."""
    query = (
        select(_PAYMENT)
        .where(_PAYMENT.c.account_id.in_(list(account_ids)))
        .order_by(_PAYMENT.c.paid_on.desc(), _PAYMENT.c.id.desc())
    )
    return [PaymentRow(**row) for row in tx.execute(query).mappings()]


class DueInstalment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that was promised and has not come."""

    promise_id: str
    position: int
    account_id: AccountId
    person_id: PersonId
    campaign_id: CampaignId | None
    due_date: str
    open_minor: int


def due_between(tx: Tx, first: dt.date, last: dt.date) -> list[DueInstalment]:
    """Return what is still to come of open promises between two days, both included."""
    query = (
        select(
            _PROMISE.c.id, _INSTALMENT.c.position, _PROMISE.c.account_id, _PROMISE.c.person_id, _PROMISE.c.campaign_id, _INSTALMENT.c.due_date,
            (_INSTALMENT.c.amount_minor - _INSTALMENT.c.paid_minor).label("open_minor"),
        )
        .join(_PROMISE, _PROMISE.c.id == _INSTALMENT.c.promise_id)
        .where(
            _INSTALMENT.c.due_date >= first.isoformat(),
            _INSTALMENT.c.due_date <= last.isoformat(),
            _INSTALMENT.c.paid_minor < _INSTALMENT.c.amount_minor,
            _PROMISE.c.state == PromiseState.OPEN.value,
        )
        .order_by(_INSTALMENT.c.due_date, _PROMISE.c.id, _INSTALMENT.c.position)
    )  # fmt: skip
    return [
        DueInstalment(
            promise_id=row.id, position=row.position, account_id=row.account_id, person_id=row.person_id, campaign_id=row.campaign_id,
            due_date=row.due_date, open_minor=row.open_minor,
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def overdue(tx: Tx, today: dt.date, limit: int) -> list[PromiseRow]:
    """Return open promises of which an instalment was not paid by its day and grace, at most so many; those in their grace are not read."""
    ended = case(
        {days: (today - dt.timedelta(days=days)).isoformat() for days in range(MOST_GRACE_DAYS)},
        value=_PROMISE.c.grace_days,
        else_=(today - dt.timedelta(days=MOST_GRACE_DAYS)).isoformat(),
    )
    late = (
        select(_PROMISE.c.id)
        .join(_INSTALMENT, _INSTALMENT.c.promise_id == _PROMISE.c.id)
        .where(
            _PROMISE.c.state == PromiseState.OPEN.value,
            _INSTALMENT.c.due_date < today.isoformat(),
            _INSTALMENT.c.paid_minor < _INSTALMENT.c.amount_minor,
            _INSTALMENT.c.due_date < ended,
        )
        .group_by(_PROMISE.c.id)
        .order_by(func.min(_INSTALMENT.c.due_date), _PROMISE.c.id)
        .limit(limit)
    )
    ids = list(tx.scalars(late))
    return _with_instalments(tx, tx.execute(select(_PROMISE).where(_PROMISE.c.id.in_(ids))).mappings())


def pay(tx: Tx, promise: PromiseRow, amount_minor: int) -> PromiseRow:
    """Count an amount for a promise's instalments, the first first; a negative one takes back from the last. Return the promise as it is then."""
    instalments = list(promise.instalments)
    order = range(len(instalments)) if amount_minor >= 0 else range(len(instalments) - 1, -1, -1)
    left = amount_minor
    for position in order:
        one = instalments[position]
        change = min(left, one.open_minor) if left >= 0 else max(left, -one.paid_minor)
        if not change:
            continue
        instalments[position] = msgspec.structs.replace(one, paid_minor=one.paid_minor + change)
        tx.execute(_PAY, {"promise": promise.id, "nth": position, "paid": one.paid_minor + change})
        left -= change
    return msgspec.structs.replace(promise, instalments=tuple(instalments))


def known_payments(tx: Tx, account_ids: Collection[str]) -> set[tuple[AccountId, str]]:
    """Return (account, the customer's number) of every payment of these accounts."""
    query = select(_PAYMENT.c.account_id, _PAYMENT.c.external_id).where(
        _PAYMENT.c.account_id.in_(list(account_ids))
    )
    return {(row.account_id, row.external_id) for row in tx.execute(query)}


def add_payments(tx: Tx, payments: Sequence[PaymentRow]) -> None:
    """Write payments."""
    if payments:
        tx.execute(insert(_PAYMENT), [msgspec.structs.asdict(one) for one in payments])


def _with_instalments(tx: Tx, rows: object) -> list[PromiseRow]:
    found = [dict(row) for row in rows]  # type: ignore[attr-defined]
    if not found:
        return []
    by_promise: dict[str, list[Instalment]] = {row["id"]: [] for row in found}
    for one in tx.execute(_INSTALMENTS_OF, {"promises": list(by_promise)}):
        by_promise[one.promise_id].append(Instalment(one.due_date, one.amount_minor, one.paid_minor))
    return [
        PromiseRow(
            **{name: row[name] for name in PromiseRow.__struct_fields__ if name in row}
            | {
                "kind": PromiseKind(row["kind"]),
                "state": PromiseState(row["state"]),
                "instalments": tuple(by_promise[row["id"]]),
            }
        )
        for row in found
    ]


def last_agents(tx: Tx, account_ids: Collection[AccountId]) -> dict[AccountId, AgentId]:
    """Return who took the last promise of each of these accounts that has one, kept or not: whom its person knows."""
    if not account_ids:
        return {}
    return {row.account_id: row.agent_id for row in tx.execute(_AGENTS_OF, {"accounts": list(account_ids)})}
