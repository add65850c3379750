"""The streaming detector: rows that join and leave, one call of `step` per 20 ms tick, state in arrays of one element per row.

Owns the wiring of front end, tones, beeps and decision, and the life of a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.config import DetectorConfig
from amd.marks import NO_MARKS, Marks


class Detector:
    """Detection over many calls at once.

    Parameters
    ----------
    capacity : int
        Rows to reserve memory for, at least 1; more are added when needed.
    config : DetectorConfig, optional
        Thresholds of rows that join without their own.
    """

    def __init__(self, capacity: int, config: DetectorConfig | None = None) -> None:
        self._capacity = capacity
        self._config = config or DetectorConfig()

    def join(self, *, early: bool = False, config: DetectorConfig | None = None) -> int:
        """Take up a call; return its row.

        `early` rows listen to early media (tones and announcements only) until `answered`; `config` overrides the
        detector's thresholds for this row.
        """
        raise NotImplementedError

    def leave(self, row: int) -> None:
        """Give up a row; its number may be handed out again."""
        raise NotImplementedError

    def answered(self, row: int) -> None:
        """Restart an early-media row at tick 0 as an answered call, with nothing remembered."""
        raise NotImplementedError

    def step(
        self, pcm: NDArray[np.int16], rows: NDArray[np.intp], valid: NDArray[np.bool_] | None = None
    ) -> Marks:
        """Advance the named rows (distinct) by one tick of (n, 160) samples; ``valid[i]`` False: nothing arrived."""
        return NO_MARKS
