"""A call's life through the real call loop, on virtual time."""

from __future__ import annotations

import pytest

from dialer_core.ipc.messages import LegEnded, LegRtpBack, LegRtpLost
from dialer_core.vocabulary import AgentId, AgentState, EndedBy, Outcome, Verdict
from tests.engine import fakes
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")


def run(floor: Floor, story) -> None:  # noqa: ANN001 - a coroutine function
    """Start the floor, run a story, drain, and check the invariants."""

    async def whole() -> None:
        await floor.start()
        await story()
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


def test_a_person_is_bridged_talks_and_the_agent_wraps_up(make_floor: MakeFloor) -> None:
    """Lead, gate, attempt, INVITE, answer, verdict, bridge, talk, outcome, wrap-up, ready: in this order, once."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        await floor.until(lambda: agent.state is AgentState.WRAP_UP)
        await floor.until(lambda: agent.state is AgentState.READY)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED
    assert attempt.agent_id == "a0"
    names = [name for name in event_names(floor) if name.startswith("attempt.")]
    assert names == [
        "attempt.committed", "attempt.sent", "attempt.ringing", "attempt.answered", "attempt.verdict_given",
        "attempt.bridged", "attempt.ended",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict.MACHINE, Outcome.MACHINE),
        (Verdict.FAX, Outcome.FAX),
        (Verdict.SIT, Outcome.SIT),
        (Verdict.ANNOUNCEMENT, Outcome.ANNOUNCEMENT),
    ],
)
def test_what_is_no_person_is_hung_up_on_and_no_agent_is_troubled(
    make_floor: MakeFloor, verdict: Verdict, outcome: Outcome
) -> None:
    """Only people reach agents."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict=verdict)

    async def story() -> None:
        await floor.until(lambda: floor.engine.dialing.campaigns["demo"].outcomes[outcome] == 1)
        assert floor.engine.roster[A0].state is AgentState.READY

    run(floor, story)


@pytest.mark.parametrize("verdict", [Verdict.SILENCE, Verdict.UNKNOWN])
def test_the_undecided_is_connected_as_a_person(make_floor: MakeFloor, verdict: Verdict) -> None:
    """Never hang up on silence alone."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict=verdict)

    async def story() -> None:
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING)

    run(floor, story)


def test_in_monitor_every_answer_is_connected_and_the_verdict_noted(make_floor: MakeFloor) -> None:
    """A campaign without evidence of its own listens and does not act."""
    floor = make_floor(leads=["01"], agents=1, campaign={"detection": "monitor"})
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE)

    async def story() -> None:
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.WRAP_UP)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.verdict) == (Outcome.CONNECTED, Verdict.MACHINE)


def test_a_live_answer_without_an_agent_hears_the_message_and_is_counted(make_floor: MakeFloor) -> None:
    """Two people, one agent: the second is abandoned within the limit, told so, and locked."""
    floor = make_floor(leads=["01", "02"], agents=1, campaign={"pacing": "ratio", "ratio": 2.0})

    async def story() -> None:
        campaign = floor.engine.dialing.campaigns["demo"]
        await floor.until(lambda: campaign.outcomes[Outcome.ABANDONED] == 1)
        await floor.until(lambda: campaign.outcomes[Outcome.CONNECTED] == 1)
        assert (campaign.live_answers, campaign.abandoned) == (2, 1)

    run(floor, story)
    lost = next(a for a in attempts(floor) if a.outcome == Outcome.ABANDONED)
    assert 0 <= (lost.abandoned_mono_ns - lost.greeting_end_mono_ns) / 1e9 <= 2.1


def test_a_long_message_is_heard_to_its_end(make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts may take two minutes, and nobody who was abandoned is cut off in the message."""
    monkeypatch.setattr(fakes, "MESSAGE_S", 119.5)
    floor = make_floor(leads=["01", "02"], agents=1, campaign={"pacing": "ratio", "ratio": 2.0})

    async def story() -> None:
        campaign = floor.engine.dialing.campaigns["demo"]
        await floor.until(lambda: campaign.outcomes[Outcome.ABANDONED] == 1)

    run(floor, story)
    lost = next(a for a in attempts(floor) if a.outcome == Outcome.ABANDONED)
    assert (lost.ended_mono_ns - lost.abandoned_mono_ns) / 1e9 == pytest.approx(119.5, abs=0.5)


def test_a_waiting_person_gets_the_agent_who_comes_free_in_time(make_floor: MakeFloor) -> None:
    """Within the limit, an agent out of wrap-up takes the one who waits."""
    floor = make_floor(
        leads=["01", "02"], agents=1, campaign={"pacing": "ratio", "ratio": 2.0, "wrap_up_s": 0.5}
    )
    floor.carrier.by_suffix["01"] = Behaviour(talk_s=1.0)
    floor.carrier.by_suffix["02"] = Behaviour(final_s=2.0)

    async def story() -> None:
        campaign = floor.engine.dialing.campaigns["demo"]
        await floor.until(lambda: campaign.outcomes[Outcome.CONNECTED] == 2)
        assert campaign.abandoned == 0

    run(floor, story)


