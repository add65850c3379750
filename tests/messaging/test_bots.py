"""Flows answer what people write: identity before debt, a promise, an agent, evidence, a No; whatever they write and whatever happens meanwhile."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError, ConfigError
from dialer_core.flows.reading import load_flow
from dialer_core.messaging import chats, composing, inbound, outbox
from dialer_core.messaging.bot_texts import load_bots
from dialer_core.messaging.bots import Bots
from dialer_core.messaging.channel import Accepted, Inbound
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.sending import outbound
from dialer_core.messaging.templates import Template, load_template, load_templates
from dialer_core.store import chats as rows_of_chats
from dialer_core.store import messages, people
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx
from dialer_core.verify import verify_store
from dialer_core.vocabulary import AgentId, CampaignId, Channel, ChatState, MessageState
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, rows, settings_of
from tests.messaging.conftest import NUMBER

pytestmark = pytest.mark.db

SHIPPED = Path(__file__).parents[2] / "dialer_core" / "config_defaults"
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """Return a reminder whose answers go through the packaged flow."""
    file = tmp_path / "aviso.toml"
    file.write_text(
        'channel = "sms"\nflow = "respuestas"\n[text]\nes = "Hola {{ first_name }}. 1 fecha, 2 asesor, 3 resuelto. Responda BAJA para salir."\n'
    )
    return load_template(file)


@pytest.fixture
def bots(template: Template) -> Bots:
    """Return the packaged flow as a host has it."""
    return new_bots(template)


def new_bots(template: Template) -> Bots:
    """Return what another host, or this one after a restart, has."""
    flow = load_flow(SHIPPED / "flows" / "respuestas.toml")
    campaigns: dict[CampaignId, CampaignSettings] = {CampaignId(CAMPAIGN): settings_of(creditor="Banco Uno")}
    return Bots({"respuestas": flow}, {template.name: template}, campaigns)


def remind(tx: Tx, debtor: Listed, template: Template, pack: RulePack, now: dt.datetime = NOON) -> None:
    """Send the reminder."""
    request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template=template.name)
    composing.queue(tx, request, template, now, source="test")
    send(tx, pack, now)


def send(tx: Tx, pack: RulePack, now: dt.datetime) -> list[str]:
    """Send whatever is due; return the texts."""
    claimed = outbox.claim(tx, Channel.SMS, now, 100, node="node1", pack_of=lambda _: pack)
    outbox.settle(tx, [(one, Accepted(provider_id=f"P-{one.id}")) for one in claimed], now)
    return [one.body for one in claimed]


class Talk:
    """Somebody who writes."""

    def __init__(self, tx: Tx, bots: Bots, pack: RulePack, now: dt.datetime = NOON) -> None:
        self.tx, self.bots, self.pack, self.now = tx, bots, pack, now
        self.number = 0

    def write(self, text: str, *, after: dt.timedelta = MINUTE) -> list[str]:
        """Write a text; return the answers that went out."""
        self.now += after
        self.number += 1
        one = Inbound(provider_id=f"I{self.now.timestamp()}-{self.number}", sender=NUMBER, text=text)
        message = inbound.receive(self.tx, Channel.SMS, one, self.now)
        assert message is not None
        self.bots.hear(self.tx, message, self.now, opted_out=inbound.opt_out.is_opt_out(text))
        return send(self.tx, self.pack, self.now)

    @property
    def state(self) -> tuple[str, str | None]:
        """Whether a chat is open, and which step it is at."""
        found = max(rows(self.tx, "chat"), key=lambda one: one["began_at_utc"])
        return found["state"], found["place"] and found["place"]["step"]


@pytest.fixture
def talk_of(bots: Bots, template: Template, mexico: RulePack, debtor: Listed) -> Any:
    """Return what reminds the debtor and returns them, writing."""

    def begin(tx: Tx) -> Talk:
        remind(tx, debtor, template, mexico)
        return Talk(tx, bots, mexico)

    return begin


def own_digits(tx: Tx, debtor: Listed) -> str:
    """Return the end of the account's number."""
    people.update_account(tx, debtor.account, {"external_id": "C-00012345"})
    return "2345"


