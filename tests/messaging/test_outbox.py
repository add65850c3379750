"""A message goes through the gate once, is committed before the wire, and ends in one state that the ledger agrees with (I11, I15)."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError
from dialer_core.messaging import composing, inbound, outbox
from dialer_core.messaging.channel import Accepted, Inbound, NotAccepted, Receipt, Unknown
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.templates import Template, load_template
from dialer_core.portfolio import payments, promises
from dialer_core.portfolio.payments import NewPayment
from dialer_core.store import consents, messages
from dialer_core.store import promises as promise_rows
from dialer_core.store.database import Database
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel, MessageId, MessageState, PromiseKind, UncertainPolicy
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, put_list_campaign, put_restriction, rows
from tests.messaging.conftest import NUMBER

pytestmark = pytest.mark.db

MINUTE = dt.timedelta(minutes=1)
NODE = "node1"


@pytest.fixture
def plain(tmp_path: Path) -> Template:
    """Return a template that says nothing of a debt."""
    return template(tmp_path, 'channel = "sms"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA."\n')


def template(folder: Path, text: str) -> Template:
    """Load a template from a text."""
    file = folder / "aviso.toml"
    file.write_text(text, encoding="utf-8")
    return load_template(file)


def queue(tx: Tx, debtor: Listed, one: Template | None, now: dt.datetime = NOON, **more: Any) -> MessageId:
    """Queue a message about a debtor's account."""
    name = one.name if one else ""
    request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template=name, **more)
    return composing.queue(tx, request, one, now, source="test")


def claim(tx: Tx, pack: RulePack | None, now: dt.datetime = NOON, limit: int = 100) -> list[MessageRow]:
    """Claim what is due by SMS."""
    return outbox.claim(tx, Channel.SMS, now, limit, node=NODE, pack_of=lambda _: pack)


def state(tx: Tx, message_id: str) -> tuple[MessageState, str | None]:
    """Return what the row says of a message."""
    one = messages.get(tx, [message_id])[MessageId(message_id)]
    return one.state, one.reason


def settlements(tx: Tx) -> list[str]:
    """Return what became of each contact in the ledger, in order."""
    return [one["settlement"] for one in rows(tx, "contact")]


def events(tx: Tx, *, prefix: str = "message.") -> list[str]:
    """Return the names of the events written, in order."""
    return [
        one["name"]
        for one in sorted(rows(tx, "event"), key=lambda one: one["seq"])
        if one["name"].startswith(prefix)
    ]


def test_the_way_of_a_message(database: Database, debtor: Listed, plain: Template, mexico: RulePack) -> None:
    """Queued, committed as submitting with the gate's evidence, accepted, delivered; the contact counts."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
    with database.write() as tx:
        [one] = claim(tx, mexico)
    assert (one.id, one.address, one.body) == (sent, NUMBER, "Hola Ana. Responda BAJA.")
    assert one.evidence is not None
    assert one.evidence["rule_pack"] == "mx"
    with database.write() as tx:
        assert state(tx, sent) == (MessageState.SUBMITTING, None)
        assert claim(tx, mexico) == []
        outbox.settle(tx, [(one, Accepted(provider_id="P1", cost_micro=50_000, cost_currency="MXN"))], NOON)
        assert state(tx, sent) == (MessageState.ACCEPTED, None)
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P1", delivered=True)] * 2, NOON + MINUTE)
    with database.read() as tx:
        assert state(tx, sent) == (MessageState.DELIVERED, None)
        assert settlements(tx) == ["counted"]
        assert events(tx) == ["message.queued", "message.accepted", "message.delivered"]


def test_a_request_is_queued_once(database: Database, debtor: Listed, plain: Template) -> None:
    """Asked for again under the same name, the first message is told."""
    with database.write() as tx:
        first = queue(tx, debtor, plain, request_key="strategy-1-step-2")
        assert queue(tx, debtor, plain, request_key="strategy-1-step-2") == first
        assert len(rows(tx, "message")) == 1


def test_the_gate_is_asked_when_it_is_due(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """At night it waits for the morning; a restriction set meanwhile cancels it, and no contact is left reserved."""
    night = dt.datetime(2025, 3, 5, 5, 30, tzinfo=dt.UTC)  # 23:30 in Mexico City
    with database.write() as tx:
        sent = queue(tx, debtor, plain, night)
        assert claim(tx, mexico, night) == []
        waits = messages.get(tx, [sent])[sent]
        assert (waits.state, waits.reason) == (MessageState.QUEUED, "window")
        assert waits.next_at_utc == dt.datetime(2025, 3, 5, 13, 0, tzinfo=dt.UTC)  # 07:00
        put_restriction(tx, "cease_contact", "person", debtor.person)
        assert claim(tx, mexico, waits.next_at_utc) == []
        assert state(tx, sent) == (MessageState.CANCELLED, "cease_contact")
        assert settlements(tx) == []


def test_no_rules_no_message(database: Database, debtor: Listed, plain: Template) -> None:
    """Without a rule pack nothing is sent."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        assert claim(tx, None) == []
        assert state(tx, sent) == (MessageState.QUEUED, "rule_pack")


