"""The order of a campaign's list, and who on it is likely to answer at which hour, changed for many leads at once.

It owns those writes of the lead table, how probabilities by hour stand in a row, and the look at what comes next. Whether they are fresh enough
to be paced by is `campaigns/propensity.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Table, bindparam, select, text, update

from dialer_core.store.leads import READY_AGAIN_UTC, READY_UTC
from dialer_core.store.models import Lead
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, LeadState, PersonId

HOURS: Final = 24
_STEPS: Final = 200
"""A probability stands in a row as so many steps, two hexadecimal digits an hour: half a percent is finer than anybody knows it."""
_UNKNOWN: Final = 255
TOLD_APART: Final = 4
"""Steps by which an hour must differ before a row is written for it alone."""
TOLD_AGAIN: Final = dt.timedelta(hours=20)
"""What has not changed is written again after so long: by its age a reader knows that somebody still says so."""

_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_NOW = Prepared(
    select(_LEAD.c.id, _LEAD.c.account_id, _LEAD.c.priority, _LEAD.c.propensity, _LEAD.c.propensity_at_utc)
    .where(
        _LEAD.c.account_id.in_(bindparam("accounts", expanding=True)),
        _LEAD.c.campaign_id == bindparam("campaign"),
    )
    .order_by(_LEAD.c.id)
)
_EACH = Prepared(
    update(_LEAD).where(_LEAD.c.id == bindparam("key")).values(priority=bindparam("new_priority"))
)
_EACH_TOLD = Prepared(
    update(_LEAD)
    .where(_LEAD.c.id == bindparam("key"))
    .values(
        priority=bindparam("new_priority"), propensity=bindparam("hours"), propensity_at_utc=bindparam("at")
    )
)
_ALL = text(
    "UPDATE lead SET priority = told.priority "
    "FROM (SELECT unnest(CAST(:keys AS uuid[])) AS id, unnest(CAST(:priorities AS float8[])) AS priority) AS told "
    "WHERE lead.id = told.id"
)
_ALL_TOLD = text(
    "UPDATE lead SET priority = told.priority, propensity = told.hours, propensity_at_utc = :at "
    "FROM (SELECT unnest(CAST(:keys AS uuid[])) AS id, unnest(CAST(:priorities AS float8[])) AS priority, "
    "unnest(CAST(:hours AS text[])) AS hours) AS told "
    "WHERE lead.id = told.id"
)
_COMING = Prepared(
    select(_LEAD.c.person_id, _LEAD.c.propensity, _LEAD.c.propensity_at_utc, _LEAD.c.priority)
    .where(
        _LEAD.c.campaign_id == bindparam("campaign"),
        _LEAD.c.state == LeadState.DIALABLE.value,
        _LEAD.c.next_at_utc == bindparam("ready"),
    )
    .order_by(_LEAD.c.priority.desc(), _LEAD.c.attempts, _LEAD.c.id)
    .limit(bindparam("most"))
)


def encoded(propensities: NDArray[np.floating]) -> list[str]:
    """Return probabilities by hour, of shape (n, `HOURS`), as they stand in rows; NaN: not known. Raises ValueError where one is none."""
    with np.errstate(invalid="ignore"):
        wrong = (propensities < 0) | (propensities > 1)
    if propensities.ndim != 2 or propensities.shape[1] != HOURS or wrong.any():
        msg = f"a propensity is {HOURS} probabilities from 0 to 1, by the hour; NaN where one is not known"
        raise ValueError(msg)
    steps = np.where(np.isnan(propensities), _UNKNOWN, np.round(np.nan_to_num(propensities) * _STEPS))
    digits = steps.astype(np.uint8).tobytes().hex()
    return [digits[begin : begin + 2 * HOURS] for begin in range(0, len(digits), 2 * HOURS)]


def at_hour(propensity: str, hour: int) -> float | None:
    """Return the probability that a row tells for an hour of the day; None: none, or the row holds something else."""
    try:
        step = int(propensity[2 * hour : 2 * hour + 2], 16)
    except ValueError:
        return None
    return step / _STEPS if 0 <= step <= _STEPS else None


def rank(
    tx: Tx,
    campaign_id: CampaignId,
    accounts: Sequence[AccountId],
    priorities: Sequence[float],
    propensities: Sequence[str] | None,
    now: dt.datetime,
) -> int:
    """Give the leads of these accounts on a campaign's list their priorities; return how many changed. Accounts not on it are passed over.

    `propensities` are `encoded`; None leaves those that there are.
    """
    place = {account: index for index, account in enumerate(accounts)}
    rows = [
        (place[row.account_id], row)
        for row in tx.execute(_NOW, {"campaign": campaign_id, "accounts": list(place)})
    ]
    old = now - TOLD_AGAIN
    changed: list[tuple[str, float, str]] = []
    for index, (key, _, before, told, told_at) in rows:
        hours = propensities[index] if propensities is not None else ""
        if (
            priorities[index] != before
            or (propensities is not None and (not told or told_at is None or told_at < old))
            or (propensities is not None and told != hours and _apart(told, hours))
        ):
            changed.append((key, priorities[index], hours))
    if not changed:
        return 0
    if tx.dialect == "postgresql":
        keys, new, hours_of = (list(column) for column in zip(*changed, strict=True))
        given = {"keys": keys, "priorities": new}
        if propensities is None:
            tx.execute(_ALL, given)
        else:
            tx.execute(_ALL_TOLD, given | {"hours": hours_of, "at": now})
    elif propensities is None:
        tx.execute(_EACH, [{"key": key, "new_priority": new} for key, new, _ in changed])
    else:
        tx.execute(
            _EACH_TOLD,
            [{"key": key, "new_priority": new, "hours": hours, "at": now} for key, new, hours in changed],
        )
    return len(changed)


def _apart(first: str, second: str) -> bool:
    one, other = bytes.fromhex(first), bytes.fromhex(second)
    return len(one) != len(other) or max(map(abs, map(int.__sub__, one, other))) >= TOLD_APART


def coming(
    tx: Tx, campaign_id: CampaignId, most: int
) -> list[tuple[PersonId, str | None, dt.datetime | None]]:
    """Return the next ready leads in the hopper's order, nothing kept: whose each is, its propensity, and when that was told."""
    rows = [
        row
        for ready in (READY_UTC, READY_AGAIN_UTC)
        for row in tx.execute(_COMING, {"campaign": campaign_id, "ready": ready, "most": most})
    ]
    rows.sort(key=lambda row: -row.priority)
    return [(row.person_id, row.propensity, row.propensity_at_utc) for row in rows[:most]]
