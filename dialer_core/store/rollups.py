"""Attempts counted up by the hour, for reports over millions of them: kept up by the host, read with what has not been counted yet.

It owns `attempt_rollup` and its upkeep. A total is the same as one taken from the attempts themselves (`raw=True` takes it so): hours that have
not been counted up, or have changed since, are read from the attempts, in the same snapshot. It owns no report (`campaigns/`).

Upkeep counts hours that ended `SETTLED` ago. An attempt of such an hour that changes afterwards (an agent's disposition an hour later, a
call that was interrupted) writes its hour into `rollup_change` in its own transaction; an hour stands there until it has been counted again.
Who writes and who counts never meet: a count removes only the changes that its snapshot saw.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    Integer,
    Select,
    Table,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from dialer_core.errors import StoreError
from dialer_core.store import bulk
from dialer_core.store.database import Database
from dialer_core.store.models import Account, Attempt, Campaign, Lead
from dialer_core.store.prepared import Prepared
from dialer_core.store.rollup_models import AttemptRollup, RollupChange, RollupMark
from dialer_core.store.tx import Tx

_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]
_CAMPAIGN: Table = Campaign.__table__  # type: ignore[assignment]
_ROLLUP: Table = AttemptRollup.__table__  # type: ignore[assignment]
_MARK: Table = RollupMark.__table__  # type: ignore[assignment]
_CHANGE: Table = RollupChange.__table__  # type: ignore[assignment]

Dimension = Literal[
    "hour", "campaign_id", "portfolio", "product", "agent_id", "outcome", "disposition", "reason", "segment"
]
DIMENSIONS: Final[tuple[Dimension, ...]] = (
    "hour", "campaign_id", "portfolio", "product", "agent_id", "outcome", "disposition", "reason",
)  # fmt: skip
SEGMENT: Final = "segment"
"""Of the lead when it was dialed: a dimension too, but of the attempts alone, which are not counted up by it."""
MEASURES: Final = ("attempts", "live_answers", "abandoned", "talks", "ring_ms", "line_ms", "talk_ms")
LATE_COLUMNS: Final = frozenset({"agent_id", "disposition", "reason", "live_answer", "abandoned"})
"""Columns that a total depends on and that change also after an attempt's end."""

