"""The detector beside an index of known recordings: what is recognised by its landmarks is what it was learned as.

Owns the rule between the two: a match decides a row that the detector has not finally decided. Both alone are `amd.detector`'s and
`amd.fingerprints`'.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.config import DetectorConfig
from amd.detector import Detector
from amd.fingerprints import FingerprintIndex, Matcher
from amd.labels import Label, MarkKind, Reason
from amd.marks import Evidence, Mark

CONFIDENCE = 0.99
"""Given with a match: none was false in 200 calls of speech, held against forty recordings."""


class Recogniser:
    """Rows as those of `Detector`, with known recordings.

    Parameters
    ----------
    capacity : int
        Rows to reserve memory for.
    config : DetectorConfig, optional
        Thresholds of rows that join without their own.
    known : FingerprintIndex, optional
        Recordings to be recognised; without any, this is the detector alone and costs no more.
    """

    def __init__(
        self, capacity: int, config: DetectorConfig | None = None, known: FingerprintIndex | None = None
    ) -> None:
        self._detector = Detector(capacity, config)
        self._known = known
        self._matcher = Matcher(known, capacity) if known else None
        self._open: dict[int, Mark | None] = {}
        """Rows that are not finally decided, with their provisional verdict."""
        self._ticks: dict[int, int] = {}

    def join(self, *, early: bool = False, config: DetectorConfig | None = None) -> int:
        """Take up a call; as `Detector.join`.

        Parameters
        ----------
        early : bool, optional
            The call is not answered yet.
        config : DetectorConfig, optional
            Thresholds of this row.

        Returns
        -------
        int
            The call's row.
        """
        row = self._detector.join(early=early, config=config)
        if self._matcher is not None:
            self._matcher.join(row)
            self._open[row], self._ticks[row] = None, -1
        return row

    def leave(self, row: int) -> None:
        """Give a row up.

        Parameters
        ----------
        row : int
            A row that has joined.
        """
        self._detector.leave(row)
        self._open.pop(row, None)
        self._ticks.pop(row, None)

    def evidence(self, rows: NDArray[np.intp]) -> Evidence:
        """Return what the detector holds of some rows.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            Rows that have joined.

        Returns
        -------
        Evidence
            As `Detector.evidence`.
        """
        return self._detector.evidence(rows)

    def step(
        self,
        pcm: NDArray[np.int16],
        rows: NDArray[np.intp],
        valid: NDArray[np.bool_] | None = None,
        near_dbfs: NDArray[np.float32] | None = None,
    ) -> list[Mark]:
        """Advance some rows by one tick; as `Detector.step`.

        Parameters
        ----------
        pcm : numpy.ndarray of int16, shape (n, 160)
            20 ms at 8 kHz of each row.
        rows : numpy.ndarray of intp, shape (n,)
            Rows that have joined, distinct.
        valid : numpy.ndarray of bool, shape (n,), optional
            False where no packet arrived in time.
        near_dbfs : numpy.ndarray of float32, shape (n,), optional
            Level of what our own side said to each row.

        Returns
        -------
        list of Mark
            The detector's marks, and for a row that plays a known recording a final verdict, or a revision, with the recording's label
            and `Reason.FINGERPRINT`; nothing of the row after it but beeps.
        """
        marks = list(self._detector.step(pcm, rows, valid, near_dbfs))
        if self._known is None or self._matcher is None:
            return marks
        said = [mark for mark in marks if mark.kind is MarkKind.BEEP or mark.row in self._open]
        for row in rows.tolist():
            self._ticks[row] += 1
        for mark in said:
            if mark.kind is MarkKind.VERDICT and mark.provisional and mark.label is not Label.RINGBACK:
                self._open[mark.row] = mark
            elif mark.listens_on_ticks is not None:
                del self._open[mark.row]
        if not self._open:
            return said
        undecided = np.fromiter((row in self._open for row in rows.tolist()), np.bool_, rows.size)
        heard = None if valid is None else valid[undecided]
        matches = self._matcher.step(pcm[undecided], rows[undecided], heard)
        return said + [self._recognised(match.row, self._known.labels[match.recording]) for match in matches]

    def _recognised(self, row: int, label: Label) -> Mark:
        before = self._open.pop(row)
        return Mark(
            row=row,
            kind=MarkKind.VERDICT if before is None else MarkKind.REVISED,
            label=label,
            reason=Reason.FINGERPRINT,
            confidence=CONFIDENCE,
            provisional=False,
            tick=self._ticks[row],
            greeting_end_tick=-1,
            beep_end_tick=-1,
        )
