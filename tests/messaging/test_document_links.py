"""Links to documents: what they open, for whom, until when, and that nothing else does."""

from __future__ import annotations

import base64
import datetime as dt
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import structlog.testing

from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError, ConfigError
from dialer_core.http.document_links import LinkPages
from dialer_core.http.webhooks import create_webhook_app
from dialer_core.messaging import composing, document_links
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.document_links import DocumentLinks
from dialer_core.messaging.messenger import Messenger
from dialer_core.messaging.sending import outbound
from dialer_core.messaging.templates import Template, load_template
from dialer_core.portfolio import proof
from dialer_core.store import consents, messages, people, restrictions
from dialer_core.store import document_links as link_rows
from dialer_core.store.database import Database
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel, RestrictionKind, RestrictionScope
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, rows

pytestmark = pytest.mark.db

BASE = "https://docs.example.com"
KEYS = {"b": "second key of thirty-two characters!", "a": "first key, also of thirty-two letters"}
LETTER = """
channel = "sms"
[text]
es = "{{ first_name }}, su documento: {{ document_link }} Responda BAJA para no recibir más."
en = "{{ first_name }}, your document: {{ document_link }} Reply STOP to opt out."
[[letters]]
name = "convenio"
title = { es = "Convenio", en = "Agreement" }
text = { es = "{{ name }} debe {{ balance }}.", en = "{{ name }} owes {{ balance }}." }
[link]
letter = "convenio"
"""
STATEMENT = LETTER[: LETTER.index("[[letters]]")] + '[link]\ndocument = "statement"\n'


def template(folder: Path, text: str = LETTER) -> Template:
    """Load a template from a text."""
    file = folder / "enlace.toml"
    file.write_text(text, encoding="utf-8")
    return load_template(file)


@dataclass
class Sent:
    """A message with a link, and what opens it."""

    message: MessageRow
    database: Database
    links: DocumentLinks
    state_dir: Path
    clock: VirtualClock

    @property
    def token(self) -> str:
        """Return what stands behind `/d/`."""
        found = re.search(rf"{re.escape(BASE)}/d/(\S+)", self.message.body)
        assert found
        return found[1]

    def client(self) -> httpx2.AsyncClient:
        """Return somebody's browser."""
        messenger = Messenger(self.database, templates={}, campaigns={}, packs={}, clock=self.clock)
        pages = LinkPages(self.database, self.links, self.state_dir, self.clock)
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=create_webhook_app(messenger, pages)), base_url=BASE
        )

    async def answer(self, said: str, token: str = "") -> httpx2.Response:
        """Answer the question behind a link."""
        async with self.client() as browser:
            return await browser.post(f"/d/{token or self.token}", data={"said": said})

    def audited(self) -> list[str]:
        """Return what the audit says of links."""
        with self.database.read() as tx:
            return [one["action"] for one in rows(tx, "audit") if one["action"].startswith("document_link")]


@pytest.fixture
def send(database: Database, debtor: Listed, tmp_path: Path) -> Callable[..., Sent]:
    """Return what queues a message with a link about the debtor's account 4401-7788."""

    def make(text: str = LETTER, keys: dict[str, str] | None = None) -> Sent:
        one, links = template(tmp_path, text), DocumentLinks(BASE, keys or KEYS)
        with database.write() as tx:
            people.update_account(tx, debtor.account, {"external_id": "4401-7788", "attributes": {"nacio": "1980"}})  # fmt: skip
            request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template=one.name)
            sent = composing.queue(tx, request, one, NOON, source="test", links=links)
            message = messages.get(tx, [sent])[sent]
        return Sent(message, database, links, tmp_path / "state", VirtualClock(NOON))

    return make


def keep_statement(database: Database, debtor: Listed, folder: Path, text: str = "Saldo: 1,234.50") -> None:
    """Give the account a statement."""
    file = folder / "statement.txt"
    file.write_text(text, encoding="utf-8")
    location, digest = proof.keep(folder / "state", file)
    with database.write() as tx:
        proof.add(
            tx, account_id=debtor.account, kind="statement", title="Marzo", location=location, sha256=digest, actor="test", now=NOON
        )  # fmt: skip


