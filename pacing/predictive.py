"""The predictive rule, for many pools at once: place the next call only if it is unlikely to be abandoned, should it be answered live.

Owns the rule's arithmetic. What the pools have learned stands in `pacing.bank`; the limits above the rule (brake, stop, lines) are
`pacing.pacer`'s.

Live callers and agents who will not be free are counted alike, as "one more": the next call is abandoned if they are as many as the
agents there are. Each column of chances is a moment at which that call may be answered: early or late (two quantiles of the learned law,
of which the mean is taken), and a little ahead, which is asked of attempts that have rung long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pacing import budget
from pacing.bank import COLD_RATE, COLUMNS, MAX_RATE, Bank, chances, cumulants
from pacing.interface import Snapshot
from pacing.learned import RING_BINS, TALK_BIN_S, TALK_BINS, WRAPUP_BIN_S, WRAPUP_BINS
from pacing.overflow import add_one, exact_tails, normal_tail

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]
Column = TypeVar("Column", Floats, Counts)

EXACT_ITEMS = 20
"""Up to so many ringing calls, calls under analysis and busy agents together the probability is exact."""
MOST_AT_ONCE = 4096
"""Calls one step places at most."""
RELEASE_FACTOR = 3.0
"""Attempts are released while the risk a little ahead is over so many times the allowed one."""
COLD_DEVIATIONS = 2.5
"""So many deviations above its estimate the answer rate is taken to be by Erlang's cap."""
CAP_FACTOR, CAP_DEVIATIONS = 1.25, 2.0
"""Erlang's cap over the open-loop load, as a factor and in deviations of a Poisson number: in a settled pool it lies above the rule."""
LOST_LEFT_S = 0.1
"""A waiting caller with less time than this left is taken to be abandoned: no agent is told and connected sooner."""
AHEAD = 2
"""The column that looks a little ahead."""


@dataclass(slots=True)
class Verdicts:
    """What the rule says of each pool.

    Attributes
    ----------
    place, release : numpy.ndarray of int
        Calls to place and attempts to hang up, before lines and brake.
    alpha, p_marginal, overflow : numpy.ndarray of float64
        As in `Decision`.
    capped : numpy.ndarray of bool
        Whether Erlang's rate was what bound.
    """

    place: Counts
    release: Counts
    alpha: Floats
    p_marginal: Floats
    overflow: Floats
    capped: NDArray[np.bool_]


def decide(bank: Bank, rows: Counts, snapshots: Sequence[Snapshot]) -> Verdicts:
    """Apply the rule to several pools.

    Parameters
    ----------
    bank : Bank
        Columns; `expected_hz` is noted for the next step.
    rows : numpy.ndarray of intp
        Row of each pool in it.
    snapshots : sequence of Snapshot
        Each pool now.

    Returns
    -------
    Verdicts
        One entry a pool.
    """
    bank.retune(rows)
    counts = np.array(
        [
            (
                len(s.ring_age_s), len(s.listening_age_s), len(s.talk_elapsed_s), len(s.wrapup_elapsed_s),
                s.idle, s.waiting, s.live_total, s.abandoned_total,
            )
            for s in snapshots
        ],
        dtype=np.intp,
    ).T  # fmt: skip
    floor = _Floor(bank, rows, snapshots, counts)
    idle, waiting, live, abandoned = counts[4:]
    if any(s.waiting_left_s is not None for s in snapshots):
        # who cannot be saved by an agent freeing later will be abandoned: on the ledger already, and in nobody's way
        lost = np.array([_lost(s) for s in snapshots], dtype=np.intp)
        waiting, abandoned = waiting - lost, abandoned + lost
    alpha = budget.allowed_risk(bank.ceiling[rows], live, abandoned, bank.live_hz[rows])
    verdicts = Verdicts(
        place=np.zeros(rows.size, dtype=np.intp),
        release=np.zeros(rows.size, dtype=np.intp),
        alpha=alpha,
        p_marginal=np.ones(rows.size),
        overflow=np.zeros(rows.size),
        capped=np.zeros(rows.size, dtype=np.bool_),
    )
    floor.at_least = idle - waiting + floor.busy
    reachable = floor.at_least > 0
    few = (floor.number <= EXACT_ITEMS) & (idle + floor.busy <= 2 * EXACT_ITEMS)
    for chosen, judge in ((few & reachable, _exactly), (~few & reachable, _normally)):
        if chosen.any():
            judge(floor, np.flatnonzero(chosen), verdicts)
    if (~reachable).any():
        # more callers wait than agents there are: whatever has rung long goes
        none = np.flatnonzero(~reachable)
        verdicts.release[none] = floor.old[none]
        mean = floor.moments(none)[0][:, 0, :AHEAD].mean(axis=1)
        verdicts.overflow[none] = mean - floor.at_least[none]
    _cap(floor, np.maximum(idle - waiting, 0), idle + floor.busy, verdicts)
    return verdicts


