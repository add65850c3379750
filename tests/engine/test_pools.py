"""Agent pools on virtual time: the predictive mode through the real call loop, what it learned kept over a restart, its words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from dialer_core.agents.state import AgentCue
from dialer_core.errors import CommandRefusedError
from dialer_core.events import PacingDecided
from dialer_core.pacing_words import BOUND_BY, decision_words
from dialer_core.store import events as event_rows
from dialer_core.store import pacing_state
from dialer_core.vocabulary import INBOUND_CALL, AgentId, AttemptId, CampaignId, LegKind
from pacing import Binding, EventKind, Snapshot
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0 = AgentId("a0")


def test_a_predictive_shift_teaches_its_pacer_and_keeps_to_the_invariants(make_floor: MakeFloor) -> None:
    """The predictive mode dials ahead of agents who finish, tells alpha, abandons within its ceiling, and what it learned is stored."""
    floor = make_floor(leads=300, agents=4, campaign={"pacing": "predictive", "wrap_up_s": 5.0})
    floor.carrier.default = Behaviour(final_s=6.0, talk_s=40.0)

    async def shift() -> None:
        await floor.start()
        await floor.pass_s(900)
        await floor.stop()

    floor.loop.run_until_complete(shift())
    verified(floor)
    told = decisions(floor)
    with floor.database.read() as tx:
        learned = pacing_state.best(tx, "demo", "", floor.clock.utc())
    assert any(decision.place for decision in told if decision.idle == 0), "it never dialed ahead of an agent"
    assert all(decision.alpha is not None for decision in told)
    assert learned is not None
    assert learned["learned"]["talk"]


@pytest.mark.parametrize("binding", list(Binding))
def test_every_binding_has_its_words(binding: Binding) -> None:
    """Whatever bound a decision is said in words, with who is there, what the ceiling leaves, and what was placed."""
    told = PacingDecided(
        at_mono_ns=0, pool="demo", place=9, release=1, idle=12, talking=40, wrapping=3, ringing=31, listening=2, waiting=0,
        ledger_live=412, ledger_abandoned=7, ceiling=0.03, alpha=0.031, p_marginal=0.034, expected_live_hz=0.7, binding=binding,
    )  # fmt: skip
    words = decision_words(told)
    assert words.startswith(
        "12 idle, 40 talking, 3 in wrap-up, 31 ringing, 2 listening, 0 waiting; 4.2 will be live in 6 s"
    )
    assert "ceiling 3 % leaves 5.4 of 412; placing 9, releasing 1; bound by" in words
    assert BOUND_BY[binding] in words


def pool_now(floor: Floor) -> Snapshot:
    """What the pool's pacer would see now."""
    (pool,) = floor.engine.dialing.pools
    running = list(floor.engine.dialing.campaigns.values())
    return pool._snapshot(running[0], running, 10, floor.clock.mono_ns(), brake=False)


def test_an_agent_with_a_caller_comes_back_until_they_ask_to_pause(make_floor: MakeFloor) -> None:
    """Who talks to somebody who called in is busy and comes back, with their age; "pause after this call" counts at once, and so does its recall."""
    floor = make_floor(leads=1, agents=2, campaign={"start": False})

    async def story() -> None:
        await floor.start()
        roster = floor.engine.roster
        await floor.until(lambda: all(agent.offered for agent in roster.all()))
        for cue in (AgentCue.RESERVE, AgentCue.BRIDGED):  # as `calls.inbound` does: no attempt of ours
            roster.apply(roster[A0], cue, attempt=AttemptId(INBOUND_CALL), campaign=CampaignId("demo"))
        await floor.pass_s(7.0)
        seen = pool_now(floor)
        assert (seen.idle, seen.agents) == (1, 2)
        assert seen.talk_elapsed_s == pytest.approx([7.0], abs=0.1)
        roster.pause(A0, "lunch")
        assert (pool_now(floor).idle, pool_now(floor).agents) == (1, 1)
        roster.ready(A0)
        assert pool_now(floor).agents == 2
        roster.pause(AgentId("a1"), "lunch")
        assert (pool_now(floor).idle, pool_now(floor).agents) == (0, 1)
        roster.apply(roster[A0], AgentCue.CALL_ENDED)
        assert len(pool_now(floor).wrapup_elapsed_s) == 1
        await floor.stop()

    floor.loop.run_until_complete(story())


