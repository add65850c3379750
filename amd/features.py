"""What the classifier is shown of a call: times, rhythm and melody, each against the call itself.

Owns the list of features and their scaling. They are read from the rows; the modules that keep those are named there. No feature
is a level, a colour or a pitch as such: those belong to the line, the microphone and the voice, and would be learned instead of the
difference between a person and a recording.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.frames import TICK_S
from amd.prosody import COLOUR, COLOUR_MOTION, LEVEL, MOTION, SHARPNESS
from amd.rows import Field, Readable, Records

NAMES = (
    "onset_s",
    "length_s",
    "speech_s",
    "quiet_s",
    "segment_s",
    "first_segment_s",
    "before_segment_s",
    "last_gap_s",
    "longest_gap_s",
    "gaps",
    "share",
    "speaking",
    "syllables",
    "syllable_rate",
    "syllable_gap_s",
    "since_syllable_s",
    "voiced_share",
    "pitch_spread",
    "pitch_end",
    "pitch_slope",
    "level_spread",
    "level_end",
    "colour_spread",
    "colour_end",
    "sharpness_spread",
    "sharpness_end",
    "level_motion",
    "colour_motion",
    "clearance_db",
)
"""Features in the order of the classifier's inputs; `_s` are logarithms of 0.1 s and more."""

FIELDS: list[Field] = [
    ("segments", "f4", 0.0),  # how many segments of speech have begun
    ("segment_seen", "i4", -1),  # begin of the segment under way
    ("segment_before", "f4", 0.0),  # ticks of the segment before it
    ("segment_first", "f4", 0.0),
    ("gap_last", "f4", 0.0),  # ticks
    ("gap_longest", "f4", 0.0),
    ("speech_seen", "i4", -1),  # last tick of speech, one tick ago
]
_LEAST_S = np.float32(0.1)
LEAST_FLOOR_DBFS = np.float32(-90.0)
"""A line's noise is not taken to be fainter."""


def update(records: Records) -> None:
    """Keep the lengths of segments and gaps.

    Parameters
    ----------
    records : Records
        Rows, changed in place, after `amd.cadence.update` of the same tick.
    """
    start, seen = records["segment_start"], records["segment_seen"]
    (begun,) = np.nonzero(start != seen)
    if begun.size:
        old, last = seen[begun], records["speech_seen"][begun]
        had = old >= 0
        length = np.where(had, last - old + 1, 0).astype(np.float32)
        gap = np.where(had, start[begun] - last - 1, 0).astype(np.float32)
        records["segment_before"][begun] = length
        first = records["segments"][begun] == 1.0
        records["segment_first"][begun] = np.where(first, length, records["segment_first"][begun])
        records["gap_last"][begun] = gap
        records["gap_longest"][begun] = np.maximum(records["gap_longest"][begun], gap)
        records["segments"][begun] += 1.0
        records["segment_seen"][begun] = start[begun]
    records["speech_seen"] = records["last_speech"]


def read(records: Readable, tick: NDArray[np.int32], quiet_ticks: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the features of some rows that have spoken.

    Parameters
    ----------
    records : Readable
        Rows, after `update` and `amd.prosody.update` of the same tick.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.
    quiet_ticks : numpy.ndarray of int32, shape (n,)
        Ticks since anything was said or sounded.

    Returns
    -------
    numpy.ndarray of float32, shape (n, len(NAMES))
        Finite for every row whose onset is known.
    """
    onset, last = records["onset"], records["last_speech"]
    length = np.maximum(last - onset + 1, 1)
    segment = np.maximum(last - records["segment_start"] + 1, 1)
    segments = records["segments"]
    spoken = np.maximum(records["speech_ticks"], 1).astype(np.float32)
    n = np.maximum(records["prosody_n"], 1.0)
    mean = records["prosody_sum"].T / n
    spread = np.sqrt(np.maximum(records["prosody_square"].T / n - mean * mean, 0.0))
    end = records["prosody_recent"].T - mean
    pitched = records["pitch_n"]
    pitches = np.maximum(pitched, 1.0)
    pitch, recent = records["pitch_sum"] / pitches, records["pitch_recent"]
    syllables = records["syllables"]

    columns = np.empty((len(NAMES), onset.size), np.float32)
    columns[0], columns[1], columns[2], columns[3], columns[4] = onset, length, spoken, quiet_ticks, segment
    columns[5] = np.where(segments <= 1.0, segment, records["segment_first"])
    columns[6], columns[7], columns[8] = (
        records["segment_before"],
        records["gap_last"],
        records["gap_longest"],
    )
    columns[9] = np.minimum(segments - 1.0, 6.0)
    columns[10] = spoken / length
    columns[11] = quiet_ticks == 0
    columns[12] = np.log1p(syllables)
    columns[13] = 10.0 * syllables / (spoken + 10.0)
    columns[14] = np.minimum(records["syllable_gap"], 60.0)
    columns[15] = np.minimum(tick - np.maximum(records["syllable_tick"], onset), 250)
    columns[16] = pitched / np.maximum(records["pitch_tries"], 1.0)
    columns[17] = np.sqrt(np.maximum(records["pitch_square"] / pitches - pitch * pitch, 0.0))
    columns[18] = np.where(pitched > 0.0, recent - pitch, 0.0)
    columns[19] = np.where(pitched > 0.0, recent - records["pitch_slow"], 0.0)
    columns[20], columns[21] = spread[LEVEL], end[LEVEL]
    columns[22], columns[23] = spread[COLOUR], end[COLOUR]
    columns[24], columns[25] = spread[SHARPNESS], end[SHARPNESS]
    columns[26], columns[27] = mean[MOTION], mean[COLOUR_MOTION]
    columns[28] = np.clip(
        records["loudest_dbfs"] - np.maximum(records["floor_dbfs"], LEAST_FLOOR_DBFS), 0.0, 45.0
    )
    for times in (columns[:9], columns[14:16]):
        np.log(np.maximum(times * np.float32(TICK_S), 0.0) + _LEAST_S, out=times)
    return columns.T