def _lost(snapshot: Snapshot) -> int:
    # callers beyond the idle agents who have next to no time left
    if snapshot.waiting_left_s is None or snapshot.waiting <= snapshot.idle:
        return 0
    late = int(np.count_nonzero(np.asarray(snapshot.waiting_left_s) < LOST_LEFT_S))
    return min(late, snapshot.waiting - snapshot.idle)


class _Floor:
    # chances of everything that may be "one more", pool by pool
    def __init__(self, bank: Bank, rows: Counts, snapshots: Sequence[Snapshot], counts: Counts) -> None:
        self.bank, self.rows, self.snapshots = bank, rows, snapshots
        self.rings, self.listens, self.talks, self.wrapups = counts[:4]
        self.busy = self.talks + self.wrapups
        self.number = self.rings + self.listens + self.busy
        self.at_least = self.busy
        pools = rows.size
        self.ages = _joined(snapshots, "ring_age_s")
        self.scored = any(s.ring_propensity is not None for s in snapshots)
        self.ring_bins = (self.ages * _each(bank.ring_per_s[rows], self.rings)).astype(np.intp)
        np.minimum(self.ring_bins, RING_BINS - 1, out=self.ring_bins)
        talk = (_joined(snapshots, "talk_elapsed_s") * (1.0 / TALK_BIN_S)).astype(np.intp)
        wrapup = (_joined(snapshots, "wrapup_elapsed_s") * (1.0 / WRAPUP_BIN_S)).astype(np.intp)
        self.talk_bins = np.minimum(talk, TALK_BINS - 1)
        self.wrapup_bins = np.minimum(wrapup, WRAPUP_BINS - 1) + TALK_BINS
        self.old = np.zeros(pools, dtype=np.intp)
        if self.ages.size and self.ages.max() >= bank.min_ring_s[rows].min():
            elder = self.ages >= _each(bank.min_ring_s[rows], self.rings)
            self.old = _sums(elder.astype(np.float64), self.rings).astype(np.intp)
        self.chance: Floats | None = None
        if self.scored:
            self.chance = self._scored_chances()
            self.base = _sums(self.given, self.rings)
            bank.expected_hz[rows] = _sums(self.chance[:, 3], self.rings)
        else:
            self.base = self.rings * bank.rate[rows]
            if pools == 1:
                self.histogram = np.bincount(self.ring_bins, minlength=RING_BINS)
                bank.expected_hz[rows] = self.histogram @ bank.chance[rows[0], :, 3]
            else:
                self.chance = self._table_chances()
                bank.expected_hz[rows] = _sums(self.chance[:, 3], self.rings)

    def _table_chances(self) -> Floats:
        index = self.ring_bins + _each(self.rows * RING_BINS, self.rings)
        return np.asarray(self.bank.chance.reshape(-1, 4)[index])

    def ring_chances(self) -> Floats:
        if self.chance is None:
            self.chance = self._table_chances()
        return self.chance[:, :COLUMNS]

    def _scored_chances(self) -> Floats:
        # attempts with propensities of their own, and those of pools that give none
        given = [
            np.full(len(s.ring_age_s), self.bank.rate[row])
            if s.ring_propensity is None
            else np.asarray(s.ring_propensity)
            for s, row in zip(self.snapshots, self.rows, strict=True)
        ]
        self.given = np.concatenate(given)
        of = np.repeat(self.rows, self.rings)
        table = self.bank.ring[of, self.ring_bins]
        return chances(table, self.bank.rate[of], self.given * self.bank.theta[of])

    def agent_chances(self) -> Floats:
        # of not being free
        width = TALK_BINS + WRAPUP_BINS
        index = np.concatenate(
            (
                self.talk_bins + _each(self.rows * width, self.talks),
                self.wrapup_bins + _each(self.rows * width, self.wrapups),
            )
        )
        return np.asarray(1.0 - self.bank.free.reshape(-1, COLUMNS)[index])

    def fresh(self, pool: int, at: int, more: int) -> Floats:
        # chances of the leads from `at` on to be answered live; beyond those listed, their mean
        row = self.rows[pool]
        given = self.snapshots[pool].next_propensity
        if given is None or not self.gives(pool):
            return np.full(more, self.bank.rate[row])
        listed = np.asarray(given)[at : at + more]
        return np.concatenate((listed, np.full(more - listed.size, np.mean(given))))

    def gives(self, pool: int) -> bool:
        # whether the pool lists the chances of its next leads
        given = self.snapshots[pool].next_propensity
        return given is not None and len(given) > 0

    def filled(self, pools: Counts) -> Floats:
        # chances of chosen pools side by side, filled up with zeros to one length: agents, then calls under analysis, then ringing
        everyone = pools.size == self.rows.size
        agents, ring = self.agent_chances(), self.ring_chances()
        member = np.zeros(self.rows.size, dtype=np.bool_)
        member[pools] = True
        deep = int(self.number[pools].max())
        filled = np.zeros((deep, self.rows.size, COLUMNS))
        here = np.arange(self.rows.size)
        top = np.zeros(self.rows.size, dtype=np.intp)
        talks = int(self.talks.sum())
        for lengths, block in (
            (self.talks, agents[:talks]),
            (self.wrapups, agents[talks:]),
            (self.listens, None),
            (self.rings, ring),
        ):
            if not lengths.any():
                continue
            slot = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths - top, lengths)
            owner = np.repeat(here, lengths)
            values = np.repeat(self.bank.listening[self.rows], lengths)[:, None] if block is None else block
            if not everyone:
                fits = member[owner]
                slot, owner, values = slot[fits], owner[fits], values[fits]
            filled[slot, owner] = values
            top = top + lengths
        return filled if everyone else filled[:, pools]

    def moments(self, pools: Counts) -> tuple[Floats, Floats]:
        # mean, variance and third central moment of "one more" in each column, and the part of the mean that is calls ringing
        if self.rows.size == 1:
            row = self.rows[0]
            ring = (
                self.histogram @ self.bank.ring_sums[row]
                if (each := self.chance) is None
                else cumulants(each[:, :COLUMNS]).sum(axis=0)
            )
            seen = np.bincount(self.talk_bins, minlength=TALK_BINS + WRAPUP_BINS)
            seen += np.bincount(self.wrapup_bins, minlength=TALK_BINS + WRAPUP_BINS)
            agents = seen @ self.bank.busy_sums[row]
            ring, agents = ring[None, :], agents[None, :]
        else:
            ring = _sums(cumulants(self.ring_chances()), self.rings)
            each = cumulants(self.agent_chances())
            talks = int(self.talks.sum())
            agents = _sums(each[:talks], self.talks) + _sums(each[talks:], self.wrapups)
        total = ring + agents
        if self.listens.any():
            person = np.repeat(self.bank.listening[self.rows][:, None], COLUMNS, axis=1)
            total = total + self.listens[:, None] * cumulants(person)
        return total[pools].reshape(pools.size, 3, COLUMNS), ring[pools, : COLUMNS - 1]


