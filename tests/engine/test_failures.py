"""Single events that break things: each test lets one thing go wrong at the worst moment and says what must still hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper, recycle
from dialer_core.errors import StoreError
from dialer_core.ipc.messages import Dialog, LegEnded, LegsBridged
from dialer_core.media_presence import MEDIA_AWAY_LIMIT_S
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    AttemptState,
    CampaignId,
    EndedBy,
    LegKind,
    Outcome,
    Verdict,
)
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1, DEMO = AgentId("a0"), AgentId("a1"), CampaignId("demo")


def run(floor: Floor, story: Callable[[], Awaitable[None]]) -> None:
    """Start the floor, run a story, drain, and check the invariants."""

    async def whole() -> None:
        await floor.start()
        await story()
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


class Stall:
    """A database that takes nothing for a while: units wait in order, as the journal keeps them, and run when it is `over`."""

    def __init__(self, floor: Floor, *, noticed: bool) -> None:
        self._floor = floor
        self._submit = floor.journal.submit
        self.waiting: list[tuple[Any, Any, asyncio.Future[Any]]] = []
        floor.journal.submit = self._wait  # type: ignore[method-assign]
        floor.journal._healthy = not noticed

    def _wait(self, work: Any, *events: Any) -> asyncio.Future[Any]:
        future = self._floor.loop.create_future()
        self.waiting.append((work, events, future))
        return future

    def over(self) -> None:
        """Run what waited."""
        self._floor.journal.submit = self._submit  # type: ignore[method-assign]
        self._floor.journal._healthy = True
        for work, events, future in self.waiting:
            done = self._submit(work, *events)
            if error := done.exception():
                future.set_exception(error)
            else:
                future.set_result(done.result())


def customers(floor: Floor) -> int:
    """How many customers' INVITEs have left."""
    return sum(place.kind is LegKind.CUSTOMER for place in floor.carrier.placed)


# --- media plane and workers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away_s", [0.2, 5.0, 60.0])
def test_a_media_plane_that_comes_back_late_gets_the_agents_back(
    make_floor: MakeFloor, away_s: float
) -> None:
    """Legs are opened again on their ports when it is back soon; after the limit they are ended, and the softphones are called when there is one."""
    floor = make_floor(leads=[], agents=2)

    async def story() -> None:
        agents = list(floor.engine.roster.all())
        await floor.until(lambda: all(agent.state is AgentState.READY for agent in agents))
        legs = [agent.leg_id for agent in agents]
        floor.lose_media()
        await floor.pass_s(away_s)
        soon = away_s < MEDIA_AWAY_LIMIT_S
        assert all(agent.state is (AgentState.READY if soon else AgentState.PAUSED) for agent in agents)
        floor.attach_media()
        if soon:
            await floor.until(lambda: set(floor.carrier.opened) == set(legs))
        await floor.until(lambda: all(agent.state is AgentState.READY for agent in agents), 30)

    run(floor, story)


def test_a_softphone_whose_call_gets_lost_is_called_again(make_floor: MakeFloor) -> None:
    """Whatever waits has a deadline (I6): a leg of which nobody ever says anything is given up."""
    floor = make_floor(leads=[], agents=1)

    async def whole() -> None:
        await floor.start()
        agent = floor.engine.roster[A0]
        await floor.until(lambda: bool(floor.carrier.calls))
        for call in list(floor.carrier.calls.values()):
            for timer in call.timers:
                timer.cancel()
        floor.carrier.calls.clear()
        await floor.until(lambda: agent.state is AgentState.READY, 120)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


def test_what_was_decided_stays_when_the_worker_dies_with_the_hang_up(make_floor: MakeFloor) -> None:
    """A machine on whom we hung up is a machine, although its worker died before it could say that the leg had ended."""
    floor = make_floor(leads=["01"], agents=1, workers=1)
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE)

    async def story() -> None:
        floor.carrier.hold_back = {LegEnded}
        await floor.until(
            lambda: any(a.state is AttemptState.RELEASING for a in floor.engine.machine.attempts.values())
        )
        floor.kill_worker(floor.worker_names[0])

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.MACHINE


