"""Carriers at their worst, on virtual time: one that refuses everything, one that answers everything at once, one that lets nothing go."""

from __future__ import annotations

import datetime as dt

import pytest

from dialer_core.ipc.messages import WorkerHealth
from dialer_core.vocabulary import AgentId, AgentState, AttemptState, CampaignId, LegKind, Outcome, TrunkState
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit
DEMO = CampaignId("demo")
TWO_TRUNKS = {
    "first": {"host": "127.0.0.3", "lines": 20, "calls_per_second": 20},
    "second": {"host": "127.0.0.2", "lines": 20, "calls_per_second": 20},
}


def customers(floor: Floor, host: str = "") -> int:
    """How many customers' INVITEs have left, to a host or to all."""
    return sum(place.kind is LegKind.CUSTOMER and host in place.to_uri for place in floor.carrier.placed)


def test_a_trunk_that_refuses_every_call_is_left_alone(make_floor: MakeFloor) -> None:
    """Five refusals, then single trials further and further apart; the second trunk carries on; the first is used again when it takes a call."""
    floor = make_floor(leads=60, agents=4, trunks=TWO_TRUNKS)
    floor.carrier.trunk_codes = {"127.0.0.3": 503}
    floor.carrier.default = Behaviour(talk_s=5.0)

    async def whole() -> None:
        await floor.start()
        await floor.pass_s(120)
        refused = customers(floor, "127.0.0.3")
        assert 5 <= refused <= 16, refused
        assert customers(floor, "127.0.0.2") > 30
        assert floor.engine.trunks.all()[0].state is TrunkState.UP
        floor.carrier.trunk_codes = {}
        await floor.until(lambda: customers(floor, "127.0.0.3") > refused + 3, 200)
        assert not floor.engine.trunks.all()[0].held
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    assert event_names(floor).count("trunk.state_changed") >= 4


def test_a_trunk_that_answers_options_with_503_is_down(make_floor: MakeFloor) -> None:
    """It says that it is out of service: nobody is dialed over it, and the campaign says why."""
    floor = make_floor(leads=2, agents=1)
    floor.carrier.probe_codes = {"127.0.0.1": 503}

    async def whole() -> None:
        await floor.start()
        await floor.pass_s(20)
        assert customers(floor) == 0
        assert "answers OPTIONS with 503" in floor.engine.dialing.campaigns[DEMO].reason
        floor.carrier.probe_codes = {}
        await floor.until(lambda: customers(floor) == 1, 60)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


def test_a_carrier_that_answers_everything_at_once(make_floor: MakeFloor) -> None:
    """Sixty people answer in the same moment and four agents are there: everybody else hears the message in time, and pacing lets go at once."""
    floor = make_floor(
        leads=90,
        agents=4,
        campaign={"pacing": "ratio", "ratio": 10.0},
        trunks={"carrier": {"host": "127.0.0.1", "lines": 60, "calls_per_second": 200}},
        workers=40,
    )
    floor.carrier.default = Behaviour(final_s=0.5, verdict_s=0.5, talk_s=60.0)

    async def whole() -> None:
        await floor.start()
        campaign = floor.engine.dialing.campaigns[DEMO]
        await floor.until(lambda: campaign.live_answers >= 30, 60)
        first = customers(floor)
        await floor.until(lambda: campaign.outcomes[Outcome.ABANDONED] >= first - 4, 30)
        talking = [a for a in floor.engine.roster.all() if a.state is AgentState.TALKING]
        assert len(talking) == 4
        assert customers(floor) == first, "somebody more was dialed although nobody was free"
        assert campaign.ledger_abandoned > campaign.ceiling * campaign.ledger_live
        await floor.pass_s(80)  # agents are free again: one call each, and no more than that
        ringing = [a for a in floor.engine.machine.attempts.values() if a.state is not AttemptState.BRIDGED]
        idle = sum(agent.state is AgentState.READY for agent in floor.engine.roster.all())
        assert len(ringing) <= max(1, idle)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    lost = [a for a in attempts(floor) if a.outcome == Outcome.ABANDONED]
    assert len(lost) >= 30
    assert all(0 <= (a.abandoned_mono_ns - a.greeting_end_mono_ns) / 1e9 <= 2.1 for a in lost)


