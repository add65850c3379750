"""I4, I5: what a person who answered got, and that an agent had one of them at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail
from dialer_core.vocabulary import CONSULTED, INBOUND_CALL

TOLERANCE_NS = 100_000_000
"""A deadline is kept by a loop that turns every 20 ms on a machine that does other things too."""

_BY_FLOW = frozenset({"self_served", "unidentified"})
_CUT_OFF = frozenset({"interrupted", "internal"})
"""Ends by a fault of ours, told as such: the media plane's own deadline spoke to them, but nothing recorded it."""


def _broken(attempt: Row, text: str) -> Violation:
    return Violation(Invariant.I4, "attempt", attempt.id, text)


def live_answer(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I4: bridged, abandoned with its message, or spoken to by a flow, in time; or they hung up first."""
    if not attempt.live_answer:
        # a verdict revised to machine after the bridge makes it no person's answer after all
        if attempt.bridged_mono_ns is not None and attempt.verdict_revised_from is None:
            yield _broken(attempt, "was bridged to an agent but is not counted as a live answer")
        if attempt.abandoned:
            yield _broken(attempt, "is counted as abandoned but not as a live answer")
        return
    if attempt.live:
        return
    flow = trail.first("flow.started")
    reached_ns = flow.at_mono_ns if flow is not None else attempt.bridged_mono_ns or attempt.abandoned_mono_ns
    if (attempt.outcome in _BY_FLOW) > (flow is not None):
        yield _broken(attempt, f"ended as {attempt.outcome}, and no flow spoke to them")
    if reached_ns is None:
        if attempt.outcome == "caller_hung_up":
            if attempt.ended_by != "far":
                yield _broken(attempt, f"ended as caller_hung_up, by {attempt.ended_by}")
            reached_ns = attempt.ended_mono_ns
        elif attempt.outcome not in _CUT_OFF:
            yield _broken(
                attempt, f"a live answer got neither agent nor message, and ended as {attempt.outcome}"
            )
            return
    if attempt.outcome not in _CUT_OFF and attempt.abandoned != (attempt.outcome == "abandoned"):
        yield _broken(attempt, f"ended as {attempt.outcome} with abandoned = {attempt.abandoned}")
    if attempt.abandoned and not trail.all("attempt.abandoned"):
        yield _broken(attempt, "is abandoned, and no abandonment message began")
    yield from _in_time(subject, attempt, reached_ns, by_flow=flow is not None)


def _in_time(subject: Subject, attempt: Row, reached_ns: int | None, *, by_flow: bool) -> Iterator[Violation]:
    pack = subject.pack_of(attempt)
    if pack is None or reached_ns is None or attempt.outcome in _CUT_OFF:
        return
    from_ns = _waiting_since(subject, attempt, reached_ns)
    if from_ns is None:
        return
    limit_ns = int(pack.abandonment.limit_s * 1e9) + TOLERANCE_NS
    # The log says so where there was no media plane: nobody could be spoken to, and the limit could not run.
    silent_ns = sum(
        max(0, min(to_ns, reached_ns) - max(since_ns, from_ns))
        for boot_id, since_ns, to_ns in subject.silences
        if boot_id == attempt.boot_id
    )
    if reached_ns - from_ns - silent_ns > limit_ns:
        what = (
            "their flow"
            if by_flow
            else "an agent"
            if attempt.bridged_mono_ns
            else "the message"
            if attempt.abandoned_mono_ns
            else "their hang-up"
        )
        waited_s = (reached_ns - from_ns) / 1e9
        yield _broken(
            attempt, f"waited {waited_s:.2f} s for {what}, and the limit is {pack.abandonment.limit_s:g} s"
        )


def _waiting_since(subject: Subject, attempt: Row, reached_ns: int) -> int | None:
    """Return from when the limit counts: the greeting's end; without one the verdict; without a detector the answer."""
    if not subject.acts_on_verdicts(attempt):
        return attempt.answered_mono_ns  # type: ignore[no-any-return]
    for instant in (attempt.greeting_end_mono_ns, attempt.verdict_mono_ns):
        if instant and instant <= reached_ns:
            return int(instant)
    return None


def one_agent(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I4: never two agents at once; I5: who is bridged is talking, by the agent's own intervals."""
    agent_id: str | None = None
    for event in trail.events:
        if event.name == "attempt.bridged":
            if agent_id is not None:
                yield _broken(
                    attempt, f"was bridged to agent {event.data['agent_id']} while with agent {agent_id}"
                )
            agent_id = event.data["agent_id"]
            if (agent_id, attempt.id) not in subject.talks:
                yield Violation(
                    Invariant.I5,
                    "attempt",
                    attempt.id,
                    f"was bridged to agent {agent_id}, who has no interval of talking to it",
                )
        elif event.name in ("attempt.unbridged", "attempt.handed_on"):
            agent_id = None


def one_conversation(subject: Subject) -> Iterator[Violation]:
    """I5: an agent's intervals with callers do not overlap, and each is a conversation that took place."""
    last: Row | None = None
    for interval in subject.intervals:
        if interval.state not in {"reserved", "talking"}:
            continue
        if interval.attempt_id is None and interval.reason not in (INBOUND_CALL, CONSULTED):
            yield Violation(Invariant.I5, "agent_interval", interval.id, f"{interval.state} with nobody")
            continue
        if last is not None and last.agent_id == interval.agent_id:
            open_or_later = last.to_utc is None or last.to_utc > interval.from_utc
            if open_or_later and last.attempt_id != interval.attempt_id:
                yield Violation(
                    Invariant.I5,
                    "agent_interval",
                    interval.id,
                    f"agent {interval.agent_id} had attempt {interval.attempt_id} while with {last.attempt_id}",
                )
        last = interval


def one_agent_each(subject: Subject) -> Iterator[Violation]:
    """I5: nobody is with two agents who both still hold them."""
    open_now = Counter(
        row.attempt_id
        for row in subject.intervals
        if row.to_utc is None and row.state in {"reserved", "talking"} and row.reason != CONSULTED
    )
    for attempt_id, count in open_now.items():
        if count > 1:
            yield Violation(Invariant.I5, "attempt", attempt_id, f"is with {count} agents at once")


CHECKS = (
    Check(
        Invariant.I4, "a live answer got an agent or the message in time, or hung up first", each=live_answer
    ),
    Check(Invariant.I5, "whoever is bridged has one agent, who is talking to them", each=one_agent),
    Check(Invariant.I5, "an agent has one conversation at a time", whole=one_conversation),
    Check(Invariant.I5, "nobody is with two agents", whole=one_agent_each),
)
