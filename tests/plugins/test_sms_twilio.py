"""The plugin `sms` speaks a protocol shaped like Twilio's: requests as its contract says, every answer understood, nobody else believed."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from pydantic import ValidationError

from dialer_core.messaging.channel import (
    Accepted,
    Answer,
    ForgedError,
    Inbound,
    MessageChannel,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from plugins.sms.settings import TwilioSettings
from plugins.sms.twilio import TwilioChannel, signature
from tests.plugins.provider import HttpProvider, http_provider

pytestmark = pytest.mark.unit

URL = "https://dialer.example/hooks/sms"
TOKEN = "secret"
MESSAGE = OutboundMessage(idempotency_key="m1", to="+525512345678", text="Hola Ñandú 😀. Responda BAJA.")


def channel(base_url: str = "http://127.0.0.1:9", **more: object) -> TwilioChannel:
    """Return a channel to a provider."""
    raw = {
        "base_url": base_url,
        "provider": "twilio",
        "account_sid": "AC1",
        "auth_token_env": "T",
        "sender": "+525500000000",
        "public_url": URL,
    }
    return TwilioChannel(TwilioSettings.model_validate(raw | more), TOKEN)


async def asked(provider: HttpProvider, **more: object) -> Answer:
    """Send one message to a provider and return what it came to."""
    one = channel(provider.url, **more)
    try:
        return await one.send(MESSAGE)
    finally:
        await one.close()


async def test_a_message_is_sent_as_the_contract_says() -> None:
    """One form post with our number, their number, the text and where receipts go; any text arrives as it is."""
    async with http_provider() as provider:
        provider.answer = lambda _: (201, {"sid": "SM1", "status": "queued"}, {})
        assert await asked(provider) == Accepted(provider_id="SM1")
    [(path, headers, raw)] = provider.requests
    assert path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["authorization"].startswith("Basic ")
    assert dict(parse_qsl(raw.decode())) == {
        "To": MESSAGE.to, "From": "+525500000000", "Body": MESSAGE.text, "StatusCallback": URL,
    }  # fmt: skip


@pytest.mark.needs_shared
async def test_the_form_has_only_fields_of_the_contract(shared_data: Path) -> None:
    """Every field is one that the provider's published interface knows."""
    contract = json.loads((shared_data.parent / "contracts" / "twilio_messages.json").read_text())
    post = contract["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]
    known = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"]
    async with http_provider() as provider:
        await asked(provider)
        await asked(provider, sender="", messaging_service_sid="MG1")
    for _, _, raw in provider.requests:
        assert dict(parse_qsl(raw.decode())).keys() <= known.keys()


@pytest.mark.parametrize(
    ("status", "body", "headers", "meaning"),
    [
        (400, {"code": 21614, "message": "not mobile"}, {}, NotAccepted(code="21614", permanent=True)),
        (401, {"code": 20003}, {}, NotAccepted(code="20003", permanent=False)),
        (429, {"code": 20429}, {"retry-after": "7"}, NotAccepted(code="20429", permanent=False, retry_after_s=7.0)),
        (429, "busy", {"retry-after": "soon"}, NotAccepted(code="429", permanent=False)),
        (503, "<html>", {}, NotAccepted(code="503", permanent=False)),
        (500, {}, {}, Unknown(code="500")),
        (504, "", {}, Unknown(code="504")),
        (201, "{half", {}, Unknown(code="no_sid")),
        (201, ["nonsense"], {}, Unknown(code="no_sid")),
    ],
)  # fmt: skip
async def test_every_answer_is_understood(
    status: int, body: object, headers: dict[str, str], meaning: Answer
) -> None:
    """Not taken for good, not taken now, or nobody can say."""
    async with http_provider() as provider:
        provider.answer = lambda _: (status, body, headers)
        assert await asked(provider) == meaning


async def test_a_provider_that_is_away_has_taken_nothing() -> None:
    """Where no connection is made, nothing has left."""
    assert await channel().send(MESSAGE) == NotAccepted(code="unreachable", permanent=False)


def told(fields: dict[str, str], *, token: str = TOKEN, url: str = URL) -> tuple[dict[str, str], bytes]:
    """Return a form post as the provider signs it."""
    return {"x-twilio-signature": signature(token, url, list(fields.items()))}, urlencode(fields).encode()


@pytest.mark.parametrize(
    ("fields", "meaning"),
    [
        ({"MessageStatus": "sent"}, ()),
        ({"MessageStatus": "delivered"}, (Receipt(provider_id="SM1", delivered=True, code="delivered"),)),
        (
            {"MessageStatus": "undelivered", "ErrorCode": "30005"},
            (Receipt(provider_id="SM1", delivered=False, code="30005"),),
        ),
        (
            {"From": "+52155", "Body": "BAJA", "Extra": ""},
            (Inbound(provider_id="SM1", sender="+52155", text="BAJA"),),
        ),
        (
            {"SmsStatus": "received", "From": "+1", "Body": "\u202e مرحبا 😀"},
            (Inbound(provider_id="SM1", sender="+1", text="\u202e مرحبا 😀"),),
        ),
    ],
)
def test_what_the_provider_tells(fields: dict[str, str], meaning: tuple[Receipt | Inbound, ...]) -> None:
    """Receipts of an end, and answers; what is on its way tells nothing."""
    assert tuple(channel().parse_webhook(*told({"MessageSid": "SM1"} | fields))) == meaning


def test_nobody_else_is_believed() -> None:
    """A wrong signature, none, another address's, a changed field, or a channel that expects none: forged."""
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    headers, raw = told(fields)
    forged = [
        ({}, raw),
        (told(fields, token="other")[0], raw),
        (told(fields, url=URL + "x")[0], raw),
        (headers, raw + b"&x=1"),
    ]
    for bad_headers, bad_raw in forged:
        with pytest.raises(ForgedError):
            channel().parse_webhook(bad_headers, bad_raw)
    with pytest.raises(ForgedError):
        channel(public_url="").parse_webhook(headers, raw)


def test_the_signature_is_the_providers() -> None:
    """The example that the provider publishes of its signature comes out as it says."""
    fields = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675310", "Digits": "1234", "From": "+14158675310", "To": "+18005551212"}  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, list(fields.items())) == "GvWf1cFY/Q7PnoempGyD5oXAezc="


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": ""}, {"messaging_service_sid": "MG1"}, {"auth_token_env": ""}, {"public_url": "https://x/elsewhere"}, {"colour": 1},
        {"per_second": 0},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    """Each is told before anything is sent."""
    with pytest.raises(ValidationError):
        channel(**wrong)


def test_it_is_a_channel() -> None:
    """It has what the core asks of one."""
    assert isinstance(channel(), MessageChannel)
