"""From chances to numbers: how many calls may be placed, and how many attempts are let go, before the risk passes what is allowed.

Owns the searches: exact for few items, by the normal law for many, and Erlang's cap. Where the chances come from is
`pacing.predictive`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pacing.arithmetic import NUMBERS, Arithmetic, Value
from pacing.bank import AHEAD, COLD_RATE, HERE, MAX_RATE, Columns, cumulants
from pacing.overflow import add_one, exact_tails, normal_tail

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

_TINY = 1e-300
_LEAST_MEAN = 1e-6
_LOOKS = 8
"""So many looks for a crossing go by the law; what has none by then is halved."""
_FAR = 1e-9
"""Risks nearer to none and to certain than this tell nothing of where the crossing is."""

MOST_AT_ONCE = 4096
"""Calls one step places at most."""
RELEASE_FACTOR, RELEASE_MOST = 3.0, 0.95
"""Attempts are released while the risk a little ahead is over so many times the allowed one, and over this at the latest."""
COLD_DEVIATIONS = 2.5
"""So many deviations above its estimate the answer rate is taken to be by Erlang's cap."""
CAP_FACTOR, CAP_DEVIATIONS = 1.25, 2.0
"""Erlang's cap over the open-loop load, as a factor and in deviations of a Poisson number: in a settled pool it lies above the rule."""


@dataclass(frozen=True, slots=True)
class Leads:
    """Chances of the leads that would be dialed next.

    Attributes
    ----------
    listed : numpy.ndarray of float64 or None
        Answer probability of each, in order; beyond those listed their mean is taken. None where the pool lists none.
    rate : float
        The learned answer rate, taken for all where none is listed.
    factors : tuple of (float, float)
        What an answer probability is multiplied by to be the chance of an answer by each of the two moments.
    """

    listed: Floats | None
    rate: float
    factors: tuple[float, float]

    @classmethod
    def of(
        cls, rate: float, theta: float, early: float, late: float, listed: Floats | Sequence[float] | None
    ) -> Leads:
        """Return a pool's next leads.

        Parameters
        ----------
        rate, theta, early, late : float
            As in `Columns`.
        listed : array_like of float, optional
            `Snapshot.next_propensity`.

        Returns
        -------
        Leads
            They.
        """
        some = np.asarray(listed) if listed is not None and len(listed) else None
        return cls(some, rate, (theta * early, theta * late))

    def at(self, index: int) -> tuple[float, float]:
        """Return one lead's chance of an answer by each moment.

        Parameters
        ----------
        index : int
            Its place in the order, from 0.

        Returns
        -------
        tuple of (float, float)
            The chances.
        """
        base = self.rate
        if self.listed is not None:
            base = float(self.listed[index] if index < self.listed.size else self.listed.mean())
        early, late = self.factors
        return min(base * early, MAX_RATE), min(base * late, MAX_RATE)

    def mean(self, count: int) -> float:
        """Return the mean answer probability of the first leads.

        Parameters
        ----------
        count : int
            How many, at least 1.

        Returns
        -------
        float
            Before the scalar; over 0 also where nobody listed is ever reached.
        """
        if self.listed is None:
            return self.rate
        first = self.listed[:count]
        return max(float(first.sum() + (count - first.size) * self.listed.mean()) / count, _LEAST_MEAN)

    def cumulants(self) -> tuple[list[list[list[float]]], list[list[float]]]:
        """Return what the first leads add to mean, variance and third central moment, for each moment.

        Returns
        -------
        tuple of (list, list)
            For each of the two moments, running sums over the listed leads from none on; and what each further lead adds.
        """
        running, further = [], []
        for factor in self.factors:
            sums = [[0.0, 0.0, 0.0]]
            chance = min(self.rate * factor, MAX_RATE)
            if self.listed is not None:
                chances = np.minimum(self.listed * factor, MAX_RATE)
                chance = float(chances.mean())
                sums += np.cumsum(cumulants(chances[None]), axis=1).T.tolist()
            variance = chance * (1.0 - chance)
            further.append([chance, variance, variance * (1.0 - 2.0 * chance)])
            running.append(sums)
        return running, further


def release_limit(alpha: Value, by: Arithmetic) -> Value:
    """Return the risk a little ahead over which attempts that have rung long are let go.

    Parameters
    ----------
    alpha : float or numpy.ndarray of float64
        Allowed risk of the next call.
    by : Arithmetic
        Of numbers or of arrays.

    Returns
    -------
    float or numpy.ndarray of float64
        Probability.
    """
    return by.minimum(RELEASE_FACTOR * alpha, RELEASE_MOST)


