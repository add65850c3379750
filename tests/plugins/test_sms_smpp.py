"""SMS by SMPP against a message centre that is not ours: everything it may do, and nothing sent twice or lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import smpp34
from pydantic import ValidationError

from dialer_core.clock import SystemClock
from dialer_core.messaging.channel import (
    Accepted,
    Inbound,
    MessageChannel,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from dialer_core.plugin_records import Records
from dialer_core.plugin_store import PluginStore
from dialer_core.store.database import open_database
from plugins.sms import bind as binds
from plugins.sms import kept, receipts, smpp
from plugins.sms.alphabet import decode
from plugins.sms.settings import SmppSettings
from plugins.sms.smpp import SmppChannel
from tests.plugins.message_centre import MessageCentre, free_port, message_centre, receipt_text
from tests.polling import wait_until_async

pytestmark = pytest.mark.unit

MESSAGE = OutboundMessage(idempotency_key="m1", to="+525512345678", text="Hola Ñandú €. Responda BAJA.")


def settings(*ports: int, **more: object) -> SmppSettings:
    """Return settings of an account with a bind to each port."""
    raw = {
        "provider": "smpp",
        "system_id": "acme",
        "password_env": "P",
        "source": "55000",
        "binds": [{"host": "127.0.0.1", "port": port} for port in ports],
    }
    return SmppSettings.model_validate(raw | more)


@asynccontextmanager
async def bound(*ports: int, **more: object) -> AsyncIterator[SmppChannel]:
    """Return a channel all of whose binds are bound."""
    channel = SmppChannel(settings(*ports, **more), "secret")
    channel.start()
    try:
        await wait_until_async(lambda: channel.bound == len(ports), 10, "the binds")
        yield channel
    finally:
        await channel.close()


async def test_a_message_goes_out_and_its_receipt_comes_back() -> None:
    """Text, addresses and the wish for a receipt arrive; the centre's id is the message's; the receipt names it, and is acknowledged once stored."""
    async with message_centre() as centre, bound(centre.port) as channel:
        assert await channel.send(MESSAGE) == Accepted(provider_id="m1")
        [got] = centre.submits
        assert (got.destination_addr, got.dest_addr_ton, got.dest_addr_npi) == ("525512345678", 1, 1)
        assert (got.source_addr, got.source_addr_ton, got.registered_delivery) == ("55000", 3, 1)
        assert decode(got.data_coding, got.short_message) == MESSAGE.text
        telling = asyncio.create_task(centre.deliver(receipt_text("m1"), esm_class=4))
        stream = channel.receive()
        assert await anext(stream) == [Receipt(provider_id="m1", delivered=True, code="000")]
        assert not telling.done()  # not acknowledged before it is stored
        nothing = asyncio.ensure_future(anext(stream))
        assert (await telling).is_success
        nothing.cancel()
        await asyncio.gather(nothing, return_exceptions=True)
        await stream.aclose()


async def test_a_long_text_goes_in_parts() -> None:
    """Headers count the parts, all with one reference; each part's id is told, so that its receipt finds the message."""
    text = "Emoji 😀 y árabe مرحبا " * 12
    async with message_centre() as centre, bound(centre.port) as channel:
        answer = await channel.send(MESSAGE.__class__(idempotency_key="m1", to="+1", text=text))
        number = len(centre.submits)
        assert answer == Accepted(provider_id="m1", part_ids=tuple(f"m{nth}" for nth in range(1, number + 1)))
        headers = [got.short_message[:6] for got in centre.submits]
        assert len({header[3] for header in headers}) == 1
        assert [(header[:3], header[4], header[5]) for header in headers] == [
            (b"\x05\x00\x03", number, nth) for nth in range(1, number + 1)
        ]
        assert all(got.esm_class & 0x40 for got in centre.submits)
        assert "".join(decode(8, got.short_message[6:]) for got in centre.submits) == text


async def test_a_receipt_may_come_before_the_answer() -> None:
    """The centre tells of the end before it answers the submit: both arrive."""
    async with message_centre() as centre, bound(centre.port) as channel:

        async def early(centre: MessageCentre, event: Any) -> None:
            telling = asyncio.create_task(centre.deliver(receipt_text("m1"), esm_class=4))
            await told.wait()
            event.accept("m1")
            await telling

        told = asyncio.Event()
        centre.on_submit = early
        sending = asyncio.create_task(channel.send(MESSAGE))
        stream = channel.receive()
        assert await anext(stream) == [Receipt(provider_id="m1", delivered=True, code="000")]
        assert not sending.done()
        told.set()
        assert await sending == Accepted(provider_id="m1")
        await stream.aclose()


