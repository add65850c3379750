"""The target table: what a campaign is to reach on a day. It owns the rows; what was reached is `reports/targets.py`'s."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, delete, insert, select

from dialer_core.store.portfolio_models import Target
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

_TABLE: Table = Target.__table__  # type: ignore[assignment]


class TargetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One target. Amounts are in minor units."""

    campaign_id: CampaignId
    day: str
    """As ISO text, in the report's zone."""
    metric: str
    goal: float


def put(tx: Tx, row: TargetRow, *, actor: str) -> None:
    """Set a campaign's target of a day, in place of a former one; a goal of 0 takes it away. It is accounted for."""
    theirs = (_TABLE.c.campaign_id == row.campaign_id, _TABLE.c.day == row.day, _TABLE.c.metric == row.metric)
    tx.execute(delete(_TABLE).where(*theirs))
    if row.goal:
        tx.execute(insert(_TABLE), msgspec.structs.asdict(row))
    tx.audit("target.set", f"campaign {row.campaign_id}"[:64], actor=actor, day=row.day, metric=row.metric, goal=row.goal)  # fmt: skip


def of(
    tx: Tx, campaigns: Collection[str] | None, first: dt.date | None, last: dt.date | None
) -> list[TargetRow]:
    """Return targets of some campaigns (None: all) and days, by campaign, day and metric."""
    query = select(_TABLE).order_by(_TABLE.c.campaign_id, _TABLE.c.day, _TABLE.c.metric)
    if campaigns is not None:
        query = query.where(_TABLE.c.campaign_id.in_(list(campaigns)))
    if first is not None:
        query = query.where(_TABLE.c.day >= first.isoformat())
    if last is not None:
        query = query.where(_TABLE.c.day <= last.isoformat())
    return [TargetRow(**row) for row in tx.execute(query).mappings()]
