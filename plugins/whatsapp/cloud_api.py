"""The Cloud API: messages out by POST, receipts and answers in by signed webhooks.

It owns requests, signatures and what each answer means for the core. The interface has no key against sending twice and cannot be asked
about a message by our id, so a request without an answer stays uncertain (`lookup` is absent).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2
import structlog

from dialer_core.plugin_api import (
    Accepted,
    Answer,
    Attachment,
    Channel,
    ForgedError,
    Inbound,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
    post,
)
from plugins.whatsapp.settings import WhatsAppSettings

log = structlog.get_logger(__name__)

LIMIT_S = 20.0
LONGEST_TEXT = 4096
LONGEST_BESIDE = 1024
"""Characters of a text beside a document or buttons."""
TRY_LATER = frozenset({4, 190, 80007, 130429, 131016, 131048, 131056, 133016})
"""Error codes of limits, of a service that is down and of a token that has expired: it did not take the message now."""


class CloudChannel:
    """WhatsApp by one number of ours.

    Parameters
    ----------
    settings
        Of the plugin.
    access_token, app_secret, verify_token
        Secrets; without the last two the channel takes no webhooks.
    """

    channel = Channel.WHATSAPP
    session_hours = 24.0

    def __init__(
        self, settings: WhatsAppSettings, *, access_token: str, app_secret: str = "", verify_token: str = ""
    ) -> None:
        self.per_second = settings.per_second
        self.at_once = settings.at_once
        self._number_id = settings.phone_number_id
        self._path = f"/{settings.version}/{settings.phone_number_id}/messages"
        self._media_path = f"/{settings.version}/{settings.phone_number_id}/media"
        self._app_secret = app_secret
        self._verify_token = verify_token
        self._client = httpx2.AsyncClient(
            base_url=settings.base_url,
            headers={"Authorization": f"Bearer {access_token}"},
            timeout=LIMIT_S,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, message: OutboundMessage) -> Answer:
        """Hand over one message: as the approved template it names, with its letter; else as free text, or a document with it."""
        if len(message.attachments) > 1:
            return NotAccepted(code="one_document", permanent=True)
        if message.template is None and len(message.text) > longest(message):
            return NotAccepted(code="too_long", permanent=True)
        media = ""
        for one in message.attachments:
            uploaded = await self._upload(one)
            if not isinstance(uploaded, str):
                return uploaded
            media = uploaded
        return await post(self._client, self._path, _meaning, json=body_of(message, media))

    async def _upload(self, one: Attachment) -> str | Answer:
        """Hand a file over; return the provider's id of it. Without one nothing was sent to anybody."""
        media = ""

        def meaning(answer: httpx2.Response, known: Mapping[str, Any]) -> Answer:
            nonlocal media
            media = str(known.get("id") or "") if answer.is_success else ""
            refused = _meaning(answer, known)
            if isinstance(refused, NotAccepted):
                return refused
            return NotAccepted(code=f"upload_{answer.status_code}", permanent=False)

        files = {"file": (one.name, one.content, one.media_type)}
        form = {"messaging_product": "whatsapp", "type": one.media_type}
        answer = await post(self._client, self._media_path, meaning, data=form, files=files)
        if media:
            return media
        # a file that may have arrived is nobody's message
        return NotAccepted(code=answer.code, permanent=False) if isinstance(answer, Unknown) else answer

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Sequence[Receipt | Inbound]:
        """Return the receipts and answers that a webhook tells; states in between tell nothing."""
        given = headers.get("x-hub-signature-256", "")
        wanted = "sha256=" + hmac.new(self._app_secret.encode(), raw, hashlib.sha256).hexdigest()
        if not self._app_secret or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise ForgedError
        told: list[Receipt | Inbound] = []
        for value in _values(json.loads(raw)):
            if value.get("metadata", {}).get("phone_number_id") != self._number_id:
                # one app may hold many numbers, and all that they are told is signed alike
                log.warning("whatsapp_of_another_number", receipts=len(value.get("statuses", ())))
                continue
            told += [*_receipts(value), *_answers(value)]
        return told

    def verify_webhook(self, query: Mapping[str, str]) -> str | None:
        """Return the challenge to whoever knows the word we gave the provider."""
        known = hmac.compare_digest(query.get("hub.verify_token", "").encode(), self._verify_token.encode())
        if self._verify_token and known and query.get("hub.mode") == "subscribe":
            return query.get("hub.challenge")
        return None