def test_a_promise_by_message(database: Database, debtor: Listed, talk_of: Any) -> None:
    """One: who they are is asked, then the promise; nothing of the debt before; all of it in the store, and `verify` is content."""
    with database.write() as tx:
        digits = own_digits(tx, debtor)
        talk = talk_of(tx)
        [who] = talk.write("1")
        assert "últimos 4 dígitos" in who
        assert "$" not in who
        assert talk.write("9999")[0].startswith("No entendí")
        [offer] = talk.write(f"son {digits[:2]} {digits[2:]}")
        assert "$1,234.50 MXN" in offer
        assert "7 de marzo de 2025" in offer
        assert talk.write("en 1 mes")[0].startswith("No entendí")  # in doubt it is no promise
        [done] = talk.write("1.")
        assert done == "Su promesa de pago quedó registrada. Gracias."
        assert talk.state[0] == "closed"
        [promise] = rows(tx, "promise")
        assert promise["state"] == "open"
    with database.read() as tx:
        names = [one["name"] for one in sorted(rows(tx, "event"), key=lambda one: one["seq"])]
        assert names.index("identity.verified") < names.index("promise.made")
    assert [str(one) for one in verify_store(database, now=NOON + dt.timedelta(hours=1)).violations] == []


def test_what_was_said_too_early_is_found(database: Database, debtor: Listed, talk_of: Any) -> None:
    """`verify` finds an answer that told of the debt before identity, and one that nobody had asked for."""
    with database.write() as tx:
        talk_of(tx).write("1")
    with database.write() as tx:
        tables = Base.metadata.tables
        tx.execute(delete(tables["message"]).where(tables["message"].c.state == "received"))
        event = tables["event"]
        [said] = [one for one in rows(tx, "event") if one["name"] == "chat.said"]
        tx.execute(
            update(event).where(event.c.id == said["id"]).values(data=said["data"] | {"sensitive": True})
        )
    found = {(one.invariant.value, one.text.split(",")[0]) for one in verify_store(database, now=NOON).violations}  # fmt: skip
    assert ("I11", "went out as an answer") in found
    assert any(invariant == "I19" for invariant, _ in found)


def test_talk_to_an_agent(database: Database, debtor: Listed, talk_of: Any) -> None:
    """Two, or its words: they are told so, an agent finds them in the inbox, and their lead is called before all others."""
    with database.write() as tx:
        talk = talk_of(tx)
        assert talk.write("quiero hablar con un ASESOR") == ["Un asesor le atenderá en breve."]
        assert talk.state[0] == "waiting"
        [callback] = rows(tx, "callback")
        assert (callback["lead_id"], callback["due_at_utc"]) == (debtor.lead, NOON + MINUTE)
        assert talk.write("¿hola?") == []  # a person reads it


def test_already_paid(database: Database, talk_of: Any) -> None:
    """Three: evidence is asked for, and noted; what they send then waits for a person."""
    with database.write() as tx:
        talk = talk_of(tx)
        [answer] = talk.write("ya pagué")
        assert "comprobante" in answer
        assert talk.state[0] == "closed"
        assert talk.write("[image] mi recibo") == []
        assert talk.state[0] == "waiting"
    with database.read() as tx:
        assert "evidence.requested" in {one["name"] for one in rows(tx, "event")}


def test_no_more(database: Database, talk_of: Any) -> None:
    """BAJA at any step: the channel is restricted, the chat is over, nothing more is written."""
    with database.write() as tx:
        talk = talk_of(tx)
        talk.write("1")
        assert talk.write("BAJA") == []
        assert talk.state[0] == "closed"
        assert {one["kind"] for one in rows(tx, "restriction")} == {"refused_channel"}
        assert talk.write("1") == []


