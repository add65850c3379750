"""What a pacer has learned from its own attempts and agents: live answers per attempt, mean talk and wrap-up.

Owns the estimates, their priors and forgetting, and their export. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pacing.errors import PacingInputError
from pacing.interface import EventKind, FloatArray

PRIOR_ATTEMPTS = 30.0
"""Weight of the prior on the answer rate, in attempts."""
PRIOR_ANSWER_RATE = 0.3
"""Live answers per attempt before anything is known; rather high, since a low one dials too much."""
PRIOR_CONVERSATIONS = 5.0
"""Weight of the priors on talk and wrap-up, in conversations."""
PRIOR_TALK_S = 180.0
"""Mean conversation before anything is known."""
PRIOR_WRAPUP_S = 30.0
"""Mean wrap-up before anything is known."""
MEMORY_ATTEMPTS = 2000.0
"""Attempts after which the answer rate forgets: older ones fade exponentially."""
MEMORY_CONVERSATIONS = 500.0
"""Conversations after which talk and wrap-up forget."""


@dataclass(slots=True)
class Mean:
    """A running mean with a prior and exponential forgetting.

    Attributes
    ----------
    weight : float
        Observations the mean stands on, at least 0.
    total : float
        Their sum.
    memory : float
        Weight at which the mean stops growing heavier.
    """

    weight: float
    total: float
    memory: float

    def add(self, values: FloatArray) -> None:
        """Take observations in, oldest forgotten first.

        Parameters
        ----------
        values : numpy.ndarray of float, shape (n,)
            Observations; may be empty.
        """
        if values.size == 0:
            return
        weight = self.weight + values.size
        total = self.total + float(values.sum())
        # keep the mean, cap its weight: later observations then outweigh earlier ones
        keep = min(1.0, self.memory / weight)
        self.weight, self.total = weight * keep, total * keep

    def mean(self, unfinished: FloatArray) -> float:
        """Return the mean of durations of which some are still running.

        Parameters
        ----------
        unfinished : numpy.ndarray of float, shape (m,)
            Time elapsed of those still running (right-censored).

        Returns
        -------
        float
            ``(sum of finished + elapsed of unfinished) / finished``: the maximum-likelihood mean of exponential durations
            under censoring. Leaving the unfinished out would favour the short ones.
        """
        return (self.total + float(unfinished.sum())) / self.weight


class Observed:
    """Estimates of one pool, updated from the events of each snapshot.

    Parameters
    ----------
    state : dict of str to float, optional
        What `export` returned earlier; the priors when absent.

    Raises
    ------
    PacingInputError
        The state lacks a value or holds one that cannot be.
    """

    def __init__(self, state: dict[str, float] | None = None) -> None:
        given = state if state is not None else PRIOR_STATE
        self._answer = Mean(*_pair(given, "attempts", "live"), memory=MEMORY_ATTEMPTS)
        self._talk = Mean(*_pair(given, "talks", "talk_s"), memory=MEMORY_CONVERSATIONS)
        self._wrapup = Mean(*_pair(given, "wrapups", "wrapup_s"), memory=MEMORY_CONVERSATIONS)
        if self._answer.total > self._answer.weight:
            raise PacingInputError("state", "more live answers than attempts")

    def take(self, events: FloatArray) -> None:
        """Learn from the events of one step.

        Parameters
        ----------
        events : numpy.ndarray of float, shape (n_events, 2)
            Rows of (`EventKind`, seconds), checked. Released attempts teach nothing here: their outcome is unknown.
        """
        if events.size == 0:
            return
        kind, seconds = events[:, 0], events[:, 1]
        ended = (kind == EventKind.LIVE_ANSWER) | (kind == EventKind.NOT_LIVE)
        self._answer.add((kind[ended] == EventKind.LIVE_ANSWER).astype(np.float64))
        self._talk.add(seconds[kind == EventKind.TALK_ENDED])
        self._wrapup.add(seconds[kind == EventKind.WRAPUP_ENDED])

    @property
    def answer_rate(self) -> float:  # numpydoc ignore=RT01
        """Live answers per attempt, in (0, 1)."""
        return self._answer.total / self._answer.weight

    def handling_s(self, talk_elapsed_s: FloatArray, wrapup_elapsed_s: FloatArray) -> float:
        """Return the mean time an agent is busy with one call.

        Parameters
        ----------
        talk_elapsed_s, wrapup_elapsed_s : numpy.ndarray of float
            Seconds elapsed of those in progress.

        Returns
        -------
        float
            Mean talk plus mean wrap-up in seconds, over 0.
        """
        return self._talk.mean(talk_elapsed_s) + self._wrapup.mean(wrapup_elapsed_s)

    def export(self) -> dict[str, float]:
        """Return the estimates as plain numbers, to be stored and given back.

        Returns
        -------
        dict of str to float
            Weights and sums.
        """
        return {
            "attempts": self._answer.weight,
            "live": self._answer.total,
            "talks": self._talk.weight,
            "talk_s": self._talk.total,
            "wrapups": self._wrapup.weight,
            "wrapup_s": self._wrapup.total,
        }


PRIOR_STATE = {
    "attempts": PRIOR_ATTEMPTS,
    "live": PRIOR_ATTEMPTS * PRIOR_ANSWER_RATE,
    "talks": PRIOR_CONVERSATIONS,
    "talk_s": PRIOR_CONVERSATIONS * PRIOR_TALK_S,
    "wrapups": PRIOR_CONVERSATIONS,
    "wrapup_s": PRIOR_CONVERSATIONS * PRIOR_WRAPUP_S,
}
"""The estimates of a pool nobody has dialed for."""


def _pair(state: dict[str, float], weight: str, total: str) -> tuple[float, float]:
    try:
        pair = float(state[weight]), float(state[total])
    except (KeyError, TypeError, ValueError):
        raise PacingInputError("state", f"needs the numbers {weight} and {total}") from None
    if not (0.0 < pair[0] < np.inf and 0.0 < pair[1] < np.inf):
        raise PacingInputError("state", f"{weight} and {total} must be positive")
    return pair
