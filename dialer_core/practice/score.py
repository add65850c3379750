"""The score sheet of one practised conversation, from who spoke when and what was marked. Pure.

It owns the figures and what is good of them. Times are seconds from the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from dialer_core.practice.script import Mark, Script

Span = tuple[float, float]
"""From and until, in seconds from the answer."""

INTERRUPTS_S: Final = 0.5
"""Speaking for so long while the other speaks is no nod, but an interruption."""
DEAD_AIR_S: Final = 3.0
"""Nobody says anything for longer."""
TALK_RATIO: Final = (0.35, 0.65)
"""The agent's share of all that is said."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the sheet."""

    name: str
    value: str
    good: bool


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """How it went."""

    script: str
    agent: str
    at_utc: str
    seconds: float
    points: tuple[Point, ...]

    @property
    def good(self) -> int:
        """How many of the points are."""
        return sum(point.good for point in self.points)


def overlap_s(spans: Sequence[Span], others: Sequence[Span]) -> list[float]:
    """Return for each span how long it lies within any of the others, which do not overlap each other."""
    return [
        sum(max(0.0, min(until, other[1]) - max(begin, other[0])) for other in others)
        for begin, until in spans
    ]


def gaps(spans: Sequence[Span], until: float) -> list[Span]:
    """Return when nobody spoke in [0, until]."""
    found, at = [], 0.0
    for begin, end in sorted(spans):
        if begin > at:
            found.append((at, begin))
        at = max(at, end)
    if until > at:
        found.append((at, until))
    return found


def points(
    script: Script,
    *,
    agent: Sequence[Span],
    person: Sequence[Span],
    seconds: float,
    marks: Mapping[Mark, float],
    disposition: str,
) -> tuple[Point, ...]:
    """Return the lines of the sheet.

    Parameters
    ----------
    agent, person
        When each of them spoke.
    seconds
        How long the call was.
    marks
        When each thing was marked first.
    disposition
        What the agent says it was.
    """
    spoke, answered = (sum(until - begin for begin, until in spans) for spans in (agent, person))
    share = spoke / (spoke + answered) if spoke + answered else 0.0
    cuts = sum(one >= INTERRUPTS_S for one in overlap_s(agent, person))
    dead = [until - begin for begin, until in gaps([*agent, *person], seconds) if until - begin > DEAD_AIR_S]
    identity, debt = marks.get(Mark.IDENTITY), marks.get(Mark.DEBT)
    found = [
        Point(name="talk ratio", value=f"{share:.2f}", good=TALK_RATIO[0] <= share <= TALK_RATIO[1]),
        Point(name="interruptions", value=str(cuts), good=cuts == 0),
        Point(name="dead air", value=f"{sum(dead):.1f} s in {len(dead)}", good=not dead),
        Point(
            name="time to identity", value="never" if identity is None else f"{identity:.1f} s", good=identity is not None
        ),
        Point(
            name="identity before debt",
            value="no debt named" if debt is None else "yes" if identity is not None and identity <= debt else "no",
            good=debt is None or (identity is not None and identity <= debt),
        ),
        Point(
            name="disposition", value=f"{disposition or 'none'}, right is {script.disposition}", good=disposition == script.disposition
        ),
    ]  # fmt: skip
    if script.promises:
        taken = Mark.PROMISE in marks
        found.append(Point(name="promise written down", value="yes" if taken else "no", good=taken))
    return tuple(found)