def place_exactly(
    tails: Floats, at_least: Counts, alpha: Floats, chance: Floats, listed: Mapping[int, Leads]
) -> tuple[Counts, Floats]:
    """Add calls one by one to several pools while the risk of the next is allowed.

    Parameters
    ----------
    tails : numpy.ndarray of float64, shape (most + 1, pools, 2)
        `exact_tails` of all there are, at each of the two moments; changed in place.
    at_least : numpy.ndarray of int, shape (pools,)
        As many are one too many.
    alpha : numpy.ndarray of float64, shape (pools,)
        Allowed risk.
    chance : numpy.ndarray of float64, shape (pools, 2)
        A new call's chance of an answer by each moment; changed in place for pools in `listed`.
    listed : mapping of int to Leads
        Who is dialed next, of the pools that list their leads, by index.

    Returns
    -------
    tuple of (numpy.ndarray of int, numpy.ndarray of float64)
        Calls to place, and the risk of the first that is not.
    """
    here = np.arange(at_least.size)
    early, late = tails[at_least, here].T
    risk = 0.5 * (early + late)
    place = np.zeros(at_least.size, dtype=np.intp)
    going, placed = np.flatnonzero(risk <= alpha), 0
    while going.size and placed < MOST_AT_ONCE:
        for index, leads in listed.items():
            chance[index] = leads.at(placed)
        placing = tails[:, going]
        add_one(placing, chance[going])
        tails[:, going] = placing
        placed += 1
        place[going] = placed
        early, late = placing[at_least[going], here[: going.size]].T
        now = 0.5 * (early + late)
        risk[going] = now
        on = now <= alpha[going]
        going = going[on]
    return place, risk


def place_at_least(chance: Floats, at_least: int, beyond: int, alpha: float, leads: Leads) -> int:
    """Return how many calls a pool of few calls and many agents may place at least, whatever the normal law says.

    Parameters
    ----------
    chance : numpy.ndarray of float64, shape (n, 2)
        Of everything that may be one more, at each of the two moments.
    at_least, beyond : int
        As many are one too many; and agents over those that are reckoned with exactly.
    alpha : float
        Allowed risk.
    leads : Leads
        Who is dialed next.

    Returns
    -------
    int
        Calls: what is exact without the agents beyond, and one for each of these, which can never add to the risk.
    """
    if at_least <= beyond:
        return 0
    tails = exact_tails(chance, at_least - beyond)[:, None, HERE]
    listed = {} if leads.listed is None else {0: leads}
    place, _ = place_exactly(
        tails, np.array([at_least - beyond]), np.array([alpha]), np.array([leads.at(0)]), listed
    )
    return int(place[0]) + beyond if place[0] else 0


def release_exactly(kept: Floats, ring: Floats, ages_s: Floats, old: int, at_least: int, limit: float) -> int:
    """Return how many of the oldest attempts must go for the risk a little ahead to be allowed.

    Parameters
    ----------
    kept : numpy.ndarray of float64
        Chances of what is no ringing attempt.
    ring, ages_s : numpy.ndarray of float64
        Chance of each ringing attempt, and for how long it has rung.
    old : int
        So many of the oldest may go.
    at_least : int
        As many are one too many.
    limit : float
        Allowed risk.

    Returns
    -------
    int
        At most `old`.
    """
    # the oldest are the last to be kept
    ring = ring[np.argsort(ages_s, kind="stable")]
    young = ring.size - old
    tail = exact_tails(np.concatenate((kept, ring[:young])), at_least)
    for number, one in enumerate(ring[young:]):
        add_one(tail, one)
        if tail[at_least] > limit:
            return old - number
    return 0


def place_normally(
    at_least: float, sums: Floats, ringing: list[float], doubt: float, alpha: float, leads: Leads
) -> tuple[int, float]:
    """Return how many calls until the risk of one more is over the allowed, and that risk.

    Parameters
    ----------
    at_least : float
        As many are one too many.
    sums : numpy.ndarray of float64, shape (3 COLUMNS,)
        Cumulants of all there are.
    ringing : list of float
        The part of each moment's mean that is calls ringing.
    doubt : float
        Variance of the answer rate's logarithm: its deviation moves all calls together.
    alpha : float
        Allowed risk.
    leads : Leads
        Who is dialed next.

    Returns
    -------
    tuple of (int, float)
        Calls to place, and the risk of the first that is not.

    Notes
    -----
    Were the law normal and both moments one, the calls that bring the risk to alpha would be the root of a quadratic. Counted in deviations
    the risk is off that by what hardly moves with the calls: a few looks find the crossing. At the end the risk after `low` calls is
    allowed, and after `high`, one more, it is not.
    """
    risk = _Risk(at_least, sums, ringing, doubt, leads)
    aim = _normal(alpha)
    low, high, last = -1, MOST_AT_ONCE, -1.0
    offset = slope = 0.0
    at, informed = 0, True
    for look in range(MOST_AT_ONCE):
        if high - low == 1:
            break
        if informed and look < _LOOKS:
            guess = risk.root(aim - offset)
            if slope:
                guess = risk.root(aim - offset - slope * (guess - at))
        else:
            guess = 0.5 * (low + high)
        calls = min(max(math.floor(guess), low + 1), high - 1)
        now = risk.after(calls)
        if now <= alpha:
            low = calls
        else:
            high, last = calls, now
        informed = _FAR < now < 1.0 - _FAR
        if informed:
            off = _normal(now) - risk.normally(calls)
            slope = (off - offset) / (calls - at) if at and calls != at else 0.0
            at, offset = calls, off
    return high, last if last >= 0.0 else risk.after(high)


