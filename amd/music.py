"""Music, as on hold or instead of ringing, told from speech by how little it moves.

Owns what counts as music among sound that goes on. That there is sound at all is `amd.voice`'s business, how it moves is kept by
`amd.prosody`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.prosody import COLOUR, MOTION
from amd.rows import Readable

LEAST_TICKS = 100
"""Ticks of sound of which it can be told: 2 s."""
MOTION_DB = np.float32(1.9)
"""Mean change of level from tick to tick up to which it is music: of 95 in 100 pieces under 2.5 dB, of 95 in 100 speakers over 2.3."""
SPREAD_DB = np.float32(5.5)
"""Standard deviation of the colour (low against high bands) up to which it is: of music mostly under 5.6 dB, of speech over 4.5, half over 8."""


def like(records: Readable, least_ticks: int = LEAST_TICKS) -> NDArray[np.bool_]:
    """Tell which rows sound like music.

    Parameters
    ----------
    records : Readable
        Rows, after `amd.prosody.update` of the same tick.
    least_ticks : int, optional
        Ticks of sound under which nothing is music.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        True where what sounded for `least_ticks` and more is neither as lively nor as coloured as speech.
    """
    n = np.maximum(records["prosody_n"], np.float32(1.0))
    mean, square = records["prosody_sum"].T / n, records["prosody_square"][:, COLOUR] / n
    spread = square - mean[COLOUR] * mean[COLOUR]
    steady: NDArray[np.bool_] = (mean[MOTION] <= MOTION_DB) & (spread <= SPREAD_DB * SPREAD_DB)
    steady &= n >= least_ticks
    return steady
