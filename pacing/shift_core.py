"""The event loop of a simulated shift, compiled: calls ring and are answered, agents talk and wrap up, callers wait and are abandoned.

Owns the moves. It knows no policy (`pacing.simulator` asks one between moves) and no scenario's name (`pacing.scenario`); randomness
comes from the generator it is handed when a call is placed, time from whoever calls `advance`.
"""

from __future__ import annotations

from numba import njit

from pacing.shift_state import (
    ABANDONED_SEEN,
    ABANDONED_TRUE,
    ANALYSED_S,
    CHANCE,
    DEADLINE,
    END,
    EVENTS,
    FAIL_AFTER_S,
    FAILED,
    FREE,
    FREE_IDS,
    GREETED_S,
    HALF_HOUR_S,
    HEAP,
    HEAP_EVENTS,
    IDLE,
    IDLE_S,
    LEADS_LEFT,
    LISTEN,
    LISTENING,
    LIVE,
    LIVE_SEEN,
    LIVE_TRUE,
    LOG_IN,
    LOG_OUT,
    LOST,
    LOST_SHARE,
    MACHINE,
    MACHINE_S,
    MACHINE_TALK_S,
    MACHINES,
    MINUTE_S,
    MISTAKEN,
    N_IDLE,
    N_TALK,
    N_TALK_MACHINE,
    N_WRAPUP,
    NEXT_LEAD,
    NO_ANSWER,
    NOW,
    OFF,
    PASS_SHARE,
    PAUSE,
    PAUSED,
    PLACED,
    RELEASED,
    RESUME,
    RING,
    RING_END,
    RING_S,
    RING_TIMEOUT,
    RINGING,
    SERIAL,
    TALK_END,
    TALK_S,
    TALK_SHARE,
    TALKING,
    VERDICT,
    WAIT,
    WAIT_LIMIT,
    WAITING,
    WRAPPED_S,
    WRAPPING,
    WRAPUP_END,
    WRAPUP_S,
    Core,
    Ints,
    Rng,
    draw_fate,
    kind_of,
    pop,
    push,
)


@njit(cache=True)
def _tell(core: Core, kind: int, seconds: float) -> None:
    i = core.counter[EVENTS]
    if i < core.event_s.size:
        core.event_kind[i] = kind
        core.event_s[i] = seconds
        core.counter[EVENTS] = i + 1


@njit(cache=True)
def _join(core: Core, ids: Ints, size_at: int, call: int, state: int) -> None:
    position = core.counter[size_at]
    ids[position] = call
    core.position[call] = position
    core.counter[size_at] = position + 1
    core.state[call] = state


@njit(cache=True)
def _leave(core: Core, ids: Ints, size_at: int, call: int) -> None:
    # the last takes its place; only the waiting keep their order, and they are few
    position, last = core.position[call], core.counter[size_at] - 1
    if size_at == WAIT:
        for k in range(position, last):
            ids[k] = ids[k + 1]
            core.position[ids[k]] = k
    else:
        ids[position] = ids[last]
        core.position[ids[position]] = position
    core.counter[size_at] = last


@njit(cache=True)
def _end(core: Core, call: int) -> None:
    core.state[call] = FREE
    core.serial[call] = -1
    core.free_ids[core.counter[FREE_IDS]] = call
    core.counter[FREE_IDS] += 1


@njit(cache=True)
def _minute(core: Core, at: float) -> int:
    return min(int(at / MINUTE_S), core.live_share.size - 1)


@njit(cache=True)
def _half_hour(core: Core, at: float) -> int:
    return min(int(at / HALF_HOUR_S), core.half_live.size - 1)


@njit(cache=True)
def _converse(core: Core, agent: int, call: int, now: float) -> None:
    # `call` has left its list; `agent` has left the idle ones
    core.counter[SERIAL] += 1
    core.agent_serial[agent] = core.counter[SERIAL]
    core.agent_since[agent] = now
    core.agent[agent] = TALKING
    if core.kind[call] == MACHINE:
        core.machine[agent] = 1
        core.counter[N_TALK_MACHINE] += 1
        talk_s = core.param[MACHINE_TALK_S]
    else:
        core.machine[agent] = 0
        core.counter[N_TALK] += 1
        talk_s = core.fate[call, TALK_SHARE] * core.talk_mean_s[_minute(core, now)]
    core.wrapup_next_s[agent] = 0.0 if core.machine[agent] else core.fate[call, WRAPPED_S]
    _end(core, call)
    push(core, now + talk_s, TALK_END, agent, core.agent_serial[agent])