def _normal(risk: float) -> float:
    # the number of deviations: of calls it is nearly a straight line
    return float(special.ndtri(max(risk, _TINY)))


class _Risk:
    # of one pool with some calls more
    def __init__(
        self, at_least: float, sums: Floats, ringing: list[float], doubt: float, leads: Leads
    ) -> None:
        self._at_least, self._doubt = at_least, doubt
        self._each: float
        self._above: float
        running, further = leads.cumulants()
        self._listed = len(running[0]) - 1
        given = sums.reshape(3, -1)[:, HERE].T.tolist()
        self._moments = [
            (*now, alike, *each, first)
            for now, alike, each, first in zip(given, ringing, further, running, strict=True)
        ]
        # the moments' middle, with leads that are all alike
        one, two = self._moments
        mean, variance, _, alike, self._each, each_variance, _ = [
            0.5 * (x + y) for x, y in zip(one[:7], two[:7], strict=True)
        ]
        self._above = at_least - 0.5 - mean
        # variance as a quadratic in the calls
        self._variance = (
            variance + doubt * alike * alike,
            each_variance + 2.0 * doubt * alike * self._each,
            doubt * self._each * self._each,
        )

    def after(self, calls: int) -> float:
        # with so many calls more
        total: float = 0.0
        first = min(calls, self._listed)
        for mean, variance, third, ringing, f, g, h, running in self._moments:
            (m, v, t), more = running[first], calls - first
            m += more * f
            alike = ringing + m
            total += normal_tail(
                self._at_least,
                mean + m,
                variance + v + more * g + alike * alike * self._doubt,
                third + t + more * h,
                NUMBERS,
            )
        return 0.5 * total

    def normally(self, calls: float) -> float:
        # deviations the middle is over the agents there are
        constant, linear, square = self._variance
        spread = math.sqrt(max(constant + calls * (linear + calls * square), _TINY))
        over: float = calls * self._each - self._above
        return over / spread

    def root(self, deviations: float) -> float:
        # how many calls bring the middle there
        constant, linear, square = self._variance
        z_2 = deviations * deviations
        a = self._each * self._each - z_2 * square
        b = self._above * self._each + 0.5 * z_2 * linear
        under = b * b - a * (self._above * self._above - z_2 * constant)
        if a <= 0.0 or under < 0.0:
            return MOST_AT_ONCE
        root: float = (b + math.copysign(math.sqrt(under), deviations)) / a
        return root


def release_normally(
    each: Floats, ages_s: Floats, old: int, at_least: float, sums: Floats, limit: float
) -> int:
    """Return how many of the oldest attempts must go for the risk a little ahead, which is not allowed, to be so.

    Parameters
    ----------
    each, ages_s : numpy.ndarray of float64
        Chance of each ringing attempt a little ahead, and for how long it has rung.
    old : int
        So many of the oldest may go.
    at_least : float
        As many are one too many.
    sums : numpy.ndarray of float64, shape (3 COLUMNS,)
        Cumulants of all there are.
    limit : float
        Allowed risk.

    Returns
    -------
    int
        At least one where there are any, at most `old`.
    """
    mean, variance, third = sums.reshape(3, -1)[:, AHEAD].tolist()
    oldest = np.argsort(-ages_s, kind="stable")[:old]
    gone = np.cumsum(cumulants(each[None, oldest]), axis=1).T.tolist()
    for number, (m, v, t) in enumerate(gone, start=1):
        if normal_tail(at_least, mean - m, variance - v, third - t, NUMBERS) <= limit:
            return number
    return old


def cap(pool: Columns, idle: Value, agents: Value, listens: Value, base: Value, by: Arithmetic) -> Value:
    """Return Erlang's cap on what is placed, in calls of answer probability 1.

    Parameters
    ----------
    pool : Columns
        One pool or several.
    idle, agents : int or numpy.ndarray of int
        Agents idle beyond the callers who wait, and all.
    listens : int or numpy.ndarray of int
        Attempts under analysis.
    base : float or numpy.ndarray of float64
        Sum of the answer probabilities of what rings, before the scalar.
    by : Arithmetic
        Of numbers or of arrays.

    Returns
    -------
    float or numpy.ndarray of float64
        What is left of who will be free at the open-loop rate, beside what is in flight, both at a pessimistic answer rate; may be negative.
    """
    rate = pool.rate * pool.theta * (1.0 + COLD_DEVIATIONS / by.sqrt(pool.shape))
    rate = by.minimum(rate + pool.cold * by.maximum(COLD_RATE - rate, 0.0), MAX_RATE)
    pessimism = rate / pool.rate
    load = idle + CAP_FACTOR * agents / pool.handling_s * (pool.wait_s + pool.reach_s)
    left = load + CAP_DEVIATIONS * by.sqrt(load) - listens * pool.listening
    return left / pessimism - base
