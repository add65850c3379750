"""What each process of a node holds, sampled while it works: memory, descriptors, threads, sockets; and files of the node.

Owns the reading of /proc and what counts as flat. It changes nothing.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
WHATS = ("rss_mb", "descriptors", "threads", "sockets")
ALLOWED = {"rss_mb": 12.0, "descriptors": 12.0, "threads": 2.0, "sockets": 12.0}
"""Growth from the calm beginning to the calm end, per process: more is a leak. Calls come and go, so a few descriptors are no leak."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment."""

    at_s: float
    rss_mb: float
    descriptors: int
    threads: int
    sockets: int


def sample(pid: int, at_s: float) -> Sample | None:
    """Return what a process holds now; None where it is gone."""
    root = Path("/proc") / str(pid)
    try:
        pages = int((root / "statm").read_text().split()[1])
        links = [str(entry.readlink()) for entry in (root / "fd").iterdir()]
        threads = len(list((root / "task").iterdir()))
    except OSError:
        return None
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(at_s, pages * PAGE_MB, len(links), threads, sockets)


def growth(
    samples: Sequence[Sample], what: str, calm: tuple[float, float], last: tuple[float, float]
) -> float:
    """Return the median within the last calm stretch minus that within the first; 0 where one has no sample.

    Parameters
    ----------
    calm, last
        From and to, in seconds of the run.
    """
    halves = [
        [float(getattr(one, what)) for one in samples if begin <= one.at_s <= end]
        for begin, end in (calm, last)
    ]
    return statistics.median(halves[1]) - statistics.median(halves[0]) if all(halves) else 0.0


def slope_per_hour(samples: Sequence[Sample], what: str) -> float:
    """Return the median slope over all pairs of samples a quarter of the run apart or more (Theil 1950, Sen 1968), per hour."""
    if len(samples) < 4:
        return 0.0
    apart_s = (samples[-1].at_s - samples[0].at_s) / 4
    slopes = [
        (getattr(late, what) - getattr(early, what)) / (late.at_s - early.at_s)
        for index, early in enumerate(samples)
        for late in samples[index + 1 :]
        if late.at_s - early.at_s >= apart_s
    ]
    return 3600 * statistics.median(slopes) if slopes else 0.0


def bar(values: Sequence[float], width: int = 60) -> str:
    """Return a row of characters, the lowest value to the highest."""
    if not values:
        return ""
    steps = " .:-=+*#%@"
    low, high = min(values), max(values)
    picked = [values[index * len(values) // width] for index in range(min(width, len(values)))]
    return "".join(steps[round((value - low) / (high - low) * 9) if high > low else 0] for value in picked)


def now_s(began_s: float) -> float:
    """Return seconds of the run."""
    return time.monotonic() - began_s
