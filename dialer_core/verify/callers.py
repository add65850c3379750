"""I2, I6: calls that came in. Each arrives once and ends once, and what is told of it is told between the two."""

from __future__ import annotations

from collections.abc import Iterator

from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Subject

_BETWEEN = ("call.identified", "call.queued", "call.bridged", "callback.taken")


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


def _broken(leg_id: str, text: str) -> Violation:
    return Violation(Invariant.I2, "leg", leg_id, f"a call that came in {text}")


CHECKS = (Check(Invariant.I2, "every call that came in is told to its end", whole=stories),)
