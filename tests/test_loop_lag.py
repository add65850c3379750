"""The lag of a loop: what a stall counts for, and when it brakes."""

from __future__ import annotations

import asyncio
import time

import pytest

from dialer_core.loop_lag import BRAKE_MS, Latencies, LoopLag

pytestmark = pytest.mark.unit


def test_quantiles_are_those_of_the_last_ones() -> None:
    """The window forgets; an empty one is 0."""
    latencies = Latencies(100)
    assert (latencies.quantile_ms(0.95), latencies.max_ms()) == (0.0, 0.0)
    for value in (1e9, *range(1, 101)):
        latencies.add(float(value))
    assert latencies.quantile_ms(0.5) == 50
    assert latencies.quantile_ms(0.95) == 95
    assert latencies.max_ms() == 100


async def test_a_stall_counts_for_all_that_was_due_in_it() -> None:
    """Half a second in which nothing ran made ten samples late, each by its own lateness: the brake is on, and says why."""
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.06)
    assert lag.brake() == ""
    time.sleep(0.6)  # noqa: ASYNC251 - the stall is what is tested
    await asyncio.sleep(0.01)
    task.cancel()
    late = sorted(lag._late._values_ms)
    assert len(late) >= 11
    assert lag.max_ms() >= 500
    assert late[-5] >= BRAKE_MS
    assert lag.p99_ms() > BRAKE_MS
    assert "loop lag p99" in lag.brake()
