"""The front of the front end: samples of one tick into centred sound and levels.

Owns the level of a frame and what counts as a frame without information. What is speech is `amd.voice`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amd.tonebank import FRAME

TICK_S = FRAME / 8000
"""Seconds of one tick."""
SILENT_DBFS = -120.0
"""Level given to a frame of equal samples."""

ROUNDING = np.float32(1e-5)
"""Share of a frame's power below which what its mean leaves is rounding."""

_FULL_SCALE_POWER = np.float32(FRAME * 32768.0**2)


@dataclass(frozen=True, slots=True)
class Frames:
    """One tick of sound.

    Attributes
    ----------
    sound : numpy.ndarray of float32, shape (n, 160)
        Samples in int16 units.
    mean : numpy.ndarray of float32, shape (n,)
        Mean of each frame: its direct current.
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Power without the mean, in dB of a full-scale square wave (a full-scale sine is -3); `SILENT_DBFS` for equal samples.
    informative : numpy.ndarray of bool, shape (n,)
        False where all samples are equal: a muted or idle source, which says nothing about the line's noise.
    """

    sound: NDArray[np.float32]
    mean: NDArray[np.float32]
    level_dbfs: NDArray[np.float32]
    informative: NDArray[np.bool_]


class FrameBuffer:
    """Converts ticks into reused memory.

    Notes
    -----
    The `sound` of a `Frames` stays valid until the next `load`.
    """

    def __init__(self) -> None:
        self._sound = np.empty((0, FRAME), np.float32)
        self._averages = np.full(FRAME, 1.0 / FRAME, np.float32)

    def load(self, pcm: NDArray[np.int16]) -> Frames:
        """Convert one tick.

        Parameters
        ----------
        pcm : numpy.ndarray of int16, shape (n, 160)
            Samples at 8 kHz.

        Returns
        -------
        Frames
            Sound and levels.
        """
        n = pcm.shape[0]
        if self._sound.shape[0] < n:
            self._sound = np.empty((2 * n, FRAME), np.float32)
        sound = self._sound[:n]
        np.copyto(sound, pcm)
        mean = sound @ self._averages
        power = np.einsum("ij,ij->i", sound, sound)
        # variance = mean square - square of the mean; what is left of equal samples is rounding
        variance = power - FRAME * np.square(mean)
        informative = variance > ROUNDING * power
        level = 10.0 * np.log10(np.where(informative, variance, 1.0) / _FULL_SCALE_POWER)
        return Frames(sound, mean, np.where(informative, level, SILENT_DBFS).astype(np.float32), informative)
