"""`dialer verify` finds what may not be said of a delivery into a PBX's queue, and nothing in what may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dialer_core.verify.deliveries import delivered

pytestmark = pytest.mark.unit

BEGAN, THERE, FAILED = "attempt.delivery_began", "attempt.delivered", "attempt.delivery_failed"
BRIDGED, ENDED, ABANDONED = "attempt.bridged", "attempt.ended", "attempt.abandoned"


def told(*events: str, live: bool = False) -> list[str]:
    """Return what is wrong with a trail; an event's leg stands behind a colon, `1` without one."""
    trail: Any = SimpleNamespace(
        events=[
            SimpleNamespace(name=name, data={"leg_id": leg or "1"})
            for name, _, leg in (event.partition(":") for event in events)
        ]
    )
    attempt: Any = SimpleNamespace(id="a", live=live)
    return [str(violation.invariant) for violation in delivered(None, attempt, trail)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "events",
    [
        (BEGAN, THERE, BRIDGED, ENDED),
        (BEGAN, FAILED, f"{BEGAN}:2", f"{THERE}:2", BRIDGED, ENDED),
        (BEGAN, ABANDONED, ENDED),
        (BEGAN, ENDED),
        (BRIDGED, ENDED),
    ],
)
def test_a_delivery_that_went_as_it_may(events: tuple[str, ...]) -> None:
    """Acknowledged, refused and tried again, abandoned, hung up on the way, and none at all."""
    assert told(*events) == []


@pytest.mark.parametrize(
    ("events", "broken"),
    [
        ((BEGAN, BRIDGED, ENDED), "I4"),
        ((BEGAN, f"{BEGAN}:2", ENDED), "I5"),
        ((BEGAN, f"{THERE}:2", ENDED), "I4"),
        ((BEGAN,), "I6"),
    ],
)
def test_a_delivery_that_may_not_be(events: tuple[str, ...], broken: str) -> None:
    """Bridged to a queue's music, called twice at once, another's agent, and forgotten."""
    assert told(*events) == [broken]


def test_one_under_way_is_not_over() -> None:
    """A live attempt may be on its way."""
    assert told(BEGAN, live=True) == []
