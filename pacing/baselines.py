"""Policies to compare with, restated from the published behaviour of other dialers, and by name everything a simulation can run.

Owns the rules of others and the table of names. They are stated as their documentation and their users describe them, not as their code
reads: what is compared is the idea. None of them belongs in a call loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from pacing.errors import PacingInputError
from pacing.interface import Binding, Decision, EventKind, FloatArray, Mode, PacerConfig, Snapshot
from pacing.pacer import Pacer
from pacing.scenario import Scenario
from pacing.simulator import Policy


@dataclass(slots=True)
class Vicidial:
    """VICIdial's ratio and its adaptive methods: a dial level times the agents who are ready or in a call, less the lines in use.

    Who is in wrap-up (in its words: paused for the disposition) is not counted. The level is revised every 15 s: up by the share of agents
    who wait, down by the calls that do, between 1 and `most`. What the abandoned calls since midnight do to it is the method's. ``ratio``
    leaves it alone; ``hard_limit`` sets it to 1 while they are over the limit; ``tapered`` does so against a limit that begins three times
    as high and tapers off over the shift; ``average`` takes it down by a tenth instead.

    Attributes
    ----------
    method : str
        As above.
    limit : float
        Share of live answers that may be abandoned.
    level : float
        Lines per agent to begin with.
    most : float
        Largest level.
    shift_s : float
        Length of the shift, for ``tapered``.

    References
    ----------
    VICIdial Manager Manual, "Dial Method", "Auto Dial Level" and "Drop Percentage Limit".
    """

    method: str
    limit: float
    level: float = 1.0
    most: float = 3.0
    shift_s: float = 28_800.0
    _due_s: float = 15.0
    _waits: list[float] = field(default_factory=list)

    def step(self, snapshot: Snapshot) -> Decision:
        """Decide.

        Parameters
        ----------
        snapshot : Snapshot
            The pool now.

        Returns
        -------
        Decision
            Calls to place; nothing is released.
        """
        self._waits.append(snapshot.idle - snapshot.waiting)
        if snapshot.now_s >= self._due_s and self.method != "ratio":
            self._revise(snapshot)
            self._due_s, self._waits = snapshot.now_s + 15.0, []
        used = snapshot.in_flight + len(snapshot.talk_elapsed_s)
        wanted = max(0, math.floor(self.level * _counted(snapshot)) - used)
        return Decision(place=min(wanted, snapshot.lines_free), release=0, binding=Binding.RATIO)

    def _revise(self, snapshot: Snapshot) -> None:
        share = float(np.mean(self._waits)) / max(_counted(snapshot), 1)
        level = self.level * (1.0 + share)
        dropped = snapshot.abandoned_total / max(snapshot.live_total, 1)
        limit = self.limit
        if self.method == "tapered":
            limit *= 1.0 + 2.0 * max(0.0, 1.0 - snapshot.now_s / self.shift_s)
        if dropped > limit:
            level = 0.9 * self.level if self.method == "average" else 1.0
        self.level = min(max(level, 1.0), self.most)


def _counted(snapshot: Snapshot) -> int:
    return snapshot.idle + len(snapshot.talk_elapsed_s)


@dataclass(slots=True)
class Issabel:
    """Issabel's predictor: free agents, and those whom an Erlang law says to be free by the time a new call is answered.

    Each busy agent counts if the probability that a conversation (a wrap-up, for those in one) is shorter than what has elapsed plus the mean
    time to an answer is over `sure`: an unconditional law, as published. The calls in transit are taken off; that many are not answered is
    left out of account.

    Attributes
    ----------
    sure : float
        Probability from which on an agent counts as soon free.

    References
    ----------
    Issabel call center, "Dialer logic".
    """

    sure: float = 0.9
    _seen: dict[int, list[float]] = field(default_factory=dict)

    def step(self, snapshot: Snapshot) -> Decision:
        """Decide.

        Parameters
        ----------
        snapshot : Snapshot
            The pool now.

        Returns
        -------
        Decision
            Calls to place; nothing is released.
        """
        for kind, seconds in np.asarray(snapshot.events):
            self._seen.setdefault(int(kind), []).append(float(seconds))
        ahead_s = float(np.mean(self._lately(EventKind.LIVE_ANSWER, [12.0])))
        soon = self._soon(self._lately(EventKind.TALK_ENDED, [180.0, 60.0]), snapshot.talk_elapsed_s, ahead_s)
        soon += self._soon(
            self._lately(EventKind.WRAPUP_ENDED, [30.0, 15.0]), snapshot.wrapup_elapsed_s, ahead_s
        )
        wanted = snapshot.idle + soon - snapshot.in_flight
        return Decision(place=min(max(0, wanted), snapshot.lines_free), release=0, binding=Binding.RATIO)

    def _lately(self, kind: EventKind, unknown: list[float]) -> list[float]:
        return self._seen.get(kind, unknown)[-200:]

    def _soon(self, seen_s: list[float], elapsed_s: Sequence[float] | FloatArray, ahead_s: float) -> int:
        mean, variance = float(np.mean(seen_s)), max(float(np.var(seen_s)), 1.0)
        stages = max(1.0, round(mean * mean / variance))
        shorter = special.gammainc(stages, stages / mean * (np.asarray(elapsed_s) + ahead_s))
        return int(np.count_nonzero(shorter > self.sure))


def clairvoyant_bound(scenario: Scenario) -> float:
    """Return the occupancy of one who lands each live call the instant an agent frees.

    Parameters
    ----------
    scenario : Scenario
        The shift.

    Returns
    -------
    float
        At most 1: less by the first ring, and where the list or the lines cannot feed all agents.
    """
    handling_s = scenario.talk_mean_s + scenario.wrapup_mean_s
    agent_s = scenario.agents * scenario.seconds
    bound = 1.0 - min(scenario.ring_mean_s / scenario.seconds, 1.0)
    if scenario.leads is not None:
        bound = min(bound, scenario.leads * scenario.live_share * handling_s / max(agent_s, 1e-9))
    if scenario.lines is not None:
        # a line per conversation, and per live answer the ringing of all it takes to get one
        rest = 1.0 - scenario.live_share - scenario.machine_share - scenario.fail_share
        answered = scenario.live_share + scenario.machine_share
        ringing_s = (
            answered * scenario.ring_mean_s
            + scenario.fail_share * scenario.fail_s
            + rest * scenario.ring_timeout_s
        )
        line_s = scenario.talk_mean_s + ringing_s / scenario.live_share
        bound = min(bound, scenario.lines / line_s * handling_s / max(scenario.agents, 1))
    return bound


def policies() -> list[str]:
    """Return the names `policy` knows.

    Returns
    -------
    list of str
        The modes of `pacing.Pacer`, then the rules of others.
    """
    return [str(mode) for mode in Mode if mode is not Mode.PREVIEW] + ["predictive_without_release", *_OTHERS]


def takes_level(name: str) -> bool:
    """Say whether a policy goes by a level: calls per idle agent, or lines per agent to begin with.

    Parameters
    ----------
    name : str
        One of `policies`.

    Returns
    -------
    bool
        Whether `policy` heeds `level`.
    """
    return name == Mode.RATIO or name.startswith("vicidial")


def policy(name: str, scenario: Scenario, ceiling: float, *, level: float | None = None) -> Policy:
    """Make a policy by name, knowing nothing yet.

    Parameters
    ----------
    name : str
        One of `policies`.
    scenario : Scenario
        What it will run; settings an operator would enter (time-out, wait) are taken from it.
    ceiling : float
        Share of live answers that may be abandoned.
    level : float, optional
        Calls per idle agent (``ratio``) or lines per agent to begin with (VICIdial's).

    Returns
    -------
    Policy
        With a `step`.

    Raises
    ------
    PacingInputError
        There is no such policy, or a setting is out of range.
    """
    if name in _OTHERS:
        return _OTHERS[name](ceiling, level or 1.0, scenario)
    if name not in policies():
        raise PacingInputError("policy", f"{name!r} is not one of {', '.join(policies())}")
    mode = name.removesuffix("_without_release")
    return Pacer(
        PacerConfig(
            mode=mode,
            abandonment_ceiling=ceiling,
            agent_wait_s=max(scenario.agent_wait_s - scenario.analysis_s, 0.0),
            ring_timeout_s=scenario.ring_timeout_s,
            min_ring_s=min(15.0, scenario.ring_timeout_s),
            release=mode == name,
            ratio=level or 1.0,
        )
    )


_OTHERS: dict[str, Callable[[float, float, Scenario], Policy]] = {
    "vicidial_ratio": lambda ceiling, level, s: Vicidial("ratio", ceiling, level, shift_s=s.seconds),
    "vicidial_hard_limit": lambda ceiling, level, s: Vicidial(
        "hard_limit", ceiling, level, shift_s=s.seconds
    ),
    "vicidial_tapered": lambda ceiling, level, s: Vicidial("tapered", ceiling, level, shift_s=s.seconds),
    "vicidial_average": lambda ceiling, level, s: Vicidial("average", ceiling, level, shift_s=s.seconds),
    "issabel": lambda _ceiling, _level, _s: Issabel(),
}
