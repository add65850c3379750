"""A bad network between SIPp and the dialer: SIP passes with its media addresses rewritten, RTP is lost, doubled and overtaken on purpose.

Owns the box: one SIP port towards the dialer, a pair of RTP ports for the one call it carries at a time, and the count of its misdeeds. It knows
no more of SIP than the `m=audio` line.
"""

from __future__ import annotations

import random
import re
import selectors
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush

_AUDIO = re.compile(rb"m=audio (\d{5}) ")


@dataclass(frozen=True, slots=True)
class Misdeeds:
    """What happens to RTP: each packet is drawn once. Rates in [0, 1]."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    """A packet held back until the two after it have passed."""
    held_s: float = 0.05


@dataclass(slots=True)
class _Way:
    """One direction of RTP: what comes in at one socket goes out of another."""

    out: socket.socket
    target: tuple[str, int] | None = None
    did: Counter[str] = field(default_factory=Counter)


class Middlebox:
    """The box; its thread runs from `__init__` to `close`.

    Parameters
    ----------
    near
        SIP port towards the dialer: the trunk's port in its configuration.
    far
        SIP port towards SIPp.
    rtp
        Four ports: RTP towards the dialer and towards SIPp are the first and the third.
    carrier
        SIPp's SIP port.
    """

    def __init__(self, *, near: int, far: int, rtp: int, carrier: int, misdeeds: Misdeeds, seed: int) -> None:
        self._misdeeds = misdeeds
        self._random = random.Random(seed)
        self._carrier = ("127.0.0.1", carrier)
        self._dialer: tuple[str, int] | None = None
        self._near, self._far = _bound(near), _bound(far)
        self._rtp_near, self._rtp_far = _bound(rtp), _bound(rtp + 2)
        self._ports = {"near": rtp, "far": rtp + 2}
        self.to_dialer = _Way(self._rtp_near)
        self.to_carrier = _Way(self._rtp_far)
        self._held: list[tuple[float, int, _Way, bytes]] = []
        self._count = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="middlebox")
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ending.set()
        self._thread.join()
        for one in (self._near, self._far, self._rtp_near, self._rtp_far):
            one.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as waiting:
            for one in (self._near, self._far, self._rtp_near, self._rtp_far):
                waiting.register(one, selectors.EVENT_READ)
            while not self._ending.is_set():
                for key, _ in waiting.select(0.005 if self._held else 0.05):
                    data, source = key.fileobj.recvfrom(65536)  # type: ignore[union-attr]
                    self._take(key.fileobj, data, source)
                while self._held and self._held[0][0] <= time.monotonic():
                    _, _, way, data = heappop(self._held)
                    self._send(way, data)

    def _take(self, at: object, data: bytes, source: tuple[str, int]) -> None:
        if at is self._near:
            self._dialer = source
            self._far.sendto(self._rewritten(data, self.to_dialer, "far"), self._carrier)
        elif at is self._far:
            if self._dialer is not None:
                self._near.sendto(self._rewritten(data, self.to_carrier, "near"), self._dialer)
        elif at is self._rtp_near:
            self._pass(self.to_carrier, data)
        else:
            self._pass(self.to_dialer, data)

    def _rewritten(self, data: bytes, way: _Way, side: str) -> bytes:
        """Put our own port into a description, and remember whose stood there; five digits each, so that no length changes."""
        found = _AUDIO.search(data)
        if found is None:
            return data
        way.target = ("127.0.0.1", int(found.group(1)))
        return _AUDIO.sub(b"m=audio %d " % self._ports[side], data)

    def _pass(self, way: _Way, data: bytes) -> None:
        drawn, may = self._random.random(), self._misdeeds
        if drawn < may.loss:
            way.did["lost"] += 1
        elif drawn < may.loss + may.duplication:
            way.did["doubled"] += 1
            self._send(way, data)
            self._send(way, data)
        elif drawn < may.loss + may.duplication + may.reordering:
            way.did["overtaken"] += 1
            self._count += 1
            heappush(self._held, (time.monotonic() + may.held_s, self._count, way, data))
        else:
            self._send(way, data)

    def _send(self, way: _Way, data: bytes) -> None:
        if way.target is not None:
            way.did["sent"] += 1
            way.out.sendto(data, way.target)


def _bound(port: int) -> socket.socket:
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", port))
    return made
