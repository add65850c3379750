"""An engine dies and another one goes on: at every point of a call, with others dying too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from dialer_core.calls.attempt import Attempt
from dialer_core.ipc.messages import LegEnded, LegVerdict, MediaState
from dialer_core.store.models import EventRow
from dialer_core.vocabulary import AgentId, AgentState, AttemptState, EndedBy, LegKind, Outcome, Verdict
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
DOWN_S = 1.5
"""How long there is no engine."""
S = AttemptState


def run(floor: Floor, story: Callable[[], Awaitable[None]]) -> None:
    """Start the floor, run a story, drain, and check the invariants."""

    async def whole() -> None:
        await floor.start()
        await story()
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)
    assert not floor.carrier.orphans, "a call whose worker died was left up"


async def replace_engine(floor: Floor, down_s: float = DOWN_S) -> None:
    """Kill the engine and start another."""
    floor.kill_engine()
    await floor.pass_s(down_s)
    await floor.start_again()


def the_attempt(floor: Floor) -> Attempt:
    """Return the one live attempt."""
    (attempt,) = floor.engine.machine.attempts.values()
    return attempt


async def until_state(floor: Floor, state: AttemptState) -> Attempt:
    """Wait until the one attempt is in a state."""
    await floor.until(
        lambda: any(attempt.state is state for attempt in floor.engine.machine.attempts.values()), 60
    )
    return the_attempt(floor)


def invites(floor: Floor) -> list[str]:
    """Return whom customers' INVITEs called."""
    return [place.to_uri for place in floor.carrier.placed if place.kind is LegKind.CUSTOMER]


def restarted(floor: Floor) -> dict[str, Any]:
    """Return what the last engine told of what it found."""
    with floor.database.read() as tx:
        rows = list(tx.scalars(select(EventRow.data).where(EventRow.name == "engine.restarted")))
    return dict(rows[-1])


@pytest.mark.parametrize("commit_s", [0.0, 0.3])
@pytest.mark.parametrize("state", [S.DIALING, S.RINGING, S.EARLY_MEDIA, S.LISTENING, S.WAITING, S.BRIDGED])
def test_a_call_goes_on_from_wherever_it_was(
    make_floor: MakeFloor, state: AttemptState, commit_s: float
) -> None:
    """Ringing, listening, waiting or talking: dialed once, it ends with its real outcome, also where the last changes were not committed."""
    floor = make_floor(leads=["01"], agents=1)
    early = state is S.EARLY_MEDIA
    floor.carrier.default = Behaviour(
        progress_s=1.0, early=early, final_s=3.0, verdict_s=0.5 if state is S.WAITING else 4.0, talk_s=20.0
    )
    floor.commit_s = commit_s

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.READY)
        if state is S.WAITING:
            await until_state(floor, S.LISTENING)
            floor.engine.roster.pause(A0, "coffee")
        await until_state(floor, state)
        await floor.pass_s(0.01)
        leg_id = agent.leg_id
        await replace_engine(floor, down_s=0.5)
        agent = floor.engine.roster[A0]
        assert (agent.leg_id, agent.leg_up) == (leg_id, True)
        if state is S.WAITING:
            assert agent.state is AgentState.PAUSED
            floor.engine.roster.ready(A0)
        await floor.until(lambda: agent.state is AgentState.TALKING, 20)
        await floor.until(lambda: agent.state is AgentState.WRAP_UP, 40)
        await floor.until(lambda: agent.state is AgentState.READY, 40)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED
    assert len(invites(floor)) == 1
    assert restarted(floor)["adopted"] == 1
    assert attempt.bridged_mono_ns is not None


def test_a_talk_that_ended_while_nobody_was_there_ended_as_a_talk(make_floor: MakeFloor) -> None:
    """The customer hangs up between two engines: connected, and the agent goes into wrap-up and is ready again."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(talk_s=5.0)

    async def story() -> None:
        await until_state(floor, S.BRIDGED)
        await floor.pass_s(4.5)
        await replace_engine(floor, down_s=1.0)
        assert not floor.engine.machine.attempts
        agent = floor.engine.roster[A0]
        assert agent.state is AgentState.WRAP_UP
        await floor.until(lambda: agent.state is AgentState.READY, 10)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED
    assert restarted(floor)["ended"] == 1


def test_whoever_heard_the_message_meanwhile_was_abandoned(make_floor: MakeFloor) -> None:
    """Under analysis when the engine died: the media plane played the message by itself, and the ledger counts it (I4, I10)."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict_s=1.0)

    async def story() -> None:
        await until_state(floor, S.LISTENING)
        await replace_engine(floor, down_s=4.0)
        campaign = floor.engine.dialing.campaigns["demo"]
        assert (campaign.ledger_live, campaign.ledger_abandoned) == (1, 1)
        await floor.until(lambda: not floor.engine.machine.attempts, 10)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.ABANDONED
    assert attempt.live_answer
    assert attempt.abandoned
    assert "attempt.abandoned" in event_names(floor)


