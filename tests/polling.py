"""Waiting in tests, done once: poll a condition until it holds or time is over. Tests sleep nowhere else."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, overload

T = TypeVar("T")

FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.05


class WaitedTooLongError(AssertionError):
    """What a test waited for did not come true in its time."""


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str) -> T:
    """Return the predicate's first true value.

    The predicate is asked at once, then at pauses growing from 2 to 50 ms, and a last time at the deadline.
    `what` completes "waited N s for ...". Raises WaitedTooLongError, with the predicate's last value.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        last = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if last:
            raise WaitedTooLongError(f"waited {timeout_s:g} s for {what}; last seen: {value!r}")
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


@overload
async def wait_until_async(predicate: Callable[[], Awaitable[T]], timeout_s: float, what: str) -> T: ...
@overload
async def wait_until_async(predicate: Callable[[], T], timeout_s: float, what: str) -> T: ...
async def wait_until_async(predicate: Callable[[], object], timeout_s: float, what: str) -> object:
    """Do as `wait_until` without blocking the loop; the predicate may be a coroutine function."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        last = loop.time() >= deadline
        answer = predicate()
        value = await answer if isawaitable(answer) else answer
        if value:
            return value
        if last:
            raise WaitedTooLongError(f"waited {timeout_s:g} s for {what}; last seen: {value!r}")
        await asyncio.sleep(min(pause_s, max(0.0, deadline - loop.time())))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