def test_the_caller_of_a_lost_agent_goes_to_the_next(make_floor: MakeFloor) -> None:
    """A softphone dies in mid-talk: the person is with another agent at once, and the lost one is offered nobody."""
    floor = make_floor(leads=["01"], agents=2)

    async def story() -> None:
        a0, a1 = floor.engine.roster[A0], floor.engine.roster[A1]
        await floor.until(lambda: AgentState.TALKING in (a0.state, a1.state))
        first, other = (a0, a1) if a0.state is AgentState.TALKING else (a1, a0)
        floor.carrier.end(first.leg_id, 200, EndedBy.FAR)
        assert first.state is AgentState.PAUSED
        assert first.reason == "leg_lost"
        await floor.until(lambda: other.state is AgentState.TALKING, 1.0)
        assert not first.offered
        await floor.until(lambda: first.state is AgentState.READY)

    run(floor, story)
    assert "attempt.unbridged" in event_names(floor)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED


def test_a_machine_after_all_is_released_before_the_agent_talks(make_floor: MakeFloor) -> None:
    """A provisional person waits for an agent; revised to a machine, it is no abandoned call."""
    floor = make_floor(leads=["01", "02"], agents=1, campaign={"pacing": "ratio", "ratio": 2.0})
    floor.carrier.by_suffix["02"] = Behaviour(final_s=1.5, revised=Verdict.MACHINE, revised_s=0.8)

    async def story() -> None:
        campaign = floor.engine.dialing.campaigns["demo"]
        await floor.until(lambda: campaign.outcomes[Outcome.MACHINE] == 1)
        assert (campaign.live_answers, campaign.abandoned) == (1, 0)

    run(floor, story)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (Behaviour(code=486), Outcome.BUSY),
        (Behaviour(code=404), Outcome.INVALID_NUMBER),
        (Behaviour(code=603), Outcome.DECLINED),
        (Behaviour(code=480, progress_s=None), Outcome.UNAVAILABLE),
        (Behaviour(code=503, progress_s=None), Outcome.CONGESTION),
        (Behaviour(final_s=None), Outcome.NO_ANSWER),
        (Behaviour(final_s=None, progress_s=None), Outcome.TRUNK_FAILED),
        (Behaviour(code=488), Outcome.MEDIA_FAILED),
        (Behaviour(patience_s=0.2), Outcome.CALLER_HUNG_UP),
        (Behaviour(early=True, code=404), Outcome.INVALID_NUMBER),
    ],
)
def test_an_unanswered_attempt_ends_with_its_outcome(
    make_floor: MakeFloor, behaviour: Behaviour, outcome: Outcome
) -> None:
    """Every way to fail has its name in the store."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = behaviour

    async def story() -> None:
        await floor.until(lambda: sum(floor.engine.dialing.campaigns["demo"].outcomes.values()) == 1)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == outcome


def test_their_bye_and_the_verdict_meet_in_both_orders(make_floor: MakeFloor) -> None:
    """A hang-up before or after the verdict arrives ends the attempt once and frees everybody."""
    floor = make_floor(leads=["01", "02"], agents=2)
    floor.carrier.by_suffix["01"] = Behaviour(patience_s=1.0, verdict_s=1.0)
    floor.carrier.by_suffix["02"] = Behaviour(patience_s=1.0, verdict_s=1.001)

    async def story() -> None:
        await floor.until(lambda: sum(floor.engine.dialing.campaigns["demo"].outcomes.values()) == 2)
        assert {agent.state for agent in floor.engine.roster.all()} <= {AgentState.READY, AgentState.WRAP_UP}

    run(floor, story)


def test_a_bridge_that_meets_their_bye_leaves_the_agent_ready(make_floor: MakeFloor) -> None:
    """The person hangs up while the bridge is being made: the agent is ready for the next one, without wrap-up."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        from dialer_core.ipc.messages import LegsBridged

        await floor.until(lambda: bool(floor.engine.machine.attempts))
        floor.carrier.hold_back = {LegsBridged}
        await floor.until(lambda: agent.state is AgentState.RESERVED)
        (attempt,) = floor.engine.machine.attempts.values()
        floor.carrier.end(attempt.leg_id, 200, EndedBy.FAR)
        assert agent.state is AgentState.READY
        floor.carrier.let_go()
        assert agent.state is AgentState.READY
        assert agent.conversations == 0

    run(floor, story)


def test_the_worker_that_is_full_is_passed_over_within_the_same_attempt(make_floor: MakeFloor) -> None:
    """No INVITE left, so no new attempt: another worker takes it."""
    floor = make_floor(leads=["01"], agents=1, workers=2)
    floor.carrier.full_workers = {floor.worker_names[0]}

    async def story() -> None:
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING)

    run(floor, story)
    assert len(attempts(floor)) == 1


