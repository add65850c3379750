"""A recording that the customer refuses by a key, and one that pauses by itself at a card's number."""

from __future__ import annotations

from typing import Any

import pytest

from dialer_core.compliance.rules import LocalRules, Recording, RecordingRule
from dialer_core.ipc.messages import Bridge, LegDigit
from dialer_core.store import scan
from dialer_core.store.models import Base
from dialer_core.vocabulary import AgentId, AgentState, CampaignId, LegId
from tests.engine.callers import CallerCarrier
from tests.engine.conftest import MakeFloor
from tests.engine.test_desk import Story, run
from tests.engine.test_queue import number, quiet
from tests.engine.test_queue import run as run_callers
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit


def recorded_floor(make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch) -> Floor:
    """Return a floor that records everybody, who may refuse by nine."""
    monkeypatch.setattr("dialer_core.recording_place.wanted", lambda _settings: True)
    floor = make_floor(agents=1, campaign={"record": {"policy": "always", "refuse_key": "9"}})
    floor.carrier.default = Behaviour(talk_s=60.0)
    return floor


def test_the_key_that_refuses_deletes_the_recording_and_the_call_goes_on(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another key does nothing; nine ends and deletes it, in the audit log as the customer's word, and nobody switches it on again."""
    floor = recorded_floor(make_floor, monkeypatch)

    async def story(s: Story) -> None:
        await s.talking()
        customer, recorded = s.customer.leg_id, floor.carrier.hearing.recorded
        for key, there in (("5", True), ("9", False)):
            floor.carrier.tell_media(LegDigit(at_ns=floor.clock.mono_ns(), leg_id=customer, digit=key))
            await floor.pass_s(0.1)
            assert (customer in recorded) is there
        assert s.say("agents.record", agent="a0", switch="on").kind == "refused"
        assert s.agent().attempt_id == s.customer.id
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()

    run(floor, story)


def test_a_cards_field_pauses_the_recording_and_a_hand_is_stronger(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Focus pauses, leaving goes on; what the agent paused themselves stays paused when the cursor leaves."""
    floor = recorded_floor(make_floor, monkeypatch)

    async def story(s: Story) -> None:
        await s.talking()
        paused = floor.carrier.hearing.recorded
        customer = s.customer.leg_id
        s.do("agents.card_field", agent="a0", focused=True)
        assert paused[customer][1]
        s.do("agents.card_field", agent="a0", focused=False)
        assert not paused[customer][1]
        s.do("agents.record", agent="a0", switch="pause")
        s.do("agents.card_field", agent="a0", focused=True)
        s.do("agents.card_field", agent="a0", focused=False)
        assert paused[customer][1]
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()

    run(floor, story)


@pytest.mark.parametrize("how", ["key", "agent", "never"])
def test_where_the_law_wants_consent_nothing_is_recorded_before_it(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """They are asked before they hear the agent; their key, or their agent's word, begins it, and the audit log says whose word it was."""
    monkeypatch.setattr("dialer_core.recording_place.wanted", lambda _settings: True)
    floor = make_floor(agents=1, campaign={"record": {"policy": "always"}})
    rule = Recording(cite=("demo",), rule=RecordingRule.CONSENT)
    floor.packs["demo"] = floor.packs["demo"].model_copy(update={"recording": rule})
    floor.carrier.default = Behaviour(talk_s=60.0)
    sent: list[object] = []
    send = floor.carrier.send
    monkeypatch.setattr(floor.carrier, "send", lambda command: (sent.append(command), send(command))[1])

    async def story(s: Story) -> None:
        await s.talking()
        customer, recorded = s.customer.leg_id, floor.carrier.hearing.recorded
        (bridge,) = (one for one in sent if isinstance(one, Bridge))
        assert bridge.announcement == "recording-consent-es"
        assert customer not in recorded
        if how == "key":
            floor.carrier.tell_media(LegDigit(at_ns=floor.clock.mono_ns(), leg_id=customer, digit="1"))
        elif how == "agent":
            s.do("agents.record", agent="a0", switch="on")
        await floor.pass_s(0.1)
        assert (customer in recorded) is (how != "never")
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()

    run(floor, story)
    with floor.database.read() as tx:
        found = [
            row.actor
            for row in scan.rows(tx, "audit", order_by=("seq",))
            if row.action == "recording.consented"
        ]
    assert found == {"key": ["customer"], "agent": ["test"], "never": []}[how]


def test_the_law_of_where_somebody_lives_holds_whatever_their_number(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number of one state, a person of another that wants consent: they are asked, also under an engine that took the call over."""
    monkeypatch.setattr("dialer_core.recording_place.wanted", lambda _settings: True)
    floor = make_floor(agents=1, campaign={"record": {"policy": "always"}})
    pack, rule = floor.packs["demo"], Recording(cite=("demo",), rule=RecordingRule.CONSENT)
    floor.packs["strict"] = pack.model_copy(update={"name": "strict", "recording": rule})
    there = LocalRules(cite=("demo",), pack="strict", regions=("US-CA",))
    floor.packs["demo"] = pack.model_copy(update={"local": (there,)})
    assert floor.packs["demo"].link(floor.packs) is None
    floor.carrier.default = Behaviour(talk_s=60.0)
    with floor.database.write() as tx:
        tx.execute(Base.metadata.tables["person"].update().values(region="US-CA"))

    async def story(s: Story) -> None:
        await s.talking()
        customer, recorded = s.customer.leg_id, floor.carrier.hearing.recorded
        assert customer not in recorded
        floor.kill_engine()
        await floor.start_again()
        assert (s.customer.region, customer in recorded) == ("US-CA", False)
        floor.carrier.tell_media(LegDigit(at_ns=floor.clock.mono_ns(), leg_id=customer, digit="1"))
        await floor.pass_s(0.1)
        assert customer in recorded
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()

    run(floor, story)


def test_where_the_law_wants_it_said_a_packaged_prompt_says_it(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A campaign that names no prompt of its own: the packaged one, in their language, with its key to refuse."""
    monkeypatch.setattr("dialer_core.recording_place.wanted", lambda _settings: True)
    floor = make_floor(agents=1, campaign={"record": {"policy": "always"}})
    rule = Recording(cite=("demo",), rule=RecordingRule.ANNOUNCE)
    floor.packs["demo"] = floor.packs["demo"].model_copy(update={"recording": rule})
    floor.carrier.default = Behaviour(talk_s=60.0)

    async def story(s: Story) -> None:
        await s.talking()
        campaign = s.engine.dialing.campaigns[CampaignId("demo")]
        assert campaign.announcement("+525512345678", "en") == "recording-en"
        customer, recorded = s.customer.leg_id, floor.carrier.hearing.recorded
        assert customer in recorded
        floor.carrier.tell_media(LegDigit(at_ns=floor.clock.mono_ns(), leg_id=customer, digit="9"))
        await floor.pass_s(0.1)
        assert customer not in recorded
        s.do("calls.hangup", attempt=s.customer.id)
        await s.idle()

    run(floor, story)


def test_a_caller_is_recorded_by_the_rules_of_their_own_number(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who calls from where consent is asked for is asked, in their language; who calls from elsewhere is told as the pack says."""
    monkeypatch.setattr("dialer_core.recording_place.wanted", lambda _settings: True)
    floor = make_floor(leads=1, agents=1, campaign=quiet() | {"record": {"policy": "always"}})
    known = number(floor)
    with floor.database.write() as tx:
        tx.execute(Base.metadata.tables["person"].update().values(language="en"))
    monkeypatch.setattr(
        "dialer_core.compliance.rules.RulePack.recording_for",
        lambda _pack, address, _region: RecordingRule.CONSENT if address == known else RecordingRule.ANNOUNCE,
    )
    asked: list[tuple[LegId, str]] = []
    send = CallerCarrier.send

    def sent(carrier: CallerCarrier, command: object) -> None:
        if isinstance(command, Bridge):
            asked.append((command.leg_id, command.announcement))
        send(carrier, command)

    monkeypatch.setattr(CallerCarrier, "send", sent)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        agent = engine.roster[AgentId("a0")]
        for caller, expected, at_once in (
            (known, "recording-consent-en", False),
            ("+525599990000", "recording-es", True),
        ):
            leg_id = carrier.call_in(caller, talk_s=10)
            await floor.until(
                lambda leg=leg_id: (
                    [(who, call.leg_id) for who, call in engine.inbound.talks()] == [(agent, leg)]
                )
            )
            assert asked[-1] == (leg_id, expected)
            assert (leg_id in carrier.hearing.recorded) is at_once
            await floor.until(lambda leg=leg_id: leg not in carrier.calls)
            await floor.until(lambda: agent.state is AgentState.READY, 60)

    run_callers(floor, story)
