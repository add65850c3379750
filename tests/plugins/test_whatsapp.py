"""The plugin `whatsapp` speaks the Cloud API: requests as its contract says, every answer understood, nobody else believed."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from dialer_core.messaging.channel import (
    Accepted,
    Answer,
    Attachment,
    ForgedError,
    Inbound,
    MessageChannel,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from plugins.whatsapp.cloud_api import CloudChannel, body_of
from plugins.whatsapp.settings import WhatsAppSettings
from tests.plugins.provider import http_provider

pytestmark = pytest.mark.unit

SECRET = "app"
TEXT = OutboundMessage(idempotency_key="m1", to="+525512345678", text="Hola 😀")
TEMPLATE = OutboundMessage(
    idempotency_key="m2", to="+525512345678", text="as rendered",
    template={"name": "recordatorio", "language": "es_MX", "parameters": ["Ana", "$1.00 MXN"]},
)  # fmt: skip


def channel(base_url: str = "http://127.0.0.1:9") -> CloudChannel:
    """Return a channel to a provider."""
    settings = WhatsAppSettings(base_url=base_url, phone_number_id="1234")
    return CloudChannel(settings, access_token="token", app_secret=SECRET, verify_token="word")


@pytest.mark.needs_shared
def test_requests_are_as_the_contract_says(shared_data: Path) -> None:
    """What is sent is valid by the provider's published schema of a message.

    No text message at all is valid by that schema as a whole (each half of it forbids the other's fields), so a text's halves are
    asked one by one.
    """
    file = shared_data.parent / "contracts" / "meta_whatsapp_business_v23.yaml"
    contract = yaml.safe_load(file.read_text(encoding="utf-8"))["components"]

    def valid(schema: dict[str, Any], body: Any) -> bool:
        return jsonschema_rs.validator_for(schema | {"components": contract}).is_valid(body)

    message = {"$ref": "#/components/schemas/Message"}
    assert valid(message, body_of(TEMPLATE))
    assert not valid(message, body_of(TEMPLATE) | {"to": 5})
    assert valid({"$ref": "#/components/schemas/BaseMessageProperties"}, body_of(TEXT))
    [_, half] = contract["schemas"]["TextMessage"]["allOf"]
    assert valid(half["properties"]["text"], body_of(TEXT)["text"])
    assert not valid(half["properties"]["text"], body_of(TEXT)["text"] | {"more": 1})


async def test_a_template_goes_with_its_parameters() -> None:
    """Name, language and values in order; the provider's id comes back."""
    async with http_provider() as provider:
        provider.answer = lambda _: (200, {"messages": [{"id": "wamid.1"}]}, {})
        one = channel(provider.url)
        assert await one.send(TEMPLATE) == Accepted(provider_id="wamid.1")
        await one.close()
    [(path, headers, raw)] = provider.requests
    sent = json.loads(raw)
    assert (path, headers["authorization"]) == ("/v23.0/1234/messages", "Bearer token")
    assert sent["to"] == "525512345678"
    assert sent["template"]["language"] == {"code": "es_MX", "policy": "deterministic"}
    assert [one["text"] for one in sent["template"]["components"][0]["parameters"]] == ["Ana", "$1.00 MXN"]


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, {"error": {"code": 131026}}, NotAccepted(code="131026", permanent=True)),
        (400, {"error": {"code": 130429}}, NotAccepted(code="130429", permanent=False)),
        (401, {"error": {"code": 190}}, NotAccepted(code="190", permanent=False)),
        (429, {}, NotAccepted(code="429", permanent=False)),
        (500, {"error": {"code": 131016}}, NotAccepted(code="131016", permanent=False)),
        (500, {"error": {"code": 131000}}, Unknown(code="131000")),
        (500, "oops", Unknown(code="500")),
        (200, {"messages": []}, Unknown(code="no_id")),
        (200, {"messages": "x"}, Unknown(code="no_id")),
        (200, "[", Unknown(code="no_id")),
    ],
)
async def test_every_answer_is_understood(status: int, body: object, meaning: Answer) -> None:
    """Not taken for good, not taken now, or nobody can say."""
    async with http_provider() as provider:
        provider.answer = lambda _: (status, body, {})
        one = channel(provider.url)
        assert await one.send(TEXT) == meaning
        await one.close()


