"""The tone bank: how far each 20 ms frame is one sinusoid, which, and how far it is a call-progress pair.

Owns the measurement of single frames, as one matrix product of Hann-windowed sinusoids. What runs of tonal frames mean is in
`amd.tones`, `amd.progress` and `amd.beep`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_HZ = 8000
FRAME = 160
"""Samples in one tick."""
BIN_HZ = SAMPLE_HZ / FRAME
FIRST_BIN = 5
"""Lowest bin of the bank: 250 Hz; single tones are looked for two bins above it and up to two below the highest."""
LAST_BIN = 46
"""Highest bin of the bank: 2300 Hz."""

_BINS = np.arange(FIRST_BIN, LAST_BIN + 1)
_PAIR_HZ = (480.0, 620.0)
_BAND_BINS = slice(6 - FIRST_BIN, 13 - FIRST_BIN)  # 300 to 600 Hz: main lobes of 400 to 480 Hz

BANDS = 11
"""Ten bands of four bins between the bank's ends, and the rest."""
_LEAST_SHARE, _LEAST_ENERGY = np.float32(1e-4), np.float32(1e-6)

_SAMPLE = np.arange(FRAME)
_WINDOW = np.sin(np.pi * (_SAMPLE + 0.5) / FRAME) ** 2


def _matrix() -> NDArray[np.float32]:
    hz = np.concatenate([_BINS * BIN_HZ, np.array(_PAIR_HZ)])
    phase = 2.0 * np.pi * np.outer(_SAMPLE, hz) / SAMPLE_HZ
    return np.ascontiguousarray(
        np.hstack([np.cos(phase), np.sin(phase)]) * _WINDOW[:, None], dtype=np.float32
    )


_MATRIX = _matrix()
_N_BINS, _N_COLUMNS = _BINS.size, _MATRIX.shape[1] // 2
# what a product with the power of each column adds up: the bands (the last of them empty), and 300 to 600 Hz
_POOLS = np.zeros((_N_COLUMNS, BANDS + 1), np.float32)
for _band in range(BANDS - 1):
    _POOLS[1 + 4 * _band : 5 + 4 * _band, _band] = 2.0 / FRAME
_POOLS[_BAND_BINS, BANDS] = 2.0 / FRAME
_WINDOW_POWER = np.ascontiguousarray(_WINDOW**2, dtype=np.float32)
# a sinusoid of amplitude A has windowed energy A^2/2 sum(w^2) and, in its own column, power (A/2 sum(w))^2
_PAIR_SCALE = np.float32(2.0 * (_WINDOW**2).sum() / _WINDOW.sum() ** 2)
# Parseval: both halves of the spectrum hold FRAME times the windowed energy
_LOBE_SCALE = np.float32(2.0 / FRAME)


@dataclass(frozen=True, slots=True)
class ToneFrames:
    """What the bank measured in each frame; shares are of the frame's windowed energy.

    Attributes
    ----------
    hz : numpy.ndarray of float32, shape (n,)
        Frequency of the strongest sinusoid.
    purity : numpy.ndarray of float32, shape (n,)
        Share in its main lobe, in [0, 1] up to rounding.
    band : numpy.ndarray of float32, shape (n,)
        Share between 300 and 600 Hz, where dial, ringing, busy and congestion tones of one or two frequencies lie.
    pair : numpy.ndarray of float32, shape (n,)
        Share in 480 and 620 Hz together, 0 where one of them is 10 dB under the other.
    bands_db : numpy.ndarray of float32, shape (n, BANDS)
        Energy in bands of 200 Hz from 300 Hz on, and of all that is outside of them, in dB of the samples' own scale.
    """

    hz: NDArray[np.float32]
    purity: NDArray[np.float32]
    band: NDArray[np.float32]
    pair: NDArray[np.float32]
    bands_db: NDArray[np.float32]


def measure(sound: NDArray[np.float32]) -> ToneFrames:
    """Measure frames against the bank.

    Parameters
    ----------
    sound : numpy.ndarray of float32, shape (n, 160)
        Samples at 8 kHz, any scale, mean removed.

    Returns
    -------
    ToneFrames
        Measures of each frame; all zero where the frame is.

    Notes
    -----
    A Hann window confines a sinusoid to a main lobe of five bins of 50 Hz; the frequency comes from the ratio of the two
    largest, exact for one sinusoid without noise and within about 1 Hz at 10 dB.

    References
    ----------
    D. C. Rife and G. A. Vincent (1970), "Use of the discrete Fourier transform in the measurement of frequencies and levels of
    tones", Bell System Technical Journal 49(2).
    """
    n = sound.shape[0]
    product = sound @ _MATRIX
    product *= product
    power = product[:, :_N_COLUMNS]
    power += product[:, _N_COLUMNS:]
    energy = np.square(sound) @ _WINDOW_POWER
    share = np.zeros_like(energy)
    np.divide(1.0, energy, out=share, where=energy > 0.0)

    peak = power[:, 2 : _N_BINS - 2].argmax(axis=1) + 2
    at = np.arange(n) * product.shape[1] + peak
    flat = product.ravel()
    below, centre, above = flat[at - 1], flat[at], flat[at + 1]
    lobe = flat[at - 2] + below + centre + above + flat[at + 2]

    # |X| of the larger neighbour over |X| of the peak gives the offset in bins: (2 r - 1) / (r + 1) for a Hann window
    larger = np.maximum(below, above)
    ratio = np.sqrt(np.divide(larger, centre, out=np.zeros_like(larger), where=centre > 0.0))
    offset = np.where(above >= below, 1.0, -1.0) * (2.0 * ratio - 1.0) / (ratio + 1.0)
    hz = (peak + FIRST_BIN + offset) * BIN_HZ

    low, high = power[:, _N_BINS] * (_PAIR_SCALE * share), power[:, _N_BINS + 1] * (_PAIR_SCALE * share)
    both = 10.0 * np.minimum(low, high) >= np.maximum(low, high)
    pooled = power @ _POOLS
    bands = pooled[:, :BANDS]
    np.subtract(energy, bands.sum(axis=1), out=bands[:, BANDS - 1])
    np.maximum(bands, energy[:, None] * _LEAST_SHARE + _LEAST_ENERGY, out=bands)
    return ToneFrames(
        hz=hz.astype(np.float32),
        purity=lobe * (_LOBE_SCALE * share),
        band=pooled[:, BANDS] * share,
        pair=np.where(both, low + high, 0.0),
        bands_db=10.0 * np.log10(bands),
    )
