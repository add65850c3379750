"""Several recordings through one detector at once, as a media plane would: much faster than one by one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amd import Detector, DetectorConfig, Mark


def hear(
    recordings: Sequence[NDArray[np.int16]],
    config: DetectorConfig | None = None,
    *,
    early: bool = False,
    near_dbfs: NDArray[np.float32] | None = None,
) -> list[list[Mark]]:
    """Return the marks of each recording; the shorter ones end in digital silence. `near_dbfs` is what our side says, a level a tick."""
    longest = max(recording.size for recording in recordings)
    frames = np.zeros((len(recordings), -(-longest // 160), 160), np.int16)
    for i, recording in enumerate(recordings):
        frames.reshape(len(recordings), -1)[i, : recording.size] = recording
    detector = Detector(len(recordings), config)
    rows = np.array([detector.join(early=early) for _ in recordings])
    place = {int(row): i for i, row in enumerate(rows)}
    marks: list[list[Mark]] = [[] for _ in recordings]
    for tick in range(frames.shape[1]):
        near = None if near_dbfs is None else np.full(rows.size, near_dbfs[tick], np.float32)
        for mark in detector.step(np.ascontiguousarray(frames[:, tick]), rows, near_dbfs=near):
            marks[place[mark.row]].append(mark)
    return marks


def agent(*spoken_s: tuple[float, float], room_dbfs: float = -62.0) -> NDArray[np.float32]:
    """Return the level of an agent's line, tick by tick for 12 s: a room, and speech in these stretches."""
    level = np.full(12 * 50, room_dbfs, np.float32)
    for begin, end in spoken_s:
        at = np.arange(round(begin * 50), round(end * 50))
        level[at] = -24.0 + 10.0 * np.log10(np.abs(np.sin(0.25 * at)) + 0.05)
    return level
