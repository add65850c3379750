"""Conversations in which two things happen at once: what is left over belongs to nobody, and must be ended."""

from __future__ import annotations

import pytest

from dialer_core.ipc.messages import BridgeRefused, LegsBridged
from dialer_core.vocabulary import AgentState, AttemptState
from tests.engine.conftest import MakeFloor
from tests.engine.test_desk import A0, EXTENSIONS, Story, run
from tests.engine.virtual import Behaviour

pytestmark = pytest.mark.unit


def test_a_hang_up_that_crosses_the_bridge_to_a_consulted_agent_frees_them(make_floor: MakeFloor) -> None:
    """They talk already when the customer becomes theirs: without a customer they wrap up, and do not talk to nobody for ever."""
    floor = make_floor(agents=2)
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        first = await s.talking()
        other = "a1" if first == "a0" else "a0"
        s.do("agents.consult", agent=first, to_agent=other)
        floor.carrier.hold_back = {LegsBridged}
        s.do("agents.transfer", agent=first)
        assert s.customer.state is AttemptState.BRIDGING
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()
        assert s.agent(other).state is AgentState.WRAP_UP
        floor.carrier.let_go()
        await s.state(other, AgentState.READY)

    run(floor, story)


def test_an_extension_that_cannot_be_bridged_is_hung_up(make_floor: MakeFloor) -> None:
    """The media plane refuses: the customer's call is over, and the extension is not left with silence."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        await s.talking()
        attempt = s.customer
        s.do("agents.consult", agent="a0", to_extension="legal")
        third = s.engine.desk.talks[A0].third.leg_id
        await s.third_up("a0")
        floor.carrier.hold_back = {LegsBridged}
        s.do("agents.transfer", agent="a0")
        floor.carrier.hold_back = set()
        refused = BridgeRefused(
            at_ns=floor.clock.mono_ns(), leg_id=attempt.leg_id, agent_leg_id=third, reason="gone"
        )
        s.engine.answers.refused(attempt, refused)
        await s.idle()
        assert third not in floor.carrier.opened

    run(floor, story)


def test_a_supervisor_takes_over_one_customer_at_a_time(make_floor: MakeFloor) -> None:
    """While they talk to the first, a second take-over is refused: the agent keeps the next customer, and nobody is hung up on."""
    floor = make_floor(leads=["01", "02"], agents=1, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="barge")
        await s.talking()
        await floor.until(lambda: s.engine.desk.supervision.watches["marta"].up)
        s.do("supervisors.take_over", supervisor="marta")
        await s.state("a0", AgentState.TALKING)
        await floor.until(lambda: A0 in s.engine.desk.talks)
        attempt = s.engine.desk.talks[A0].attempt
        assert s.say("supervisors.take_over", supervisor="marta").kind == "refused"
        await floor.pass_s(0.1)
        assert attempt.state is AttemptState.BRIDGED
        await s.idle()

    run(floor, story)


def test_a_supervisor_who_goes_to_an_agent_without_a_leg_hears_the_former_one_no_more(
    make_floor: MakeFloor,
) -> None:
    """What the audit says is what they hear: nobody, until that agent is there."""
    floor = make_floor(agents=2, extensions=EXTENSIONS)
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        first = await s.talking()
        other = "a1" if first == "a0" else "a0"
        s.do("agents.supervise", agent=first, supervisor="marta", mode="listen")
        await floor.until(lambda: s.engine.desk.supervision.watches["marta"].up)
        marta = s.engine.desk.supervision.watches["marta"].leg_id
        s.do("agents.logout", agent=other)
        assert s.agent(other).leg_id is None
        assert s.heard_by(marta) == {s.agent(first).leg_id, s.customer.leg_id}
        s.do("agents.supervise", agent=other, supervisor="marta", mode="listen")
        assert s.heard_by(marta) == set()
        await s.idle()

    run(floor, story)