def signed(told: Any, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
    """Return a webhook as the provider signs it."""
    raw = json.dumps(told).encode()
    return {
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    }, raw


def hook(*, number: str = "1234", **value: Any) -> dict[str, Any]:
    """Return a webhook's body, of one of our numbers."""
    value["metadata"] = {"display_phone_number": "525500000000", "phone_number_id": number}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    }


def test_what_the_provider_tells() -> None:
    """Receipts of an end, answers by text, button and list; of the rest, what kind it is."""
    told = hook(
        statuses=[
            {"id": "w1", "status": "sent"}, {"id": "w1", "status": "delivered"}, {"id": "w2", "status": "failed", "errors": [{"code": 131026}]},
        ],
        messages=[
            {"id": "i1", "from": "5215512345678", "type": "text", "text": {"body": "BAJA"}},
            {"id": "i2", "from": "1", "type": "button", "button": {"text": "Ya pagué", "payload": "3"}},
            {"id": "i3", "from": "1", "type": "interactive",
             "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Prometo"}}},
            {"id": "i5", "from": "1", "type": "button", "button": {"text": "Me interesa", "payload": "Me interesa"}},
            {"id": "i4", "from": "1", "type": "image", "image": {"id": "9", "caption": "mi recibo"}},
        ],
    )  # fmt: skip
    assert channel().parse_webhook(*signed(told)) == [
        Receipt(provider_id="w1", delivered=True),
        Receipt(provider_id="w2", delivered=False, code="131026"),
        Inbound(provider_id="i1", sender="+5215512345678", text="BAJA"),
        Inbound(provider_id="i2", sender="+1", text="3"),
        Inbound(provider_id="i3", sender="+1", text="1"),
        Inbound(provider_id="i5", sender="+1", text="Me interesa"),
        Inbound(provider_id="i4", sender="+1", text="[image] mi recibo"),
    ]
    assert channel().parse_webhook(*signed({"entry": [{"changes": [{"field": "other"}]}]})) == []


def test_nobody_else_is_believed() -> None:
    """Another secret's signature, none, or a changed body."""
    headers, raw = signed(hook())
    for bad in (({}, raw), (signed(hook(), secret="x")[0], raw), (headers, raw + b" ")):
        with pytest.raises(ForgedError):
            channel().parse_webhook(*bad)


def test_the_provider_proves_itself() -> None:
    """Whoever knows the word gets its challenge back."""
    query = {"hub.mode": "subscribe", "hub.verify_token": "word", "hub.challenge": "42"}
    assert channel().verify_webhook(query) == "42"
    assert channel().verify_webhook(query | {"hub.verify_token": "other"}) is None
    assert channel().verify_webhook({}) is None


def test_it_is_a_channel_with_a_window() -> None:
    """It has what the core asks of one, and takes free text for a day."""
    assert isinstance(channel(), MessageChannel)
    assert channel().session_hours == 24


LETTER = Attachment(name="convenio.pdf", media_type="application/pdf", content=b"%PDF-1.4")


async def test_a_letter_goes_as_a_document() -> None:
    """Uploaded first; then a document with the text as its caption, or the header of the approved template."""
    async with http_provider() as provider:
        provider.answer = lambda raw: (
            200,
            {"id": "media1"} if b"%PDF" in raw else {"messages": [{"id": "w1"}]},
            {},
        )
        one = channel(provider.url)
        for message in (TEXT, TEMPLATE):
            assert await one.send(msgspec.structs.replace(message, attachments=(LETTER,))) == Accepted(
                provider_id="w1"
            )
        refused = await one.send(msgspec.structs.replace(TEXT, attachments=(LETTER, LETTER)))
        assert refused == NotAccepted(code="one_document", permanent=True)
        await one.close()
    assert [path for path, _, _ in provider.requests] == ["/v23.0/1234/media", "/v23.0/1234/messages"] * 2
    text, template = (json.loads(provider.requests[at][2]) for at in (1, 3))
    document = {"id": "media1", "filename": "convenio.pdf"}
    assert text["document"] == document | {"caption": TEXT.text}
    assert template["template"]["components"][0] == {"type": "header", "parameters": [{"type": "document", "document": document}]}  # fmt: skip


