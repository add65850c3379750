"""One bind to a message centre: connected, bound, kept alive, and bound again whenever it is lost.

It owns the connection, its window and its pace when the centre is throttled. What is submitted, and what becomes of what arrives, is
`smpp.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from plugins.sms import pdus
from plugins.sms.pdus import Pdu, PduError
from plugins.sms.settings import BindSettings, SmppSettings

log = structlog.get_logger(__name__)

CONNECT_LIMIT_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
FIRST_THROTTLE_S: Final = 0.1
LONGEST_THROTTLE_S: Final = 5.0
UNBIND_LIMIT_S: Final = 2.0
READ_SIZE: Final = 1 << 16


class NotBoundError(Exception):
    """There is no session now: nothing has left."""


class LostError(Exception):
    """The session ended, or no answer came in time: the centre may have the message."""


class Delivered(NamedTuple):
    """A `deliver_sm` that waits for its answer."""

    body: bytes
    answer: Callable[[int], bool]
    """Answers with a status; False: its session is gone, and the centre will hand it over again."""


class _Session:
    """One connection, from its bind to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.waiting: dict[int, asyncio.Future[Pdu]] = {}
        self.numbers = itertools.count(1)
        self.heard_s = time.monotonic()
        self.bound = False

    def send(self, pdu: Pdu) -> bool:
        if self.writer.is_closing():
            return False
        self.writer.write(pdus.encode(pdu))
        return True

    async def ask(self, command: int, body: bytes, limit_s: float) -> Pdu:
        """Send a command and return its answer; raises `LostError`, or `NotBoundError` where the session is gone already."""
        number = next(self.numbers) % 0x7FFFFFFF or 1
        future: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        if not self.send(Pdu(command, 0, number, body)):
            raise NotBoundError
        self.waiting[number] = future
        try:
            async with asyncio.timeout(limit_s):
                with contextlib.suppress(ConnectionError):  # the reader hears of it too
                    await self.writer.drain()
                return await future
        except TimeoutError:
            raise LostError("no answer in time") from None
        finally:
            self.waiting.pop(number, None)

    def end(self) -> None:
        self.bound = False
        self.writer.close()
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(LostError("the session ended"))


