"""Voice activity: which frames rise above the line's own noise.

Owns the noise floor (minimum statistics over the last two seconds), the speech level and the hysteresis between them. What the
rhythm of voice and quiet means is in `amd.cadence`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.rows import Field, Records

WINDOW_TICKS = 16
"""Ticks of one of the `WINDOWS` over which a minimum is kept."""
WINDOWS = 6
"""Windows that make up the memory of the floor: 1.9 s, longer than people speak without a gap between words."""
FIRST_FLOOR_DBFS = np.float32(-38.0)
"""Highest floor believed until a whole memory, or one steady window, has been heard: speech from the first frame on must not
become the floor."""
STEADY_DB = 0.9
"""Mean change of level from tick to tick in a window of noise alone: 0.5 dB for white noise, over 2 for speech."""
HIGHEST_FLOOR_DBFS = np.float32(-25.0)
"""Highest floor ever believed."""
TONED_DB = np.float32(0.3)
"""What a frame that is like a tone adds instead: vowels are, and noise is not."""
RISE_DB = 6.0
"""Voice begins this far above the floor."""
FALL_DB = 2.0
"""Voice ends this far below where it begins."""
SPAN_DB = 30.0
"""What is this far below the loudest speech of the call is its reverberation or breath."""
NEAR_DB = 18.0
"""What is this far below it may be another voice, farther from the phone: it is voice only beside louder sound."""
BESIDE_TICKS = np.int32(12)
"""How long after the louder sound: 0.24 s, a weak end of a word."""
NEARER_DB, NEARER_TICKS = np.float32(12.0), np.int32(15)
"""Sound this far above all there was up to 0.3 s after it began comes from nearer the phone: what was before it was talk behind."""
FAINTEST_DBFS = -52.0
"""Nothing fainter is voice."""

SMOOTHING = np.float32(0.4)
"""Share of a new level in the smoothed one."""

FIELDS: list[Field] = [
    ("smooth_dbfs", "f4", 0.0),  # level over a few ticks
    ("minimum_dbfs", "f4", np.inf),  # least of the smoothed level in the window under way
    ("restless_db", "f4", 0.0),  # how much more the level changed in the window under way than in noise
    ("floor_known", "?", False),  # by a whole memory, a steady window, or a frame below FIRST_FLOOR_DBFS
    ("memory_dbfs", "f4", np.inf),  # least of the completed windows
    ("minima_dbfs", f"({WINDOWS},)f4", np.inf),
    ("heard_ticks", "i4", 0),  # ticks the floor has learned from
    ("floor_dbfs", "f4", -np.inf),
    ("loudest_dbfs", "f4", -np.inf),  # most of the smoothed level
    ("far_ticks", "i4", 0),  # ticks since anything was as loud as the voice near the phone
    ("voiced", "?", False),
    ("behind_dbfs", "f4", np.inf),  # most of the smoothed level up to `NEARER_TICKS` after speech began
    ("louder_ticks", "i4", 0),  # ticks of voice since it was exceeded
]


def update(
    records: Records,
    level_dbfs: NDArray[np.float32],
    change_db: NDArray[np.float32],
    teaching: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Advance the floor and tell voice from quiet.

    Parameters
    ----------
    records : Records
        Rows, changed in place; ``floor_dbfs`` holds the noise floor afterwards.
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Levels of this tick.
    change_db : numpy.ndarray of float32, shape (n,)
        How far the level is from that of the tick before, NaN where a tone began or ended.
    teaching : numpy.ndarray of bool, shape (n,)
        False where the frame says nothing about the floor: lost, muted, or a steady tone.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        True where the frame rises above the noise: voice, or music, or a tone (`amd.tones` knows).

    Notes
    -----
    The floor is the least smoothed level of the last two seconds, which follows a noise that rises within that time and is not
    lifted by speech, whose gaps reach the noise again.

    References
    ----------
    R. Martin (2001), "Noise power spectral density estimation based on optimal smoothing and minimum statistics", IEEE
    Transactions on Speech and Audio Processing 9(5).
    """
    heard, before = records["heard_ticks"], records["smooth_dbfs"]
    smooth = np.where(heard == 0, level_dbfs, before + SMOOTHING * (level_dbfs - before))
    smooth = np.where(teaching, smooth, before)
    heard = heard + teaching

    least = np.where(teaching, np.minimum(records["minimum_dbfs"], smooth), records["minimum_dbfs"])
    (full,) = np.nonzero(teaching & (heard % WINDOW_TICKS == 0))
    if full.size:
        minima = records["minima_dbfs"]
        minima[full, heard[full] // WINDOW_TICKS % WINDOWS] = least[full]
        records["memory_dbfs"][full] = minima[full].min(axis=1)
        least[full] = np.inf
    floor = np.minimum(records["memory_dbfs"], least)
    known = records["floor_known"]
    known |= (heard >= WINDOW_TICKS * WINDOWS) | (floor < FIRST_FLOOR_DBFS)
    if not known.all():
        restless = records["restless_db"]
        restless[teaching] += np.where(np.isnan(change_db), TONED_DB, change_db - STEADY_DB)[teaching]
        known[full] |= restless[full] < 0.0
        restless[full] = 0.0
    floor = np.minimum(floor, np.where(known, HIGHEST_FLOOR_DBFS, FIRST_FLOOR_DBFS))
    floor[heard == 0] = -np.inf  # nothing heard yet: no floor
    loudest = np.where(teaching, np.maximum(records["loudest_dbfs"], smooth), records["loudest_dbfs"])

    begin = np.maximum(np.maximum(floor + RISE_DB, loudest - SPAN_DB), FAINTEST_DBFS)
    far = np.where(level_dbfs > loudest - NEAR_DB, 0, records["far_ticks"] + 1)
    records["far_ticks"] = far
    voiced = (level_dbfs > np.where(records["voiced"], begin - FALL_DB, begin)) & (far <= BESIDE_TICKS)
    records["smooth_dbfs"], records["heard_ticks"] = smooth, heard
    records["minimum_dbfs"], records["floor_dbfs"], records["loudest_dbfs"] = least, floor, loudest
    records["voiced"] = voiced
    began = (records["onset"] >= 0) & (records["tick"] == records["onset"] + NEARER_TICKS)
    np.copyto(records["behind_dbfs"], loudest, where=began)
    records["louder_ticks"] += voiced & (loudest > records["behind_dbfs"] + NEARER_DB)
    return np.asarray(voiced)
