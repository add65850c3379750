"""The picture of `dialer amd explain`: sound, level and odds over time, with the marks.

It owns the drawing. What is drawn comes from `amd_explain.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from amd import DetectorConfig, Label, MarkKind
from amd.frames import TICK_S
from dialer_core.errors import DialerError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dialer_core.commands.amd_explain import Course
    from dialer_core.commands.amd_recordings import Judgement

PERSON, MACHINE, OTHER, BEEP, GREETING, FAINT = (
    "#0b7a3e",
    "#b3261e",
    "#5b4b8a",
    "#c77700",
    "#1f6fb2",
    "#8a8f98",
)
LIVE = (Label.HUMAN, Label.SILENCE, Label.UNKNOWN)
LOWEST_DB = -70.0
WIDEST_ODDS = 9.0
_ROUNDING = 1e-4
"""Probabilities nearer to 0 or 1 are drawn at this distance."""


def draw(out: Path, course: Course, found: Judgement, config: DetectorConfig) -> None:
    """Write the picture.

    Raises
    ------
    DialerError
        The file cannot be written.
    """
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11.0, 6.6), layout="constrained")
        FigureCanvasAgg(figure)
        sound, level, odds = figure.subplots(3, 1, sharex=True, height_ratios=(1.25, 1.0, 1.0))
        title = f"{Path(found.file).name}: {found.label}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        _draw_sound(sound, course)
        _draw_level(level, course)
        _draw_odds(odds, course, config)
        _draw_marks((sound, level, odds), course, found)
        odds.set_xlabel("seconds from the answer")
        odds.set_xlim(0.0, len(course.voice) * TICK_S)
        try:
            figure.savefig(out, dpi=120, format="png")
        except OSError as error:
            raise DialerError(f"{out}: the picture cannot be written: {error.strerror}") from error


def _draw_sound(axes: Axes, course: Course) -> None:
    """Least and most of every 5 ms, so that a long recording is not a solid block of lines."""
    parts = course.sound.reshape(-1, 40)
    at_s = (np.arange(len(parts)) + 0.5) * 40 / 8000
    axes.fill_between(at_s, parts.min(axis=1), parts.max(axis=1), color="#3c4043", linewidth=0.3)
    most = max(0.05, float(np.abs(course.sound).max()) * 1.15)
    axes.set_ylim(-most, most)
    axes.set_ylabel("sound")


def _draw_level(axes: Axes, course: Course) -> None:
    edges_s = _edges_s(course.voice)
    level = np.nan_to_num(np.maximum(course.level_dbfs, LOWEST_DB), nan=LOWEST_DB)
    floor = np.where(np.isfinite(course.floor_dbfs), np.maximum(course.floor_dbfs, LOWEST_DB), np.nan)
    axes.stairs(level, edges_s, color="#3c4043", linewidth=0.9, label="level", baseline=None)
    axes.stairs(
        floor, edges_s, color=FAINT, linewidth=1.2, linestyle="--", label="the line's noise", baseline=None
    )
    voiced = np.where(course.voice, level, np.nan)
    axes.stairs(voiced, edges_s, baseline=LOWEST_DB, fill=True, color=GREETING, alpha=0.35, label="voice")
    axes.set_ylim(LOWEST_DB, 0.0)
    axes.set_ylabel("dBFS")
    axes.legend(loc="upper right", ncols=3, frameon=False)


def _draw_odds(axes: Axes, course: Course, config: DetectorConfig) -> None:
    probability = np.clip(course.machine_probability, _ROUNDING, 1.0 - _ROUNDING)
    odds = np.log(probability / (1.0 - probability))
    edges_s = _edges_s(course.voice)
    threshold = config.machine_log_odds
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    axes.axhline(threshold, color=MACHINE, linewidth=0.9, linestyle="--")
    axes.text(0.0, threshold, " above: the costs say machine", color=MACHINE, va="bottom")
    axes.stairs(odds, edges_s, baseline=None, color="#3c4043", linewidth=1.4)
    if np.isnan(odds).all():
        axes.text(0.5, 0.25, "no speech to weigh", color=FAINT, ha="center", transform=axes.transAxes)
    for sign, colour in ((1, MACHINE), (-1, PERSON)):
        side = np.where(sign * odds > 0, odds, np.nan)
        axes.stairs(side, edges_s, baseline=0.0, fill=True, color=colour, alpha=0.2)
    axes.set_ylim(-WIDEST_ODDS, WIDEST_ODDS)
    axes.set_ylabel("log odds, machine\nagainst person")


def _edges_s(per_tick: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.arange(len(per_tick) + 1) * TICK_S, np.float64)


def _draw_marks(all_axes: tuple[Axes, ...], course: Course, found: Judgement) -> None:
    """A line through every panel for each mark, and its words over the uppermost, each on a height of its own."""
    said: list[tuple[float, str, str, str]] = []
    for mark in course.marks:
        at_s = (mark.tick + 1) * TICK_S
        colour = PERSON if mark.label in LIVE else MACHINE if mark.label is Label.MACHINE else OTHER
        if mark.kind is MarkKind.BEEP:
            said.append(((mark.beep_end_tick + 1) * TICK_S, "end of the beep", BEEP, "-"))
        elif mark.kind is MarkKind.SETTLED:
            said.append((at_s, "settled", FAINT, ":"))
        else:
            how = "revised to " if mark.kind is MarkKind.REVISED else ""
            held = ", provisional" if mark.provisional and mark.label is not Label.RINGBACK else ""
            said.append(
                (
                    at_s,
                    f"{how}{mark.label.word} ({mark.reason.word}, {mark.confidence:.2f}{held})",
                    colour,
                    "-",
                )
            )
    if found.greeting_end_s is not None and found.greeting_end_s < found.decision_s:
        said.append((found.greeting_end_s, "end of the greeting", GREETING, "--"))
    said.sort()
    top, end_s = all_axes[0], len(course.voice) * TICK_S
    for place, (at_s, words, colour, line) in enumerate(said):
        for axes in all_axes:
            axes.axvline(at_s, color=colour, linewidth=1.1, linestyle=line)
        late = at_s > 0.7 * end_s
        top.annotate(
            f"{at_s:.2f} s  {words}",
            xy=(at_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if late else 4, 3 + 12 * (len(said) - 1 - place)),
            textcoords="offset points",
            ha="right" if late else "left",
            va="bottom",
            color=colour,
            annotation_clip=False,
        )