def longest(message: OutboundMessage) -> int:
    """Return how many characters the provider takes of a free text: fewer beside a document."""
    return LONGEST_BESIDE if message.attachments else LONGEST_TEXT


def body_of(message: OutboundMessage, media: str = "") -> dict[str, Any]:
    """Return the request for a message; `media` is the provider's id of its letter."""
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.to.removeprefix("+"),
    }
    document = {"id": media, "filename": message.attachments[0].name} if media else {}
    if message.template is None and document:
        return body | {"type": "document", "document": document | {"caption": message.text}}
    # the text says the same as the buttons: one that is too long for them goes alone
    if message.template is None and message.buttons and len(message.text) <= LONGEST_BESIDE:
        buttons = [
            {"type": "reply", "reply": {"id": key, "title": title[:20]}} for key, title in message.buttons
        ]
        action = {"type": "button", "body": {"text": message.text}, "action": {"buttons": buttons}}
        return body | {"type": "interactive", "interactive": action}
    if message.template is None:
        return body | {"type": "text", "text": {"body": message.text, "preview_url": False}}
    template: dict[str, Any] = {
        "name": message.template["name"],
        "language": {"code": message.template["language"], "policy": "deterministic"},
    }
    if parameters := message.template.get("parameters"):
        template["components"] = [
            {"type": "body", "parameters": [{"type": "text", "text": text} for text in parameters]}
        ]
    if document:
        header = {"type": "header", "parameters": [{"type": "document", "document": document}]}
        template["components"] = [header, *template.get("components", ())]
    return body | {"type": "template", "template": template}


def _meaning(answer: httpx2.Response, known: Mapping[str, Any]) -> Answer:
    """Return what an answer of the provider means; a 5xx that names no cause, and a 2xx without an id, mean that nobody can say."""
    if answer.is_success:
        sent = known.get("messages")
        first = sent[0] if isinstance(sent, list) and sent and isinstance(sent[0], dict) else {}
        return Accepted(provider_id=str(first["id"])[:128]) if first.get("id") else Unknown(code="no_id")
    error = known.get("error")
    number = error.get("code") if isinstance(error, dict) else None
    code = str(number or answer.status_code)[:64]
    if number in TRY_LATER or answer.status_code in {401, 408, 429, 503}:
        return NotAccepted(code=code, permanent=False)
    if answer.is_client_error:
        return NotAccepted(code=code, permanent=True)
    return Unknown(code=code)


def _values(told: Any) -> Iterator[dict[str, Any]]:
    for entry in told.get("entry", ()):
        for change in entry.get("changes", ()):
            if change.get("field") == "messages":
                yield change["value"]


def _receipts(value: Mapping[str, Any]) -> Iterator[Receipt]:
    for status in value.get("statuses", ()):
        if status["status"] in {"delivered", "read"}:
            yield Receipt(provider_id=status["id"], delivered=True)
        elif status["status"] == "failed":
            errors = status.get("errors") or [{}]
            yield Receipt(
                provider_id=status["id"], delivered=False, code=str(errors[0].get("code", "failed"))
            )


def _answers(value: Mapping[str, Any]) -> Iterator[Inbound]:
    for message in value.get("messages", ()):
        yield Inbound(provider_id=message["id"], sender=f"+{message['from']}", text=_text(message))


def _text(message: Mapping[str, Any]) -> str:
    """Return what a person said: what they wrote, or the button they pressed; of sound and pictures, only what kind they are."""
    match message.get("type"):
        case "text":
            return str(message["text"]["body"])
        case "button":
            return _pressed(message["button"].get("payload"), message["button"].get("text"))
        case "interactive":
            chosen = message["interactive"]
            reply = chosen.get(chosen.get("type", ""), {})
            return _pressed(reply.get("id"), reply.get("title"))
        case kind:
            caption = message.get(str(kind), {})
            said = caption.get("caption", "") if isinstance(caption, dict) else ""
            return f"[{kind}] {said}".strip()


def _pressed(key: Any, title: Any) -> str:
    """Return what a button says: the key that it stands for in a flow, else the words on it."""
    return str(key) if isinstance(key, str) and len(key) == 1 and key in "0123456789*#" else str(title or "")
