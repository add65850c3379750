"""The race for a live answer: an agent's bridge against the abandonment message. One state machine per customer's leg.

It owns the decision and its deadline. The sound of either outcome is `answers.py`'s; whether there is an agent is the engine's. Because
the media plane alone decides, a bridge and the message can never both win, whatever crosses on the sockets.
"""

from __future__ import annotations

import enum
from typing import Final


class WaitState(enum.StrEnum):
    """Where a leg stands in the race."""

    QUIET = "quiet"
    """Nobody waits: not answered, not yet judged, judged not live, or between two agents until `Await`."""
    WAITING = "waiting"
    """A live answer without an agent; the deadline runs."""
    BRIDGED = "bridged"
    """An agent is there."""
    FALLBACK = "fallback"
    """The deadline passed; the message plays or has played. For good."""


class WaitEvent(enum.StrEnum):
    """What can happen to it."""

    LIVE = "live"
    """The detector's live verdict (not in mode `monitor`)."""
    AWAIT = "await"
    """The engine says: this one waits."""
    DEADLINE = "deadline"
    """The time is over."""
    TAKEN = "taken"
    """A flow speaks to them: nobody need come in time."""
    BRIDGE = "bridge"
    UNBRIDGE = "unbridge"


LATE: Final = "late"
"""A legitimate race: nothing changes, it is counted."""
BUG: Final = "bug"
"""Cannot happen: our own timer fired in a state that has none, or our own order was broken. Logged, nothing changes."""

_S, _E = WaitState, WaitEvent
TABLE: Final[dict[WaitState, dict[WaitEvent, WaitState | str]]] = {
    # A leg already waiting keeps its first deadline on a second verdict; the engine's own word sets a new one.
    # A bridged leg is parted from its agent before it waits again.
    _S.QUIET: {
        _E.LIVE: _S.WAITING,
        _E.AWAIT: _S.WAITING,
        _E.DEADLINE: BUG,
        _E.TAKEN: LATE,
        _E.BRIDGE: _S.BRIDGED,
        _E.UNBRIDGE: LATE,
    },
    _S.WAITING: {
        _E.LIVE: LATE,
        _E.AWAIT: _S.WAITING,
        _E.DEADLINE: _S.FALLBACK,
        _E.TAKEN: _S.QUIET,
        _E.BRIDGE: _S.BRIDGED,
        _E.UNBRIDGE: LATE,
    },
    _S.BRIDGED: {
        _E.LIVE: LATE,
        _E.AWAIT: BUG,
        _E.DEADLINE: BUG,
        _E.TAKEN: LATE,
        _E.BRIDGE: LATE,
        _E.UNBRIDGE: _S.QUIET,
    },
    _S.FALLBACK: {
        _E.LIVE: LATE,
        _E.AWAIT: LATE,
        _E.DEADLINE: BUG,
        _E.TAKEN: LATE,
        _E.BRIDGE: LATE,
        _E.UNBRIDGE: LATE,
    },
}


class Waiting:
    """One leg's place in the race. `deadline_ns` is set exactly while WAITING."""

    __slots__ = ("deadline_ns", "fallback_ns", "fallback_prompt", "state")

    def __init__(self) -> None:
        self.state = WaitState.QUIET
        self.deadline_ns: int | None = None
        self.fallback_prompt = ""
        self.fallback_ns = 0
        """When the message began."""

    def apply(self, event: WaitEvent, deadline_ns: int | None = None) -> bool:
        """Move by the table; return whether the event took effect. LIVE and AWAIT bring the deadline.

        Raises
        ------
        ValueError
            A `bug` cell, with the state in the message; the state stays.
        """
        following = TABLE[self.state][event]
        if following == BUG:
            raise ValueError(f"{event} in state {self.state}")
        if following == LATE:
            return False
        self.state = WaitState(following)
        self.deadline_ns = deadline_ns if self.state is WaitState.WAITING else None
        return True
