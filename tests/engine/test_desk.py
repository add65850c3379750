"""What agents and supervisors do on the call, through the real call loop on virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialer_core.control import Control
from dialer_core.ipc.messages import HostCommand, HostReply, LegInfoDigit
from dialer_core.store import scan
from dialer_core.vocabulary import AgentId, AgentState, EndedBy, Outcome, TalkState, Verdict
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, event_names, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
EXTENSIONS = {
    "legal": {"sip": "sip:legal@127.0.0.1:5090"},
    "marta": {"sip": "sip:marta@127.0.0.1:5091", "supervises": True},
}


class Story:
    """A floor with one conversation, and shorthands for it."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    @property
    def engine(self) -> Any:
        """The call loop."""
        return self.floor.engine

    def agent(self, name: str = "a0") -> Any:
        """An agent."""
        return self.engine.roster[AgentId(name)]

    @property
    def customer(self) -> Any:
        """The one live attempt."""
        (attempt,) = self.engine.machine.attempts.values()
        return attempt

    def say(self, name: str, **args: Any) -> HostReply:
        """Give a command; return its reply."""
        replies: list[HostReply] = []
        Control(self.engine).answer(
            HostCommand(request_id=1, name=name, args=args, actor="test"), replies.append
        )
        (reply,) = replies
        return reply

    def do(self, name: str, **args: Any) -> None:
        """Give a command that must be done."""
        reply = self.say(name, **args)
        assert not reply.error, reply.error

    def heard_by(self, leg_id: Any) -> set[Any]:
        """Whom a leg hears now."""
        return self.floor.carrier.hearing.of(leg_id)

    async def talking(self) -> str:
        """Wait until an agent talks; return who."""
        await self.floor.until(lambda: any(a.state is AgentState.TALKING for a in self.engine.roster.all()))
        return str(next(a.id for a in self.engine.roster.all() if a.state is AgentState.TALKING))

    async def state(self, name: str, state: AgentState) -> None:
        """Wait until an agent is in a state."""
        await self.floor.until(lambda: self.agent(name).state is state)

    async def third_up(self, name: str) -> None:
        """Wait until the third has answered."""
        await self.floor.until(lambda: self.engine.desk.talks[AgentId(name)].state is TalkState.CONSULTING)

    async def idle(self) -> None:
        """Wait until no attempt is left."""
        await self.floor.until(lambda: not self.engine.machine.attempts)


def run(floor: Floor, story) -> None:  # noqa: ANN001 - a coroutine function
    """Start the floor, run a story, drain, and check the invariants."""

    async def whole() -> None:
        await floor.start()
        await story(Story(floor))
        await floor.stop()
        assert not floor.carrier.opened, "a leg was left open in the media plane"

    floor.loop.run_until_complete(whole())
    verified(floor)


def audited(floor: Floor) -> list[Any]:
    """Return the audit log."""
    with floor.database.read() as tx:
        return list(scan.rows(tx, "audit", order_by=("seq",)))


def test_hold_and_mute_change_who_hears_whom_and_the_end_changes_it_back(make_floor: MakeFloor) -> None:
    """Hold: music and silence. Mute: the customer hears nobody, the agent the customer. Wrong commands are refused and change nothing."""
    floor = make_floor(agents=1)

    async def story(s: Story) -> None:
        assert s.say("agents.hold", agent="a0").kind == "refused"
        await s.talking()
        customer, agent = s.customer.leg_id, s.agent().leg_id
        s.do("agents.hold", agent="a0")
        assert floor.carrier.hearing.music == {customer}
        assert s.heard_by(agent) == s.heard_by(customer) == set()
        assert s.say("agents.hold", agent="a0").kind == "refused"
        s.do("agents.resume", agent="a0")
        assert (s.heard_by(agent), s.heard_by(customer)) == ({customer}, {agent})
        assert not floor.carrier.hearing.told
        s.do("agents.mute", agent="a0")
        assert (s.heard_by(agent), s.heard_by(customer)) == ({customer}, set())
        s.do("agents.hold", agent="a0")
        s.do("agents.resume", agent="a0")
        assert s.heard_by(customer) == set()
        s.do("agents.unmute", agent="a0")
        await s.state("a0", AgentState.WRAP_UP)
        assert not floor.carrier.hearing.told

    run(floor, story)