def test_who_hung_up_before_the_message_was_not_abandoned(make_floor: MakeFloor) -> None:
    """The media plane plays on to a caller who has gone: what it played after the hang-up counts for nothing."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict_s=1.0, patience_s=2.0)

    async def story() -> None:
        await until_state(floor, S.LISTENING)
        await replace_engine(floor, down_s=5.0)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CALLER_HUNG_UP
    assert not attempt.abandoned


def test_a_machine_heard_while_nobody_was_there_is_hung_up_on(make_floor: MakeFloor) -> None:
    """The verdict came between two engines: the new one acts on it."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE, verdict_s=1.0)

    async def story() -> None:
        await until_state(floor, S.LISTENING)
        await replace_engine(floor)
        await floor.until(lambda: not floor.engine.machine.attempts, 5)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.verdict) == (Outcome.MACHINE, Verdict.MACHINE)


def test_what_the_dead_engine_had_decided_and_not_stored_is_still_what_happened(
    make_floor: MakeFloor,
) -> None:
    """A machine hung up on, of which neither verdict nor end was committed: worker and media plane remember both."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE, verdict_s=1.0)
    floor.commit_s = 0.4

    async def story() -> None:
        await until_state(floor, S.LISTENING)
        await floor.pass_s(0.6)
        await floor.until(lambda: not floor.engine.machine.attempts, 5)
        await replace_engine(floor)
        assert not floor.engine.machine.attempts

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.verdict) == (Outcome.MACHINE, Verdict.MACHINE)
    assert restarted(floor)["ended"] == 1


@pytest.mark.parametrize("asked", ["pause", "logout"])
def test_what_an_agent_asked_for_during_a_talk_outlives_the_engine(make_floor: MakeFloor, asked: str) -> None:
    """A pause or a log-out promised for the end of the conversation comes then, whoever is in charge."""
    floor = make_floor(leads=["01", "02"], agents=1)
    floor.carrier.default = Behaviour(talk_s=10.0)

    async def story() -> None:
        await until_state(floor, S.BRIDGED)
        if asked == "pause":
            floor.engine.roster.pause(A0, "lunch")
        else:
            floor.engine.roster.logout(A0)
        await replace_engine(floor)
        agent = floor.engine.roster[A0]
        assert agent.state is AgentState.TALKING
        wanted = AgentState.PAUSED if asked == "pause" else AgentState.LOGGED_OUT
        await floor.until(lambda: agent.state is wanted, 60)
        assert agent.reason == ("lunch" if asked == "pause" else "")
        assert len(invites(floor)) == 1

    run(floor, story)


def test_agents_go_on_as_they_were(make_floor: MakeFloor) -> None:
    """Ready stays ready with the same leg and log-in, paused stays paused with its reason, wrap-up runs on from its beginning."""
    floor = make_floor(leads=["01"], agents=3, campaign={"wrap_up_s": 20.0})
    floor.carrier.default = Behaviour(talk_s=2.0)

    async def story() -> None:
        engine = floor.engine
        await floor.until(lambda: any(a.state is AgentState.WRAP_UP for a in engine.roster.all()), 60)
        wrapping = next(a.id for a in engine.roster.all() if a.state is AgentState.WRAP_UP)
        ready, paused = (a.id for a in engine.roster.all() if a.state is AgentState.READY)
        engine.roster.pause(paused, "coffee")
        before = {a.id: (a.state, a.reason, a.since_ns, a.session_id, a.leg_id) for a in engine.roster.all()}
        since_ns = engine.roster[wrapping].since_ns
        calls = len(floor.carrier.placed)
        await floor.pass_s(5)
        await replace_engine(floor)
        engine = floor.engine
        assert before == {
            a.id: (a.state, a.reason, a.since_ns, a.session_id, a.leg_id) for a in engine.roster.all()
        }
        assert engine.roster[ready].offered
        assert len(floor.carrier.placed) == calls, "somebody was called anew"
        await floor.until(lambda: engine.roster[wrapping].state is AgentState.READY, 30)
        assert abs((engine.roster[wrapping].since_ns - since_ns) / 1e9 - 20) < 0.5

    run(floor, story)


def test_an_agent_whose_softphone_hung_up_meanwhile_is_called_again(make_floor: MakeFloor) -> None:
    """Their caller waits for the next agent, and hears no silence for longer than that takes."""
    floor = make_floor(leads=["01"], agents=2)

    async def story() -> None:
        attempt = await until_state(floor, S.BRIDGED)
        first = floor.engine.roster[attempt.agent_id]
        floor.kill_engine()
        floor.carrier.end(first.leg_id, 200, EndedBy.FAR)
        await floor.pass_s(DOWN_S)
        await floor.start_again()
        again = await until_state(floor, S.BRIDGED)
        assert again.agent_id != first.id
        lost = floor.engine.roster[first.id]
        assert lost.state is AgentState.PAUSED
        await floor.until(lambda: lost.state is AgentState.READY, 10)

    run(floor, story)
    assert attempts(floor)[0].outcome == Outcome.CONNECTED


@pytest.mark.parametrize("kind", ["customers", "agents"])
def test_engine_and_worker_die_together(make_floor: MakeFloor, kind: str) -> None:
    """The journal is all that is left of the legs: the new engine ends their dialogs at once, and the attempt is interrupted or goes on."""
    floor = make_floor(leads=["01"], agents=1, workers=1)

    async def story() -> None:
        attempt = await until_state(floor, S.BRIDGED)
        call_id, agent_leg = attempt.leg_id, floor.engine.roster[A0].leg_id
        name = next(name for name in floor.worker_names if name.startswith(kind))
        floor.kill_engine()
        floor.kill_worker(name)
        await floor.pass_s(DOWN_S)
        await floor.start_again()
        wanted = call_id if kind == "customers" else agent_leg
        assert floor.carrier.orphan_byes == [wanted]
        agent = floor.engine.roster[A0]
        if kind == "customers":
            assert not floor.engine.machine.attempts
            assert agent.state is AgentState.WRAP_UP
        else:
            assert the_attempt(floor).state is S.WAITING
            assert agent.state is AgentState.PAUSED
        floor.attach_worker(name)
        await floor.until(lambda: agent.state in (AgentState.READY, AgentState.TALKING), 20)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == (Outcome.INTERRUPTED if kind == "customers" else Outcome.CONNECTED)


@pytest.mark.parametrize("media_back_s", [0.0, 1.0])
def test_engine_and_media_plane_die_together(make_floor: MakeFloor, media_back_s: float) -> None:
    """The new media plane knows nothing: the legs are opened on their ports and bridged again, and the talk goes on."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        attempt = await until_state(floor, S.BRIDGED)
        agent_leg = floor.engine.roster[A0].leg_id
        ports = {leg_id: sound.port for leg_id, sound in floor.carrier.opened.items()}
        floor.kill_engine()
        floor.lose_media()
        await floor.pass_s(DOWN_S)
        floor.media_up = media_back_s == 0.0
        await floor.start_again()
        if media_back_s:
            await floor.pass_s(media_back_s)
            floor.attach_media()
        opened = floor.carrier.opened
        await floor.until(
            lambda: attempt.leg_id in opened and opened[attempt.leg_id].bridged_to == agent_leg, 2
        )
        assert {leg_id: sound.port for leg_id, sound in opened.items()} == ports
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.READY, 60)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED


