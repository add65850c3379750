"""Framing and transport of messages: 4-byte big-endian length, then one msgpack message, over a named Unix stream socket.

It owns bytes and sockets. It owns no meaning: what to do with a message, and when to attach again, is its caller's.
Two shapes of the same thing: `FrameBuffer` for loops of their own (line worker, media plane: `epoll` and non-blocking sockets) and
`Link` for asyncio (engine, host).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from dialer_core.errors import ProtocolError, StartError

_log = structlog.get_logger(__name__)
R = TypeVar("R")
S = TypeVar("S")

_LENGTH = struct.Struct(">I")
ENGINE_SOCKET = "engine.sock"
"""In the run folder: the engine listens there, the host attaches."""
MAX_FRAME_BYTES = 16 * 1024 * 1024
HIGH_MARK_BYTES = 256 * 1024
"""More than this waiting for a peer: nothing new is begun that would need it."""
LOW_MARK_BYTES = 64 * 1024
"""Until it is down to this."""
HARD_LIMIT_BYTES = 8 * 1024 * 1024
"""More than this waiting: the peer counts as silent, whatever it says, and is given up when it stays so (`liveness.py`)."""
_PEER_CREDENTIALS = struct.Struct("3i")
_ENCODER = msgspec.msgpack.Encoder()


def encode_frame(message: msgspec.Struct) -> bytes:
    """Return one message as it goes over the wire."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


class FrameBuffer(Generic[R]):
    """Bytes in, messages out.

    Parameters
    ----------
    kind
        The tagged union to decode.
    """

    def __init__(self, kind: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[R] = msgspec.msgpack.Decoder(kind)
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[R]:
        """Yield every whole message.

        Raises
        ------
        ProtocolError
            The bytes are not a message of the set; the connection must be closed.
        """
        self._bytes += data
        at = 0
        try:
            while len(self._bytes) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._bytes, at)
                if length > MAX_FRAME_BYTES:
                    msg = f"frame of {length} bytes, at most {MAX_FRAME_BYTES} are allowed"
                    raise ProtocolError(msg)
                if len(self._bytes) - at - _LENGTH.size < length:
                    break
                body = memoryview(self._bytes)[at + _LENGTH.size : at + _LENGTH.size + length]
                try:
                    message = self._decoder.decode(body)
                except (msgspec.DecodeError, msgspec.ValidationError) as error:
                    msg = f"not a message of this socket's set: {error}"
                    raise ProtocolError(msg) from error
                finally:
                    body.release()
                at += _LENGTH.size + length
                yield message
        finally:
            del self._bytes[:at]


def listen_unix(path: Path) -> socket.socket:
    """Bind a non-blocking listening socket at `path`, replacing a dead one; only this user may connect.

    Raises
    ------
    StartError
        A living process listens there, or the path is too long for a Unix socket.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if len(os.fsencode(path)) > 100:
        msg = f"socket path is {len(os.fsencode(path))} bytes long, at most 100 work: set node.run_dir to a shorter folder ({path})"
        raise StartError(msg)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            msg = f"another process listens on {path}: is a dialer already running with this configuration?"
            raise StartError(msg)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(8)
    listener.setblocking(False)
    return listener


class Door:
    """A listening socket for one peer at a time, who gets in also when this process has no descriptor left.

    A loop that waits for sockets would find this one ready for ever otherwise, and do nothing else; and a new engine, which could let calls go, would
    not come in. So a descriptor is kept in reserve.

    Raises
    ------
    StartError
        As `listen_unix`.
    """

    def __init__(self, path: Path) -> None:
        self.socket = listen_unix(path)
        self._path = path
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY)

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self.socket.fileno()

    def accept(self) -> socket.socket | None:
        """Return who has come, non-blocking; None where they went away again.

        Raises
        ------
        OSError
            There is no descriptor, not in reserve either: the peer who is there has it, and is to be let go first.
        """
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    return None
                if self._reserve is None:
                    raise
                self._give_up_reserve()
            else:
                peer.setblocking(False)
                self.restore()
                return peer

    def _give_up_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def restore(self) -> None:
        """Keep a descriptor in reserve again, where there is one: asked when a peer has gone."""
        if self._reserve is None:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Listen no more, and remove the socket's path."""
        self._give_up_reserve()
        self.socket.close()
        self._path.unlink(missing_ok=True)


class Link(Generic[S, R]):
    """One attached peer, in asyncio. Sending never blocks; received messages go to `on_message` in order, on the loop.

    What a peer does not read waits here, and nothing of it is thrown away: `over_mark` tells callers to begin nothing new, and one that stays
    `over_limit` is ended by whoever watches it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kind: object,
        on_message: Callable[[R], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer: FrameBuffer[R] = FrameBuffer(kind)
        self._on_message = on_message
        self._on_closed = on_closed
        self._letting_go = False
        self._over_mark = False
        self.received = 0
        """Messages that have come: what is looked at to see that the peer lives."""
        self._task = asyncio.get_running_loop().create_task(self._receive())

    @classmethod
    async def attach(
        cls, path: Path, kind: object, on_message: Callable[[R], None], on_closed: Callable[[], None]
    ) -> Link[S, R]:
        """Connect to a listener's socket; raises `OSError` while there is none."""
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 20)
        return cls(reader, writer, kind, on_message, on_closed)

    def send(self, message: S) -> None:
        """Queue a message; silently nothing once closed (`on_closed` has told)."""
        if not self._writer.is_closing():
            self._writer.write(encode_frame(message))  # type: ignore[arg-type]

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting for the peer to read."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def over_mark(self) -> bool:
        """Whether nothing new should be begun: so it is from the high mark on, until the queue is down to the low one."""
        self._over_mark = self.queued_bytes > (LOW_MARK_BYTES if self._over_mark else HIGH_MARK_BYTES)
        return self._over_mark

    @property
    def over_limit(self) -> bool:
        """Whether so much waits that the peer must be taken for hung."""
        return self.queued_bytes > HARD_LIMIT_BYTES

    @property
    def peer_pid(self) -> int:
        """The process at the other end, as the kernel knows it; 0 where it does not tell."""
        end = self._writer.get_extra_info("socket")
        credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        return int(_PEER_CREDENTIALS.unpack(credentials)[0])

    def kill_peer(self) -> None:
        """End a peer that hangs (SIGKILL). While its end of the socket is open, its process id is its own."""
        if pid := self.peer_pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the peer. `on_closed` tells of a peer that went, so it is not called for this."""
        self._letting_go = True
        self._writer.close()
        self._task.cancel()

    async def _receive(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                for message in self._buffer.feed(data):
                    self.received += 1
                    self._on_message(message)
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - what cannot be read or handled ends the link: loudly, or nobody would know why
            _log.exception("link_failed", error=type(error).__name__)
        finally:
            self._writer.close()
            if not self._letting_go:
                self._on_closed()
