"""What the contact centre's phones are told of whom they are called for, and supervisors who send no sound. On virtual time."""

from __future__ import annotations

import pytest

from dialer_core.ipc.messages import BridgeRefused, LegRtpLost
from dialer_core.vocabulary import AttemptState, LegId
from tests.engine.conftest import MakeFloor
from tests.engine.test_desk import Story, run

pytestmark = pytest.mark.unit

EXTENSIONS = {
    "cola": {"sip": "sip:600@127.0.0.1:5090", "customer_number": True, "user_to_user": True, "account_header": "X-Account"},
    "legal": {"sip": "sip:legal@127.0.0.1:5092"},
    "marta": {"sip": "sip:marta@127.0.0.1:5091", "supervises": True},
}  # fmt: skip


@pytest.mark.parametrize("command", ["agents.transfer", "agents.consult"])
def test_a_queue_is_told_whose_customer_it_gets(make_floor: MakeFloor, command: str) -> None:
    """P-Asserted-Identity, User-to-User and a header of the PBX's own, where the extension asks for them; nothing for one that does not."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        customer = s.customer
        s.do(command, agent="a0", to_extension="cola")
        await floor.until(lambda: floor.carrier.placed[-1].to_uri == EXTENSIONS["cola"]["sip"])
        headers = floor.carrier.placed[-1].headers
        assert headers["P-Asserted-Identity"] == f"<sip:{customer.number}@127.0.0.1>"
        data, parameters = headers["User-to-User"].split(";")
        assert (bytes.fromhex(data).decode(), parameters) == (customer.account_id, "encoding=hex")
        assert headers["X-Account"] == customer.account_id
        await s.idle()

    run(floor, story)


def test_others_are_told_nothing(make_floor: MakeFloor) -> None:
    """An extension that asks for nothing gets an INVITE without a word of the customer, and so does a supervisor."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="listen")
        s.do("agents.consult", agent="a0", to_extension="legal")
        await s.third_up("a0")
        assert [place.headers for place in floor.carrier.placed[-2:]] == [{}, {}]
        await s.idle()

    run(floor, story)


def test_a_supervisor_who_sends_no_sound_stays(make_floor: MakeFloor) -> None:
    """A muted phone that sends nothing is no reason to hang up on who listens."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        s.do("agents.supervise", agent="a0", supervisor="marta", mode="listen")
        await floor.until(lambda: s.engine.desk.supervision.watches["marta"].up)
        leg_id = s.engine.desk.supervision.watches["marta"].leg_id
        floor.carrier.tell_media(LegRtpLost(at_ns=floor.clock.mono_ns(), leg_id=leg_id, silent_s=10.0))
        await floor.pass_s(1)
        assert s.heard_by(leg_id) == {s.agent().leg_id, s.customer.leg_id}
        await s.idle()
        s.do("supervisors.stop", supervisor="marta")

    run(floor, story)


def test_late_news_of_a_former_bridge_does_not_end_a_transfer(make_floor: MakeFloor) -> None:
    """A refusal that speaks of the former agent's leg comes after the customer was transferred: they talk on."""
    floor = make_floor(agents=1, extensions=EXTENSIONS)

    async def story(s: Story) -> None:
        await s.talking()
        customer, former = s.customer, s.agent().leg_id
        s.do("agents.transfer", agent="a0", to_extension="legal")
        await floor.until(lambda: customer.state is AttemptState.TRANSFERRED)
        late = BridgeRefused(
            at_ns=floor.clock.mono_ns(), leg_id=customer.leg_id, agent_leg_id=LegId(former), reason="busy"
        )
        floor.carrier.tell_media(late)
        await floor.pass_s(1)
        assert customer.state is AttemptState.TRANSFERRED
        await s.idle()

    run(floor, story)