async def test_people_write() -> None:
    """An answer arrives with its sender and text."""
    async with message_centre() as centre, bound(centre.port) as channel:
        telling = asyncio.create_task(centre.deliver("¿BAJA?".encode("utf-16-be"), data_coding=8))
        stream = channel.receive()
        [told] = await anext(stream)
        assert isinstance(told, Inbound)
        assert (told.sender, told.text) == ("+525512345678", "¿BAJA?")
        await stream.aclose()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (smpp34.ESME_RINVDSTADR, NotAccepted(code="0x0000000B", permanent=True)),
        (smpp34.ESME_RSYSERR, NotAccepted(code="0x00000008", permanent=False)),
        (smpp34.ESME_RUNKNOWNERR, NotAccepted(code="0x000000FF", permanent=False)),
    ],
)
async def test_refusals_are_understood(status: int, meaning: NotAccepted) -> None:
    """For good, and for now."""

    async def refuse(_: MessageCentre, event: Any) -> None:
        event.reject(status)

    async with message_centre() as centre, bound(centre.port) as channel:
        centre.on_submit = refuse
        assert await channel.send(MESSAGE) == meaning


async def test_a_throttled_centre_is_given_time() -> None:
    """What it was too busy for is tried again, slower, and is sent once."""

    async def busy(centre: MessageCentre, event: Any) -> None:
        if len(centre.submits) <= 3:
            event.reject(smpp34.ESME_RTHROTTLED)
        else:
            await centre.accept(event)

    async with message_centre() as centre, bound(centre.port) as channel:
        centre.on_submit = busy
        began = asyncio.get_running_loop().time()
        assert await channel.send(MESSAGE) == Accepted(provider_id="m1")
        assert len(centre.submits) == 4
        assert asyncio.get_running_loop().time() - began >= 0.1 + 0.2 + 0.4


async def test_a_centre_that_stays_throttled_gets_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the message goes back to the outbox: not taken, not failed."""

    async def busy(_: MessageCentre, event: Any) -> None:
        event.reject(smpp34.ESME_RTHROTTLED)

    monkeypatch.setattr(smpp, "GIVE_UP_S", 0.3)
    async with message_centre() as centre, bound(centre.port) as channel:
        centre.on_submit = busy
        assert await channel.send(MESSAGE) == NotAccepted(code="0x00000058", permanent=False)


async def test_no_bind_nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no session is, nothing has left."""
    monkeypatch.setattr(smpp, "GIVE_UP_S", 0.1)
    channel = SmppChannel(settings(free_port()), "secret")
    channel.start()
    assert await channel.send(MESSAGE) == NotAccepted(code="not_bound", permanent=False)
    await channel.close()


async def test_the_window_is_kept() -> None:
    """No more submits are open on a bind than the window says; several binds share the work."""
    waiting: list[Any] = []

    async def wait(_: MessageCentre, event: Any) -> None:
        waiting.append(event)

    async with message_centre() as centre, bound(centre.port, centre.port, window=3) as channel:
        centre.on_submit = wait
        sending = [asyncio.create_task(channel.send(MESSAGE)) for _ in range(20)]
        await wait_until_async(lambda: len(waiting) == 6, 5, "both windows to fill")
        assert {one.session_id for one in waiting} == set(centre.sessions)
        done = 0
        while done < 20:
            await wait_until_async(lambda done=done: len(waiting) > done, 5, "the next submit")  # type: ignore[misc]
            assert len(waiting) - done <= 6
            waiting[done].accept(f"m{done}")
            done += 1
        answers = await asyncio.gather(*sending)
    assert len({one.provider_id for one in answers if isinstance(one, Accepted)}) == 20


class Raw:
    """A centre that binds whoever comes, and then does as a test says."""

    def __init__(self) -> None:
        self.port = free_port()
        self.connections = 0
        self.commands: list[int] = []
        self.silent = False
        self.after_submit: bytes | None = b""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readexactly(16)
                length, command, sequence = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4, 12))
                await reader.readexactly(length - 16)
                self.commands.append(command)
                if command == 9 or (command == 0x15 and not self.silent):
                    body = b"raw\0" if command == 9 else b""
                    writer.write(
                        (16 + len(body)).to_bytes(4, "big")
                        + (command | 0x80000000).to_bytes(4, "big")
                        + bytes(4)
                        + sequence.to_bytes(4, "big")
                        + body
                    )
                elif command == 4 and self.after_submit is not None:
                    writer.write(self.after_submit)
                    writer.close()
                    return
        writer.close()


