"""The predictive rule: place the next call only if it is unlikely to be abandoned, should it be answered live.

Owns the way from snapshots to chances, and the verdict, for one pool and for many at once. What the pools have learned stands in
`pacing.bank`, the searches are in `pacing.placing`; the limits above the rule (brake, stop, lines) are `pacing.pacer`'s.

Live callers and agents who will not be free are counted alike, as "one more": the next call is abandoned if they are as many as the
agents there are. Each column of chances is a moment at which that call may be answered: early or late (two quantiles of the learned law,
of which the mean is taken), and a little ahead, which is asked of attempts that have rung long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pacing.arithmetic import ARRAYS, NUMBERS
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
from pacing.learned import BUSY_BINS, RING_BINS, TALK_BIN_S, TALK_BINS, WRAPUP_BIN_S, WRAPUP_BINS
from pacing.overflow import exact_tails, expected_beyond, normal_tail
from pacing.placing import (
    Leads,
    cap,
    place_exactly,
    place_normally,
    release_exactly,
    release_limit,
    release_normally,
)

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

EXACT_ITEMS = 20
"""Up to so many ringing calls, calls under analysis and busy agents together the probability is exact."""
LARGE_ITEMS = 300
"""Pools with more than so many each are quicker one by one, by histograms of their ages."""
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


def decide(
    bank: Bank,
    rows: Sequence[int],
    snapshots: Sequence[Snapshot],
    elapsed_s: Sequence[float],
    answered: Sequence[int],
) -> list[Verdict]:
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
    list of Verdict
        One a pool.
    """
    if len(snapshots) > 1:
        many = _Many(bank, rows, snapshots)
        if many.items <= LARGE_ITEMS * len(snapshots):
            return many.decide(np.array(elapsed_s), np.array(answered, dtype=np.float64))
    return [
        _decide_one(bank, row, snapshot, since_s, number)
        for row, snapshot, since_s, number in zip(rows, snapshots, elapsed_s, answered, strict=True)
    ]


# --- one pool: plain numbers, and histograms where there are many -----------------------------------------------------------------


def _decide_one(bank: Bank, row: int, now: Snapshot, elapsed_s: float, answered: int) -> Verdict:
    values = bank.columns[:, row].tolist()
    values[: MOVING - 1] = follow(Columns(*values), elapsed_s, answered, NUMBERS)
    pool = Columns(*values)
    rings, listens = len(now.ring_age_s), len(now.listening_age_s)
    busy = len(now.talk_elapsed_s) + len(now.wrapup_elapsed_s)
    ring = _Ringing(bank, row, pool, now)
    values[MOVING - 1] = ring.expected_hz
    bank.columns[:MOVING, row] = values[:MOVING]
    lost = _lost(now)
    waiting, agents = now.waiting - lost, now.idle + busy
    alpha = allowed_risk(pool.ceiling, now.live_total, now.abandoned_total + lost, pool.live_hz, NUMBERS)
    at = agents - waiting
    limit = release_limit(alpha, NUMBERS)
    not_free = bank.busy_of(row)
    leads = Leads.of(pool, now.next_propensity)  # type: ignore[arg-type]
    release = 0
    if at > 0 and rings + listens + busy <= EXACT_ITEMS and agents <= 2 * EXACT_ITEMS:
        chance = np.concatenate(
            (
                not_free[:COLUMNS, _busy_bins(now.talk_elapsed_s, now.wrapup_elapsed_s)].T,
                np.full((listens, COLUMNS), pool.listening),
                ring.each[CHANCES].T,
            )
        )
        tails = exact_tails(chance, at)
        if ring.old and tails[at, AHEAD] > limit:
            release = release_exactly(
                chance[: busy + listens, AHEAD], chance[busy + listens :, AHEAD], now.ring_age_s, ring.old, at, limit  # type: ignore[arg-type]
            )  # fmt: skip
        two = tails[:, None, HERE]
        # E[(S - m)+] = E[S] - m + the sum of P(S < k) for k = 1 to m
        overflow = float((chance[:, HERE].sum(axis=0) - two[1:, 0].sum(axis=0)).mean())
        places, risks = place_exactly(two, np.array([at]), np.array([alpha]), lambda _: leads)
        place, risk = int(places[0]), float(risks[0])
    else:
        alike = ring.sums()
        sums = alike + _busy_sums(not_free, now)
        if listens:
            sums += listens * cumulants(np.full(COLUMNS, pool.listening))
        if at > 0:
            ringing = alike[HERE].tolist()
            doubt = 1.0 / pool.shape
            if ring.old:
                release = release_normally(ring.ahead(), now.ring_age_s, ring.old, at, sums, limit)  # type: ignore[arg-type]
            place, risk = place_normally(at, sums, ringing, doubt, alpha, leads)
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
        if not ages.size:
            return
        oldest_s = float(ages.max())
        bins = (ages * pool.ring_per_s).astype(np.intp)
        if oldest_s * pool.ring_per_s >= RING_BINS:
            np.minimum(bins, RING_BINS - 1, out=bins)
        if oldest_s >= pool.min_ring_s:
            self.old = int(np.count_nonzero(ages >= pool.min_ring_s))
        table, rate = bank.ring_of(row), pool.rate * pool.theta
        self.base = ages.size * pool.rate
        if now.ring_propensity is not None:
            given = np.asarray(now.ring_propensity)
            self.base = float(given.sum())
            rate = np.minimum(given * pool.theta, MAX_RATE)
        elif ages.size > RING_BINS:
            self._bins = bins
        self.each = chances(table if self._bins is not None else table[:, bins], pool.rate, rate)
        self.expected_hz = float(self._sum(self.each[0]))

    def _sum(self, values: Floats) -> Floats:
        if self._bins is None:
            return np.asarray(values.sum(axis=-1))
        return np.asarray(values @ np.bincount(self._bins, minlength=RING_BINS).astype(np.float64))

    def sums(self) -> Floats:
        # cumulants of all of them together
        return from_powers(self._sum(powers(self.each[CHANCES])))

    def ahead(self) -> Floats:
        # each attempt's chance a little ahead
        column = self.each[1 + AHEAD]
        return np.asarray(column if self._bins is None else column[self._bins])


