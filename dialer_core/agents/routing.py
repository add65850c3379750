"""Who of the free agents gets a person: by name, by skill and level, by idle time. Pure.

It owns the order; who is free at all is the agent's state (`state.py`), and what follows from the choice is its caller's.

1. The agent they were promised (a call-back's, a promise's), if free. While that one is only busy the person may be kept for them, for
   `Asked.sticky_s` at most.
2. Of those who have every skill asked for: the highest sum of levels in them, then who has been idle longest.
3. When that has found nobody for `overflow_s`, the same among those who have the wider set's.

In each step an agent whose own call-back is being dialed goes last: the next free moment is promised already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dialer_core.vocabulary import AgentId


@dataclass(frozen=True, slots=True)
class Candidate:
    """One agent who is free and works for the campaign."""

    id: AgentId
    skills: Mapping[str, int]
    idle_since_ns: int
    expects: bool = False
    """Somebody who was promised this agent is being called now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one person asks for, now."""

    skills: Mapping[str, int]
    overflow_skills: Mapping[str, int]
    overflow_s: float | None = None
    waited_s: float = 0.0
    sticky: AgentId | None = None
    """Whom they were promised."""
    sticky_s: float = 0.0
    """So long they may be kept for that agent, while somebody else could take them."""
    sticky_comes: bool = False
    """That agent is at work and will be free again."""


def has(skills: Mapping[str, int], asked: Mapping[str, int]) -> bool:
    """Say whether somebody with these skills has all that are asked for."""
    return all(skills.get(name, 0) >= level for name, level in asked.items())


def choose(free: Iterable[Candidate], asked: Asked) -> AgentId | None:
    """Return who gets the person; None: nobody yet.

    Parameters
    ----------
    free
        Agents who may be given one of this campaign's people now.
    asked
        What the person needs, and for how long they have waited.
    """
    candidates = list(free)
    if asked.sticky is not None:
        if any(one.id == asked.sticky for one in candidates):
            return asked.sticky
        if asked.sticky_comes and asked.waited_s < asked.sticky_s:
            return None
    sets = [asked.skills]
    if asked.overflow_s is not None and asked.waited_s >= asked.overflow_s:
        sets.append(asked.overflow_skills)
    for skills in sets:
        able = [one for one in candidates if has(one.skills, skills)]
        if able:
            return min(able, key=lambda one: _order(one, asked.skills)).id
    return None


def _order(one: Candidate, asked: Mapping[str, int]) -> tuple[bool, int, int]:
    return one.expects, -sum(one.skills.get(name, 0) for name in asked), one.idle_since_ns
