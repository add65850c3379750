"""An engine dies in the middle of what agents and supervisors do on the call, and the next one goes on with it. On virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete

from dialer_core.store.models import EventRow
from dialer_core.vocabulary import AgentId, AgentState, AttemptState, EndedBy, LegId, Outcome, TalkState
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names
from tests.engine.test_desk import EXTENSIONS, Story, run
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
_FORGET = delete(EventRow.__table__).where(EventRow.name == "agent.supervision_changed")
QUEUE = {"cola": {"sip": "sip:600@127.0.0.1:5090"}}


def leg_of(floor: Floor, extension: str) -> LegId:
    """Return an extension's live leg."""
    (leg_id,) = [leg for leg, call in floor.carrier.calls.items() if call.place.owner == extension]
    return leg_id


async def replace_engine(floor: Floor, *, media: bool = False) -> None:
    """Kill the engine, and the media plane with it, and start others."""
    floor.kill_engine()
    if media:
        floor.lose_media()
    await floor.pass_s(0.5)
    floor.media_up = True
    await floor.start_again()
    await floor.pass_s(0.2)


@pytest.mark.parametrize("joined", [True, False], ids=["three-way", "consulting"])
def test_a_third_stays_with_agent_and_customer(make_floor: MakeFloor, joined: bool) -> None:  # noqa: FBT001
    """Nobody is hung up on, each hears whom they heard, and the agent's next commands mean what they would have meant."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=12.0)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.third_up("a0")
        if joined:
            s.do("agents.join", agent="a0")
        third, customer, agent = leg_of(floor, "legal"), s.customer.leg_id, s.agent().leg_id
        before = {leg: s.heard_by(leg) for leg in (third, customer, agent)}
        music, placed = set(floor.carrier.hearing.music), len(floor.carrier.placed)
        await replace_engine(floor)
        assert {leg: s.heard_by(leg) for leg in (third, customer, agent)} == before
        assert (floor.carrier.hearing.music, len(floor.carrier.placed)) == (music, placed)
        talk = s.engine.desk.talks[A0]
        assert (talk.state, talk.third.name) == (
            TalkState.THREE_WAY if joined else TalkState.CONSULTING,
            "legal",
        )
        if not joined:
            s.do("agents.join", agent="a0")
            assert s.heard_by(customer) == {agent, third}
        s.do("agents.transfer", agent="a0")
        await floor.pass_s(1)
        assert s.customer.state is AttemptState.TRANSFERRED
        assert s.heard_by(customer) == {third}
        await s.idle()

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.agent_id) == (Outcome.CONNECTED, "a0")


def test_a_third_who_hangs_up_later_or_meanwhile_is_missed(make_floor: MakeFloor) -> None:
    """After the engine's death as before it: the customer stays with the agent, and is on hold where the third was asked alone."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=12.0)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.third_up("a0")
        await replace_engine(floor)
        floor.carrier.end(leg_of(floor, "legal"), 200, EndedBy.FAR)
        await floor.pass_s(0.5)
        assert (s.engine.desk.talks[A0].state, s.engine.desk.talks[A0].third) == (TalkState.HELD, None)
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.third_up("a0")
        third = leg_of(floor, "legal")
        floor.kill_engine()
        floor.carrier.end(third, 200, EndedBy.FAR)
        await replace_engine(floor)
        assert (s.engine.desk.talks[A0].state, s.engine.desk.talks[A0].third) == (TalkState.HELD, None)
        s.do("agents.resume", agent="a0")
        await s.idle()

    run(floor, story)