def test_what_means_nothing_first(database: Database, talk_of: Any) -> None:
    """Whatever they write that is no option: the options are written; emoji, Arabic and 4,000 characters are no harm."""
    with database.write() as tx:
        talk = talk_of(tx)
        assert talk.write("¿quién es? 🙃 مرحبا " * 100)[0].startswith("Mensaje automático. Responda 1")
        assert talk.write("{account.balance}")[0].startswith("No entendí")
        assert talk.write("2") == ["Un asesor le atenderá en breve."]


def test_a_restart_in_between(database: Database, debtor: Listed, talk_of: Any, template: Template, mexico: RulePack) -> None:  # fmt: skip
    """Another host goes on where it was: identity, tries and the step are in the store."""
    with database.write() as tx:
        digits = own_digits(tx, debtor)
        talk = talk_of(tx)
        talk.write("1")
        talk.write(digits)
    with database.write() as tx:
        again = Talk(tx, new_bots(template), mexico, NOON + 3 * MINUTE)
        assert again.write("1")[0].startswith("Su promesa")


def test_a_text_told_twice_is_heard_once(database: Database, talk_of: Any) -> None:
    """The provider tells it again: nothing is said or done a second time."""
    with database.write() as tx:
        talk = talk_of(tx)
        one = Inbound(provider_id="I1", sender=NUMBER, text="1")
        assert inbound.receive(tx, Channel.SMS, one, talk.now + MINUTE) is not None
        assert inbound.receive(tx, Channel.SMS, one, talk.now + MINUTE) is None


def test_it_expires(database: Database, talk_of: Any, debtor: Listed, template: Template, mexico: RulePack) -> None:  # fmt: skip
    """Nobody answers in time: it is over, and what they write then begins anew, unidentified."""
    with database.write() as tx:
        digits = own_digits(tx, debtor)
        talk = talk_of(tx)
        talk.write("1")
        talk.write(digits)
        assert chats.expire(tx, talk.now + dt.timedelta(hours=23)) == 0
        assert chats.expire(tx, talk.now + dt.timedelta(hours=25)) == 1
        remind(tx, debtor, template, mexico, talk.now + dt.timedelta(hours=26))
        [again] = talk.write("1", after=dt.timedelta(hours=27))
        assert "últimos 4 dígitos" in again


@pytest.mark.parametrize("gone", ["paid", "withdrawn"])
def test_an_account_that_goes_in_mid_flow(database: Database, debtor: Listed, talk_of: Any, gone: str) -> None:  # fmt: skip
    """Paid, or taken back by its creditor: nothing more is said of it; a person reads what they write."""
    with database.write() as tx:
        digits = own_digits(tx, debtor)
        talk = talk_of(tx)
        talk.write("1")
        people.update_account(tx, debtor.account, {"status": gone})
        assert talk.write(digits) == []
        assert talk.state[0] == "waiting"


def test_answers_at_night_and_past_caps(database: Database, debtor: Listed, talk_of: Any, mexico: RulePack) -> None:  # fmt: skip
    """Who writes at night, ever so often, is answered, and is none the less to be called; a reminder at that hour waits."""
    with database.write() as tx:
        talk = talk_of(tx)
        for _ in range(12):
            assert len(talk.write("¿cómo?", after=dt.timedelta(hours=1))) <= 1
        assert talk.state[0] == "waiting"  # asked often enough: a person takes over
        purposes = [one["purpose"] for one in rows(tx, "contact")]
        assert purposes.count("answer") >= 3
        assert purposes.count("collection") == 1


def test_unknown_people_and_other_templates_wait_for_a_person(database: Database, debtor: Listed, bots: Bots, mexico: RulePack) -> None:  # fmt: skip
    """What answers no flow is read by somebody."""
    with database.write() as tx:
        talk = Talk(tx, bots, mexico)
        assert talk.write("hola") == []
        assert talk.state == ("waiting", None)