def test_digits_go_by_telephone_event_and_by_info_where_there_is_none(make_floor: MakeFloor) -> None:
    """Both ways; and an INFO of either phone reaches the other as a press. No event tells which digits."""
    floor = make_floor(agents=1)

    async def story(s: Story) -> None:
        await s.talking()
        attempt, agent = s.customer, s.agent()
        s.do("agents.digits", agent="a0", digits="12#")
        info = LegInfoDigit(at_ns=1, leg_id=agent.leg_id, digit="5")
        s.engine.legs.on_worker("agents-0", info)
        s.engine.legs.on_worker(attempt.worker, LegInfoDigit(at_ns=1, leg_id=attempt.leg_id, digit="9"))
        import msgspec

        attempt.negotiated = msgspec.structs.replace(attempt.negotiated, dtmf_pt=-1)
        s.do("agents.digits", agent="a0", digits="7")
        assert floor.carrier.hearing.digits == [
            (attempt.leg_id, "rfc4733", "12#"), (attempt.leg_id, "rfc4733", "5"), (agent.leg_id, "rfc4733", "9"),
            (attempt.leg_id, "info", "7"),
        ]  # fmt: skip
        assert s.say("agents.digits", agent="a0", digits="12x").error

    run(floor, story)
    assert event_names(floor).count("talk.digits_sent") == 2


def test_an_agent_hands_a_customer_to_another_agent(make_floor: MakeFloor) -> None:
    """Blind: the other agent must be free; the first wraps up, the second talks and has the attempt."""
    floor = make_floor(agents=2)

    async def story(s: Story) -> None:
        first = await s.talking()
        other = "a1" if first == "a0" else "a0"
        assert s.say("agents.transfer", agent=first, to_agent=first).kind == "refused"
        s.do("agents.transfer", agent=first, to_agent=other)
        await s.state(other, AgentState.TALKING)
        assert s.agent(first).state is AgentState.WRAP_UP
        assert s.heard_by(s.customer.leg_id) == {s.agent(other).leg_id}
        assert s.say("agents.transfer", agent=other, to_agent=first).kind == "refused"
        await s.idle()

    run(floor, story)
    (attempt,) = attempts(floor)
    assert attempt.outcome == Outcome.CONNECTED
    names = [n for n in event_names(floor) if n in ("attempt.bridged", "attempt.handed_on", "attempt.ended")]
    assert names == ["attempt.bridged", "attempt.handed_on", "attempt.bridged", "attempt.ended"]


