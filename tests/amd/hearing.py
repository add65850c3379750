"""Several recordings through one detector at once, as a media plane would: much faster than one by one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amd import Detector, DetectorConfig, Mark


def hear(
    recordings: Sequence[NDArray[np.int16]], config: DetectorConfig | None = None, *, early: bool = False
) -> list[list[Mark]]:
    """Return the marks of each recording; the shorter ones end in digital silence."""
    longest = max(recording.size for recording in recordings)
    frames = np.zeros((len(recordings), -(-longest // 160), 160), np.int16)
    for i, recording in enumerate(recordings):
        frames.reshape(len(recordings), -1)[i, : recording.size] = recording
    detector = Detector(len(recordings), config)
    rows = np.array([detector.join(early=early) for _ in recordings])
    place = {int(row): i for i, row in enumerate(rows)}
    marks: list[list[Mark]] = [[] for _ in recordings]
    for tick in range(frames.shape[1]):
        for mark in detector.step(np.ascontiguousarray(frames[:, tick]), rows):
            marks[place[mark.row]].append(mark)
    return marks
