"""The picture of `dialer pacing simulate`: occupancy and abandonment over the shift.

It owns the drawing; the numbers are `pacing_shifts.py`'s.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dialer_core.commands.pacing_shifts import Summary
from dialer_core.errors import DialerError
from pacing.baselines import clairvoyant_bound

SMOOTH_MINUTES = 15
BLUE, RED, GREY = "#1f6fb2", "#b3261e", "#8a8f98"


def draw(out: Path, summary: Summary) -> None:
    """Write the PNG; DialerError where the place cannot be written."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    occupancy, share = figure.subplots(2, 1, sharex=True)
    by_minute = 100.0 * _smooth(summary.by_minute("minute_occupancy"))
    hours = np.arange(by_minute.shape[1]) / 60.0
    occupancy.plot(hours, by_minute.T, color=BLUE, alpha=0.25, linewidth=0.8)
    occupancy.plot(
        hours, by_minute.mean(axis=0), color=BLUE, linewidth=2, label=f"mean of {len(by_minute)} shifts"
    )
    bound = 100.0 * clairvoyant_bound(summary.scenario)
    occupancy.axhline(bound, color=GREY, linestyle="--", label=f"the best anyone could do, {bound:.1f} %")
    occupancy.set_ylabel(f"occupancy, % ({SMOOTH_MINUTES} min mean)")
    occupancy.set_ylim(max(0.0, by_minute.min() - 5.0), 101.0)
    occupancy.legend(loc="lower right")
    live = np.cumsum(summary.by_minute("minute_live"), axis=1)
    abandoned = 100.0 * np.cumsum(summary.by_minute("minute_abandoned"), axis=1) / np.maximum(live, 1.0)
    share.plot(hours, abandoned.T, color=RED, alpha=0.35, linewidth=0.8)
    share.plot(hours, abandoned.mean(axis=0), color=RED, linewidth=2, label="mean")
    share.axhline(
        100.0 * summary.ceiling, color=GREY, linestyle="--", label=f"ceiling, {100.0 * summary.ceiling:g} %"
    )
    share.set_ylabel("abandoned so far, % of live answers")
    share.set_xlabel("hours into the shift")
    share.set_ylim(0.0, max(2.0 * 100.0 * summary.ceiling, 1.1 * float(np.quantile(abandoned, 0.99))))
    share.legend(loc="upper right")
    scenario = summary.scenario
    figure.suptitle(f"{summary.policy}: {scenario.agents} agents, {scenario.name}, {scenario.hours:g} h")
    try:
        figure.savefig(out, dpi=110)
    except OSError as error:
        raise DialerError(f"{out}: the picture cannot be written: {error.strerror}") from None


def _smooth(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    # a running mean that is shorter at both ends
    width = min(SMOOTH_MINUTES, rows.shape[1])
    kernel = np.ones(width)
    weight = np.convolve(np.ones(rows.shape[1]), kernel, mode="same")
    return np.stack([np.convolve(row, kernel, mode="same") / weight for row in rows])