def test_a_blind_transfer_to_an_extension(make_floor: MakeFloor) -> None:
    """The agent is free at once; the customer hears music until the extension answers, then the extension; its leg ends with the customer's."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        attempt = s.customer
        assert s.say("agents.transfer", agent="a0", to_extension="nobody").kind == "refused"
        s.do("agents.transfer", agent="a0", to_extension="legal")
        assert attempt.state == "transferring"
        assert s.agent().state is AgentState.WRAP_UP
        assert floor.carrier.hearing.music == {attempt.leg_id}
        await floor.until(lambda: attempt.state == "transferred")
        await floor.pass_s(0.1)
        (extension,) = s.heard_by(attempt.leg_id)
        assert s.heard_by(extension) == {attempt.leg_id}
        await s.idle()

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.agent_id) == (Outcome.CONNECTED, "a0")


@pytest.mark.parametrize("code", [486, 200])
def test_a_transfer_that_fails_brings_the_customer_back_or_ends_them(
    make_floor: MakeFloor, code: int
) -> None:
    """Busy: they wait for an agent and get one. Hung up after the talk with the extension: the call is over."""
    floor = make_floor(agents=1, extensions=EXTENSIONS, campaign={"wrap_up_s": 0.1})
    floor.carrier.default = Behaviour(talk_s=60.0)
    floor.carrier.by_extension["legal"] = Behaviour(final_s=1.0, code=code, patience_s=5.0)

    async def story(s: Story) -> None:
        await s.talking()
        attempt = s.customer
        s.do("agents.transfer", agent="a0", to_extension="legal")
        if code == 486:
            await s.state("a0", AgentState.TALKING)
            assert s.heard_by(attempt.leg_id) == {s.agent().leg_id}
            s.do("calls.hangup", attempt=attempt.id)
        else:
            await floor.until(lambda: attempt.state == "transferred")
            (leg_id,) = [leg for leg, call in floor.carrier.calls.items() if call.place.owner == "legal"]
            floor.carrier.end(leg_id, 200, EndedBy.FAR)
        await s.idle()

    run(floor, story)
    assert ("attempt.transfer_failed" in event_names(floor)) == (code == 486)


def test_an_attended_transfer_and_a_conference(make_floor: MakeFloor) -> None:
    """Consult alone, bring all three together, then leave: customer and extension go on."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        attempt, agent = s.customer, s.agent().leg_id
        s.do("agents.consult", agent="a0", to_extension="legal")
        third = s.engine.desk.talks[A0].third.leg_id
        await s.third_up("a0")
        assert (s.heard_by(agent), s.heard_by(third), floor.carrier.hearing.music) == (
            {third},
            {agent},
            {attempt.leg_id},
        )
        s.do("agents.join", agent="a0")
        everybody = {attempt.leg_id, agent, third}
        assert all(s.heard_by(leg) == everybody - {leg} for leg in everybody)
        s.do("agents.transfer", agent="a0")
        await floor.pass_s(0.1)
        assert s.agent().state is AgentState.WRAP_UP
        assert (s.heard_by(attempt.leg_id), s.heard_by(third)) == ({third}, {attempt.leg_id})
        await s.idle()

    run(floor, story)


def test_a_third_who_is_busy_leaves_the_customer_on_hold_and_a_dismissed_one_brings_them_back(
    make_floor: MakeFloor,
) -> None:
    """The agent is told by the state, takes the customer back, tries again and gives up."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.by_extension["legal"] = Behaviour(final_s=0.5, code=486)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.consult", agent="a0", to_extension="legal")
        await floor.until(lambda: s.engine.desk.talks[A0].state is TalkState.HELD)
        s.do("agents.resume", agent="a0")
        s.do("agents.consult", agent="a0", to_extension="marta")
        s.do("agents.dismiss", agent="a0")
        assert s.heard_by(s.customer.leg_id) == {s.agent().leg_id}
        await s.idle()

    run(floor, story)


def test_another_agent_is_consulted_and_takes_the_customer(make_floor: MakeFloor) -> None:
    """Attended between agents: the second is with the first, then with the customer; or, dismissed, goes back to be ready and hears nobody."""
    floor = make_floor(agents=2)
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        first = await s.talking()
        other = "a1" if first == "a0" else "a0"
        s.do("agents.consult", agent=first, to_agent=other)
        assert s.agent(other).state is AgentState.TALKING
        assert s.heard_by(s.agent(other).leg_id) == {s.agent(first).leg_id}
        s.do("agents.dismiss", agent=first)
        await s.state(other, AgentState.READY)
        assert s.heard_by(s.agent(other).leg_id) == set()
        s.do("agents.consult", agent=first, to_agent=other)
        s.do("agents.join", agent=first)
        assert s.heard_by(s.agent(other).leg_id) == {s.agent(first).leg_id, s.customer.leg_id}
        s.do("agents.dismiss", agent=first)
        assert s.heard_by(s.agent(other).leg_id) == set()
        assert s.heard_by(s.agent(first).leg_id) == {s.customer.leg_id}
        await s.state(other, AgentState.READY)
        assert s.heard_by(s.agent(other).leg_id) == set()
        s.do("agents.consult", agent=first, to_agent=other)
        s.do("agents.transfer", agent=first)
        await floor.pass_s(0.1)
        assert s.agent(first).state is AgentState.WRAP_UP
        assert s.heard_by(s.customer.leg_id) == {s.agent(other).leg_id}
        await s.idle()
        assert s.agent(other).state is AgentState.WRAP_UP

    run(floor, story)


def test_the_customer_hangs_up_on_hold_while_a_third_is_called(make_floor: MakeFloor) -> None:
    """The third's leg is ended, the agent wraps up, nothing is left."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=1.0)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.idle()
        assert s.agent().state is AgentState.WRAP_UP
        await floor.pass_s(0.1)
        assert not [call for call in floor.carrier.calls.values() if call.place.owner == "legal"]

    run(floor, story)


