"""The plugin `email` against mail servers that are not ours: what is sent, what comes back, and what each answer means."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from pydantic import ValidationError

from dialer_core.messaging import letters
from dialer_core.messaging.channel import (
    Accepted,
    Answer,
    Attachment,
    Inbound,
    MessageChannel,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from plugins.email.channel import EmailChannel
from plugins.email.mailbox import read
from plugins.email.settings import EmailSettings
from tests.host.running import free_port
from tests.plugins.mail_servers import mail_server, mailbox_server
from tests.polling import wait_until_async
from tests.skips import requires_program

pytestmark = pytest.mark.unit

MESSAGE = OutboundMessage(
    idempotency_key="m-1", to="ana@example.mx", subject="Su convenio, Ana ✓", language="es",
    text="Hola Ana <b>:\n\nSu liga: https://pagos.example.mx/?a=1&b=2.\nResponda BAJA. 😀 مرحبا",
    attachments=(Attachment(name="convenio.pdf", media_type=letters.PDF, content=letters.pdf("Convenio", "Uno\n\nDos")),),
)  # fmt: skip


def channel(port: int, **more: object) -> EmailChannel:
    """Return a channel to a server on loopback."""
    raw = {
        "sender": "cobranza@example.org",
        "sender_name": "Cobranza, S.A.",
        "smtp": {"host": "127.0.0.1", "port": port, "security": "none"},
    }
    return EmailChannel(EmailSettings.model_validate(raw | more), imap_password="secret")


async def asked(port: int, **more: object) -> Answer:
    """Send the message; return what it came to."""
    one = channel(port, **more)
    try:
        return await one.send(MESSAGE)
    finally:
        await one.close()


async def test_a_mail_is_text_html_and_letters() -> None:
    """Both forms say the same, nothing in the text is read as HTML, the letter is a PDF, and one button says no more."""
    async with mail_server() as server:
        assert await asked(server.port) == Accepted(provider_id="<m-1@example.org>")
    [mail], [envelope] = server.mails, server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("cobranza@example.org", ["ana@example.mx"])
    assert (mail["Subject"], mail["Message-ID"]) == (MESSAGE.subject, "<m-1@example.org>")
    assert mail["List-Unsubscribe"] == "<mailto:cobranza@example.org?subject=BAJA>"
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain
    assert page
    assert plain.get_content().strip().replace("\r", "") == MESSAGE.text
    assert "Hola Ana &lt;b&gt;:" in page.get_content()
    assert '<a href="https://pagos.example.mx/?a=1&amp;b=2">' in page.get_content()
    [letter] = mail.iter_attachments()
    assert (letter.get_filename(), letter.get_content_type()) == ("convenio.pdf", "application/pdf")
    assert letter.get_content().startswith(b"%PDF-")


async def test_it_is_encrypted_or_not_sent(tmp_path: Path) -> None:
    """STARTTLS with a certificate that we know; one that we do not know gets nothing."""
    smtp = {"host": "127.0.0.1", "security": "starttls"}
    async with mail_server(tmp_path) as server:
        known = smtp | {"port": server.port, "ca_file": str(tmp_path / "cert.pem")}
        assert isinstance(await asked(0, smtp=known), Accepted)
        assert await asked(0, smtp=smtp | {"port": server.port}) == NotAccepted(
            code="unreachable", permanent=False
        )
    assert len(server.mails) == 1


@pytest.mark.parametrize(
    ("step", "answer", "meaning"),
    [
        ("RCPT", "550 5.1.1 unknown", NotAccepted(code="550", permanent=True)),
        ("RCPT", "451 4.7.1 greylisted", NotAccepted(code="451", permanent=False)),
        ("MAIL", "421 busy", NotAccepted(code="421", permanent=False)),
        ("MAIL", "550 5.7.1 sender suspended", NotAccepted(code="550", permanent=False)),
        ("DATA", "554 5.7.1 spam", NotAccepted(code="554", permanent=True)),
        ("DATA", "452 full", NotAccepted(code="452", permanent=False)),
        ("DATA", "break", Unknown(code="SMTPServerDisconnected")),
    ],
)
async def test_every_answer_is_understood(step: str, answer: str, meaning: Answer) -> None:
    """Not taken for good, not taken now, or, once the text was handed over and no answer came, nobody can say."""
    async with mail_server() as server:
        server.answers[step] = lambda: answer
        assert await asked(server.port) == meaning


async def test_a_server_that_is_away_has_taken_nothing() -> None:
    """Where no connection is made, nothing has left."""
    assert await asked(free_port()) == NotAccepted(code="unreachable", permanent=False)


async def test_connections_are_kept_and_dead_ones_replaced() -> None:
    """The next message goes by the same connection; one that the server closed meanwhile loses nothing."""
    async with mail_server() as server:
        one = channel(server.port)
        assert isinstance(await one.send(MESSAGE), Accepted)
        [kept] = one._idle
        assert isinstance(await one.send(MESSAGE), Accepted)
        assert one._idle == [kept]
        assert kept.transport
        kept.transport.abort()
        assert isinstance(await one.send(MESSAGE), Accepted)
        assert len(server.mails) == 3
        await one.close()


def reply(text: str = "Sí, pago el viernes.", **headers: str) -> bytes:
    """Return a mail of a person."""
    mail = EmailMessage()
    usual = {"From": "Ana <Ana@Example.mx>", "Subject": "Re: Su convenio", "Message_ID": "<r-1@example.mx>"}
    for name, value in (usual | headers).items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail.as_bytes()


def bounce(action: str = "failed", *, whole: bool = True) -> bytes:
    """Return a delivery status notification as mail servers write it."""
    kind = "message/rfc822" if whole else "text/rfc822-headers"
    return (
        "From: MAILER-DAEMON@mx.example.mx\r\nTo: cobranza@example.org\r\nSubject: Undelivered Mail\r\nAuto-Submitted: auto-replied\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nI'm sorry.\r\n\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.mx\r\n\r\n"
        f"Final-Recipient: rfc822; ana@example.mx\r\nAction: {action}\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: {kind}\r\n\r\nMessage-ID: <m-1@example.org>\r\nSubject: Su convenio\r\n\r\nHola\r\n\r\n--b--\r\n"
    ).encode()


def test_what_people_write() -> None:
    """Their words without what they quote, what they answer, and the names of their files."""
    quoted = "Sí, pago el viernes.\n\nEl lun, 3 mar 2025 a las 9:00, Cobranza <c@example.org> escribió:\n> Hola Ana\n> BAJA"
    [told] = read(reply(quoted, In_Reply_To="<m-1@example.org>", References="<m-0@example.org> <m-1@example.org>"))  # fmt: skip
    assert told == Inbound(
        provider_id="<r-1@example.mx>", sender="Ana@Example.mx", subject="Re: Su convenio", text="Sí, pago el viernes.",
        in_reply_to=("<m-1@example.org>", "<m-0@example.org>"),
    )  # fmt: skip
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "ana@example.mx", "<r-2@example.mx>"
    mail.set_content(
        "<style>p{}</style><p>Ya <b>pagué</b> &amp; listo</p><br>Gracias 😀 مرحبا", subtype="html"
    )
    mail.add_attachment(b"x" * 100, maintype="image", subtype="jpeg", filename="recibo.jpg")
    [told] = read(mail.as_bytes())
    assert isinstance(told, Inbound)
    assert told.text == "Ya pagué & listo\n\nGracias 😀 مرحبا\n[file] recibo.jpg"


@pytest.mark.parametrize(
    "below",
    [
        "\n\nEl lun, 3 mar 2025 a las 9:00, Cobranza del Banco de Ejemplo (<cobranza@example.org>)\nescribió:\n\n> Hola Ana\n> BAJA",
        "\n\nOn Mon, Mar 3, 2025 at 9:00 AM Collections\n<collections@example.org>\nwrote:\n> Hello",
        "\n\nEnviado desde mi iPhone",
        "\n\nObtener Outlook para Android\n________________________________\nDe: Cobranza <c@example.org>",
        "\n-- \nAna López\nContadora",
    ],
)
def test_what_a_mail_program_adds_is_not_theirs(below: str) -> None:
    """The line over a quotation, however it is broken, a telephone's own line and a signature: an opt-out stays one word."""
    [told] = read(reply(f"Baja{below}"))
    assert isinstance(told, Inbound)
    assert told.text == "Baja"


