"""A whole recording through the streaming detector, tick by tick, as in a call: nothing looks ahead.

Owns only the framing of one array. Reading files and resampling belong to the caller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.config import DetectorConfig
from amd.marks import Mark


def detect(pcm: NDArray[np.int16], config: DetectorConfig | None = None, *, early: bool = False) -> list[Mark]:
    """Return every mark of one recording, answered at its first sample (or all early media).

    Parameters
    ----------
    pcm : numpy.ndarray of int16, shape (n_samples,)
        Sound at 8 kHz.
    config : DetectorConfig, optional
        Thresholds.
    early : bool, optional
        Whether the sound is early media.

    Returns
    -------
    list of Mark
        In order of time.
    """
    raise NotImplementedError
