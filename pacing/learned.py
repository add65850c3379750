"""What a pool has learned of its calls and agents: hazards from events over exposure, and the tables they give.

Owns the counts, their priors, their forgetting, and the laws that follow: the chance that a ringing attempt is answered live within
a horizon given its age, and that a busy agent is free within one given the time elapsed. The fast scalar upon the answer rate is
`pacing.answer_rate`'s; it decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from pacing.errors import PacingInputError
from pacing.hazards import accumulated, ahead, binned, from_here, groups, hazard, level, lognormal, within
from pacing.interface import EventKind, FloatArray, Snapshot

RING_BINS = 64
TALK_BINS = 512
TALK_BIN_S = 2.0
WRAPUP_BINS = 128
WRAPUP_BIN_S = 1.0
FINISH_BINS = 64
FINISH_BIN_S = 1.0
BUSY_BINS = TALK_BINS + WRAPUP_BINS + FINISH_BINS
"""Bins of agents who are not free: of talk, of wrap-up, of the time since they were seen finishing."""

PRIOR_ANSWER_RATE = 0.3
"""Live answers per attempt before anything is known; rather high, since a low one dials too much."""
PRIOR_RING_S, PRIOR_RING_CV = 12.0, 0.6
PRIOR_TALK_S, PRIOR_TALK_CV = 180.0, 0.9
PRIOR_WRAPUP_S, PRIOR_WRAPUP_CV = 30.0, 0.6
PRIOR_FINISH_S, PRIOR_FINISH_CV = 20.0, 0.8
"""From the sign that an agent is finishing to their being free."""
PRIOR_ATTEMPTS = 40.0
"""Weight of the prior on ringing, in attempts."""
PRIOR_CONVERSATIONS = 12.0
"""Weight of the priors on talk, wrap-up and finishing, in conversations."""
MEMORY_ATTEMPTS = 20_000.0
"""Attempts after which ringing forgets: older ones fade exponentially."""
MEMORY_CONVERSATIONS = 4_000.0
"""Conversations after which talk and wrap-up forget."""
REFRESH_SHARE = 0.05
"""The tables are made anew when this share of the evidence is new."""

HORIZON_QUANTILES = (0.25, 0.75)
"""When, of the law of live answers, the next call is imagined to be answered."""
RELEASE_HORIZON_S = 2.0
"""How far ahead it is asked whether calls that have rung long would find an agent."""


_BINS = np.array(
    [0, RING_BINS, RING_BINS, TALK_BINS, WRAPUP_BINS, RING_BINS, FINISH_BINS, TALK_BINS, WRAPUP_BINS],
    dtype=np.intp,
)
"""How many bins each kind of event has, by kind; all counts are one array."""
_FIRST_BIN, _LAST_BIN = np.cumsum(_BINS) - _BINS, _BINS - 1
_COUNTS, _KINDS = int(_BINS.sum()), _BINS.size
_FEW = 8


class LearnedState(TypedDict):
    """Counts by bin, as plain lists."""

    ring_bin_s: float
    ring_live: list[float]
    ring_other: list[float]
    ring_released: list[float]
    talk: list[float]
    talk_s: float
    wrapup: list[float]
    wrapup_s: float
    finished: NotRequired[list[float]]
    talk_left: NotRequired[list[float]]
    wrapup_left: NotRequired[list[float]]


@dataclass(slots=True)
class Tables:
    """What the counts say, by bin of age.

    Attributes
    ----------
    ring : numpy.ndarray, shape (RING_BINS, 6)
        Cumulative incidence of a live answer within one second and each of three horizons of the bin's middle, and, up to the
        middle, of a live answer and of any other end.
    free : numpy.ndarray, shape (BUSY_BINS, 3)
        Probability that an agent is free within each of three horizons (two of the answer law, and the release's), plus the wait.
    rate : float
        Live answers per attempt the ring table stands on.
    new : numpy.ndarray, shape (2,)
        Share of `rate` a call placed now will have given by each horizon.
    listening : float
        Probability that an answered attempt is a person.
    handling_s : float
        Mean talk and wrap-up.
    reach_s : float
        The later of the two horizons.
    ring_bin_s : float
        Width of a bin of the ring table in seconds.
    """

    ring: FloatArray
    free: FloatArray
    rate: float
    new: FloatArray
    listening: float
    handling_s: float
    reach_s: float
    ring_bin_s: float


class Learned:
    """Counts of one pool, updated from the events of each snapshot.

    Parameters
    ----------
    ring_timeout_s : float
        Seconds after which an unanswered attempt ends.
    state : LearnedState, optional
        What `export` returned earlier; nothing learned when absent.

    Raises
    ------
    PacingInputError
        The state lacks a value or holds one that cannot be.
    """

    def __init__(self, ring_timeout_s: float, state: LearnedState | None = None) -> None:
        self.ring_bin_s = max(0.25, ring_timeout_s / 56.0)
        self._timeout_s = ring_timeout_s
        self._counts = np.zeros(_COUNTS)
        (
            self._live,
            self._other,
            self._talk,
            self._wrapup,
            self._released,
            self._finished,
            self._talk_left,
            self._wrapup_left,
        ) = (self._counts[_FIRST_BIN[kind] : _FIRST_BIN[kind] + _LAST_BIN[kind] + 1] for kind in EventKind)
        widths = {
            EventKind.TALK_ENDED: TALK_BIN_S, EventKind.TALK_LEFT: TALK_BIN_S, EventKind.WRAPUP_ENDED: WRAPUP_BIN_S,
            EventKind.WRAPUP_LEFT: WRAPUP_BIN_S, EventKind.FINISHED: FINISH_BIN_S,
        }  # fmt: skip
        self._where = [(0, 0, 1.0)] + [
            (int(_FIRST_BIN[kind]), int(_LAST_BIN[kind]), widths.get(kind, self.ring_bin_s))
            for kind in EventKind
        ]
        self._widths = np.array([width for _, _, width in self._where])
        self._attempts = self._talks = self._talk_s = self._wrapups = self._wrapup_s = 0.0
        self._prior_live, self._prior_other = _ring_prior(self.ring_bin_s, ring_timeout_s)
        if state is not None:
            self._restore(state)
        self._fresh = math.inf  # evidence since the tables were made; without end before the first
        self.due = True

    def take(self, events: FloatArray) -> int:
        """Learn from the events of one step.

        Parameters
        ----------
        events : numpy.ndarray of float, shape (n_events, 2)
            Rows of (`EventKind`, seconds), checked.

        Returns
        -------
        int
            Live answers among them.
        """
        if len(events) <= _FEW:  # plain numbers are quicker than arrays
            several, seconds = [0] * _KINDS, [0.0] * _KINDS
            for row_kind, row_s in events.tolist():
                kind = int(row_kind)
                several[kind] += 1
                seconds[kind] += row_s
                first, last, width = self._where[kind]
                self._counts[first + min(int(row_s / width), last)] += 1.0
        else:
            kinds, event_s = events[:, 0].astype(np.intp), events[:, 1]
            bins = np.minimum(event_s / self._widths[kinds], _LAST_BIN[kinds]).astype(np.intp)
            np.add.at(self._counts, bins + _FIRST_BIN[kinds], 1.0)
            several = np.bincount(kinds, minlength=_KINDS).tolist()
            seconds = np.bincount(kinds, weights=event_s, minlength=_KINDS).tolist()
        answered = several[EventKind.LIVE_ANSWER]
        self._attempts += answered + several[EventKind.NOT_LIVE] + several[EventKind.RELEASED]
        self._talks += several[EventKind.TALK_ENDED] + several[EventKind.TALK_LEFT]
        self._talk_s += seconds[EventKind.TALK_ENDED] + seconds[EventKind.TALK_LEFT]
        # who was seen finishing was in wrap-up from then on, as far as the mean goes
        self._wrapups += several[EventKind.WRAPUP_ENDED] + several[EventKind.FINISHED]
        self._wrapup_s += (
            seconds[EventKind.WRAPUP_ENDED] + seconds[EventKind.WRAPUP_LEFT] + seconds[EventKind.FINISHED]
        )
        self._fade()
        self._fresh += len(events)
        self.due = self._fresh > 1.0 and self._fresh > REFRESH_SHARE * (
            self._attempts + self._talks + self._wrapups
        )
        return answered

    def _fade(self) -> None:
        # older evidence fades once there is enough of it
        if self._attempts > MEMORY_ATTEMPTS:
            keep = 0.95
            self._attempts *= keep
            for counts in (self._live, self._other, self._released):
                np.multiply(counts, keep, out=counts)
        if self._talks > MEMORY_CONVERSATIONS:
            keep = 0.95
            self._talks, self._talk_s = self._talks * keep, self._talk_s * keep
            for counts in (self._talk, self._talk_left):
                np.multiply(counts, keep, out=counts)
        if self._wrapups > MEMORY_CONVERSATIONS:
            keep = 0.95
            self._wrapups, self._wrapup_s = self._wrapups * keep, self._wrapup_s * keep
            for counts in (self._wrapup, self._wrapup_left, self._finished):
                np.multiply(counts, keep, out=counts)

    @property
    def answer_rate(self) -> float:  # numpydoc ignore=RT01
        """Live answers per attempt that was not released, in (0, 1); what is under way is left out."""
        live, other = float(self._live.sum()), float(self._other.sum())
        return (live + PRIOR_ATTEMPTS * PRIOR_ANSWER_RATE) / (live + other + PRIOR_ATTEMPTS)

    def handling_s(self, talk_elapsed_s: FloatArray, wrapup_elapsed_s: FloatArray) -> float:
        """Return the mean time an agent is busy with one call.

        Parameters
        ----------
        talk_elapsed_s, wrapup_elapsed_s : numpy.ndarray of float
            Seconds elapsed of those in progress (right-censored); who was seen finishing is in wrap-up.

        Returns
        -------
        float
            Mean talk plus mean wrap-up in seconds, over 0: of exponential durations, the most likely. Leaving those in progress out
            would favour the short ones.
        """
        weight = PRIOR_CONVERSATIONS
        talk_s = (self._talk_s + float(talk_elapsed_s.sum()) + weight * PRIOR_TALK_S) / (self._talks + weight)
        wrapup_s = (self._wrapup_s + float(wrapup_elapsed_s.sum()) + weight * PRIOR_WRAPUP_S) / (
            self._wrapups + weight
        )
        return talk_s + wrapup_s

    def tables(self, wait_s: float, now: Snapshot) -> Tables:
        """Make the tables from what is known now, what is still under way included.

        Parameters
        ----------
        wait_s : float
            Seconds a live caller may wait for an agent.
        now : Snapshot
            What has not ended yet (right-censored) counts as exposure.

        Returns
        -------
        Tables
            The laws.
        """
        talk_s, wrapup_s, finishing_s = (
            np.asarray(ages) for ages in (now.talk_elapsed_s, now.wrapup_elapsed_s, now.finishing_elapsed_s)
        )
        self._fresh, self.due = 0.0, False
        live, other, survival = self._ring_law(np.asarray(now.ring_age_s))
        edges = self.ring_bin_s * np.arange(RING_BINS + 1, dtype=np.float64)
        incidence_live = np.concatenate(([0.0], np.cumsum(survival * live)))
        incidence_other = np.concatenate(([0.0], np.cumsum(survival * other)))
        rate = float(incidence_live[-1])
        share = incidence_live / rate
        horizons = np.interp(HORIZON_QUANTILES, share, edges)
        horizons = np.array([*horizons, RELEASE_HORIZON_S])
        middle = edges[:-1] + 0.5 * self.ring_bin_s
        ring = np.empty((RING_BINS, 6))
        at_middle = np.interp(middle, edges, incidence_live)
        for column, horizon in enumerate((1.0, *horizons)):
            ring[:, column] = np.interp(middle + horizon, edges, incidence_live) - at_middle
        ring[:, 4] = at_middle
        ring[:, 5] = np.interp(middle, edges, incidence_other)
        answered = (edges[:-1] > 3.0) & (edges[1:] < self._timeout_s)
        person = float((survival * live)[answered].sum())
        nobody = float((survival * other)[answered].sum())
        return Tables(
            ring=ring,
            free=self._free_law(horizons + wait_s, talk_s, wrapup_s, finishing_s),
            rate=rate,
            new=np.interp(horizons[:2], edges, share),
            listening=person / max(person + nobody, 1e-9),
            handling_s=self.handling_s(talk_s, np.concatenate((wrapup_s, finishing_s))),
            reach_s=float(horizons[1]),
            ring_bin_s=self.ring_bin_s,
        )

    def export(self) -> LearnedState:
        """Return the counts as plain numbers.

        Returns
        -------
        LearnedState
            To be stored and given back.
        """
        return LearnedState(
            ring_bin_s=self.ring_bin_s,
            ring_live=self._live.tolist(),
            ring_other=self._other.tolist(),
            ring_released=self._released.tolist(),
            talk=self._talk.tolist(),
            talk_s=self._talk_s,
            wrapup=self._wrapup.tolist(),
            wrapup_s=self._wrapup_s,
            finished=self._finished.tolist(),
            talk_left=self._talk_left.tolist(),
            wrapup_left=self._wrapup_left.tolist(),
        )

    def _restore(self, state: LearnedState) -> None:
        try:
            bin_s = float(state["ring_bin_s"])
            self._talk_s, self._wrapup_s = float(state["talk_s"]), float(state["wrapup_s"])
            lists = {
                name: np.asarray(state[name], dtype=np.float64)
                for name in ("ring_live", "ring_other", "ring_released", "talk", "wrapup")
            }
            # states stored before agents could be seen finishing lack these
            for name, size in (
                ("finished", FINISH_BINS),
                ("talk_left", TALK_BINS),
                ("wrapup_left", WRAPUP_BINS),
            ):
                lists[name] = np.asarray(state.get(name, np.zeros(size)), dtype=np.float64)
        except (KeyError, TypeError, ValueError):
            raise PacingInputError("state", "lacks counts, or holds what is no number") from None
        for name, counts in (
            ("ring_live", self._live), ("ring_other", self._other), ("ring_released", self._released),
            ("talk", self._talk), ("wrapup", self._wrapup), ("finished", self._finished), ("talk_left", self._talk_left),
            ("wrapup_left", self._wrapup_left),
        ):  # fmt: skip
            given = lists[name]
            if given.shape != counts.shape or not (np.isfinite(given).all() and (given >= 0.0).all()):
                raise PacingInputError("state", f"{name} is not {counts.size} counts")
            if (
                name.startswith("ring") and bin_s != self.ring_bin_s
            ):  # learned under another time-out: by the seconds rung
                if not bin_s > 0.0:
                    raise PacingInputError("state", "ring_bin_s must be over 0")
                middle = (np.arange(RING_BINS) + 0.5) * bin_s
                bins = np.minimum(middle / self.ring_bin_s, RING_BINS - 1).astype(np.intp)
                given = np.asarray(np.bincount(bins, weights=given, minlength=RING_BINS), dtype=np.float64)
            counts[:] = given
        if not (0.0 <= self._talk_s < math.inf and 0.0 <= self._wrapup_s < math.inf):
            raise PacingInputError("state", "talk_s and wrapup_s must be seconds")
        self._attempts = float(self._live.sum() + self._other.sum() + self._released.sum())
        self._talks = float(self._talk.sum() + self._talk_left.sum())
        self._wrapups = float(self._wrapup.sum() + self._finished.sum())

    def _ring_law(self, ring_age_s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        # discrete hazards: ends in a bin over attempts that entered it; those under way for the part they have been through
        ringing, part = binned(ring_age_s, self.ring_bin_s, RING_BINS)
        prior_live, prior_other = self._prior_live, self._prior_other
        ended = self._live + self._other + PRIOR_ATTEMPTS * (prior_live + prior_other)
        at_risk = from_here(ended + self._released + ringing) - 0.5 * self._released - (ringing - part)
        at_risk = np.maximum(at_risk, 1e-9)
        hazard_live = (self._live + PRIOR_ATTEMPTS * prior_live) / at_risk
        hazard_other = (self._other + PRIOR_ATTEMPTS * prior_other) / at_risk
        total = np.minimum(hazard_live + hazard_other, 1.0)
        survival = np.concatenate(([1.0], np.cumprod(1.0 - total)[:-1]))
        return hazard_live, hazard_other, survival

    def _free_law(
        self, within_s: FloatArray, talk_s: FloatArray, wrapup_s: FloatArray, finishing_s: FloatArray
    ) -> FloatArray:
        talk_log = accumulated(
            hazard(self._talk, self._talk_left, talk_s, TALK_BIN_S, _TALK_GROUPS, _TALK_PRIOR)
        )
        wrapup_log = accumulated(
            hazard(self._wrapup, self._wrapup_left, wrapup_s, WRAPUP_BIN_S, _WRAPUP_GROUPS, _WRAPUP_PRIOR)
        )
        finish_log = accumulated(
            hazard(
                self._finished,
                np.zeros(FINISH_BINS),
                finishing_s,
                FINISH_BIN_S,
                _FINISH_GROUPS,
                _FINISH_PRIOR,
            )
        )
        free = np.empty((BUSY_BINS, within_s.size))
        free[TALK_BINS : TALK_BINS + WRAPUP_BINS] = within(wrapup_log, within_s / WRAPUP_BIN_S)
        free[TALK_BINS + WRAPUP_BINS :] = within(finish_log, within_s / FINISH_BIN_S)
        talk_now = ahead(talk_log, np.zeros(1))
        for column, limit_s in enumerate(within_s):
            # P(talk ends in u, wrap-up takes no more than the rest), in slices of a bin
            slices = max(1, math.ceil(limit_s / TALK_BIN_S))
            end_s = np.arange(slices + 1) * (limit_s / slices)
            still = np.exp(talk_now - ahead(talk_log, end_s / TALK_BIN_S))
            left_s = limit_s - 0.5 * (end_s[1:] + end_s[:-1])
            soon = -np.expm1(-level(wrapup_log, left_s / WRAPUP_BIN_S))
            free[:TALK_BINS, column] = soon @ (still[:-1] - still[1:])
        return np.clip(free, 0.0, 1.0)


_TALK_GROUPS = groups(TALK_BINS, 4, 1.35)
_WRAPUP_GROUPS = groups(WRAPUP_BINS, 60, 1.3)
_FINISH_GROUPS = groups(FINISH_BINS, 8, 1.3)
_TALK_PRIOR = (PRIOR_TALK_S, PRIOR_TALK_CV, PRIOR_CONVERSATIONS)
_WRAPUP_PRIOR = (PRIOR_WRAPUP_S, PRIOR_WRAPUP_CV, PRIOR_CONVERSATIONS)
_FINISH_PRIOR = (PRIOR_FINISH_S, PRIOR_FINISH_CV, PRIOR_CONVERSATIONS)


def _ring_prior(bin_s: float, timeout_s: float) -> tuple[FloatArray, FloatArray]:
    # shares of attempts that are answered live, and that end otherwise, in each bin
    edges = bin_s * np.arange(RING_BINS + 1, dtype=np.float64)
    live = np.diff(lognormal(edges, PRIOR_RING_S, PRIOR_RING_CV))
    fails = np.diff(1.0 - np.exp(-edges / 2.0))
    out = np.zeros(RING_BINS)
    out[min(int(timeout_s / bin_s), RING_BINS - 1)] = 1.0
    before = edges[:-1] < timeout_s
    live, fails = live * before, fails * before
    rest = 1.0 - PRIOR_ANSWER_RATE
    prior_live = PRIOR_ANSWER_RATE * live / live.sum()
    prior_other = rest * (0.3 * live / live.sum() + 0.15 * fails / fails.sum() + 0.55 * out)
    return prior_live, prior_other
