"""What one tick of the detector has to say: `Marks`, arrays with one element per mark, and `Mark`, one of them as scalars.

Owns the result type only; the detector fills it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amd.labels import Label, MarkKind, Reason

BEEP_WAIT_TICKS = 3000
"""A machine is listened to so long after its verdict, for the beep: 60 s."""


class Mark(NamedTuple):
    """One mark as Python scalars; the fields mean what those of `Marks` do."""

    row: int
    kind: MarkKind
    label: Label
    reason: Reason
    confidence: float
    provisional: bool
    tick: int
    greeting_end_tick: int
    beep_end_tick: int

    @property
    def listens_on_ticks(self) -> int | None:  # numpydoc ignore=RT01
        """How many ticks the row is still worth hearing after this mark; None where the mark does not say: more is to come, or it was a beep.

        After a machine's last verdict that is `BEEP_WAIT_TICKS`, after anybody else's 0.
        """
        final = self.kind is MarkKind.VERDICT and not self.provisional and self.label is not Label.RINGBACK
        if not (final or self.kind in (MarkKind.REVISED, MarkKind.SETTLED)):
            return None
        return BEEP_WAIT_TICKS if self.label is Label.MACHINE else 0


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """The marks of one tick; empty in most ticks.

    Ticks are 20 ms and count from 0 at the row's join, or at its answer once `Detector.answered` was called: the sound of tick
    `k` covers ``[0.02 k, 0.02 (k + 1))`` seconds.

    Attributes
    ----------
    row : numpy.ndarray of intp, shape (n_marks,)
        Detector row.
    kind : numpy.ndarray of uint8, shape (n_marks,)
        `MarkKind` codes.
    label : numpy.ndarray of uint8, shape (n_marks,)
        `Label` codes; for a beep the row's label, a verdict of the same tick included, `Label.UNKNOWN` if none.
    reason : numpy.ndarray of uint8, shape (n_marks,)
        `Reason` codes.
    confidence : numpy.ndarray of float32, shape (n_marks,)
        Probability in [0, 1] that the label is right, as far as the detector can tell.
    provisional : numpy.ndarray of bool, shape (n_marks,)
        True where the verdict may still be revised.
    tick : numpy.ndarray of int32, shape (n_marks,)
        Tick after which the mark was known.
    greeting_end_tick : numpy.ndarray of int32, shape (n_marks,)
        Last tick of speech heard so far, -1 when none was: a person's deadline runs from ``0.02 (greeting_end_tick + 1)`` s.
    beep_end_tick : numpy.ndarray of int32, shape (n_marks,)
        Last tick of the latest beep, -1 when there was none.
    """

    row: NDArray[np.intp]
    kind: NDArray[np.uint8]
    label: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    provisional: NDArray[np.bool_]
    tick: NDArray[np.int32]
    greeting_end_tick: NDArray[np.int32]
    beep_end_tick: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of marks."""
        return self.row.size

    def ordered_by(self, rows: NDArray[np.intp]) -> Marks:
        """Put the marks into the order of a tick's rows, beeps first.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            Rows of the tick, distinct, among them those of all marks.

        Returns
        -------
        Marks
            The same marks.
        """
        if len(self) < 2:  # one is in order
            return self
        by_number = np.argsort(rows)
        position = by_number[np.searchsorted(rows, self.row, sorter=by_number)]
        order = np.lexsort((position, self.kind != MarkKind.BEEP))
        return Marks(*(getattr(self, f.name)[order] for f in fields(self)))

    def __iter__(self) -> Iterator[Mark]:
        """Yield each mark as Python scalars, in row order of the tick."""
        for i in range(len(self)):
            yield Mark(
                int(self.row[i]),
                MarkKind(self.kind[i]),
                Label(self.label[i]),
                Reason(self.reason[i]),
                float(self.confidence[i]),
                bool(self.provisional[i]),
                int(self.tick[i]),
                int(self.greeting_end_tick[i]),
                int(self.beep_end_tick[i]),
            )


class Evidence(NamedTuple):
    """What the detector holds of some rows after a tick, for pictures and for tests; one element per row."""

    level_dbfs: NDArray[np.float32]
    """Level of the tick; NaN where nothing has been heard."""
    floor_dbfs: NDArray[np.float32]
    """The line's noise floor; minus infinity until it has been heard."""
    voice: NDArray[np.bool_]
    """True where the tick is voice above the noise, and no tone."""
    machine_probability: NDArray[np.float32]
    """Probability that a recording speaks; NaN before any speech."""


NO_MARKS = Marks(
    row=np.empty(0, np.intp),
    kind=np.empty(0, np.uint8),
    label=np.empty(0, np.uint8),
    reason=np.empty(0, np.uint8),
    confidence=np.empty(0, np.float32),
    provisional=np.empty(0, np.bool_),
    tick=np.empty(0, np.int32),
    greeting_end_tick=np.empty(0, np.int32),
    beep_end_tick=np.empty(0, np.int32),
)
"""The result of a tick in which nothing was decided."""


def join_marks(parts: list[Marks]) -> Marks:
    """Concatenate the marks of one tick.

    Parameters
    ----------
    parts : list of Marks
        In the order in which they are to be reported; may be empty.

    Returns
    -------
    Marks
        All of them; `NO_MARKS` for an empty list.
    """
    if not parts:
        return NO_MARKS
    if len(parts) == 1:
        return parts[0]
    return Marks(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Marks)))
