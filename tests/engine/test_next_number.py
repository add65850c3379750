"""The next number of the same person: dialed to the agent who asks for it, and to nobody else, as far as the gate and the caps allow it."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from dialer_core.store import events
from dialer_core.store.models import Lead, Person, Phone
from dialer_core.vocabulary import AgentId, AgentState, new_id
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.test_control import asked
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0 = AgentId("a0")


def more_numbers(floor: Floor, *suffixes: str) -> None:
    """Give everybody further numbers."""
    with floor.database.write() as tx:
        for index, person in enumerate(list(tx.scalars(select(Person.id)))):
            for rank, suffix in enumerate(suffixes, start=1):
                number = {
                    "id": new_id(), "person_id": person, "e164": f"+5255{600000 + 10 * index + rank}{suffix}", "kind": "mobile", "rank": rank,
                    "zones": "America/Mexico_City", "failures": 0,
                }  # fmt: skip
                tx.execute(insert(Phone), number)


def floor_with(
    make_floor: MakeFloor, *suffixes: str, leads: int = 1, agents: int = 2, **campaign: Any
) -> Floor:
    """Return a floor whose people have these numbers as well, and talk for a minute."""
    floor = make_floor(leads=["01"] * leads, agents=agents, campaign={"wrap_up_s": 30.0} | campaign)
    floor.carrier.by_suffix["01"] = floor.carrier.by_suffix["02"] = Behaviour(talk_s=60.0)
    floor.carrier.by_suffix["03"] = Behaviour(final_s=None)
    more_numbers(floor, *suffixes)
    return floor


async def talking(floor: Floor) -> AgentId:
    """Return who talks, as soon as somebody does."""
    roster = floor.engine.roster
    await floor.until(lambda: any(one.state is AgentState.TALKING for one in roster.all()), 60)
    return next(one.id for one in roster.all() if one.state is AgentState.TALKING)


def test_the_next_number_comes_to_the_agent_who_asked(make_floor: MakeFloor) -> None:
    """Asked in the talk, that call ends first; the same person's next number is dialed, and bridged to the same agent, with nobody between."""
    floor = floor_with(make_floor, "02", leads=3)

    async def story() -> None:
        await floor.start()
        name = await talking(floor)
        agent = floor.engine.roster[name]
        first = agent.attempt_id
        reply = await asked(floor, "agents.next_number", agent=name, disposition="third_party")
        assert not reply.error
        assert reply.result["attempt"] != first
        shown = floor.engine.previews.view(name)
        assert shown["attempt"] == reply.result["attempt"]
        await floor.until(lambda: agent.state is AgentState.TALKING, 30)
        assert agent.attempt_id == reply.result["attempt"]
        again = await asked(floor, "agents.next_number", agent=name)
        assert "no other number" in again.error
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    with floor.database.read() as tx:
        (told,) = events.tail(tx, {}, ["lead.next_number_dialed"])
        assert told.data["lead_id"]
    done = {one.id: one for one in attempts(floor)}
    before, after = done[told.data["after"]], done[told.attempt_id or ""]
    assert before.disposition == "third_party"
    assert before.lead_id == after.lead_id
    assert before.phone_id != after.phone_id
    assert before.agent_id == after.agent_id == told.data["agent_id"]


def test_asked_in_the_wrap_up_and_not_answered(make_floor: MakeFloor) -> None:
    """It can be asked for after the call; where nobody answers the agent is free for the next person, and a number is not tried twice."""
    floor = floor_with(make_floor, "03", "02", agents=1, ring_limit_s=20.0)
    floor.carrier.by_suffix["01"] = Behaviour(talk_s=5.0)

    async def story() -> None:
        await floor.start()
        await talking(floor)
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.WRAP_UP, 60)
        assert not (await asked(floor, "agents.next_number", agent="a0")).error
        assert agent.state is AgentState.READY
        assert not agent.offered
        refused = await asked(floor, "agents.next_number", agent="a0")
        assert refused.kind == "refused"
        await floor.until(lambda: agent.offered, 120)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    tried = attempts(floor)
    assert [one.outcome for one in tried[:2]] == ["connected", "no_answer"]


def test_the_gate_and_the_campaign_decide_as_ever(make_floor: MakeFloor) -> None:
    """A cap that is reached, or a lead that has been finished meanwhile, is told to the agent, who stays where they are."""
    floor = floor_with(make_floor, "02", agents=1, attempts={"most": 1})
    floor.carrier.by_suffix["01"] = Behaviour(talk_s=5.0)

    async def story() -> None:
        await floor.start()
        early = await asked(floor, "agents.next_number", agent="a0")
        assert early.kind == "refused"
        await talking(floor)
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.WRAP_UP, 60)
        refused = await asked(floor, "agents.next_number", agent="a0")
        assert "at most 1 by the campaign" in refused.error
        assert agent.state is AgentState.WRAP_UP
        with floor.database.write() as tx:
            tx.execute(update(Lead).values(state="finished", finished_reason="paid"))
        refused = await asked(floor, "agents.next_number", agent="a0")
        assert refused.error == "the lead is finished: paid"
        assert len(attempts(floor)) == 1
        await floor.stop()

    floor.loop.run_until_complete(story())


def test_whoever_leaves_gets_no_call(make_floor: MakeFloor) -> None:
    """An agent who pauses while their number rings: it is cancelled; who has asked to leave after this call gets none."""
    floor = floor_with(make_floor, "03", agents=1)

    async def story() -> None:
        await floor.start()
        await talking(floor)
        floor.engine.roster.pause(A0, "lunch")
        assert "ready" in (await asked(floor, "agents.next_number", agent="a0")).error
        floor.engine.roster.ready(A0)
        assert not (await asked(floor, "agents.next_number", agent="a0")).error
        await floor.pass_s(3.0)
        floor.engine.roster.pause(A0, "lunch")
        await floor.until(lambda: not floor.engine.machine.attempts, 30)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    assert [one.outcome for one in attempts(floor)] == ["connected", "cancelled"]
