"""How good a portfolio's phone numbers are: counted over the phone table as it is now. It owns these reads only."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import ColumnElement, Table, case, func, or_, select

from dialer_core.store.models import Account, Lead, Phone
from dialer_core.store.tx import Tx

_PHONE: Table = Phone.__table__  # type: ignore[assignment]
_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Phones of one kind of one portfolio."""

    portfolio: str
    kind: str
    phones: int
    tried: int
    """At least once, as far as the network."""
    answered: int
    """By a person, at least once."""
    faulty: int
    """The last attempts speak against them (invalid, fax, special information tone)."""
    dead: int
    """Two such faults in a row: not dialed any more."""
    without_zone: int
    refused: int
    """Their person does not consent to calls."""


def by_portfolio_and_kind(
    tx: Tx, *, portfolios: Collection[str] | None, campaigns: Collection[str] | None, dead_after: int
) -> list[Quality]:
    """Count phones, each in every portfolio in which its person has an account."""
    owners = select(_ACCOUNT.c.portfolio, _ACCOUNT.c.person_id).distinct()
    if portfolios is not None:
        owners = owners.where(_ACCOUNT.c.portfolio.in_(list(portfolios)))
    if campaigns is not None:
        owners = owners.where(
            select(_LEAD.c.id)
            .where(_LEAD.c.account_id == _ACCOUNT.c.id, _LEAD.c.campaign_id.in_(list(campaigns)))
            .exists()
        )
    whose = owners.subquery()

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    query = (
        select(
            whose.c.portfolio,
            _PHONE.c.kind,
            func.count().label("phones"),
            count(_PHONE.c.tries > 0).label("tried"),
            count(_PHONE.c.answers > 0).label("answered"),
            count(_PHONE.c.failures > 0).label("faulty"),
            count(_PHONE.c.failures >= dead_after).label("dead"),
            count(or_(_PHONE.c.zones == "", _PHONE.c.zones.is_(None))).label("without_zone"),
            count(_PHONE.c.consent.is_(False)).label("refused"),
        )
        .select_from(_PHONE)
        .join(whose, whose.c.person_id == _PHONE.c.person_id)
        .group_by(whose.c.portfolio, _PHONE.c.kind)
        .order_by(whose.c.portfolio, _PHONE.c.kind)
    )
    return [
        Quality(
            portfolio=row["portfolio"], kind=row["kind"],
            **{name: int(row[name]) for name in Quality.__struct_fields__[2:]},
        )
        for row in tx.execute(query).mappings()
    ]  # fmt: skip
