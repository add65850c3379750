"""Who speaks when, once somebody on our side talks to a call: whether the far end talks over them, or waits for its turn.

Owns the voice activity of our own side and how it lies against the far end's latest segment of speech. What follows from it is
`amd.decision`'s business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.rows import Field, Readable, Records

FAINTEST_DBFS = np.float32(-45.0)
"""Nothing fainter is our voice."""
RISE_DB = np.float32(12.0)
"""Our voice is this far above what our side's line has when nobody speaks."""
FIRST_FLOOR_DBFS = np.float32(-55.0)
"""What that is taken to be at first, and"""
FLOOR_DB_A_TICK = np.float32(0.05)
"""how fast it may rise: 2.5 dB a second."""
HANG_TICKS = np.int32(10)
"""Our voice goes on over gaps between words so long: 0.2 s."""
SPOKEN_TICKS = 15
"""Ticks of our voice after which they have been spoken to: 0.3 s."""

OVER_SHARE = 0.5
"""Share of a segment over which our voice must go on for it to be talk over us."""
WAITED_SHARE = 0.2
"""And below which the far end has waited for us, if we have spoken before it."""

FIELDS: list[Field] = [
    ("near_floor_dbfs", "f4", FIRST_FLOOR_DBFS),
    ("near_last", "i4", -1000),  # last tick of our voice
    ("near_ticks", "i4", 0),  # ticks of our voice
    ("turn_start", "i4", -1),  # begin of the far end's segment under way
    ("turn_spoken", "i4", 0),  # ticks of our voice before it
    ("turn_over", "i4", 0),  # ticks of it over which our voice went on
]


def update(
    records: Records, tick: NDArray[np.int32], near_dbfs: NDArray[np.float32], speaking: NDArray[np.bool_]
) -> None:
    """Advance by one tick.

    Parameters
    ----------
    records : Records
        Rows, changed in place, after `amd.cadence.update` of the same tick.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.
    near_dbfs : numpy.ndarray of float32, shape (n,)
        Level of what our side said to them on this tick; minus infinity for nothing.
    speaking : numpy.ndarray of bool, shape (n,)
        True where the far end's frame is voice and no tone.
    """
    floor = records["near_floor_dbfs"]
    voice = near_dbfs > np.maximum(floor + RISE_DB, FAINTEST_DBFS)
    nothing = np.isneginf(near_dbfs)
    records["near_floor_dbfs"] = np.where(nothing, floor, np.minimum(floor + FLOOR_DB_A_TICK, near_dbfs))
    records["near_ticks"] += voice
    np.copyto(records["near_last"], tick, where=voice)
    start = records["segment_start"]
    (begun,) = np.nonzero(start != records["turn_start"])
    if begun.size:
        records["turn_start"][begun] = start[begun]
        records["turn_spoken"][begun] = records["near_ticks"][begun]
        records["turn_over"][begun] = 0
    records["turn_over"] += speaking & (tick - records["near_last"] <= HANG_TICKS)


def heard(records: Readable, run: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell how the far end's latest segment lies against our voice.

    Parameters
    ----------
    records : Readable
        Rows.
    run : numpy.ndarray of int32, shape (n,)
        Ticks of the segment so far.

    Returns
    -------
    over : numpy.ndarray of bool, shape (n,)
        True where both speak for much of it.
    waited : numpy.ndarray of bool, shape (n,)
        True where they were spoken to and our voice had ended.

    References
    ----------
    T. Stivers et al. (2009), "Universals and cultural variation in turn-taking in conversation", PNAS 106(26).
    """
    both = records["turn_over"]
    waited = (records["turn_spoken"] >= SPOKEN_TICKS) & (both < WAITED_SHARE * run)
    return both >= OVER_SHARE * run, waited
