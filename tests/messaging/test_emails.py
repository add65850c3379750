"""E-mail through the core: to addresses that work and people who agreed, with letters; bounces, replies and a No come back to whom they belong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError, ConfigError
from dialer_core.messaging import composing, inbound, outbox
from dialer_core.messaging.channel import Accepted, Inbound, Receipt
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.sending import outbound
from dialer_core.messaging.templates import Template, load_template
from dialer_core.store import consents, email_addresses, messages, people
from dialer_core.store.database import Database
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel, MessageState
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, rows

pytestmark = pytest.mark.db

TEXT = """
channel = "email"
to_confirmed = true
[subject]
es = "Su convenio, {{ first_name }}"
[text]
es = "Adjuntamos su convenio por {{ balance }}. Responda BAJA para no recibir más."
[[letters]]
name = "convenio"
title = { es = "Convenio de pago" }
text = { es = "{{ name }} debe {{ balance }} a {{ creditor }}." }
"""


def template(folder: Path, text: str = TEXT) -> Template:
    """Load a template from a text."""
    file = folder / "convenio.toml"
    file.write_text(text, encoding="utf-8")
    return load_template(file)


def queue(tx: Tx, debtor: Listed, one: Template, **more: str) -> MessageRow:
    """Queue a message; return it."""
    request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template=one.name, **more)
    sent = composing.queue(tx, request, one, NOON, source="test")
    return messages.get(tx, [sent])[sent]


def agree(tx: Tx, debtor: Listed) -> None:
    """Give the debtor an address, and their consent to e-mail."""
    assert email_addresses.add(tx, debtor.person, " Ana@Example.mx ", source="import", at_utc=NOON)
    consents.record(tx, debtor.person, Channel.EMAIL, granted=True, source="form", at_utc=NOON)
    people.update_account(tx, debtor.account, {"creditor": "Banco Uno"})


def test_a_letter_goes_to_who_agreed(database: Database, debtor: Listed, tmp_path: Path, mexico: RulePack) -> None:  # fmt: skip
    """Without an address, or a Yes to e-mail, nothing is queued; with both, the letter goes along as PDF, and through the gate."""
    one = template(tmp_path)
    with database.write() as tx:
        with pytest.raises(CommandRefusedError, match="an e-mail address that works"):
            queue(tx, debtor, one)
        email_addresses.add(tx, debtor.person, "ana@example.mx", source="x", at_utc=NOON)
        with pytest.raises(CommandRefusedError, match="has not agreed"):
            queue(tx, debtor, one)
        email_addresses.add(tx, debtor.person, "other@example.mx", source="x", at_utc=NOON)
        consents.record(tx, debtor.person, Channel.EMAIL, granted=True, source="form", at_utc=NOON)
        people.update_account(tx, debtor.account, {"creditor": "Banco Uno"})
        with pytest.raises(CommandRefusedError, match="that address"):
            queue(tx, debtor, one, address="stranger@example.mx")
        assert queue(tx, debtor, one, address="OTHER@example.mx").address == "other@example.mx"
        message = queue(tx, debtor, one)
        assert (message.address, message.subject) == ("ana@example.mx", "Su convenio, Ana")
        [letter] = outbound(message).attachments
        assert letter.name == "convenio.pdf"
        assert letter.content.startswith(b"%PDF")
        claimed = outbox.claim(tx, Channel.EMAIL, NOON, 10, node="n", pack_of=lambda _: mexico)
        assert len(claimed) == 2


def test_what_comes_back(database: Database, debtor: Listed, tmp_path: Path, mexico: RulePack) -> None:
    """A reply is of the message it answers, from whatever address; one without that, of whoever has it; bounces take the address out of use."""
    one = template(tmp_path)
    with database.write() as tx:
        agree(tx, debtor)
        for number in range(3):
            queue(tx, debtor, one)
            [sent] = outbox.claim(tx, Channel.EMAIL, NOON, 10, node="n", pack_of=lambda _: mexico)  # fmt: skip
            outbox.settle(tx, [(sent, Accepted(provider_id=f"<m{number}@x>"))], NOON)
            if number == 0:
                told = Inbound(
                    provider_id="<r1>", sender="work@other.mx", text="Sí", in_reply_to=("<?>", "<m0@x>")
                )
                reply = inbound.receive(tx, Channel.EMAIL, told, NOON)
                assert reply
                assert (reply.person_id, reply.account_id) == (debtor.person, debtor.account)
                told = Inbound(provider_id="<r2>", sender="Ana@Example.MX", text="Hola")
                found = inbound.receive(tx, Channel.EMAIL, told, NOON)
                assert found
                assert found.person_id == debtor.person
            outbox.receive(tx, Channel.EMAIL, [Receipt(provider_id=f"<m{number}@x>", delivered=False, code="5.1.1")], NOON)  # fmt: skip
        with pytest.raises(CommandRefusedError, match="that works"):
            queue(tx, debtor, one)
        told = Inbound(provider_id="<r3>", sender="ana@example.mx", text="Aquí sigo")
        inbound.receive(tx, Channel.EMAIL, told, NOON)
        assert queue(tx, debtor, one).state is MessageState.QUEUED  # somebody writes from there: it works


def test_the_button_that_says_no_more(database: Database, debtor: Listed, tmp_path: Path) -> None:
    """A mail whose subject is BAJA restricts e-mail alone, and takes back what waits."""
    with database.write() as tx:
        agree(tx, debtor)
        waiting = queue(tx, debtor, template(tmp_path))
        inbound.receive(
            tx,
            Channel.EMAIL,
            Inbound(provider_id="<r1>", sender="ana@example.mx", subject="BAJA", text=""),
            NOON,
        )
        assert {(one["kind"], one["channel"]) for one in rows(tx, "restriction")} == {
            ("refused_channel", "email")
        }
        assert messages.get(tx, [waiting.id])[waiting.id].state is MessageState.CANCELLED


def test_a_stranger_with_a_long_address_is_heeded(database: Database) -> None:
    """Who is nobody's and asks for no more is restricted by their address, however long it is."""
    long = f"{'x' * 60}@{'y' * 40}.example.mx"
    with database.write() as tx:
        told = Inbound(provider_id="<r1>", sender=long, text="BAJA")
        assert inbound.receive(tx, Channel.EMAIL, told, NOON)
        [restriction] = rows(tx, "restriction")
    assert (restriction["scope"], restriction["scope_value"]) == ("number", long)


