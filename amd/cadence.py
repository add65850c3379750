"""The rhythm of speech on one call: when the greeting began, how long it is, how long it has been quiet.

Owns how ticks of voice become speech. What the lengths mean is `amd.decision`'s business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.rows import Field, Records

CONFIRM_TICKS = 6
"""Ticks of voice that are speech; a shorter sound (a click, a breath) never happened."""
STEADY_DB = 0.85
"""Mean change of level from tick to tick under which a sound may be noise: white noise has 0.5 dB, speech over 2."""
LARGEST_CHANGE_DB = 3.0
"""A change counts for no more than this: one click is not the swing of speech."""
MOTION_DB = 2.5
"""Sum of changes over `STEADY_DB` per tick from which a sound moves enough to be speech while the floor is not known."""
SYLLABLE_TICKS = 3
"""Ticks of voice that may become speech: while they sound, and when they just have, it is not quiet."""
DIP_TICKS = 2
"""Ticks a sound may dip before it is confirmed."""
CLOSURE_TICKS = 7
"""Ticks a word may be silent (the closure of a stop) and still go on."""
PAUSE_TICKS = 12
"""Ticks of quiet between two segments of speech."""

FIELDS: list[Field] = [
    ("burst_voiced", "i4", 0),  # ticks of voice in the sound under way
    ("burst_dip", "i4", 0),  # ticks since its last voice
    ("burst_start", "i4", 0),  # tick it began
    ("burst_motion_db", "f4", 0.0),  # how much more its level changes than a steady sound's
    ("burst_speech", "?", False),  # it was confirmed as speech
    ("onset", "i4", -1),  # first tick of speech, -1 before any
    ("segment_start", "i4", -1),  # first tick of the latest segment
    ("last_speech", "i4", -1),  # last tick of speech
    ("last_syllable", "i4", -1),  # the same of what may become speech
    ("word", "?", False),  # something was as long as speech, though too steady to be told from noise
    ("speech_ticks", "i4", 0),  # ticks of voice within speech
]


def update(
    records: Records, tick: NDArray[np.int32], voice: NDArray[np.bool_], change_db: NDArray[np.float32]
) -> None:
    """Advance the rhythm by one tick.

    Parameters
    ----------
    records : Records
        Rows, changed in place.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.
    voice : numpy.ndarray of bool, shape (n,)
        True where the frame is voice and not part of a tone.
    change_db : numpy.ndarray of float32, shape (n,)
        How far the level is from that of the tick before, NaN where a tone began or ended.

    Notes
    -----
    While all that was heard is loud, loud noise and speech differ in how steady they are.
    """
    count, dip = records["burst_voiced"], records["burst_dip"]
    was_speech = records["burst_speech"].copy()
    dip = np.where(voice, 0, dip + 1)
    over = dip > np.where(was_speech, np.int32(CLOSURE_TICKS), np.int32(DIP_TICKS))
    begins = voice & (count == 0)
    count = np.where(over, 0, count + voice)
    records["burst_dip"], records["burst_voiced"] = dip, count
    records["burst_start"] = np.where(begins, tick, records["burst_start"])

    moving = records["floor_known"].copy()
    if not moving.all():
        more = np.where(
            voice & ~np.isnan(change_db), np.minimum(change_db, LARGEST_CHANGE_DB) - STEADY_DB, 0.0
        )
        motion = np.where(begins, 0.0, records["burst_motion_db"] + more)
        records["burst_motion_db"] = motion
        moving |= motion >= MOTION_DB
    confirmed = (was_speech & ~over) | (voice & (count >= CONFIRM_TICKS) & moving)
    records["burst_speech"] = confirmed
    np.copyto(records["last_syllable"], tick, where=voice & (count >= SYLLABLE_TICKS))
    records["word"] |= voice & (count >= CONFIRM_TICKS)
    speech = voice & confirmed
    (new,) = np.nonzero(speech & ~was_speech)
    if new.size:
        start, onset = records["burst_start"][new], records["onset"][new]
        records["onset"][new] = np.where(onset < 0, start, onset)
        apart = (onset < 0) | (start - records["last_speech"][new] > PAUSE_TICKS)
        records["segment_start"][new] = np.where(apart, start, records["segment_start"][new])
        records["speech_ticks"][new] += count[new] - 1
    records["last_speech"] = np.where(speech, tick, records["last_speech"])
    records["speech_ticks"] += speech