def _exactly(floor: _Floor, pools: Counts, verdicts: Verdicts) -> None:
    bank, rows = floor.bank, floor.rows[pools]
    filled = floor.filled(pools)
    at, here = floor.at_least[pools], np.arange(pools.size)
    tails = exact_tails(filled, int(at.max()))
    ahead = tails[at, here, AHEAD]
    limit = np.minimum(RELEASE_FACTOR * verdicts.alpha[pools], 0.95)
    for k in np.flatnonzero((ahead > limit) & (floor.old[pools] > 0)):
        verdicts.release[pools[k]] = _release_exactly(
            floor, int(pools[k]), filled[:, k, AHEAD], float(limit[k])
        )
    two = tails[:, :, :AHEAD]
    alpha = verdicts.alpha[pools]
    risk = two[at, here].mean(axis=1)
    # E[(S - m)+] = E[S] - m + the sum of P(S < k) for k = 1 to m
    short = np.cumsum(1.0 - two, axis=0)[at, here]
    verdicts.overflow[pools] = (filled[:, :, :AHEAD].sum(axis=0) - at[:, None] + short).mean(axis=1)
    going, placed = np.flatnonzero(risk <= alpha), 0
    scored = [int(pool) for pool in pools[going] if floor.gives(int(pool))]
    while going.size and placed < MOST_AT_ONCE:
        mine = rows[going]
        base = bank.rate[mine]
        if scored:
            base = np.array([floor.fresh(int(pool), placed, 1)[0] for pool in pools[going]])
        placing = two[:, going]
        add_one(placing, np.minimum((base * bank.theta[mine])[:, None] * bank.new[mine], MAX_RATE))
        two[:, going] = placing
        placed += 1
        verdicts.place[pools[going]] = placed
        risk[going] = placing[at[going], np.arange(going.size)].mean(axis=1)
        going = going[risk[going] <= alpha[going]]
    verdicts.p_marginal[pools] = risk