@pytest.mark.parametrize("answers", ["before", "meanwhile", "after"])
def test_a_customer_who_was_handed_on_stays_handed_on(make_floor: MakeFloor, answers: str) -> None:
    """Talking to the extension, or with music while it rings, also where it answers while there is no engine: one call, and its end is a talk's."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=12.0)
    final_s = {"before": 1.0, "meanwhile": 2.3, "after": 4.0}[answers]
    floor.carrier.by_extension["legal"] = Behaviour(final_s=final_s)

    async def story(s: Story) -> None:
        await s.talking()
        customer, state = s.customer.leg_id, AttemptState.TRANSFERRED
        s.do("agents.transfer", agent="a0", to_extension="legal")
        await floor.pass_s(2.0)
        third = leg_of(floor, "legal")
        await replace_engine(floor)
        if answers == "after":
            assert s.customer.state is AttemptState.TRANSFERRING
            assert floor.carrier.hearing.music == {customer}
            await floor.until(lambda: s.customer.state is AttemptState.TRANSFERRED, 10)
        await floor.pass_s(0.2)
        assert (s.customer.state, s.heard_by(customer), s.heard_by(third)) == (state, {third}, {customer})
        await s.idle()
        await floor.pass_s(0.1)
        assert third not in floor.carrier.calls

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.agent_id) == (Outcome.CONNECTED, "a0")
    assert "attempt.transfer_failed" not in event_names(floor)
    assert event_names(floor).count("attempt.transferred") == 1


def test_a_call_whose_extension_hung_up_meanwhile_is_over(make_floor: MakeFloor) -> None:
    """They had talked and been hung up on: no agent is given to them again."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=12.0)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.transfer", agent="a0", to_extension="legal")
        await floor.until(lambda: s.customer.state is AttemptState.TRANSFERRED)
        await floor.pass_s(0.5)
        floor.kill_engine()
        floor.carrier.end(leg_of(floor, "legal"), 200, EndedBy.FAR)
        await replace_engine(floor)
        await floor.until(lambda: not s.engine.machine.attempts, 5)

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED


@pytest.mark.parametrize("mode", ["listen", "whisper", "barge", "taken over"])
def test_a_supervisor_stays_with_their_agent(make_floor: MakeFloor, mode: str) -> None:
    """Their phone is not called anew, they hear whom they heard, the log does not say that they left, and they can switch and stop."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=12.0)

    async def story(s: Story) -> None:
        await s.talking()
        over = mode == "taken over"
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="listen" if over else mode)
        await floor.until(lambda: s.engine.desk.supervision.watches["marta"].up)
        if over:
            s.do("supervisors.take_over", supervisor="marta")
            await floor.pass_s(0.5)
        legs = (leg_of(floor, "marta"), s.customer.leg_id, s.agent().leg_id)
        before = [s.heard_by(leg) for leg in legs]
        placed = len(floor.carrier.placed)
        await replace_engine(floor)
        assert [s.heard_by(leg) for leg in legs] == before
        assert len(floor.carrier.placed) == placed
        if over:
            assert s.customer.state is AttemptState.TRANSFERRED
            assert s.engine.desk.supervision.watches["marta"].took_over
            s.do("calls.hangup", attempt=s.customer.id)
            await s.idle()
            assert leg_of(floor, "marta") == legs[0], "their phone stays up"
        else:
            s.do("agents.supervise", agent="a0", supervisor="marta", mode="barge")
            assert s.heard_by(legs[1]) == {legs[2], legs[0]}
            await s.idle()
        s.do("supervisors.stop", supervisor="marta")

    run(floor, story)
    assert event_names(floor).count("agent.supervision_changed") == (3 if mode != "taken over" else 2)


def test_a_supervisor_of_whom_the_log_says_nothing_is_hung_up(make_floor: MakeFloor) -> None:
    """The engine died before it had written down that somebody listens: nobody listens whom no record names."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=8.0)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="listen")
        await floor.until(lambda: s.engine.desk.supervision.watches["marta"].up)
        leg_id = leg_of(floor, "marta")
        floor.kill_engine()
        with floor.database.write() as tx:
            tx.execute(_FORGET)
        await replace_engine(floor)
        assert leg_id not in floor.carrier.calls
        assert not s.engine.desk.supervision.watches
        await s.idle()

    run(floor, story)


