"""What a simulated shift is made of: laws of calls and agents, how they drift, who works when, and the shifts that have a name.

Owns the description only; `pacing.simulator` plays it. Laws are parameters, so that a campaign's own may be put in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pacing.errors import PacingInputError

Floats = NDArray[np.float64]

STEP_S = 0.5
"""Seconds between two looks of a policy, unless a scenario says otherwise."""


class Law(StrEnum):
    """Shape of a duration; its mean and coefficient of variation are given beside it."""

    LOGNORMAL = "lognormal"
    GAMMA = "gamma"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A shift to simulate. Shares are in [0, 1], durations in seconds.

    Attributes
    ----------
    name : str
        What reports call it.
    agents : int
        Agents who log in at the start, unless `logged_in` says otherwise.
    hours : float
        Length of the shift.
    live_share, machine_share, fail_share : float
        Attempts answered by a person, by a machine, and ended at once (busy, invalid); the rest ring until `ring_timeout_s`.
    ring_mean_s, ring_cv, ring_law, ring_timeout_s, fail_s
        Time to an answer (its law cut at the time-out), and to a failure.
    talk_mean_s, talk_cv, talk_law, wrapup_mean_s, wrapup_cv, wrapup_law
        Conversation and wrap-up.
    agent_wait_s : float
        Seconds after the end of the greeting within which a live caller must have an agent.
    greeting_s, analysis_s : float
        Mean length of the greeting, and of what analysis takes after it out of `agent_wait_s`.
    lost_share : float
        People taken for machines and hung up on.
    pass_share, machine_talk_s : float
        Machines taken for people and handed to an agent, and how long the agent listens to one.
    live_swing, swing_hours, live_noise : float
        Drift of the live share: amplitude of the logarithm of a slow wave, its period, standard deviation of the noise upon it.
    talk_swing : float
        Amplitude of the logarithm of a wave of the mean conversation over the shift.
    live_steps : tuple of (float, float)
        From which hour on the live share is multiplied by what.
    score_spread : float
        Half the leads have ``1 + score_spread`` times the live share, half ``1 - score_spread``, and the policy is told; 0 for none.
    lines : int or None
        Lines of the trunks; None for plenty.
    leads : int or None
        Leads on the list; None for no end of them.
    pauses_per_hour, pause_mean_s : float
        Breaks of each agent.
    logged_in : tuple of (float, float)
        Share of the agents logged in from each hour on, ``((0, 1),)`` for all.
    warm : bool
        Whether the policy begins with what it learned in an earlier shift of the same campaign.
    step_s : float
        Seconds between two looks of the policy.
    """

    name: str = "steady"
    agents: int = 20
    hours: float = 8.0
    live_share: float = 0.25
    machine_share: float = 0.20
    fail_share: float = 0.10
    ring_mean_s: float = 12.0
    ring_cv: float = 0.5
    ring_law: Law = Law.LOGNORMAL
    ring_timeout_s: float = 28.0
    fail_s: float = 2.0
    talk_mean_s: float = 180.0
    talk_cv: float = 0.9
    talk_law: Law = Law.LOGNORMAL
    wrapup_mean_s: float = 30.0
    wrapup_cv: float = 0.5
    wrapup_law: Law = Law.GAMMA
    agent_wait_s: float = 2.0
    greeting_s: float = 0.0
    analysis_s: float = 0.0
    lost_share: float = 0.0
    pass_share: float = 0.0
    machine_talk_s: float = 10.0
    live_swing: float = 0.0
    swing_hours: float = 4.0
    live_noise: float = 0.0
    talk_swing: float = 0.0
    live_steps: tuple[tuple[float, float], ...] = ()
    score_spread: float = 0.0
    lines: int | None = None
    leads: int | None = None
    pauses_per_hour: float = 0.0
    pause_mean_s: float = 600.0
    logged_in: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    warm: bool = False
    step_s: float = STEP_S

    def __post_init__(self) -> None:
        """Refuse what no shift can be, by name."""
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and low <= value <= high):
                raise PacingInputError(name, f"{value!r} is outside [{low:g}, {high:g}]")
        for name in ("ring_law", "talk_law", "wrapup_law"):
            try:
                object.__setattr__(self, name, Law(getattr(self, name)))
            except ValueError:
                raise PacingInputError(
                    name, f"{getattr(self, name)!r} is not one of {', '.join(Law)}"
                ) from None
        if self.live_share + self.machine_share + self.fail_share > 1.0:
            raise PacingInputError("live_share", "live, machine and fail shares are over 1 together")
        if self.ring_mean_s >= self.ring_timeout_s:
            raise PacingInputError(
                "ring_mean_s",
                f"{self.ring_mean_s:g} s until an answer, and calls ring {self.ring_timeout_s:g} s",
            )
        for name in ("lines", "leads"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise PacingInputError(name, f"{value} is negative")

    @property
    def seconds(self) -> float:  # numpydoc ignore=RT01
        """Length of the shift in seconds."""
        return self.hours * 3600.0

    def live_share_by_minute(self, rng: np.random.Generator) -> Floats:
        """Draw the day's live share.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        numpy.ndarray of float64, shape (minutes + 1,)
            Live answers per attempt, minute by minute, in (0, 0.9].
        """
        minutes = np.arange(math.ceil(self.hours * 60.0) + 1)
        wave = np.sin(2.0 * np.pi * (minutes / (60.0 * self.swing_hours) + rng.random()))
        logarithm = self.live_swing * wave + self.live_noise * _wandering(rng, minutes.size, 30.0)
        # the mean of the day stays what it is called
        day = (
            np.exp(logarithm) / np.exp(logarithm).mean()
            if self.live_swing or self.live_noise
            else np.exp(logarithm)
        )
        for hour, factor in self.live_steps:
            day[minutes >= 60.0 * hour] *= factor
        return np.clip(self.live_share * day, 1e-4, 0.9)

    def talk_mean_by_minute(self, rng: np.random.Generator) -> Floats:
        """Draw the day's mean conversation.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        numpy.ndarray of float64, shape (minutes + 1,)
            Seconds, minute by minute.
        """
        minutes = np.arange(math.ceil(self.hours * 60.0) + 1)
        wave = np.sin(2.0 * np.pi * (minutes / (60.0 * max(self.hours, 1.0)) + rng.random()))
        return self.talk_mean_s * np.exp(self.talk_swing * wave)

    def lead_scores(self, rng: np.random.Generator) -> Floats:
        """Draw the order in which good and bad leads come.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        numpy.ndarray of float64
            Multipliers of the live share, used in turn.
        """
        good = rng.random(65_536) < 0.5
        return np.where(good, 1.0 + self.score_spread, 1.0 - self.score_spread)

    def roster(self, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """Draw who logs in and out and takes a break, and when.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        tuple of numpy.ndarray
            Times in seconds, agents, and actions (0 log in, 1 log out, 2 pause, 3 resume), in order of time.
        """
        rows: list[tuple[float, int, int]] = []
        present = 0
        for hour, share in self.logged_in:
            wanted = min(self.agents, round(self.agents * share))
            at_s = hour * 3600.0
            # nobody comes or goes on the second, except at the very start
            late = rng.random(abs(wanted - present)) * (300.0 if at_s > 0.0 else 0.0)
            changed = range(present, wanted) if wanted > present else range(wanted, present)
            rows += [(at_s + s, a, 0 if wanted > present else 1) for s, a in zip(late, changed, strict=True)]
            present = wanted
        if self.pauses_per_hour > 0.0:
            for agent in range(self.agents):
                at_s = rng.exponential(3600.0 / self.pauses_per_hour)
                while at_s < self.seconds:
                    back_s = at_s + rng.exponential(self.pause_mean_s)
                    rows += [(at_s, agent, 2), (back_s, agent, 3)]
                    at_s = back_s + rng.exponential(3600.0 / self.pauses_per_hour)
        rows.sort()
        at, agent_ids, actions = zip(*rows, strict=True) if rows else ((), (), ())
        return (
            np.array(at, dtype=np.float64),
            np.array(agent_ids, dtype=np.int64),
            np.array(actions, dtype=np.int64),
        )


def _wandering(rng: np.random.Generator, minutes: int, memory_minutes: float) -> Floats:
    # an Ornstein-Uhlenbeck walk of variance 1, minute by minute
    keep = math.exp(-1.0 / memory_minutes)
    kicks = rng.standard_normal(minutes)
    walk = np.empty(minutes)
    value = kicks[0]
    for k in range(minutes):
        value = keep * value + math.sqrt(1.0 - keep * keep) * kicks[k]
        walk[k] = value
    return walk


_LIMITS = (
    ("agents", 0, 100_000), ("hours", 0.0, 200.0), ("live_share", 1e-4, 0.9), ("machine_share", 0.0, 1.0), ("fail_share", 0.0, 1.0),
    ("ring_mean_s", 0.1, 120.0), ("ring_cv", 0.0, 3.0), ("ring_timeout_s", 1.0, 600.0), ("fail_s", 0.0, 60.0),
    ("talk_mean_s", 1.0, 36_000.0), ("talk_cv", 0.0, 5.0), ("wrapup_mean_s", 0.0, 3600.0), ("wrapup_cv", 0.0, 5.0),
    ("agent_wait_s", 0.0, 600.0), ("greeting_s", 0.0, 60.0), ("analysis_s", 0.0, 60.0), ("lost_share", 0.0, 1.0),
    ("pass_share", 0.0, 1.0), ("machine_talk_s", 0.1, 600.0), ("live_swing", 0.0, 2.0), ("swing_hours", 0.1, 200.0),
    ("live_noise", 0.0, 2.0), ("talk_swing", 0.0, 2.0), ("score_spread", 0.0, 1.0), ("pauses_per_hour", 0.0, 60.0),
    ("pause_mean_s", 1.0, 36_000.0), ("step_s", 0.02, 60.0),
)  # fmt: skip


def _drift(scenario: Scenario) -> Scenario:
    return replace(scenario, live_swing=0.3, live_noise=0.1, talk_swing=0.1)


_NAMED: dict[str, Callable[[Scenario], Scenario]] = {
    "steady": lambda s: s,
    "drift": _drift,
    "ramp": lambda s: replace(s, hours=1.0),
    "step_up": lambda s: replace(s, live_share=0.15, live_steps=((s.hours / 2.0, 2.0),)),
    "step_down": lambda s: replace(s, live_share=0.30, live_steps=((s.hours / 2.0, 0.5),)),
    "scores": lambda s: replace(_drift(s), score_spread=0.8),
    "detection": lambda s: replace(_drift(s), greeting_s=1.0, analysis_s=0.9, lost_share=0.02, pass_share=0.05),
    "pauses": lambda s: replace(
        _drift(s), pauses_per_hour=0.5, logged_in=((0.0, 0.5), (0.5, 1.0), (s.hours / 2.0, 0.6), (s.hours / 2.0 + 1.0, 1.0))
    ),
    "lines": lambda s: replace(_drift(s), lines=2 * s.agents),
    "list_end": lambda s: replace(_drift(s), leads=round(s.agents * s.hours * 40.0)),
}  # fmt: skip


def names() -> list[str]:
    """Return the names of the shifts there are.

    Returns
    -------
    list of str
        In the order of the documentation.
    """
    return list(_NAMED)


def named(name: str, **fields: object) -> Scenario:
    """Return a shift by name.

    Parameters
    ----------
    name : str
        ``steady``; ``drift``, a live share and conversations that wander over the day; ``ramp``, the first hour from nothing;
        ``step_up`` and ``step_down``, a live share that doubles or halves at half time; ``scores``, drift with lead scores;
        ``detection``, drift with greetings, analysis and its errors; ``pauses``, breaks and log-ins; ``lines``, two lines an agent;
        ``list_end``, a list that runs out.
    **fields : object
        Fields of `Scenario` that differ: before the name's own changes for ``agents`` and ``hours``, after them for the rest.

    Returns
    -------
    Scenario
        The shift.

    Raises
    ------
    PacingInputError
        No shift has that name, or a field is out of its range.

    Examples
    --------
    >>> named("step_up", agents=10, hours=4.0).live_steps
    ((2.0, 2.0),)
    """
    if name not in _NAMED:
        raise PacingInputError("scenario", f"{name!r} is not one of {', '.join(_NAMED)}")
    first = {key: fields.pop(key) for key in ("agents", "hours") if key in fields}
    scenario = replace(_NAMED[name](Scenario(**first)), name=name)  # type: ignore[arg-type]
    return replace(scenario, **fields)  # type: ignore[arg-type]