def test_caps_count_within_a_batch(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """Of more messages to one person than a cap allows, the rest wait: they share one ledger, and one transaction."""
    with database.write() as tx:
        for _ in range(30):
            queue(tx, debtor, plain, valid_hours=700)
        allowed = claim(tx, mexico)
        waiting = [one for one in rows(tx, "message") if one["state"] == "queued"]
        assert 0 < len(allowed) < 30
        assert len(allowed) + len(waiting) == 30
        assert settlements(tx) == ["reserved"] * len(allowed)
        assert all(one["next_at_utc"] > NOON and one["reason"] for one in waiting)


def test_too_late_is_not_sent(database: Database, debtor: Listed, plain: Template, mexico: RulePack) -> None:
    """A message that has waited longer than it is good for is cancelled."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain, valid_hours=1)
        assert claim(tx, mexico, NOON + 61 * MINUTE) == []
        assert state(tx, sent) == (MessageState.CANCELLED, "expired")


def test_who_has_paid_is_not_asked(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """A message about an account that is paid meanwhile is cancelled."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        paid = NewPayment(debtor.account, "P1", 123_450, "MXN", NOON.date().isoformat())
        payments.receive(tx, [paid], source="bank", now=NOON)
        assert claim(tx, mexico) == []
        assert state(tx, sent) == (MessageState.CANCELLED, "account_closed")


@pytest.mark.parametrize("meanwhile", ["", "paid", "paid in part", "replaced", "cancelled"])
def test_a_reminder_is_of_what_is_still_to_come(
    database: Database, debtor: Listed, tmp_path: Path, mexico: RulePack, meanwhile: str
) -> None:
    """It goes while the promised payment is as it was when it was queued; paid, in part or whole, agreed anew or taken back, it does not."""
    one = template(
        tmp_path,
        'channel = "sms"\npurpose = "promise_reminder"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA."\n',
    )
    terms: dict[str, Any] = {"account_id": debtor.account, "kind": PromiseKind.AGREEMENT, "now": NOON}
    days = [NOON.date() + dt.timedelta(days=1), NOON.date() + dt.timedelta(days=30)]
    with database.write() as tx:
        promise = promises.make(tx, instalments=[(day, 10_000) for day in days], **terms)
        [due] = promise_rows.due_between(tx, days[0], days[0])
        sent = queue(tx, debtor, one, reminds=due)
        match meanwhile:
            case "paid" | "paid in part":
                amount = 10_000 if meanwhile == "paid" else 4_000
                paid = NewPayment(debtor.account, "P1", amount, "MXN", NOON.date().isoformat())
                payments.receive(tx, [paid], source="bank", now=NOON)
            case "replaced":
                promises.make(tx, instalments=[(days[0], 10_000)], **terms)
            case "cancelled":
                promises.cancel(tx, promise, NOON)
        claimed = claim(tx, mexico)
        if meanwhile:
            assert state(tx, sent) == (MessageState.CANCELLED, "promise_settled")
        else:
            assert [found.id for found in claimed] == [sent]


def test_a_provider_that_is_busy_is_tried_again(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """Each time later, through the gate anew, and given up after so many tries; nothing that was not sent counts."""
    now = NOON
    with database.write() as tx:
        sent = queue(tx, debtor, plain, valid_hours=24)
        pauses = []
        for _ in range(outbox.MOST_TRIES):
            [one] = claim(tx, mexico, now)
            outbox.settle(tx, [(one, NotAccepted(code="429", permanent=False))], now)
            after = messages.get(tx, [sent])[sent]
            pauses.append((after.next_at_utc - now).total_seconds())
            now = after.next_at_utc
        assert state(tx, sent) == (MessageState.FAILED, "429")
        assert pauses[:5] == [30, 60, 120, 240, 480]
        assert set(settlements(tx)) == {"void"}
    with database.read() as tx:
        assert events(tx)[-1] == "message.failed"


def test_the_providers_own_pause_is_kept(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """Where it says when to come again, it is not asked sooner."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        [one] = claim(tx, mexico)
        outbox.settle(tx, [(one, NotAccepted(code="429", permanent=False, retry_after_s=300))], NOON)
        assert messages.get(tx, [sent])[sent].next_at_utc == NOON + 5 * MINUTE


def test_a_crash_between_submit_and_answer(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """What was submitted when we died is uncertain; without a word of the provider it is held, not sent twice, until a person decides."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        [one] = claim(tx, mexico)
    with database.write() as tx:
        assert outbox.recover(tx, "another", NOON) == 0
        assert outbox.recover(tx, NODE, NOON) == 1
        [uncertain] = messages.uncertain(tx, Channel.SMS, NOON, 10)
        outbox.decide_uncertain(tx, uncertain, None, NOON)
        assert state(tx, sent) == (MessageState.HELD, "restarted")
        assert claim(tx, mexico, NOON + MINUTE) == []
        assert settlements(tx) == ["reserved"]  # which counts
    with database.read() as tx:
        assert events(tx)[-1] == "message.held"
    with database.write() as tx:
        assert outbox.release(tx, messages.get(tx, [sent])[sent], NOON + MINUTE)
        [again] = claim(tx, mexico, NOON + MINUTE)
        assert (again.id, settlements(tx)) == (one.id, ["counted", "reserved"])


def test_the_answer_of_a_provider_that_can_be_asked(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """It is asked until it knows; not for ever."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        [one] = claim(tx, mexico)
        outbox.settle(tx, [(one, Unknown(code="timeout"))], NOON)
        [uncertain] = messages.uncertain(tx, Channel.SMS, NOON, 10)
        outbox.decide_uncertain(tx, uncertain, Unknown(code="not_yet"), NOON)
        assert messages.uncertain(tx, Channel.SMS, NOON, 10) == []
        [later] = messages.uncertain(tx, Channel.SMS, NOON + outbox.ASK_PAUSE, 10)
        outbox.decide_uncertain(tx, later, Accepted(provider_id="P9"), NOON + MINUTE)
        assert state(tx, sent) == (MessageState.ACCEPTED, None)


def test_a_template_that_may_be_sent_twice_is(
    database: Database, debtor: Listed, tmp_path: Path, mexico: RulePack
) -> None:
    """Its policy says so; no other is."""
    twice = template(
        tmp_path,
        'channel = "sms"\nwhen_uncertain = "resend"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA."\n',
    )
    assert twice.when_uncertain is UncertainPolicy.RESEND
    with database.write() as tx:
        sent = queue(tx, debtor, twice)
        [one] = claim(tx, mexico)
        outbox.settle(tx, [(one, Unknown(code="timeout"))], NOON)
        [uncertain] = messages.uncertain(tx, Channel.SMS, NOON, 10)
        outbox.decide_uncertain(tx, uncertain, None, NOON)
        assert state(tx, sent) == (MessageState.QUEUED, "timeout")
        assert [again.id for again in claim(tx, mexico, NOON + MINUTE)] == [sent]


def test_a_receipt_before_its_answer(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """A receipt that overtakes the answer is heeded when that comes; one of nothing is forgotten after a while."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        [one] = claim(tx, mexico)
        early = [Receipt(provider_id="P1", delivered=True), Receipt(provider_id="nothing", delivered=True)]
        outbox.receive(tx, Channel.SMS, early, NOON)
        outbox.receive(tx, Channel.SMS, early, NOON)
        outbox.settle(tx, [(one, Accepted(provider_id="P1"))], NOON)
        assert state(tx, sent) == (MessageState.DELIVERED, None)
        assert [one["provider_id"] for one in rows(tx, "early_receipt")] == ["nothing"]
        outbox.recover(tx, NODE, NOON + outbox.EARLY_KEPT + MINUTE)
        assert rows(tx, "early_receipt") == []


def test_a_long_message_arrives_when_all_its_parts_have(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """One receipt of three is not the message's, early or twice; the last one is, and a part that does not arrive fails the whole."""
    parts = Accepted(provider_id="P1", part_ids=("P1", "P2", "P3"))
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        [one] = claim(tx, mexico)
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P2", delivered=True)], NOON)
        outbox.settle(tx, [(one, parts)], NOON)
        assert state(tx, sent)[0] is MessageState.ACCEPTED
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P1", delivered=True)] * 2, NOON)
        assert state(tx, sent)[0] is MessageState.ACCEPTED
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P3", delivered=False, code="045")], NOON)
        assert state(tx, sent) == (MessageState.FAILED, "045")
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P3", delivered=True)], NOON)
        assert state(tx, sent) == (MessageState.DELIVERED, None)
        assert rows(tx, "message_part") == []


def test_undelivered_does_not_count(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """A message that never reached the address is void in the ledger; a late word that it did is believed."""
    with database.write() as tx:
        sent = queue(tx, debtor, plain)
        [one] = claim(tx, mexico)
        outbox.settle(tx, [(one, Accepted(provider_id="P1"))], NOON)
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P1", delivered=False, code="30005")], NOON)
        assert state(tx, sent) == (MessageState.FAILED, "30005")
        assert settlements(tx) == ["void"]
        outbox.receive(tx, Channel.SMS, [Receipt(provider_id="P1", delivered=True)], NOON)
        assert state(tx, sent)[0] is MessageState.DELIVERED


def test_what_reveals_a_debt_needs_consent(database: Database, debtor: Listed, tmp_path: Path) -> None:
    """Only to who agreed to this channel, and the last word counts (I19)."""
    private = template(
        tmp_path,
        'channel = "sms"\nto_confirmed = true\n[text]\nes = "{{ first_name }}: {{ balance }}. Responda BAJA."\n',
    )
    with database.write() as tx:
        with pytest.raises(CommandRefusedError, match="has not agreed"):
            queue(tx, debtor, private)
        consents.record(tx, debtor.person, Channel.SMS, granted=True, source="form", at_utc=NOON)
        sent = queue(tx, debtor, private)
        assert messages.get(tx, [sent])[sent].body == "Ana: $1,234.50 MXN. Responda BAJA."
        consents.record(tx, debtor.person, Channel.SMS, granted=False, source="call", at_utc=NOON + MINUTE)
        with pytest.raises(CommandRefusedError, match="has not agreed"):
            queue(tx, debtor, private)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"address": "+525500000000"}, "does not have that number"),
        ({"given": {"nothing": "x"}}, "has no field 'nothing'"),
        ({"not_before": NOON + dt.timedelta(days=91)}, "more than 90 days"),
    ],
)
def test_what_cannot_be_queued(
    database: Database, debtor: Listed, plain: Template, more: dict[str, Any], said: str
) -> None:
    """Each is refused with its reason, and nothing is written."""
    with database.write() as tx:
        with pytest.raises(CommandRefusedError, match=said):
            queue(tx, debtor, plain, **more)
        assert rows(tx, "message") == []


def test_an_answer_belongs_to_whom_we_wrote(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """It is of the person and account of our last message there; told twice by the provider, it is stored once."""
    with database.write() as tx:
        put_lead(tx, [NUMBER])  # somebody else with the same number
        sent = queue(tx, debtor, plain)
        claim(tx, mexico)
        came = Inbound(provider_id="I1", sender=NUMBER, text="¿Cuánto debo?")
        answer = inbound.receive(tx, Channel.SMS, came, NOON)
        assert answer is not None
        assert (answer.person_id, answer.account_id) == (debtor.person, debtor.account)
        assert inbound.receive(tx, Channel.SMS, came, NOON) is None
        said = [one.body for one in messages.conversation(tx, debtor.person)]
        assert said == [messages.get(tx, [sent])[sent].body, "¿Cuánto debo?"]


def test_an_unknown_address_is_nobodys(database: Database, debtor: Listed) -> None:
    """A number of two people, or of none, is nobody's; one person's is theirs."""
    with database.write() as tx:
        theirs = inbound.receive(tx, Channel.SMS, Inbound(provider_id="1", sender=NUMBER, text="hola"), NOON)
        put_lead(tx, [NUMBER])
        shared = inbound.receive(tx, Channel.SMS, Inbound(provider_id="2", sender=NUMBER, text="hola"), NOON)
        nobody = inbound.receive(
            tx, Channel.SMS, Inbound(provider_id="3", sender="+525599999999", text="hola"), NOON
        )
    found = [one.person_id if one else "" for one in (theirs, shared, nobody)]
    assert found == [debtor.person, None, None]


def test_an_opt_out_is_heeded_at_once(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack
) -> None:
    """What waits to go there is taken back, nothing more is sent by that channel, and other channels go on."""
    with database.write() as tx:
        first = queue(tx, debtor, plain)
        claim(tx, mexico)
        waiting = queue(tx, debtor, plain)
        inbound.receive(tx, Channel.SMS, Inbound(provider_id="I1", sender=NUMBER, text="BAJA"), NOON)
        assert state(tx, waiting) == (MessageState.CANCELLED, "opted_out")
        assert state(tx, first)[0] is MessageState.SUBMITTING
        later = queue(tx, debtor, plain, NOON + MINUTE)
        assert claim(tx, mexico, NOON + MINUTE) == []
        assert state(tx, later) == (MessageState.CANCELLED, "refused_channel")
        assert {one["channel"] for one in rows(tx, "restriction")} == {"sms"}
    with database.read() as tx:
        assert events(tx, prefix="optout.") == ["optout.received"]


@pytest.mark.parametrize("sender", ["+5215512345678", "5215512345678"])
def test_an_opt_out_from_a_mexican_by_the_old_prefix_is_theirs(
    database: Database, debtor: Listed, plain: Template, mexico: RulePack, sender: str
) -> None:
    """WhatsApp still names mobiles of Mexico with a 1 after the country's 52: it is the same person, and they are left alone."""
    with database.write() as tx:
        came = Inbound(provider_id="I1", sender=sender, text="BAJA")
        answer = inbound.receive(tx, Channel.SMS, came, NOON)
        assert answer is not None
        assert (answer.person_id, answer.address) == (debtor.person, NUMBER)
        later = queue(tx, debtor, plain)
        assert claim(tx, mexico) == []
        assert state(tx, later) == (MessageState.CANCELLED, "refused_channel")


@pytest.mark.parametrize("kept", ["+541123456789", "+5491123456789"])
def test_a_line_of_argentina_is_one_by_either_name(
    database: Database, plain: Template, mexico: RulePack, kept: str
) -> None:
    """WhatsApp writes the 9 of mobiles, a bank's file often does not: who answers is known, and a list that has the other form holds."""
    with database.write() as tx:
        put_list_campaign(tx)
        there = put_lead(tx, [kept], zones="America/Argentina/Buenos_Aires")
        answer = inbound.receive(
            tx, Channel.SMS, Inbound(provider_id="I1", sender="5491123456789", text="hola"), NOON
        )
        assert answer is not None
        assert (answer.person_id, answer.address) == (there.person, kept)
        other = next(form for form in ("+541123456789", "+5491123456789") if form != kept)
        put_restriction(tx, "do_not_call", "number", other)
        later = queue(tx, there, plain)
        assert claim(tx, mexico) == []
        assert state(tx, later)[1] == "do_not_call"


def test_every_cue_in_every_state(database: Database) -> None:
    """The table names only states that a message of ours can be in, each but the last ones with a way out."""
    del database
    ours = set(MessageState) - {MessageState.RECEIVED}
    assert {state for state, _ in outbox.TRANSITIONS} | set(outbox.TRANSITIONS.values()) == ours
    assert ours - {state for state, _ in outbox.TRANSITIONS} == {
        MessageState.CANCELLED,
        MessageState.DELIVERED,
    }


def test_what_another_node_has_settled_is_not_sent_twice(
    database: Database, debtor: Listed, tmp_path: Path, mexico: RulePack
) -> None:
    """Two nodes ask about one message: the second, whose question took longer, finds it decided and sent again, and leaves it so (I15)."""
    twice = template(
        tmp_path,
        'channel = "sms"\nwhen_uncertain = "resend"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA."\n',
    )
    with database.write() as tx:
        sent = queue(tx, debtor, twice)
        [one] = claim(tx, mexico)
        outbox.settle(tx, [(one, Unknown(code="timeout"))], NOON)
        [seen_by_both] = messages.uncertain(tx, Channel.SMS, NOON, 10)
        outbox.decide_uncertain(tx, seen_by_both, None, NOON)
        [again] = claim(tx, mexico, NOON + MINUTE)
        outbox.settle(tx, [(again, Accepted(provider_id="P1"))], NOON + MINUTE)
    with database.write() as tx:
        outbox.decide_uncertain(tx, seen_by_both, None, NOON + MINUTE)
        assert state(tx, sent) == (MessageState.ACCEPTED, None)
        assert claim(tx, mexico, NOON + 10 * MINUTE) == []


def test_what_no_database_holds_costs_nobody_their_opt_out(database: Database, debtor: Listed) -> None:
    """A NUL or half a character in an answer is left out, and the word is heard."""
    with database.write() as tx:
        odd = Inbound(provider_id="I1\0", sender=NUMBER, text="BA\0JA \ud83d")
        answer = inbound.receive(tx, Channel.SMS, odd, NOON)
        assert answer is not None
        assert (answer.body, answer.provider_id) == ("BAJA ", "I1")
    with database.read() as tx:
        assert {one["scope_value"] for one in rows(tx, "restriction")} == {NUMBER, debtor.person}