def test_the_dialogs_of_a_dead_worker_are_handed_over_to_be_ended(make_floor: MakeFloor) -> None:
    """Nobody is left on a line whose worker is gone: neither the customer nor the agent."""
    floor = make_floor(leads=["01"], agents=1, workers=1)
    orphans: list[Dialog] = []

    async def story() -> None:
        engine = floor.engine
        engine.on_orphan(orphans.append)
        agent = engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        (attempt,) = engine.machine.attempts.values()
        agent_leg = agent.leg_id
        floor.kill_worker(floor.worker_names[0])
        assert [dialog.call_id for dialog in orphans] == [attempt.leg_id]
        floor.kill_worker(floor.worker_names[1])
        assert orphans[-1].call_id == agent_leg
        floor.attach_worker(floor.worker_names[1])

    run(floor, story)


# --- the bridge --------------------------------------------------------------------------------------------------------


def test_an_agent_lost_as_the_bridge_was_made_leaves_no_silence(make_floor: MakeFloor) -> None:
    """The media plane had bridged, the agent's BYE comes before its word: the customer's deadline runs again, and they hear the message (I4)."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.READY)
        floor.carrier.hold_back = {LegsBridged}
        await floor.until(lambda: bool(floor.carrier.held))
        assert agent.state is AgentState.RESERVED
        floor.carrier.end(agent.leg_id, 200, EndedBy.FAR)
        floor.engine.roster.logout(A0)
        floor.carrier.let_go()
        await floor.until(lambda: not floor.engine.machine.attempts)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.ABANDONED
    assert 0 <= (attempt.abandoned_mono_ns - attempt.greeting_end_mono_ns) / 1e9 <= 2.1


def test_the_bridge_to_a_lost_agent_is_not_taken_for_the_next_ones(make_floor: MakeFloor) -> None:
    """Late news of the first bridge must not make a talk of the second, which is refused: nobody hears silence for hours."""
    floor = make_floor(leads=["01"], agents=2)

    async def story() -> None:
        a0, a1 = floor.engine.roster[A0], floor.engine.roster[A1]
        await floor.until(lambda: a0.state is a1.state is AgentState.READY)
        floor.carrier.hold_back = {LegsBridged}
        await floor.until(lambda: bool(floor.carrier.held))
        first, other = (a0, a1) if a0.state is AgentState.RESERVED else (a1, a0)
        del floor.carrier.opened[other.leg_id]  # the media plane has lost the other agent's leg
        floor.carrier.end(first.leg_id, 200, EndedBy.FAR)
        assert other.state is AgentState.RESERVED
        floor.carrier.let_go()
        assert other.state is AgentState.RESERVED
        await floor.until(lambda: other.state is AgentState.PAUSED, 1)
        for name in (A0, A1):
            floor.engine.roster.logout(name)
        await floor.until(lambda: not floor.engine.machine.attempts, 60)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.ABANDONED


def test_an_agent_freed_in_mid_bridge_can_be_bridged_at_once(make_floor: MakeFloor) -> None:
    """Revised to a machine as the bridge was made: the agent's leg is parted from it before the next person comes, and is not called anew."""
    floor = make_floor(leads=["01", "02"], agents=1, campaign={"pacing": "ratio", "ratio": 2.0})
    floor.carrier.by_suffix["01"] = Behaviour(final_s=1.0, revised=Verdict.MACHINE, revised_s=0.5)
    floor.carrier.by_suffix["02"] = Behaviour(final_s=1.2)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.READY)
        leg_id = agent.leg_id
        floor.carrier.hold_back = {LegsBridged}
        await floor.until(lambda: floor.engine.dialing.campaigns[DEMO].outcomes[Outcome.MACHINE] == 1)
        floor.carrier.let_go()
        await floor.until(lambda: agent.state is AgentState.TALKING, 1)
        assert agent.leg_id == leg_id

    run(floor, story)


