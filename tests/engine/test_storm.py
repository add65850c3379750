"""A whole shift on virtual time with everything going wrong at random: nothing is lost, nothing is broken."""

from __future__ import annotations

import random

import pytest

from dialer_core.vocabulary import AgentState, AttemptState, EndedBy, LegKind, Verdict
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

MINUTES = 12


def behaviours(rng: random.Random) -> dict[str, Behaviour]:
    """A hundred numbers that each do something of their own."""
    made = {}
    for index in range(100):
        kind = rng.random()
        ring_s = rng.uniform(0.1, 12)
        if kind < 0.35:
            revised = Verdict.MACHINE if rng.random() < 0.15 else None
            patience_s = rng.uniform(0.1, 6) if rng.random() < 0.2 else None
            behaviour = Behaviour(
                final_s=ring_s,
                verdict_s=rng.uniform(0.6, 2.5),
                talk_s=rng.expovariate(1 / 60),
                revised=revised,
                patience_s=patience_s,
            )
        elif kind < 0.6:
            label = rng.choice([Verdict.MACHINE, Verdict.FAX, Verdict.SIT, Verdict.SILENCE, Verdict.UNKNOWN])
            behaviour = Behaviour(final_s=ring_s, verdict=label, verdict_s=rng.uniform(1, 5), talk_s=5)
        elif kind < 0.75:
            behaviour = Behaviour(final_s=None)
        else:
            code = rng.choice([404, 480, 486, 488, 503, 603])
            behaviour = Behaviour(
                final_s=ring_s, code=code, early=rng.random() < 0.3, progress_s=rng.choice([None, 0.1])
            )
        made[f"{index:02}"] = behaviour
    return made


async def shift(floor: Floor, rng: random.Random, *, minutes: float, deaths: bool) -> None:
    """Let everything go wrong at random; `deaths`: engine and media plane die as well, alone or together with others."""
    end_s = floor.loop.time() + minutes * 60
    while floor.loop.time() < end_s:
        await floor.pass_s(rng.expovariate(1 / 8))
        engine = floor.engine
        agent = rng.choice(list(engine.roster.all()))
        match rng.randrange(12 if deaths else 8):
            case 0 if agent.leg_id is not None:
                floor.carrier.end(agent.leg_id, 200, EndedBy.FAR)
            case 1 if agent.state is not AgentState.LOGGED_OUT:
                engine.roster.pause(agent.id, "coffee")
            case 2 if agent.state in (AgentState.PAUSED, AgentState.WRAP_UP):
                engine.roster.ready(agent.id)
            case 3:
                name = rng.choice(floor.worker_names)
                floor.kill_worker(name)
                floor.loop.call_later(rng.uniform(0.1, 3), floor.attach_worker, name)
            case 4:
                bridged = [a for a in engine.machine.attempts.values() if a.state is AttemptState.BRIDGED]
                if bridged:
                    engine.flow.release(rng.choice(bridged), "cancelled")  # type: ignore[arg-type]
            case 5:
                floor.carrier.trunk_codes = rng.choice([{}, {}, {"127.0.0.1": 503}, {"127.0.0.1": None}])
            case 6 if agent.state is AgentState.LOGGED_OUT:
                engine.login(agent.id)
            case 8 | 9:
                await replace_engine(floor, rng)
            case 10 if floor.media_up:
                floor.lose_media()
                floor.loop.call_later(rng.choice([0.05, 0.5, 2.0, 6.0]), floor.attach_media)
            case 11 if floor.media_up:
                floor.kill_engine()
                name = rng.choice(floor.worker_names)
                floor.kill_worker(name)
                floor.lose_media()
                floor.loop.call_later(rng.uniform(0.1, 3), floor.attach_worker, name)
                floor.media_up = rng.random() < 0.5
                if not floor.media_up:
                    floor.loop.call_later(rng.uniform(1.0, 5.0), floor.attach_media)
                await replace_engine(floor, rng)
            case _:
                engine.roster.ready(agent.id) if agent.state is AgentState.PAUSED else None
        holds(floor)
    floor.carrier.trunk_codes = {}


async def replace_engine(floor: Floor, rng: random.Random) -> None:
    """Kill the engine; the next one may die while it takes over."""
    for _ in range(rng.choice([1, 1, 1, 2])):
        floor.kill_engine()
        await floor.pass_s(rng.uniform(0.05, 3.0))
        await floor.start_again()


def in_a_storm(make_floor: MakeFloor, seed: int, *, minutes: float, deaths: bool) -> Floor:
    """Run a shift, and hold its store against the invariants."""
    rng = random.Random(seed)
    floor = make_floor(
        leads=400,
        agents=8,
        workers=8,
        campaign={"pacing": "ratio", "ratio": 2.5, "abandonment_ceiling": 0.19},
        trunks={
            "first": {"host": "127.0.0.1", "lines": 12, "calls_per_second": 4},
            "second": {"host": "127.0.0.2", "lines": 12, "calls_per_second": 4},
        },
    )
    floor.carrier.by_suffix = behaviours(rng)
    floor.commit_s = 0.02 if deaths else 0.0

    async def whole() -> None:
        await floor.start()
        await shift(floor, rng, minutes=minutes, deaths=deaths)
        if not floor.media_up:
            floor.attach_media()
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    rows = attempts(floor)
    assert len(rows) > 50
    assert all(row.outcome and not row.live for row in rows)
    faulted = [row.id for row in rows if row.outcome == "internal"]
    assert not faulted, "a bug cell was hit or a limit ran out"
    assert not floor.carrier.orphans, "a call whose worker died was left up"
    return floor


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_in_a_storm_breaks_no_invariant(make_floor: MakeFloor, seed: int) -> None:
    """Softphones and workers die, agents pause and come back, agents hang up, callers hang up at every point; every attempt still has one outcome."""
    in_a_storm(make_floor, seed, minutes=MINUTES, deaths=False)


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_of_deaths_breaks_no_invariant(make_floor: MakeFloor, seed: int) -> None:
    """Engines, media planes and workers die too, several at once and in the middle of taking over: no call is lost, dialed twice or left up."""
    floor = in_a_storm(make_floor, 100 + seed, minutes=6, deaths=True)
    dialed = [place.leg_id for place in floor.carrier.placed if place.kind is LegKind.CUSTOMER]
    assert len(dialed) == len(set(dialed))


def holds(floor: Floor) -> None:
    """Between any two troubles: conversations are pairs, lines are counted right."""
    engine = floor.engine
    talking = {
        agent.id: agent.attempt_id for agent in engine.roster.all() if agent.state is AgentState.TALKING
    }
    bridged = {a.agent_id: a.id for a in engine.machine.attempts.values() if a.state is AttemptState.BRIDGED}
    assert talking == bridged
    for trunk in engine.trunks.all():
        used = sum(attempt.trunk == trunk.id for attempt in engine.machine.attempts.values())
        assert used <= trunk.lines_used <= trunk.settings.lines
    for agent in engine.roster.all():
        assert not agent.offered or agent.leg_up
