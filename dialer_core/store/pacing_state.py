"""The pacing_state table: what each pool's pacer had learned, per hour of the day and segment, for the next start.

It owns the rows and which of them fits a start best. What is in a state is the pacer's own (`pacing.Pacer.export_state`).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Table, delete, insert, select

from dialer_core.store.models import PacingState
from dialer_core.store.tx import Tx

_TABLE: Table = PacingState.__table__  # type: ignore[assignment]

STALE = dt.timedelta(days=30)
"""What was learned so long ago is of another campaign, whatever its name."""


def save(tx: Tx, pool: str, segment: str, at: dt.datetime, state: dict[str, Any]) -> None:
    """Store what a pool learned, in place of what the same hour of an earlier day said."""
    key = {"pool": pool, "segment": segment, "hour_utc": at.astimezone(dt.UTC).hour}
    tx.execute(delete(_TABLE).where(*(_TABLE.c[name] == value for name, value in key.items())))
    tx.execute(insert(_TABLE), key | {"state": state, "at_utc": at})


def best(tx: Tx, pool: str, segment: str, at: dt.datetime) -> dict[str, Any] | None:
    """Return the state to start from now: the same hour's, else the newest; None where nothing recent was learned."""
    rows = tx.execute(
        select(_TABLE.c.hour_utc, _TABLE.c.at_utc, _TABLE.c.state).where(
            _TABLE.c.pool == pool, _TABLE.c.segment == segment, _TABLE.c.at_utc > at - STALE
        )
    ).all()
    hour = at.astimezone(dt.UTC).hour
    row = max(rows, key=lambda one: (one.hour_utc == hour, one.at_utc), default=None)
    return None if row is None else dict(row.state)