@pytest.mark.parametrize("state", [S.RINGING, S.LISTENING, S.WAITING, S.BRIDGED, S.ABANDONING])
def test_a_media_plane_that_is_replaced_goes_on_where_the_old_one_was(
    make_floor: MakeFloor, state: AttemptState
) -> None:
    """Whatever a call was at, it goes on with the next media plane, and no caller is left in silence."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=3.0, verdict_s=1.0, talk_s=20.0)

    async def story() -> None:
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.READY)
        if state in (S.WAITING, S.ABANDONING):
            await until_state(floor, S.LISTENING)
            floor.engine.roster.pause(A0, "coffee")
        await until_state(floor, state)
        await floor.pass_s(0.2)
        floor.lose_media()
        await floor.pass_s(0.8)
        floor.attach_media()
        if state is S.WAITING:
            await until_state(floor, S.ABANDONING)
        if state in (S.WAITING, S.ABANDONING):
            await floor.until(lambda: not floor.engine.machine.attempts, 10)
        else:
            await floor.until(lambda: agent.state is AgentState.TALKING, 20)
            await floor.until(lambda: agent.state is AgentState.READY, 60)

    run(floor, story)
    (attempt,) = attempts(floor)
    abandoned = state in (S.WAITING, S.ABANDONING)
    assert attempt.outcome == (Outcome.ABANDONED if abandoned else Outcome.CONNECTED)
    assert "media.restored" in event_names(floor)


def test_nobody_stays_on_a_silent_line(make_floor: MakeFloor) -> None:
    """No media plane comes: after the limit calls are ended, as interrupted, and softphones are called when there is one."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        await until_state(floor, S.BRIDGED)
        floor.lose_media()
        await floor.until(lambda: not floor.engine.machine.attempts, 5)
        floor.attach_media()
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.READY, 30)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.INTERRUPTED


