"""SMS by a mapped HTTP interface: requests, answers and webhooks are what the file says, and nobody else is believed."""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

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
from plugins.sms.http_mapping import MappedChannel
from plugins.sms.settings import MappedSettings
from tests.plugins.provider import HttpProvider, http_provider

pytestmark = pytest.mark.unit

MESSAGE = OutboundMessage(
    idempotency_key="m-1", to="+525512345678", text="Ñandú 😀 {secret} {to}. Responda BAJA."
)
MAPPING: dict[str, Any] = {
    "provider": "http",
    "request": {
        "url": "http://127.0.0.1:9/v1/send",
        "json": {"messages": [{"to": "{digits}", "body": "{text}", "flash": False}], "ref": "{id}"},
        "headers": {"Authorization": "Bearer {secret}", "Idempotency-Key": "{id}"},
        "secret_env": "S",
    },
    "answer": {
        "id": "messages.0.id", "status": "messages.0.state", "taken": ["queued"], "code": "error.code",
        "busy": ["overloaded"], "refused": ["bad_number", "blocked"],
    },
    "each": "events",
    "receipts": {"id": "ref", "status": "state", "delivered": ["DELIVRD"], "failed": ["UNDELIV"], "code": "err"},
    "inbound": {"id": "id", "sender": "from", "text": "text"},
    "signature": {"scheme": "hmac", "header": "X-Signature", "prefix": "sha256=", "secret_env": "K"},
}  # fmt: skip
NOW = 1_800_000_000


def channel(url: str = "", **changes: Any) -> MappedChannel:
    """Return a channel by the mapping above, with some of its tables changed."""
    raw = copy.deepcopy(MAPPING)
    if url:
        raw["request"]["url"] = f"{url}/v1/send"
    for name, change in changes.items():
        raw[name] = raw[name] | change if isinstance(change, dict) and isinstance(raw.get(name), dict) else change  # fmt: skip
    raw = {name: one for name, one in raw.items() if one is not None}
    return MappedChannel(
        MappedSettings.model_validate(raw), secret="word", signing="key", clock_s=lambda: NOW
    )


async def asked(provider: HttpProvider, **changes: Any) -> Answer:
    """Send the message to a provider."""
    one = channel(provider.url, **changes)
    try:
        return await one.send(MESSAGE)
    finally:
        await one.close()


async def test_a_request_is_what_the_file_says() -> None:
    """JSON with every place filled; what a value holds is never filled again."""
    async with http_provider() as provider:
        provider.answer = lambda _: (200, {"messages": [{"id": 77, "state": "queued"}]}, {})
        assert await asked(provider) == Accepted(provider_id="77")
    [(path, headers, raw)] = provider.requests
    assert (path, headers["authorization"], headers["idempotency-key"]) == (
        "/v1/send",
        "Bearer word",
        "m-1",
    )
    assert json.loads(raw) == {
        "messages": [{"to": "525512345678", "body": MESSAGE.text, "flash": False}],
        "ref": "m-1",
    }


async def test_forms_and_our_own_id() -> None:
    """A form; without an id of the provider's ours is the message's."""
    form = {"url": "", "form": {"to": "{to}", "text": "{text}", "ref": "{id}"}, "json": {}, "query": {"key": "{secret}"}}  # fmt: skip
    async with http_provider() as provider:
        provider.answer = lambda _: (202, "accepted", {})
        form["url"] = f"{provider.url}/send"
        assert await asked(provider, request=form, answer={"id": None, "status": None, "taken": ()}) == Accepted(
            provider_id="m-1"
        )  # fmt: skip
    [(_, _, raw)] = provider.requests
    assert dict(parse_qsl(raw.decode())) == {"to": MESSAGE.to, "text": MESSAGE.text, "ref": "m-1"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "meaning"),
    [
        (200, {"messages": [{"state": "blocked"}]}, {}, NotAccepted(code="blocked", permanent=True)),
        (200, {"messages": [{"state": "odd", "id": 1}]}, {}, Unknown(code="odd")),
        (200, {"messages": [{"state": "queued"}]}, {}, Unknown(code="no_id")),
        (200, "half {", {}, Unknown(code="no_status")),
        (400, {"error": {"code": "bad_number"}}, {}, NotAccepted(code="bad_number", permanent=True)),
        (400, {"error": {"code": "overloaded"}}, {}, NotAccepted(code="overloaded", permanent=False)),
        (404, "", {}, NotAccepted(code="404", permanent=True)),
        (401, "", {}, NotAccepted(code="401", permanent=False)),
        (429, "", {"retry-after": "9"}, NotAccepted(code="429", permanent=False, retry_after_s=9)),
        (503, "", {}, NotAccepted(code="503", permanent=False)),
        (500, {"error": {"code": 5}}, {}, Unknown(code="5")),
        (302, "", {"location": "http://127.0.0.1:9/elsewhere"}, Unknown(code="302")),
    ],
)  # fmt: skip
async def test_every_answer_is_understood(status: int, body: object, headers: dict[str, str], meaning: Answer) -> None:  # fmt: skip
    """Not taken for good, not taken now, or nobody can say; no redirect is followed with the secret."""
    async with http_provider() as provider:
        provider.answer = lambda _: (status, body, headers)
        assert await asked(provider) == meaning