SETTLED: Final = dt.timedelta(hours=2)
"""Hours are counted up so long after they ended."""
WATCHED: Final = dt.timedelta(hours=1)
"""Changes to attempts committed so long ago are written down. Shorter than `SETTLED` by far more than a transaction or two nodes' clocks differ."""
_CHANGES_AT_ONCE: Final = 500
_PARTS_AT_ONCE: Final = 100
"""Stretches of hours added up in one statement: SQLite takes 500."""
_HOURS_AT_ONCE: Final = 6
"""Counted in one transaction where a stretch has not been counted yet."""
_MARK_NAME: Final = "attempt"
_S: Final = 3600


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that have the dimensions asked for in common. A dimension not asked for is None; text is empty where the attempts have none."""

    hour: int | None = None
    """Hours since 1970-01-01 00:00 UTC: `hour_start(hour)` is its beginning."""
    campaign_id: str | None = None
    portfolio: str | None = None
    product: str | None = None
    agent_id: str | None = None
    outcome: str | None = None
    """Empty while they are live."""
    disposition: str | None = None
    reason: str | None = None
    segment: str | None = None
    attempts: int = 0
    live_answers: int = 0
    abandoned: int = 0
    talks: int = 0
    """Bridged to an agent."""
    ring_ms: int = 0
    line_ms: int = 0
    """Answer to end."""
    talk_ms: int = 0
    """First bridge to end."""


def hour_of(at: dt.datetime) -> int:
    """Return the hour of an instant, as totals name it."""
    return int(at.timestamp() // _S)


def hour_start(hour: int) -> dt.datetime:
    """Return the first instant of an hour."""
    return dt.datetime.fromtimestamp(hour * _S, dt.UTC)


def totals(
    tx: Tx,
    by: Sequence[Dimension],
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    only: Mapping[Dimension, Collection[str]] | None = None,
    raw: bool = False,
) -> list[Totals]:
    """Add up attempts.

    Parameters
    ----------
    tx
        The transaction; all is read in its snapshot.
    by
        Dimensions to keep apart; none: one total of all.
    since, until
        Attempts committed from the hour of `since` on and before the hour of `until`: bounds are moved down to full hours.
    only
        Values to keep, by dimension: `{"campaign_id": ["spring"]}`. An empty text keeps attempts without one.
    raw
        From the attempts themselves, whatever has been counted up: slow, for `verify`.

    Returns
    -------
    list of Totals
        In the order of `by`.
    """
    first = None if since is None else hour_of(since)
    last = None if until is None else hour_of(until)
    mark = None if raw or SEGMENT in {*by, *(only or ())} else tx.scalar(_UNTIL)
    if mark is None:
        parts = [_from_attempts(by, only, first, last)]
    else:
        again = [
            hour
            for hour in tx.scalars(select(_CHANGE.c.hour).where(_CHANGE.c.hour < mark).distinct())
            if (first is None or hour >= first) and (last is None or hour < last)
        ]
        parts = [
            _from_rollups(by, only, first, mark if last is None else min(mark, last), again),
            _from_attempts(by, only, mark if first is None else max(mark, first), last),
            *(_from_attempts(by, only, begin, end) for begin, end in _stretches(again)),
        ]
    sums: dict[tuple[Any, ...], list[int]] = {}
    for at in range(0, len(parts), _PARTS_AT_ONCE):
        some = parts[at : at + _PARTS_AT_ONCE]
        together = (union_all(*some) if len(some) > 1 else some[0]).subquery()
        keys = [together.c[name] for name in by]
        measures = [cast(func.sum(together.c[name]), BigInteger).label(name) for name in MEASURES]
        for row in tx.execute(select(*keys, *measures).group_by(*keys)):
            if row.attempts:
                key, added = tuple(row[: len(by)]), row[len(by) :]
                sums[key] = (
                    [a + b for a, b in zip(sums[key], added, strict=True)] if key in sums else list(added)
                )
    return [Totals(**dict(zip((*by, *MEASURES), (*key, *sums[key]), strict=True))) for key in sorted(sums)]


def changed(tx: Tx, attempt_id: str) -> None:
    """Say that an attempt has changed in what is counted; nothing is written where its hour cannot have been counted up yet."""
    tx.execute(_CHANGED, {"key": attempt_id, "before": tx.utc() - WATCHED})


def account_changed(tx: Tx, account_id: str) -> None:
    """Say that an account has changed in what is counted: its product. The hours of all its attempts are counted again."""
    tx.execute(_ACCOUNT_CHANGED, {"of_account": account_id, "before": tx.utc() - WATCHED})


def roll_up(database: Database) -> int:
    """Count up what has settled, an hour at a time, and count again what has changed; return how many hours with attempts were.

    It reads without keeping anybody from writing, and writes an hour's few rows in a short transaction. Several nodes may do it at once: what
    one of them counted on the ground of an older snapshot is thrown away.

    Raises
    ------
    StoreError
        The database is away.
    """
    counted = 0
    while (hours := _roll_up_some(database)) is not None:
        counted += hours
    return counted


def _roll_up_some(database: Database) -> int | None:
    """Count a few hours that have attempts for the first time, or one again; return how many were, None where nothing is left to do."""
    settled = hour_of(database.clock.utc() - SETTLED)
    seen: list[int] = []
    with database.read() as tx:
        mark = tx.scalar(_UNTIL)
        if mark is None:
            hour, following = -1, _oldest_hour(tx, settled)
        elif mark < settled:
            hour = _next_hour(tx, mark, settled)
            following = min(hour + _HOURS_AT_ONCE, settled)
            if hour == settled:  # nobody was dialed since
                hour = -1
        else:
            hour, following = tx.scalar(_FIRST_CHANGED, {"before": mark}), mark
            if hour is None:
                return None
            seen = list(tx.scalars(_CHANGES_OF, {"of_hour": hour}))
        end = hour + 1 if seen else following
        counted = _from_attempts(DIMENSIONS, None, hour, end)
        rows = [dict(row) for row in tx.execute(counted).mappings()] if hour >= 0 else []
    try:
        with database.write() as tx:
            if mark is None:
                tx.execute(insert(_MARK), {"name": _MARK_NAME, "until_hour": following})
            else:
                _one_by_one(tx.execute(_MOVE, {"was": mark, "becomes": following}), 1)
            if seen:
                _one_by_one(tx.execute(delete(_CHANGE).where(_CHANGE.c.id.in_(seen))), len(seen))
            if hour >= 0:
                tx.execute(delete(_ROLLUP).where(_ROLLUP.c.hour >= hour, _ROLLUP.c.hour < end))
                bulk.insert(tx, _ROLLUP, rows)
    except _OvertakenError:
        return 0
    return len({row["hour"] for row in rows})


class _OvertakenError(StoreError):
    """Another node has counted meanwhile, from a newer snapshot perhaps: this count is thrown away."""


def _one_by_one(done: CursorResult[Any], rows: int) -> None:
    if done.rowcount != rows:
        raise _OvertakenError


def _stretches(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Return hours, each once, as stretches from one and before another."""
    found: list[tuple[int, int]] = []
    for hour in sorted(hours):
        if found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + 1)
        else:
            found.append((hour, hour + 1))
    return found