async def test_a_lost_session_leaves_nobody_in_the_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks between a submit and its answer: nobody can say; nothing is submitted again, and the bind comes back."""
    monkeypatch.setattr(binds, "FIRST_PAUSE_S", 0.05)
    async with Raw() as raw, bound(raw.port) as channel:
        assert await channel.send(MESSAGE) == Unknown(code="no_answer")
        assert raw.commands.count(4) == 1
        await wait_until_async(lambda: raw.connections == 2 and channel.bound == 1, 5, "the bind to be back")
        assert raw.commands.count(4) == 1


async def test_an_answer_that_does_not_come() -> None:
    """Nobody can say, after the limit."""
    async with Raw() as raw, bound(raw.port, response_limit_s=0.2) as channel:
        raw.after_submit = None
        assert await channel.send(MESSAGE) == Unknown(code="no_answer")


async def test_garbage_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no PDU is not waited for: the bind is made anew."""
    monkeypatch.setattr(binds, "FIRST_PAUSE_S", 0.05)
    async with Raw() as raw, bound(raw.port) as channel:
        raw.after_submit = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        assert await channel.send(MESSAGE) == Unknown(code="no_answer")
        await wait_until_async(lambda: raw.connections == 2 and channel.bound == 1, 5, "the bind to be back")


async def test_a_silent_centre_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked whether it is there; one that does not answer is connected to anew."""
    monkeypatch.setattr(binds, "FIRST_PAUSE_S", 0.05)
    async with Raw() as raw, bound(raw.port, enquire_link_s=0.1, response_limit_s=0.2):
        await wait_until_async(lambda: raw.commands.count(0x15) >= 3, 5, "three questions")
        assert raw.connections == 1
        raw.silent = True
        await wait_until_async(lambda: raw.connections == 2, 5, "another connection")


async def test_what_is_handed_over_again_is_told_once() -> None:
    """A text that was stored when its session was lost, and handed over again, is told to the core once."""
    answers: list[int] = []
    channel = SmppChannel(settings(1), "secret")
    [body] = [smpp34.DeliverSm("525512345678", "55000", b"1", source_addr_ton=1).encode()[16:]]

    def gone(status: int) -> bool:
        answers.append(status)
        return False

    def there(status: int) -> bool:
        answers.append(status)
        return True

    stream = channel.receive()
    channel._take(binds.Delivered(body, gone))
    assert len(await anext(stream)) == 1
    channel._take(binds.Delivered(body, there))
    assert await anext(stream) == []
    channel._take(binds.Delivered(body, there))
    assert len(await anext(stream)) == 1  # they wrote it again
    await stream.aclose()
    assert answers == [0, 0]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PluginStore]:
    """Return the plugin's own store, over a real one."""
    database = open_database(f"sqlite:///{tmp_path / 'sms.db'}")
    database.migrate()
    yield Records(database, clock=SystemClock(), actor="plugin:sms").store
    database.dispose()