@pytest.mark.parametrize("status", [400, 429, 500, 200])
async def test_a_letter_that_cannot_be_uploaded_is_not_sent(status: int) -> None:
    """Nothing has gone to anybody: it is tried again, or refused for good where the file is."""
    async with http_provider() as provider:
        provider.answer = lambda _: (status, {}, {})
        one = channel(provider.url)
        answer = await one.send(msgspec.structs.replace(TEXT, attachments=(LETTER,)))
        assert isinstance(answer, NotAccepted)
        assert answer.permanent is (status == 400)
        await one.close()
    assert len(provider.requests) == 1


def test_what_another_number_is_told_is_not_ours() -> None:
    """An app may hold several numbers, signed by one secret: what comes for another, or names none, is passed over."""
    receipt = {"id": "w1", "status": "delivered"}
    assert channel().parse_webhook(*signed(hook(statuses=[receipt]))) != []
    assert channel().parse_webhook(*signed(hook(statuses=[receipt], number="99"))) == []
    nameless = hook(statuses=[receipt])
    del nameless["entry"][0]["changes"][0]["value"]["metadata"]
    assert channel().parse_webhook(*signed(nameless)) == []


@pytest.mark.parametrize(("attached", "longest"), [(True, 1024), (False, 4096)])
async def test_what_is_too_long_is_refused_and_never_cut(attached: bool, longest: int) -> None:  # noqa: FBT001 - as parametrised
    """A caption of 1,024 characters and a text of 4,096 go; one more is refused for good before anything is sent."""
    files = (LETTER,) if attached else ()
    fits = msgspec.structs.replace(TEXT, text="a" * longest, attachments=files)
    async with http_provider() as provider:
        provider.answer = lambda _: (200, {"messages": [{"id": "w1"}], "id": "f1"}, {})
        one = channel(provider.url)
        assert await one.send(fits) == Accepted(provider_id="w1")
        before = len(provider.requests)
        over = msgspec.structs.replace(fits, text="a" * (longest + 1))
        assert await one.send(over) == NotAccepted(code="too_long", permanent=True)
        assert len(provider.requests) == before
        await one.close()


def test_a_text_too_long_for_buttons_goes_without_them() -> None:
    """It says the same as they do."""
    long = msgspec.structs.replace(TEXT, text="a" * 1025, buttons=(("1", "Sí"),))
    assert body_of(long)["text"]["body"] == long.text
    assert body_of(msgspec.structs.replace(long, text="a" * 1024))["type"] == "interactive"


@pytest.mark.needs_shared
def test_buttons_are_as_the_contract_says(shared_data: Path) -> None:
    """Keys as their ids, words on them; what the contract says of an interactive message holds."""
    body = body_of(
        msgspec.structs.replace(TEXT, buttons=(("1", "Acordar fecha"), ("2", "Hablar con asesor")))
    )
    assert [one["reply"] for one in body["interactive"]["action"]["buttons"]] == [
        {"id": "1", "title": "Acordar fecha"}, {"id": "2", "title": "Hablar con asesor"},
    ]  # fmt: skip
    file = shared_data.parent / "contracts" / "meta_whatsapp_business_v23.yaml"
    contract = yaml.safe_load(file.read_text(encoding="utf-8"))["components"]
    base = {"$ref": "#/components/schemas/BaseMessageProperties", "components": contract}
    assert jsonschema_rs.validator_for(base).is_valid(body)
