"""Live answers delivered into a PBX's queue, and agents whose states a source tells, through the real call loop on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from dialer_core.agents.presence import FIRST_WORD_S
from dialer_core.ipc.messages import LegConnectedLine, LegReferred, LegRtpLost, Refer
from dialer_core.store import scan
from dialer_core.vocabulary import AgentState, AttemptState, EndedBy, LegKind, Outcome, Presence
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names
from tests.engine.test_desk import Story, run
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

COLA = {"sip": "sip:600@127.0.0.1:5090", "account_header": "X-Account", "ring_limit_s": 10}
QUICK = Behaviour(progress_s=0.05, final_s=0.4)
ANA = {"queue": "cola", "auto_ready": True}
TOLD = {"queue": "cola", "state_from": "pbx", "member": "PJSIP/1001"}


def a_floor(
    make_floor: MakeFloor, *, staff: dict[str, Any], cola: dict[str, Any] | None = None, **rest: Any
) -> Floor:
    """Return a floor whose agents are a PBX's; its queue answers within a second."""
    extensions = {"cola": COLA | (cola or {})} | rest.pop("extensions", {})
    floor = make_floor(agents=rest.pop("agents", 0), staff=staff, extensions=extensions, **rest)
    floor.carrier.by_extension["cola"] = QUICK
    return floor


def tell(s: Story, order: int, **states: str) -> Any:
    """Say how agents are, as the plugin `pbx`."""
    from dialer_core.control import Control
    from dialer_core.ipc.messages import HostCommand, HostReply

    replies: list[HostReply] = []
    reports = [{"agent": name, "state": state, "order": order} for name, state in states.items()]
    command = HostCommand(
        request_id=1, name="agents.told", args={"reports": reports, "stale_after_s": 10.0}, actor="plugin:pbx"
    )
    Control(s.engine).answer(command, replies.append)
    (reply,) = replies
    assert not reply.error, reply.error
    return reply.result


def data_of(floor: Floor, name: str) -> list[dict[str, Any]]:
    """Return what the events of a name say."""
    with floor.database.read() as tx:
        return [
            row.data for row in scan.rows(tx, "event", "name", "data", order_by=("seq",), only=("name", name))
        ]


def test_a_person_is_delivered_and_bridged_when_the_queue_answers(make_floor: MakeFloor) -> None:
    """The queue's INVITE carries the attempt and the account, its 200 bridges, their BYE frees the agent, and no leg is left between."""
    floor = a_floor(make_floor, staff={"ana": ANA})

    async def story(s: Story) -> None:
        await s.talking()
        (place,) = (one for one in floor.carrier.placed if one.kind is LegKind.EXTENSION)
        assert place.headers == {"X-Marcador-Attempt": s.customer.id, "X-Account": s.customer.account_id}
        assert s.agent("ana").leg_id == place.leg_id
        await s.idle()
        assert (s.agent("ana").leg_id, s.agent("ana").state) == (None, AgentState.WRAP_UP)

    run(floor, story)
    names = event_names(floor)
    began, there, bridged = (
        names.index(f"attempt.{one}") for one in ("delivery_began", "delivered", "bridged")
    )
    assert began < there < bridged
    assert attempts(floor)[0].outcome == Outcome.CONNECTED


def test_the_agents_hang_up_ends_the_call(make_floor: MakeFloor) -> None:
    """The PBX's BYE is the agent's: the customer is not given to somebody else."""
    floor = a_floor(make_floor, staff={"ana": ANA, "beto": ANA})

    async def story(s: Story) -> None:
        await s.talking()
        (leg_id,) = (one.leg_id for one in floor.carrier.placed if one.kind is LegKind.EXTENSION)
        floor.carrier.end(leg_id, 200, EndedBy.FAR)
        await s.idle()

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, event_names(floor).count("attempt.bridged")) == (Outcome.CONNECTED, 1)


@pytest.mark.parametrize(
    ("code", "reason"), [(404, "refused"), (486, "refused"), (603, "refused"), (480, "no_answer")]
)
def test_a_queue_that_refuses_gives_the_person_to_another_agent(
    make_floor: MakeFloor, code: int, reason: str
) -> None:
    """Each refusal is told with its code; nobody else is delivered there for a moment, and a free agent of ours gets the person in time."""
    floor = a_floor(make_floor, staff={"ana": ANA}, agents=1)
    floor.carrier.by_extension["cola"] = Behaviour(progress_s=0.02, final_s=0.2, code=code)

    async def story(s: Story) -> None:
        s.agent("a0").idle_since_ns = s.agent("ana").idle_since_ns + 1  # ana has been idle for longer
        await s.talking()
        assert s.agent("a0").state is AgentState.TALKING
        assert not s.agent("ana").offered
        await floor.pass_s(70)
        assert s.agent("ana").offered
        await s.idle()

    run(floor, story)
    (told,) = data_of(floor, "attempt.delivery_failed")
    assert (told["sip_code"], told["reason"]) == (code, reason)


