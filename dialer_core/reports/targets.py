"""Targets of campaigns by day, and how far each was reached: any count or amount of the summary may be one.

It owns which figures may be targets, and the comparison. The rows are `store/targets.py`'s, the figures `summary.py`'s.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from dialer_core.errors import CommandRefusedError
from dialer_core.reports.asked import Asked
from dialer_core.reports.figures import FIGURES
from dialer_core.reports.sheet import Column, Sheet
from dialer_core.reports.summary import summary
from dialer_core.store import targets as target_rows
from dialer_core.store.targets import TargetRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

METRICS = (
    "attempts",
    "contacts",
    "right_party",
    "promises",
    "promised",
    "kept",
    "payments",
    "recovered",
    "resolved",
)
"""Figures that may be targets: counts and amounts that are better when they are more."""
UNITS = {figure.name: figure.unit for figure in FIGURES if figure.name in METRICS}

COLUMNS = (
    Column("campaign", "key"),
    Column("day", "key"),
    Column("metric", "key", "One of the figures of the summary."),
    Column("unit", "key", "Of goal and what was reached: `count`, or `money` in minor units."),
    Column("goal", "count"),
    Column("reached", "count"),
    Column("share", "rate", "`reached` of `goal`; above 1 where it was passed."),
)


def put(tx: Tx, campaign_id: CampaignId, day: dt.date, metric: str, goal: int, *, actor: str) -> None:
    """Set a target, amounts in minor units; 0 takes it away.

    Raises
    ------
    CommandRefusedError
        The figure cannot be a target, or the goal is below zero.
    """
    if metric not in METRICS:
        raise CommandRefusedError(f"{metric!r} is no target; use one of {', '.join(METRICS)}", "invalid")
    if not 0 <= goal < 10**15:
        raise CommandRefusedError("a goal is a number of a sensible size, 0 or above", "invalid")
    row = TargetRow(campaign_id=campaign_id, day=day.isoformat(), metric=metric, goal=float(goal))
    target_rows.put(tx, row, actor=actor)


def targets(tx: Tx, asked: Asked, now: dt.datetime) -> Sheet:
    """Return the targets of the campaigns and days asked for, with what was reached of each."""
    found = target_rows.of(tx, asked.only.get("campaign"), asked.since, asked.until)
    if not found:
        return Sheet(columns=COLUMNS, rows=[])
    days = [dt.date.fromisoformat(one.day) for one in found]
    narrowed = msgspec.structs.replace(
        asked, by=("campaign", "day"), since=min(days), until=max(days),
        only=dict(asked.only) | {"campaign": tuple({one.campaign_id for one in found})},
    )  # fmt: skip
    reached = {(row["campaign"], row["day"]): row for row in summary(tx, narrowed, now).records()}
    rows = []
    for one in found:
        its = int(reached.get((one.campaign_id, one.day), {}).get(one.metric) or 0)
        rows.append(
            (
                one.campaign_id,
                one.day,
                one.metric,
                UNITS[one.metric],
                round(one.goal),
                its,
                round(its / one.goal, 6),
            )
        )
    return Sheet(columns=COLUMNS, rows=rows)
