"""Sending: for each channel one task in the host that claims what is due, hands it to the provider, and stores what it answers.

It owns the pace, the number under way, and that a fault of a channel ends nothing. What is claimed and what an answer means is
`outbox.py`'s. The engine's loop never sees any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from dialer_core.clock import Clock
from dialer_core.errors import StoreError
from dialer_core.log_setup import place_of
from dialer_core.messaging import chats, document_links, inbound, letters, opt_out, outbox
from dialer_core.messaging.bots import Bots
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
from dialer_core.messaging.outbox import PackOf
from dialer_core.messaging.templates import BUTTONS
from dialer_core.store import messages
from dialer_core.store.database import Database
from dialer_core.store.messages import MessageRow

log = structlog.get_logger(__name__)

BATCH = 100
"""Messages claimed in one transaction at most: it is short enough for dialing beside it."""
AHEAD_S = 5.0
"""No more is claimed than goes out within this: after the claim neither gate nor opt-out is heeded."""
IDLE_S = 1.0
"""How often the outbox is looked into when nothing wakes us."""
AWAY_S = 5.0
"""Pause after the store or a channel's connection failed."""
SEND_LIMIT_S = 30.0
"""A provider that has not answered within this has not: the message is uncertain."""

_KINDS: Final[Mapping[type, type[Answer]]] = {Accepted: Accepted, NotAccepted: NotAccepted, Unknown: Unknown}


