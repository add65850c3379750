"""SMS by SMPP 3.4: several binds to one account of a message centre.

It owns which bind a message goes by, the parts of a long one, and what each answer means for the core. What arrives is acknowledged when
the core has stored it, and not before: a centre hands over again what a dying host has taken. The protocol has no key against sending
twice, and cannot be asked about a message by our id, so one without an answer stays uncertain (`lookup` is absent).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog

from dialer_core.plugin_api import (
    Accepted,
    Answer,
    Channel,
    Inbound,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from plugins.sms import pdus
from plugins.sms.alphabet import encode
from plugins.sms.bind import Bind, Delivered, LostError, NotBoundError
from plugins.sms.kept import AGAIN_WITHIN_S, Kept, Store, digest_of, keys_of
from plugins.sms.pdus import Pdu, PduError, ShortMessage
from plugins.sms.receipts import Incoming, is_receipt, receipt_of
from plugins.sms.settings import SmppSettings

log = structlog.get_logger(__name__)

GIVE_UP_S: Final = 15.0
"""So long a message waits for a centre that is throttled or away before it goes back to the outbox."""
POLL_S: Final = 0.05
TOGETHER: Final = 500
"""What arrived is handed to the core in batches of so many: one transaction each."""
MOST_UNSTORED: Final = 5000
"""What waits to be stored; beyond, the centre is told to come again."""
OVERDUE_S: Final = 5.0
_PERMANENT: Final = frozenset(
    {
        0x01, 0x02, 0x03, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x15, 0x33, 0x40, 0x42, 0x43, 0x44, 0x48, 0x49, 0x50, 0x51, 0x53, 0x54, 0x55,
        0x61, 0x62, 0x63, 0x65, 0x66, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4,
    }
)  # fmt: skip
"""Statuses that speak of the message itself: another try is of no use."""


class SmppChannel:
    """SMS by an account of a message centre.

    Parameters
    ----------
    settings
        Of the plugin.
    password
        The account's.
    store
        The plugin's own, in which parts of texts are kept; None: they do not outlive the process.
    """

    channel = Channel.SMS

    def __init__(self, settings: SmppSettings, password: str, store: Store | None = None) -> None:
        self.per_second = settings.per_second
        self.at_once = settings.window * len(settings.binds)
        self._its = settings
        self._came: asyncio.Queue[Delivered] = asyncio.Queue(MOST_UNSTORED)
        self._binds = [Bind(where, settings, password, self._take) for where in settings.binds]
        self._reference = random.randrange(256)
        self._incoming = Incoming(time.monotonic)
        self._kept = Kept(store)
        self._open: dict[str, list[str]] = {}
        """What is kept until a `deliver_sm` is acknowledged, by that one's digest."""
        self._unanswered: dict[str, float] = {}
        """What was stored and could not be acknowledged, its session being gone: by its digest, until when it is looked out for."""

    @property
    def bound(self) -> int:
        """Binds that have a session now."""
        return sum(one.bound for one in self._binds)

    def start(self) -> None:
        """Bind."""
        for bind in self._binds:
            bind.start()

    async def close(self) -> None:
        """Unbind."""
        await asyncio.gather(*(bind.close() for bind in self._binds))

    async def send(self, message: OutboundMessage) -> Answer:
        """Hand over one message, in as many parts as it takes, one after the other."""
        try:
            bodies = self._bodies(message)
        except ValueError:  # also a PduError: an address that is none
            return NotAccepted(code="unsendable", permanent=True)
        until_s = time.monotonic() + GIVE_UP_S
        ids: list[str] = []
        for body in bodies:
            answer = await self._submit(body, until_s)
            if isinstance(answer, Pdu) and answer.status == pdus.OK:
                ids.append(pdus.first_text(answer.body)[:128])
                continue
            if ids:  # a part of it is on its way: it cannot be called not sent
                return Unknown(code="partly_sent")
            return _meaning(answer) if isinstance(answer, Pdu) else answer
        if not all(ids):
            return Unknown(code="no_id")
        return Accepted(provider_id=ids[0], part_ids=tuple(ids) if len(ids) > 1 else ())

    async def receive(self) -> AsyncIterator[Sequence[Receipt | Inbound]]:
        """Yield what arrives, in batches; acknowledge each when the next is asked for: it is stored then.

        A part whose text is not whole is acknowledged when it is in the plugin's store: a centre may hand over the next only then.
        """
        if whole := await self._kept.recall(self._incoming):
            await self._kept.write()
            yield whole
        while True:
            try:
                first = await asyncio.wait_for(self._came.get(), OVERDUE_S)
            except TimeoutError:
                late = self._incoming.overdue()
                if told_late := [self._kept.named(one) for one in late if not self._kept.told_before(one)]:
                    await self._kept.write()
                    yield told_late
                await self._kept.forget(key for one in late for key in keys_of(one))
                continue
            arrived = [first]
            while len(arrived) < TOGETHER and not self._came.empty():
                arrived.append(self._came.get_nowait())
            told = [one for delivered in arrived if (one := self._told(delivered)) is not None]
            await self._kept.write()
            yield told
            done: list[str] = []
            for delivered in arrived:
                digest = digest_of(delivered.body)
                if delivered.answer(pdus.OK):
                    done += self._open.pop(digest, ())
                else:
                    self._unanswered[digest] = time.monotonic() + AGAIN_WITHIN_S
            await self._kept.forget(done)

    def _take(self, delivered: Delivered) -> bool:
        try:
            self._came.put_nowait(delivered)
        except asyncio.QueueFull:
            return False
        return True

    def _told(self, delivered: Delivered) -> Receipt | Inbound | None:
        digest = digest_of(delivered.body)
        if self._unanswered.pop(digest, 0.0) > time.monotonic():
            return None  # stored already, when its session was lost
        try:
            message = pdus.read_message(delivered.body)
        except PduError:
            log.warning("smpp_deliver_unreadable", octets=len(delivered.body))
            return None
        if is_receipt(message):
            return receipt_of(message, self._its.receipt_ids)
        text = self._incoming.take(message, digest)
        if text is None:
            self._kept.part(digest, delivered.body)
            return None
        self._open[digest] = keys_of(text)
        return self._kept.named(text)

    async def _submit(self, body: bytes, until_s: float) -> Pdu | Answer:
        """Submit by the bind with the fewest under way; wait for one that is away, or throttled, until a time."""
        while True:
            bound = [one for one in self._binds if one.bound]
            answer: Pdu | None = None
            if bound:
                try:
                    answer = await min(bound, key=lambda one: one.under_way).submit(body)
                except LostError:
                    return Unknown(code="no_answer")
                except NotBoundError:
                    pass
                if answer is not None and answer.status not in (pdus.THROTTLED, pdus.QUEUE_FULL):
                    return answer
            if time.monotonic() >= until_s:
                return answer or NotAccepted(code="not_bound", permanent=False)
            if answer is None:
                await asyncio.sleep(POLL_S)

    def _bodies(self, message: OutboundMessage) -> list[bytes]:
        its = self._its
        encoded = encode(message.text)
        ton, npi = its.source_type
        self._reference = (self._reference + 1) % 256
        bodies = []
        for number, part in enumerate(encoded.parts, 1):
            octets, esm_class = part, 0
            if len(encoded.parts) > 1:
                octets = bytes([5, 0, 3, self._reference, len(encoded.parts), number]) + part
                esm_class = pdus.UDHI
            short = ShortMessage(
                its.source.removeprefix("+"), message.to.removeprefix("+"), octets, esm_class, encoded.data_coding, ton, npi,
                registered_delivery=1 if its.receipts else 0,
                validity=f"0000{its.validity_hours // 24:02d}{its.validity_hours % 24:02d}0000000R" if its.validity_hours else "",
            )  # fmt: skip
            bodies.append(pdus.message_body(short))
        return bodies


def _meaning(answer: Pdu) -> Answer:
    """Return what a refusal means: of this message for good, or of now. A `generic_nack` is of a PDU that the centre could not read."""
    code = f"0x{answer.status:08X}"
    return NotAccepted(code=code, permanent=answer.status in _PERMANENT)
