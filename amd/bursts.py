"""Bursts: one pure, steady tone between quiet and quiet. A recording beep, or the calling tone of a fax.

Owns what counts as a burst and which of the two it is. Runs of tonal frames come from `amd.tones`; what a beep says about the
call is the detector's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.progress import BAND_HZ
from amd.rows import Field, Records

PURITY, NOISE_WEIGHT = 0.92, 1.2
"""Least mean share of the tone in its frames where the line is quiet; the noise's share, times the weight, is allowed for: tones in
white noise 10 dB lower have 0.91."""
WANDER, NOISE_WANDER = 0.2, 2.0
"""Most that a short burst's frames may differ from one another (`amd.tones`), for each tick of its length, and what the noise adds, for
each unit of its amplitude against the tone's: a vowel's pitch and loudness go on moving. The steadiest of 470 vowels that were as pure,
most of them of two voices of espeak-ng, moved by 0.24 a tick."""
FLOOR_BIAS_DB = 2.0
"""The noise is this much above its floor, which is a minimum."""
LONG_TICKS, LONG_PURITY = 12.0, 0.88
"""Nothing spoken is as steady for 240 ms: a burst that long may be less pure, as one that was clipped or went through a codec is."""
CLEAR_TICKS, CLEAR_PURITY = 5, 0.988
"""What rises from quiet and is purer than any vowel may move as echo, codecs and loss make it move."""
QUIET_TICKS, QUIET_PURITY = 10, 0.965
"""So may a tone after 200 ms without voice that is nearly as pure: few words begin with one."""
CHAIN_HZ, CHAIN_DB, CHAIN_GAP_TICKS, CHAIN_TICKS = 6.0, 6.0, 5, 16.0
"""Runs this near to one another in frequency, level and time are one tone, cut by loss or by a codec; it must be this long in all. An
echo is lower, and the notes of speech are neither as long nor as near."""
CHAIN_LONG_TICKS, CHAIN_LONG_PURITY = 20.0, 0.95
"""A chain so long and pure need not have risen from quiet: its first frames may be lost."""
LOWEST_HZ, HIGHEST_HZ = 385.0, 2050.0
"""Where beeps are looked for; seen 400 to 1500 Hz."""
MIN_TICKS, MAX_TICKS = 4.4, 90.0
"""Length in ticks, parts of ticks at both ends included: 88 ms to 1.8 s."""
WHOLE_TICKS, LEAST_PURITY = 4, 0.75
"""Frames it must fill: of fewer nobody can say whether they move. What is less pure than the second is no burst in any noise."""
RISE_DB = 8.0
"""Before a burst the level is lower by this much; or, where a long one follows speech at once and no other tone,"""
FALL_DB, CLEAR_FALL_DB, NOISE_FALL_SHARE = 4.0, 10.0, np.float32(0.75)
"""after it by the second of these, or by this share of what it is above the noise: a melody's note has another after it. After others
it is lower by the first: a room's echo falls by no more in 60 ms."""
AFTER_TICKS, ECHO_TICKS = 3, 4
"""A burst is believed after 60 ms of quiet; the echo of a long one may take 80 ms to fall."""
BEFORE_TICKS = 15
"""Ticks without voice before a beep where no speech was heard at all: 300 ms."""
CNG_HZ, CNG_TOLERANCE_HZ = 1100.0, 40.0
CNG_MIN_TICKS, CNG_MAX_TICKS = 21.0, 29.0
"""Calling tone of a fax: 0.5 s, within 15 %."""

FIELDS: list[Field] = [
    ("burst_end", "i4", -1),  # last tick of a burst not yet believed, -1 for none
    ("burst_dbfs", "f4", 0.0),  # level it must fall to
    ("burst_echo_ticks", "i4", 1),  # ticks it may take to
    ("burst_calling", "?", False),  # it has the frequency and length of a fax's calling tone
    ("beep_end", "i4", -1),  # last tick of the latest beep
    ("voice_tick", "i4", -1),  # last tick with voice that was no tone, and the same one tick ago
    ("voice_tick_before", "i4", -1),
    # the tone that the latest run belongs to: its frequency, length, last tick, purity, and how it began
    ("chain_hz", "f4", 0.0),
    ("chain_dbfs", "f4", 0.0),
    ("chain_ticks", "f4", 0.0),
    ("chain_end", "i4", -1000),
    ("chain_purity", "f4", 0.0),
    ("chain_rose", "?", False),
    ("chain_quiet", "i4", 0),
    ("run_quiet", "i4", 0),  # ticks without voice before the run under way and the part frame it may begin in
]