async def test_a_provider_that_is_away_has_taken_nothing() -> None:
    """Where no connection is made, nothing has left."""
    assert await channel().send(MESSAGE) == NotAccepted(code="unreachable", permanent=False)


def signed(raw: bytes, key: bytes = b"key") -> dict[str, str]:
    """Return the header of a body."""
    return {"x-signature": "sha256=" + hmac.new(key, raw, hashlib.sha256).hexdigest()}


def test_what_the_provider_tells() -> None:
    """Several at once: ends, a state on the way, an answer; numbers get their plus sign."""
    events = [
        {"ref": "m-1", "state": "DELIVRD"}, {"ref": "m-2", "state": "UNDELIV", "err": 45}, {"ref": "m-3", "state": "SENT"},
        {"id": "i1", "from": "525512345678", "text": "مرحبا 😀"}, {"id": "i2", "from": "72345", "text": ""},
    ]  # fmt: skip
    raw = json.dumps({"events": events}).encode()
    assert list(channel().parse_webhook(signed(raw), raw)) == [
        Receipt(provider_id="m-1", delivered=True, code="DELIVRD"),
        Receipt(provider_id="m-2", delivered=False, code="45"),
        Inbound(provider_id="i1", sender="+525512345678", text="مرحبا 😀"),
        Inbound(provider_id="i2", sender="72345", text=""),
    ]


def test_nobody_else_is_believed() -> None:
    """Another key's signature, none, a changed body, a mapping without a signature."""
    raw = json.dumps({"events": []}).encode()
    for headers, body in (
        ({}, raw),
        (signed(raw, b"other"), raw),
        (signed(raw), raw + b" "),
        ({"x-signature": "ñ"}, raw),
    ):
        with pytest.raises(ForgedError):
            channel().parse_webhook(headers, body)
    none = channel(signature=None, receipts=None, inbound=None)
    with pytest.raises(ForgedError):
        none.parse_webhook(signed(raw), raw)
    assert list(channel().parse_webhook(signed(raw), raw)) == []


@pytest.mark.parametrize("raw", [b"{", b"[1]", b'{"events": [5]}', b'{"events": [{"x": 1}]}', b"\xff\xfe"])
def test_what_cannot_be_read_is_told_apart(raw: bytes) -> None:
    """It is an error of whoever signed it, or tells nothing; nothing else happens."""
    with contextlib.suppress(ValueError):
        assert list(channel().parse_webhook(signed(raw), raw)) == []


def test_old_requests_are_refused() -> None:
    """Where the time is signed, one told again later is not believed; nor one without a time."""
    one = channel(signature={"timestamp_header": "X-Time", "encoding": "base64", "prefix": ""})
    raw = b'{"events": []}'

    def headers(at: int | str) -> dict[str, str]:
        digest = hmac.new(b"key", f"{at}.".encode() + raw, hashlib.sha256).digest()
        return {"x-time": str(at), "x-signature": base64.b64encode(digest).decode()}

    assert list(one.parse_webhook(headers(NOW - 299), raw)) == []
    for at in (NOW - 301, NOW + 301, "soon", ""):
        with pytest.raises(ForgedError):
            one.parse_webhook(headers(at), raw)


def test_a_word_in_a_query() -> None:
    """Gateways that sign nothing prove themselves by a word; what is in the query is told."""
    word = {"scheme": "token", "field": "key", "secret_env": "K"}
    one = channel(each=None, signature=word | {"header": "", "prefix": ""})
    raw = urlencode({"key": "key", "ref": "m-1", "state": "DELIVRD"}).encode()
    assert parse_qs(raw.decode())["ref"] == ["m-1"]
    assert [item.provider_id for item in one.parse_webhook({}, raw)] == ["m-1"]
    with pytest.raises(ForgedError):
        one.parse_webhook({}, raw.replace(b"key=key", b"key=other"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"request": {"json": {"to": "{to}"}}}, "must hold {text}"),
        ({"request": {"json": {"to": "{to}", "t": "{text}", "x": "{balance}"}}}, "stands for nothing"),
        ({"request": {"form": {"to": "{to}", "t": "{text}"}}}, "either form or json"),
        ({"request": {"url": "https://x/{to}"}}, "put what changes"),
        ({"signature": None}, "anybody could tell"),
        ({"signature": {"header": ""}}, "an hmac stands in a header"),
        ({"answer": {"status": None}}, "go together"),
        ({"answer": {"id": None}, "request": {"json": {"to": "{to}", "t": "{text}"}, "headers": {}}}, "must hold {id}"),
    ],
)  # fmt: skip
def test_wrong_mappings_are_refused(changes: dict[str, Any], says: str) -> None:
    """Each is told, with what would be right, before anything is sent."""
    with pytest.raises(ValidationError, match=says.replace("{", r"\{")):
        channel(**changes)


def test_it_is_a_channel() -> None:
    """It has what the core asks of one."""
    assert isinstance(channel(), MessageChannel)