def _oldest_hour(tx: Tx, at_most: int) -> int:
    return _next_hour(tx, 0, at_most)


def _next_hour(tx: Tx, since: int, at_most: int) -> int:
    """Return the first hour from `since` on with an attempt, or `at_most`; each campaign's is found along its index."""
    first = (
        select(func.min(_ATTEMPT.c.committed_at_utc))
        .where(_ATTEMPT.c.campaign_id == _CAMPAIGN.c.id, _ATTEMPT.c.committed_at_utc >= hour_start(since))
        .scalar_subquery()
    )
    found = [at for at in tx.scalars(select(first).select_from(_CAMPAIGN)) if at is not None]
    return min([at_most, *map(hour_of, found)])


def _wanted(
    columns: Mapping[str, ColumnElement[Any]], only: Mapping[Dimension, Collection[str]] | None
) -> list[ColumnElement[bool]]:
    return [columns[name].in_(list(values)) for name, values in (only or {}).items()]


def _from_rollups(
    by: Sequence[Dimension],
    only: Mapping[Dimension, Collection[str]] | None,
    first: int | None,
    last: int | None,
    without: Sequence[int],
) -> Select[Any]:
    """Totals of the hours counted up from `first` and before `last`, some left out."""
    columns: dict[str, ColumnElement[Any]] = {name: _ROLLUP.c[name] for name in DIMENSIONS}
    keys = [columns[name].label(name) for name in by]
    query = select(*keys, *(func.sum(_ROLLUP.c[name]).label(name) for name in MEASURES))
    query = query.where(_ROLLUP.c.hour.not_in(without), *_wanted(columns, only))
    if first is not None:
        query = query.where(_ROLLUP.c.hour >= first)
    if last is not None:
        query = query.where(_ROLLUP.c.hour < last)
    return query.group_by(*(columns[name] for name in by))