class Host:
    """One host's channel over the plugin's store, which is handed things over without a session."""

    def __init__(self, store: PluginStore) -> None:
        self.channel = SmppChannel(settings(1), "secret", store)
        self.answered: list[int] = []
        self._stream = self.channel.receive()
        self._next: asyncio.Future[Any] | None = None

    def hand_over(self, *bodies: bytes) -> None:
        """Hand things over, and hear of each answer."""

        def answer(status: int) -> bool:
            self.answered.append(status)
            return True

        for body in bodies:
            assert self.channel._take(binds.Delivered(body, answer))

    async def told(self) -> list[Any]:
        """Return the next batch; what was told before it is stored, and acknowledged."""
        return list(await anext(self._stream))

    async def stored(self) -> None:
        """Let it know that what it told last is stored."""
        self._next = asyncio.ensure_future(anext(self._stream))
        before = len(self.answered)
        await wait_until_async(lambda: len(self.answered) > before, 5, "the answer")
        await asyncio.sleep(0.05)  # it forgets, then waits

    async def die(self) -> None:
        """End in the middle of whatever it does."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._stream.aclose()


def part(number: int, total: int, text: bytes, reference: int = 7) -> bytes:
    """Return the body of one part of a text."""
    octets = bytes([5, 0, 3, reference, total, number]) + text
    pdu = smpp34.DeliverSm("525512345678", "55000", octets, source_addr_ton=1, esm_class=0x40)
    return bytes(pdu.encode()[16:])


async def test_acknowledged_parts_outlive_the_host(store: PluginStore) -> None:
    """A host dies between the parts of a text; the next one puts it together, tells it once, and keeps nothing of it."""
    first = Host(store)
    first.hand_over(part(1, 3, b"uno "), part(2, 3, b"dos "))
    assert await first.told() == []
    await first.stored()
    assert first.answered == [0, 0]
    await first.die()
    second = Host(store)
    second.hand_over(part(3, 3, b"tres"))
    [text] = await second.told()
    assert (text.sender, text.text) == ("+525512345678", "uno dos tres")
    await second.stored()
    await second.die()
    assert await store.items() == []


async def test_a_text_told_and_not_acknowledged_keeps_its_id(store: PluginStore) -> None:
    """Handed over again after its host died, a text is told by the same id, so that the core knows it; what they write again later, by another."""
    bodies = [smpp34.DeliverSm("525512345678", "55000", b"1", source_addr_ton=1).encode()[16:]]
    bodies += [part(1, 2, b"a", 9), part(2, 2, b"b", 9)]
    first = Host(store)
    first.hand_over(*bodies)
    told = await first.told()
    assert [one.text for one in told] == ["1", "ab"]
    await first.die()
    second = Host(store)
    second.hand_over(*bodies)
    assert [one.provider_id for one in await second.told()] == [one.provider_id for one in told]
    second.hand_over(*bodies)
    again = await second.told()
    assert [one.text for one in again] == ["1", "ab"]
    assert {one.provider_id for one in again}.isdisjoint(one.provider_id for one in told)
    await second.die()


async def test_what_is_left_of_a_told_text_is_no_text(store: PluginStore, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """After a host that died with all acknowledged and nothing forgotten, parts are let go; a text that never became whole is told with its gap."""
    monkeypatch.setattr(receipts, "WAITS_S", 0.0)
    monkeypatch.setattr(kept, "WAITS_S", 0.0)
    monkeypatch.setattr(smpp, "OVERDUE_S", 0.02)
    first = Host(store)
    first.hand_over(part(1, 2, b"a", 9))
    assert await first.told() == []
    first.hand_over(part(2, 2, b"b", 9))
    [whole] = await first.told()
    left = await store.items()
    assert len(left) == 2
    first.hand_over(part(1, 3, b"x", 8))
    assert await first.told() == []
    await first.die()
    await store.put_many(dict(left))
    second = Host(store)
    [gap] = await second.told()
    assert (gap.text, gap.provider_id != whole.provider_id) == ("x[…][…]", True)
    second.hand_over(part(1, 1, b"z"))
    assert [one.text for one in await second.told()] == ["z"]
    await second.die()
    assert not [key for key, _ in await store.items("part/")]


async def test_a_partly_sent_text_is_not_sent_again() -> None:
    """The first part is taken and the second is not: nobody may call it not sent."""

    async def second(centre: MessageCentre, event: Any) -> None:
        if len(centre.submits) == 2:
            event.reject(smpp34.ESME_RSYSERR)
        else:
            await centre.accept(event)

    async with message_centre() as centre, bound(centre.port) as channel:
        centre.on_submit = second
        long = OutboundMessage(idempotency_key="m1", to="+1", text="a" * 400)
        assert await channel.send(long) == Unknown(code="partly_sent")
        assert len(centre.submits) == 2


async def test_what_cannot_be_written_is_refused() -> None:
    """An address that no field holds."""
    channel = SmppChannel(settings(1), "secret")
    bad = OutboundMessage(idempotency_key="m1", to="+" + "1" * 30, text="x")
    assert await channel.send(bad) == NotAccepted(code="unsendable", permanent=True)


@pytest.mark.parametrize(
    ("source", "kind"), [("+525500000000", (1, 1)), ("55000", (3, 0)), ("Banco Uno", (5, 0)), ("525500000000", (1, 1))]
)  # fmt: skip
def test_a_source_is_of_its_kind(source: str, kind: tuple[int, int]) -> None:
    """Number, short code or name; the settings may say otherwise."""
    assert settings(1, source=source).source_type == kind
    assert settings(1, source=source, source_ton=0, source_npi=9).source_type == (0, 9)


@pytest.mark.parametrize(
    "wrong", [{"binds": []}, {"password_env": ""}, {"system_id": "x" * 16}, {"response_limit_s": 60}, {"colour": 1}]
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    """Each is told before anything is sent."""
    with pytest.raises(ValidationError):
        settings(1, **wrong)


def test_it_is_a_channel() -> None:
    """It has what the core asks of one."""
    assert isinstance(SmppChannel(settings(1), "secret"), MessageChannel)
