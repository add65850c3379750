"""The socket on which the engine attaches: one engine at a time, events kept for it while there is none.

It owns connection, framing and the order of events; what commands do is `exchange.py`'s. A newer connection replaces the older one: an engine
that was restarted must not wait for the old one's end to be noticed. The hello carries `seq` 0: it stands before all kept events.
"""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
from msgspec.structs import force_setattr

from dialer_core.clock import Clock
from dialer_core.errors import ProtocolError
from dialer_core.ipc.channel import Door, FrameBuffer, encode_frame
from dialer_core.ipc.messages import MediaCommand, MediaHealth, MediaHello, MediaState, SourcedEvent
from dialer_core.vocabulary import new_id

_log = structlog.get_logger(__name__)

_MOMENTARY: Final = (MediaHealth, MediaState, MediaHello)
"""Events that mean nothing to a later engine: not kept."""
_READ_BYTES = 1 << 16


class EngineLink:
    """Commands in, events out.

    Parameters
    ----------
    path
        Where to listen.
    epoll
        The plane's; the link registers its own sockets there.
    prompts
        Seconds of each prompt by its id, for the hello.
    """

    def __init__(self, path: Path, epoll: select.epoll, clock: Clock, prompts: dict[str, float]) -> None:
        self._door = Door(path)
        self._epoll = epoll
        self._clock = clock
        self._prompts = prompts
        self._boot = new_id()
        self._connection: socket.socket | None = None
        self._buffer: FrameBuffer[MediaCommand] = FrameBuffer(MediaCommand)
        self._queue: deque[tuple[bytes, bool]] = deque()
        """Frames not yet wholly handed to the kernel, and whether each is momentary."""
        self._sent_of_first = 0
        self._wants_write = False
        self._seq = 0
        epoll.register(self._door, select.EPOLLIN)

    def send(self, event: SourcedEvent) -> None:
        """Stamp the event's `seq`, queue it, and send what the socket takes."""
        momentary = isinstance(event, _MOMENTARY)
        if momentary and self._connection is None:
            return
        self._seq += 1
        force_setattr(event, "seq", self._seq)
        self._queue.append((encode_frame(event), momentary))
        self._flush()

    def owns(self, fd: int) -> bool:
        """Return whether a readiness event is for this link."""
        return fd == self._door.fileno() or (self._connection is not None and fd == self._connection.fileno())

    def ready(self, fd: int, mask: int) -> Iterator[MediaCommand]:
        """Serve one readiness event; yield the commands that came."""
        if fd == self._door.fileno():
            self._accept()
            return
        if mask & select.EPOLLOUT:
            self._flush()
        connection = self._connection
        if connection is None or not mask & ~select.EPOLLOUT:
            return
        try:
            data = connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._detach(error.strerror or "error")
            return
        if not data:
            self._detach("closed by the engine")
            return
        try:
            yield from self._buffer.feed(data)
        except ProtocolError as error:
            self._detach(str(error))

    def close(self) -> None:
        """Try once more to deliver what is queued, then close and remove the socket's path."""
        if self._connection is not None:
            self._connection.settimeout(0.5)
            self._flush()
            self._detach("shutting down")
        self._epoll.unregister(self._door)
        self._door.close()

    def _accept(self) -> None:
        try:
            connection = self._door.accept()
        except OSError:
            self._detach("replaced by a newer engine")  # its descriptor is needed
            connection = self._door.accept()
        if connection is None:
            return
        if self._connection is not None:
            self._detach("replaced by a newer engine")
        self._connection = connection
        self._buffer = FrameBuffer(MediaCommand)
        self._wants_write = False
        self._epoll.register(connection, select.EPOLLIN)
        _log.info("engine_attached", kept_events=len(self._queue))
        hello = MediaHello(
            at_ns=self._clock.mono_ns(), pid=os.getpid(), boot=self._boot, prompts=tuple(sorted(self._prompts)),
            prompt_seconds=self._prompts,
        )  # fmt: skip
        self._queue.appendleft((encode_frame(hello), True))
        self._flush()

    def _detach(self, why: str) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._epoll.unregister(connection)
        connection.close()
        self._door.restore()
        # A frame cut in the middle is sent whole to the next engine.
        self._sent_of_first = 0
        self._queue = deque(item for item in self._queue if not item[1])
        _log.info("engine_detached", why=why, kept_events=len(self._queue))

    def _flush(self) -> None:
        while self._connection is not None and self._queue:
            frame = self._queue[0][0]
            try:
                sent = self._connection.send(frame[self._sent_of_first :] if self._sent_of_first else frame)
            except BlockingIOError:
                break
            except OSError as error:
                self._detach(error.strerror or "error")
                return
            self._sent_of_first += sent
            if self._sent_of_first == len(frame):
                self._queue.popleft()
                self._sent_of_first = 0
        wants_write = bool(self._queue)
        if self._connection is not None and wants_write != self._wants_write:
            self._wants_write = wants_write
            self._epoll.modify(self._connection, select.EPOLLIN | (select.EPOLLOUT if wants_write else 0))
