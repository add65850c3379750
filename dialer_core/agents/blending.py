"""Blending: agents between those who call and those who are dialed, so that neither side starves. Pure.

It owns the account of turns of one campaign's callers. Turns are only counted while both sides want agents: while a caller waits, each agent
given to a caller pays `1 - share` turns, each given to somebody dialed owes them `share`. Callers take agents while they are owed; while they
are not, free agents are left to dialing, which is given `PATIENCE_S` to use one. With both sides always wanting, callers get `share` of the agents.

A live answer is never kept waiting by it: the law gives it two seconds, and it takes whoever is free. What that owes callers is paid by the agents
who become free next, for whom pacing does not dial (`owed`).
"""

from __future__ import annotations

import math

PATIENCE_S = 20.0
"""An agent left to dialing, and not used for so long, goes to a caller after all: longer than most calls ring until somebody answers."""


class Blend:
    """The turns of one campaign's callers.

    Parameters
    ----------
    share
        Of contested agents, what callers get, in (0, 1).
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._owed = 0.0
        self._left_since_s: float | None = None
        """Since when agents have been left to dialing."""

    def caller_took(self) -> None:
        """A caller got an agent."""
        self._owed -= 1.0 - self._share
        self._left_since_s = None

    def dialed_took(self) -> None:
        """Somebody dialed got an agent whom a caller waits for."""
        self._owed += self._share
        self._left_since_s = None

    def may_take(self, now_s: float, *, dialing: bool) -> bool:
        """Say whether a caller may take a free agent now.

        Parameters
        ----------
        now_s
            Monotonic seconds.
        dialing
            Whether anybody is dialed for these agents at all.
        """
        if self._owed >= 0.0 or not dialing:
            return True
        if self._left_since_s is None:
            self._left_since_s = now_s
        if now_s - self._left_since_s < PATIENCE_S:
            return False
        self.emptied()
        return True

    def owed(self, waiting: int) -> int:
        """Return how many of the next free agents are callers', of whom so many wait."""
        return min(waiting, math.floor(self._owed) + 1) if self._owed >= 0.0 else 0

    def emptied(self) -> None:
        """Nobody waits any more: what was owed is forgotten."""
        self._owed, self._left_since_s = 0.0, None