async def test_the_letter_opens_for_who_knows_the_account(send: Callable[..., Sent]) -> None:
    """The page says nothing of anybody; the right answer gets the letter as PDF, kept nowhere; the message itself carries no letter."""
    sent = send()
    assert outbound(sent.message).attachments == ()
    async with sent.client() as browser:
        page = await browser.get(f"/d/{sent.token}", headers={"accept-language": "en"})
    assert page.status_code == 200
    assert "last 4 characters of your account" in page.text
    assert "ANA" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    assert sent.audited() == []  # what previews links opens none
    with structlog.testing.capture_logs() as logs:
        got = await sent.answer("77 88")
    assert (got.status_code, got.headers["content-type"]) == (200, "application/pdf")
    assert got.content.startswith(b"%PDF")
    assert sent.token not in repr(logs)
    assert sent.audited() == ["document_link.opened"]
    assert (await sent.answer("4401-7788")).status_code == 200  # more than is asked for is right too


async def test_a_document_of_the_account(send: Callable[..., Sent], database: Database, debtor: Listed, tmp_path: Path) -> None:  # fmt: skip
    """The latest kept document of the kind opens; without one nothing is queued; one that was changed since does not open."""
    with pytest.raises(CommandRefusedError, match="no document of the kind 'statement'"):
        send(STATEMENT)
    keep_statement(database, debtor, tmp_path)
    sent = send(STATEMENT)
    got = await sent.answer("7788")
    assert (got.text, got.headers["content-type"]) == ("Saldo: 1,234.50", "text/plain; charset=utf-8")
    [kept] = (tmp_path / "state" / "documents").iterdir()
    kept.write_text("another", encoding="utf-8")
    assert (await sent.answer("7788")).status_code == 410


async def test_another_question(send: Callable[..., Sent]) -> None:
    """An attribute is asked for in the words of the template; nothing is asked only of who agreed to the channel."""
    asked = (
        '\nfield = "x.nacio"\nquestion = { es = "¿En qué año nació?", en = "In which year were you born?" }\n'
    )
    sent = send(LETTER + asked)
    async with sent.client() as browser:
        assert "¿En qué año nació?" in (await browser.get(f"/d/{sent.token}")).text
    assert (await sent.answer("1981")).status_code == 403
    assert (await sent.answer("1980")).status_code == 200
    with pytest.raises(ConfigError, match="'balance' reveals a debt"):
        send(LETTER + 'field = ""\n')
    with pytest.raises(CommandRefusedError, match="has fewer"):
        send(LETTER + asked.replace("x.nacio", "x.curp"))


@pytest.mark.parametrize("attributes", [{}, {"nacio": ""}, {"nacio": "80"}, {"nacio": "----"}])
async def test_a_question_whose_answer_is_gone(
    send: Callable[..., Sent], database: Database, debtor: Listed, attributes: dict[str, str]
) -> None:
    """An attribute that was taken away or cut short since opens the link to nobody, and least of all to who answers nothing."""
    sent = send(LETTER + '\nfield = "x.nacio"\nquestion = { es = "¿En qué año nació?", en = "When?" }\n')
    with database.write() as tx:
        people.update_account(tx, debtor.account, {"attributes": attributes})
    for said in ("", "1980", "80", "----"):
        assert (await sent.answer(said)).status_code == 410, said
    assert sent.audited() == ["document_link.refused"] * 4


def _forged(token: str, **changes: bytes) -> str:
    name, _, told = token.partition(".")
    raw = base64.urlsafe_b64decode(told + "=" * (-len(told) % 4))
    return f"{name}.{base64.urlsafe_b64encode(changes.get('id', raw[:16]) + changes.get('signed', raw[16:])).decode().rstrip('=')}"


