"""What does not keep up holds new calls, says so, and lets them go again; a worker that wants to leave loses no call and no agent for long."""

from __future__ import annotations

import pytest

from dialer_core.ipc.messages import WorkerHealth
from dialer_core.store.events import tail
from dialer_core.vocabulary import AgentId, AgentState, CampaignId, LegKind, WorkerId
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit
DEMO = CampaignId("demo")


def customers(floor: Floor) -> list[WorkerId]:
    """The worker of each customer's INVITE, in order."""
    return [
        floor.carrier.worker_of[place.leg_id]
        for place in floor.carrier.placed
        if place.kind is LegKind.CUSTOMER
    ]


def health(floor: Floor, name: str, *, draining: bool = False, used: int = 0) -> None:
    """Let a worker say how it is; one that drains says so from now on."""
    if draining:
        floor.carrier.draining.add(WorkerId(name))
    event = WorkerHealth(
        at_ns=floor.clock.mono_ns(), slots_used=used, capacity=4, lag_ms=0.1, rss_mb=50.0, draining=draining
    )
    floor.engine.workers.receive(WorkerId(name), event)


def test_a_media_plane_that_does_not_read_holds_new_calls_and_no_other(make_floor: MakeFloor) -> None:
    """Over its mark nobody is dialed, and the campaign says why; talks go on; under it, dialing goes on by itself."""
    floor = make_floor(leads=6, agents=2)
    floor.carrier.default = Behaviour(talk_s=10.0)

    async def whole() -> None:
        await floor.start()
        await floor.until(lambda: len(customers(floor)) == 2)
        agents = floor.engine.roster.all()
        await floor.until(lambda: all(agent.state is AgentState.TALKING for agent in agents))
        floor.carrier.over_mark = True
        await floor.pass_s(60)
        assert len(customers(floor)) == 2
        assert all(agent.conversations == 1 for agent in agents)
        assert floor.engine.dialing.held_reason() == "the media plane does not read its commands"
        assert floor.engine.dialing.campaigns[DEMO].reason == "the media plane does not read its commands"
        floor.carrier.over_mark = False
        await floor.until(lambda: len(customers(floor)) == 4, 5)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


def test_a_worker_that_does_not_read_is_given_nothing(make_floor: MakeFloor) -> None:
    """The others take its share."""
    floor = make_floor(leads=6, agents=2, workers=3)
    floor.carrier.default = Behaviour(talk_s=1.0)

    async def whole() -> None:
        await floor.start()
        floor.engine.workers.workers[WorkerId("customers-1")].port.over_mark = True  # type: ignore[misc]
        await floor.until(lambda: len(customers(floor)) == 6, 120)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    assert set(customers(floor)) == {"customers-0", "customers-2"}
    verified(floor)


def test_attempts_are_spread_over_the_workers(make_floor: MakeFloor) -> None:
    """One call at a time goes to another worker each time; many at once fill none while another is empty."""
    floor = make_floor(leads=5, agents=1, workers=5)
    floor.carrier.default = Behaviour(talk_s=1.0)

    async def whole() -> None:
        await floor.start()
        await floor.until(lambda: len(customers(floor)) == 5, 120)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    assert len(set(customers(floor))) == 5


def test_the_brake_says_why(make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that lags: one call per idle agent whatever the mode, with the reason in the decision, its event and the status."""
    floor = make_floor(leads=20, agents=2, campaign={"pacing": "ratio", "ratio": 5.0})
    floor.carrier.default = Behaviour(final_s=None)
    why = "loop lag p99 300 ms is over 250 ms"

    async def whole() -> None:
        now = [why]
        monkeypatch.setattr("dialer_core.loop_lag.LoopLag.brake", lambda _lag: now[0])
        await floor.start()
        await floor.pass_s(5)
        assert len(customers(floor)) == 2
        assert why in floor.engine.dialing.campaigns[DEMO].last_decision
        now[0] = ""
        await floor.until(lambda: len(customers(floor)) == 10, 5)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    with floor.database.read() as tx:
        reasons = [
            event.data["reason"] for event in tail(tx, {}, limit=1000) if event.name == "pacing.decided"
        ]
    assert why in reasons
    assert "" in reasons


def test_a_customers_worker_that_leaves_keeps_its_calls_and_gets_no_more(make_floor: MakeFloor) -> None:
    """Draining: the talk goes on to its end, everybody new is with another worker, and its going is no loss."""
    floor = make_floor(leads=4, agents=1, workers=2)
    floor.carrier.default = Behaviour(talk_s=10.0)

    async def whole() -> None:
        await floor.start()
        agent = floor.engine.roster[AgentId("a0")]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        (leaving,) = customers(floor)
        health(floor, leaving, draining=True, used=1)
        await floor.until(lambda: agent.conversations == 1 and agent.state is AgentState.WRAP_UP, 30)
        health(floor, leaving, draining=True)
        floor.kill_worker(leaving)
        await floor.until(lambda: len(customers(floor)) == 4, 120)
        assert set(customers(floor)[1:]) == {"customers-0", "customers-1"} - {leaving}
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    with floor.database.read() as tx:
        assert not [event for event in tail(tx, {}, limit=1000) if event.name == "worker.lost"]


def test_agents_are_moved_from_a_worker_that_leaves_when_they_do_not_talk(make_floor: MakeFloor) -> None:
    """Whoever is idle is called anew over another worker at once; whoever talks, when they have finished."""
    floor = make_floor(leads=["01"], agents=6, workers=2)
    floor.carrier.default = Behaviour(talk_s=20.0)

    async def whole() -> None:
        await floor.start()
        floor.attach_worker(WorkerId("agents-9"))
        engine = floor.engine
        agents = engine.roster.all()
        await floor.until(lambda: any(agent.state is AgentState.TALKING for agent in agents))
        (talker,) = (agent for agent in agents if agent.state is AgentState.TALKING)
        leaving = engine.softphones.worker_of(talker)
        assert leaving is not None
        others = [a for a in agents if a is not talker and engine.softphones.worker_of(a) == leaving]
        health(floor, leaving, draining=True, used=1 + len(others))
        await floor.until(
            lambda: all(a.offered and engine.softphones.worker_of(a) != leaving for a in others), 10
        )
        assert talker.state is AgentState.TALKING
        assert engine.softphones.worker_of(talker) == leaving
        await floor.until(
            lambda: engine.softphones.worker_of(talker) not in (leaving, None) and talker.offered, 60
        )
        assert talker.conversations == 1
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
