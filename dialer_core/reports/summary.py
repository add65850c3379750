"""The summary: every figure of `figures.py`, by campaign, portfolio, product, agent, day, month or hour, with any of them as a filter.

It owns the adding up. Attempts come from what has been counted up by the hour (`store/rollups.py`), so that a report over millions reads
thousands of rows; promises, payments and accounts from `store/portfolio_totals.py`. Everything is read in one snapshot.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from dialer_core.report_settings import ReportSettings
from dialer_core.reports.asked import Asked
from dialer_core.reports.figures import FIGURES, NO_CONTACT, RIGHT_PARTY, Words
from dialer_core.reports.sheet import Column, Sheet
from dialer_core.store import agents, campaigns, portfolio_totals, rollups
from dialer_core.store.portfolio_totals import Sum
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import PromiseState

_Row = dict[str, float]
_Rows = dict[tuple[str, ...], _Row]


def summary(tx: Tx, asked: Asked, now: dt.datetime) -> Sheet:
    """Return the figures of what is asked for, a row for each key and in its order; `now` ends what goes on.

    Raises
    ------
    CommandRefusedError
        There are amounts of several currencies and none was named.
    """
    currency = asked.in_currency(tx)
    rows: _Rows = defaultdict(lambda: defaultdict(float))
    if not asked.by:
        rows[()] = defaultdict(float)
    _attempts(tx, asked, rows)
    _promises(tx, asked, currency, rows)
    if "hour" not in asked.by:
        _payments(tx, asked, currency, rows)
    _agents(tx, asked, rows, now)
    with_rate = not (asked.timed or "agent" in asked.by or "agent" in asked.only)
    made = [(key, _finished(row, asked, with_rate=with_rate)) for key, row in sorted(rows.items())]
    columns = (*(Column(name, "key") for name in asked.by), *FIGURES)
    shown = [(*key, *(_value(column, row[column.name]) for column in FIGURES)) for key, row in made]
    return Sheet(columns=columns, rows=shown, currency=currency, notes=_notes(asked, currency))


def _attempts(tx: Tx, asked: Asked, rows: _Rows) -> None:
    words = Words(campaigns.settings_of_all(tx))
    for found, times in _counted(tx, asked):
        row = rows[asked.key(found, times)]
        row["attempts"] += found.attempts
        row["live_answers"] += found.live_answers
        row["abandoned"] += found.abandoned
        for name in ("ring", "line", "talk"):
            row[f"{name}_s"] += getattr(found, f"{name}_ms") / 1000
        root = words.root(found.campaign_id or "", found.disposition or "")
        if root not in NO_CONTACT:
            row["contacts"] += found.talks
        if root in RIGHT_PARTY:
            row["right_party"] += found.talks


def _counted(tx: Tx, asked: Asked) -> Iterator[tuple[rollups.Totals, dict[str, str]]]:
    keys = dict.fromkeys([*asked.plain_keys(), "campaign_id", "disposition"])
    if asked.timed:
        keys = {"hour": None, **keys}
    found = rollups.totals(
        tx, tuple(keys), since=asked.since_utc, until=asked.until_utc, only=asked.columns, raw=asked.raw  # type: ignore[arg-type]
    )  # fmt: skip
    local: dict[int | None, dict[str, str]] = {None: {}}
    for one in found:
        if one.hour not in local:
            local[one.hour] = asked.local(rollups.hour_start(one.hour or 0))
        yield one, local[one.hour]


def _promises(tx: Tx, asked: Asked, currency: str, rows: _Rows) -> None:
    keys: list[Any] = [*(["hour"] if asked.timed else []), *asked.plain_keys()]
    bounds = {"since": asked.since_utc, "until": asked.until_utc}
    for name, state in (("promises", None), ("kept", PromiseState.KEPT), ("broken", PromiseState.BROKEN)):
        for one in portfolio_totals.promises(
            tx, keys, state, **bounds, only=asked.columns, currency=currency
        ):
            times = {} if one.hour is None else asked.local(rollups.hour_start(one.hour))
            row = rows[asked.key(one, times)]
            row[name] += one.count
            if state is None:
                row["promised"] += one.amount_minor


def _payments(tx: Tx, asked: Asked, currency: str, rows: _Rows) -> None:
    keys: list[Any] = [*(["day"] if asked.timed else []), *asked.plain_keys()]
    days = {
        "first_day": asked.since.isoformat() if asked.since else None,
        "last_day": asked.until.isoformat() if asked.until else None,
    }

    def row_of(one: Sum) -> _Row:
        times = {} if one.day is None else {"day": one.day, "month": one.day[:7]}
        return rows[asked.key(one, times)]

    for one in portfolio_totals.payments(tx, keys, **days, only=asked.columns, currency=currency):
        row = row_of(one)
        row["payments"] += one.count
        row["recovered"] += one.amount_minor
    if "agent_id" in keys or "agent" in asked.only:
        return  # an account is nobody's alone
    for one in portfolio_totals.resolved(tx, keys, **days, only=asked.columns, currency=currency):
        row = row_of(one)
        row["resolved"] += one.count
        row["days_resolving"] += one.days
    if not asked.timed:
        for one in portfolio_totals.owed(tx, keys, only=asked.columns, currency=currency):
            row_of(one)["owed"] += one.amount_minor


def _agents(tx: Tx, asked: Asked, rows: _Rows, now: dt.datetime) -> None:
    """Add agents' time: their own where rows are agents' or days, and else shared out by the time they talked."""
    ours = set(asked.by) <= {"agent", "day", "month"} and not (
        {"campaign", "segment", "portfolio", "product"} & set(asked.only)
    )
    total_s = 0.0
    for agent_id, since, until in _pieces(tx, asked, now):
        if asked.only.get("agent") and agent_id not in asked.only["agent"]:
            continue
        spent_s = (until - since).total_seconds()
        total_s += spent_s
        if ours:
            times = asked.local(since) | {"agent": agent_id}
            rows[tuple(times[name] for name in asked.by)]["agent_s"] += spent_s
    if ours or not total_s:
        return
    theirs = {name: values for name, values in asked.columns.items() if name == "agent_id"}
    talked = rollups.totals(
        tx, (), since=asked.since_utc, until=asked.until_utc, only=theirs, raw=asked.raw  # type: ignore[arg-type]
    )  # fmt: skip
    everybody = sum(one.talk_ms / 1000 for one in talked)
    for row in rows.values():
        row["agent_s"] = total_s * row["talk_s"] / everybody if everybody else 0.0


def _pieces(tx: Tx, asked: Asked, now: dt.datetime) -> Iterator[tuple[str, dt.datetime, dt.datetime]]:
    """Yield who was logged in from when to when, within what is asked for, and cut at each local midnight."""
    first, last = asked.since_utc, asked.until_utc
    for agent_id, since, until in agents.spent(tx, first, last, now):
        while since < until:
            midnight = dt.datetime.combine(
                since.astimezone(asked.zone).date() + dt.timedelta(days=1), dt.time(), asked.zone
            ).astimezone(dt.UTC)
            yield agent_id, since, min(until, midnight)
            since = midnight  # noqa: PLW2901 - the next piece


def _finished(row: _Row, asked: Asked, *, with_rate: bool) -> dict[str, float | None]:
    """Return a row's figures with its rates and costs; what cannot be said of it is None."""
    figures: dict[str, float | None] = {column.name: row[column.name] for column in FIGURES}
    cost = _cost(row, asked.settings)
    figures |= {
        "answer_rate": _of(row["live_answers"], row["attempts"]),
        "abandonment_rate": _of(row["abandoned"], row["live_answers"]),
        "contact_rate": _of(row["contacts"], row["attempts"]),
        "right_party_rate": _of(row["right_party"], row["contacts"]),
        "promise_rate": _of(row["promises"], row["right_party"]),
        "kept_rate": _of(row["kept"], row["kept"] + row["broken"]),
        "recovery_rate": _of(row["recovered"], row["recovered"] + row["owed"]) if with_rate else None,
        "days_to_resolve": _of(row["days_resolving"], row["resolved"]),
        "cost": cost,
        "cost_per_contact": None if cost is None else _of(cost, row["contacts"]),
        "cost_per_promise": None if cost is None else _of(cost, row["promises"]),
    }
    if "hour" in asked.by:  # a payment has a day, and no hour
        figures |= dict.fromkeys(("payments", "recovered", "recovery_rate", "resolved", "days_to_resolve"))
    if "agent" in asked.by or "agent" in asked.only:  # an account is nobody's alone
        figures |= dict.fromkeys(("resolved", "days_to_resolve"))
    return figures


def _cost(row: _Row, prices: ReportSettings) -> float | None:
    """Return what calls and agents cost, in minor units; None where no price is known."""
    if not prices.priced:
        return None
    minutes, hours = row["line_s"] / 60, row["agent_s"] / 3600
    units = (
        (prices.minute_price, minutes),
        (prices.attempt_price, row["attempts"]),
        (prices.agent_hour_price, hours),
    )
    return 100 * sum((price or 0.0) * number for price, number in units)


def _of(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _value(column: Column, value: float | None) -> float | int | None:
    if value is None:
        return None
    if column.unit in {"count", "money"}:
        return round(value)
    return round(value, 6 if column.unit == "rate" else 1)


def _notes(asked: Asked, currency: str) -> tuple[str, ...]:
    notes = [f"amounts in {currency}; days and hours of {asked.settings.zone}"]
    if "campaign" in asked.by:
        notes.append(
            "a payment counts on every campaign's list that has its account: rows may come to more than all"
        )
    return tuple(notes)