async def test_what_is_forged_opens_nothing(send: Callable[..., Sent]) -> None:
    """Another message's id, another signature, another key's name, half a token, and no token at all are the same nothing."""
    sent, other = send(), send()
    for token in (
        _forged(sent.token, id=uuid.UUID(other.message.id).bytes),
        _forged(sent.token, signed=bytes(16)),
        f"b.{sent.token}",
        f"a.{sent.token.partition('.')[2]}",
        f"zz.{sent.token.partition('.')[2]}",
        sent.token[:-4],
        f"{sent.token}AAAA",
        "b.%00%ff",
        "b.",
        "x" * 3000,
    ):
        got = await sent.answer("7788", token)
        assert got.status_code == 404, token
    async with sent.client() as browser:
        assert (await browser.get("/d/")).status_code == 404
        assert (await browser.put(f"/d/{sent.token}")).status_code == 405
    assert sent.audited() == []


async def test_it_is_for_one_account_and_document(send: Callable[..., Sent], database: Database, debtor: Listed, tmp_path: Path) -> None:  # fmt: skip
    """A row that was pointed at somebody else's account or document fits its signature no more; an account that came to somebody else is dead."""
    keep_statement(database, debtor, tmp_path)
    sent = send(STATEMENT)
    with database.write() as tx:
        other = put_lead(tx, ["+525598765432"])
        row = link_rows.get(tx, sent.message.id)
        assert row
        table = link_rows._TABLE
        tx.execute(table.update().values(account_id=other.account))
    assert (await sent.answer("7788")).status_code == 404
    with database.write() as tx:
        tx.execute(table.update().values(account_id=row.account_id, document_id=None, letter="convenio"))
    assert (await sent.answer("7788")).status_code == 404
    with database.write() as tx:
        tx.execute(table.update().values(document_id=row.document_id, letter=None))
        people.update_account(tx, debtor.account, {"person_id": other.person})
    assert (await sent.answer("7788")).status_code == 410


async def test_it_expires(send: Callable[..., Sent]) -> None:
    """After its days it says so, in the language of whoever looks, and opens nothing."""
    sent = send()
    sent.clock.step_wall(dt.timedelta(days=7))
    async with sent.client() as browser:
        for language, said in (
            ("en-US,es;q=0.5", "This link has expired"),
            ("es-MX", "Este enlace ya venció"),
        ):
            page = await browser.get(f"/d/{sent.token}", headers={"accept-language": language})
            assert (page.status_code, said in page.text) == (410, True)
    assert (await sent.answer("7788")).status_code == 410
    assert sent.audited() == ["document_link.refused"]


@pytest.mark.parametrize(
    ("kind", "scope", "channel", "status"),
    [
        (RestrictionKind.WRONG_NUMBER, RestrictionScope.PHONE, None, 410),
        (RestrictionKind.REFUSED_CHANNEL, RestrictionScope.NUMBER, Channel.SMS, 410),
        (RestrictionKind.REFUSED_CHANNEL, RestrictionScope.PERSON, Channel.EMAIL, 200),
        (RestrictionKind.DECEASED, RestrictionScope.PERSON, None, 410),
        (RestrictionKind.DISPUTE, RestrictionScope.ACCOUNT, None, 410),
        (RestrictionKind.INCONVENIENT_HOURS, RestrictionScope.PERSON, None, 200),
    ],
)
async def test_a_restriction_ends_it(
    send: Callable[..., Sent],
    database: Database,
    debtor: Listed,
    kind: RestrictionKind,
    scope: RestrictionScope,
    channel: Channel | None,
    status: int,
) -> None:
    """What says that the person is not to be reached there ends the link at once; what speaks of hours or of another channel does not."""
    sent = send()
    assert (await sent.answer("7788")).status_code == 200
    values = {
        RestrictionScope.PHONE: debtor.phones[0], RestrictionScope.NUMBER: sent.message.address,
        RestrictionScope.PERSON: debtor.person, RestrictionScope.ACCOUNT: debtor.account,
    }  # fmt: skip
    with database.write() as tx:
        restrictions.add(tx, kind, scope, values[scope], source="test", from_utc=NOON, channel=channel)
    assert (await sent.answer("7788")).status_code == status


async def test_it_is_ended_by_command(send: Callable[..., Sent]) -> None:
    """A link that was ended opens no more, and one that never was is told."""
    sent = send()
    with sent.database.write() as tx:
        document_links.end(tx, sent.message.id, actor="user:maria")
        with pytest.raises(CommandRefusedError, match="no link"):
            document_links.end(tx, "0198c9a4-7c1e-7000-8000-000000000001", actor="user:maria")  # type: ignore[arg-type]
    assert (await sent.answer("7788")).status_code == 410
    assert sent.audited() == ["document_link.ended", "document_link.refused"]


