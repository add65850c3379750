"""Asterisk's manager interface (AMI): one connection, actions with their answers, events as they come.

It owns the protocol: blocks of `Key: value` lines that end with an empty one. It knows nothing of queues (`members.py`) and does not connect again
(`__init__.py`). The secret does not cross the line: log-in is by MD5 challenge.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import ssl
from collections.abc import Mapping
from typing import Final

Block = dict[str, tuple[str, ...]]
"""One message: each key with its values, in order; some stand there several times (`ChanVariable`)."""

ANSWER_LIMIT_S: Final = 5.0
MOST_LINE_BYTES: Final = 65_536
MOST_LINES: Final = 2_000
"""A message with more is none."""
MOST_WAITING: Final = 20_000
"""Events that nobody has read: beyond, the connection is given up, and all is asked anew."""


class AmiError(Exception):
    """The manager interface cannot be used; the text says why, and has no secret."""


def first(block: Block, key: str) -> str:
    """Return the first value of a key, or an empty text."""
    return block.get(key, ("",))[0]


class Ami:
    """One connection, logged in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Block]] = {}
        self.events: asyncio.Queue[Block | None] = asyncio.Queue(MOST_WAITING)
        """What comes unasked, and the lists that actions are answered with; None: the connection is over."""
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, host: str, port: int, user: str, secret: str, *, tls: ssl.SSLContext | None = None
    ) -> Ami:
        """Connect and log in.

        Raises
        ------
        AmiError
            Nobody is there, it is no manager interface, or it refuses us.
        """
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=MOST_LINE_BYTES)
                banner = await reader.readline()
        except (OSError, TimeoutError, ValueError) as error:
            raise AmiError(
                f"nobody answers as a manager interface at {host}:{port}: {type(error).__name__}"
            ) from error
        made = cls(reader, writer)
        if not banner.startswith(b"Asterisk Call Manager"):
            await made.close()
            raise AmiError(f"{host}:{port} is no Asterisk manager interface")
        made._reading = asyncio.create_task(made._read(), name="ami")
        try:
            await made._log_in(user, secret)
        except AmiError:
            await made.close()
            raise
        return made

    async def _log_in(self, user: str, secret: str) -> None:
        challenge = first(await self.act("Challenge", AuthType="MD5"), "Challenge")
        key = hashlib.md5(f"{challenge}{secret}".encode(), usedforsecurity=False).hexdigest()
        await self.act("Login", AuthType="MD5", Username=user, Key=key)

    async def act(self, action: str, **fields: str) -> Block:
        """Send an action and return its answer; a list that it is answered with comes among the events.

        Raises
        ------
        AmiError
            It is refused, or there is no answer.
        """
        number = str(next(self._numbers))
        lines = {"Action": action, "ActionID": number, **fields}
        future: asyncio.Future[Block] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        try:
            self._writer.write(write_block(lines))
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await self._writer.drain()
                answer = await future
        except (OSError, TimeoutError) as error:
            raise AmiError(f"no answer to {action}") from error
        finally:
            self._answers.pop(number, None)
        if first(answer, "Response") != "Success":
            raise AmiError(f"{action} is refused: {first(answer, 'Message') or 'no reason given'}")
        return answer

    async def close(self) -> None:
        """Hang up; harmless when it is over."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._over()
        self._writer.close()
        try:
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            pass

    async def _read(self) -> None:
        try:
            while (block := await read_block(self._reader)) is not None:
                waiting = self._answers.get(first(block, "ActionID"))
                if "Response" in block and waiting is not None and not waiting.done():
                    waiting.set_result(block)
                elif "Event" in block:
                    self.events.put_nowait(block)
        except (OSError, ValueError, asyncio.QueueFull, AmiError):
            pass  # whoever reads the events sees that it is over
        finally:
            self._over()

    def _over(self) -> None:
        for future in self._answers.values():
            if not future.done():
                future.set_exception(AmiError("the connection is over"))
        while self.events.full():
            self.events.get_nowait()
        self.events.put_nowait(None)


async def read_block(reader: asyncio.StreamReader) -> Block | None:
    """Return the next message; None at the end. ValueError: a line, or the whole, is too long."""
    found: dict[str, list[str]] = {}
    for _ in range(MOST_LINES):
        raw = await reader.readline()
        if not raw:
            return None
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if found:
                return {key: tuple(values) for key, values in found.items()}
            continue
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), []).append(value.strip())
    raise ValueError("no end of a message")


def write_block(lines: Mapping[str, str]) -> bytes:
    """Return an action as bytes; AmiError where a value would break out of its line."""
    for value in lines.values():
        if "\r" in value or "\n" in value:
            raise AmiError("a value with a line break cannot be sent")
    return ("".join(f"{key}: {value}\r\n" for key, value in lines.items()) + "\r\n").encode()