class Bind:
    """One bind, from its start to `close`.

    Parameters
    ----------
    where, its
        The centre's address, and what all binds share.
    password
        Of our account.
    on_delivered
        Takes each `deliver_sm`; False: there is no room for it now, and the centre is to try again.
    """

    def __init__(
        self,
        where: BindSettings,
        its: SmppSettings,
        password: str,
        on_delivered: Callable[[Delivered], bool],
    ) -> None:
        self._where = where
        self._its = its
        self._password = password
        self._on_delivered = on_delivered
        self._session: _Session | None = None
        self._window = asyncio.Semaphore(its.window)
        self._throttle_s = 0.0
        self._free_at_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._name = f"{where.host}:{where.port}"

    @property
    def bound(self) -> bool:
        """There is a session now."""
        return self._session is not None and self._session.bound

    @property
    def under_way(self) -> int:
        """Commands that wait for their answers."""
        return len(self._session.waiting) if self._session else 0

    def start(self) -> None:
        """Bind, and bind again whenever it is lost."""
        self._task = asyncio.create_task(self._run(), name=f"smpp-{self._name}")

    async def close(self) -> None:
        """Unbind, so that the centre keeps for later what it would have handed over; then close."""
        session = self._session
        if session is not None and session.bound:
            with contextlib.suppress(NotBoundError, LostError):
                await session.ask(pdus.UNBIND, b"", UNBIND_LIMIT_S)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def submit(self, body: bytes) -> Pdu:
        """Hand a `submit_sm` over within the window and return its answer.

        Raises
        ------
        NotBoundError
            There is no session; nothing has left.
        LostError
            It was written, and no answer came.
        """
        async with self._window:
            while (pause_s := self._free_at_s - time.monotonic()) > 0:  # noqa: ASYNC110 - the time it waits for moves
                await asyncio.sleep(pause_s)
            session = self._session
            if session is None or not session.bound:
                raise NotBoundError
            answer = await session.ask(pdus.SUBMIT_SM, body, self._its.response_limit_s)
        if answer.status in (pdus.THROTTLED, pdus.QUEUE_FULL):
            self._slow_down()
        elif answer.status == pdus.OK:
            self._throttle_s = 0.0
        return answer

    def _slow_down(self) -> None:
        now_s = time.monotonic()
        if self._free_at_s > now_s:  # another of the same window has said so already
            return
        self._throttle_s = min(max(FIRST_THROTTLE_S, 2 * self._throttle_s), LONGEST_THROTTLE_S)
        self._free_at_s = now_s + self._throttle_s

    async def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                began_s = time.monotonic()
                await self._one_session()
                if time.monotonic() - began_s > LONGEST_PAUSE_S:
                    pause_s = FIRST_PAUSE_S
            except (OSError, TimeoutError, PduError, LostError, NotBoundError, ssl.SSLError) as error:
                log.warning(
                    "smpp_bind_lost", bind=self._name, error=type(error).__name__, again_s=round(pause_s, 1)
                )
            except _RefusedError as refused:
                log.error(  # noqa: TRY400 - the status says it all
                    "smpp_bind_refused",
                    bind=self._name,
                    status=f"0x{refused.status:08X}",
                    again_s=round(pause_s, 1),
                )
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _one_session(self) -> None:
        context = ssl.create_default_context(cafile=self._where.ca_file) if self._where.tls else None
        async with asyncio.timeout(CONNECT_LIMIT_S):
            reader, writer = await asyncio.open_connection(
                self._where.host, self._where.port, ssl=context,
                server_hostname=(self._where.tls_name or self._where.host) if context else None,
            )  # fmt: skip
        session = _Session(reader, writer)
        reading = asyncio.create_task(self._read(session))
        try:
            body = pdus.bind_body(self._its.system_id, self._password, self._its.system_type)
            answer = await session.ask(pdus.BIND_TRANSCEIVER, body, CONNECT_LIMIT_S)
            if answer.status != pdus.OK:
                raise _RefusedError(answer.status)
            session.bound = True
            self._session, self._throttle_s, self._free_at_s = session, 0.0, 0.0
            log.info("smpp_bound", bind=self._name)
            watching = asyncio.create_task(self._watch(session))
            try:
                await reading
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        finally:
            self._session = None
            session.end()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
                async with asyncio.timeout(UNBIND_LIMIT_S):
                    await writer.wait_closed()

    async def _watch(self, session: _Session) -> None:
        """Ask whether the centre is still there whenever it has been silent for long."""
        while True:
            silent_s = time.monotonic() - session.heard_s
            await asyncio.sleep(max(0.05, self._its.enquire_link_s - silent_s))
            if time.monotonic() - session.heard_s < self._its.enquire_link_s:
                continue
            try:
                await session.ask(pdus.ENQUIRE_LINK, b"", self._its.response_limit_s)
            except (LostError, NotBoundError):
                log.warning("smpp_centre_silent", bind=self._name)
                session.end()
                return

    async def _read(self, session: _Session) -> None:
        """Read until the connection ends; a PDU that is none ends it."""
        buffer = bytearray()
        while True:
            octets = await session.reader.read(READ_SIZE)
            if not octets:
                raise ConnectionResetError
            session.heard_s = time.monotonic()
            buffer += octets
            while (pdu := pdus.take(buffer)) is not None:
                self._heard(session, pdu)

    def _heard(self, session: _Session, pdu: Pdu) -> None:
        if pdu.command & pdus.RESPONSE:
            future = session.waiting.get(pdu.sequence)
            if future is not None and not future.done():
                future.set_result(pdu)
            return
        match pdu.command:
            case pdus.DELIVER_SM:
                delivered = Delivered(pdu.body, lambda status: _answer_delivered(session, pdu, status))
                if not self._on_delivered(delivered):
                    delivered.answer(pdus.RETRY_LATER)
            case pdus.ENQUIRE_LINK:
                session.send(Pdu(pdus.ENQUIRE_LINK | pdus.RESPONSE, 0, pdu.sequence))
            case pdus.UNBIND:
                session.send(Pdu(pdus.UNBIND | pdus.RESPONSE, 0, pdu.sequence))
                session.end()
            case pdus.ALERT_NOTIFICATION:
                pass  # has no answer
            case _:
                session.send(Pdu(pdus.GENERIC_NACK, pdus.INVALID_COMMAND, pdu.sequence))


def _answer_delivered(session: _Session, pdu: Pdu, status: int) -> bool:
    return session.send(Pdu(pdus.DELIVER_SM | pdus.RESPONSE, status, pdu.sequence, b"\0"))


class _RefusedError(Exception):
    """The centre does not take our bind."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
