"""Simulated shifts: one scenario, one policy, one seed, thousands of times faster than life.

Owns the conversation between a policy and the shift: every `Scenario.step_s` the policy sees a `Snapshot`, as an engine would show it,
and its `Decision` is carried out. The shift's own moves are in `pacing.shift_core`, its laws in `pacing.scenario`, the policies to
compare with in `pacing.baselines`. Everything random comes from the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pacing import shift_core
from pacing import shift_state as core_of
from pacing.interface import Decision, Snapshot
from pacing.pacer import Pacer, step_many
from pacing.scenario import Law, Scenario
from pacing.shift_state import Core

Floats = NDArray[np.float64]

NEXT_LEADS = 64
"""Propensities of how many coming leads a policy is shown."""

DRAIN_S = 120.0
"""Simulated seconds after the end of dialing in which calls still in flight are answered, and may be abandoned."""


class Policy(Protocol):
    """Whatever decides: `pacing.Pacer`, or anything with its step."""

    def step(self, snapshot: Snapshot) -> Decision:
        """Decide.

        Parameters
        ----------
        snapshot : Snapshot
            The pool now.

        Returns
        -------
        Decision
            What to place and release.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftResult:
    """What came of a shift. Shares are of 1.

    Attributes
    ----------
    occupancy : float
        Talk and wrap-up over the time agents were logged in and not paused.
    live_talk_share, machine_seconds_share : float
        Talk with people, and time spent on machines, over the same.
    abandoned : float
        Abandoned calls over people who answered.
    abandoned_with_lost : float
        The same with people lost to detection counted as abandoned.
    worst_half_hour : float
        The largest share abandoned of the people of any half hour with at least 30 of them.
    live_total, abandoned_total, lost_total : int
        People who answered, were abandoned, and were taken for machines.
    placed, released : int
        Attempts.
    heap_events : int
        Events played.
    minute_occupancy, minute_live, minute_abandoned : numpy.ndarray of float64, shape (minutes,)
        Course of the shift, minute by minute: occupancy, people who answered, people abandoned.
    """

    occupancy: float
    live_talk_share: float
    machine_seconds_share: float
    abandoned: float
    abandoned_with_lost: float
    worst_half_hour: float
    live_total: int
    abandoned_total: int
    lost_total: int
    placed: int
    released: int
    heap_events: int
    minute_occupancy: Floats
    minute_live: Floats
    minute_abandoned: Floats


