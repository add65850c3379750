"""A whole recording through the streaming detector, tick by tick, as in a call: nothing looks ahead.

Owns only the framing of one array. Reading files and resampling belong to the caller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.config import DetectorConfig
from amd.detector import Detector
from amd.errors import AmdInputError
from amd.marks import Mark
from amd.tonebank import FRAME


def detect(
    pcm: NDArray[np.int16], config: DetectorConfig | None = None, *, early: bool = False, tail_s: float = 0.0
) -> list[Mark]:
    """Every mark of one recording.

    Parameters
    ----------
    pcm : numpy.ndarray of int16, shape (n_samples,)
        Sound at 8 kHz, the call being answered at its first sample. A last part frame is filled with zeros.
    config : DetectorConfig, optional
        Thresholds.
    early : bool, optional
        Whether all of it is early media.
    tail_s : float, optional
        Seconds of digital silence to add, for recordings that end before the detector may decide.

    Returns
    -------
    list of Mark
        In order of time; a mark was known ``0.02 (tick + 1)`` seconds after the first sample.

    Raises
    ------
    AmdInputError
        `pcm` is not one-dimensional int16, or `tail_s` is negative.

    Examples
    --------
    >>> [(mark.label.word, mark.reason.word) for mark in detect(np.zeros(0, np.int16), tail_s=7.0)]
    [('silence', 'no_voice')]
    """
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise AmdInputError("pcm", "needs int16 of one dimension")
    if not 0.0 <= tail_s < float("inf"):
        raise AmdInputError("tail_s", f"{tail_s} s is not a length")
    n_ticks = -(-pcm.size // FRAME) + round(tail_s * 8000 / FRAME)
    padded = np.zeros(n_ticks * FRAME, np.int16)
    padded[: pcm.size] = pcm
    detector = Detector(1, config)
    rows = np.array([detector.join(early=early)])
    return [mark for frame in padded.reshape(n_ticks, 1, FRAME) for mark in detector.step(frame, rows)]
