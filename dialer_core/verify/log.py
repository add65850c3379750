"""The event log against the rows: numbers without gaps, an event for each thing a row says, and none for anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dialer_core.events import COMMON_FIELDS, EVENTS
from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail

_STEPS = (
    ("sent_mono_ns", ("attempt.sent",)),
    ("ringing_mono_ns", ("attempt.ringing", "attempt.early_media")),
    ("answered_mono_ns", ("attempt.answered",)),
    ("bridged_mono_ns", ("attempt.bridged",)),
    ("abandoned_mono_ns", ("attempt.abandoned",)),
)
"""What a row says happened, and the event that tells of it at the same instant."""

_BEFORE_THE_END = frozenset(name for _, names in _STEPS for name in names) | {
    "attempt.committed",
    "attempt.verdict_given",
    "attempt.verdict_revised",
}


def _broken(attempt_id: str, text: str) -> Violation:
    return Violation(Invariant.LOG, "attempt", attempt_id, text)


def numbers(subject: Subject) -> Iterator[Violation]:
    """Events of each (node, source) are numbered from 1 without gaps, and are of known kinds with known fields."""
    fields = {name: set(kind.__struct_fields__) - COMMON_FIELDS for name, kind in EVENTS.items()}
    last: dict[tuple[str, str], int] = {}
    columns = ("node", "source", "seq", "id", "name", "data")
    for event in scan.rows(subject.tx, "event", *columns, order_by=("node", "source", "seq")):
        writer = (event.node, event.source)
        due = last.get(writer, 0) + 1
        last[writer] = event.seq
        if event.seq != due:
            text = f"has number {event.seq} of {event.node}/{event.source} where {due} was due"
            yield Violation(Invariant.LOG, "event", event.id, text)
        known = fields.get(event.name)
        if known is None:
            yield Violation(Invariant.LOG, "event", event.id, f"{event.name!r} is no event of this version")
        elif extra := set(event.data) - known:
            yield Violation(Invariant.LOG, "event", event.id, f"{event.name} has no field {min(extra)!r}")


def trail_of(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """An attempt is told from its commit to its end: each step of its row once, and nothing after the end."""
    del subject
    committed = trail.all("attempt.committed")
    if len(committed) != 1:
        yield _broken(attempt.id, f"has {len(committed)} events attempt.committed")
    elif trail.events[0].name != "attempt.committed" and trail.events[0].source == committed[0].source:
        yield _broken(attempt.id, f"{trail.events[0].name} stands in the log before its commit")
    for column, names in _STEPS:
        at_ns = getattr(attempt, column)
        told = [event.at_mono_ns for event in trail.events if event.name in names]
        if at_ns is None and told:
            yield _broken(attempt.id, f"the log tells {' or '.join(names)}, and its row does not")
        elif at_ns is not None and at_ns not in told:
            yield _broken(
                attempt.id, f"its row says {column}, and the log does not tell {' or '.join(names)} then"
            )
    sent = trail.first("attempt.sent")
    if sent is not None and sent.data.get("call_id") != attempt.call_id:
        yield _broken(attempt.id, "the Call-ID of its row is not that of attempt.sent")
    if attempt.verdict is not None and not trail.all("attempt.verdict_given"):
        yield _broken(attempt.id, "has a verdict that the log does not tell")
    ended = trail.first("attempt.ended")
    if ended is not None:
        for event in trail.events:
            if (
                (event.node, event.source) == (ended.node, ended.source)
                and event.seq > ended.seq
                and event.name in _BEFORE_THE_END
            ):
                yield _broken(attempt.id, f"{event.name} stands in the log after its end")


def strays(trail: Trail) -> Iterator[Violation]:
    """Events name attempts that exist."""
    for attempt_id in {event.attempt_id for event in trail.events}:
        yield _broken(attempt_id, "the log tells of it, and there is no such row")


def agents_told(subject: Subject) -> Iterator[Violation]:
    """Each interval of an agent has its `agent.state_changed`, and each such event its interval."""
    rows = Counter((row.agent_id, row.state, row.boot_id, row.from_mono_ns) for row in subject.intervals)
    columns = ("name", "boot_id", "at_mono_ns", "data")
    told: Counter[tuple[str, str, str, int]] = Counter()
    for event in scan.rows(subject.tx, "event", *columns, order_by=("node", "source", "seq")):
        if event.name == "agent.state_changed" and event.data["state"] != "logged_out":
            told[event.data["agent_id"], event.data["state"], event.boot_id, event.at_mono_ns] += 1
    for agent_id, state, _, at_ns in rows - told:
        yield Violation(
            Invariant.LOG,
            "agent_interval",
            agent_id,
            f"began {state} at {at_ns} ns, and the log does not tell it",
        )
    for agent_id, state, _, at_ns in told - rows:
        yield Violation(
            Invariant.LOG,
            "agent_interval",
            agent_id,
            f"the log tells {state} at {at_ns} ns, and no interval began then",
        )


CHECKS = (
    Check(Invariant.LOG, "events are numbered without gaps and are of known kinds", whole=numbers),
    Check(Invariant.LOG, "the log tells each attempt's steps, and nothing after its end", each=trail_of),
    Check(Invariant.LOG, "the log tells each agent's intervals", whole=agents_told),
)
