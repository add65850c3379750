"""I4, I6: what an agent did on the call: conversations go by their table, and whoever is handed on arrives, comes back, or has ended."""

from __future__ import annotations

from collections.abc import Iterator

from dialer_core.calls.conversation import TABLE
from dialer_core.compliance.rules import RecordingRule
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail
from dialer_core.vocabulary import TalkState

_STEPS = frozenset((state, cell) for (state, _), cell in TABLE.items() if isinstance(cell, TalkState))
_HANDED_TO_EXTENSION = frozenset({"attempt.transferred", "attempt.transfer_failed", "attempt.ended"})


def steps(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I6: each change of a conversation is one of its table's, begins with its bridge, and is told while that stands."""
    del subject
    state: TalkState | None = None
    for event in trail.events:
        if event.name == "attempt.bridged":
            state = TalkState.TOGETHER
        elif event.name in ("attempt.unbridged", "attempt.handed_on", "attempt.ended"):
            state = None
        elif event.name == "talk.state_changed":
            told = TalkState(event.data["state"])
            if state is None:
                yield Violation(Invariant.I6, "attempt", attempt.id, f"is told to be {told} without an agent")
            elif told is not state and (state, told) not in _STEPS:
                yield Violation(
                    Invariant.I6, "attempt", attempt.id, f"went from {state} to {told} in its talk"
                )
            state = told


def handed_on(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I4: after a hand-over, the agent or extension named has the customer, or the log says what became of them: never silence."""
    del subject
    events = list(trail.events)
    for place, event in enumerate(events):
        if event.name != "attempt.handed_on":
            continue
        after = [later.name for later in events[place + 1 :]]
        if attempt.live or attempt.outcome == "interrupted":
            continue
        wanted = {"attempt.bridged", "attempt.ended"} if event.data.get("to_agent") else _HANDED_TO_EXTENSION
        if not wanted.intersection(after):
            yield Violation(Invariant.I4, "attempt", attempt.id, "was handed on, and nobody got the customer")


def next_numbers(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I3: who asked for a person's next number got that person's, another one, and not before the call before was over."""
    for event in trail.all("lead.next_number_dialed"):
        before = subject.attempts_by_id.get(event.data["after"])
        if before is None or before.person_id != attempt.person_id:
            text = "was dialed as the next number of another person"
            yield Violation(Invariant.I3, "attempt", attempt.id, text)
        elif before.phone_id == attempt.phone_id:
            text = "was dialed as the next number, and is the same"
            yield Violation(Invariant.I3, "attempt", attempt.id, text)
        elif before.ended_at_utc is None or before.ended_at_utc > attempt.committed_at_utc:
            text = "was dialed as the next number while the call before lasted"
            yield Violation(Invariant.I3, "attempt", attempt.id, text)


def recorded(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I11: who is recorded was told, or has agreed, where the rules of their number ask for that first."""
    pack = subject.pack_of(attempt)
    begun = [
        event.data["basis"]
        for event in trail.all("recording.changed")
        if event.data["switch"] == "on" and event.data.get("basis") is not None
    ]
    if pack is None or not begun:
        return
    rule = pack.recording_for(attempt.number, None)
    enough = {
        RecordingRule.NONE: {"", "announced", "consent", "agent"},
        RecordingRule.ANNOUNCE: {"announced", "consent", "agent"},
        RecordingRule.CONSENT: {"consent", "agent"},
    }[rule]
    if not enough.issuperset(begun):
        text = f"was recorded without what {pack.name} asks for first: {rule}"
        yield Violation(Invariant.I11, "attempt", attempt.id, text)


CHECKS = (
    Check(Invariant.I11, "who is recorded was told, or has agreed", needs=("packs",), each=recorded),
    Check(Invariant.I3, "the next number is another one of the same person", each=next_numbers),
    Check(Invariant.I6, "conversations go by their table", each=steps),
    Check(Invariant.I4, "whoever is handed on is not left alone", each=handed_on),
)