def test_an_engine_that_dies_while_it_takes_over_is_followed_by_one_that_does(make_floor: MakeFloor) -> None:
    """Death during recovery: nothing is lost, nothing is done twice."""
    floor = make_floor(leads=["01", "02"], agents=2)
    floor.carrier.default = Behaviour(talk_s=30.0)

    async def story() -> None:
        await floor.until(
            lambda: [a.state for a in floor.engine.roster.all()] == [AgentState.TALKING] * 2, 60
        )
        floor.commit_s = 0.5  # what the second engine does on taking over is lost
        await replace_engine(floor)
        await replace_engine(floor, down_s=0.1)
        floor.commit_s = 0.0
        await replace_engine(floor)
        assert [a.state for a in floor.engine.roster.all()] == [AgentState.TALKING] * 2
        await floor.until(lambda: not floor.engine.machine.attempts, 60)

    run(floor, story)
    assert [a.outcome for a in attempts(floor)] == [Outcome.CONNECTED] * 2


def test_events_that_cross_the_take_over_are_handled_once_it_is_done(make_floor: MakeFloor) -> None:
    """A customer hangs up after their worker said what it holds and before the media plane did: the talk ends then."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        attempt = await until_state(floor, S.BRIDGED)
        floor.kill_engine()
        await floor.pass_s(DOWN_S)
        floor.carrier.hold_back = {MediaState}
        starting = floor.loop.create_task(floor.start_again())
        await floor.until(lambda: len(floor.engine.recovery.states) == len(floor.worker_names), 1)
        floor.carrier.end(attempt.leg_id, 200, EndedBy.FAR)
        assert floor.engine.recovery.pending
        floor.carrier.let_go()
        await starting
        assert not floor.engine.machine.attempts

    run(floor, story)
    assert attempts(floor)[0].outcome == Outcome.CONNECTED


def test_a_worker_that_says_nothing_does_not_hold_up_the_others(make_floor: MakeFloor) -> None:
    """It hangs: after a moment its calls are ended from the journal, and all others go on."""
    floor = make_floor(leads=["01", "02"], agents=2)
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story() -> None:
        await floor.until(
            lambda: [a.state for a in floor.engine.roster.all()] == [AgentState.TALKING] * 2, 60
        )
        attempt = next(iter(floor.engine.machine.attempts.values()))
        hung, call_id = attempt.worker, attempt.leg_id
        assert hung is not None
        floor.carrier.mute_workers = {hung}
        await replace_engine(floor)
        assert floor.carrier.orphan_byes == [call_id]
        assert len(floor.engine.machine.attempts) == 1
        floor.carrier.mute_workers = set()
        floor.kill_worker(hung)
        floor.carrier.orphans.clear()

    run(floor, story)
    assert sorted(a.outcome for a in attempts(floor)) == [Outcome.CONNECTED, Outcome.INTERRUPTED]


def test_legs_that_nobody_knows_are_ended(make_floor: MakeFloor) -> None:
    """A leg whose attempt has ended in the journal, and whose BYE got lost with the engine, is hung up by the next one."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE)

    async def story() -> None:
        floor.carrier.hold_back = {LegVerdict}
        attempt = await until_state(floor, S.LISTENING)
        floor.carrier.hold_back = set()
        assert attempt.worker is not None
        gone = LegEnded(at_ns=floor.clock.mono_ns(), leg_id=attempt.leg_id, code=200, by=EndedBy.FAR)
        floor.engine.workers.receive(attempt.worker, gone)  # so the old engine believed
        assert attempt.leg_id in floor.carrier.calls
        await replace_engine(floor)
        await floor.until(lambda: attempt.leg_id not in floor.carrier.calls, 1)

    run(floor, story)
