"""The melody and movement of speech on one call: pitch, syllables, loudness and colour, all against the call's own means.

Owns running measures that say nothing about the line or the microphone: only differences within one call are kept. When there is
speech at all is `amd.cadence`'s business, what follows from it `amd.model`'s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.rows import Field, Records
from amd.tonebank import BANDS, FRAME, SAMPLE_HZ, ToneFrames

PITCH_EVERY = 4
"""Ticks from one measurement of pitch to the next."""
DECIMATION = 4
"""Pitch is looked for at 2 kHz."""
LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ = 70.0, 380.0
VOICED_SHARE = 0.45
"""Least normalised autocorrelation of a frame whose pitch is believed."""
SYLLABLE_DB = 4.0
"""A syllable rises from the dip before it by so much, and falls from its peak by so much."""
RECENT = np.float32(0.25)
"""Share of a new value in the recent mean: over about 80 ms of speech."""
PITCH_RECENT, PITCH_SLOW = np.float32(0.7), np.float32(0.25)
"""The same for pitch: over about 110 ms and 320 ms."""
LEVEL, COLOUR, SHARPNESS, MOTION, COLOUR_MOTION = range(5)
"""Measures of each tick, in dB: level, the lowest bands against the highest, the middle ones against what is outside the bands, and how
far level and colour moved since the tick before."""
MEASURES = 5
LARGEST_MOTION_DB = 12.0

_CONTRASTS = np.zeros((BANDS, 2), np.float32)
_CONTRASTS[:3, 0], _CONTRASTS[5:10, 0] = 1 / 3, -1 / 5
_CONTRASTS[2:7, 1], _CONTRASTS[10, 1] = 1 / 5, -1
_RATE_HZ = SAMPLE_HZ / DECIMATION
_SHORT = FRAME // DECIMATION
_LAGS = np.arange(int(_RATE_HZ / HIGHEST_PITCH_HZ), int(_RATE_HZ / LOWEST_PITCH_HZ) + 2)
_FFT = 128
_WINDOW = np.hanning(2 * _SHORT).astype(np.float32)
_LAG_WEIGHT = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, _FFT)) ** 2)[: _LAGS[-1] + 1].astype(np.float32)
_LAG_WEIGHT = _LAG_WEIGHT / _LAG_WEIGHT[0]

FIELDS: list[Field] = [
    ("prosody_n", "f4", 0.0),  # ticks measured
    ("prosody_sum", f"({MEASURES},)f4", 0.0),
    ("prosody_square", f"({MEASURES},)f4", 0.0),
    ("prosody_recent", f"({MEASURES},)f4", 0.0),
    ("prosody_last", f"({MEASURES},)f4", 0.0),  # measures of the last tick of voice
    ("short_sound", f"({_SHORT},)f4", 0.0),  # the first of two ticks at 2 kHz
    ("pitch_tries", "f4", 0.0),
    ("pitch_n", "f4", 0.0),
    ("pitch_sum", "f4", 0.0),  # semitones
    ("pitch_square", "f4", 0.0),
    ("pitch_recent", "f4", 0.0),
    ("pitch_slow", "f4", 0.0),
    ("syllable_dbfs", "f4", np.nan),  # the extreme level since the last turn
    ("syllable_rising", "?", True),
    ("syllables", "f4", 0.0),
    ("syllable_tick", "i4", -1),  # tick of the last peak
    ("syllable_gap", "f4", 0.0),  # ticks from the peak before to it
]


def update(
    records: Records,
    tick: NDArray[np.int32],
    level_dbfs: NDArray[np.float32],
    tones: ToneFrames,
    sound: NDArray[np.float32],
    speaking: NDArray[np.bool_],
) -> None:
    """Advance the measures by one tick.

    Parameters
    ----------
    records : numpy.ndarray, structured, shape (n,)
        Rows, changed in place.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Levels of this tick.
    tones : ToneFrames
        The bank's measures of this tick.
    sound : numpy.ndarray of float32, shape (n, 160)
        The tick's samples.
    speaking : numpy.ndarray of bool, shape (n,)
        True where the frame is voice and no tone.

    Notes
    -----
    Pitch is the largest peak of the autocorrelation of the last 40 ms, corrected for the window.

    References
    ----------
    P. Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
    sound", Proceedings of the Institute of Phonetic Sciences 17.
    """
    (at,) = np.nonzero(speaking)
    if at.size:
        _measure(records, at, level_dbfs, tones)
        _syllables(records, at, tick, level_dbfs)
        phase = tick[at] % PITCH_EVERY
        (first,) = np.nonzero(phase == PITCH_EVERY - 2)
        (second,) = np.nonzero(phase == PITCH_EVERY - 1)
        if first.size:
            records["short_sound"][at[first]] = _decimated(sound[at[first]])
        if second.size:
            rows = at[second]
            _pitch(
                records, rows, np.concatenate([records["short_sound"][rows], _decimated(sound[rows])], axis=1)
            )


def _decimated(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    return sound[:, ::4] + sound[:, 1::4] + sound[:, 2::4] + sound[:, 3::4]


def _measure(
    records: Records, at: NDArray[np.intp], level_dbfs: NDArray[np.float32], tones: ToneFrames
) -> None:
    now = np.empty((at.size, MEASURES), np.float32)
    last = records["prosody_last"][at]
    now[:, LEVEL] = level_dbfs[at]
    now[:, COLOUR : SHARPNESS + 1] = tones.bands_db[at] @ _CONTRASTS
    begun = records["prosody_n"][at] > 0.0
    now[:, MOTION] = np.minimum(np.abs(now[:, LEVEL] - last[:, LEVEL]), LARGEST_MOTION_DB) * begun
    now[:, COLOUR_MOTION] = np.minimum(np.abs(now[:, COLOUR] - last[:, COLOUR]), LARGEST_MOTION_DB) * begun
    records["prosody_n"][at] += 1.0
    records["prosody_sum"][at] += now
    records["prosody_square"][at] += now * now
    recent = records["prosody_recent"][at]
    records["prosody_recent"][at] = np.where(begun[:, None], recent + RECENT * (now - recent), now)
    records["prosody_last"][at] = now


def _syllables(
    records: Records, at: NDArray[np.intp], tick: NDArray[np.int32], level_dbfs: NDArray[np.float32]
) -> None:
    level, extreme, rising = (
        level_dbfs[at],
        records["syllable_dbfs"][at],
        records["syllable_rising"][at],
    )
    extreme = np.where(np.isnan(extreme), level, extreme)
    peak = rising & (level < extreme - SYLLABLE_DB)
    dip = ~rising & (level > extreme + SYLLABLE_DB)
    further = np.where(rising, np.maximum(extreme, level), np.minimum(extreme, level))
    records["syllable_dbfs"][at] = np.where(peak | dip, level, further)
    records["syllable_rising"][at] = (rising & ~peak) | dip
    rows = at[peak]
    if rows.size:
        before = records["syllable_tick"][rows]
        records["syllable_gap"][rows] = np.where(before < 0, 0, tick[rows] - before)
        records["syllable_tick"][rows] = tick[rows]
        records["syllables"][rows] += 1.0


def _pitch(records: Records, rows: NDArray[np.intp], sound: NDArray[np.float32]) -> None:
    spectrum = np.fft.rfft((sound - sound.mean(axis=1, keepdims=True)) * _WINDOW, _FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    lags = np.fft.irfft(power)[:, : _LAGS[-1] + 1].astype(np.float32)
    energy = np.maximum(lags[:, :1], np.float32(1e-9))
    # r(lag) / r(0), each corrected for the window's own autocorrelation (Boersma's equation 9)
    share = lags / energy / _LAG_WEIGHT
    wanted = share[:, _LAGS[0] :]
    # a long lag must win by a little, or a period is taken for two of them
    best = (wanted - np.float32(0.002) * np.arange(wanted.shape[1], dtype=np.float32)).argmax(axis=1) + _LAGS[
        0
    ]
    at = np.arange(rows.size)
    inner = np.clip(best, _LAGS[0], _LAGS[-1] - 1)
    below, centre, above = share[at, inner - 1], share[at, inner], share[at, inner + 1]
    bend = 2.0 * centre - below - above
    offset = np.where(bend > 1e-6, 0.5 * (above - below) / np.maximum(bend, 1e-6), 0.0)
    semitones = 12.0 * np.log2(_RATE_HZ / (inner + np.clip(offset, -0.5, 0.5)) / 100.0)
    records["pitch_tries"][rows] += 1.0
    believed = (centre >= VOICED_SHARE) & (bend > 0.0)
    rows, value = rows[believed], semitones[believed].astype(np.float32)
    first = records["pitch_n"][rows] == 0.0
    records["pitch_n"][rows] += 1.0
    records["pitch_sum"][rows] += value
    records["pitch_square"][rows] += value * value
    for name, share_of_new in (("pitch_recent", PITCH_RECENT), ("pitch_slow", PITCH_SLOW)):
        mean = records[name][rows]
        records[name][rows] = np.where(first, value, mean + share_of_new * (value - mean))
