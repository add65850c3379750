"""The provider's protocol: messages out by POST, receipts and answers in by signed form posts.

It owns requests, signatures and what each answer means for the core: taken, not taken, or nobody can say. The interface has no key against
sending twice and no way to ask for a message by ours, so a request without an answer stays uncertain (`lookup` is absent).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import httpx2

from dialer_core.plugin_api import (
    Accepted,
    Answer,
    Channel,
    ForgedError,
    Inbound,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
    post,
)
from plugins.sms.settings import TwilioSettings

LIMIT_S = 20.0
API = "/2010-04-01/Accounts"
_ON_ITS_WAY = frozenset({"accepted", "scheduled", "queued", "sending", "sent"})
_ARRIVED = frozenset({"delivered", "read"})
_LOST = frozenset({"undelivered", "failed", "canceled"})


class TwilioChannel:
    """SMS by one account of the provider.

    Parameters
    ----------
    settings
        Of the plugin.
    token
        The account's secret.
    """

    channel = Channel.SMS

    def __init__(self, settings: TwilioSettings, token: str) -> None:
        self.per_second = settings.per_second
        self.at_once = settings.at_once
        self._settings = settings
        self._token = token
        self._client = httpx2.AsyncClient(
            base_url=settings.base_url, auth=(settings.account_sid, token), timeout=LIMIT_S, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, message: OutboundMessage) -> Answer:
        """Hand over one message."""
        its = self._settings
        form = {"To": message.to, "Body": message.text}
        if its.messaging_service_sid:
            form["MessagingServiceSid"] = its.messaging_service_sid
        else:
            form["From"] = its.sender
        if its.public_url:
            form["StatusCallback"] = its.public_url
        return await post(self._client, f"{API}/{its.account_sid}/Messages.json", _meaning, data=form)

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Sequence[Receipt | Inbound]:
        """Return the receipt or the answer that a form post tells; one of a state in between tells nothing."""
        fields = parse_qsl(raw.decode("utf-8"), keep_blank_values=True)
        given = headers.get("x-twilio-signature", "")
        if not self._settings.public_url or not hmac.compare_digest(
            given.encode(), signature(self._token, self._settings.public_url, fields).encode()
        ):
            raise ForgedError
        told = dict(fields)
        provider_id = told.get("MessageSid") or told["SmsSid"]
        status = told.get("MessageStatus", "")
        if status in _ON_ITS_WAY:
            return ()
        if status in _ARRIVED | _LOST:
            return (
                Receipt(provider_id=provider_id, delivered=status in _ARRIVED, code=told.get("ErrorCode") or status),
            )  # fmt: skip
        return (Inbound(provider_id=provider_id, sender=told["From"], text=told.get("Body", "")),)


def signature(token: str, url: str, fields: Sequence[tuple[str, str]]) -> str:
    """Return how the provider signs a post: the address, then every field and value in order of the names, by HMAC-SHA1."""
    signed = url + "".join(f"{name}{value}" for name, value in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def _meaning(answer: httpx2.Response, known: Mapping[str, Any]) -> Answer:
    """Return what an answer of the provider means.

    2xx: it has it. 4xx: it did not take it, and does not another time, but for 408, 429 and 401, which speaks of our secret and not of the
    message. 503: it did not take it now. Any other 5xx, and a 2xx that cannot be read: nobody can say.
    """
    if answer.is_success:
        sid = known.get("sid")
        return Accepted(provider_id=str(sid)[:128]) if sid else Unknown(code="no_sid")
    code = str(known.get("code") or answer.status_code)[:64]
    if answer.status_code in {401, 408, 429, 503}:
        return NotAccepted(
            code=code, permanent=False, retry_after_s=_seconds(answer.headers.get("retry-after"))
        )
    if answer.is_client_error:
        return NotAccepted(code=code, permanent=True)
    return Unknown(code=code)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None
