"""How late the engine's loop is: a sample every `INTERVAL_S`, its 99th percentile, and the brake it trips.

It owns the measure alone; who brakes is pacing.
"""

from __future__ import annotations

import asyncio
from collections import deque

INTERVAL_S = 0.05
WINDOW = 400
"""Samples kept: 20 s."""
BRAKE_MS = 250.0


class LoopLag:
    """Lateness of a loop's own timer."""

    def __init__(self) -> None:
        self._late_ms: deque[float] = deque(maxlen=WINDOW)

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + INTERVAL_S
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            now = loop.time()
            self._late_ms.append((now - due) * 1e3)
            due = max(due + INTERVAL_S, now)

    def p99_ms(self) -> float:
        """Return the 99th percentile of the last 20 s; 0 before the first sample."""
        if not self._late_ms:
            return 0.0
        ordered = sorted(self._late_ms)
        return ordered[int(0.99 * (len(ordered) - 1))]

    @property
    def braked(self) -> bool:
        """The loop is too late to be trusted with more than one call per idle agent."""
        return self.p99_ms() > BRAKE_MS
