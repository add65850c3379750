"""I8, I9: agents' time without gap or overlap, and the order of what happens to an attempt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail
from dialer_core.vocabulary import AgentState

_STATES = frozenset(state.value for state in AgentState) - {AgentState.LOGGED_OUT.value}


def tiles(subject: Subject) -> Iterator[Violation]:
    """I8: within a log-in each interval begins where the one before ended; log-ins of an agent do not overlap."""
    for _, group in itertools.groupby(subject.intervals, key=lambda row: row.agent_id):
        intervals = _chained(list(group))
        for interval in intervals:
            yield from _sound(interval)
        for before, after in itertools.pairwise(intervals):
            yield from _seam(before, after)


def _chained(intervals: list[Row]) -> list[Row]:
    """Return an agent's intervals in order; of those that begin together, those without length come first."""
    return sorted(
        intervals, key=lambda row: (row.from_utc, row.to_utc is None, row.to_utc or row.from_utc, row.id)
    )


def _sound(interval: Row) -> Iterator[Violation]:
    if interval.state not in _STATES:
        yield _broken(interval, f"{interval.state!r} is no state of an agent who is logged in")
    if interval.to_utc is not None and interval.to_utc < interval.from_utc:
        yield _broken(interval, "ends before it begins")
    if interval.to_mono_ns is not None and interval.to_mono_ns < interval.from_mono_ns:
        yield _broken(interval, "ends before it begins by the monotonic clock")


def _seam(before: Row, after: Row) -> Iterator[Violation]:
    if before.to_utc is None:
        yield _broken(before, f"is open although interval {after.id} follows")
    elif before.to_utc > after.from_utc:
        yield _broken(after, f"begins before interval {before.id} has ended")
    elif before.session_id == after.session_id:
        if before.to_utc < after.from_utc:
            gap_s = (after.from_utc - before.to_utc).total_seconds()
            yield _broken(
                after, f"leaves a gap of {gap_s:.6f} s after interval {before.id} of the same log-in"
            )
        elif before.boot_id == after.boot_id and before.to_mono_ns != after.from_mono_ns:
            yield _broken(after, f"does not begin where interval {before.id} ended, by the monotonic clock")


def _broken(interval: Row, text: str) -> Violation:
    return Violation(Invariant.I8, "agent_interval", interval.id, text)


def order(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I9: sent, ringing, answered, first verdict after the answer, bridged, ended: those that happened, in this order."""
    del trail
    # where calls are connected without waiting for a verdict, it may come at any time of the conversation
    verdict_ns = attempt.verdict_mono_ns if subject.acts_on_verdicts(attempt) else None
    happened = [
        ("committed", subject.committed_mono_ns.get(attempt.id)),
        ("sent", attempt.sent_mono_ns),
        ("ringing", attempt.ringing_mono_ns),
        ("answered", attempt.answered_mono_ns),
        ("its verdict", verdict_ns),
        ("bridged", attempt.bridged_mono_ns),
        ("ended", attempt.ended_mono_ns),
    ]
    known = [(what, at_ns) for what, at_ns in happened if at_ns is not None]
    for (first, first_ns), (then, then_ns) in itertools.pairwise(known):
        if then_ns < first_ns:
            early_ms = (first_ns - then_ns) / 1e6
            yield Violation(Invariant.I9, "attempt", attempt.id, f"{then} {early_ms:.3f} ms before {first}")
    for what, at_ns in (("verdict", attempt.verdict_mono_ns), ("abandoned", attempt.abandoned_mono_ns)):
        if at_ns is None:
            continue
        if attempt.answered_mono_ns is None or at_ns < attempt.answered_mono_ns:
            yield Violation(Invariant.I9, "attempt", attempt.id, f"{what} without or before an answer")
        if attempt.ended_mono_ns is not None and at_ns > attempt.ended_mono_ns:
            yield Violation(Invariant.I9, "attempt", attempt.id, f"{what} after its end")
    if attempt.bridged_mono_ns is not None and attempt.answered_mono_ns is None:
        yield Violation(Invariant.I9, "attempt", attempt.id, "bridged without an answer")


CHECKS = (
    Check(Invariant.I8, "agents' intervals tile the time logged in", whole=tiles),
    Check(Invariant.I9, "what happened to an attempt happened in order", each=order),
)
