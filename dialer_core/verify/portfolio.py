"""What was promised and paid agrees, nobody is called about what is promised, and what has been counted up is what there is.

It owns these checks. Promises are recomputed from the payments that were counted for them, totals from the attempts' own rows.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Subject

_CLOCKS_APART = dt.timedelta(seconds=2)
"""A claim that began before a promise may be written after it."""
_S = 3600


def promises(subject: Subject) -> Iterator[Violation]:
    """Portfolio: instalments hold what was paid for them, the first first, and a promise is kept exactly where all of it came."""
    paid: dict[str, list[Any]] = defaultdict(list)
    for payment in scan.rows(
        subject.tx, "payment", order_by=("received_at_utc", "id"), only_with="promise_id"
    ):
        paid[payment.promise_id].append(payment)
    instalments: dict[str, list[Any]] = defaultdict(list)
    for one in scan.rows(subject.tx, "promise_instalment", order_by=("promise_id", "position")):
        instalments[one.promise_id].append(one)
    for promise in scan.rows(subject.tx, "promise"):
        yield from _promise(promise, instalments[promise.id], paid[promise.id])


def _promise(promise: Any, instalments: list[Any], paid: list[Any]) -> Iterator[Violation]:
    if sum(one.amount_minor for one in instalments) != promise.total_minor or not instalments:
        yield _broken(promise, "its instalments do not come to its total")
        return
    due = 0
    for payment in paid:
        due = min(promise.total_minor, max(0, due + payment.amount_minor))
        if payment.account_id != promise.account_id:
            yield _broken(promise, f"payment {payment.id} of another account was counted for it")
    for one in instalments:
        expected = min(due, one.amount_minor)
        due -= expected
        if one.paid_minor != expected:
            yield _broken(
                promise, f"instalment {one.position} does not hold what the payments counted for it come to"
            )
    whole = all(one.paid_minor >= one.amount_minor for one in instalments)
    if whole != (promise.state == "kept"):
        yield _broken(promise, f"is {promise.state}, and {'all' if whole else 'not all'} of it was paid")
    if (promise.settled_at_utc is None) != (promise.state == "open"):
        yield _broken(promise, f"is {promise.state}, and settled at {promise.settled_at_utc}")
    if promise.state == "broken":
        grace = dt.timedelta(days=promise.grace_days)
        late = [
            one
            for one in instalments
            if one.paid_minor < one.amount_minor
            and dt.date.fromisoformat(one.due_date) + grace < promise.settled_at_utc.date()
        ]
        if not late:
            yield _broken(promise, "is broken, and nothing of it was late")


def calls_about_promises(subject: Subject) -> Iterator[Violation]:
    """I12: no attempt was committed at an account while it had an open promise."""
    spans: dict[str, list[tuple[dt.datetime, dt.datetime | None, str]]] = defaultdict(list)
    for promise in scan.rows(subject.tx, "promise", "id", "account_id", "made_at_utc", "settled_at_utc"):
        spans[promise.account_id].append((promise.made_at_utc, promise.settled_at_utc, promise.id))
    for attempt in subject.attempts if spans else ():
        at = attempt.committed_at_utc
        for made, settled, promise_id in spans.get(attempt.account_id, ()):
            if made + _CLOCKS_APART < at and (settled is None or at < settled):
                text = f"was committed while promise {promise_id} of its account was open"
                yield Violation(Invariant.I12, "attempt", attempt.id, text)


def counted(subject: Subject) -> Iterator[Violation]:
    """Counted: every hour that has been counted up, and has not changed since, holds what its attempts come to."""
    marks = {row.name: row.until_hour for row in scan.rows(subject.tx, "rollup_mark", order_by=("name",))}
    until = marks.get("attempt")
    if until is None:
        return
    changed = {row.hour for row in scan.rows(subject.tx, "rollup_change", order_by=("id",))}
    names = ("attempts", "live_answers", "abandoned", "talks", "ring_ms", "line_ms", "talk_ms")
    told: Counter[tuple[Any, ...]] = Counter()
    for row in scan.rows(subject.tx, "attempt_rollup", order_by=("hour",)):
        for name in names:
            key = (row.hour, row.campaign_id, row.agent_id, row.outcome, row.disposition, row.reason)
            told[*key, name] += getattr(row, name)
    true: Counter[tuple[Any, ...]] = Counter()
    for one in subject.attempts:
        key = (
            int(one.committed_at_utc.timestamp()) // _S, one.campaign_id, one.agent_id or "", one.outcome or "", one.disposition or "",
            one.reason or "",
        )  # fmt: skip
        for name, value in zip(names, _measures(one), strict=True):
            true[*key, name] += value
    wrong = {
        key[0]
        for key in told.keys() | true.keys()
        if key[0] < until and key[0] not in changed and told[key] != true[key]
    }
    for hour in sorted(wrong):
        start = dt.datetime.fromtimestamp(hour * _S, dt.UTC)
        text = f"the hour from {start:%Y-%m-%d %H:%M} UTC does not hold what its attempts come to"
        yield Violation(Invariant.COUNTED, "attempt_rollup", str(hour), text)


def _measures(one: Any) -> tuple[int, ...]:
    def between(first: int | None, last: int | None) -> int:
        return (last - first) // 1_000_000 if first is not None and last is not None else 0

    answered, ended, bridged = one.answered_mono_ns, one.ended_mono_ns, one.bridged_mono_ns
    return (
        1, int(one.live_answer), int(one.abandoned), int(bridged is not None),
        between(one.sent_mono_ns, ended if answered is None else answered), between(answered, ended), between(bridged, ended),
    )  # fmt: skip


def _broken(promise: Any, text: str) -> Violation:
    return Violation(Invariant.PORTFOLIO, "promise", promise.id, text)


CHECKS = (
    Check(
        Invariant.PORTFOLIO, "promises hold what was paid, and are kept where all of it came", whole=promises
    ),
    Check(Invariant.I12, "no attempt at an account with an open promise", whole=calls_about_promises),
    Check(Invariant.COUNTED, "what has been counted up is what the attempts come to", whole=counted),
)