def _from_attempts(
    by: Sequence[Dimension],
    only: Mapping[Dimension, Collection[str]] | None,
    first: int | None,
    last: int | None,
) -> Select[Any]:
    """Totals of the attempts committed in the hours from `first` and before `last`."""
    at = _ATTEMPT.c
    columns: dict[str, ColumnElement[Any]] = {
        "hour": HourOf(at.committed_at_utc),
        "campaign_id": at.campaign_id,
    }
    columns |= {
        name: func.coalesce(at[name], "")
        for name in ("agent_id", "outcome", "disposition", "reason", SEGMENT)
    }
    columns |= {name: func.coalesce(_ACCOUNT.c[name], "") for name in ("portfolio", "product")}
    keys = [columns[name].label(name) for name in by]
    measures = {
        "attempts": func.count(),
        "live_answers": func.sum(case((at.live_answer == true(), 1), else_=0)),
        "abandoned": func.sum(case((at.abandoned == true(), 1), else_=0)),
        "talks": func.count(at.bridged_mono_ns),
        "ring_ms": _milliseconds(at.sent_mono_ns, func.coalesce(at.answered_mono_ns, at.ended_mono_ns)),
        "line_ms": _milliseconds(at.answered_mono_ns, at.ended_mono_ns),
        "talk_ms": _milliseconds(at.bridged_mono_ns, at.ended_mono_ns),
    }
    query = select(*keys, *(cast(measures[name], BigInteger).label(name) for name in MEASURES)).select_from(
        _ATTEMPT
    )
    if {"portfolio", "product"} & {*by, *(only or ())}:
        query = query.join(_ACCOUNT, _ACCOUNT.c.id == at.account_id)
    query = query.where(*_wanted(columns, only))
    if first is not None or last is not None:
        query = query.where(
            at.campaign_id.in_(select(_CAMPAIGN.c.id))
        )  # attempts are found in time along each campaign
    if first is not None:
        query = query.where(at.committed_at_utc >= hour_start(first))
    if last is not None:
        query = query.where(at.committed_at_utc < hour_start(last))
    return query.group_by(*(columns[name] for name in by))


def _milliseconds(begin: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[Any]:
    # in whole milliseconds for each attempt, so that sums of sums are the sum; both times are of one boot, or the end is empty
    return func.coalesce(func.sum(cast((end - begin) / literal(1_000_000), BigInteger)), 0)


class HourOf(GenericFunction[int]):
    """Hours since 1970 of a stored time."""

    type = Integer()
    inherit_cache = True
    name = "hour_of"


@compiles(HourOf, "sqlite")
def _hour_on_sqlite(element: HourOf, compiler: Any, **how: Any) -> str:
    return f"(CAST(strftime('%s', {compiler.process(element.clauses, **how)}) AS INTEGER) / {_S})"


@compiles(HourOf, "postgresql")
def _hour_on_postgresql(element: HourOf, compiler: Any, **how: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **how)}) / {_S}) AS INTEGER)"


_UNTIL: Final = Prepared(select(_MARK.c.until_hour).where(_MARK.c.name == _MARK_NAME))
_MOVE: Final = (
    update(_MARK)
    .where(_MARK.c.name == _MARK_NAME, _MARK.c.until_hour == bindparam("was"))
    .values(until_hour=bindparam("becomes"))
)
_FIRST_CHANGED: Final = Prepared(select(func.min(_CHANGE.c.hour)).where(_CHANGE.c.hour < bindparam("before")))
_CHANGES_OF: Final = Prepared(
    select(_CHANGE.c.id)
    .where(_CHANGE.c.hour == bindparam("of_hour"))
    .order_by(_CHANGE.c.id)
    .limit(_CHANGES_AT_ONCE)
)
_CHANGED: Final = Prepared(
    insert(_CHANGE).from_select(
        ["hour"],
        select(HourOf(_ATTEMPT.c.committed_at_utc)).where(
            _ATTEMPT.c.id == bindparam("key"), _ATTEMPT.c.committed_at_utc < bindparam("before")
        ),
    )
)
_ACCOUNT_CHANGED: Final = Prepared(
    insert(_CHANGE).from_select(
        ["hour"],
        select(HourOf(_ATTEMPT.c.committed_at_utc))
        .where(
            _ATTEMPT.c.lead_id.in_(select(_LEAD.c.id).where(_LEAD.c.account_id == bindparam("of_account"))),
            _ATTEMPT.c.committed_at_utc < bindparam("before"),
        )
        .distinct(),
    )
)