def _release_exactly(floor: _Floor, pool: int, chance: Floats, limit: float) -> int:
    # the oldest are the last to be kept
    number, old, at = int(floor.number[pool]), int(floor.old[pool]), int(floor.at_least[pool])
    first = int(floor.rings[:pool].sum())
    ages = floor.ages[first : first + int(floor.rings[pool])]
    ring = chance[number - ages.size : number][np.argsort(ages, kind="stable")]
    tail = exact_tails(np.concatenate((chance[: number - ages.size], ring[: ages.size - old])), at)
    for kept, one in enumerate(ring[ages.size - old :]):
        add_one(tail, one)
        if tail[at] > limit:
            return old - kept
    return 0


def _normally(floor: _Floor, pools: Counts, verdicts: Verdicts) -> None:
    bank, rows = floor.bank, floor.rows[pools]
    moments, ringing = floor.moments(pools)
    at = floor.at_least[pools].astype(np.float64)
    limit = np.minimum(RELEASE_FACTOR * verdicts.alpha[pools], 0.95)
    if floor.old[pools].any():
        ahead = normal_tail(at, moments[:, 0, AHEAD], moments[:, 1, AHEAD], moments[:, 2, AHEAD])
        for k in np.flatnonzero((ahead > limit) & (floor.old[pools] > 0)):
            verdicts.release[pools[k]] = _release_normally(
                floor, int(pools[k]), at[k], moments[k, :, AHEAD], limit[k]
            )
    mean, variance, third = moments[:, 0, :AHEAD], moments[:, 1, :AHEAD], moments[:, 2, :AHEAD]
    # the answer rate is not known for certain: its deviation moves all calls together
    doubt = 1.0 / bank.shape[rows]
    unsure = variance + ringing * ringing * doubt[:, None]
    risk = normal_tail(at[:, None], mean, unsure, third).mean(axis=1)
    deviation = np.sqrt(np.maximum(unsure, 1e-9))
    z = (mean - at[:, None]) / deviation
    beyond = deviation * (np.exp(-0.5 * z * z) * 0.3989422804014327 + z * special.ndtr(z))
    verdicts.overflow[pools] = beyond.mean(axis=1)
    verdicts.p_marginal[pools] = risk
    alpha = verdicts.alpha[pools]
    for k in np.flatnonzero(risk <= alpha):
        pool = int(pools[k])
        factors = (bank.theta[rows[k]] * bank.new[rows[k]]).tolist()
        sums = np.stack((mean[k], variance[k], third[k], ringing[k]), axis=1).tolist()
        place, last = _place(floor, pool, float(at[k]), sums, factors, float(doubt[k]), float(alpha[k]))
        verdicts.place[pool], verdicts.p_marginal[pool] = place, last


def _place(
    floor: _Floor,
    pool: int,
    at: float,
    sums: list[list[float]],
    factors: list[float],
    doubt: float,
    alpha: float,
) -> tuple[int, float]:
    # how many calls until the risk of one more is over alpha, and that risk; few numbers: plain floats are faster than arrays
    given = floor.snapshots[pool].next_propensity
    if given is not None and len(given):
        listed = np.minimum(np.outer(np.asarray(given), factors), MAX_RATE)
        listed = np.concatenate((listed, np.repeat(listed.mean(axis=0)[None], MOST_AT_ONCE, axis=0)))
        variances = listed * (1.0 - listed)
        running = np.cumsum(np.stack((listed, variances, variances * (1.0 - 2.0 * listed)), axis=2), axis=0)

        def added(calls: int, column: int) -> list[float]:
            return running[calls - 1, column].tolist() if calls else [0.0, 0.0, 0.0]
    else:
        rate = float(floor.bank.rate[floor.rows[pool]])
        each = [min(rate * factor, MAX_RATE) for factor in factors]

        def added(calls: int, column: int) -> list[float]:
            chance = each[column]
            variance = chance * (1.0 - chance)
            return [calls * chance, calls * variance, calls * variance * (1.0 - 2.0 * chance)]

    def risk(calls: int) -> float:
        total = 0.0
        for column, (mean, variance, third, ringing) in enumerate(sums):
            more = added(calls, column)
            alike = ringing + more[0]
            total += _tail(at, mean + more[0], variance + more[1] + alike * alike * doubt, third + more[2])
        return total / len(sums)

    # the risk's logarithm is nearly straight in the calls: the line through the ends finds where it crosses alpha, and halving
    # helps where it does not; at the end `low` calls may be placed and one more is the first that may not
    low, at_low = 0, math.log(max(risk(0), 1e-300))
    aim = math.log(alpha)
    high, at_high = MOST_AT_ONCE, math.inf
    guess, tries = max(1, math.ceil(math.sqrt(sums[0][1]) / 4.0)), 0
    while high - low > 1:
        at_guess = math.log(max(risk(guess), 1e-300))
        if at_guess <= aim:
            step = guess - low
            low, at_low = guess, at_guess
            guess = low + 4 * step
        else:
            high, at_high = guess, at_guess
        tries += 1
        if tries % 4 == 0 and at_high < math.inf:
            guess = (low + high) // 2
        elif at_high < math.inf:
            guess = low + round((high - low) * (aim - at_low) / max(at_high - at_low, 1e-12))
        guess = min(max(guess, low + 1), high - 1)
    return high, risk(high)


