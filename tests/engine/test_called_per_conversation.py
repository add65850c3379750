"""Agents whose softphone is called for each conversation: it rings on the person's time, and is hung up when the conversation is over."""

import pytest

from dialer_core.ipc.messages import Bridge
from dialer_core.vocabulary import AgentId, AgentState, EndedBy, LegKind
from tests.engine.callers import take_calls
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.test_control import asked
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
PER_CONVERSATION = {"agent_legs": "per_conversation"}


def called(floor: Floor) -> list[str]:
    """Return whose softphones have been called, in order."""
    return [place.owner for place in floor.carrier.placed if place.kind is LegKind.AGENT]


def test_the_softphone_is_called_when_a_person_is_there_and_hung_up_after(make_floor: MakeFloor) -> None:
    """No leg at log-in, none in the wrap-up; one for each conversation, and the person hears the agent when it has answered."""
    floor = make_floor(leads=["01", "02"], agents=1, campaign=PER_CONVERSATION)
    floor.carrier.by_agent["a0"] = Behaviour(progress_s=None, final_s=0.6)

    async def story() -> None:
        await floor.start()
        agent = floor.engine.roster[A0]
        assert (agent.state, agent.leg_id) == (AgentState.READY, None)
        await floor.until(lambda: agent.state is AgentState.TALKING, 30)
        assert agent.leg_up
        assert 0.5 < agent.ring_s < 1.0
        assert (
            floor.engine.dialing.pools[0]._left_of(2.0) == 1.0
        )  # the pacer plans with what the ringing leaves
        await floor.until(lambda: agent.state is AgentState.WRAP_UP, 60)
        assert agent.leg_id is None
        await floor.until(lambda: agent.state is AgentState.READY and agent.conversations == 2, 120)
        assert called(floor) == ["a0", "a0"]
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    assert [one.outcome for one in attempts(floor)] == ["connected", "connected"]


def test_ringing_is_on_the_persons_time(make_floor: MakeFloor) -> None:
    """A softphone that rings for longer than a live answer may wait: they hear the message, its ringing ends, and the agent is free again."""
    floor = make_floor(leads=["01"], agents=1, campaign=PER_CONVERSATION)
    floor.carrier.by_agent["a0"] = Behaviour(final_s=8.0)

    async def story() -> None:
        await floor.start()
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.RESERVED, 30)
        await floor.until(lambda: agent.state is AgentState.READY, 3)
        assert agent.leg_id is None
        await floor.until(lambda: not floor.engine.machine.attempts, 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.bridged_mono_ns) == ("abandoned", None)


def test_who_does_not_answer_is_passed_over(make_floor: MakeFloor) -> None:
    """A softphone that is busy: the person is the next agent's within the same limit, and the first is given nobody before their `ready`."""
    floor = make_floor(leads=["01"], agents=2, campaign=PER_CONVERSATION)
    floor.carrier.by_agent["a0"] = Behaviour(final_s=0.3, code=486)
    floor.carrier.by_agent["a1"] = Behaviour(final_s=0.3)

    async def story() -> None:
        await floor.start()
        first, second = floor.engine.roster[A0], floor.engine.roster[A1]
        await floor.until(lambda: second.state is AgentState.TALKING, 30)
        assert (first.state, first.reason) == (AgentState.PAUSED, "no_answer")
        await floor.pass_s(5.0)
        assert first.state is AgentState.PAUSED
        assert not (await asked(floor, "agents.ready", agent="a0")).error
        assert first.state is AgentState.READY
        await floor.until(lambda: not floor.engine.machine.attempts, 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.agent_id) == ("connected", "a1")


def test_they_end_a_conversation_by_hanging_up(make_floor: MakeFloor) -> None:
    """Their BYE is the end of the call, and no lost leg: the person is not passed on, and the agent has their wrap-up."""
    floor = make_floor(leads=["01"], agents=2, campaign=PER_CONVERSATION)

    async def story() -> None:
        await floor.start()
        roster = floor.engine.roster
        await floor.until(lambda: any(one.state is AgentState.TALKING for one in roster.all()), 30)
        agent = next(one for one in roster.all() if one.state is AgentState.TALKING)
        assert agent.leg_id is not None
        floor.carrier.end(agent.leg_id, 200, EndedBy.FAR)
        assert agent.state is AgentState.WRAP_UP
        await floor.until(lambda: not floor.engine.machine.attempts, 5)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.ended_by) == ("connected", "us")
    assert len(called(floor)) == 1