def test_answers_by_hand_are_answers(database: Database, debtor: Listed, mexico: RulePack) -> None:
    """What an agent writes within a day of what was written there goes out at night too; later, or unasked, it is a contact."""
    night = NOON + dt.timedelta(hours=12)
    request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, body="Con gusto.", channel=Channel.EMAIL)  # fmt: skip
    with database.write() as tx:
        agree(tx, debtor)
        sent = composing.queue(tx, request, None, night, source="test")
        assert messages.get(tx, [sent])[sent].purpose == "collection"
        inbound.receive(
            tx,
            Channel.EMAIL,
            Inbound(provider_id="<r>", sender="ana@example.mx", text="?", subject="Mi plan"),
            night,
        )
        sent = composing.queue(tx, request, None, night, source="test")
        [claimed] = outbox.claim(tx, Channel.EMAIL, night, 10, node="n", pack_of=lambda _: mexico)
        assert (claimed.id, claimed.purpose, claimed.subject) == (sent, "answer", "Re: Mi plan")
        assert claimed.not_after_utc == night + dt.timedelta(hours=24)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("to_confirmed = true\n", ""), "reveals a debt"),
        (('title = { es = "Convenio de pago" }', 'title = { en = "x" }'), "other languages"),
        (('[subject]\nes = "Su convenio, {{ first_name }}"\n', ""), "an e-mail needs one"),
        (("{{ creditor }}", "{{ secret }}"), "is no field"),
        (("{{ creditor }}", "{{ creditor.__class__ }}"), "only fields"),
    ],
)
def test_wrong_letters_are_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    """When they are loaded, and a letter that tells of a debt like any text that does."""
    with pytest.raises(ConfigError, match=says):
        template(tmp_path, TEXT.replace(*change))


@pytest.mark.parametrize(
    "bad", ["", "ana", "ana@", "@x.mx", "a b@x.mx", "a@x", "a@x.mx\r\nBcc: b@y.mx", "a" * 130 + "@x.mx"]
)
def test_what_is_no_address(bad: str) -> None:
    """Nothing is written to it."""
    assert email_addresses.normalised(bad) is None
