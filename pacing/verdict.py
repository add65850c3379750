"""What the rule says of a pool, and what of a snapshot both ways of saying it share: for one pool, and for many at once.

Owns the verdict, the limits of the exact way, and which bin a busy agent is in. The ways themselves are `pacing.predictive` and
`pacing.many`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.bank import COLUMNS
from pacing.interface import Snapshot
from pacing.learned import FINISH_BIN_S, FINISH_BINS, TALK_BIN_S, TALK_BINS, WRAPUP_BIN_S, WRAPUP_BINS

Counts = NDArray[np.intp]

EXACT_ITEMS = 20
"""Up to so many ringing calls, calls under analysis and busy agents together the probability is exact,"""
EXACT_AGENTS = 40
"""where the agents are no more than these; beyond, the exact number is what the normal law may not fall short of."""
LOST_LEFT_S = 0.1
"""A waiting caller with less time than this left is taken to be abandoned: no agent is told and connected sooner."""
CHANCES = slice(1, COLUMNS + 1)
"""The horizons among `chances`, after the one of a second."""


class Verdict(NamedTuple):
    """What the rule says of a pool.

    Attributes
    ----------
    place, release : int
        Calls to place and attempts to hang up, before lines and brake.
    alpha, p_marginal, overflow : float
        As in `Decision`.
    expected_hz : float
        `Decision.expected_live_hz`.
    capped : bool
        Whether Erlang's rate was what bound.
    """

    place: int
    release: int
    alpha: float
    p_marginal: float
    overflow: float
    expected_hz: float
    capped: bool


VerdictFields = tuple[int, int, float, float, float, float, bool]
"""A verdict as a plain tuple: what many pools are told costs less without a name on each field."""


def busy_bins(elapsed_s: object, kind: int) -> Counts:
    """Return the bins of agents who are not free.

    Parameters
    ----------
    elapsed_s : array_like of float
        Seconds each has been at it.
    kind : int
        0 for talk, 1 for wrap-up, 2 for who was seen finishing.

    Returns
    -------
    numpy.ndarray of intp
        As in `Tables.free`.
    """
    first, last, per_s = _KINDS[kind]
    bins = np.minimum(np.asarray(elapsed_s) * per_s, last).astype(np.intp)
    return bins + first if first else bins


_KINDS = (
    (0, TALK_BINS - 1, 1.0 / TALK_BIN_S),
    (TALK_BINS, WRAPUP_BINS - 1, 1.0 / WRAPUP_BIN_S),
    (TALK_BINS + WRAPUP_BINS, FINISH_BINS - 1, 1.0 / FINISH_BIN_S),
)
"""First bin, last bin counted from it, and one over the width of a bin."""


def past_saving(snapshot: Snapshot) -> int:
    """Count callers who will be abandoned: on the ledger already, and in nobody's way.

    Parameters
    ----------
    snapshot : Snapshot
        The pool.

    Returns
    -------
    int
        Those beyond the idle agents who have next to no time left: no agent who frees later can save them.
    """
    if snapshot.waiting_left_s is None or snapshot.waiting <= snapshot.idle:
        return 0
    late = int(np.count_nonzero(np.asarray(snapshot.waiting_left_s) < LOST_LEFT_S))
    return min(late, snapshot.waiting - snapshot.idle)