def test_who_hangs_up_before_the_bridge_stands_loses_nobody(make_floor: MakeFloor) -> None:
    """Answered, and hung up while the media plane is being told: the person is the next agent's at once, and the first is given nobody more."""
    floor = make_floor(leads=["01"], agents=2, campaign=PER_CONVERSATION)
    floor.carrier.by_agent["a1"] = floor.carrier.by_agent["a0"] = Behaviour(progress_s=None, final_s=0.3)

    async def story() -> None:
        await floor.start()
        media, early = floor.engine.media, []
        send = media.send

        def hang_up_at_once(command: object) -> None:
            send(command)
            if isinstance(command, Bridge) and not early:
                early.append(command.agent_leg_id)
                floor.carrier.end(command.agent_leg_id, 200, EndedBy.FAR)

        media.send = hang_up_at_once
        first, second = floor.engine.roster[A0], floor.engine.roster[A1]
        await floor.until(lambda: second.state is AgentState.TALKING, 30)
        assert len(early) == 1
        assert (first.state, first.reason) == (AgentState.PAUSED, "no_answer")
        await floor.until(lambda: not floor.engine.machine.attempts, 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.agent_id) == ("connected", "a1")


def test_consulted_and_handed_on(make_floor: MakeFloor) -> None:
    """A colleague's softphone is called to be consulted, and called to take the customer, who hears music while it rings."""
    floor = make_floor(leads=["01"], agents=2, campaign=PER_CONVERSATION)
    floor.carrier.by_agent["a1"] = floor.carrier.by_agent["a0"] = Behaviour(progress_s=None, final_s=0.5)

    async def story() -> None:
        await floor.start()
        roster, talks = floor.engine.roster, floor.engine.desk.talks
        await floor.until(lambda: any(one.state is AgentState.TALKING for one in roster.all()), 30)
        first = next(one for one in roster.all() if one.state is AgentState.TALKING)
        other = next(one for one in roster.all() if one is not first)
        assert not (await asked(floor, "agents.consult", agent=first.id, to_agent=other.id)).error
        assert talks[first.id].state == "calling"
        await floor.until(lambda: talks[first.id].state == "consulting", 2)
        assert other.state is AgentState.TALKING
        assert not (await asked(floor, "agents.dismiss", agent=first.id)).error
        assert (other.state, other.leg_id) == (AgentState.WRAP_UP, None)
        await floor.until(lambda: other.state is AgentState.READY, 30)
        assert not (await asked(floor, "agents.transfer", agent=first.id, to_agent=other.id)).error
        await floor.until(lambda: other.state is AgentState.TALKING, 5)
        await floor.until(lambda: not floor.engine.machine.attempts, 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert attempt.outcome == "connected"


def test_a_caller_keeps_their_place(make_floor: MakeFloor) -> None:
    """Somebody who called waits, with music, while the softphone rings; one that does not answer costs them no place."""
    floor = make_floor(leads=["01"], agents=2, campaign=PER_CONVERSATION | {"caller_id": "+525512340000"})
    carrier = take_calls(floor)
    carrier.by_agent["a0"] = Behaviour(final_s=3.0, code=480)
    carrier.by_agent["a1"] = Behaviour(final_s=3.0)

    async def story() -> None:
        await floor.start()
        floor.engine.dialing.pause("demo", "callers only")
        await floor.pass_s(0.5)
        carrier.call_in("5512345678")
        await floor.until(lambda: floor.engine.roster[A1].state is AgentState.TALKING, 20)
        assert floor.engine.roster[A0].reason == "no_answer"
        await floor.until(lambda: not floor.engine.inbound, 60)
        assert floor.engine.roster[A1].leg_id is None
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)


@pytest.mark.parametrize("when", ["ringing", "talking", "free"])
def test_a_new_engine_goes_on(make_floor: MakeFloor, when: str) -> None:
    """An engine that dies while a softphone rings, in a talk, or between: the talk goes on, whoever rang is free, nobody is lost."""
    floor = make_floor(leads=["01"], agents=1, campaign=PER_CONVERSATION)
    floor.carrier.by_agent["a0"] = Behaviour(progress_s=None, final_s=0.8)
    wanted = {"ringing": AgentState.RESERVED, "talking": AgentState.TALKING, "free": AgentState.READY}

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: floor.engine.roster[A0].state is wanted[when], 30)
        floor.kill_engine()
        await floor.pass_s(0.1)
        await floor.start_again()
        agent = floor.engine.roster[A0]
        assert (
            agent.state is AgentState.TALKING if when == "talking" else agent.state is not AgentState.PAUSED
        )
        await floor.until(lambda: agent.conversations >= 1 and agent.state is AgentState.READY, 90)
        assert agent.leg_id is None
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert attempt.outcome == "connected"
