"""The one source of time, so that everything that decides by time can run on a virtual clock.

It owns reading clocks. It owns no timers: those are the event loop's, and a test's loop runs on the same virtual time.
Monotonic nanoseconds are the machine's (`CLOCK_MONOTONIC`), shared by all processes of one boot, and never compared across boots.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What a part of the core may ask of time."""

    def mono_ns(self) -> int:
        """Return monotonic nanoseconds since an arbitrary point of this boot."""

    def utc(self) -> dt.datetime:
        """Return the time now, aware, in UTC."""


class SystemClock:
    """The machine's clocks."""

    def mono_ns(self) -> int:
        """Return `CLOCK_MONOTONIC` in nanoseconds."""
        return time.monotonic_ns()

    def utc(self) -> dt.datetime:
        """Return the wall clock in UTC."""
        return dt.datetime.now(dt.UTC)


class VirtualClock:
    """A clock that moves only when told. `start` is aware; seconds move both clocks alike."""

    def __init__(self, start: dt.datetime) -> None:
        self._start = start
        self._elapsed_ns = 0
        self._stepped = dt.timedelta()

    def mono_ns(self) -> int:
        """Return nanoseconds since the start, plus an hour so that no time is 0."""
        return self._elapsed_ns + 3_600_000_000_000

    def utc(self) -> dt.datetime:
        """Return the virtual wall clock."""
        return self._start + self._stepped + dt.timedelta(microseconds=self._elapsed_ns / 1000)

    def step_wall(self, step: dt.timedelta) -> None:
        """Set the wall clock, as an administrator or a time server would; monotonic time does not notice."""
        self._stepped += step

    def set_elapsed_s(self, seconds: float) -> None:
        """Move to `seconds` after the start; time never goes back."""
        self._elapsed_ns = max(self._elapsed_ns, int(seconds * 1e9))


def read_boot_id() -> str:
    """Return this boot's id, or `unknown` where the kernel does not tell; monotonic times are stored beside it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