@njit(cache=True)
def _idle(core: Core, agent: int, now: float) -> None:
    if core.leaves[agent]:
        core.agent[agent] = PAUSED if core.leaves[agent] == 1 else OFF
        core.leaves[agent] = 0
        return
    if core.counter[WAIT] > 0:
        call = core.wait_ids[0]
        _leave(core, core.wait_ids, WAIT, call)
        _converse(core, agent, call, now)
        return
    core.agent[agent] = IDLE
    core.agent_since[agent] = now
    core.idle_ids[core.counter[N_IDLE]] = agent
    core.counter[N_IDLE] += 1


@njit(cache=True)
def _not_idle(core: Core, agent: int) -> None:
    size = core.counter[N_IDLE]
    for k in range(size):
        if core.idle_ids[k] == agent:
            core.idle_ids[k] = core.idle_ids[size - 1]
            core.counter[N_IDLE] = size - 1
            return


@njit(cache=True)
def _roster(core: Core, index: int, now: float) -> None:
    agent, action = core.roster_agent[index], core.roster_action[index]
    state = core.agent[agent]
    if action == LOG_IN:
        if state == OFF:
            _idle(core, agent, now)
        elif core.leaves[agent] == 2:
            core.leaves[agent] = 0
    elif action == RESUME:
        if state == PAUSED:
            _idle(core, agent, now)
        elif core.leaves[agent] == 1:
            core.leaves[agent] = 0
    elif state == IDLE:
        _not_idle(core, agent)
        core.agent[agent] = PAUSED if action == PAUSE else OFF
    elif state == PAUSED and action == LOG_OUT:
        core.agent[agent] = OFF
    elif state in (TALKING, WRAPPING):
        core.leaves[agent] = max(core.leaves[agent], 1 if action == PAUSE else 2)


@njit(cache=True)
def _verdict(core: Core, call: int, now: float) -> None:
    ring_s = core.since[call] - core.place_at[call]
    person = core.kind[call] == LIVE
    half = _half_hour(core, now)
    if person:
        core.counter[LIVE_TRUE] += 1
        core.half_live[half] += 1
    else:
        core.counter[MACHINES] += 1
    wrong = core.fate[call, MISTAKEN] < (core.param[LOST_SHARE] if person else core.param[PASS_SHARE])
    if person == wrong:  # taken for a machine, rightly or not
        if person:
            core.counter[LOST] += 1
        _tell(core, 2, ring_s)
        _end(core, call)
        return
    _tell(core, 1, ring_s)
    core.counter[LIVE_SEEN] += 1
    if core.counter[N_IDLE] > 0:
        core.counter[N_IDLE] -= 1
        agent = core.idle_ids[core.counter[N_IDLE]]
        _converse(core, agent, call, now)
    else:
        core.since[call] = now
        _join(core, core.wait_ids, WAIT, call, WAITING)
        push(core, now + core.left[call], DEADLINE, call, core.serial[call])


@njit(cache=True)
def _ring_end(core: Core, call: int, now: float) -> None:
    _leave(core, core.ring_ids, RING, call)
    if core.kind[call] == NO_ANSWER or core.kind[call] == FAILED:
        _tell(core, 2, now - core.place_at[call])
        _end(core, call)
        return
    core.since[call] = now
    analysis_s = core.fate[call, ANALYSED_S]
    listen_s = core.fate[call, GREETED_S] + analysis_s
    core.left[call] = max(core.param[WAIT_LIMIT] - analysis_s, 0.0)
    if listen_s > 0.0:
        _join(core, core.listen_ids, LISTEN, call, LISTENING)
        push(core, now + listen_s, VERDICT, call, core.serial[call])
    else:
        _verdict(core, call, now)


@njit(cache=True)
def pass_time(core: Core, at: float) -> None:
    """Let time pass in which nothing happens.

    Parameters
    ----------
    core : Core
        The shift; changed in place.
    at : float
        New time; not before the present one, and before all that is to come.

    Notes
    -----
    Agents' seconds are counted to the end of dialing, not through the last calls' draining.
    """
    step_s = min(at, core.clock[END]) - min(core.clock[NOW], core.clock[END])
    core.clock[IDLE_S] += step_s * core.counter[N_IDLE]
    core.clock[TALK_S] += step_s * core.counter[N_TALK]
    core.clock[MACHINE_S] += step_s * core.counter[N_TALK_MACHINE]
    core.clock[WRAPUP_S] += step_s * core.counter[N_WRAPUP]
    core.clock[NOW] = at


