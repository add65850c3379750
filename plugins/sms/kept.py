"""What a message centre may not hand over again: parts of texts that are not whole yet, and the ids of texts that are being told.

It owns both in the plugin's store, so that a host that dies loses no part that it has acknowledged, and tells a text that is handed over to
the next one under the id that it had. A centre gives what people write no id, and people write the same thing twice: an id is a text's own
from its coming until it is acknowledged. What is put together is `receipts.py`'s; acknowledging, `smpp.py`'s.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import structlog

from dialer_core.plugin_api import DialerError, Inbound
from plugins.sms import pdus
from plugins.sms.pdus import PduError
from plugins.sms.receipts import WAITS_S, Incoming, Text

log = structlog.get_logger(__name__)

_PART: Final = "part/"
_TEXT: Final = "text/"
_AGAIN_S: Final = 5.0
AGAIN_WITHIN_S: Final = 3600.0
"""So long a centre may hand over once more what was not acknowledged."""


class Store(Protocol):
    """What is used of the plugin's store."""

    async def put_many(self, values: Mapping[str, Any]) -> None:
        """Write several values at once."""
        ...

    async def remove(self, *keys: str) -> None:
        """Take keys away."""
        ...

    async def items(self, prefix: str = "", after: str = "", limit: int = 1_000) -> list[tuple[str, Any]]:
        """Return keys in order with their values."""
        ...


class Kept:
    """Parts and ids, in memory and in the store.

    Parameters
    ----------
    store
        The plugin's; None: nothing outlives the process.
    now_s
        The time, in seconds since 1970.
    """

    def __init__(self, store: Store | None, now_s: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now_s = now_s
        self._ids: dict[str, str] = {}
        self._told_before: set[str] = set()
        self._new: dict[str, Any] = {}

    async def recall(self, incoming: Incoming) -> list[Inbound]:
        """Take up what another process left: its parts wait on. Return texts that are whole by that."""
        texts, parts = await self._all(_TEXT), await self._all(_PART)
        old = [key for key, value in texts if value["at"] < self._now_s() - AGAIN_WITHIN_S]
        for key, value in texts:
            if key not in old:
                self._ids[key] = str(value["id"])
                self._told_before.update(value["parts"])
        whole: list[Text] = []
        for key, value in parts:
            body = bytes.fromhex(value["body"])
            waits_s = max(0.0, WAITS_S - (self._now_s() - value["at"]))
            try:
                text = incoming.take(pdus.read_message(body), key.removeprefix(_PART), waits_s)
            except PduError:
                old.append(key)
                continue
            whole += [text] if text is not None else []
        await self.forget(old)
        return [self.named(one) for one in whole]

    def part(self, digest: str, body: bytes) -> None:
        """Keep a part that waits for others, with the next `write`."""
        self._new[_PART + digest] = {"body": body.hex(), "at": self._now_s()}

    def named(self, text: Text) -> Inbound:
        """Return a text as the core is told it, under the id it has been told by before, if it was; a new one is kept with the next `write`."""
        key = _key(text)
        if (known := self._ids.get(key)) is None:
            known = self._ids[key] = f"mo-{secrets.token_hex(16)}"
            self._new[key] = {"id": known, "at": self._now_s(), "parts": list(text.parts)}
        return Inbound(provider_id=known, sender=text.sender, text=text.text)

    def told_before(self, text: Text) -> bool:
        """Say whether a text that is not whole is what was left over of one that was told as a whole."""
        return not self._told_before.isdisjoint(text.parts)

    async def write(self) -> None:
        """Keep what is new, however long the store is away."""
        new, self._new = self._new, {}
        if new and self._store is not None:
            store = self._store
            await _until_done(lambda: store.put_many(new))

    async def forget(self, keys: Iterable[str]) -> None:
        """Let go of what is told and acknowledged, however long the store is away."""
        gone = list(keys)
        for key in gone:
            self._ids.pop(key, None)
        if gone and self._store is not None:
            store = self._store
            await _until_done(lambda: store.remove(*gone))

    async def _all(self, prefix: str) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        while self._store is not None and (
            page := await self._store.items(prefix, found[-1][0] if found else "")
        ):
            found += page
        return found


def keys_of(text: Text) -> list[str]:
    """Return under which keys a text and its parts are kept."""
    return [_key(text), *((_PART + part for part in text.parts) if len(text.parts) > 1 or text.late else ())]


def digest_of(body: bytes) -> str:
    """Return by what a `deliver_sm` is known again."""
    return hashlib.sha256(body).hexdigest()


def _key(text: Text) -> str:
    return _TEXT + hashlib.sha256(" ".join(sorted(text.parts)).encode()).hexdigest()


async def _until_done(work: Callable[[], Any]) -> None:
    while True:
        try:
            await work()
        except DialerError as error:
            log.warning("smpp_store_away", error=str(error))
            await asyncio.sleep(_AGAIN_S)
        else:
            return