def test_an_agent_leaves_the_campaigns_message(make_floor: MakeFloor) -> None:
    """It plays to its end with the agent gone; a campaign without a message refuses."""
    floor = make_floor(agents=1, campaign={"machines": {"message": "abandonment-en"}})

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.leave_message", agent="a0")
        assert s.agent().state is AgentState.WRAP_UP
        assert [prompts for _, prompts in floor.carrier.played] == [("abandonment-en",)]
        await s.idle()

    run(floor, story)
    assert "attempt.message_started" in event_names(floor)


def test_a_wrap_up_is_extended_and_not_for_ever(make_floor: MakeFloor) -> None:
    """It ends later than it would have, and a request beyond the limit is refused."""
    floor = make_floor(agents=1)
    floor.carrier.default = Behaviour(talk_s=1.0)

    async def story(s: Story) -> None:
        await s.state("a0", AgentState.WRAP_UP)
        s.do("agents.extend_wrap_up", agent="a0", seconds=30)
        await floor.pass_s(20.0)
        assert s.agent().state is AgentState.WRAP_UP
        assert s.say("agents.extend_wrap_up", agent="a0", seconds=890).kind == "refused"
        await s.state("a0", AgentState.READY)

    run(floor, story)


def test_a_supervisor_listens_whispers_barges_and_takes_over(make_floor: MakeFloor) -> None:
    """Switched in the call from one phone; after the take-over the agent wraps up, and the supervisor stays with them for the next one."""
    floor = make_floor(leads=["01", "02"], agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        assert s.say("agents.supervise", agent="a0", supervisor="legal", mode="listen").kind == "refused"
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="listen")
        await s.talking()
        await floor.until(lambda: s.engine.desk.supervision.watches["marta"].up)
        customer, agent = s.customer, s.agent().leg_id
        marta = s.engine.desk.supervision.watches["marta"].leg_id
        assert (s.heard_by(marta), s.heard_by(agent)) == ({customer.leg_id, agent}, {customer.leg_id})
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="whisper")
        assert (s.heard_by(agent), s.heard_by(customer.leg_id)) == ({customer.leg_id, marta}, {agent})
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="barge")
        assert s.heard_by(customer.leg_id) == {agent, marta}
        s.do("supervisors.take_over", supervisor="marta")
        await floor.pass_s(0.1)
        assert s.agent().state is AgentState.WRAP_UP
        assert (s.heard_by(customer.leg_id), s.heard_by(marta)) == ({marta}, {customer.leg_id})
        await floor.until(lambda: customer.id not in s.engine.machine.attempts)
        assert marta in floor.carrier.opened
        await s.talking()
        await floor.pass_s(0.1)
        assert s.heard_by(s.customer.leg_id) == {agent, marta}
        s.do("supervisors.stop", supervisor="marta")
        await floor.pass_s(0.1)
        assert s.heard_by(s.customer.leg_id) == {agent}
        await s.idle()

    run(floor, story)
    entries = audited(floor)
    assert [one.action for one in entries].count("agent.supervision_changed") == 4
    [taken] = [one for one in entries if one.action == "agent.taken_over"]
    assert (taken.subject, taken.actor) == ("agent a0", "test")
    assert json.loads(taken.data)["supervisor"] == "marta"


