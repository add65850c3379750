"""Whole tables for plugins that count and learn: in order of their rows' ids, without what says who somebody is.

It owns which columns those are: no name, no number, no address, no text of anybody's. It owns no other question.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Boolean, Column, ColumnElement, Float, Integer, Text, cast, func, select, type_coerce

from dialer_core.errors import CommandRefusedError
from dialer_core.store.columns import Id, UtcDateTime
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "person": ("id", "language", "region", "created_at_utc"),
    "phone": (
        "id", "person_id", "kind", "rank", "zones", "consent", "failures", "last_outcome", "tries", "answers", "last_answer_utc", "hours",
    ),
    "account": (
        "id", "person_id", "portfolio", "creditor", "product", "currency", "balance_minor", "days_past_due", "due_date", "created_at_utc",
        "status",
    ),
    "lead": (
        "id", "campaign_id", "account_id", "person_id", "state", "priority", "next_at_utc", "waiting_for", "attempts", "last_outcome",
        "finished_reason", "created_at_utc", "segment",
    ),
    "attempt": (
        "id", "campaign_id", "lead_id", "account_id", "person_id", "phone_id", "live", "outcome", "sip_code", "verdict", "live_answer",
        "abandoned", "agent_id", "disposition", "reason", "committed_at_utc", "ended_at_utc", "answered_mono_ns", "bridged_mono_ns",
        "ended_mono_ns", "segment",
    ),
    "contact": (
        "id", "person_id", "account_id", "attempt_id", "campaign_id", "channel", "purpose", "at_utc", "settlement", "outcome", "conversation",
        "prior",
    ),
    "message": (
        "id", "channel", "state", "reason", "person_id", "account_id", "campaign_id", "template", "language", "source", "created_at_utc",
        "submitted_at_utc", "settled_at_utc", "cost_micro", "cost_currency",
    ),
    "promise": (
        "id", "account_id", "person_id", "campaign_id", "attempt_id", "agent_id", "kind", "state", "currency", "total_minor", "made_at_utc",
        "settled_at_utc",
    ),
    "payment": ("id", "account_id", "amount_minor", "currency", "paid_on", "promise_id", "received_at_utc"),
    "callback": ("id", "lead_id", "campaign_id", "agent_id", "due_at_utc", "state", "made_at_utc"),
}  # fmt: skip
"""Table: the columns that a plugin may read of it, the id first."""
MOST_ROWS: Final = 50_000


def page(
    tx: Tx,
    table: str,
    columns: Sequence[str],
    after: str,
    limit: int,
    campaign_id: str | None = None,
    ids: Collection[str] | None = None,
) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the next rows behind the id `after` (empty: from the first) by column, and the last one's id.

    Ids are 32 hexadecimal digits (`S32`), times `datetime64[us]` in UTC (`NaT`: none), numbers and flags floats (`NaN`: none), all else objects:
    read value by value, ten million rows would take minutes.

    Raises
    ------
    CommandRefusedError
        There is no such table or column for plugins; says which there are.
    """
    known = COLUMNS.get(table)
    if known is None:
        raise CommandRefusedError(f"no table {table!r} for plugins; there are: {', '.join(COLUMNS)}", "unknown")  # fmt: skip
    if wrong := [name for name in columns if name not in known]:
        raise CommandRefusedError(f"{table} has no column {wrong[0]!r} for plugins; it has: {', '.join(known)}", "unknown")  # fmt: skip
    source = Base.metadata.tables[table]
    query = select(*(_read(source.c[name], tx.dialect) for name in ("id", *columns))).order_by(source.c.id)
    if after:
        query = query.where(source.c.id > after)
    if ids is not None:
        query = query.where(source.c.id.in_(list(ids)))
    if campaign_id is not None:
        if "campaign_id" not in known:
            raise CommandRefusedError(f"{table} is of no campaign", "unknown")
        # in a form that no index of the campaign's serves: SQLite would sort the whole campaign anew for every page
        query = query.where(func.coalesce(source.c.campaign_id, "") == campaign_id)
    rows = tx.execute(query.limit(min(limit, MOST_ROWS))).all()
    if not rows:
        return {}, after
    values = list(zip(*rows, strict=True))
    found = {name: _array(source.c[name], column) for name, column in zip(columns, values[1:], strict=True)}
    return found, str(uuid.UUID(str(values[0][-1])))


def first_id_of(at: dt.datetime) -> str:
    """Return the id below every id that was made at a time or later: ids are ordered by their time."""
    return str(uuid.UUID(int=(int(at.timestamp() * 1000) << 80)))


def _read(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    """Return a column as the driver gives it cheapest."""
    name = column.name
    if isinstance(column.type, Id):
        return cast(column, Text).label(name) if dialect == "postgresql" else type_coerce(column, Text).label(name)  # fmt: skip
    if isinstance(column.type, UtcDateTime):
        plain = (
            func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.US')
            if dialect == "postgresql"
            else type_coerce(column, Text)
        )
        return plain.label(name)
    return column


def _array(column: Column[Any], values: Sequence[Any]) -> NDArray[Any]:
    kind = column.type
    if isinstance(kind, Id):
        return np.array([(value or "").replace("-", "") for value in values], "S32")
    if isinstance(kind, UtcDateTime):
        return np.array([value or "NaT" for value in values], "datetime64[us]")
    if isinstance(kind, Integer | Float | Boolean):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    found = np.empty(len(values), object)
    found[:] = values
    return found
