"""The state of a simulated shift, as arrays: attempts, agents, what is to come, what was counted.

Owns its layout, the heap of events to come, and the drawing of durations. What happens is `pacing.shift_core`'s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rng = np.random.Generator

# kinds of event in the heap
RING_END, VERDICT, DEADLINE, TALK_END, WRAPUP_END, ROSTER = range(6)
# states of an agent
OFF, IDLE, TALKING, WRAPPING, PAUSED = range(5)
# what becomes of an attempt; drawn when it is placed, seen when it happens
LIVE, MACHINE, NO_ANSWER, FAILED = range(4)
# where an attempt is
FREE, RINGING, LISTENING, WAITING = range(4)
# what the roster tells an agent
LOG_IN, LOG_OUT, PAUSE, RESUME = range(4)
# laws of durations
LOGNORMAL, GAMMA, FIXED = range(3)

# counters
(
    HEAP, FREE_IDS, RING, LISTEN, WAIT, N_IDLE, N_TALK, N_TALK_MACHINE, N_WRAPUP, LEADS_LEFT, NEXT_LEAD, EVENTS,
    LIVE_SEEN, ABANDONED_SEEN, LIVE_TRUE, ABANDONED_TRUE, LOST, MACHINES, PLACED, RELEASED, HEAP_EVENTS, SERIAL,
) = range(22)  # fmt: skip
# clocks and integrals of agents over time, in agent seconds
NOW, END, IDLE_S, TALK_S, MACHINE_S, WRAPUP_S = range(6)
# parameters
(
    RING_MEAN, RING_CV, RING_TIMEOUT, FAIL_S, MACHINE_SHARE, FAIL_SHARE, TALK_CV, WRAPUP_MEAN, WRAPUP_CV,
    GREETING_S, ANALYSIS_S, WAIT_LIMIT, LOST_SHARE, PASS_SHARE, MACHINE_TALK_S, RING_LAW, TALK_LAW, WRAPUP_LAW,
) = range(18)  # fmt: skip
# an attempt's fate
CHANCE, RING_S, FAIL_AFTER_S, ANALYSED_S, GREETED_S, TALK_SHARE, WRAPPED_S, MISTAKEN, FATE = range(9)

MINUTE_S = 60.0
HALF_HOUR_S = 1800.0


class Core(NamedTuple):
    """Everything a shift consists of, as arrays the compiled moves change in place.

    Attributes
    ----------
    param : numpy.ndarray of float64
        Laws that do not move, by the parameter indices above.
    live_share, talk_mean_s : numpy.ndarray of float64, shape (minutes,)
        Laws that drift, minute by minute.
    counter : numpy.ndarray of int64
        Counters, by the indices above.
    clock : numpy.ndarray of float64
        Now, the end of dialing, and integrals of agents over time.
    heap_at, heap_kind, heap_ref, heap_serial : numpy.ndarray
        Binary heap of events to come.
    state, kind, serial, place_at, since, left, score : numpy.ndarray
        Attempts by id: where they are, what becomes of them, and when.
    fate : numpy.ndarray of float64, shape (attempts, FATE)
        What `draw_fate` drew for each.
    position, ring_ids, listen_ids, wait_ids, free_ids : numpy.ndarray of int64
        Attempts by where they are; `position` is an attempt's place in its list.
    agent, agent_since, agent_serial, leaves, machine, wrapup_next_s : numpy.ndarray
        Agents: state, since when, on which conversation, whether they go after it, whether they listen to a machine, and how long the
        wrap-up of this conversation takes.
    idle_ids : numpy.ndarray of int64
        Idle agents, the longest idle last.
    roster_at, roster_agent, roster_action : numpy.ndarray
        Who logs in, out, pauses and resumes, in order of time.
    lead_score : numpy.ndarray of float64
        Multiplier of the live share of each lead, used in turn.
    event_kind, event_s : numpy.ndarray
        What the pacer has not been told yet.
    half_live, half_abandoned : numpy.ndarray of int64
        Live answers and abandoned calls by half hour.
    """

    param: Floats
    live_share: Floats
    talk_mean_s: Floats
    counter: Ints
    clock: Floats
    heap_at: Floats
    heap_kind: Ints
    heap_ref: Ints
    heap_serial: Ints
    state: Ints
    kind: Ints
    serial: Ints
    place_at: Floats
    since: Floats
    left: Floats
    score: Floats
    fate: Floats
    position: Ints
    ring_ids: Ints
    listen_ids: Ints
    wait_ids: Ints
    free_ids: Ints
    agent: Ints
    agent_since: Floats
    agent_serial: Ints
    leaves: Ints
    machine: Ints
    wrapup_next_s: Floats
    idle_ids: Ints
    roster_at: Floats
    roster_agent: Ints
    roster_action: Ints
    lead_score: Floats
    event_kind: Ints
    event_s: Floats
    half_live: Ints
    half_abandoned: Ints


@njit(cache=True)
def draw(rng: Rng, law: int, mean: float, cv: float) -> float:
    """Draw a duration.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    law : int
        `LOGNORMAL`, `GAMMA` or `FIXED`.
    mean : float
        Mean in seconds.
    cv : float
        Standard deviation over mean.

    Returns
    -------
    float
        Seconds.
    """
    if mean <= 0.0:
        return 0.0
    if law == FIXED or cv <= 0.0:
        return mean
    if law == GAMMA:
        shape = 1.0 / (cv * cv)
        return rng.standard_gamma(shape) * mean / shape
    sigma = math.sqrt(math.log(1.0 + cv * cv))
    return mean * math.exp(sigma * rng.standard_normal() - 0.5 * sigma * sigma)


@njit(cache=True)
def draw_fate(param: Floats, rng: Rng, fate: Floats) -> None:
    """Draw all there is to draw about an attempt, in the same order for every one.

    The n-th attempt of a seed so has the same fate whoever placed it and when: policies, and the engine, can be compared with the same luck.

    Parameters
    ----------
    param : numpy.ndarray of float64
        As `Core.param`.
    rng : numpy.random.Generator
        Source of randomness.
    fate : numpy.ndarray of float64, shape (FATE,)
        Filled in: the chance that `kind_of` goes by; seconds until an answer, and until a failure; seconds of analysis after the greeting,
        and of the greeting; length of the conversation over the mean of its minute; seconds of wrap-up; the chance that decides whether
        detection is mistaken.
    """
    fate[CHANCE] = rng.random()
    fate[RING_S] = draw(rng, int(param[RING_LAW]), param[RING_MEAN], param[RING_CV])
    while fate[RING_S] >= param[RING_TIMEOUT]:
        fate[RING_S] = draw(rng, int(param[RING_LAW]), param[RING_MEAN], param[RING_CV])
    fate[FAIL_AFTER_S] = draw(rng, GAMMA, param[FAIL_S], 0.5)
    fate[ANALYSED_S] = draw(rng, GAMMA, param[ANALYSIS_S], 0.3)
    fate[GREETED_S] = draw(rng, LOGNORMAL, param[GREETING_S], 0.5)
    fate[TALK_SHARE] = draw(rng, int(param[TALK_LAW]), 1.0, param[TALK_CV])
    fate[WRAPPED_S] = draw(rng, int(param[WRAPUP_LAW]), param[WRAPUP_MEAN], param[WRAPUP_CV])
    fate[MISTAKEN] = rng.random()


@njit(cache=True)
def kind_of(param: Floats, live_share: float, score: float, chance: float) -> int:
    """Say what becomes of an attempt.

    Parameters
    ----------
    param : numpy.ndarray of float64
        As `Core.param`.
    live_share : float
        Share of attempts a person answers, in the minute it is placed.
    score : float
        Multiplier of it for this lead.
    chance : float
        Drawn from [0, 1).

    Returns
    -------
    int
        `LIVE`, `MACHINE`, `FAILED` or `NO_ANSWER`.
    """
    live = min(live_share * score, 0.98)
    rest = (1.0 - live) / (1.0 - live_share)  # what is no person keeps its proportions
    if chance < live:
        return LIVE
    if chance < live + param[MACHINE_SHARE] * rest:
        return MACHINE
    if chance < live + (param[MACHINE_SHARE] + param[FAIL_SHARE]) * rest:
        return FAILED
    return NO_ANSWER


@njit(cache=True)
def push(core: Core, at: float, kind: int, ref: int, serial: int) -> None:
    """Note an event to come.

    Parameters
    ----------
    core : Core
        The shift.
    at : float
        When, in seconds.
    kind, ref, serial : int
        What, of which attempt or agent, and in which of its lives.
    """
    i = core.counter[HEAP]
    core.counter[HEAP] = i + 1
    while i > 0:
        up = (i - 1) >> 1
        if core.heap_at[up] <= at:
            break
        core.heap_at[i] = core.heap_at[up]
        core.heap_kind[i] = core.heap_kind[up]
        core.heap_ref[i] = core.heap_ref[up]
        core.heap_serial[i] = core.heap_serial[up]
        i = up
    core.heap_at[i] = at
    core.heap_kind[i] = kind
    core.heap_ref[i] = ref
    core.heap_serial[i] = serial


@njit(cache=True)
def pop(core: Core) -> tuple[float, int, int, int]:
    """Take the next event.

    Parameters
    ----------
    core : Core
        The shift; there must be one.

    Returns
    -------
    tuple of (float, int, int, int)
        As given to `push`.
    """
    top = (core.heap_at[0], core.heap_kind[0], core.heap_ref[0], core.heap_serial[0])
    size = core.counter[HEAP] - 1
    core.counter[HEAP] = size
    at = core.heap_at[size]
    kind, ref, serial = core.heap_kind[size], core.heap_ref[size], core.heap_serial[size]
    i = 0
    while True:
        down = 2 * i + 1
        if down >= size:
            break
        if down + 1 < size and core.heap_at[down + 1] < core.heap_at[down]:
            down += 1
        if core.heap_at[down] >= at:
            break
        core.heap_at[i] = core.heap_at[down]
        core.heap_kind[i] = core.heap_kind[down]
        core.heap_ref[i] = core.heap_ref[down]
        core.heap_serial[i] = core.heap_serial[down]
        i = down
    core.heap_at[i] = at
    core.heap_kind[i] = kind
    core.heap_ref[i] = ref
    core.heap_serial[i] = serial
    return top
