"""Skills, overflow and promised agents in the real call loop, on virtual time."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, update

from dialer_core.store import callbacks
from dialer_core.store.models import Lead
from dialer_core.vocabulary import AgentId, AgentState, AttemptState, CampaignId, LeadId
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit


def run(floor: Floor, story) -> None:  # noqa: ANN001 - a coroutine function
    """Start the floor, run a story, drain, and check the invariants."""

    async def whole() -> None:
        await floor.start()
        await story(floor.engine)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


def test_only_who_has_the_skill_is_counted_dialed_for_and_given_people(make_floor: MakeFloor) -> None:
    """Three agents of whom one has the skill: one call at a time is placed, and all go to that one."""
    floor = make_floor(
        leads=4,
        agents=3,
        campaign={"routing": {"skills": {"legal": 3}}},
        skills=[{}, {"legal": 5}, {"legal": 2}],
    )
    floor.carrier.default = Behaviour(talk_s=10)

    async def story(engine) -> None:  # noqa: ANN001
        assert [pool.campaigns for pool in engine.dialing.pools] == [(), (CampaignId("demo"),)]
        while any(row.state != "ended" for row in attempts(floor)) or len(attempts(floor)) < 4:
            await floor.pass_s(0.5)
            assert len(engine.machine.attempts) <= 1

    run(floor, story)
    assert {row.agent_id for row in attempts(floor)} == {"a1"}


def test_a_person_overflows_before_the_limit_is_reached(make_floor: MakeFloor) -> None:
    """The skilled agent goes away while it rings: after `overflow_s` on the line the wider set's gets the person, and nobody is abandoned."""
    floor = make_floor(
        agents=2, campaign={"routing": {"skills": {"legal": 3}, "overflow_s": 1.0}}, skills=[{}, {"legal": 5}]
    )
    floor.carrier.default = Behaviour(talk_s=10)

    async def story(engine) -> None:  # noqa: ANN001
        await floor.until(
            lambda: any(a.state is AttemptState.RINGING for a in engine.machine.attempts.values())
        )
        engine.roster.pause(AgentId("a1"), "coffee")
        await floor.until(
            lambda: any(a.state is AttemptState.WAITING for a in engine.machine.attempts.values())
        )
        (attempt,) = engine.machine.attempts.values()
        await floor.until(lambda: engine.roster[AgentId("a0")].state is AgentState.TALKING)
        assert 1.0 <= (attempt.bridged_ns - attempt.waiting_since_ns) / 1e9 < 1.3

    run(floor, story)
    assert [row.agent_id for row in attempts(floor)] == ["a0"]


def test_a_person_is_never_given_to_an_agent_who_is_leaving(make_floor: MakeFloor) -> None:
    """An agent who has asked to pause after this call gets no next one, although people wait."""
    floor = make_floor(leads=3, agents=2)
    floor.carrier.default = Behaviour(talk_s=20)

    async def story(engine) -> None:  # noqa: ANN001
        await floor.until(lambda: all(agent.state is AgentState.TALKING for agent in engine.roster.all()))
        engine.roster.pause(AgentId("a0"), "after this call")
        await floor.until(lambda: engine.roster[AgentId("a0")].state is AgentState.PAUSED)
        await floor.until(
            lambda: len(attempts(floor)) == 3 and all(row.state == "ended" for row in attempts(floor))
        )

    run(floor, story)
    assert sorted(row.agent_id for row in attempts(floor)) == ["a0", "a1", "a1"]


def test_a_callback_goes_to_the_agent_who_promised_it(make_floor: MakeFloor) -> None:
    """It is not dialed while that agent is busy, though others are idle; when they are free it is, and while it rings they get nobody else."""
    floor = make_floor(leads=6, agents=3)
    floor.carrier.default = Behaviour(final_s=3, talk_s=8)
    now = floor.clock.utc()
    with floor.database.write() as tx:
        lead = LeadId(str(tx.scalar(select(Lead.id).order_by(Lead.id).limit(1))))
        callbacks.add(
            tx, lead_id=lead, campaign_id=CampaignId("demo"), due_at_utc=now + dt.timedelta(seconds=6), agent_id=AgentId("a2"),
            open_from_utc=now + dt.timedelta(hours=1),
        )  # fmt: skip
        tx.execute(update(Lead).where(Lead.id == lead).values(next_at_utc=now + dt.timedelta(hours=1)))

    async def story(engine) -> None:  # noqa: ANN001
        await floor.until(lambda: any(row.lead_id == lead for row in attempts(floor)))
        assert engine.roster[AgentId("a2")].state is AgentState.READY
        await floor.until(
            lambda: all(row.state == "ended" for row in attempts(floor)) and len(attempts(floor)) == 6
        )

    run(floor, story)
    mine = next(row for row in attempts(floor) if row.lead_id == lead)
    assert mine.agent_id == "a2"
    with floor.database.read() as tx:
        assert tx.scalar(select(callbacks._TABLE.c.state)) == "made"