def test_an_agent_seen_finishing_is_told_apart(make_floor: MakeFloor) -> None:
    """From the sign on the pacer sees them finishing, through the wrap-up too, and learns how long after it they were free; then it is over."""
    floor = make_floor(leads=1, agents=2, campaign={"start": False, "wrap_up_s": 20.0})

    async def story() -> None:
        await floor.start()
        roster = floor.engine.roster
        await floor.until(lambda: all(agent.offered for agent in roster.all()))
        with pytest.raises(CommandRefusedError, match="only who talks"):
            roster.finishing(A0)
        for cue in (AgentCue.RESERVE, AgentCue.BRIDGED):
            roster.apply(roster[A0], cue, attempt=AttemptId(INBOUND_CALL), campaign=CampaignId("demo"))
        await floor.pass_s(40.0)
        roster.finishing(A0)
        await floor.pass_s(6.0)
        roster.finishing(A0)  # said again: the first time counts
        seen = pool_now(floor)
        assert seen.finishing_elapsed_s == pytest.approx([6.0], abs=0.1)
        assert (len(seen.talk_elapsed_s), seen.agents) == (0, 2)
        roster.apply(roster[A0], AgentCue.CALL_ENDED)
        assert (len(pool_now(floor).wrapup_elapsed_s), len(pool_now(floor).finishing_elapsed_s)) == (0, 1)
        await floor.pass_s(4.0)
        roster.wrap_up_over(roster[A0])
        assert (pool_now(floor).idle, len(pool_now(floor).finishing_elapsed_s)) == (2, 0)
        (pool,) = floor.engine.dialing.pools
        floor.engine.dialing.step()
        told = [(kind, round(seconds)) for kind, seconds in pool.events]
        assert told == [(EventKind.TALK_LEFT, 40), (EventKind.FINISHED, 10)]
        await floor.stop()

    floor.loop.run_until_complete(story())


def test_a_restart_resumes_what_was_learned_and_begins_with_one_call_an_agent(make_floor: MakeFloor) -> None:
    """The second engine's pacer starts from the stored state; whatever was learned, all agents idle at once get one call each at first."""
    floor = make_floor(leads=400, agents=5, campaign={"pacing": "predictive", "wrap_up_s": 5.0})
    floor.carrier.default = Behaviour(final_s=6.0, talk_s=40.0)
    for suffix in range(100):  # one in five answers: an eager start would be many calls an agent
        if suffix % 5:
            floor.carrier.by_suffix[f"{suffix:02}"] = Behaviour(final_s=None)

    async def story() -> tuple[int, Mapping[str, object], Mapping[str, object]]:
        await floor.start()
        await floor.pass_s(300)
        (before,) = floor.engine.dialing.pools
        await floor.stop()
        assert before._pacer is not None
        learned = before._pacer.export_state()
        placed = customers(floor)
        await floor.start()
        await floor.until(lambda: customers(floor) > placed)
        first = customers(floor) - placed
        await floor.pass_s(0.5)
        (after,) = floor.engine.dialing.pools
        assert after._pacer is not None
        resumed = after._pacer.export_state()
        at_once = max(first, customers(floor) - placed)
        await floor.pass_s(60.0)
        assert any(told.reason.startswith("restarted") for told in decisions(floor))
        await floor.stop()
        return at_once, learned, resumed

    at_once, learned, resumed = floor.loop.run_until_complete(story())
    assert 1 <= at_once <= 5
    assert resumed["learned"] == learned["learned"]
    verified(floor)


def customers(floor: Floor) -> int:
    """Calls placed to customers so far."""
    return sum(place.kind is LegKind.CUSTOMER for place in floor.carrier.placed)


def decisions(floor: Floor) -> list[PacingDecided]:
    """What the pacer said, in order."""
    with floor.database.read() as tx:
        events = event_rows.tail(tx, {}, ("pacing.decided",), 10_000)
    return [msgspec.convert(event.data, PacingDecided) for event in events]