def _tail(at: float, mean: float, variance: float, third: float) -> float:
    # pacing.overflow.normal_tail, of one number
    variance = max(variance, 1e-9)
    deviation = math.sqrt(variance)
    z = (at - 0.5 - mean) / deviation
    skew = third / (deviation * variance)
    skew = -0.3 if skew < -0.3 else min(skew, 1.0)
    above = z * z if z > 0.0 else 0.0
    term = skew / 6.0 * (above - 1.0) * math.exp(-0.5 * z * z) * 0.3989422804014327
    tail = 0.5 * math.erfc(z * 0.7071067811865476) + term
    return 0.0 if tail < 0.0 else min(tail, 1.0)


def _release_normally(floor: _Floor, pool: int, at: float, moments: Floats, limit: float) -> int:
    old = int(floor.old[pool])
    first = int(floor.rings[:pool].sum())
    mine = slice(first, first + int(floor.rings[pool]))
    oldest = np.argsort(-floor.ages[mine], kind="stable")[:old]
    gone = np.cumsum(cumulants(floor.ring_chances()[mine][oldest, AHEAD : AHEAD + 1]), axis=0)
    left = moments - gone
    risk = normal_tail(np.array(at), left[:, 0], left[:, 1], left[:, 2])
    enough = np.flatnonzero(risk <= limit)
    return int(enough[0]) + 1 if enough.size else old


def _cap(floor: _Floor, idle: Counts, agents: Counts, verdicts: Verdicts) -> None:
    # Erlang's rate as a cap: what is in flight, at a pessimistic answer rate, against who will be free at the open-loop rate
    placing = np.flatnonzero(verdicts.place)
    if placing.size == 0:
        return
    bank, rows = floor.bank, floor.rows[placing]
    rate = bank.rate[rows] * bank.theta[rows]
    rate = rate * (1.0 + COLD_DEVIATIONS / np.sqrt(bank.shape[rows]))
    rate = np.minimum(rate + bank.cold[rows] * np.maximum(COLD_RATE - rate, 0.0), MAX_RATE)
    pessimism = rate / bank.rate[rows]
    in_flight = floor.base[placing] * pessimism + floor.listens[placing] * bank.listening[rows]
    load = idle[placing] + CAP_FACTOR * agents[placing] / bank.handling_s[rows] * (
        bank.wait_s[rows] + bank.reach_s[rows]
    )
    left = load + CAP_DEVIATIONS * np.sqrt(load) - in_flight
    each = np.array([floor.fresh(int(pool), 0, int(verdicts.place[pool])).mean() for pool in placing])
    cap = np.maximum(np.floor(left / (each * pessimism)), 0.0).astype(np.intp)
    verdicts.capped[placing] = verdicts.place[placing] > cap
    verdicts.place[placing] = np.minimum(verdicts.place[placing], cap)


def _joined(snapshots: Sequence[Snapshot], name: str) -> Floats:
    if len(snapshots) == 1:
        return np.asarray(getattr(snapshots[0], name))
    return np.concatenate([getattr(s, name) for s in snapshots])


def _each(column: Column, lengths: Counts) -> Column:
    # a pool's value for each of its items
    return column if column.size == 1 else np.repeat(column, lengths)


def _sums(values: Floats, lengths: Counts) -> Floats:
    # sums over each pool's items
    if lengths.size == 1:
        return np.asarray(values.sum(axis=0, keepdims=True))
    running = np.zeros((values.shape[0] + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=running[1:])
    ends = np.cumsum(lengths)
    return np.asarray(running[ends] - running[ends - lengths])