@njit(cache=True)
def advance(core: Core, until_s: float) -> None:
    """Let everything happen that happens up to a time.

    Parameters
    ----------
    core : Core
        The shift; changed in place.
    until_s : float
        New time; not before the present one.
    """
    while core.counter[HEAP] > 0 and core.heap_at[0] <= until_s:
        at, kind, ref, serial = pop(core)
        core.counter[HEAP_EVENTS] += 1
        pass_time(core, at)
        if kind == RING_END:
            if core.serial[ref] == serial:
                _ring_end(core, ref, at)
        elif kind == VERDICT:
            _leave(core, core.listen_ids, LISTEN, ref)
            _verdict(core, ref, at)
        elif kind == DEADLINE:
            if core.serial[ref] == serial and core.state[ref] == WAITING:
                _leave(core, core.wait_ids, WAIT, ref)
                core.counter[ABANDONED_SEEN] += 1
                if core.kind[ref] == LIVE:
                    core.counter[ABANDONED_TRUE] += 1
                    core.half_abandoned[_half_hour(core, at)] += 1
                _end(core, ref)
        elif kind == TALK_END:
            talk_s = at - core.agent_since[ref]
            if core.machine[ref]:
                core.counter[N_TALK_MACHINE] -= 1
                core.counter[LIVE_SEEN] -= 1  # the agent says so: it was no person
            else:
                core.counter[N_TALK] -= 1
            _tell(core, 3, talk_s)
            core.counter[N_WRAPUP] += 1
            core.agent[ref] = WRAPPING
            core.agent_since[ref] = at
            push(core, at + core.wrapup_next_s[ref], WRAPUP_END, ref, serial)
        elif kind == WRAPUP_END:
            core.counter[N_WRAPUP] -= 1
            _tell(core, 4, at - core.agent_since[ref])
            _idle(core, ref, at)
        else:
            _roster(core, ref, at)
    pass_time(core, until_s)


@njit(cache=True)
def place(core: Core, rng: Rng, wanted: int) -> int:
    """Place attempts now, as far as the list and the ids go.

    Parameters
    ----------
    core : Core
        The shift; changed in place.
    rng : numpy.random.Generator
        Source of randomness.
    wanted : int
        Attempts to place.

    Returns
    -------
    int
        Attempts placed.
    """
    now = core.clock[NOW]
    live_share = core.live_share[_minute(core, now)]
    placed = 0
    while placed < wanted and core.counter[LEADS_LEFT] > 0 and core.counter[FREE_IDS] > 0:
        core.counter[LEADS_LEFT] -= 1
        core.counter[FREE_IDS] -= 1
        core.counter[SERIAL] += 1
        call = core.free_ids[core.counter[FREE_IDS]]
        score = core.lead_score[core.counter[NEXT_LEAD]]
        core.counter[NEXT_LEAD] = (core.counter[NEXT_LEAD] + 1) % core.lead_score.size
        core.score[call] = score
        core.serial[call] = core.counter[SERIAL]
        core.place_at[call] = now
        fate = core.fate[call]
        draw_fate(core.param, rng, fate)
        core.kind[call] = kind_of(core.param, live_share, score, fate[CHANCE])
        ring_s = fate[RING_S]
        if core.kind[call] == FAILED:
            ring_s = fate[FAIL_AFTER_S]
        elif core.kind[call] == NO_ANSWER:
            ring_s = core.param[RING_TIMEOUT]
        _join(core, core.ring_ids, RING, call, RINGING)
        push(core, now + ring_s, RING_END, call, core.serial[call])
        placed += 1
    core.counter[PLACED] += placed
    return placed


@njit(cache=True)
def release(core: Core, wanted: int, min_ring_s: float) -> int:
    """Hang up the attempts that have rung longest.

    Parameters
    ----------
    core : Core
        The shift; changed in place.
    wanted : int
        Attempts to hang up.
    min_ring_s : float
        Seconds they must have rung.

    Returns
    -------
    int
        Attempts hung up.
    """
    now = core.clock[NOW]
    for done in range(wanted):
        oldest = -1
        for k in range(core.counter[RING]):
            call = core.ring_ids[k]
            if oldest < 0 or core.place_at[call] < core.place_at[oldest]:
                oldest = call
        if oldest < 0 or now - core.place_at[oldest] < min_ring_s:
            return done
        _leave(core, core.ring_ids, RING, oldest)
        _tell(core, 5, now - core.place_at[oldest])
        _end(core, oldest)
        core.counter[RELEASED] += 1
    return wanted
