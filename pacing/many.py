"""The predictive rule for many pools at once: arrays with one entry a pool, and arrays with one a call.

Owns the batch. It says of each pool what `pacing.predictive` would say of it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pacing.arithmetic import ARRAYS
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
from pacing.verdict import CHANCES, EXACT_AGENTS, EXACT_ITEMS, VerdictFields, busy_bins, past_saving

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]


class Many:
    """Several pools at one moment.

    Parameters
    ----------
    bank : Bank
        Their columns and tables.
    rows : sequence of int
        Row of each pool in it.
    snapshots : sequence of Snapshot
        Each pool now.

    Attributes
    ----------
    items : int
        Ringing calls, calls under analysis and busy agents of all.
    """

    def __init__(self, bank: Bank, rows: Sequence[int], snapshots: Sequence[Snapshot]) -> None:
        self.bank, self.snapshots = bank, snapshots
        self.ages = [s.ring_age_s for s in snapshots]
        self.busy_ages = (
            [s.talk_elapsed_s for s in snapshots],
            [s.wrapup_elapsed_s for s in snapshots],
            [s.finishing_elapsed_s for s in snapshots],
        )
        self.rows = np.array(rows, dtype=np.intp)
        self.rings, self.listens, *self.busy_by_kind = np.array(
            [
                list(map(len, self.ages)),
                [len(s.listening_age_s) for s in snapshots],
                *(list(map(len, ages)) for ages in self.busy_ages),
            ],
            dtype=np.intp,
        )
        self.busy = self.busy_by_kind[0] + self.busy_by_kind[1] + self.busy_by_kind[2]
        self.number = self.rings + self.listens + self.busy
        self.items = int(self.number.sum())

    def decide(self, elapsed_s: Floats, answered: Floats) -> Iterable[VerdictFields]:
        """Apply the rule; what moves in the bank is moved.

        Parameters
        ----------
        elapsed_s, answered : numpy.ndarray of float64, shape (pools,)
            Seconds since each pool's last step, and live answers in them.

        Returns
        -------
        iterable of tuple
            The fields of a `Verdict` for each pool.
        """
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
            lost = past_saving(snapshots[k])
            waiting[k] -= lost
            abandoned[k] += lost
        self.agents = idle + self.busy
        self.at = self.agents - waiting
        self.alpha = allowed_risk(pool.ceiling, live, abandoned, pool.live_hz, ARRAYS)
        self.limit = release_limit(self.alpha, ARRAYS)
        self.place, self.release = np.zeros(pools, dtype=np.intp), np.zeros(pools, dtype=np.intp)
        self.risk, self.overflow = np.ones(pools), np.zeros(pools)
        few = (self.number <= EXACT_ITEMS) & (self.agents <= EXACT_AGENTS) & (self.at > 0)
        if few.any():
            self._exactly(np.flatnonzero(few), pool)
        if not few.all():
            self._normally(~few, pool)
        capped = self._cap(pool, np.maximum(idle - waiting, 0)) if self.place.any() else self.place
        return zip(
            self.place.tolist(), self.release.tolist(), self.alpha.tolist(), self.risk.tolist(), self.overflow.tolist(),
            self.expected_hz.tolist(), capped.tolist(), strict=True,
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
        # of each kind of busy agent: how many a pool has, and each one's chance of not being free
        self.not_free = [
            (
                lengths,
                np.take(
                    bank.busy[:COLUMNS],
                    busy_bins(np.concatenate(ages), kind) + np.repeat(self.rows * BUSY_BINS, lengths),
                    axis=1,
                ),
            )
            for kind, (lengths, ages) in enumerate(zip(self.busy_by_kind, self.busy_ages, strict=True))
            if lengths.any()
        ]

    def _sums(self, chosen: NDArray[np.bool_], pool: Columns) -> tuple[Floats, Floats]:
        # cumulants of all there are in chosen pools, and of their ringing attempts
        ringing = from_powers(_sums(powers(self.ring[CHANCES, chosen[self.of]]), self.rings[chosen]))
        sums = ringing + self.listens[chosen] * cumulants(
            np.repeat(pool.listening[None, chosen], COLUMNS, axis=0)
        )
        for lengths, chance in self.not_free:
            sums += from_powers(_sums(powers(chance[:, np.repeat(chosen, lengths)]), lengths[chosen]))
        return sums, ringing

    def _filled(self, pools: Counts, pool: Columns, columns: int) -> Floats:
        # chances of chosen pools side by side, filled up with zeros to one length: agents, then calls under analysis, then ringing
        rank = np.full(self.rows.size, -1, dtype=np.intp)
        rank[pools] = np.arange(pools.size)
        filled = np.zeros((int(self.number[pools].max()), pools.size, columns))
        top = np.zeros(self.rows.size, dtype=np.intp)
        for lengths, block in (
            *((lengths, chance[:columns]) for lengths, chance in self.not_free),
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
        base = pool.rate * pool.theta
        chance = np.minimum(np.stack((base * pool.early, base * pool.late), axis=1)[pools], MAX_RATE)
        listed = {
            k: self._leads(number, pool)
            for k, number in enumerate(pools.tolist())
            if self.snapshots[number].next_propensity is not None
        }
        self.place[pools], self.risk[pools] = place_exactly(two, at, self.alpha[pools], chance, listed)

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
        for k in np.flatnonzero((self.number[pools] <= EXACT_ITEMS) & (at > 0.0)).tolist():
            number = int(pools[k])
            chance = self._filled(pools[k : k + 1], pool, COLUMNS - 1)[:, 0]
            least = place_at_least(
                chance,
                int(at[k]),
                int(self.agents[number]) - EXACT_AGENTS,
                float(alpha[k]),
                self._leads(number, pool),
            )
            self.place[number] = max(int(self.place[number]), least)

    def _leads(self, number: int, pool: Columns) -> Leads:
        rate, theta, early, late = (
            float(column[number]) for column in (pool.rate, pool.theta, pool.early, pool.late)
        )
        return Leads.of(rate, theta, early, late, self.snapshots[number].next_propensity)

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
