"""How late the engine's loop is, and the brake that trips: what was due while the loop was held up counts, each thing with its own lateness.

It owns the measure alone; who brakes is pacing. `Latencies` keeps any other duration of which quantiles are told.
"""

from __future__ import annotations

import asyncio
from collections import deque

INTERVAL_S = 0.05
WINDOW = 400
"""Samples kept: 20 s."""
BRAKE_MS = 250.0


class Latencies:
    """The last durations of one kind, in milliseconds."""

    def __init__(self, window: int) -> None:
        self._values_ms: deque[float] = deque(maxlen=window)

    def add(self, value_ms: float) -> None:
        """Take one in; the oldest goes."""
        self._values_ms.append(value_ms)

    def quantile_ms(self, share: float) -> float:
        """Return the value that `share` (in [0, 1]) of them do not exceed; 0 before the first."""
        if not self._values_ms:
            return 0.0
        ordered = sorted(self._values_ms)
        return ordered[int(share * (len(ordered) - 1))]

    def max_ms(self) -> float:
        """Return the longest; 0 before the first."""
        return max(self._values_ms, default=0.0)


class LoopLag:
    """Lateness of a loop's own timer over the last 20 s."""

    def __init__(self) -> None:
        self._late = Latencies(WINDOW)

    async def run(self) -> None:
        """Sample until cancelled. A stall counts for every interval it covered: so much of what came in meanwhile was late."""
        loop = asyncio.get_running_loop()
        due = loop.time() + INTERVAL_S
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            now = loop.time()
            due = max(due, now - WINDOW * INTERVAL_S)
            while due <= now:
                self._late.add((now - due) * 1e3)
                due += INTERVAL_S

    def p50_ms(self) -> float:
        """Return the median."""
        return self._late.quantile_ms(0.5)

    def p99_ms(self) -> float:
        """Return the 99th percentile."""
        return self._late.quantile_ms(0.99)

    def max_ms(self) -> float:
        """Return the worst."""
        return self._late.max_ms()

    def brake(self) -> str:
        """Say why the loop is too late to be trusted with more than one call per idle agent; empty while it is not."""
        late_ms = self.p99_ms()
        return f"loop lag p99 {late_ms:.0f} ms is over {BRAKE_MS:.0f} ms" if late_ms > BRAKE_MS else ""
