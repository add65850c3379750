"""A thousand people who are written to: their message centre (SMPP, an implementation apart), their WhatsApp (a web server), and what they answer.

Owns the far ends of both channels and the people's answers. What our side made of them is the tests' to judge.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from plugins.sms.alphabet import decode
from tests.plugins.message_centre import RECEIPT, MessageCentre, message_centre, receipt_text
from tests.plugins.provider import HttpProvider, http_provider

APP_SECRET = "app"
PROMISES, ASKS_FOR_AN_AGENT, HAS_PAID, OPTS_OUT = "promises", "asks_for_an_agent", "has_paid", "opts_out"
FIRST_WORDS = {PROMISES: "1", ASKS_FOR_AN_AGENT: "2", HAS_PAID: "3", OPTS_OUT: "Baja, por favor"}
"""What somebody answers the first message with; whoever does nothing of it keeps silent."""
ASKS_WHO, ASKS_PROMISE, ASKS_EVIDENCE = "Para confirmar", "Gracias. Su saldo", "Gracias. Env"
"""How the packaged flow's questions begin."""


@dataclass
class Debtors:
    """Everybody who is written to, and what came to them.

    Parameters
    ----------
    does
        What each number does, by the number; who is not in it keeps silent.
    digits
        The last digits of each number's account, which identify them.
    """

    does: Mapping[str, str]
    digits: Mapping[str, str]
    touched: Counter[str] = field(default_factory=Counter)
    """First messages by number, over both channels."""
    words: list[tuple[str, str]] = field(default_factory=list)
    """Everything that was read: number and text."""

    def answer(self, number: str, text: str, *, first: bool) -> str | None:
        """Read a text; return what is written back."""
        self.words.append((number, text))
        if first:
            self.touched[number] += 1
            return FIRST_WORDS.get(self.does.get(number, ""))
        if text.startswith(ASKS_WHO):
            return self.digits[number]
        if text.startswith(ASKS_EVIDENCE):
            return "Folio 4411"
        return "1" if text.startswith(ASKS_PROMISE) else None


class TextedDebtors:
    """Those with a text message centre. `greeting` is how a first message begins."""

    def __init__(self, people: Debtors, greeting: str) -> None:
        self._people = people
        self._greeting = greeting
        self._ids = itertools.count(1)

    async def take(self, centre: MessageCentre, event: Any) -> None:
        """Accept a part of a message, report it delivered, and answer what it asks."""
        name = f"m{next(self._ids)}"
        event.accept(name)
        number = event.destination_addr
        await centre.deliver(receipt_text(name), esm_class=RECEIPT, source=number)
        text = decode(event.data_coding, _without_header(event))
        back = self._people.answer(f"+{number}", text, first=text.startswith(self._greeting))
        if back is not None:
            await centre.deliver(back.encode(), source=number)


class WhatsAppDebtors:
    """Those on WhatsApp: the provider's interface for us, and its webhook to us."""

    def __init__(self, people: Debtors, hook_url: str) -> None:
        self._people = people
        self._hook_url = hook_url
        self._ids = itertools.count(1)
        self._work: set[asyncio.Task[None]] = set()
        self._outside = httpx2.AsyncClient(trust_env=False, timeout=20)
        self.refused: list[int] = []
        """Webhooks of ours that the dialer did not take."""

    def take(self, raw: bytes) -> tuple[int, Any, dict[str, str]]:
        """Take a message, and tell and answer in a moment."""
        sent, name = json.loads(raw), f"wamid.{next(self._ids)}"
        task = asyncio.create_task(self._tell(sent, name))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return 200, {"messaging_product": "whatsapp", "messages": [{"id": name}]}, {}

    async def _tell(self, sent: Mapping[str, Any], name: str) -> None:
        await self._post(statuses=[{"id": name, "status": "delivered", "recipient_id": sent["to"]}])
        first = sent["type"] == "template"
        text = "" if first else sent["text"]["body"]
        back = self._people.answer(f"+{sent['to']}", text, first=first)
        if back is not None:
            written = {"id": f"{name}.answer", "from": sent["to"], "type": "text", "text": {"body": back}}
            await self._post(messages=[written])

    async def _post(self, **value: Any) -> None:
        change = {"field": "messages", "value": {"metadata": {"phone_number_id": "1234"}, **value}}
        told = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
        raw = json.dumps(told).encode()
        signature = "sha256=" + hmac.new(APP_SECRET.encode(), raw, hashlib.sha256).hexdigest()
        answer = await self._outside.post(
            self._hook_url, content=raw, headers={"x-hub-signature-256": signature}
        )
        if answer.status_code != 200:
            self.refused.append(answer.status_code)

    async def close(self) -> None:
        """Wait for what is still being told."""
        await asyncio.gather(*self._work)
        await self._outside.aclose()


@asynccontextmanager
async def far_ends(
    people: Debtors, greeting: str, hooks_port: int
) -> AsyncIterator[tuple[MessageCentre, HttpProvider, WhatsAppDebtors]]:
    """Run both channels' far ends until the block ends."""
    async with message_centre() as centre, http_provider() as provider:
        centre.on_submit = TextedDebtors(people, greeting).take
        whatsapp = WhatsAppDebtors(people, f"http://127.0.0.1:{hooks_port}/hooks/whatsapp")
        provider.answer = whatsapp.take
        try:
            yield centre, provider, whatsapp
        finally:
            await whatsapp.close()


def _without_header(event: Any) -> bytes:
    """Return a part's own bytes: one of several begins with a header that says which."""
    raw = bytes(event.short_message)
    return raw[raw[0] + 1 :] if event.esm_class & 0x40 else raw
