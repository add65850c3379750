"""The 20 ms pace that all legs of a simulation share.

Owns the schedule. What is sent is the legs' business (`rtp.py`).
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

FRAME_S = 0.020
FRAME_NS = 20_000_000
CATCH_UP_TICKS = 10
"""How many missed ticks are made up for at once; after a longer standstill the schedule starts anew."""


class Paced(Protocol):
    """Whatever sends one frame a tick."""

    def send_frame(self, now_ns: int) -> None:
        """Sends the next 20 ms."""


class Pacer:
    """Calls every leg each 20 ms on one absolute schedule; a late tick is followed by the missed ones at once."""

    def __init__(self) -> None:
        self._legs: dict[Paced, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self.ticks = 0
        self.late_ticks = 0
        """Ticks more than 10 ms late."""
        self.worst_late_s = 0.0

    def start(self) -> None:
        """Begins to tick on the running loop."""
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + FRAME_S
        self._timer = loop.call_at(self._due_s, self._tick, loop)

    def stop(self) -> None:
        """Ends the ticks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def add(self, leg: Paced) -> None:
        """The leg sends from the next tick on."""
        self._legs[leg] = None

    def remove(self, leg: Paced) -> None:
        """The leg sends no more."""
        self._legs.pop(leg, None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        late_s = loop.time() - self._due_s
        self.worst_late_s = max(self.worst_late_s, late_s)
        self.late_ticks += late_s > FRAME_S / 2
        due = 1 + int(late_s / FRAME_S)
        self._due_s += due * FRAME_S
        self._timer = loop.call_at(
            self._due_s, self._tick, loop
        )  # first, so that no leg's fault stops the others
        for _ in range(min(due, CATCH_UP_TICKS)):
            now_ns = time.monotonic_ns()
            for leg in list(self._legs):
                leg.send_frame(now_ns)
            self.ticks += 1
