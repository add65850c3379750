"""Columns of several pools, one row each: what the predictive rule reads at every step, laid out so that many pools step at once.

Owns the columns and the answer model's fast part: a scalar upon the learned answer rate, with its variance. The slow part, the learned
shape, is `pacing.learned`'s; the rule is `pacing.predictive`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.arithmetic import Arithmetic, Value
from pacing.interface import PacerConfig
from pacing.learned import BUSY_BINS, RING_BINS, Tables

Floats = NDArray[np.float64]
Rows = NDArray[np.intp] | slice

WANDER_HZ = 3e-5
"""Variance per second by which the logarithm of the answer rate may wander: a third of it in an hour."""
PRIOR_SHAPE = 6.0
"""Live answers the first estimate of the answer rate is worth; its deviation is 40 %."""
SURPRISE_S, SURPRISE_DEVIATIONS, SURPRISED_SHAPE = 20.0, 3.5, 4.0
"""So many deviations more live answers than foreseen, in about so many seconds, and the estimate is worth no more than so many answers."""
LIVE_MEMORY_S = 600.0
"""Memory of the rate of live answers."""
MIN_RATE, MAX_RATE = 0.02, 0.98
"""Answer rates are taken to lie between these: under the lower, dialing faster reaches the carrier's limits before people."""
COLD_RATE, COLD_S = 0.45, 8.0
"""A start takes attempts to be answered live at least at this rate, in a mixture that fades with this time constant: the first answers
tell how fast phones are picked up before they tell how many."""

COLUMNS = 3
"""Moments the rule looks at: two quantiles of the answer law, and a little ahead for the release."""
HERE, AHEAD = slice(0, 2), 2
"""The columns of the two quantiles, and the one that looks a little ahead."""


class Columns(NamedTuple):
    """What a pool's rule goes by beside the tables: numbers, or for several pools an array of each.

    Attributes
    ----------
    theta, shape : float or numpy.ndarray of float64
        Scalar upon the table's answer rate, and the live answers that scalar is worth.
    surprise, foreseen : float or numpy.ndarray of float64
        Live answers seen and foreseen lately.
    live_hz, expected_hz : float or numpy.ndarray of float64
        Live answers per second seen over the last minutes, and foreseen at the last step.
    cold : float or numpy.ndarray of float64
        1 at a start, fading to 0 with the time there were attempts in flight.
    rate, early, late, ring_per_s, listening, handling_s, reach_s : float or numpy.ndarray of float64
        As in `Tables`; `early` and `late` are its `new`, `ring_per_s` is one over the width of a bin.
    ceiling, min_ring_s, wait_s : float or numpy.ndarray of float64
        The pool's settings; `min_ring_s` is infinite where nothing is released.
    """

    theta: Value
    shape: Value
    surprise: Value
    foreseen: Value
    live_hz: Value
    cold: Value
    expected_hz: Value
    rate: Value
    early: Value
    late: Value
    ring_per_s: Value
    listening: Value
    handling_s: Value
    reach_s: Value
    ceiling: Value
    min_ring_s: Value
    wait_s: Value


MOVING = Columns._fields.index("rate")
"""So many of the columns change at every step: those up to `expected_hz`."""
LEARNED = slice(MOVING, Columns._fields.index("ceiling"))
"""The columns that change with the tables."""


class Bank:
    """Columns and tables of several pools, one row each.

    Parameters
    ----------
    configs : sequence of PacerConfig
        Settings of each pool.

    Attributes
    ----------
    columns : numpy.ndarray, shape (fields of Columns, pools)
        The pools' columns.
    ring : numpy.ndarray, shape (6, pools x RING_BINS)
        `Tables.ring` of each pool.
    busy : numpy.ndarray, shape (3 COLUMNS, pools x BUSY_BINS)
        `cumulants` of the chances of an agent not being free.
    """

    def __init__(self, configs: Sequence[PacerConfig]) -> None:
        pools = len(configs)
        self.columns = np.zeros((len(Columns._fields), pools))
        self.ring = np.zeros((6, pools * RING_BINS))
        self.busy = np.zeros((3 * COLUMNS, pools * BUSY_BINS))
        every = self.pools(slice(None))
        every.theta[:], every.shape[:], every.cold[:] = 1.0, PRIOR_SHAPE, 1.0
        every.ceiling[:] = [config.abandonment_ceiling for config in configs]
        every.min_ring_s[:] = [config.min_ring_s if config.release else np.inf for config in configs]
        every.wait_s[:] = [config.agent_wait_s for config in configs]

    @classmethod
    def of(cls, configs: Sequence[PacerConfig], rows: Sequence[tuple[Bank, int]]) -> Bank:
        """Bring rows of several banks together.

        Parameters
        ----------
        configs : sequence of PacerConfig
            Settings of each pool.
        rows : sequence of (Bank, int)
            Where each pool's columns are now.

        Returns
        -------
        Bank
            Copies of them, in order.
        """
        bank = cls(configs)
        for row, (source, at) in enumerate(rows):
            bank.columns[:, row] = source.columns[:, at]
            bank.ring_of(row)[:], bank.busy_of(row)[:] = source.ring_of(at), source.busy_of(at)
        return bank

    def ring_of(self, row: int) -> Floats:
        """Return one pool's part of `ring`.

        Parameters
        ----------
        row : int
            The pool.

        Returns
        -------
        numpy.ndarray, shape (6, RING_BINS)
            A view.
        """
        return self.ring[:, row * RING_BINS : (row + 1) * RING_BINS]

    def busy_of(self, row: int) -> Floats:
        """Return one pool's part of `busy`.

        Parameters
        ----------
        row : int
            The pool.

        Returns
        -------
        numpy.ndarray, shape (3 COLUMNS, BUSY_BINS)
            A view.
        """
        return self.busy[:, row * BUSY_BINS : (row + 1) * BUSY_BINS]

    def pools(self, rows: Rows) -> Columns:
        """Return the columns of several pools.

        Parameters
        ----------
        rows : slice or numpy.ndarray of intp
            Which.

        Returns
        -------
        Columns
            Arrays; views of the bank for a slice.
        """
        return Columns(*self.columns[:, rows])

    def set_tables(self, row: int, tables: Tables, *, scored: bool) -> None:
        """Put a pool's new tables in; its present answer rate stays what it is.

        Parameters
        ----------
        row : int
            The pool.
        tables : Tables
            What it learned.
        scored : bool
            Whether the scalar is upon given propensities, not upon the table's rate.
        """
        before = Columns(*self.columns[:, row].tolist())
        if not scored and before.rate > 0.0:
            self.columns[0, row] = before.theta * before.rate / tables.rate
        self.ring_of(row)[:] = tables.ring.T
        self.busy_of(row)[:] = cumulants(1.0 - tables.free.T)
        self.columns[LEARNED, row] = (
            tables.rate, *tables.new, 1.0 / tables.ring_bin_s, tables.listening, tables.handling_s, tables.reach_s,
        )  # fmt: skip


def follow(pool: Columns, elapsed_s: Value, answered: Value, by: Arithmetic) -> tuple[Value, ...]:
    """Move the scalar by what was answered against what was foreseen.

    Parameters
    ----------
    pool : Columns
        One pool or several.
    elapsed_s, answered : float or numpy.ndarray of float64
        Seconds since the last step, and live answers in them.
    by : Arithmetic
        Of numbers or of arrays.

    Returns
    -------
    tuple of (float or numpy.ndarray of float64)
        The columns up to `cold`, as they are now.

    Notes
    -----
    A Gamma-Poisson filter: the scalar is worth `shape` live answers, and what it is worth fades as the rate may have wandered. A
    run of answers far above what was foreseen makes it forget at once: upward steps are the dangerous ones.
    """
    expected = pool.expected_hz * elapsed_s
    shape = 1.0 / (1.0 / pool.shape + WANDER_HZ * elapsed_s)
    fade = by.exp(elapsed_s * (-1.0 / SURPRISE_S))
    seen = pool.surprise * fade + answered
    foreseen = pool.foreseen * fade + expected
    jumped = seen - foreseen > SURPRISE_DEVIATIONS * by.sqrt(foreseen + 1.0)
    shape = by.where(jumped, by.minimum(shape, SURPRISED_SHAPE), shape)
    rate = by.maximum(pool.rate, MIN_RATE)
    theta = pool.theta * (shape + answered) / (shape + expected)
    keep = by.exp(elapsed_s * (-1.0 / LIVE_MEMORY_S))
    return (
        by.minimum(by.maximum(theta, MIN_RATE / rate), MAX_RATE / rate),
        by.maximum(shape + answered, 2.0),
        by.where(jumped, 0.0, seen),
        by.where(jumped, 0.0, foreseen),
        pool.live_hz * keep + answered * (1.0 - keep) / by.maximum(elapsed_s, 1e-9),
        # the start lasts while there is something to learn from
        by.where(pool.expected_hz > 0.0, pool.cold * by.exp(elapsed_s * (-1.0 / COLD_S)), pool.cold),
    )


def cumulants(chance: Floats) -> Floats:
    """Return mean, variance and third central moment of Bernoulli variables.

    Parameters
    ----------
    chance : numpy.ndarray, shape (n, ...)
        Probability of each.

    Returns
    -------
    numpy.ndarray, shape (3 n, ...)
        The means of all, their variances, their third central moments.
    """
    variance = chance * (1.0 - chance)
    return np.concatenate((chance, variance, variance * (1.0 - 2.0 * chance)))


def chances(table: Floats, table_rate: Value, rate: Value) -> Floats:
    """Return the chances of a live answer of attempts that have another answer rate than the table's.

    Parameters
    ----------
    table : numpy.ndarray, shape (6, n)
        Columns of `Tables.ring`, a row each.
    table_rate, rate : float or numpy.ndarray, shape (n,)
        The table's answer rate, and the attempts' own.

    Returns
    -------
    numpy.ndarray, shape (COLUMNS + 1, n)
        Within a second, and within each of three horizons, given that the attempt rings still.

    Notes
    -----
    Bayes: with r and s the ratios of the live rate and of its complement to the table's, and L and N the cumulative incidences of a live
    answer and of any other end, the chance is r (L(a + h) - L(a)) / (1 - r L(a) - s N(a)).
    """
    weight = rate / table_rate
    rings_still = 1.0 - weight * table[4] - (1.0 - rate) / (1.0 - table_rate) * table[5]
    chance = table[: COLUMNS + 1] * (weight / np.maximum(rings_still, 1e-3))
    return np.asarray(np.minimum(chance, 1.0, out=chance))


def powers(chance: Floats) -> Floats:
    """Return chances, squared, and cubed.

    Parameters
    ----------
    chance : numpy.ndarray, shape (COLUMNS, n)
        Probabilities.

    Returns
    -------
    numpy.ndarray, shape (3 COLUMNS, n)
        Sums of these give the cumulants of the sum (`from_powers`) with fewer steps than summing those of each.
    """
    squared = chance * chance
    return np.concatenate((chance, squared, squared * chance))


_FROM_POWERS = np.zeros((3 * COLUMNS, 3 * COLUMNS))
for _k in range(COLUMNS):
    # mean, variance and third central moment of a Bernoulli variable are p, p - p^2 and p - 3 p^2 + 2 p^3
    _FROM_POWERS[_k::COLUMNS, _k] = 1.0
    _FROM_POWERS[COLUMNS + _k :: COLUMNS, COLUMNS + _k] = -1.0, -3.0
    _FROM_POWERS[2 * COLUMNS + _k, 2 * COLUMNS + _k] = 2.0


def from_powers(sums: Floats) -> Floats:
    """Return the cumulants of sums of Bernoulli variables from sums of their chances' powers.

    Parameters
    ----------
    sums : numpy.ndarray, shape (3 COLUMNS, ...)
        Sums of what `powers` returns.

    Returns
    -------
    numpy.ndarray, shape (3 COLUMNS, ...)
        As `cumulants` would sum up to.
    """
    return np.asarray(_FROM_POWERS @ sums)
