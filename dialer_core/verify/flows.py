"""I4, I12, I19: what people in a flow got: speech in time, nothing of a debt before they were identified, and a No that was written down first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail

_AT_ONCE = dt.timedelta(seconds=1)
"""One transaction, stamped by two looks at the clock."""
_IN_FLOW = ("flow.", "identity.", "optout.", "statement.")
_CUT_OFF = frozenset({"interrupted", "internal"})


def identity_first(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I19: no step that tells of the debt before `identity.verified` of this conversation."""
    del subject
    identified = False
    for event in trail.events:
        if event.name == "identity.verified":
            identified = True
        elif event.name == "flow.step_entered" and event.data["sensitive"] and not identified:
            step = event.data["step"]
            yield Violation(
                Invariant.I19, "attempt", attempt.id, f"heard step {step} before the person was identified"
            )


def opt_out_first(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I12: whoever opts out in a flow is restricted with that very word, before anything more is said to them."""
    for event in trail.all("optout.received"):
        source = f"attempt {attempt.id}"
        found = [
            row
            for scope, value in (
                ("person", attempt.person_id),
                ("phone", attempt.phone_id),
                ("number", attempt.number),
            )
            for row in subject.restrictions_on[scope, value]
            if row.source == source and row.kind == "do_not_call"
        ]
        if not found:
            yield Violation(
                Invariant.I12, "attempt", attempt.id, "they opted out, and no restriction came of it"
            )
        elif all(row.from_utc > event.at_utc + _AT_ONCE for row in found):
            yield Violation(
                Invariant.I12, "attempt", attempt.id, "they opted out, and the restriction came later"
            )


def flow_is_told(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I4: a flow begins once and ends once; whoever asked for an agent got one, or the message, or hung up."""
    del subject
    names = [event.name for event in trail.events]
    begun, ended = names.count("flow.started"), trail.all("flow.ended")
    if begun > 1 or len(ended) > begun:
        yield Violation(
            Invariant.I4,
            "attempt",
            attempt.id,
            f"{begun} flows began and {len(ended)} ended in one conversation",
        )
    if not begun and any(name.startswith(_IN_FLOW) and name != "flow.ended" for name in names):
        yield Violation(Invariant.I4, "attempt", attempt.id, "the log tells of a flow that never began")
    if attempt.live or attempt.outcome in _CUT_OFF:
        return
    if begun > len(ended):
        yield Violation(
            Invariant.I4, "attempt", attempt.id, "its flow began, and the log does not tell its end"
        )
    wanted = bool(ended) and ended[0].data["result"] == "to_agent"
    if wanted and attempt.outcome not in ("connected", "abandoned") and attempt.ended_by != "far":
        text = f"asked for an agent, and was hung up on as {attempt.outcome}"
        yield Violation(Invariant.I4, "attempt", attempt.id, text)


def conversation_counts(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I11: a contact says that there was a conversation where an agent, or a flow that knew the person, spoke to them."""
    if attempt.live:
        return
    talked = attempt.bridged_mono_ns is not None or bool(trail.all("identity.verified"))
    for contact in subject.contacts_of.get(attempt.id, ()):
        if contact.conversation != talked:
            text = f"contact {contact.id} says conversation = {contact.conversation}"
            yield Violation(Invariant.I11, "attempt", attempt.id, text)


CHECKS = (
    Check(
        Invariant.I19, "a flow tells nothing of a debt before the person is identified", each=identity_first
    ),
    Check(
        Invariant.I12, "whoever opts out in a flow is restricted before they hear more", each=opt_out_first
    ),
    Check(
        Invariant.I4,
        "a flow begins and ends once, and leads to an agent who was asked for",
        each=flow_is_told,
    ),
    Check(Invariant.I11, "a contact says whether there was a conversation", each=conversation_counts),
)
