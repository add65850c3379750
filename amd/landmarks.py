"""Landmarks: the loudest points of a log-mel picture, which survive gain, narrow bands, G.711 and moderate noise.

Owns the picture's bands and what a landmark is. Which recording landmarks belong to is `amd.fingerprints`' business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.tonebank import FRAME, SAMPLE_HZ

LOWEST_HZ, HIGHEST_HZ = 320.0, 3200.0
N_BINS = 40
"""Frequencies looked at, evenly spaced on the mel scale: some 30 Hz apart at the lower end and 120 Hz at the upper."""
AROUND_BINS, AROUND_TICKS = 2, 2
"""A landmark is the loudest point within so many bins and ticks to each side; it is known `AROUND_TICKS` later."""
LATE_TICKS = AROUND_TICKS
LOUD_DB = 26.0
"""A landmark is not further than this under the loudest point heard lately."""
FORGET_DB = 0.15
"""What the loudest point heard lately falls by per tick."""
FAINTEST_DB = 42.0
"""Power in dB of one sample squared under which nothing is a landmark: -48 dBFS."""


def _bank() -> NDArray[np.float32]:
    low, high = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (LOWEST_HZ, HIGHEST_HZ))
    # mel = 2595 log10(1 + f / 700)
    hz = 700.0 * (10.0 ** (np.linspace(low, high, N_BINS) / 2595.0) - 1.0)
    t = (np.arange(FRAME) + 0.5) / SAMPLE_HZ
    window = np.hanning(FRAME + 2)[1:-1] * 2.0 / FRAME
    angle = 2.0 * np.pi * np.outer(t, hz)
    bank = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * window[:, None]
    return np.asarray(bank, np.float32)


_BANK = _bank()


class LandmarkFinder:
    """Finds the landmarks of many rows, tick by tick, state in arrays of one element per row.

    Parameters
    ----------
    capacity : int
        Rows; more are added by `grow`.
    """

    def __init__(self, capacity: int) -> None:
        depth = 2 * AROUND_TICKS + 1
        self._power = np.zeros((capacity, N_BINS), np.float32)
        self._levels = np.zeros((depth, capacity, N_BINS), np.float32)
        self._around = np.zeros((depth, capacity, N_BINS), np.float32)
        self._loudest = np.zeros(capacity, np.float32)
        self._place = 0

    def grow(self, capacity: int) -> None:
        """Make room for more rows.

        Parameters
        ----------
        capacity : int
            Rows there shall be.
        """
        more = capacity - self._loudest.size
        self._power = np.pad(self._power, ((0, more), (0, 0)))
        self._levels = np.pad(self._levels, ((0, 0), (0, more), (0, 0)))
        self._around = np.pad(self._around, ((0, 0), (0, more), (0, 0)))
        self._loudest = np.pad(self._loudest, (0, more))

    def reset(self, row: int) -> None:
        """Forget what a row has heard.

        Parameters
        ----------
        row : int
            The row.
        """
        self._power[row] = self._loudest[row] = 0.0
        self._levels[:, row] = self._around[:, row] = 0.0

    def step(
        self, pcm: NDArray[np.int16], rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Hear one tick of some rows; all that are heard at all are named each time.

        Parameters
        ----------
        pcm : numpy.ndarray of int16, shape (n, 160)
            20 ms at 8 kHz of each row; zeros where nothing arrived.
        rows : numpy.ndarray of intp, shape (n,)
            The rows, distinct.

        Returns
        -------
        at : numpy.ndarray of intp, shape (n_landmarks,)
            For each landmark found, which of `rows` it is on; in order of rows. It lies `LATE_TICKS` back.
        bins : numpy.ndarray of intp, shape (n_landmarks,)
            Its frequency bin.
        """
        depth = len(self._levels)
        self._place = (self._place + 1) % depth
        waves = pcm.astype(np.float32) @ _BANK
        np.square(waves, out=waves)
        power = waves[:, :N_BINS] + waves[:, N_BINS:]
        # two ticks together: 40 ms of sound each 20 ms
        level = np.log10(power + self._power[rows] + np.float32(1e-3))
        level *= np.float32(10.0)
        self._power[rows] = power
        around = level.copy()
        for by in range(1, AROUND_BINS + 1):
            np.maximum(around[:, by:], level[:, :-by], out=around[:, by:])
            np.maximum(around[:, :-by], level[:, by:], out=around[:, :-by])
        self._levels[self._place, rows], self._around[self._place, rows] = level, around
        loudest = np.maximum(self._loudest[rows] - np.float32(FORGET_DB), level.max(axis=1))
        self._loudest[rows] = loudest
        middle = self._levels[(self._place - AROUND_TICKS) % depth].take(rows, axis=0)
        highest = around
        for back in range(1, depth):
            highest = np.maximum(highest, self._around[(self._place - back) % depth].take(rows, axis=0))
        least = np.maximum(loudest - np.float32(LOUD_DB), np.float32(FAINTEST_DB))
        at, bins = np.nonzero((middle >= highest) & (middle > least[:, None]))
        return at, bins
