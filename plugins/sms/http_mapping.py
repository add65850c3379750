"""SMS by any provider's HTTP interface: requests, answers and webhooks as `plugins/sms.toml` maps them.

It owns what the mapping means on the wire, and what each answer means for the core: taken, not taken, or nobody can say. A request without an
answer stays uncertain (`lookup` is absent): no mapping tells whether a provider keeps a key against sending twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
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
from plugins.sms.mapping_settings import PLACE, MappedSettings

LIMIT_S: Final = 20.0
_LATER: Final = frozenset({401, 403, 408, 429, 503})
"""Statuses by which nothing was taken, and which speak of us or of now, not of the message."""


class MappedChannel:
    """SMS by one account of a provider.

    Parameters
    ----------
    settings
        Of the plugin.
    secret
        What `{secret}` stands for.
    signing
        The key or word by which the provider proves itself; empty: there are no webhooks.
    clock_s
        Seconds since 1970.
    """

    channel = Channel.SMS

    def __init__(
        self, settings: MappedSettings, *, secret: str = "", signing: str = "", clock_s: Callable[[], float] = time.time
    ) -> None:  # fmt: skip
        self.per_second = settings.per_second
        self.at_once = settings.at_once
        self._its = settings
        self._secret = secret
        self._signing = signing
        self._clock_s = clock_s
        self._client = httpx2.AsyncClient(timeout=LIMIT_S, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, message: OutboundMessage) -> Answer:
        """Hand over one message."""
        its = self._its.request
        values = {
            "to": message.to, "digits": message.to.removeprefix("+"), "text": message.text, "id": message.idempotency_key,
            "secret": self._secret,
        }  # fmt: skip
        request: dict[str, Any] = {"headers": _filled(its.headers, values)}
        if its.query:
            request["params"] = _filled(its.query, values)
        if its.form:
            request["data"] = _filled(its.form, values)
        if its.json_:
            request["json"] = _filled(its.json_, values)

        def meaning(answer: httpx2.Response, known: Mapping[str, Any]) -> Answer:
            return self._meaning(answer, known, message)

        return await post(self._client, its.url, meaning, method=its.method, **request)

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Sequence[Receipt | Inbound]:
        """Return what a request tells: a body of JSON or of a form, or the query of a request without one."""
        fields = _fields(raw)
        self._require_genuine(headers, raw, fields)
        items = _at(fields, self._its.each) if self._its.each else [fields]
        if not isinstance(items, list):
            return ()
        return [one for item in items if (one := self._told(item)) is not None]

    def _told(self, item: Any) -> Receipt | Inbound | None:
        receipts, inbound = self._its.receipts, self._its.inbound
        if receipts is not None:
            provider_id, status = _word(item, receipts.id), _word(item, receipts.status)
            if provider_id and status in receipts.delivered + receipts.failed:
                code = (_word(item, receipts.code) if receipts.code else "") or status
                return Receipt(
                    provider_id=provider_id[:128], delivered=status in receipts.delivered, code=code[:64]
                )
            if provider_id and status:
                return None  # on its way
        if inbound is not None:
            sender, provider_id = _word(item, inbound.sender), _word(item, inbound.id)
            if sender and provider_id:
                plus = f"+{sender}" if sender.isdigit() and len(sender) > 10 else sender
                return Inbound(provider_id=provider_id[:128], sender=plus, text=_word(item, inbound.text))
        raise ValueError("neither a receipt nor an answer")

    def _require_genuine(self, headers: Mapping[str, str], raw: bytes, fields: Any) -> None:
        its = self._its.signature
        if its is None or not self._signing:
            raise ForgedError
        given = headers.get(its.header.lower(), "") if its.header else _word(fields, its.field)
        if its.scheme == "token":
            wanted = self._signing
        else:
            signed = raw
            if its.timestamp_header:
                stamp = headers.get(its.timestamp_header.lower(), "")
                if not stamp.isdigit() or abs(self._clock_s() - int(stamp[:12])) > its.tolerance_s:
                    raise ForgedError
                signed = stamp.encode() + b"." + raw
            digest = hmac.new(self._signing.encode(), signed, getattr(hashlib, its.algorithm)).digest()
            wanted = its.prefix + (
                digest.hex() if its.encoding == "hex" else base64.b64encode(digest).decode()
            )
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise ForgedError

    def _meaning(self, answer: httpx2.Response, known: Mapping[str, Any], message: OutboundMessage) -> Answer:
        """Return what an answer means: its words before its status, and what nobody can read of a 2xx or 5xx means that nobody can say."""
        its = self._its.answer
        word = _word(known, its.status) if its.status else ""
        code = (_word(known, its.code) if its.code else "") or word or str(answer.status_code)
        said = {word, code}
        if said & set(its.refused):
            return NotAccepted(code=code[:64], permanent=True)
        if said & set(its.busy) or answer.status_code in _LATER:
            after = answer.headers.get("retry-after", "")
            return NotAccepted(
                code=code[:64], permanent=False, retry_after_s=float(after) if after.isdecimal() else None
            )
        if answer.is_success:
            if its.status and word not in its.taken:
                return Unknown(code=(word or "no_status")[:64])
            provider_id = _word(known, its.id) if its.id else message.idempotency_key
            return Accepted(provider_id=provider_id[:128]) if provider_id else Unknown(code="no_id")
        return NotAccepted(code=code[:64], permanent=True) if answer.is_client_error else Unknown(code=code[:64])  # fmt: skip


def _filled(what: Any, values: Mapping[str, str]) -> Any:
    """Return a text, a table or a list with its places filled. What a value holds is never read as a place."""
    if isinstance(what, dict):
        return {name: _filled(one, values) for name, one in what.items()}
    if isinstance(what, list | tuple):
        return [_filled(one, values) for one in what]
    return PLACE.sub(lambda place: values[place[1]], what) if isinstance(what, str) else what


def _fields(raw: bytes) -> Any:
    text = raw.decode("utf-8")
    if text.lstrip()[:1] in ("{", "["):
        return json.loads(text)
    return dict(parse_qsl(text, keep_blank_values=True))


def _at(fields: Any, path: str) -> Any:
    """Return what stands at `data.0.id`; None: nothing."""
    for name in path.split("."):
        if isinstance(fields, dict):
            fields = fields.get(name)
        elif isinstance(fields, list) and name.isdecimal() and int(name) < len(fields):
            fields = fields[int(name)]
        else:
            return None
    return fields


def _word(fields: Any, path: str) -> str:
    found = _at(fields, path)
    return str(found) if isinstance(found, str | int | float) else ""
