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


def _correlating() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # two products instead of two transforms: 40 ms without their mean, windowed, into a spectrum, and its power into the lags that
    # are looked at, each corrected for the window's own autocorrelation (Boersma's equation 9)
    n, bins = 2 * _SHORT, _FFT // 2 + 1
    window = np.hanning(n)
    spectrum = np.fft.rfft((np.eye(n) - 1.0 / n) * window, _FFT)
    lags = np.arange(_LAGS[-1] + 1)
    weight = np.fft.irfft(np.abs(np.fft.rfft(window, _FFT)) ** 2)[: lags.size]
    cosine = np.cos(2.0 * np.pi * np.outer(np.arange(bins), lags) / _FFT) * (2.0 / _FFT)
    cosine[[0, -1]] /= 2.0
    both = np.hstack([spectrum.real, spectrum.imag])
    return both.astype(np.float32), (np.vstack([cosine, cosine]) * (weight[0] / weight)).astype(np.float32)


_SPECTRUM, _FROM_POWER = _correlating()
_DECIMATE = np.repeat(np.eye(_SHORT, dtype=np.float32), DECIMATION, axis=0)
_LONGER = np.float32(0.002) * np.arange(_LAGS.size, dtype=np.float32)
"""A long lag must win by a little, or a period is taken for two of them."""

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
    records : Records
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
    _measure(records, speaking, level_dbfs, tones)
    (at,) = np.nonzero(speaking)
    if at.size:
        _syllables(records, at, tick, level_dbfs)
        phase = tick[at] % PITCH_EVERY
        first, second = at[phase == PITCH_EVERY - 2], at[phase == PITCH_EVERY - 1]
        if first.size:
            records["short_sound"][first] = _decimated(sound[first])
        if second.size:
            short = np.concatenate([records["short_sound"][second], _decimated(sound[second])], axis=1)
            _pitch(records, second, short)


def _decimated(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(sound @ _DECIMATE)


def _measure(
    records: Records, speaking: NDArray[np.bool_], level_dbfs: NDArray[np.float32], tones: ToneFrames
) -> None:
    # of every row, and kept of those that speak: to pick them out costs more
    now = np.empty((MEASURES, level_dbfs.size), np.float32)
    n, last, recent = records["prosody_n"], records["prosody_last"].T, records["prosody_recent"].T
    now[LEVEL] = level_dbfs
    np.matmul(_CONTRASTS.T, tones.bands_db.T, out=now[COLOUR : SHARPNESS + 1])
    moved = now[MOTION:]
    np.subtract(now[:SHARPNESS], last[:SHARPNESS], out=moved)  # of level and colour
    np.minimum(np.abs(moved, out=moved), LARGEST_MOTION_DB, out=moved)
    begun = n > 0.0
    moved *= begun
    np.copyto(recent, np.where(begun, recent + RECENT * (now - recent), now), where=speaking)
    np.copyto(last, now, where=speaking)
    now *= speaking
    n += speaking
    total, square = records["prosody_sum"].T, records["prosody_square"].T
    total += now
    now *= now
    square += now


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
    spectrum = sound @ _SPECTRUM
    spectrum *= spectrum
    lags = spectrum @ _FROM_POWER
    share = lags / np.maximum(lags[:, :1], np.float32(1e-9))
    best = (share[:, _LAGS[0] :] - _LONGER).argmax(axis=1) + _LAGS[0]
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
