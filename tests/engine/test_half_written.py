"""An engine dies between any two units of its journal: what one change wrote is there, what the next wrote is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialer_core.events import Event
from dialer_core.vocabulary import AgentId, AgentState, AttemptState, Outcome
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts
from tests.engine.test_adoption import DOWN_S, invites, run, the_attempt, until_state
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
TALK_S = 10.0


def cut_after(floor: Floor, units: int, *, told: bool) -> asyncio.Event:
    """Let the engine die once so many more units are written: at once, or (`told`) after what it says to workers and media plane in that turn."""
    journal, died = floor.life.journal, asyncio.Event()
    submit = journal.submit
    left = units

    def die() -> None:
        floor.kill_engine()
        died.set()

    def counted(work: Any, *events: Event) -> asyncio.Future[Any]:
        nonlocal left
        left -= 1
        if left >= 0:
            done = submit(work, *events)
            if not left:
                if told:
                    floor.loop.call_soon(die)
                else:
                    floor.life.alive = False
                    floor.loop.call_soon(die)
            return done
        return floor.loop.create_future()

    journal.submit = counted  # type: ignore[method-assign]
    return died


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("units", [10, 11])  # around the bridge; all from 1 to 26 were tried once
def test_no_unit_is_the_last_that_may_be_written(make_floor: MakeFloor, units: int, told: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Dialed once at most, in no silence and with no second agent; whoever talked goes on talking to the same agent, and that is what is stored."""
    floor = make_floor(leads=["01"], agents=2)
    floor.carrier.default = Behaviour(talk_s=TALK_S, verdict_s=1.0)

    async def story() -> None:
        roster = floor.engine.roster
        await floor.until(lambda: all(agent.state is AgentState.READY for agent in roster.all()))
        died = cut_after(floor, units, told=told)
        await floor.until(lambda: died.is_set() or floor.loop.time() > 60, 100)
        if not died.is_set():
            return
        before = {leg: sound.bridged_to for leg, sound in floor.carrier.opened.items() if sound.bridged_to}
        await floor.pass_s(0.2)
        await floor.start_again()
        await floor.pass_s(0.2)
        after = {leg: sound.bridged_to for leg, sound in floor.carrier.opened.items() if sound.bridged_to}
        for leg in before.keys() & floor.engine.machine.by_leg.keys():
            assert after.get(leg) == before[leg], "a talk was cut, or given to somebody else"
        talking = [agent for agent in floor.engine.roster.all() if agent.state is AgentState.TALKING]
        for attempt in floor.engine.machine.attempts.values():
            if attempt.agent_id is not None:
                assert floor.engine.roster[attempt.agent_id].attempt_id == attempt.id
        assert len(talking) <= 1
        await floor.until(lambda: not floor.engine.machine.attempts, 60)
        await floor.until(
            lambda: all(agent.state is AgentState.READY for agent in floor.engine.roster.all()), 60
        )
        await floor.pass_s(5.0)

    run(floor, story)
    assert len(invites(floor)) == len({*invites(floor)})
    for attempt in attempts(floor):
        if attempt.bridged_mono_ns:
            assert attempt.outcome in (Outcome.CONNECTED, Outcome.INTERRUPTED)


def test_a_talk_that_was_being_ended_ends(make_floor: MakeFloor) -> None:
    """The agent is in wrap-up, and that their call was hung up was neither written down nor told: it is hung up now, as a talk."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        attempt = await until_state(floor, AttemptState.BRIDGED)
        died = cut_after(floor, 1, told=False)
        floor.engine.flow.release(attempt, Outcome.CANCELLED)
        await died.wait()
        await floor.pass_s(DOWN_S)
        await floor.start_again()
        agent = floor.engine.roster[A0]
        assert agent.state is AgentState.WRAP_UP
        await floor.until(lambda: not floor.engine.machine.attempts, 1)
        await floor.until(lambda: agent.state is AgentState.READY, 20)

    run(floor, story)
    assert [attempt.outcome for attempt in attempts(floor)] == [Outcome.CONNECTED]


def test_whose_agent_is_no_more_gets_another(make_floor: MakeFloor) -> None:
    """The agent's name left the file while nobody was in charge: their caller goes to the next agent, and hears no silence."""
    floor = make_floor(leads=["01"], agents=2)

    async def story() -> None:
        attempt = await until_state(floor, AttemptState.BRIDGED)
        assert attempt.agent_id == A0
        floor.kill_engine()
        del floor.settings.agents[A0]
        await floor.pass_s(0.5)
        await floor.start_again()
        await floor.until(lambda: floor.engine.roster[A1].state is AgentState.TALKING, 2)
        assert the_attempt(floor).agent_id == A1

    run(floor, story)
    assert [attempt.outcome for attempt in attempts(floor)] == [Outcome.CONNECTED]