def test_the_unsubscribe_button_of_a_mail_program_is_heard() -> None:
    """A mail program says that it wrote by itself; what it says is its owner's word all the same."""
    [told] = read(reply("", Subject="BAJA", Auto_Submitted="auto-generated", Precedence="bulk"))
    assert isinstance(told, Inbound)
    assert told.subject == "BAJA"


@pytest.mark.parametrize("whole", [True, False])
def test_bounces(whole: bool) -> None:  # noqa: FBT001 - as parametrised
    """What came back is a receipt of the message; a delay is nothing; what is of nothing of ours is nothing."""
    assert read(bounce(whole=whole)) == [
        Receipt(provider_id="<m-1@example.org>", delivered=False, code="5.1.1")
    ]
    assert read(bounce("delayed", whole=whole)) == []
    assert read(bounce(whole=whole).replace(b"Message-ID", b"X-Nothing")) == []


@pytest.mark.parametrize(
    "raw",
    [
        reply(Auto_Submitted="auto-replied"), reply(Precedence="bulk"), b"", b"\xff\xfe\0", b"From: nobody\r\n\r\nx",
        b"From: a@b.mx\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nhola",
        b"From: a@b.mx\r\nContent-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
    ],
)  # fmt: skip
def test_machines_and_garbage_are_nobodys_word(raw: bytes) -> None:
    """An automatic answer is not answered; what cannot be read costs nothing."""
    told = read(raw)
    assert told == [] or b"nonsense" in raw