def test_a_carrier_that_never_answers_bye_costs_slots_and_no_attempt(make_floor: MakeFloor) -> None:
    """Slots stay taken after each call: what is dialed keeps to those that pjsua2 says are free, the rest waits, and more workers are asked for."""
    floor = make_floor(
        leads=40,
        agents=8,
        workers=2,
        trunks={"carrier": {"host": "127.0.0.1", "lines": 8, "calls_per_second": 20}},
    )
    floor.carrier.default = Behaviour(final_s=None, progress_s=0.1)
    names = floor.worker_names[:2]

    def report(used: int) -> None:
        for name in names:
            health = WorkerHealth(
                at_ns=floor.clock.mono_ns(), slots_used=used, capacity=4, lag_ms=0.0, rss_mb=40.0
            )
            floor.engine.workers.receive(name, health)

    async def whole() -> None:
        await floor.start()
        for name in floor.settings.agents:
            await floor.until(lambda name=name: floor.engine.roster[AgentId(name)].state is AgentState.READY)
        assert floor.engine.workers_wanted() == 0 or customers(floor)
        report(4)
        before = customers(floor)
        await floor.pass_s(1)
        assert customers(floor) == before
        campaign = floor.engine.dialing.campaigns[DEMO]
        if customers(floor) < 8:
            assert campaign.reason == "all line workers are in use"
            assert floor.engine.workers_wanted() >= 1
        report(2)
        await floor.until(lambda: customers(floor) > before, 30)
        assert all(attempt.placements == 1 for attempt in floor.engine.machine.attempts.values())
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


# --- clocks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [dt.timedelta(hours=1), dt.timedelta(hours=-1), dt.timedelta(days=2)])
def test_a_wall_clock_that_steps_moves_no_timer(make_floor: MakeFloor, step: dt.timedelta) -> None:
    """Calls go on through it, deadlines hold to the millisecond; what the law counts in days follows the new time."""
    floor = make_floor(leads=["01", "02", "03"], agents=1, campaign={"pacing": "ratio", "ratio": 2.0})
    floor.carrier.default = Behaviour(talk_s=20.0)

    async def whole() -> None:
        await floor.start()
        campaign = floor.engine.dialing.campaigns[DEMO]
        await floor.until(lambda: bool(campaign.live_answers))
        floor.clock.step_wall(step)
        await floor.until(lambda: campaign.outcomes[Outcome.CONNECTED] >= 1, 60)
        floor.engine.dialing.refresh_ledgers()
        await floor.pass_s(1)
        assert campaign.ledger_live == campaign.live_answers, "what was counted before the step was forgotten"
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    for attempt in attempts(floor):
        if attempt.outcome == Outcome.ABANDONED:
            assert 0 <= (attempt.abandoned_mono_ns - attempt.greeting_end_mono_ns) / 1e9 <= 2.1
        if attempt.bridged_mono_ns:
            assert attempt.ended_mono_ns - attempt.bridged_mono_ns == pytest.approx(20e9, rel=0.01)


def test_calling_hours_follow_the_wall_clock(make_floor: MakeFloor) -> None:
    """Stepped into the night, nobody is dialed any more; stepped into the morning, dialing goes on."""
    floor = make_floor(leads=12, agents=1, pack="mx")
    floor.carrier.default = Behaviour(talk_s=2.0)

    async def whole() -> None:
        await floor.start()
        await floor.until(lambda: customers(floor) >= 2, 60)
        floor.clock.step_wall(dt.timedelta(hours=12))  # midnight in Mexico City
        await floor.pass_s(10)
        asleep = customers(floor)
        await floor.pass_s(60)
        assert customers(floor) == asleep
        floor.clock.step_wall(dt.timedelta(hours=9))
        await floor.until(lambda: customers(floor) > asleep, 120)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