class Shift:
    """A shift under way.

    Parameters
    ----------
    scenario : Scenario
        What to play.
    seed : int
        Everything random comes from it.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.rng = np.random.default_rng(seed)
        self.core = _empty(scenario, self.rng)
        shift_core.advance(self.core, 0.0)

    @property
    def now_s(self) -> float:  # numpydoc ignore=RT01
        """Time since the shift began, in seconds."""
        return float(self.core.clock[core_of.NOW])

    def snapshot(self) -> Snapshot:
        """Return what an engine would show its pacer now; events are shown once.

        Returns
        -------
        Snapshot
            The pool.
        """
        core, count, now_s = self.core, self.core.counter, self.now_s
        ringing = core.ring_ids[: count[core_of.RING]]
        waiting = core.wait_ids[: count[core_of.WAIT]]
        talking, wrapping = core.agent == core_of.TALKING, core.agent == core_of.WRAPPING
        if core.leaves.any():
            stays = core.leaves == 0
            talking, wrapping = talking & stays, wrapping & stays
        told = int(count[core_of.EVENTS])
        events: Floats | tuple[()] = ()
        if told:
            events = np.column_stack((core.event_kind[:told], core.event_s[:told]))
            count[core_of.EVENTS] = 0
        scored = self.scenario.score_spread > 0.0
        ring_propensity = next_propensity = None
        if scored:
            ring_propensity = self.scenario.live_share * core.score[ringing]
            turn = np.arange(count[core_of.NEXT_LEAD], count[core_of.NEXT_LEAD] + NEXT_LEADS)
            next_propensity = self.scenario.live_share * core.lead_score[turn % core.lead_score.size]
        timed = self.scenario.analysis_s > 0.0
        return Snapshot(
            now_s=now_s,
            idle=int(count[core_of.N_IDLE]),
            waiting=int(count[core_of.WAIT]),
            talk_elapsed_s=now_s - core.agent_since[talking],
            wrapup_elapsed_s=now_s - core.agent_since[wrapping],
            ring_age_s=now_s - core.place_at[ringing],
            listening_age_s=now_s - core.since[core.listen_ids[: count[core_of.LISTEN]]],
            lines_free=self.lines_free,
            live_total=int(count[core_of.LIVE_SEEN]),
            abandoned_total=int(count[core_of.ABANDONED_SEEN]),
            waiting_left_s=core.left[waiting] - (now_s - core.since[waiting]) if timed else None,
            ring_propensity=ring_propensity,
            next_propensity=next_propensity,
            events=events,
        )

    @property
    def lines_free(self) -> int:  # numpydoc ignore=RT01
        """Number of lines a call could be placed on: every call in flight and every conversation holds one."""
        count, lines = self.core.counter, self.scenario.lines
        free = int(count[core_of.FREE_IDS])
        if lines is None:
            return free
        conversations = int((self.core.agent == core_of.TALKING).sum())
        used = int(count[core_of.RING] + count[core_of.LISTEN] + count[core_of.WAIT]) + conversations
        return max(0, min(free, lines - used))

    def carry_out(self, decision: Decision, min_ring_s: float) -> None:
        """Place and release what was decided.

        Parameters
        ----------
        decision : Decision
            What to do.
        min_ring_s : float
            Seconds an attempt must have rung to be released.
        """
        if decision.release:
            shift_core.release(self.core, decision.release, min_ring_s)
        if decision.place:
            shift_core.place(self.core, self.rng, min(decision.place, self.lines_free))

    def advance(self, until_s: float) -> None:
        """Let everything happen up to a time.

        Parameters
        ----------
        until_s : float
            Seconds since the shift began.
        """
        core = self.core
        if core.counter[core_of.HEAP] and core.heap_at[0] <= until_s:
            shift_core.advance(core, until_s)
        else:  # handing a shift to compiled code costs more than such a step
            shift_core.pass_time.py_func(core, until_s)


def simulate(scenario: Scenario, policy: Policy, seed: int, *, min_ring_s: float = 15.0) -> ShiftResult:
    """Play a shift.

    Parameters
    ----------
    scenario : Scenario
        What to play.
    policy : Policy
        Who decides; it keeps what it learns.
    seed : int
        Everything random comes from it.
    min_ring_s : float
        Seconds an attempt must have rung to be released.

    Returns
    -------
    ShiftResult
        What came of it.

    Examples
    --------
    >>> from pacing import Pacer, PacerConfig
    >>> from pacing.scenario import named
    >>> result = simulate(named("steady", agents=5, hours=0.5), Pacer(PacerConfig(mode="progressive")), seed=1)
    >>> result.abandoned
    0.0
    """
    (played,) = simulate_many(scenario, [policy], [seed], min_ring_s=min_ring_s)
    return played


def simulate_many(
    scenario: Scenario, policies: Sequence[Policy], seeds: Sequence[int], *, min_ring_s: float = 15.0
) -> list[ShiftResult]:
    """Play shifts side by side, look by look.

    Parameters
    ----------
    scenario : Scenario
        What to play.
    policies : sequence of Policy
        Who decides, one for each shift. Those that are pacers step all at once, which takes a fraction of the time.
    seeds : sequence of int
        Everything random in a shift comes from its seed.
    min_ring_s : float
        Seconds an attempt must have rung to be released.

    Returns
    -------
    list of ShiftResult
        What came of each, as `simulate` would return it.
    """
    shifts = [Shift(scenario, seed) for seed in seeds]
    courses = [_Course(scenario) for _ in seeds]
    pacers = [policy for policy in policies if isinstance(policy, Pacer)]
    for step in range(math.ceil(scenario.seconds / scenario.step_s)):
        snapshots = [shift.snapshot() for shift in shifts]
        if len(pacers) == len(policies):
            decisions = step_many(pacers, snapshots)
        else:
            decisions = [policy.step(seen) for policy, seen in zip(policies, snapshots, strict=True)]
        until_s = min((step + 1) * scenario.step_s, scenario.seconds)
        for shift, course, decision in zip(shifts, courses, decisions, strict=True):
            shift.carry_out(decision, min_ring_s)
            shift.advance(until_s)
            course.look(shift)
    for shift in shifts:
        shift.advance(scenario.seconds + DRAIN_S)
    return [result(shift, course) for shift, course in zip(shifts, courses, strict=True)]


class _Course:
    # what the shift was like, minute by minute
    def __init__(self, scenario: Scenario) -> None:
        minutes = math.floor(scenario.seconds / 60.0) + 1
        self._rows = np.zeros((minutes, 4))
        self._done = 0

    def look(self, shift: Shift) -> None:
        if shift.now_s < 60.0 * (self._done + 1):
            return
        clock, count = shift.core.clock, shift.core.counter
        busy = clock[core_of.TALK_S] + clock[core_of.MACHINE_S] + clock[core_of.WRAPUP_S]
        self._done += 1
        self._rows[self._done] = (
            busy, busy + clock[core_of.IDLE_S], count[core_of.LIVE_TRUE], count[core_of.ABANDONED_TRUE],
        )  # fmt: skip

    def minutes(self) -> Floats:
        return np.diff(self._rows[: self._done + 1], axis=0)


def result(shift: Shift, course: _Course) -> ShiftResult:
    """Sum a shift up.

    Parameters
    ----------
    shift : Shift
        A shift at its end.
    course : _Course
        What was noted on the way.

    Returns
    -------
    ShiftResult
        The sums.
    """
    core, count, clock = shift.core, shift.core.counter, shift.core.clock
    talk_s, machine_s, wrapup_s = clock[core_of.TALK_S], clock[core_of.MACHINE_S], clock[core_of.WRAPUP_S]
    busy_s = talk_s + machine_s + wrapup_s
    time_s = max(busy_s + clock[core_of.IDLE_S], 1e-9)
    live, abandoned = int(count[core_of.LIVE_TRUE]), int(count[core_of.ABANDONED_TRUE])
    lost = int(count[core_of.LOST])
    enough = core.half_live >= 30
    minutes = course.minutes()
    return ShiftResult(
        occupancy=busy_s / time_s,
        live_talk_share=talk_s / time_s,
        machine_seconds_share=machine_s / time_s,
        abandoned=abandoned / max(live, 1),
        abandoned_with_lost=(abandoned + lost) / max(live, 1),
        worst_half_hour=float((core.half_abandoned[enough] / core.half_live[enough]).max())
        if enough.any()
        else 0.0,
        live_total=live,
        abandoned_total=abandoned,
        lost_total=lost,
        placed=int(count[core_of.PLACED]),
        released=int(count[core_of.RELEASED]),
        heap_events=int(count[core_of.HEAP_EVENTS]),
        minute_occupancy=minutes[:, 0] / np.maximum(minutes[:, 1], 1e-9),
        minute_live=minutes[:, 2],
        minute_abandoned=minutes[:, 3],
    )


_LAWS = {Law.LOGNORMAL: core_of.LOGNORMAL, Law.GAMMA: core_of.GAMMA, Law.FIXED: core_of.FIXED}


def _empty(scenario: Scenario, rng: np.random.Generator) -> Core:
    agents, calls = scenario.agents, scenario.lines
    calls = 40 * agents + 400 if calls is None else calls + 1
    roster_at, roster_agent, roster_action = scenario.roster(rng)
    heap = 2 * calls + 2 * agents + roster_at.size + 16

    def ints(size: int) -> NDArray[np.int64]:
        return np.zeros(size, dtype=np.int64)

    core = Core(
        param=np.array(
            [
                scenario.ring_mean_s, scenario.ring_cv, scenario.ring_timeout_s, scenario.fail_s, scenario.machine_share,
                scenario.fail_share, scenario.talk_cv, scenario.wrapup_mean_s, scenario.wrapup_cv, scenario.greeting_s,
                scenario.analysis_s, scenario.agent_wait_s, scenario.lost_share, scenario.pass_share, scenario.machine_talk_s,
                _LAWS[scenario.ring_law], _LAWS[scenario.talk_law], _LAWS[scenario.wrapup_law],
            ],
            dtype=np.float64,
        ),
        live_share=scenario.live_share_by_minute(rng),
        talk_mean_s=scenario.talk_mean_by_minute(rng),
        counter=ints(22),
        clock=np.array([0.0, scenario.seconds, 0.0, 0.0, 0.0, 0.0]),
        heap_at=np.zeros(heap), heap_kind=ints(heap), heap_ref=ints(heap), heap_serial=ints(heap),
        state=ints(calls), kind=ints(calls), serial=np.full(calls, -1, dtype=np.int64), place_at=np.zeros(calls),
        since=np.zeros(calls), left=np.zeros(calls), score=np.ones(calls), fate=np.zeros((calls, core_of.FATE)),
        position=ints(calls), ring_ids=ints(calls),
        listen_ids=ints(calls), wait_ids=ints(calls), free_ids=np.arange(calls, dtype=np.int64),
        agent=ints(agents), agent_since=np.zeros(agents), agent_serial=ints(agents), leaves=ints(agents), machine=ints(agents),
        wrapup_next_s=np.zeros(agents),
        idle_ids=ints(agents), roster_at=roster_at, roster_agent=roster_agent, roster_action=roster_action,
        lead_score=scenario.lead_scores(rng) if scenario.score_spread > 0.0 else np.ones(1),
        event_kind=ints(4 * calls + 4 * agents), event_s=np.zeros(4 * calls + 4 * agents),
        half_live=ints(math.ceil(scenario.hours * 2.0) + 1), half_abandoned=ints(math.ceil(scenario.hours * 2.0) + 1),
    )  # fmt: skip
    core.counter[core_of.FREE_IDS] = calls
    core.counter[core_of.LEADS_LEFT] = scenario.leads if scenario.leads is not None else 1 << 60
    # a roster is in order of time, and an array in order is a heap
    rows = roster_at.size
    core.heap_at[:rows], core.heap_kind[:rows], core.heap_ref[:rows] = (
        roster_at,
        core_of.ROSTER,
        np.arange(rows),
    )
    core.counter[core_of.HEAP] = rows
    return core
