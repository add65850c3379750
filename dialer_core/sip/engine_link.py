"""The worker's end of its named socket: one engine at a time, events kept while there is none.

It owns the listener, the connection, the queue of events and their sequence. It owns no meaning of a message.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from dialer_core.errors import ProtocolError
from dialer_core.ipc.channel import HIGH_MARK_BYTES, LOW_MARK_BYTES, Door, FrameBuffer, encode_frame
from dialer_core.ipc.messages import SourcedEvent, WorkerCommand

_log = structlog.get_logger(__name__)

_READ_BYTES = 1 << 16
_FRAMES_PER_WRITE = 64


class Poller(Protocol):
    """What of `select.poll` is needed here."""

    def register(self, fd: int, eventmask: int) -> None:
        """Watch a descriptor, or change what it is watched for."""

    def unregister(self, fd: int) -> None:
        """Stop watching it."""


class EngineLink:
    """A queue of events towards whichever engine is attached.

    Parameters
    ----------
    path
        Of the named socket.
    poller
        Where this link's descriptors are registered; the loop calls `handle` for them.
    hello
        Makes the first event of each connection. It stands outside the sequence (`seq` 0): kept events follow it.
    """

    def __init__(self, path: Path, poller: Poller, hello: Callable[[], SourcedEvent]) -> None:
        self._poller = poller
        self._hello = hello
        self._door = Door(path)
        self._poller.register(self._door.fileno(), select.POLLIN)
        self._connection: socket.socket | None = None
        self._frames: FrameBuffer[WorkerCommand] = FrameBuffer(WorkerCommand)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._over_mark = False
        self._sent_of_first = 0
        self._write_blocked = False
        self._seq = 0

    @property
    def attached(self) -> bool:
        """Whether an engine is connected."""
        return self._connection is not None

    @property
    def over_mark(self) -> bool:
        """Whether so much waits, for an engine that does not read or for one that is not there, that no new call should be begun."""
        self._over_mark = self._waiting_bytes > (LOW_MARK_BYTES if self._over_mark else HIGH_MARK_BYTES)
        return self._over_mark

    def send(self, event: SourcedEvent) -> None:
        """Give an event the next number and queue it; it leaves with the next `flush`, or when an engine attaches."""
        self._seq += 1
        frame = encode_frame(msgspec.structs.replace(event, seq=self._seq))
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)

    def handle(self, descriptor: int, mask: int) -> list[Any]:
        """Take what the poller saw on one of this link's descriptors; return the commands that came."""
        if descriptor == self._door.fileno():
            self._accept()
            return []
        if self._connection is None or descriptor != self._connection.fileno():
            return []  # it was replaced within this turn
        if mask & select.POLLOUT:
            self._write_blocked = False
            self._poller.register(descriptor, select.POLLIN)
        if mask & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return self._read(self._connection)
        return []

    def flush(self) -> None:
        """Write what the connection takes without blocking; one system call for all of it."""
        while self._connection is not None and self._waiting and not self._write_blocked:
            frames = list(itertools.islice(self._waiting, _FRAMES_PER_WRITE))
            first = memoryview(frames[0])[self._sent_of_first :]
            try:
                written = self._connection.sendmsg([first, *frames[1:]])
            except BlockingIOError:
                self._write_blocked = True
                self._poller.register(self._connection.fileno(), select.POLLIN | select.POLLOUT)
                return
            except OSError:
                self._detach("write failed")
                return
            self._forget_written(written + self._sent_of_first)

    def _forget_written(self, written: int) -> None:
        while self._waiting and written >= len(self._waiting[0]):
            written -= len(self._waiting[0])
            self._waiting_bytes -= len(self._waiting.popleft())
        self._sent_of_first = written

    def close(self, patience_s: float) -> None:
        """Write what is left, as far as the engine reads it within `patience_s`, and remove the socket."""
        deadline = time.monotonic() + patience_s
        while self._connection is not None and self._waiting and time.monotonic() < deadline:
            select.select([], [self._connection], [], max(0.0, deadline - time.monotonic()))
            self._write_blocked = False
            self.flush()
        self._door.close()

    def _accept(self) -> None:
        try:
            connection = self._door.accept()
        except OSError:
            self._detach("replaced by a newer connection")  # its descriptor is needed
            connection = self._door.accept()
        if connection is None:
            return
        if self._connection is not None:
            self._detach("replaced by a newer connection")
        self._connection = connection
        self._frames = FrameBuffer(WorkerCommand)
        self._write_blocked = False
        hello = encode_frame(self._hello())
        self._waiting.appendleft(hello)
        self._waiting_bytes += len(hello)
        self._poller.register(connection.fileno(), select.POLLIN)

    def _read(self, connection: socket.socket) -> list[Any]:
        try:
            data = connection.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._detach("closed by the engine")
            return []
        commands: list[Any] = []
        try:
            commands.extend(self._frames.feed(data))
        except ProtocolError as error:
            _log.warning("engine_protocol_error", error=str(error))
            self._detach("not a message")
        return commands

    def _detach(self, why: str) -> None:
        if self._connection is None:
            return
        _log.info("engine_detached", why=why, events_waiting=len(self._waiting))
        self._poller.unregister(self._connection.fileno())
        self._connection.close()
        self._connection = None
        self._door.restore()
        self._sent_of_first = 0  # a frame half written to the old connection goes out whole on the next
