"""I2, I4, I12, I19: calls that came in. Each arrives once and ends once; what a flow says to a caller keeps the rules of any flow."""

from __future__ import annotations

from collections.abc import Iterator

from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject

_BETWEEN = ("call.identified", "call.queued", "call.bridged", "call.dispositioned", "callback.taken")
_IN_FLOW = ("flow.started", "flow.step_entered", "identity.verified", "optout.received", "flow.ended")


def stories(subject: Subject) -> Iterator[Violation]:
    """I2: every call that came in is told to its end, once; a leg that is still up may be under way."""
    live = {leg.id for leg in subject.legs if leg.live}
    told: dict[str, list[str]] = {}
    for name in ("call.arrived", *_BETWEEN, "call.ended"):
        for row in scan.rows(
            subject.tx, "event", "node", "source", "seq", "name", "data", order_by=("node", "source", "seq"), only=("name", name)
        ):  # fmt: skip
            told.setdefault(row.data["leg_id"], []).append(name)
    for leg_id, names in told.items():
        arrived, ended = names.count("call.arrived"), names.count("call.ended")
        if arrived != 1:
            yield _broken(leg_id, f"has arrived {arrived} times")
        if ended > 1:
            yield _broken(leg_id, f"has ended {ended} times")
        if not ended and leg_id not in live:
            yield _broken(leg_id, "is over, and nobody has told its end")


def flows(subject: Subject) -> Iterator[Violation]:
    """A caller's flow begins once and ends once, tells of a debt only whom it has identified, and whoever opts out in it is restricted."""
    told: dict[str, list[Row]] = {}
    for name in _IN_FLOW:
        for row in scan.rows(
            subject.tx, "event", "node", "source", "seq", "name", "attempt_id", "data",
            order_by=("node", "source", "seq"), only=("name", name),
        ):  # fmt: skip
            if row.attempt_id is None and row.data.get("leg_id"):
                told.setdefault(row.data["leg_id"], []).append(row)
    ended = {
        row.data["leg_id"]
        for row in scan.rows(
            subject.tx, "event", "node", "source", "seq", "data", order_by=("node", "source", "seq"), only=("name", "call.ended")
        )
    }  # fmt: skip
    sources = {row.source for rows in subject.restrictions_on.values() for row in rows}
    for leg_id, events in told.items():
        events.sort(key=lambda row: (row.node, row.source, row.seq))
        yield from _flow_of(leg_id, events, over=leg_id in ended, restricted=f"call {leg_id}" in sources)


def _flow_of(leg_id: str, events: list[Row], *, over: bool, restricted: bool) -> Iterator[Violation]:
    names = [row.name for row in events]
    begun, finished = names.count("flow.started"), names.count("flow.ended")
    if finished > begun or (over and begun != finished):
        text = f"heard {begun} flows begin and {finished} end"
        yield Violation(Invariant.I4, "leg", leg_id, text)
    identified = False
    for row in events:
        identified = identified or row.name == "identity.verified"
        if row.name == "flow.step_entered" and row.data["sensitive"] and not identified:
            text = f"a caller heard step {row.data['step']} before they were identified"
            yield Violation(Invariant.I19, "leg", leg_id, text)
    if "optout.received" in names and not restricted:
        yield Violation(Invariant.I12, "leg", leg_id, "a caller opted out, and no restriction came of it")


def _broken(leg_id: str, text: str) -> Violation:
    return Violation(Invariant.I2, "leg", leg_id, f"a call that came in {text}")


CHECKS = (
    Check(Invariant.I2, "every call that came in is told to its end", whole=stories),
    Check(Invariant.I4, "flows of callers begin and end once, and keep the rules of flows", whole=flows),
)
