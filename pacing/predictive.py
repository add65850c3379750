"""The predictive rule: place the next call only if it is unlikely to be abandoned, should it be answered live.

Owns the way from a snapshot to the verdict on one pool; on many at once it is `pacing.many`. What the pools have learned stands in
`pacing.bank`, the searches are in `pacing.placing`; the limits above the rule (brake, stop, lines) are `pacing.pacer`'s.

Live callers and agents who will not be free are counted alike, as "one more": the next call is abandoned if they are as many as the
agents there are. Each column of chances is a moment at which that call may be answered: early or late (two quantiles of the learned law,
of which the mean is taken), and a little ahead, which is asked of attempts that have rung long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pacing.arithmetic import NUMBERS
from pacing.bank import (
    AHEAD,
    COLUMNS,
    HERE,
    MAX_RATE,
    MOVING,
    Bank,
    Columns,
    chances,
    cumulants,
    follow,
    from_powers,
    powers,
)
from pacing.budget import allowed_risk
from pacing.interface import Snapshot
from pacing.learned import BUSY_BINS, RING_BINS
from pacing.many import Many
from pacing.overflow import exact_tails, expected_beyond, normal_tail
from pacing.placing import (
    Leads,
    cap,
    place_at_least,
    place_exactly,
    place_normally,
    release_exactly,
    release_limit,
    release_normally,
)
from pacing.verdict import CHANCES, EXACT_AGENTS, EXACT_ITEMS, Verdict, VerdictFields, busy_bins, past_saving

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

LARGE_ITEMS = 300
"""Pools with more than so many each are quicker one by one, by histograms of their ages."""


def decide(
    bank: Bank,
    rows: Sequence[int],
    snapshots: Sequence[Snapshot],
    elapsed_s: Sequence[float],
    answered: Sequence[int],
) -> Iterable[VerdictFields]:
    """Apply the rule to several pools.

    Parameters
    ----------
    bank : Bank
        Their columns and tables; what moves is moved.
    rows : sequence of int
        Row of each pool in it.
    snapshots : sequence of Snapshot
        Each pool now.
    elapsed_s : sequence of float
        Seconds since each pool's last step.
    answered : sequence of int
        Live answers in them.

    Returns
    -------
    iterable of tuple
        The fields of a `Verdict` for each pool.
    """
    if len(snapshots) > 1:
        many = Many(bank, rows, snapshots)
        if many.items <= LARGE_ITEMS * len(snapshots):
            return many.decide(np.array(elapsed_s), np.array(answered, dtype=np.float64))
    return [
        _decide_one(bank, row, snapshot, since_s, number)
        for row, snapshot, since_s, number in zip(rows, snapshots, elapsed_s, answered, strict=True)
    ]


def _decide_one(bank: Bank, row: int, now: Snapshot, elapsed_s: float, answered: int) -> Verdict:
    values = bank.columns[:, row].tolist()
    values[: MOVING - 1] = follow(Columns(*values), elapsed_s, answered, NUMBERS)
    pool = Columns(*values)
    rings, listens = len(now.ring_age_s), len(now.listening_age_s)
    busy = now.busy
    ring = _Ringing(bank, row, pool, now)
    values[MOVING - 1] = ring.expected_hz
    bank.columns[:MOVING, row] = values[:MOVING]
    lost = past_saving(now)
    waiting, agents = now.waiting - lost, now.idle + busy
    alpha = allowed_risk(pool.ceiling, now.live_total, now.abandoned_total + lost, pool.live_hz, NUMBERS)
    at = agents - waiting
    limit = release_limit(alpha, NUMBERS)
    not_free, bins = bank.busy_of(row), _busy_bins(now)
    leads = Leads.of(pool.rate, pool.theta, pool.early, pool.late, now.next_propensity)
    release = 0
    few = at > 0 and rings + listens + busy <= EXACT_ITEMS
    if few:
        chance = np.concatenate(
            (
                not_free[:COLUMNS, bins].T,
                np.full((listens, COLUMNS), pool.listening),
                ring.each[CHANCES].T,
            )
        )
    if few and agents <= EXACT_AGENTS:
        tails = exact_tails(chance, at)
        if ring.old and tails[at, AHEAD] > limit:
            release = release_exactly(
                chance[: busy + listens, AHEAD], chance[busy + listens :, AHEAD], now.ring_age_s, ring.old, at, limit  # type: ignore[arg-type]
            )  # fmt: skip
        two = tails[:, None, HERE]
        # E[(S - m)+] = E[S] - m + the sum of P(S < k) for k = 1 to m
        overflow = float((chance[:, HERE].sum(axis=0) - two[1:, 0].sum(axis=0)).mean())
        places, risks = place_exactly(
            two,
            np.array([at]),
            np.array([alpha]),
            np.array([leads.at(0)]),
            {} if leads.listed is None else {0: leads},
        )
        place, risk = int(places[0]), float(risks[0])
    else:
        alike = ring.sums()
        sums = alike + _busy_sums(not_free, bins)
        if listens:
            sums += listens * cumulants(np.full(COLUMNS, pool.listening))
        if at > 0:
            ringing = alike[HERE].tolist()
            doubt = 1.0 / pool.shape
            mean_ahead, variance_ahead, third_ahead = sums[AHEAD::COLUMNS].tolist()
            if ring.old and normal_tail(at, mean_ahead, variance_ahead, third_ahead, NUMBERS) > limit:
                release = release_normally(ring.ahead(), now.ring_age_s, ring.old, at, sums, limit)  # type: ignore[arg-type]
            place, risk = place_normally(at, sums, ringing, doubt, alpha, leads)
            if few:
                place = max(place, place_at_least(chance[:, HERE], at, agents - EXACT_AGENTS, alpha, leads))
            mean, variance = sums[HERE].tolist(), sums[COLUMNS : COLUMNS + 2].tolist()
            overflow = 0.5 * sum(
                expected_beyond(at, m, v + r * r * doubt, NUMBERS)
                for m, v, r in zip(mean, variance, ringing, strict=True)
            )
        else:  # more callers wait than agents there are: whatever has rung long goes
            place, release, risk = 0, ring.old, 1.0
            overflow = 0.5 * float(sums[HERE].sum()) - at
    capped = False
    if place:
        most = cap(pool, max(now.idle - waiting, 0), agents, listens, ring.base, NUMBERS)
        most = max(math.floor(most / leads.mean(place)), 0)
        capped, place = place > most, min(place, most)
    return Verdict(place, release, alpha, risk, overflow, ring.expected_hz, capped)


class _Ringing:
    # chances of one pool's ringing attempts: of each attempt, or of each bin of age where they are many
    def __init__(self, bank: Bank, row: int, pool: Columns, now: Snapshot) -> None:
        ages = np.asarray(now.ring_age_s)
        self.each: Floats = np.empty((COLUMNS + 1, 0))
        self.old, self.expected_hz, self.base = 0, 0.0, 0.0
        self._bins: Counts | None = None
        self._number: Floats | None = None
        if not ages.size:
            return
        bins = np.minimum(ages * pool.ring_per_s, RING_BINS - 1).astype(np.intp)
        if pool.min_ring_s < math.inf:
            self.old = int(np.count_nonzero(ages >= pool.min_ring_s))
        table, rate = bank.ring_of(row), pool.rate * pool.theta
        self.base = ages.size * pool.rate
        if now.ring_propensity is not None:
            given = np.asarray(now.ring_propensity)
            self.base = float(given.sum())
            rate = np.minimum(given * pool.theta, MAX_RATE)
        elif ages.size > RING_BINS:
            self._bins, self._number = bins, _counted(bins, RING_BINS)
        self.each = chances(table if self._bins is not None else table[:, bins], pool.rate, rate)
        self.expected_hz = float(self._sum(self.each[0]))

    def _sum(self, values: Floats) -> Floats:
        return np.asarray(values.sum(axis=-1) if self._number is None else values @ self._number)

    def sums(self) -> Floats:
        # cumulants of all of them together
        return from_powers(self._sum(powers(self.each[CHANCES])))

    def ahead(self) -> Floats:
        # each attempt's chance a little ahead
        column = self.each[1 + AHEAD]
        return np.asarray(column if self._bins is None else column[self._bins])


def _busy_bins(now: Snapshot) -> Counts:
    ages = (now.talk_elapsed_s, now.wrapup_elapsed_s, now.finishing_elapsed_s)
    bins = [busy_bins(elapsed_s, kind) for kind, elapsed_s in enumerate(ages) if len(elapsed_s)]
    return np.concatenate(bins) if bins else _NONE


_NONE = np.empty(0, dtype=np.intp)


def _busy_sums(not_free: Floats, bins: Counts) -> Floats:
    if bins.size <= BUSY_BINS // 4:
        return np.asarray(not_free[:, bins].sum(axis=1))
    return np.asarray(not_free @ _counted(bins, BUSY_BINS))


def _counted(bins: Counts, most: int) -> Floats:
    return np.bincount(bins, minlength=most).astype(np.float64)
