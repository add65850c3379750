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

_FULL_SCALE_POWER = np.float32(FRAME * 32768.0**2)


@dataclass(frozen=True, slots=True)
class Frames:
    """One tick of sound.

    Attributes
    ----------
    sound : numpy.ndarray of float32, shape (n, 160)
        Samples in int16 units, the frame's mean removed (the DC block).
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Power in dB of a full-scale square wave (a full-scale sine is -3), `SILENT_DBFS` for equal samples.
    informative : numpy.ndarray of bool, shape (n,)
        False where all samples are equal: a muted or idle source, which says nothing about the line's noise.
    """

    sound: NDArray[np.float32]
    level_dbfs: NDArray[np.float32]
    informative: NDArray[np.bool_]


class FrameBuffer:
    """Converts ticks into reused memory.

    Notes
    -----
    The arrays of a `Frames` stay valid until the next `load`.
    """

    def __init__(self) -> None:
        self._sound = np.empty((0, FRAME), np.float32)
        self._ones = np.ones(FRAME, np.float32)

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
        # 160 samples of 16 bits add up exactly in float32, and so a constant frame becomes exactly zero
        sound -= (sound @ self._ones / np.float32(FRAME))[:, None]
        power = np.einsum("ij,ij->i", sound, sound)
        informative = power > 0.0
        level = np.full(n, SILENT_DBFS, np.float32)
        np.log10(power / _FULL_SCALE_POWER, out=level, where=informative)
        np.multiply(level, np.float32(10.0), out=level, where=informative)
        return Frames(sound, level, informative)