@pytest.mark.parametrize("state", ["paused", "logged_out"])
def test_a_supervisor_forces_an_agent_out_of_a_conversation(make_floor: MakeFloor, state: str) -> None:
    """Now: their customer goes to the next agent; without `now` it is done after the call, as an agent's own word."""
    floor = make_floor(agents=2)
    floor.carrier.default = Behaviour(talk_s=20.0)

    async def story(s: Story) -> None:
        first = await s.talking()
        other = "a1" if first == "a0" else "a0"
        s.do("agents.force", agent=first, state=state, now=True)
        assert s.agent(first).state == state
        await s.state(other, AgentState.TALKING)
        s.do("agents.force", agent=other, state="paused")
        assert s.agent(other).state is AgentState.TALKING
        await s.state(other, AgentState.WRAP_UP)

    run(floor, story)
    told = [json.loads(one.data) for one in audited(floor) if one.action == "agent.forced"]
    assert [(one["state"], one["now"]) for one in told] == [(state, True), ("paused", False)]


def test_conversations_outlive_the_media_plane(make_floor: MakeFloor) -> None:
    """A new media plane is told again who hears whom: hold stays hold, a transferred customer stays with the extension."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        attempt = s.customer
        s.do("agents.hold", agent="a0")
        floor.lose_media()
        await floor.pass_s(0.5)
        floor.attach_media()
        await floor.pass_s(0.5)
        assert floor.carrier.hearing.music == {attempt.leg_id}
        s.do("agents.resume", agent="a0")
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.third_up("a0")
        s.do("agents.transfer", agent="a0")
        await floor.pass_s(0.5)
        floor.lose_media()
        await floor.pass_s(0.5)
        floor.attach_media()
        await floor.pass_s(0.5)
        (third,) = s.heard_by(attempt.leg_id)
        assert s.heard_by(third) == {attempt.leg_id}
        await s.idle()

    run(floor, story)


@pytest.mark.parametrize("as_it_was", ["hold", "mute"])
def test_conversations_outlive_the_engine(
    make_floor: MakeFloor, as_it_was: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next engine's agent takes the customer back from hold, or speaks again, and a paused recording stays paused until they say so."""
    monkeypatch.setattr("dialer_core.recording_place.wanted", lambda _settings: True)
    floor = make_floor(agents=1, campaign={"record": {"policy": "always"}})
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        await s.talking()
        customer, hearing = s.customer.leg_id, floor.carrier.hearing
        s.do("agents.record", agent="a0", switch="pause")
        s.do(f"agents.{as_it_was}", agent="a0")
        (recording_id, paused) = hearing.recorded[customer]
        assert paused
        await floor.pass_s(0.1)
        floor.kill_engine()
        await floor.pass_s(0.5)
        await floor.start_again()
        await floor.pass_s(0.1)
        assert hearing.recorded[customer] == (recording_id, True)
        assert s.heard_by(customer) == set()
        s.do("agents.resume" if as_it_was == "hold" else "agents.unmute", agent="a0")
        assert (s.heard_by(customer), s.heard_by(s.agent().leg_id)) == ({s.agent().leg_id}, {customer})
        s.do("agents.record", agent="a0", switch="on")
        assert hearing.recorded[customer] == (recording_id, False)
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()

    run(floor, story)


def test_a_machine_by_its_verdict_is_nobodys_conversation(make_floor: MakeFloor) -> None:
    """Nothing of this page applies before the bridge: commands are refused."""
    floor = make_floor(agents=1)
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE)

    async def story(s: Story) -> None:
        await s.idle()
        for command in ("hold", "resume", "mute", "join", "dismiss", "transfer", "leave_message"):
            assert s.say(f"agents.{command}", agent="a0").kind == "refused"

    run(floor, story)