@requires_program("dovecot")
async def test_the_mailbox(tmp_path: Path) -> None:
    """New mails are told once, marked as seen when they are stored and not before; told again where nobody stored them."""
    async with mailbox_server(tmp_path / "box") as server:
        imap = {
            "host": "127.0.0.1",
            "port": server.port,
            "security": "none",
            "user": "box",
            "password_env": "X",
            "every_s": 0.1,
        }
        server.put(reply("BAJA"))
        server.put(bounce())
        first = channel(free_port(), imap=imap)
        stream = first.receive()
        told = await anext(stream)
        assert {type(one) for one in told} == {Inbound, Receipt}
        await stream.aclose()
        await first.close()
        assert server.seen() == 0  # nobody stored it
        again = channel(free_port(), imap=imap)
        stream = again.receive()
        assert list(await anext(stream)) == list(told)
        following = asyncio.ensure_future(anext(stream))
        await wait_until_async(lambda: server.seen() == 2, 10, "both to be marked")
        server.put(reply("Otra", Message_ID="<r-2@example.mx>"))
        [one] = await following
        assert isinstance(one, Inbound)
        assert one.text == "Otra"
        await stream.aclose()
        await again.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda raw: raw["smtp"].update(host="mail.example.mx"), "is another"),
        (lambda raw: raw["smtp"].update(user="x"), "give user and either"),
        (lambda raw: raw.update(sender="nobody"), "match pattern"),
        (lambda raw: raw.update(sender_name="a\r\nBcc: b@c.mx"), "match pattern"),
        (lambda raw: raw.update(colour=1), "not permitted"),
    ],
)
def test_wrong_settings_are_refused(wrong: Callable[[dict[str, object]], None], says: str) -> None:
    """Each is told before anything is sent; a text that is not encrypted leaves this machine never."""
    raw: dict[str, object] = {"sender": "c@example.org", "smtp": {"host": "127.0.0.1", "security": "none"}}
    wrong(raw)
    with pytest.raises(ValidationError, match=says):
        EmailSettings.model_validate(raw)


async def test_headers_cannot_be_written_by_a_text() -> None:
    """A line break in a subject or an address is no header of its own."""
    bad = OutboundMessage(idempotency_key="m", to="a@b.mx\r\nBcc: c@d.mx", subject="x", text="y")
    assert await channel(free_port()).send(bad) == NotAccepted(code="unsendable", permanent=True)


def test_letters_are_the_same_for_the_same_text() -> None:
    """Byte for byte; markup in a text is text; pages follow one another; what no font has is a question mark."""
    one = letters.pdf("Carta & <b>", "Párrafo <para>\nlínea\n\n" * 200 + "😀", foot="Banco")
    assert one == letters.pdf("Carta & <b>", "Párrafo <para>\nlínea\n\n" * 200 + "😀", foot="Banco")
    assert one.count(b"/Type /Page\n") > 3
    assert base64.b64encode(one)


def test_it_is_a_channel() -> None:
    """It has what the core asks of one."""
    assert isinstance(channel(1), MessageChannel)
