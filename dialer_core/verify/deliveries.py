"""I4, I5, I6: people delivered into a PBX's queue: nobody is bridged there before one of its agents is, and nobody is forgotten on the way."""

from __future__ import annotations

from collections.abc import Iterator

from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail

_OVER = frozenset(
    {
        "attempt.delivered",
        "attempt.delivery_failed",
        "attempt.abandoned",
        "attempt.ended",
        "attempt.unbridged",
    }
)
"""What may follow a queue's being called."""


def delivered(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I4, I6: a delivery begins once, an agent of the queue is acknowledged before the bridge, and each one comes to an end that is told."""
    del subject
    calling = ""
    acknowledged: set[str] = set()
    for event in trail.events:
        leg = event.data.get("leg_id", "")
        if event.name == "attempt.delivery_began":
            if calling:
                yield Violation(
                    Invariant.I5,
                    "attempt",
                    attempt.id,
                    "is delivered to a queue while it is on its way to one",
                )
            calling = leg
        elif event.name == "attempt.bridged" and calling:
            yield Violation(
                Invariant.I4,
                "attempt",
                attempt.id,
                "was bridged into a queue before any of its agents was there",
            )
        elif event.name in _OVER:
            if event.name == "attempt.delivered":
                if leg != calling or leg in acknowledged:
                    yield Violation(
                        Invariant.I4,
                        "attempt",
                        attempt.id,
                        "has an agent of a queue that was not called for it",
                    )
                acknowledged.add(leg)
            calling = ""
    if calling and not attempt.live:
        yield Violation(
            Invariant.I6,
            "attempt",
            attempt.id,
            "was being delivered to a queue, and nobody told how that ended",
        )


CHECKS = (Check(Invariant.I4, "nobody is bridged into a queue before its agent is there", each=delivered),)