def test_the_inbox(database: Database, talk_of: Any, bots: Bots) -> None:
    """An agent with the skills takes one, as many as they may; puts it back, gives it to the flow again, closes it; twice is refused."""
    with database.write() as tx:
        talk = talk_of(tx)
        talk.write("2")
        [chat] = rows_of_chats.in_state(tx, ChatState.WAITING)
        ana, leo = AgentId("ana"), AgentId("leo")
        with pytest.raises(CommandRefusedError, match="skill legal"):
            chats.take(tx, chat.id, ana, {"english": 9}, {"legal": 3}, 3, NOON)
        with pytest.raises(CommandRefusedError, match="has 0 chats"):
            chats.take(tx, chat.id, ana, {}, {}, 0, NOON)
        taken = chats.take(tx, chat.id, ana, {"legal": 3}, {"legal": 3}, 1, NOON)
        assert chats.take(tx, chat.id, ana, {}, {}, 1, NOON) == taken
        with pytest.raises(CommandRefusedError, match="it cannot be taken"):
            chats.take(tx, chat.id, leo, {}, {}, 3, NOON)
        assert talk.write("¿sigue ahí?") == []
        chats.move(tx, chats.known(tx, chat.id), "put_back", NOON, agent_id=None)
        resumed = bots.resume(tx, chats.known(tx, chat.id), talk.now)
        assert resumed.place is None  # nobody is identified there
        assert talk.write("1")[0].startswith("Para confirmar")
        chats.move(tx, chats.known(tx, chat.id), "closed", NOON)
        with pytest.raises(CommandRefusedError, match="closed"):
            chats.move(tx, chats.known(tx, chat.id), "closed", NOON)


@pytest.mark.parametrize(
    ("text", "says"),
    [('flow = "nowhere"\n', "is not in"), ('purpose = "answer"\n', "a template has another")],
)
def test_wrong_templates_are_refused(tmp_path: Path, text: str, says: str) -> None:
    """A flow that there is not, and the purpose that is let past the hours."""
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "a.toml").write_text(f'channel = "sms"\n{text}[text]\nes = "Hola. Responda BAJA."\n')
    with pytest.raises(ConfigError, match=says):
        load_bots(SHIPPED / "flows", load_templates(folder))


def test_a_flow_with_sound_cannot_be_written(tmp_path: Path) -> None:
    """Recorded prompts are refused by name."""
    flows, folder = tmp_path / "flows", tmp_path / "templates"
    flows.mkdir()
    folder.mkdir()
    text = (
        (SHIPPED / "flows" / "respuestas.toml")
        .read_text()
        .replace('text.es = "Listo."', 'text.es = [{ clip = "listo" }]')
    )
    (flows / "respuestas.toml").write_text(text)
    (folder / "a.toml").write_text(
        'channel = "sms"\nflow = "respuestas"\n[text]\nes = "Hola. Responda BAJA."\n'
    )
    with pytest.raises(ConfigError, match="clip 'listo' cannot be written"):
        load_bots(flows, load_templates(folder))


def test_states_of_messages_are_left_alone(database: Database, talk_of: Any) -> None:
    """What came stays as it came."""
    with database.write() as tx:
        talk_of(tx).write("1")
        assert len(messages.in_state(tx, MessageState.RECEIVED)) == 1


def test_buttons_go_with_the_question(database: Database, talk_of: Any) -> None:
    """A channel that has buttons is given those of the last question; what stands in for an approved template it is not."""
    with database.write() as tx:
        talk_of(tx).write("¿quién es?")
        [said] = [one for one in rows(tx, "message") if one["source"] == "flow respuestas"]
        given = outbound(messages.get(tx, [said["id"]])[said["id"]])
        assert given.template is None
        assert given.buttons == (("1", "Acordar fecha"), ("2", "Hablar con asesor"), ("3", "Ya lo resolví"))