@pytest.mark.parametrize("cola", [{"acknowledged_by": "told"}, {"acknowledged_by": "update"}, {}])
def test_without_an_agent_by_the_deadline_they_hear_the_message(
    make_floor: MakeFloor, cola: dict[str, str]
) -> None:
    """A queue that rings on, or whose 200 is only its music, is nobody: abandoned by the same deadline as ever, and its leg is hung up."""
    floor = a_floor(make_floor, staff={"ana": ANA}, cola=cola)
    if not cola:
        floor.carrier.by_extension["cola"] = Behaviour(progress_s=0.05, final_s=None)

    async def story(s: Story) -> None:
        await floor.until(lambda: bool(s.engine.machine.attempts))
        await s.idle()
        await s.state("ana", AgentState.READY)
        assert not any(call.place.kind is LegKind.EXTENSION for call in floor.carrier.calls.values())

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.abandoned) == (Outcome.ABANDONED, True)
    assert "attempt.delivered" not in event_names(floor)


def test_the_agent_named_has_the_call(make_floor: MakeFloor) -> None:
    """`told` before the 200 or after it, twice, by the name that the PBX has for them: who was reserved is free again, and whoever is named talks."""
    floor = a_floor(
        make_floor, staff={"beto": ANA, "ana": TOLD | {"auto_ready": True}}, cola={"acknowledged_by": "told"}
    )

    async def story(s: Story) -> None:
        tell(s, 1, **{"PJSIP/1001": "available"})
        await floor.until(lambda: bool(s.engine.deliveries._of))
        assert s.say("calls.connected", attempt=s.customer.id, agent="nobody").kind == "invalid"
        tell(s, 2, **{"PJSIP/1001": "busy"})  # their phone rings
        for _ in range(2):
            assert s.say("calls.connected", attempt=s.customer.id, agent="ana").result == {
                "attempt": s.customer.id, "agent": s.customer.agent_id
            }  # fmt: skip
        await s.talking()
        assert [s.agent(name).state for name in ("ana", "beto")] == [AgentState.TALKING, AgentState.READY]
        assert s.say("calls.connected", attempt="x", agent="ana").kind == "unknown"
        await s.idle()

    run(floor, story)
    (told,) = data_of(floor, "attempt.delivered")
    assert (told["agent_id"], told["by"]) == ("ana", "told")


def test_a_connected_line_update_is_an_agent(make_floor: MakeFloor) -> None:
    """After the 200, a re-INVITE or UPDATE that names an extension of the PBX: that agent is there."""
    floor = a_floor(
        make_floor,
        staff={"beto": ANA, "ana": ANA | {"member": "PJSIP/1001"}},
        cola={"acknowledged_by": "update"},
    )

    async def story(s: Story) -> None:
        await floor.until(lambda: any(one.up for one in s.engine.deliveries._of.values()))
        (its,) = s.engine.deliveries._of.values()
        worker = floor.carrier.worker_of[its.leg_id]
        floor.carrier.tell_worker(
            worker, LegConnectedLine(at_ns=floor.clock.mono_ns(), leg_id=its.leg_id, user="1001")
        )
        await s.talking()
        assert s.agent("ana").state is AgentState.TALKING
        await s.idle()

    run(floor, story)


def test_a_queues_leg_that_sends_no_sound_is_lost(make_floor: MakeFloor) -> None:
    """A leg that is answered, never acknowledged, and silent is given up."""
    floor = a_floor(make_floor, staff={"ana": ANA}, cola={"acknowledged_by": "told"}, agents=1)

    async def story(s: Story) -> None:
        s.agent("a0").idle_since_ns = s.agent("ana").idle_since_ns + 1
        await floor.until(lambda: any(one.up for one in s.engine.deliveries._of.values()))
        (its,) = s.engine.deliveries._of.values()
        floor.carrier.tell_media(LegRtpLost(at_ns=floor.clock.mono_ns(), leg_id=its.leg_id, silent_s=1.0))
        await s.talking()
        assert s.agent("a0").state is AgentState.TALKING
        await s.idle()

    run(floor, story)
    (told,) = data_of(floor, "attempt.delivery_failed")
    assert told["reason"] == "not_acknowledged"