def _busy_bins(talk_elapsed_s: object, wrapup_elapsed_s: object) -> Counts:
    talk = (np.asarray(talk_elapsed_s) * (1.0 / TALK_BIN_S)).astype(np.intp)
    wrapup = (np.asarray(wrapup_elapsed_s) * (1.0 / WRAPUP_BIN_S)).astype(np.intp)
    np.minimum(talk, TALK_BINS - 1, out=talk)
    np.minimum(wrapup, WRAPUP_BINS - 1, out=wrapup)
    wrapup += TALK_BINS
    return np.concatenate((talk, wrapup))


def _busy_sums(not_free: Floats, now: Snapshot) -> Floats:
    bins = _busy_bins(now.talk_elapsed_s, now.wrapup_elapsed_s)
    if bins.size <= BUSY_BINS // 4:
        return np.asarray(not_free[:, bins].sum(axis=1))
    return np.asarray(not_free @ np.bincount(bins, minlength=BUSY_BINS).astype(np.float64))


def _lost(snapshot: Snapshot) -> int:
    # who cannot be saved by an agent freeing later will be abandoned, on the ledger already and in nobody's way: callers beyond the
    # idle agents who have next to no time left
    if snapshot.waiting_left_s is None or snapshot.waiting <= snapshot.idle:
        return 0
    late = int(np.count_nonzero(np.asarray(snapshot.waiting_left_s) < LOST_LEFT_S))
    return min(late, snapshot.waiting - snapshot.idle)


# --- several pools: arrays with one entry a pool, and one a call --------------------------------------------------------------------


