"""Whole recordings through the streaming detector, tick by tick, as in a call: nothing looks ahead.

Owns the framing of arrays and when a recording has been heard enough. Reading files and resampling belong to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from amd.config import DetectorConfig
from amd.detector import Detector
from amd.errors import AmdInputError
from amd.fingerprints import FingerprintIndex
from amd.marks import Mark
from amd.recogniser import Recogniser
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


def detect_all(
    recordings: Iterable[NDArray[np.int16]],
    config: DetectorConfig | None = None,
    *,
    known: FingerprintIndex | None = None,
    width: int = 128,
) -> Iterator[tuple[int, list[Mark]]]:
    """Every mark of many recordings, heard side by side in the rows of one detector.

    Parameters
    ----------
    recordings : iterable of numpy.ndarray of int16, shape (n_samples,)
        Sound at 8 kHz, each call being answered at its first sample. Taken one by one as rows become free.
    config : DetectorConfig, optional
        Thresholds.
    known : FingerprintIndex, optional
        Known recordings, to be recognised.
    width : int, optional
        Recordings heard at once, at least 1.

    Yields
    ------
    index : int
        Place of the recording among `recordings`.
    marks : list of Mark
        Its marks in order of time, as a call would have given them: heard until nothing more is worth hearing
        (`Mark.listens_on_ticks`). A recording that ends before goes on as a quiet line, with digital silence.

    Raises
    ------
    AmdInputError
        A recording is not one-dimensional int16, or `width` is not positive.

    Notes
    -----
    Recordings come out in the order in which they end, not in their own.
    """
    detector = Recogniser(width, config, known)
    waiting = enumerate(recordings)
    heard: dict[int, _Recording] = {}
    while True:
        for index, pcm in islice(waiting, width - len(heard)):
            heard[detector.join()] = _Recording(index, pcm)
        if not heard:
            return
        frames = np.stack([recording.frame() for recording in heard.values()])
        for mark in detector.step(frames, np.fromiter(heard, np.intp, len(heard))):
            heard[mark.row].take(mark)
        for row in [row for row, recording in heard.items() if recording.done]:
            detector.leave(row)
            recording = heard.pop(row)
            yield recording.index, recording.marks


BELIEVED_TICKS = 10
"""Ticks of the quiet line after a recording's end within which a beep at its end is told."""
_QUIET = np.zeros(FRAME, np.int16)


class _Recording:
    """One recording in a row."""

    def __init__(self, index: int, pcm: NDArray[np.int16]) -> None:
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise AmdInputError("recordings", f"number {index} needs int16 of one dimension")
        n_ticks = -(-pcm.size // FRAME)
        padded = np.zeros(n_ticks * FRAME, np.int16)
        padded[: pcm.size] = pcm
        self.index = index
        self.marks: list[Mark] = []
        self._frames = padded.reshape(n_ticks, FRAME)
        self._tick = 0
        self._until: int | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more is worth hearing."""
        return self._until is not None and self._tick >= self._until

    def frame(self) -> NDArray[np.int16]:
        tick, self._tick = self._tick, self._tick + 1
        return self._frames[tick] if tick < len(self._frames) else _QUIET

    def take(self, mark: Mark) -> None:
        self.marks.append(mark)
        on = mark.listens_on_ticks
        if on is not None:
            self._until = min(self._tick + on, max(self._tick, len(self._frames) + BELIEVED_TICKS))