class Sender:
    """The outbox of one channel, being emptied.

    Parameters
    ----------
    database
        The store.
    channel
        The plugin's.
    pack_of
        Each campaign's rule pack.
    clock
        Of the claims and answers.
    on_written
        Called after each commit, so that whoever follows the event log hears at once.
    bots
        Flows that answer what people write; None: nobody does here.
    """

    def __init__(
        self,
        database: Database,
        channel: MessageChannel,
        *,
        pack_of: PackOf,
        clock: Clock,
        on_written: Callable[[], None] = lambda: None,
        bots: Bots | None = None,
    ) -> None:
        self._bots = bots
        self._database = database
        self._channel = channel
        self._pack_of = pack_of
        self._clock = clock
        self._on_written = on_written
        self._more = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_send_s = 0.0

    @property
    def session_hours(self) -> float | None:
        """For how long after a person wrote free text may be sent; None: always."""
        hours: float | None = getattr(self._channel, "session_hours", None)
        return hours

    def _loop_wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._more.set)

    def wake(self) -> None:
        """Look into the outbox now."""
        self._more.set()

    async def run(self) -> None:
        """Send, and receive where the channel has a connection of its own, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_forever())
            if hasattr(self._channel, "receive"):
                group.create_task(self._receive_forever())

    async def _send_forever(self) -> None:
        await self._until_stored(self._recover)
        while True:
            try:
                sent = await self.send_due()
                asked = await self.ask_uncertain()
            except StoreError as error:
                log.warning("outbox_store_away", channel=self._channel.channel.value, error=str(error))
                await asyncio.sleep(AWAY_S)
                continue
            if not sent and not asked:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), IDLE_S)
                self._more.clear()

    async def send_due(self) -> int:
        """Claim one batch, send it and store the answers; return how many were claimed."""
        claimed = await asyncio.to_thread(self._claim)
        if not claimed:
            return 0
        under_way = asyncio.Semaphore(max(1, self._channel.at_once))
        answers = await asyncio.gather(*(self._send(one, under_way) for one in claimed))
        # what was sent is sent: nothing is given up before the answers are in the store
        pairs = list(zip(claimed, answers, strict=True))
        await self._until_stored(lambda: self._settle(pairs))
        return len(claimed)

    async def ask_uncertain(self) -> int:
        """Ask the provider what became of messages that may have been sent; return how many there were."""
        found, overtaken = await asyncio.to_thread(self._open_questions)
        if overtaken:
            await self._until_stored(lambda: self._receive_early(overtaken))
        lookup = getattr(self._channel, "lookup", None)
        for message in found:
            answer: Answer | None = None
            if lookup is not None:
                try:
                    answer = await asyncio.wait_for(lookup(message.id), SEND_LIMIT_S)
                except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises, nobody knows yet
                    log.warning("message_lookup_failed", message_id=message.id, error=place_of(error))
                    answer = Unknown(code="lookup_failed")
            await self._until_stored(lambda m=message, a=answer: self._decide(m, a))  # type: ignore[misc]
        return len(found)

    def take(self, told: Sequence[Receipt | Inbound]) -> None:
        """Store what a provider told us; blocks on the store.

        Raises
        ------
        StoreError
            Nothing was stored: the provider is to tell it again.
        """
        receipts: list[Receipt] = []
        came: list[Inbound] = []
        if not told:
            return
        for one in told:
            (receipts if isinstance(one, Receipt) else came).append(one)  # type: ignore[arg-type]
        with self._database.write() as tx:
            now = self._clock.utc()
            outbox.receive(tx, self._channel.channel, receipts, now)
            for one in came:
                message = inbound.receive(tx, self._channel.channel, one, now)
                if message is not None and self._bots is not None:
                    self._bots.hear(tx, message, now, opted_out=opt_out.asked_in(one.subject, one.text))
        self._on_written()
        if came:
            self._loop_wake()

    def webhook(self, headers: Mapping[str, str], raw: bytes) -> int:
        """Store what a request of the provider tells; return how many things it told. Blocks on the store.

        Raises
        ------
        ForgedError
            It is not from the provider, or this channel takes no requests.
        ValueError
            It cannot be read.
        StoreError
            Nothing was stored: the provider is to tell it again.
        """
        parse = getattr(self._channel, "parse_webhook", None)
        if parse is None:
            raise ForgedError("this channel takes no requests")
        told = parse(headers, raw)
        self.take(told)
        return len(told)

    @property
    def proves_itself(self) -> bool:
        """The channel's provider asks by a `GET` whether this address is ours; with others a `GET` tells something."""
        return hasattr(self._channel, "verify_webhook")

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """Return what proves to the provider that this address is ours, where the channel knows how to; None: it does not."""
        verify = getattr(self._channel, "verify_webhook", None)
        answer: str | None = verify(query) if verify else None
        return answer

    async def _send(self, message: MessageRow, under_way: asyncio.Semaphore) -> Answer:
        async with under_way:
            await self._turn()
            try:
                answer: object = await asyncio.wait_for(
                    self._channel.send(await self._outbound(message)), SEND_LIMIT_S
                )
            except TimeoutError:
                return Unknown(code="timeout")
            except Exception as error:  # noqa: BLE001 - foreign code: it may have sent the message before it failed
                log.warning("message_send_failed", message_id=message.id, error=place_of(error))
                return Unknown(code=type(error).__name__)
        try:
            # foreign code made it: a code that is no text would fail each attempt to store it
            return msgspec.convert(msgspec.to_builtins(answer), _KINDS[type(answer)])
        except (KeyError, TypeError, msgspec.ValidationError):
            log.warning("message_answer_unknown", message_id=message.id, channel=message.channel.value)
            return Unknown(code="no_answer")

    @staticmethod
    async def _outbound(message: MessageRow) -> OutboundMessage:
        """Return a message for its channel; letters are set apart from the loop."""
        return await asyncio.to_thread(outbound, message) if message.letters else outbound(message)

    async def _turn(self) -> None:
        """Wait until the provider takes another one."""
        now_s = time.monotonic()
        at_s = max(now_s, self._next_send_s)
        self._next_send_s = at_s + 1.0 / max(self._channel.per_second, 1e-3)
        if at_s > now_s:
            await asyncio.sleep(at_s - now_s)

    async def _receive_forever(self) -> None:
        while True:
            try:
                async for batch in self._channel.receive():  # type: ignore[attr-defined]
                    await self._until_stored(lambda told=batch: self.take(told))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - foreign code: its connection is its own; it is asked again
                log.warning(
                    "channel_receive_failed", channel=self._channel.channel.value, error=place_of(error)
                )
            await asyncio.sleep(AWAY_S)

    async def _until_stored(self, work: Callable[[], object]) -> None:
        while True:
            try:
                await asyncio.to_thread(work)
            except StoreError as error:
                log.warning("outbox_store_away", channel=self._channel.channel.value, error=str(error))
                await asyncio.sleep(AWAY_S)
            else:
                return

    def _claim(self) -> list[MessageRow]:
        with self._database.write() as tx:
            claimed = outbox.claim(
                tx,
                self._channel.channel,
                self._clock.utc(),
                min(BATCH, max(1, int(self._channel.per_second * AHEAD_S))),
                node=self._database.node,
                pack_of=self._pack_of,
            )
        if claimed:
            self._on_written()
        return claimed

    def _settle(self, answers: Sequence[tuple[MessageRow, Answer]]) -> None:
        with self._database.write() as tx:
            outbox.settle(tx, answers, self._clock.utc())
        self._on_written()

    def _open_questions(self) -> tuple[list[MessageRow], list[str]]:
        with self._database.read() as tx:
            uncertain = messages.uncertain(tx, self._channel.channel, self._clock.utc(), BATCH)
            return uncertain, messages.overtaken(tx, self._channel.channel)

    def _receive_early(self, provider_ids: list[str]) -> None:
        with self._database.write() as tx:
            outbox.receive_early(tx, self._channel.channel, provider_ids, self._clock.utc())
        self._on_written()

    def _decide(self, message: MessageRow, answer: Answer | None) -> None:
        with self._database.write() as tx:
            outbox.decide_uncertain(tx, message, answer, self._clock.utc())
        self._on_written()

    def _recover(self) -> None:
        with self._database.write() as tx:
            lost = outbox.recover(tx, self._database.node, self._clock.utc())
            chats.expire(tx, self._clock.utc())
        if lost:
            log.warning("messages_uncertain_after_restart", number=lost)


def outbound(message: MessageRow) -> OutboundMessage:
    """Return a claimed message as its channel is given it, its letters as PDF."""
    given = message.provider_template
    return OutboundMessage(
        idempotency_key=message.id,
        to=message.address,
        text=message.body,
        subject=message.subject,
        language=message.language,
        template=None if given is not None and BUTTONS in given else given,
        buttons=tuple((str(key), str(said)) for key, said in (given or {}).get(BUTTONS, ())),
        attachments=tuple(
            Attachment(
                name=f"{one['name']}.pdf",
                media_type=letters.PDF,
                content=letters.pdf(one["title"], one["text"]),
            )
            for one in document_links.sent_along(message)
        ),
    )