async def test_keys_are_changed(send: Callable[..., Sent]) -> None:
    """A new key signs, the one before still opens what it signed, and nothing once it is taken away."""
    sent = send(keys={"a": KEYS["a"]})
    assert sent.token.startswith("a.")
    sent.links = DocumentLinks(BASE, KEYS)
    assert (await sent.answer("7788")).status_code == 200
    assert send().token.startswith("b.")
    sent.links = DocumentLinks(BASE, {"b": KEYS["b"]})
    assert (await sent.answer("7788")).status_code == 404
    sent.links = DocumentLinks(BASE, {"a": KEYS["b"]})
    assert (await sent.answer("7788")).status_code == 404


async def test_guessing_ends_it(send: Callable[..., Sent]) -> None:
    """After five wrong answers one waits, after ten the link is ended for good, for the right answer too."""
    sent = send()
    async with sent.client() as browser:
        told = [
            (await browser.post(f"/d/{sent.token}", data={"said": f"{number:04}"})).status_code
            for number in range(7)
        ]
    assert told == [403] * 5 + [429] * 2
    for number in range(5):  # a host that was started anew forgets who waits, and not what was answered
        assert (await sent.answer(f"9{number}99")).status_code == (403 if number < 4 else 410)
    assert (await sent.answer("7788")).status_code == 410
    assert sent.audited() == ["document_link.refused"] * 11


async def test_one_address_may_not_ask_for_ever(send: Callable[..., Sent]) -> None:
    """Past sixty requests in a minute an address is told to wait, whatever it asks for."""
    sent = send()
    async with sent.client() as browser:
        told = [(await browser.get(f"/d/b.{number}")).status_code for number in range(61)]
        big = await browser.post(f"/d/{sent.token}", content=b"said=" + b"x" * 5000)
    assert told == [404] * 60 + [429]
    assert big.status_code == 429
    assert (await sent.answer("x" * 5000)).status_code == 413


def test_a_template_with_a_link_is_checked(tmp_path: Path, database: Database, debtor: Listed) -> None:
    """A link that no text names, to a letter that is not there, or whose answer the message itself tells, is refused; and so is one without keys."""
    for text, said in (
        (LETTER.replace("{{ document_link }}", ""), "no text says where"),
        (LETTER.replace('letter = "convenio"', 'letter = "otro"'), "no [[letters]] of the name"),
        (
            LETTER.replace("su documento", "de la cuenta {{ reference }}, su documento"),
            "'reference' tells it",
        ),
        (LETTER + 'document = "statement"\n', "either to a document"),
        (LETTER.replace('[link]\nletter = "convenio"', ""), "'document_link' is no field"),
        (LETTER + 'field = "x.nacio"\n', "say how the attribute is asked for"),
    ):
        with pytest.raises(ConfigError) as caught:
            template(tmp_path, text)
        assert said in str(caught.value)
    request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template="enlace")
    with database.write() as tx, pytest.raises(CommandRefusedError, match=r"has no \[links\]"):
        composing.queue(tx, request, template(tmp_path), NOON, source="test")


def test_nothing_asked_goes_to_who_agreed(tmp_path: Path, send: Callable[..., Sent], database: Database, debtor: Listed) -> None:  # fmt: skip
    """A link that asks nothing is as private as its letter: to_confirmed, and the person's consent."""
    text = LETTER.replace('channel = "sms"', 'channel = "sms"\nto_confirmed = true') + 'field = ""\n'
    with pytest.raises(CommandRefusedError, match="has not agreed"):
        send(text)
    with database.write() as tx:
        consents.record(tx, debtor.person, Channel.SMS, granted=True, source="form", at_utc=NOON)
    assert _row(send(text)).field == ""


def _row(sent: Sent) -> link_rows.LinkRow:
    def ask(tx: Tx) -> link_rows.LinkRow:
        found = link_rows.get(tx, sent.message.id)
        assert found
        return found

    with sent.database.read() as tx:
        return ask(tx)
