"""Lift and calibration as a picture. It owns the drawing alone."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from plugins.prioritization.evaluation import Quality

_INK, _LINE, _GREY = "#1b2733", "#0b6e99", "#9aa5b1"


def draw(quality: Quality, title: str, file: Path) -> None:
    """Write a PNG: what the first tenths of the list gain, what was said against what happened, and the lift of each tenth."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    gain, calibration, lift = figure.subplots(1, 3)
    figure.suptitle(f"{title}: {quality.rows:,} rows held out, AUC {quality.auc:.3f}", color=_INK)
    tenths = [part / 10 for part in range(11)]
    gain.plot(tenths, [0.0, *quality.gained], color=_LINE, marker="o", markersize=4)
    gain.plot([0, 1], [0, 1], color=_GREY, linestyle="--")
    gain.set(title="Share of all that is found in the first part of the list", xlabel="part of the list", ylabel="share found")  # fmt: skip
    most = max(*quality.said, *quality.seen) * 1.08
    calibration.plot([0, most], [0, most], color=_GREY, linestyle="--")
    calibration.plot(quality.said, quality.seen, color=_LINE, marker="o", markersize=4)
    calibration.set(title=f"Said against seen (mean distance {quality.calibration_error:.3f})")
    calibration.set(xlabel="probability said", ylabel="share seen", xlim=(0, most), ylim=(0, most))
    lift.bar(range(1, 11), [one / quality.share for one in reversed(quality.seen)], color=_LINE)
    lift.axhline(1, color=_GREY, linestyle="--")
    lift.set(title="Lift by tenth of the list", xlabel="tenth, the first ranked first", ylabel="times the mean", xticks=range(1, 11))  # fmt: skip
    for axes in (gain, calibration, lift):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    figure.savefig(file, dpi=110)
