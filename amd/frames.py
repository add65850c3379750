"""The front end: samples of one tick into levels and tone measures, with lost and empty frames made good.

Owns what one frame says by itself and against the frame before. What is speech is `amd.voice`'s business, what is a tone that of
`amd.tones` and `amd.progress`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amd import tonebank
from amd.progress import BAND_SHARE, PAIR_SHARE
from amd.rows import Field, Records
from amd.tonebank import BANDS, FRAME, ToneFrames
from amd.tones import PURITY
from amd.voice import FAINTEST_DBFS

TICK_S = FRAME / tonebank.SAMPLE_HZ
"""Seconds of one tick."""
SILENT_DBFS = -120.0
"""Level given to a frame of equal samples."""
ROUNDING = np.float32(1e-5)
"""Share of a frame's power below which what its mean leaves is rounding."""
TONE_FAINTEST_DBFS, TONE_RISE_DB = -55.0, 3.0
"""Frames below this level, or not this far above the noise floor, are not looked at for tones."""
SOUND_RISE_DB = 5.0
"""A frame sounds when it is this far above the noise floor."""
HELD_TICKS = 3
"""Lost ticks in a row during which whatever sounded is taken to go on; beyond, they are quiet (a silence-suppressing phone)."""

_FULL_SCALE_POWER = np.float32(FRAME * 32768.0**2)
_MEASURES = ("hz", "purity", "band", "pair")

FIELDS: list[Field] = [
    ("lost_ticks", "i4", 0),  # lost in a row
    ("toned", "?", False),  # the frame before was like a tone
    ("heard_dbfs", "f4", np.nan),  # measures of the frame before, repeated when one is lost
    *((f"heard_{name}", "f4", 0.0) for name in _MEASURES),
]


@dataclass(frozen=True, slots=True)
class Frames:
    """What one tick holds, one element per row.

    Attributes
    ----------
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Power without the mean, in dB of a full-scale square wave (a full-scale sine is -3); `SILENT_DBFS` for equal samples, the
        level before for a frame just lost.
    informative : numpy.ndarray of bool, shape (n,)
        False where nothing arrived, or all samples are equal (a muted or idle source): that says nothing about the line's noise.
    change_db : numpy.ndarray of float32, shape (n,)
        How far the level is from that of the frame before; NaN in the first frame and where a tone begins, holds or ends.
    sounding : numpy.ndarray of bool, shape (n,)
        False where the level is at the line's noise floor.
    tones : ToneFrames
        Measures of the tone bank; all 0 where the frame is too faint to be asked.
    sound : numpy.ndarray of float32, shape (n, 160)
        The samples, in memory that the next tick uses again.
    """

    level_dbfs: NDArray[np.float32]
    informative: NDArray[np.bool_]
    change_db: NDArray[np.float32]
    sounding: NDArray[np.bool_]
    tones: ToneFrames
    sound: NDArray[np.float32]


class FrontEnd:
    """Measures ticks, in reused memory."""

    def __init__(self) -> None:
        self._sound = np.empty((0, FRAME), np.float32)
        self._averages = np.full(FRAME, 1.0 / FRAME, np.float32)

    def measure(self, records: Records, pcm: NDArray[np.int16], valid: NDArray[np.bool_] | None) -> Frames:
        """Measure one tick.

        Parameters
        ----------
        records : Records
            Rows, changed in place; their ``floor_dbfs`` is that of the tick before.
        pcm : numpy.ndarray of int16, shape (n, 160)
            Samples at 8 kHz.
        valid : numpy.ndarray of bool, shape (n,), or None
            False where nothing arrived; None for all True.

        Returns
        -------
        Frames
            The measures.
        """
        sound, mean, level, informative = self._levels(pcm)
        floor = records["floor_dbfs"]
        audible = informative & (level > np.maximum(floor + TONE_RISE_DB, TONE_FAINTEST_DBFS))
        if valid is None:
            records["lost_ticks"] = 0
            tones = _bank(sound, mean, audible)
        else:
            informative = informative & valid
            tones = _bank(sound, mean, audible & valid)
            level = _conceal(records, np.where(valid, level, np.float32(SILENT_DBFS)), valid, tones)

        # a tone that begins or ends changes the level without being speech
        toned = (tones.purity >= PURITY) | (tones.band >= BAND_SHARE) | (tones.pair >= PAIR_SHARE)
        change = np.abs(level - records["heard_dbfs"])
        change[toned | records["toned"]] = np.nan
        records["toned"], records["heard_dbfs"] = toned, level
        for name in _MEASURES:
            records[f"heard_{name}"] = getattr(tones, name)
        sounding = level > np.maximum(floor + SOUND_RISE_DB, FAINTEST_DBFS)
        return Frames(level, informative, change, sounding, tones, sound)

    def _levels(
        self, pcm: NDArray[np.int16]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        n = pcm.shape[0]
        if self._sound.shape[0] < n:
            self._sound = np.empty((2 * n, FRAME), np.float32)
        sound = self._sound[:n]
        np.copyto(sound, pcm)
        mean = sound @ self._averages
        power = np.vecdot(sound, sound)
        # variance = mean square - square of the mean; what is left of equal samples is rounding
        variance = power - FRAME * np.square(mean)
        informative = variance > ROUNDING * power
        level = 10.0 * np.log10(np.where(informative, variance, 1.0) / _FULL_SCALE_POWER)
        return sound, mean, np.where(informative, level, np.float32(SILENT_DBFS)), informative


def _bank(sound: NDArray[np.float32], mean: NDArray[np.float32], audible: NDArray[np.bool_]) -> ToneFrames:
    (at,) = np.nonzero(audible)
    found = np.zeros((len(_MEASURES), mean.size), np.float32)
    bands = np.zeros((mean.size, BANDS), np.float32)
    if at.size:
        centred = sound[at]
        centred -= mean[at, None]
        some = tonebank.measure(centred)
        for row, name in enumerate(_MEASURES):
            found[row, at] = getattr(some, name)
        bands[at] = some.bands_db
    hz, purity, band, pair = found
    return ToneFrames(hz, purity, band, pair, bands)


def _conceal(
    records: Records, level: NDArray[np.float32], valid: NDArray[np.bool_], tones: ToneFrames
) -> NDArray[np.float32]:
    # a short loss sounds like what came before it, a long one is quiet
    lost = np.where(valid, 0, records["lost_ticks"] + 1)
    records["lost_ticks"] = lost
    (held,) = np.nonzero((lost > 0) & (lost <= HELD_TICKS) & ~np.isnan(records["heard_dbfs"]))
    if held.size:
        level[held] = records["heard_dbfs"][held]
        for name in _MEASURES:
            getattr(tones, name)[held] = records[f"heard_{name}"][held]
    return level