def test_a_blind_transfer_by_refer_leaves_the_call_to_the_trunk(make_floor: MakeFloor) -> None:
    """REFER on the customer's leg: 202, then 200 by NOTIFY, and our leg goes; a refusal, or no word, brings the customer back to the agents."""
    caja = {"sip": "sip:700@127.0.0.1:5090", "hand_over": "refer"}
    for code in (200, 603, None):
        floor = a_floor(make_floor, staff={}, agents=2, extensions={"caja": caja}, folder=str(code))
        asked: list[Refer] = []
        send = floor.carrier.to_worker

        def to_worker(worker: Any, command: Any, asked=asked, send=send) -> None:  # noqa: ANN001
            asked += [command] if isinstance(command, Refer) else []
            send(worker, command)

        floor.carrier.to_worker = to_worker  # type: ignore[method-assign]

        async def story(s: Story, code=code, asked=asked, floor=floor) -> None:  # noqa: ANN001
            await s.talking()
            customer = s.customer
            s.do("agents.transfer", agent=customer.agent_id, to_extension="caja")
            assert [(one.leg_id, one.to_uri, one.replaces) for one in asked] == [
                (customer.leg_id, caja["sip"], None)
            ]
            floor.carrier.tell_worker(
                customer.worker, LegReferred(at_ns=1, leg_id=customer.leg_id, code=100, final=False)
            )
            await floor.pass_s(1)
            assert customer.state is AttemptState.TRANSFERRING
            if code is not None:
                floor.carrier.tell_worker(
                    customer.worker, LegReferred(at_ns=1, leg_id=customer.leg_id, code=code, final=True)
                )
            if code != 200:
                await floor.until(lambda: customer.state is AttemptState.BRIDGED, 60)
            await s.idle()

        run(floor, story)
        (told,) = data_of(floor, "attempt.referred")
        assert told == {"extension": "caja", "replaces": False, "sip_code": code or 408}
        assert len(data_of(floor, "attempt.transfer_failed")) == (code != 200)


def test_a_delivered_call_is_given_away_with_replaces(make_floor: MakeFloor) -> None:
    """Once an agent is there the trunk is asked to join both legs by itself: done, and both leave; refused, and they talk on over us."""
    for code in (200, 486):
        floor = a_floor(make_floor, staff={"ana": TOLD}, cola={"hand_over": "refer"}, folder=str(code))
        asked: list[Refer] = []
        send = floor.carrier.to_worker

        def to_worker(worker: Any, command: Any, asked=asked, send=send) -> None:  # noqa: ANN001
            asked += [command] if isinstance(command, Refer) else []
            send(worker, command)

        floor.carrier.to_worker = to_worker  # type: ignore[method-assign]

        async def story(s: Story, code=code, asked=asked, floor=floor) -> None:  # noqa: ANN001
            tell(s, 1, ana="available")
            await s.talking()
            customer, queue_leg = s.customer, s.agent("ana").leg_id
            tell(s, 2, ana="busy")
            (refer,) = asked
            assert refer.leg_id == customer.leg_id
            assert refer.replaces is not None
            assert refer.replaces.call_id == queue_leg
            floor.carrier.tell_worker(
                customer.worker, LegReferred(at_ns=1, leg_id=customer.leg_id, code=code, final=True)
            )
            await floor.pass_s(1)
            assert bool(s.engine.machine.attempts) == (code != 200)
            await s.idle()
            await floor.pass_s(6)  # the wrap-up is over, and the PBX says that they still talk there
            if code == 200:
                assert (s.agent("ana").state, s.agent("ana").reason) == (AgentState.PAUSED, "busy")
            tell(s, 3, ana="available")
            assert s.agent("ana").state is AgentState.READY

        run(floor, story)


def test_a_sources_word_is_the_agents_state(make_floor: MakeFloor) -> None:
    """In order, once, and by either name; in a conversation of ours what it says of calls changes nothing, and a pause comes after it."""
    floor = a_floor(make_floor, staff={"ana": TOLD, "beto": {"sip": "sip:b@127.0.0.1:5099"}}, leads=1)

    async def story(s: Story) -> None:
        ana = s.agent("ana")
        assert ana.state is AgentState.LOGGED_OUT
        assert list(tell(s, 5, ana="busy", stranger="busy")["unknown"]) == ["stranger"]
        assert ana.state is AgentState.LOGGED_OUT
        assert tell(s, 6, ana="available")["changed"] == 1
        assert ana.state is AgentState.READY
        assert tell(s, 6, ana="offline")["late"] == 1
        assert ana.state is AgentState.READY
        await s.talking()
        tell(s, 7, ana="busy")
        assert ana.comes_back
        tell(s, 8, ana="paused")
        assert not ana.comes_back
        tell(s, 9, ana="busy")
        assert ana.comes_back
        tell(s, 10, ana="paused")
        while s.engine.machine.attempts:
            tell(s, s.engine.runtime.clock.mono_ns(), ana="paused")
            await floor.pass_s(3)
        tell(s, s.engine.runtime.clock.mono_ns(), ana="paused")
        await floor.pass_s(6)
        assert (ana.state, ana.reason) == (AgentState.PAUSED, "pause")
        tell(s, s.engine.runtime.clock.mono_ns(), ana="available")
        assert ana.offered
        tell(s, s.engine.runtime.clock.mono_ns() + 1, ana="offline")
        assert ana.state is AgentState.LOGGED_OUT

    run(floor, story)