def test_an_agent_who_was_asked_stays_asked(make_floor: MakeFloor) -> None:
    """Two agents and a customer: all three hear each other under the next engine, and the second is free when the first lets them go."""
    floor = make_floor(agents=2)
    floor.carrier.default = Behaviour(talk_s=12.0)

    async def story(s: Story) -> None:
        first = await s.talking()
        second = "a1" if first == "a0" else "a0"
        s.do("agents.consult", agent=first, to_agent=second)
        await s.third_up(first)
        s.do("agents.join", agent=first)
        legs = (s.customer.leg_id, s.agent(first).leg_id, s.agent(second).leg_id)
        before = [s.heard_by(leg) for leg in legs]
        await replace_engine(floor)
        assert [s.heard_by(leg) for leg in legs] == before
        assert s.agent(second).state is AgentState.TALKING
        assert s.engine.desk.talks[AgentId(first)].third.agent.id == second
        s.do("agents.dismiss", agent=first)
        assert s.agent(second).state is not AgentState.TALKING
        assert s.heard_by(legs[0]) == {legs[1]}
        await s.idle()

    run(floor, story)


def test_a_customer_with_an_agent_of_a_pbx_stays_with_them(make_floor: MakeFloor) -> None:
    """Delivered into a queue and talking there: the queue's leg goes on, and the PBX's hang-up ends the call as ever."""
    floor = make_floor(agents=0, extensions=QUEUE, staff={"ana": {"queue": "cola", "auto_ready": True}})
    floor.carrier.default = Behaviour(talk_s=12.0)
    floor.carrier.by_extension["cola"] = Behaviour(progress_s=0.05, final_s=0.5)

    async def story(s: Story) -> None:
        await s.talking()
        queue, customer, placed = leg_of(floor, "cola"), s.customer.leg_id, len(floor.carrier.placed)
        await replace_engine(floor)
        assert (s.agent("ana").state, s.heard_by(customer)) == (AgentState.TALKING, {queue})
        assert len(floor.carrier.placed) == placed
        floor.carrier.end(queue, 200, EndedBy.FAR)
        await s.idle()

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.agent_id) == (Outcome.CONNECTED, "ana")
    assert "attempt.unbridged" not in event_names(floor)


def test_with_the_media_plane_dead_too_thirds_and_transfers_go_on(make_floor: MakeFloor) -> None:
    """Their legs are opened again; whether the customer was in the conversation nobody knows: they hear music until they are brought in."""
    floor = make_floor(
        agents=2, leads=["01", "02"], extensions=EXTENSIONS | {"caja": {"sip": "sip:caja@127.0.0.1:5092"}}
    )
    floor.carrier.default = Behaviour(talk_s=12.0)

    async def story(s: Story) -> None:
        await s.state("a0", AgentState.TALKING)
        await s.state("a1", AgentState.TALKING)
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.third_up("a0")
        s.do("agents.join", agent="a0")
        s.do("agents.transfer", agent="a1", to_extension="caja")
        handed: Any = next(
            a for a in s.engine.machine.attempts.values() if a.state is not AttemptState.BRIDGED
        )
        await floor.until(lambda: handed.state is AttemptState.TRANSFERRED)
        await floor.pass_s(0.5)
        third, cashier = leg_of(floor, "legal"), leg_of(floor, "caja")
        await replace_engine(floor, media=True)
        assert s.engine.desk.talks[A0].state is TalkState.CONSULTING
        s.do("agents.join", agent="a0")
        assert s.heard_by(s.engine.desk.talks[A0].customer) == {s.agent().leg_id, third}
        assert s.heard_by(handed.leg_id) == {cashier}
        await s.idle()

    run(floor, story)
    assert [attempt.outcome for attempt in attempts(floor)] == [Outcome.CONNECTED] * 2