def update(
    records: Records,
    tick: NDArray[np.int32],
    level_dbfs: NDArray[np.float32],
    voice: NDArray[np.bool_],
    speech_before: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Watch runs end and tell which were bursts.

    Parameters
    ----------
    records : Records
        Rows, changed in place, after `amd.tones.update` of the same tick.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Levels of this tick.
    voice : numpy.ndarray of bool, shape (n,)
        True where the frame is voice and not part of a tone.
    speech_before : numpy.ndarray of bool, shape (n,)
        True where speech has been heard: then 1100 Hz is a beep, and so is a tone in the band of ringing and busy tones.

    Returns
    -------
    beep : numpy.ndarray of bool, shape (n,)
        True where a beep was believed on this tick; it ended at ``records["beep_end"]``.
    calling : numpy.ndarray of bool, shape (n,)
        The same for a fax's calling tone.
    """
    run = records["run_ticks"]
    (begun,) = np.nonzero(run == 1)
    records["run_quiet"][begun] = tick[begun] - records["voice_tick_before"][begun] - 2
    records["voice_tick_before"] = records["voice_tick"]
    np.copyto(records["voice_tick"], tick, where=voice)

    pending = records["burst_end"]
    waiting = pending >= 0
    nothing = np.zeros(tick.size, np.bool_)
    beep, calling = nothing, nothing
    if waiting.any():
        loud = level_dbfs > records["burst_dbfs"]
        pending[waiting & (tick > pending + records["burst_echo_ticks"]) & loud] = -1
        believed = (pending >= 0) & (tick >= pending + AFTER_TICKS) & ~loud
        calling = believed & records["burst_calling"] & ~speech_before
        beep = believed & ~calling
        records["beep_end"] = np.where(beep, pending, records["beep_end"])
        pending[believed] = -1
    hz = records["ended_hz"]
    ended = (records["ended_ticks"] >= WHOLE_TICKS) & (records["ended_purity"] >= LEAST_PURITY)
    (at,) = np.nonzero(ended & (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ))
    if at.size:
        _run_ends(records, at, tick, level_dbfs, speech_before)
    return beep, calling


def _run_ends(
    records: Records,
    at: NDArray[np.intp],
    tick: NDArray[np.int32],
    level_dbfs: NDArray[np.float32],
    speech_before: NDArray[np.bool_],
) -> None:
    ended = records.some(at)
    hz, dbfs = ended["ended_hz"], ended["ended_dbfs"]
    # the frame the run ended in may still hold part of the tone
    part = 10.0 ** (np.minimum(level_dbfs[at] - dbfs, 0.0) / 10.0) * (ended["ended_empty"] == 0.0)
    ticks = ended["ended_ticks"] + ended["ended_attack"] + part
    calling = (np.abs(hz - CNG_HZ) <= CNG_TOLERANCE_HZ) & (ticks >= CNG_MIN_TICKS) & (ticks <= CNG_MAX_TICKS)
    band = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    noise = 10.0 ** ((ended["floor_dbfs"] + FLOOR_BIAS_DB - dbfs) / 10.0)
    rose = ended["ended_before_dbfs"] < dbfs - RISE_DB
    steady = ended["ended_wander"] <= WANDER * ended["ended_ticks"] + NOISE_WANDER * np.sqrt(noise)
    alone = steady & (ended["ended_follows"] == 0.0)

    goes_on = (
        (np.abs(hz - ended["chain_hz"]) <= CHAIN_HZ)
        & (np.abs(dbfs - ended["chain_dbfs"]) <= CHAIN_DB)
        & (tick[at] - ended["ended_ticks"] - ended["chain_end"] <= CHAIN_GAP_TICKS)
    )
    before = np.where(goes_on, ended["chain_ticks"], np.float32(0.0))
    ticks = ticks + before
    purity = ended["ended_purity"]
    purity = purity + before / ticks * (ended["chain_purity"] - purity)
    rose = np.where(goes_on, ended["chain_rose"], rose)
    quiet = np.where(goes_on, ended["chain_quiet"], ended["run_quiet"])
    for name, value in (
        ("hz", hz),
        ("dbfs", dbfs),
        ("ticks", ticks),
        ("end", tick[at] - 1),
        ("purity", purity),
        ("rose", rose),
        ("quiet", quiet),
    ):
        records[f"chain_{name}"][at] = value

    long = ticks >= LONG_TICKS
    least = np.where(long, LONG_PURITY, PURITY)
    pure = purity + NOISE_WEIGHT * noise
    clear = (ended["ended_ticks"] >= CLEAR_TICKS) & (pure >= CLEAR_PURITY)
    clear |= (quiet >= QUIET_TICKS) & (pure >= QUIET_PURITY)
    alone |= (before > 0.0) & (ticks >= CHAIN_LONG_TICKS) & (pure >= CHAIN_LONG_PURITY)
    burst = (
        (ticks >= MIN_TICKS)
        & ((before == 0.0) | (ticks >= CHAIN_TICKS))
        & (ticks <= MAX_TICKS)
        & (pure >= least)
        & ((long & (rose | alone)) | (rose & (steady | clear)))
        & (speech_before[at] | calling | (~band & (quiet >= BEFORE_TICKS)))
    )
    rows = at[burst]
    records["burst_end"][rows] = tick[rows] - 1 - ended["ended_empty"][burst].astype(np.int32)
    # nothing falls by more than it stands above the noise
    above_db = dbfs - ended["floor_dbfs"] - np.float32(FLOOR_BIAS_DB)
    fall = np.where(
        rose, np.float32(FALL_DB), np.minimum(np.float32(CLEAR_FALL_DB), NOISE_FALL_SHARE * above_db)
    )
    records["burst_dbfs"][rows] = (dbfs - fall)[burst]
    records["burst_echo_ticks"][rows] = np.where(long, ECHO_TICKS, 1)[burst]
    records["burst_calling"][rows] = calling[burst]