# --- mistakes of our own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["verdict", "bridged"])
def test_an_event_that_cannot_be_handled_costs_one_attempt(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """An exception in the handling of one event ends that attempt as internal; the link and every other call go on."""
    floor = make_floor(leads=["01", "02"], agents=2)
    floor.carrier.by_suffix["02"] = Behaviour(final_s=5.0)

    async def story() -> None:
        real, failed = getattr(floor.engine.answers, part), []

        def fails(attempt: Any, event: Any) -> None:
            if not failed:
                failed.append(attempt.id)
                raise RuntimeError("a mistake")
            real(attempt, event)

        monkeypatch.setattr(floor.engine.answers, part, fails)
        told: list[Any] = []
        floor.loop.set_exception_handler(lambda _loop, context: told.append(context))
        campaign = floor.engine.dialing.campaigns[DEMO]
        await floor.until(lambda: campaign.outcomes[Outcome.INTERNAL] == 1, 5)
        await floor.until(lambda: campaign.outcomes[Outcome.CONNECTED] == 1)
        assert not told, "it reached the loop: a real link would have been closed by it"

    run(floor, story)


def test_a_step_that_fails_does_not_keep_the_engine_from_draining(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pacing that raises at every step: the drain still comes to its end."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        def fails() -> None:
            raise RuntimeError("a mistake")

        monkeypatch.setattr(floor.engine.dialing, "step", fails)
        await floor.pass_s(1)

    run(floor, story)


@pytest.mark.parametrize(("module", "name"), [(hopper, "reclaim"), (recycle, "settle")])
def test_an_attempt_ends_although_what_follows_cannot_be_stored(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """A failover or a recycling that fails leaves no attempt alive for ever (I2)."""
    trunks = {
        "first": {"host": "127.0.0.3", "lines": 5, "calls_per_second": 5},
        "second": {"host": "127.0.0.2", "lines": 5, "calls_per_second": 5},
    }
    floor = make_floor(leads=["01"], agents=1, trunks=trunks)
    floor.carrier.trunk_codes = {"127.0.0.3": 503}

    async def story() -> None:
        def fails(*_args: Any, **_named: Any) -> None:
            raise StoreError("a row is missing")

        monkeypatch.setattr(module, name, fails)
        await floor.until(lambda: floor.engine.dialing.campaigns[DEMO].outcomes[Outcome.CONGESTION] == 1)
        assert all(trunk.lines_used == 0 for trunk in floor.engine.trunks.all())

    async def whole() -> None:
        await floor.start()
        await story()
        await floor.stop()

    floor.loop.run_until_complete(whole())
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.live) == (Outcome.CONGESTION, False)
    assert event_names(floor).count("attempt.ended") == 1


# --- the database ------------------------------------------------------------------------------------------------------


def test_claims_that_waited_for_the_database_leave_no_faster_than_the_trunk_takes_them(
    make_floor: MakeFloor,
) -> None:
    """While the writer is held up no more is claimed than may leave in a second, and the INVITEs keep the trunk's calls per second (I7)."""
    trunks = {"carrier": {"host": "127.0.0.1", "lines": 20, "calls_per_second": 2}}
    floor = make_floor(leads=20, agents=12, trunks=trunks)

    async def story() -> None:
        await floor.until(
            lambda: all(agent.state is AgentState.READY for agent in floor.engine.roster.all()), 5
        )

    async def whole() -> None:
        await floor.start(login=False)
        floor.engine.dialing.pause(DEMO, "")
        for name in floor.settings.agents:
            floor.engine.login(name)
        await story()
        stall = Stall(floor, noticed=False)
        floor.engine.dialing.start(DEMO)
        await floor.pass_s(6)
        waited = sum(run.claiming for run in floor.engine.dialing.campaigns.values())
        assert waited == 2
        stall.over()
        await floor.until(lambda: customers(floor) >= waited, 30)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    sent = sorted(attempt.sent_mono_ns for attempt in attempts(floor) if attempt.sent_mono_ns)
    assert all(later - first >= 1_000_000_000 for first, later in zip(sent, sent[2:], strict=False))


def test_a_claim_that_comes_back_after_the_leases_lapsed_is_not_dialed(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was being claimed when the database went away for longer than leases last sends no INVITE: others may have taken this node's place."""
    floor = make_floor(leads=4, agents=3)

    async def whole() -> None:
        await floor.start(login=False)
        floor.engine.dialing.pause(DEMO, "")
        for name in floor.settings.agents:
            floor.engine.login(name)
        await floor.until(
            lambda: all(agent.state is AgentState.READY for agent in floor.engine.roster.all()), 5
        )
        stall = Stall(floor, noticed=False)
        floor.engine.dialing.start(DEMO)
        await floor.pass_s(3)
        assert sum(run.claiming for run in floor.engine.dialing.campaigns.values()) > 0
        monkeypatch.setattr(floor.engine.nodes, "held", lambda: "the leases have lapsed")
        stall.over()
        await floor.until(
            lambda: len(attempts(floor)) > 0 and not any(one.live for one in attempts(floor)), 10
        )
        assert customers(floor) == 0
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    assert {one.outcome for one in attempts(floor)} == {Outcome.CANCELLED}


def test_the_gate_is_asked_about_the_time_of_the_commit(make_floor: MakeFloor) -> None:
    """A claim that waited an hour for the database is judged by the hour in which it is dialed, not by the one it was asked in."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        stall = Stall(floor, noticed=False)
        await floor.until(lambda: any(run.claiming for run in floor.engine.dialing.campaigns.values()))
        await floor.pass_s(3600)
        stall.over()
        await floor.until(lambda: bool(floor.engine.machine.attempts))

    run(floor, story)
    first = attempts(floor)[0]
    assert (floor.clock.utc() - first.committed_at_utc).total_seconds() < 600


def test_nothing_new_is_asked_of_a_database_that_is_away(make_floor: MakeFloor) -> None:
    """While commits fail, no lead is claimed; when they succeed again, dialing goes on by itself."""
    floor = make_floor(leads=["01", "02"], agents=2)

    async def story() -> None:
        agents = list(floor.engine.roster.all())
        floor.engine.dialing.pause(DEMO, "")
        await floor.until(lambda: all(agent.state is AgentState.READY for agent in agents))
        floor.engine.dialing.start(DEMO)
        stall = Stall(floor, noticed=True)
        await floor.pass_s(60)
        assert not any(run.claiming for run in floor.engine.dialing.campaigns.values())
        stall.over()
        await floor.until(lambda: customers(floor) == 2, 10)

    run(floor, story)


def test_a_second_order_to_stop_does_not_wait_for_a_database_that_is_away(make_floor: MakeFloor) -> None:
    """Claims that the database has not taken hold up a drain, but not for ever: the second SIGTERM ends it."""
    floor = make_floor(leads=["01"], agents=1)

    async def whole() -> None:
        await floor.start()
        stall = Stall(floor, noticed=False)
        await floor.until(lambda: any(run.claiming for run in floor.engine.dialing.campaigns.values()))
        floor.engine.drain()
        await floor.pass_s(1)
        assert not floor.engine.stopped.is_set()
        floor.engine.drain()
        await asyncio.wait_for(floor.engine.stopped.wait(), 5)
        stall.over()

    floor.loop.run_until_complete(whole())


# --- pools -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("demo_abandoned", "placed"), [(0, 6), (1000, 2)])
def test_a_ledger_without_room_vetoes_its_campaigns_share(
    make_floor: MakeFloor, demo_abandoned: int, placed: int
) -> None:
    """Two campaigns share agents: the one over its ceiling gets no share of overdialing; where both are over, nobody overdials."""
    floor = make_floor(
        leads=12,
        agents=2,
        campaign={"pacing": "ratio", "ratio": 3.0, "weight": 5.0, "abandonment_ceiling": 0.19},
    )
    settings = floor.settings.campaigns[DEMO]
    strict = CampaignId("strict")
    floor.settings.campaigns[strict] = CampaignSettings(
        **settings.model_dump() | {"weight": 1.0, "abandonment_ceiling": 0.03}
    )
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        runs = floor.engine.dialing.campaigns
        runs[DEMO].ledger_live, runs[DEMO].ledger_abandoned = 5000, demo_abandoned
        runs[strict].ledger_live, runs[strict].ledger_abandoned = 100, 10
        await floor.pass_s(10)
        assert len(floor.engine.machine.attempts) == placed
        assert bool(runs[strict].reason) == (not demo_abandoned)

    run(floor, story)


def test_what_pacing_has_not_yet_learned_stays_bounded(make_floor: MakeFloor) -> None:
    """A pool whose campaigns rest for months while others work does not gather what nobody will read."""
    floor = make_floor(leads=[], agents=1)

    async def story() -> None:
        floor.engine.dialing.pause(DEMO, "")
        for _ in range(20):
            floor.engine.roster.finished_work.extend([(frozenset({DEMO}), 3, 1.0)] * 1000)
            await floor.pass_s(0.2)
        assert all(len(pool.events) <= 5000 for pool in floor.engine.dialing.pools)

    run(floor, story)


def test_ready_in_the_wrap_up_takes_back_the_pause_asked_for_before(make_floor: MakeFloor) -> None:
    """The agent's last word counts: pause during the talk, ready during the wrap-up, is ready."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        floor.engine.roster.pause(A0, "lunch")
        await floor.until(lambda: agent.state is AgentState.WRAP_UP)
        floor.engine.roster.ready(A0)
        assert agent.state is AgentState.READY

    run(floor, story)