def test_a_dead_worker_interrupts_its_attempts_and_frees_their_agents(make_floor: MakeFloor) -> None:
    """Calls in a worker that died end as interrupted; the agent, whose leg lives elsewhere, is free again."""
    floor = make_floor(leads=["01"], agents=1, workers=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        floor.kill_worker(floor.worker_names[0])
        await floor.until(lambda: agent.state is AgentState.READY)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.INTERRUPTED  # the talk was cut, not ended
    assert "worker.lost" in event_names(floor)


def test_a_dead_worker_interrupts_what_was_ringing(make_floor: MakeFloor) -> None:
    """Not answered yet: interrupted, and counted for caps."""
    floor = make_floor(leads=["01"], agents=1, workers=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.until(lambda: bool(floor.carrier.placed) and len(floor.engine.machine.attempts) == 1)
        await floor.pass_s(1)
        floor.kill_worker(floor.worker_names[0])

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.INTERRUPTED


def test_a_worker_that_never_answers_is_overdue_and_nothing_hangs(make_floor: MakeFloor) -> None:
    """Whatever waits has a deadline (I6): even a silent worker's attempt ends."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.hold_back = {LegEnded}
    floor.carrier.default = Behaviour(code=486)

    async def story() -> None:
        await floor.until(lambda: sum(floor.engine.dialing.campaigns["demo"].outcomes.values()) == 1, 300)
        floor.carrier.let_go()

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.INTERNAL


def test_the_brake_of_a_pause_stops_new_attempts_and_keeps_talks(make_floor: MakeFloor) -> None:
    """A paused campaign places nothing; whoever talks goes on talking; started again, it goes on."""
    floor = make_floor(leads=["01", "02"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        floor.engine.dialing.pause("demo", "lunch")
        await floor.until(lambda: agent.state is AgentState.READY)
        await floor.pass_s(20)
        assert len([p for p in floor.carrier.placed if p.kind == "customer"]) == 1
        floor.engine.dialing.start("demo")
        await floor.until(lambda: agent.state is AgentState.TALKING)

    run(floor, story)


def test_stopping_cancels_what_rings(make_floor: MakeFloor) -> None:
    """A stopped campaign's ringing attempts end as cancelled."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.until(lambda: bool(floor.engine.machine.attempts))
        await floor.pass_s(1)
        floor.engine.dialing.stop("demo", "")
        await floor.until(lambda: not floor.engine.machine.attempts)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CANCELLED


def test_a_pause_during_a_talk_comes_after_the_wrap_up(make_floor: MakeFloor) -> None:
    """Pause after this call: the agent is not counted on, and not offered the next person."""
    floor = make_floor(leads=["01", "02"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        floor.engine.roster.pause(A0, "lunch")
        assert agent.state is AgentState.TALKING
        await floor.until(lambda: agent.state is AgentState.PAUSED)
        assert agent.reason == "lunch"
        await floor.pass_s(20)
        assert len(attempts(floor)) == 1

    run(floor, story)


def test_a_drain_lets_the_talk_end_and_logs_everybody_out(make_floor: MakeFloor) -> None:
    """SIGTERM: nothing new, the conversation ends by itself, then the engine stops."""
    floor = make_floor(leads=["01", "02"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        floor.engine.drain()
        await floor.until(floor.engine.stopped.is_set)
        assert agent.state is AgentState.LOGGED_OUT

    async def whole() -> None:
        await floor.start()
        await story()

    floor.loop.run_until_complete(whole())
    verified(floor)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED


def test_a_restarted_engine_ends_what_it_finds_as_interrupted(make_floor: MakeFloor) -> None:
    """Nothing is lost: the attempt a dead engine left alive gets its outcome, its lead can be dialed again."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def crash_and_restart() -> None:
        await floor.start()
        await floor.until(lambda: bool(floor.engine.machine.attempts))
        await floor.pass_s(1)
        floor.kill_engine()  # and every other process; its store stays
        for name in floor.worker_names:
            floor.kill_worker(name)
        floor.lose_media()
        await floor.start(login=False)
        await floor.stop()

    floor.loop.run_until_complete(crash_and_restart())
    verified(floor)
    assert attempts(floor)[0].outcome == Outcome.INTERRUPTED
    assert "engine.restarted" in event_names(floor)


def test_one_way_sound_is_told_as_events(make_floor: MakeFloor) -> None:
    """Nothing is heard of a bridged customer, then they are heard again: an event each, and the talk goes on."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        (attempt,) = floor.engine.machine.attempts.values()
        now_ns = floor.carrier.now_ns()
        floor.carrier.tell_media(LegRtpLost(at_ns=now_ns, leg_id=attempt.leg_id, silent_s=2.0))
        floor.carrier.tell_media(LegRtpBack(at_ns=now_ns, leg_id=attempt.leg_id))
        await floor.until(lambda: agent.state is not AgentState.TALKING)

    run(floor, story)
    assert event_names(floor).count("leg.rtp_lost") == 1
    assert event_names(floor).count("leg.rtp_back") == 1
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED
