"""Columns of several pools, one row each: what the predictive rule reads at every step, laid out so that many pools step at once.

Owns the columns and the answer model's fast part: a scalar upon the learned answer rate, with its variance. The slow part, the learned
shape, is `pacing.learned`'s; the rule is `pacing.predictive`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pacing.interface import PacerConfig
from pacing.learned import RING_BINS, TALK_BINS, WRAPUP_BINS, Tables

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

WANDER_HZ = 3e-5
"""Variance per second by which the logarithm of the answer rate may wander: a third of it in an hour."""
PRIOR_SHAPE = 6.0
"""Live answers the first estimate of the answer rate is worth; its deviation is 40 %."""
SURPRISE_S, SURPRISE_DEVIATIONS, SURPRISED_SHAPE = 20.0, 3.5, 4.0
"""So many deviations more live answers than foreseen, in about so many seconds, and the estimate is worth no more than so many answers."""
LIVE_MEMORY_S = 600.0
"""Memory of the rate of live answers."""
RETUNE = 0.004
"""The table of chances is made again when the scalar has moved by this share."""
MIN_RATE, MAX_RATE = 0.02, 0.98
"""Answer rates are taken to lie between these: under the lower, dialing faster reaches the carrier's limits before people."""
COLD_RATE, COLD_S = 0.45, 8.0
"""A start takes attempts to be answered live at least at this rate, in a mixture that fades with this time constant: the first answers
tell how fast phones are picked up before they tell how many."""

COLUMNS = 3
"""Moments the rule looks at: two quantiles of the answer law, and a little ahead for the release."""

NAMES = (
    "ring", "free", "chance", "ring_sums", "busy_sums", "new", "rate", "theta", "tuned", "shape", "expected_hz",
    "surprise", "foreseen", "live_hz", "cold",
    "ring_per_s", "listening", "handling_s", "reach_s", "ceiling", "min_ring_s", "wait_s",
)  # fmt: skip


class Bank:
    """Columns of several pools.

    Parameters
    ----------
    configs : sequence of PacerConfig
        Settings of each pool.

    Attributes
    ----------
    ring, free : numpy.ndarray, shape (pools, bins, columns)
        `Tables.ring` and `Tables.free` of each pool.
    chance : numpy.ndarray, shape (pools, RING_BINS, 4)
        Chance, by age, that a ringing attempt is answered live by the first and second horizon, by the release's, and per second; with
        the scalar in.
    ring_sums, busy_sums : numpy.ndarray, shape (pools, bins, 9)
        `cumulants` of the chances of a live answer, and of an agent not being free.
    new : numpy.ndarray, shape (pools, 2)
        Share of the answer rate a call placed now will have given by each horizon.
    rate, theta, shape : numpy.ndarray of float64, shape (pools,)
        The table's answer rate; the scalar upon it; the live answers that scalar is worth.
    expected_hz, live_hz : numpy.ndarray of float64, shape (pools,)
        Live answers per second foreseen at the last step, and seen over the last minutes.
    cold : numpy.ndarray of float64, shape (pools,)
        1 at a start, fading to 0 with the time there were attempts in flight.
    """

    ring: Floats
    free: Floats
    chance: Floats
    ring_sums: Floats
    busy_sums: Floats
    new: Floats
    rate: Floats
    theta: Floats
    tuned: Floats
    shape: Floats
    expected_hz: Floats
    surprise: Floats
    foreseen: Floats
    live_hz: Floats
    cold: Floats
    ring_per_s: Floats
    listening: Floats
    handling_s: Floats
    reach_s: Floats
    ceiling: Floats
    min_ring_s: Floats
    wait_s: Floats

    def __init__(self, configs: Sequence[PacerConfig]) -> None:
        pools = len(configs)
        shapes = {
            "ring": (pools, RING_BINS, 6), "free": (pools, TALK_BINS + WRAPUP_BINS, 3), "chance": (pools, RING_BINS, 4), "new": (pools, 2),
            "ring_sums": (pools, RING_BINS, 3 * COLUMNS), "busy_sums": (pools, TALK_BINS + WRAPUP_BINS, 3 * COLUMNS),
        }  # fmt: skip
        for name in NAMES:
            setattr(self, name, np.zeros(shapes.get(name, (pools,))))
        self.theta[:], self.shape[:], self.cold[:] = 1.0, PRIOR_SHAPE, 1.0
        self.ceiling[:] = [config.abandonment_ceiling for config in configs]
        self.min_ring_s[:] = [config.min_ring_s if config.release else np.inf for config in configs]
        self.wait_s[:] = [config.agent_wait_s for config in configs]

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
        for name in NAMES:
            getattr(bank, name)[:] = [getattr(source, name)[at] for source, at in rows]
        return bank

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
        if not scored and self.rate[row] > 0.0:
            self.theta[row] *= self.rate[row] / tables.rate
        self.ring[row], self.free[row], self.new[row] = tables.ring, tables.free, tables.new
        self.busy_sums[row] = cumulants(1.0 - tables.free)
        self.rate[row], self.listening[row], self.handling_s[row] = (
            tables.rate,
            tables.listening,
            tables.handling_s,
        )
        self.reach_s[row], self.ring_per_s[row] = tables.reach_s, 1.0 / tables.ring_bin_s
        self.tuned[row] = 0.0

    def follow(self, rows: Rows, elapsed_s: Floats, answered: Floats) -> None:
        """Move the scalar by what was answered against what was foreseen.

        Parameters
        ----------
        rows : numpy.ndarray of intp
            The pools.
        elapsed_s, answered : numpy.ndarray of float64
            Seconds since each pool's last step, and live answers in them.

        Notes
        -----
        A Gamma-Poisson filter: the scalar is worth `shape` live answers, and what it is worth fades as the rate may have wandered. A
        run of answers far above what was foreseen makes it forget at once: upward steps are the dangerous ones.
        """
        foreseen_hz = self.expected_hz[rows]
        expected = foreseen_hz * elapsed_s
        shape = 1.0 / (1.0 / self.shape[rows] + WANDER_HZ * elapsed_s)
        fade = np.exp(elapsed_s * (-1.0 / SURPRISE_S))
        seen = self.surprise[rows] * fade + answered
        foreseen = self.foreseen[rows] * fade + expected
        jumped = seen - foreseen > SURPRISE_DEVIATIONS * np.sqrt(foreseen + 1.0)
        if jumped.any():
            shape = np.where(jumped, np.minimum(shape, SURPRISED_SHAPE), shape)
            seen, foreseen = np.where(jumped, 0.0, seen), np.where(jumped, 0.0, foreseen)
        self.surprise[rows], self.foreseen[rows] = seen, foreseen
        theta = self.theta[rows] * (shape + answered) / (shape + expected)
        rate = np.maximum(self.rate[rows], MIN_RATE)
        self.theta[rows] = np.clip(theta, MIN_RATE / rate, MAX_RATE / rate)
        self.shape[rows] = np.maximum(shape + answered, 2.0)
        keep = np.exp(elapsed_s * (-1.0 / LIVE_MEMORY_S))
        self.live_hz[rows] = self.live_hz[rows] * keep + answered * (1.0 - keep) / np.maximum(elapsed_s, 1e-9)
        # the start lasts while there is something to learn from
        self.cold[rows] *= np.where(foreseen_hz > 0.0, np.exp(elapsed_s * (-1.0 / COLD_S)), 1.0)

    def retune(self, rows: Rows) -> None:
        """Make the tables of chances again where the scalar has moved.

        Parameters
        ----------
        rows : numpy.ndarray of intp
            The pools.
        """
        theta, tuned = self.theta[rows], self.tuned[rows]
        moved = np.abs(theta - tuned) > RETUNE * tuned
        if moved.any():
            mine = rows[moved]
            self.chance[mine] = chances(
                self.ring[mine], self.rate[mine, None], (self.rate[mine] * theta[moved])[:, None]
            )
            self.ring_sums[mine] = cumulants(self.chance[mine, :, :COLUMNS])
            self.tuned[mine] = theta[moved]


def cumulants(chance: Floats) -> Floats:
    """Return mean, variance and third central moment of Bernoulli variables, side by side.

    Parameters
    ----------
    chance : numpy.ndarray, shape (..., n)
        Probability of each.

    Returns
    -------
    numpy.ndarray, shape (..., 3 n)
        The means of all, their variances, their third central moments.
    """
    variance = chance * (1.0 - chance)
    return np.concatenate((chance, variance, variance * (1.0 - 2.0 * chance)), axis=-1)


def chances(table: Floats, table_rate: Floats, rate: Floats) -> Floats:
    """Return the chances of a live answer within each horizon of attempts that have another answer rate than the table's.

    Parameters
    ----------
    table : numpy.ndarray, shape (..., 6)
        Rows of `Tables.ring`.
    table_rate, rate : numpy.ndarray, shape (...)
        The table's answer rate, and the attempts' own.

    Returns
    -------
    numpy.ndarray, shape (..., 4)
        Within each of three horizons, and one second, given that the attempt rings still.

    Notes
    -----
    Bayes: with r and s the ratios of the live rate and of its complement to the table's, and L and N the cumulative incidences of a live
    answer and of any other end, the chance is r (L(a + h) - L(a)) / (1 - r L(a) - s N(a)).
    """
    rate = np.minimum(rate, MAX_RATE)
    weight = rate / table_rate
    rings_still = 1.0 - weight * table[..., 4] - (1.0 - rate) / (1.0 - table_rate) * table[..., 5]
    return np.minimum(table[..., :4] * (weight / np.maximum(rings_still, 1e-3))[..., None], 1.0)
