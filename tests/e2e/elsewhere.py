"""A far end's sound at an address of its own, beside the SIPp that does its signalling: a tone, a flood, a storm of keys. And strangers' sound.

Owns the sockets, one thread for all of the far ends', and what came to them. To whom one speaks it learns from the first packet that comes, as any
phone behind a changed description would have to.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from amd import g711
from tests.e2e.sounds import tone

FRAME_NS = 20_000_000
_PAYLOAD_TYPE = {"PCMU": 0, "PCMA": 8}
_SPEED = {"talk": 1, "flood": 40}
"""Frames each 20 ms."""
_STORM_S, _PRESSES_A_FRAME = 1.5, 2
"""A storm: so many presses each 20 ms, three packets each, for so long; then the tone."""


@dataclass(slots=True)
class Elsewhere:
    """One far end's socket."""

    host: str
    port: int
    hz: int
    law: str = "PCMU"
    speaks: str = "talk"
    """`talk`, `flood` (for as long as the call lasts), or `storm`."""
    ssrc: int = 0
    peer: tuple[str, int] | None = None
    first_ns: int = 0
    """Monotonic: when the first packet came."""
    came: list[tuple[int, int, bytes]] = field(default_factory=list)
    """When, payload type, payload."""
    sent: int = 0
    """Packets."""
    presses: int = 0
    _due_ns: int = 0

    @property
    def at(self) -> tuple[str, int]:
        """As a description names it."""
        return self.host, self.port

    def heard(self, from_ns: int, to_ns: int) -> tuple[set[int], NDArray[np.float32]]:
        """Return the payload types, and the samples in full scale, of what came in a span."""
        packets = [(kind, data) for at_ns, kind, data in self.came if from_ns <= at_ns <= to_ns]
        decode = {0: g711.decode_pcmu, 8: g711.decode_pcma}
        pcm = [decode[kind](np.frombuffer(data, np.uint8)) for kind, data in packets if kind in decode]
        samples = np.concatenate(pcm).astype(np.float32) / 32768 if pcm else np.zeros(0, np.float32)
        return {kind for kind, _ in packets}, samples


class Elsewheres:
    """All of a run, served by one thread."""

    def __init__(self, places: Sequence[Elsewhere]) -> None:
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._sockets: list[tuple[socket.socket, Elsewhere, bytes]] = []
        for index, place in enumerate(places):
            place.ssrc = 0xE15E0000 + index
            encode = {"PCMU": g711.encode_pcmu, "PCMA": g711.encode_pcma}[place.law]
            frame = encode(np.round(tone(place.hz, 0.02) * 32767).astype(np.int16)).tobytes()
            opened = socket.socket(type=socket.SOCK_DGRAM)
            opened.bind(place.at)
            opened.setblocking(False)
            self._selector.register(opened, selectors.EVENT_READ, (opened, place))
            self._sockets.append((opened, place, frame))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for opened, _, _ in self._sockets:
            opened.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.005):
                self._take(*key.data)
            for opened, place, frame in self._sockets:
                with suppress(OSError):  # the call is over, and nobody is there
                    self._speak(opened, place, frame)

    @staticmethod
    def _take(opened: socket.socket, place: Elsewhere) -> None:
        try:
            while True:
                data, source = opened.recvfrom(2048)
                now_ns = time.monotonic_ns()
                if place.peer is None:
                    place.peer, place.first_ns, place._due_ns = source, now_ns, now_ns
                place.came.append((now_ns, data[1] & 0x7F, data[12:]))
        except OSError:
            pass

    @staticmethod
    def _speak(opened: socket.socket, place: Elsewhere, frame: bytes) -> None:
        now_ns = time.monotonic_ns()
        while place.peer is not None and place._due_ns <= now_ns:
            place._due_ns += FRAME_NS
            if place.speaks == "storm" and now_ns - place.first_ns < _STORM_S * 1e9:
                for _ in range(_PRESSES_A_FRAME):
                    _press(opened, place)
                continue
            for _ in range(_SPEED.get(place.speaks, 1)):
                opened.sendto(_head(place, _PAYLOAD_TYPE[place.law], place.sent * 160) + frame, place.peer)
                place.sent += 1


def _head(place: Elsewhere, kind: int, timestamp: int) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, place.sent & 0xFFFF, timestamp, place.ssrc)


def _press(opened: socket.socket, place: Elsewhere) -> None:
    """One short press by RFC 4733: its packets have one timestamp, the last two say that it has ended."""
    timestamp = place.sent * 160
    for step in range(3):
        event = struct.pack("!BBH", place.presses % 10, (0x80 if step else 0) | 10, 160 * (step + 1))
        assert place.peer is not None
        opened.sendto(_head(place, (0x80 if step == 0 else 0) | 101, timestamp) + event, place.peer)
        place.sent += 1
    place.presses += 1


class Stranger:
    """Somebody who sends well-formed RTP to a port that is not theirs."""

    def __init__(self, law_bytes: bytes) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._frames = [law_bytes[i : i + 160] for i in range(0, len(law_bytes) - 159, 160)]
        self.sent: Counter[int] = Counter()

    def send(self, port: int, packets: int, *, ssrc: int, sequence: int) -> None:
        """Send so many packets at once, numbered from `sequence` on."""
        for i in range(packets):
            frame = self._frames[i % len(self._frames)]
            head = struct.pack("!BBHII", 0x80, 0, (sequence + i) & 0xFFFF, 160 * i, ssrc)
            self._socket.sendto(head + frame, ("127.0.0.1", port))
        self.sent[port] += packets

    def close(self) -> None:
        """Go away."""
        self._socket.close()