def test_a_silent_source_is_not_believed(make_floor: MakeFloor) -> None:
    """Past its own limit its agents are paused, with an event; its next word, even without news, brings them back."""
    floor = a_floor(make_floor, staff={"ana": TOLD}, leads=[])

    async def story(s: Story) -> None:
        tell(s, 1, ana="available")
        assert s.agent("ana").offered
        await floor.pass_s(11)
        assert (s.agent("ana").state, s.agent("ana").reason) == (AgentState.PAUSED, "source_stale")
        assert s.engine.presences.of(s.agent("ana")) is None
        tell(s, 1)
        assert (s.agent("ana").offered, s.engine.presences.of(s.agent("ana"))) == (True, Presence.AVAILABLE)

    run(floor, story)
    assert [told["fresh"] for told in data_of(floor, "agent_source.changed")] == [True, False, True]


@pytest.mark.parametrize("state", [AgentState.RESERVED, AgentState.TALKING])
def test_a_new_engine_takes_over_before_the_source_has_spoken(
    make_floor: MakeFloor, state: AgentState
) -> None:
    """Who talks talks on; after it, or at once where nobody had been bridged, their agents are nobody's until the source speaks to the new engine."""
    floor = a_floor(make_floor, staff={"ana": TOLD})
    floor.carrier.default = Behaviour(talk_s=5.0)

    async def story(s: Story) -> None:
        tell(s, 1, ana="available")
        await floor.until(lambda: s.agent("ana").state is state, 30)
        floor.kill_engine()
        await floor.start_again()
        if state is AgentState.TALKING:
            assert s.agent("ana").state is state
        await floor.until(
            lambda: (s.agent("ana").state, s.agent("ana").reason) == (AgentState.PAUSED, "source_stale"), 30
        )
        assert not s.engine.recovery.pending
        tell(s, 2, ana="available")
        assert s.agent("ana").offered
        await s.idle()

    run(floor, story)


def test_a_source_that_never_speaks_to_a_new_engine_is_not_believed(make_floor: MakeFloor) -> None:
    """Its agents were ready when the engine died: nobody is dialed for them, and after a while they are shown paused, and the log says why."""
    floor = a_floor(make_floor, staff={"ana": TOLD}, leads=[])

    async def story(s: Story) -> None:
        tell(s, 1, ana="available")
        floor.kill_engine()
        await floor.start_again()
        assert (s.agent("ana").state, s.agent("ana").offered) == (AgentState.READY, False)
        await floor.pass_s(FIRST_WORD_S + 0.1)
        assert (s.agent("ana").state, s.agent("ana").reason) == (AgentState.PAUSED, "source_stale")
        tell(s, 2, ana="available")
        assert s.agent("ana").offered

    run(floor, story)
    assert [told["fresh"] for told in data_of(floor, "agent_source.changed")] == [True, False, True]


def test_old_words_do_not_keep_a_source_fresh(make_floor: MakeFloor) -> None:
    """Whoever repeats what was so before says nothing of now; the last word said again, and an empty list, do."""
    floor = a_floor(make_floor, staff={"ana": TOLD}, leads=[])

    async def story(s: Story) -> None:
        tell(s, 5, ana="available")
        for _ in range(3):
            await floor.pass_s(4.0)
            tell(s, 5, ana="available")
        assert s.agent("ana").offered
        for _ in range(3):
            await floor.pass_s(4.0)
            assert tell(s, 4, ana="busy")["late"] == 1
        assert (s.agent("ana").state, s.agent("ana").reason) == (AgentState.PAUSED, "source_stale")
        tell(s, 4, ana="available")
        assert not s.agent("ana").offered
        tell(s, 6)
        assert s.agent("ana").offered

    run(floor, story)


def test_a_source_speaks_for_its_own_agents_alone(make_floor: MakeFloor) -> None:
    """Of others' agents, and of agents with a softphone who have no source, it is told that nobody is called that."""
    floor = a_floor(make_floor, staff={"ana": TOLD | {"state_from": "other"}}, agents=1, leads=[])

    async def story(s: Story) -> None:
        await floor.pass_s(1)
        assert set(tell(s, 1, ana="available", a0="offline")["unknown"]) == {"a0", "ana"}
        assert [s.agent(name).state for name in ("ana", "a0")] == [AgentState.LOGGED_OUT, AgentState.READY]

    run(floor, story)