class _Many:
    def __init__(self, bank: Bank, rows: Sequence[int], snapshots: Sequence[Snapshot]) -> None:
        self.bank, self.snapshots = bank, snapshots
        self.ages = [s.ring_age_s for s in snapshots]
        self.talk = [s.talk_elapsed_s for s in snapshots]
        self.wrapup = [s.wrapup_elapsed_s for s in snapshots]
        self.rows = np.array(rows, dtype=np.intp)
        self.rings, self.listens, self.talks, self.wrapups = np.array(
            [
                list(map(len, self.ages)),
                [len(s.listening_age_s) for s in snapshots],
                list(map(len, self.talk)),
                list(map(len, self.wrapup)),
            ],
            dtype=np.intp,
        )
        self.busy = self.talks + self.wrapups
        self.number = self.rings + self.listens + self.busy
        self.items = int(self.number.sum())

    def decide(self, elapsed_s: Floats, answered: Floats) -> list[Verdict]:
        bank, snapshots, pools = self.bank, self.snapshots, self.rows.size
        # all of a bank's pools together need no gathering
        whole = pools == bank.columns.shape[1] and bool((self.rows == np.arange(pools)).all())
        rows: slice | Counts = slice(None) if whole else self.rows
        pool = bank.pools(rows)
        pool = Columns(*follow(pool, elapsed_s, answered, ARRAYS), *pool[MOVING - 1 :])
        self._look(pool)
        bank.columns[:MOVING, rows] = (*pool[: MOVING - 1], self.expected_hz)
        idle, waiting, live, abandoned = np.array(
            [
                [s.idle for s in snapshots],
                [s.waiting for s in snapshots],
                [s.live_total for s in snapshots],
                [s.abandoned_total for s in snapshots],
            ],
            dtype=np.intp,
        )
        for k in np.flatnonzero(waiting > idle).tolist():
            lost = _lost(snapshots[k])
            waiting[k] -= lost
            abandoned[k] += lost
        self.agents = idle + self.busy
        self.at = self.agents - waiting
        self.alpha = allowed_risk(pool.ceiling, live, abandoned, pool.live_hz, ARRAYS)
        self.limit = release_limit(self.alpha, ARRAYS)
        self.place, self.release = np.zeros(pools, dtype=np.intp), np.zeros(pools, dtype=np.intp)
        self.risk, self.overflow = np.ones(pools), np.zeros(pools)
        few = (self.number <= EXACT_ITEMS) & (self.agents <= 2 * EXACT_ITEMS) & (self.at > 0)
        if few.any():
            self._exactly(np.flatnonzero(few), pool)
        if not few.all():
            self._normally(~few, pool)
        capped = self._cap(pool, np.maximum(idle - waiting, 0)) if self.place.any() else self.place
        return list(
            map(
                Verdict, self.place.tolist(), self.release.tolist(), self.alpha.tolist(), self.risk.tolist(), self.overflow.tolist(),
                self.expected_hz.tolist(), capped.tolist(),
            )
        )  # fmt: skip

    def _look(self, pool: Columns) -> None:
        # chances of every call and agent
        bank, rings = self.bank, self.rings
        self.of = of = np.repeat(np.arange(rings.size), rings)
        ages = np.concatenate(self.ages)
        bins = (ages * pool.ring_per_s[of]).astype(np.intp)
        np.minimum(bins, RING_BINS - 1, out=bins)
        bins += self.rows[of] * RING_BINS
        self.base, rate = rings * pool.rate, (pool.rate * pool.theta)[of]
        if any(s.ring_propensity is not None for s in self.snapshots):
            given = np.concatenate(
                [
                    np.full(len(s.ring_age_s), usual) if s.ring_propensity is None else s.ring_propensity
                    for s, usual in zip(self.snapshots, pool.rate.tolist(), strict=True)
                ]
            )
            self.base = np.bincount(of, weights=given, minlength=rings.size)
            rate = np.minimum(given * pool.theta[of], MAX_RATE)
        self.ring = chances(np.take(bank.ring, bins, axis=1), pool.rate[of], rate)
        self.expected_hz = np.bincount(of, weights=self.ring[0], minlength=rings.size)
        self.old = np.zeros(rings.size, dtype=np.intp)
        if ages.size and ages.max() >= pool.min_ring_s.min():
            self.old = np.bincount(of[ages >= pool.min_ring_s[of]], minlength=rings.size)
        talks = int(self.talks.sum())
        bins = _busy_bins(np.concatenate(self.talk), np.concatenate(self.wrapup))
        first = self.rows * BUSY_BINS
        bins[:talks] += np.repeat(first, self.talks)
        bins[talks:] += np.repeat(first, self.wrapups)
        not_free = np.take(bank.busy[:COLUMNS], bins, axis=1)
        self.talking, self.wrapping = not_free[:, :talks], not_free[:, talks:]

    def _sums(self, chosen: NDArray[np.bool_], pool: Columns) -> tuple[Floats, Floats]:
        # cumulants of all there are in chosen pools, and of their ringing attempts
        ringing = from_powers(_sums(powers(self.ring[CHANCES, chosen[self.of]]), self.rings[chosen]))
        sums = ringing + self.listens[chosen] * cumulants(
            np.repeat(pool.listening[None, chosen], COLUMNS, axis=0)
        )
        for chance, lengths in ((self.talking, self.talks), (self.wrapping, self.wrapups)):
            sums += from_powers(_sums(powers(chance[:, np.repeat(chosen, lengths)]), lengths[chosen]))
        return sums, ringing

    def _filled(self, pools: Counts, pool: Columns, columns: int) -> Floats:
        # chances of chosen pools side by side, filled up with zeros to one length: agents, then calls under analysis, then ringing
        rank = np.full(self.rows.size, -1, dtype=np.intp)
        rank[pools] = np.arange(pools.size)
        filled = np.zeros((int(self.number[pools].max()), pools.size, columns))
        top = np.zeros(self.rows.size, dtype=np.intp)
        for lengths, block in (
            (self.talks, self.talking[:columns]),
            (self.wrapups, self.wrapping[:columns]),
            (self.listens, None),
            (self.rings, self.ring[1 : 1 + columns]),
        ):
            if not lengths.any():
                continue
            owner = np.repeat(rank, lengths)
            slot = np.arange(owner.size) - np.repeat(np.cumsum(lengths) - lengths - top, lengths)
            values = np.repeat(pool.listening, lengths)[None] if block is None else block
            fits = owner >= 0
            filled[slot[fits], owner[fits]] = values[:, fits].T
            top = top + lengths
        return filled

    def _exactly(self, pools: Counts, pool: Columns) -> None:
        old, at, here = self.old[pools], self.at[pools], np.arange(pools.size)
        columns = COLUMNS if old.any() else COLUMNS - 1
        filled = self._filled(pools, pool, columns)
        tails = exact_tails(filled, int(at.max()))
        if columns == COLUMNS:
            limit = self.limit[pools]
            for k in np.flatnonzero((tails[at, here, AHEAD] > limit) & (old > 0)).tolist():
                number = int(pools[k])
                rings, everyone = int(self.rings[number]), int(self.number[number])
                chance = filled[:everyone, k, AHEAD]
                self.release[number] = release_exactly(
                    chance[: everyone - rings], chance[everyone - rings :], self.ages[number], int(old[k]), int(at[k]), float(limit[k])  # type: ignore[arg-type]
                )  # fmt: skip
        two = tails[:, :, HERE]
        within = np.cumsum(two, axis=0)[at, here] - 1.0
        self.overflow[pools] = (filled[:, :, HERE].sum(axis=0) - within).mean(axis=1)
        self.place[pools], self.risk[pools] = place_exactly(
            two, at, self.alpha[pools], lambda k: self._leads(int(pools[k]), pool)
        )

    def _normally(self, chosen: NDArray[np.bool_], pool: Columns) -> None:
        pools = np.flatnonzero(chosen)
        sums, alike = self._sums(chosen, pool)
        at, ringing = self.at[pools].astype(np.float64), alike[HERE]
        old, limit, alpha = self.old[pools], self.limit[pools], self.alpha[pools]
        if old.any():
            ahead = normal_tail(at, *sums[AHEAD::COLUMNS], ARRAYS)  # type: ignore[call-arg]
            ends = np.cumsum(self.rings)
            for k in np.flatnonzero((ahead > limit) & (old > 0)).tolist():
                number = int(pools[k])
                each = self.ring[1 + AHEAD, ends[number] - self.rings[number] : ends[number]]
                self.release[number] = release_normally(
                    each, self.ages[number], int(old[k]), float(at[k]), sums[:, k], float(limit[k])  # type: ignore[arg-type]
                )  # fmt: skip
        doubt = 1.0 / pool.shape[pools]
        mean, variance, third = sums.reshape(3, COLUMNS, -1)[:, HERE]
        unsure = variance + ringing * ringing * doubt
        risk = normal_tail(at, mean, unsure, third, ARRAYS).mean(axis=0)
        overflow = expected_beyond(at, mean, unsure, ARRAYS).mean(axis=0)
        # more callers wait than agents there are: whatever has rung long goes
        none = at <= 0.0
        risk[none], overflow[none] = 1.0, mean.mean(axis=0)[none] - at[none]
        self.release[pools[none]] = old[none]
        self.overflow[pools], self.risk[pools] = overflow, risk
        for k in np.flatnonzero(risk <= alpha).tolist():
            number = int(pools[k])
            self.place[number], self.risk[number] = place_normally(
                float(at[k]), sums[:, k], ringing[:, k].tolist(), float(doubt[k]), float(alpha[k]), self._leads(number, pool)
            )  # fmt: skip

    def _leads(self, number: int, pool: Columns) -> Leads:
        theta = float(pool.theta[number])
        listed = self.snapshots[number].next_propensity
        return Leads(
            np.asarray(listed) if listed is not None and len(listed) else None,
            float(pool.rate[number]),
            (theta * float(pool.early[number]), theta * float(pool.late[number])),
        )

    def _cap(self, pool: Columns, idle: Counts) -> NDArray[np.bool_]:
        most = cap(pool, idle, self.agents, self.listens, self.base, ARRAYS)
        each = pool.rate
        listed = [
            k for k in np.flatnonzero(self.place).tolist() if self.snapshots[k].next_propensity is not None
        ]
        if listed:
            each = each.copy()
            each[listed] = [self._leads(k, pool).mean(int(self.place[k])) for k in listed]
        calls = np.maximum(np.floor(most / each), 0.0).astype(np.intp)
        capped: NDArray[np.bool_] = self.place > calls
        np.minimum(self.place, calls, out=self.place)
        return capped


def _sums(values: Floats, lengths: Counts) -> Floats:
    # sums over each pool's items
    sums = np.zeros((values.shape[0], lengths.size))
    some = np.flatnonzero(lengths)
    if some.size:
        sums[:, some] = np.add.reduceat(values, (np.cumsum(lengths) - lengths)[some], axis=1)
    return sums
