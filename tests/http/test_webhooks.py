"""Providers reach `/hooks/PLUGIN` and nothing else; what they tell is stored before they are thanked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import httpx2
import pytest

from dialer_core.clock import VirtualClock
from dialer_core.errors import StoreError
from dialer_core.http import webhooks
from dialer_core.http.webhooks import MAX_BODY, create_webhook_app
from dialer_core.messaging.channel import Accepted, Answer, ForgedError, Inbound, OutboundMessage, Receipt
from dialer_core.messaging.messenger import Messenger
from dialer_core.store.database import Database
from dialer_core.vocabulary import Channel
from tests.campaigns.lists import NOON, rows

pytestmark = pytest.mark.db


class Provider:
    """A channel whose webhooks are texts: `forged`, `broken`, or somebody's words."""

    channel = Channel.SMS
    per_second = 1.0
    at_once = 1

    async def send(self, message: OutboundMessage) -> Answer:
        """Take it."""
        return Accepted(provider_id=message.idempotency_key)

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Sequence[Receipt | Inbound]:
        """Return what a text says."""
        match raw.decode():
            case "forged":
                raise ForgedError
            case "broken":
                raise KeyError("MessageSid")
            case text:
                return [Inbound(provider_id=headers.get("x-id", "1"), sender="+525512345678", text=text)]

    def verify_webhook(self, query: Mapping[str, str]) -> str | None:
        """Return the challenge."""
        return query.get("challenge")


def client(database: Database) -> httpx2.AsyncClient:
    """Return a provider's way to us."""
    messenger = Messenger(database, templates={}, campaigns={}, packs={}, clock=VirtualClock(NOON))
    messenger.add_channel("sms", Provider())
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=create_webhook_app(messenger)), base_url="http://h"
    )


async def test_what_is_told_is_stored_once(database: Database) -> None:
    """The same webhook again is thanked for and changes nothing."""
    async with client(database) as provider:
        assert [(await provider.post("/hooks/sms", content=b"hola")).status_code for _ in range(2)] == [
            200,
            200,
        ]
        assert (await provider.post("/hooks/sms", content=b"otra", headers={"x-id": "2"})).status_code == 200
    with database.read() as tx:
        assert [one["body"] for one in rows(tx, "message")] == ["hola", "otra"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/hooks/sms", b"forged", 403),
        ("POST", "/hooks/sms", b"broken", 400),
        ("POST", "/hooks/sms", b"\xff\xfe", 400),
        ("POST", "/hooks/sms", b"x" * (MAX_BODY + 1), 413),
        ("POST", "/hooks/none", b"hola", 404),
        ("PUT", "/hooks/sms", b"hola", 405),
        ("GET", "/api/v1/status", b"", 404),
        ("GET", "/hooks/sms", b"", 403),
    ],
)
async def test_what_is_refused(database: Database, method: str, path: str, body: bytes, status: int) -> None:
    """Each with its own answer, and nothing is stored."""
    async with client(database) as provider:
        assert (await provider.request(method, path, content=body)).status_code == status
    with database.read() as tx:
        assert rows(tx, "message") == []


async def test_the_address_is_proved_to_be_ours(database: Database) -> None:
    """The provider's question is answered as its channel says."""
    async with client(database) as provider:
        assert (await provider.get("/hooks/sms?challenge=42")).text == "42"


async def test_without_a_store_the_provider_is_to_tell_it_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 makes it come back; nothing is lost."""

    def away(*_: object, **__: object) -> None:
        raise StoreError("away")

    async with client(database) as provider:
        with monkeypatch.context() as patch:
            patch.setattr(database, "write", away)
            assert (await provider.post("/hooks/sms", content=b"hola")).status_code == 503
        assert (await provider.post("/hooks/sms", content=b"hola")).status_code == 200


async def test_a_body_that_never_ends_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so after a while."""
    monkeypatch.setattr(webhooks, "READ_LIMIT_S", 0.05)
    messenger = Messenger(database, templates={}, campaigns={}, packs={}, clock=VirtualClock(NOON))
    messenger.add_channel("sms", Provider())
    app = create_webhook_app(messenger)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks/sms", "query_string": b"", "headers": []}
    await asyncio.wait_for(app(scope, receive, send), 20)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
