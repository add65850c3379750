"""The pacer of one agent pool: a snapshot in, a decision out, with what must be remembered in between.

Owns the order of the limits and the state between steps. The rules of the modes are in `pacing.strategies`, what is learned in
`pacing.learned`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from pacing import predictive, strategies
from pacing.bank import Bank
from pacing.errors import PacingInputError
from pacing.interface import Binding, Decision, Mode, PacerConfig, Snapshot
from pacing.learned import Learned, LearnedState

STATE_VERSION = 2
RESTART_SHAPE = 12.0
"""What an answer rate learned earlier is worth at a start, in live answers, at most: the day may have changed (a deviation of 29 %)."""


class PacerState(TypedDict):
    """What `Pacer.export_state` returns: plain numbers, fit for JSON."""

    version: int
    learned: LearnedState
    answer_scalar: float
    answer_shape: float


class Pacer:
    """Decides how many calls one pool places, step by step.

    Parameters
    ----------
    config : PacerConfig
        Mode and limits.
    state : PacerState, optional
        What an earlier pacer of this pool exported; priors when absent.

    Raises
    ------
    PacingInputError
        The state is not one that `export_state` returns.

    Notes
    -----
    Limits apply in this order, and the last one that took calls away is the decision's `binding`: the mode's own rule, the
    abandonment ceiling, the brake, the lines; preview mode and the hard stop place nothing whatever the rest says.

    The ceiling (ratio and Erlang-C modes): while one more abandoned call would put ``abandoned_total`` over
    ``max(abandonment_ceiling x live_total, 1)``, the pacer places one call per idle agent less those in flight. The 1 is the rule
    for small samples: a first abandoned call is over any ceiling until there are 1 / ceiling live answers, so it is let happen
    once, not twice.

    A snapshot with more callers waiting than live answers in the ledger contradicts itself; it is paced as if braked.

    Examples
    --------
    >>> pacer = Pacer(PacerConfig(mode="progressive"))
    >>> decision = pacer.step(Snapshot(now_s=0.0, idle=3, waiting=0, ring_age_s=[4.0], lines_free=10))
    >>> decision.place, str(decision.binding)
    (2, 'idle')
    """

    def __init__(self, config: PacerConfig, state: PacerState | None = None) -> None:
        if state is not None and state.get("version") != STATE_VERSION:
            raise PacingInputError("state", f"not a pacer state of version {STATE_VERSION}")
        self._config = config
        self._learned = Learned(config.ring_timeout_s, _learned(state) if state is not None else None)
        self._bank, self._row = Bank([config]), 0
        self._scored = False
        self._live_total: int | None = None
        if state is not None:
            self._bank.columns[:2, 0] = (
                _positive(state, "answer_scalar"),
                min(_positive(state, "answer_shape"), RESTART_SHAPE),
            )
        # neither survives a restart: clocks differ between boots, and an open-loop rate owes nothing for the time it was off
        self._last_s: float | None = None
        self._credit = 0.0

    @property
    def config(self) -> PacerConfig:  # numpydoc ignore=RT01
        """The settings this pacer was made with."""
        return self._config

    @property
    def answer_rate(self) -> float:  # numpydoc ignore=RT01
        """Live answers per attempt as learned, in (0, 1): what to expect of an attempt of which nobody says anything."""
        return self._learned.answer_rate

    def step(self, snapshot: Snapshot) -> Decision:
        """Learn from the snapshot's events and decide.

        Parameters
        ----------
        snapshot : Snapshot
            The pool now; `now_s` must not go back.

        Returns
        -------
        Decision
            Calls to place, and why no more. The caller is taken to place them all.

        Raises
        ------
        PacingInputError
            `now_s` is before that of the previous step; nothing is learned or decided.
        """
        return step_many([self], [snapshot])[0]

    def _since_last(self, snapshot: Snapshot) -> float:
        elapsed_s = 0.0 if self._last_s is None else snapshot.now_s - self._last_s
        if elapsed_s < 0.0:
            raise PacingInputError("now_s", f"went back by {-elapsed_s:g} s")
        return elapsed_s

    def _learn(self, snapshot: Snapshot) -> int:
        # live answers since the last step: as told by events, or by the ledger where it knows of more
        self._last_s = snapshot.now_s
        answered = 0
        if len(snapshot.events):
            answered = self._learned.take(np.asarray(snapshot.events))
        if self._learned.due and self._config.mode is Mode.PREDICTIVE:
            self._scored = self._scored or snapshot.ring_propensity is not None
            tables = self._learned.tables(self._config.agent_wait_s, snapshot)
            self._bank.set_tables(self._row, tables, scored=self._scored)
        before, self._live_total = self._live_total, snapshot.live_total
        return answered if before is None else max(answered, snapshot.live_total - before)

    def _limited(self, snapshot: Snapshot, place: int, binding: Binding, safe: int) -> tuple[int, Binding]:
        # `safe` is one call per idle agent
        if place > safe:
            if self._config.mode in _ABANDONING and not self._has_room(snapshot):
                place, binding = safe, Binding.CEILING
            if (snapshot.brake or snapshot.waiting > snapshot.live_total) and place > safe:
                place, binding = safe, Binding.BRAKE
        if place > snapshot.lines_free:
            place, binding = snapshot.lines_free, Binding.LINES
        if snapshot.stop:
            place, binding = 0, Binding.STOP
        return place, binding

    def export_state(self) -> PacerState:
        """Return what was learned, to be stored and given to the pool's next pacer.

        Returns
        -------
        PacerState
            Plain numbers.
        """
        return PacerState(
            version=STATE_VERSION,
            learned=self._learned.export(),
            answer_scalar=float(self._bank.columns[0, self._row]),
            answer_shape=float(self._bank.columns[1, self._row]),
        )

    def _wanted(self, snapshot: Snapshot, elapsed_s: float) -> tuple[int, Binding]:
        match self._config.mode:
            case Mode.PREVIEW:
                return 0, Binding.PREVIEW
            case Mode.PROGRESSIVE:
                return strategies.one_to_one(snapshot), Binding.IDLE
            case Mode.RATIO:
                return strategies.by_ratio(snapshot, self._config.ratio), Binding.RATIO
            case _:
                return self._owed(snapshot, elapsed_s), Binding.ERLANG_C

    def _decision(self, snapshot: Snapshot, elapsed_s: float) -> Decision:
        # of the modes that do not predict
        wanted, binding = self._wanted(snapshot, elapsed_s)
        place, binding = self._limited(snapshot, wanted, binding, strategies.one_to_one(snapshot))
        if self._config.mode is Mode.ERLANG_C:
            self._credit -= place
        return Decision(place=place, release=0, binding=binding)

    def _owed(self, snapshot: Snapshot, elapsed_s: float) -> int:
        handling_s = self._learned.handling_s(
            np.asarray(snapshot.talk_elapsed_s),
            np.concatenate((snapshot.wrapup_elapsed_s, snapshot.finishing_elapsed_s)),
        )
        rate_hz = strategies.erlang_c_dial_rate(
            snapshot.agents, handling_s, self._learned.answer_rate, self._config
        )
        self._credit = min(self._credit + rate_hz * elapsed_s, 1.0 + rate_hz * strategies.CREDIT_S)
        return math.floor(self._credit)

    def _has_room(self, snapshot: Snapshot) -> bool:
        allowed = max(self._config.abandonment_ceiling * snapshot.live_total, 1.0)
        return snapshot.abandoned_total + 1 <= allowed


_ABANDONING = frozenset({Mode.RATIO, Mode.ERLANG_C})
"""Modes that may place more calls than there are idle agents."""


def step_many(pacers: Sequence[Pacer], snapshots: Sequence[Snapshot]) -> list[Decision]:
    """Step several pools.

    Parameters
    ----------
    pacers : sequence of Pacer
        One per pool, distinct.
    snapshots : sequence of Snapshot
        One per pacer, in the same order.

    Returns
    -------
    list of Decision
        What ``pacer.step(snapshot)`` returns for each.

    Raises
    ------
    PacingInputError
        The lengths differ, or a snapshot's clock went back.
    """
    if len(pacers) != len(snapshots):
        raise PacingInputError("snapshots", f"{len(snapshots)} for {len(pacers)} pacers")
    elapsed_s = [pacer._since_last(snapshot) for pacer, snapshot in zip(pacers, snapshots, strict=True)]
    answered = [pacer._learn(snapshot) for pacer, snapshot in zip(pacers, snapshots, strict=True)]
    ahead = [k for k, pacer in enumerate(pacers) if pacer._config.mode is Mode.PREDICTIVE]
    if len(ahead) == len(pacers):
        return _predicted(pacers, snapshots, elapsed_s, answered)
    decisions: dict[int, Decision] = dict(
        zip(
            ahead,
            _predicted(
                [pacers[k] for k in ahead],
                [snapshots[k] for k in ahead],
                [elapsed_s[k] for k in ahead],
                [answered[k] for k in ahead],
            ),
            strict=True,
        )
    )
    return [
        decisions[k] if k in decisions else pacer._decision(snapshots[k], elapsed_s[k])
        for k, pacer in enumerate(pacers)
    ]


def _predicted(
    pacers: Sequence[Pacer],
    snapshots: Sequence[Snapshot],
    elapsed_s: Sequence[float],
    answered: Sequence[int],
) -> list[Decision]:
    if not pacers:
        return []
    decisions = []
    verdicts = predictive.decide(*_together(pacers), snapshots, elapsed_s, answered)
    for pacer, snapshot, (place, release, alpha, risk, overflow, live_hz, capped) in zip(
        pacers, snapshots, verdicts, strict=True
    ):
        binding = Binding.ERLANG_C if capped else Binding.ALPHA
        # one call per idle agent abandons nobody, whatever the estimates say
        safe = strategies.one_to_one(snapshot) if snapshot.idle else 0
        place = max(place, safe)  # noqa: PLW2901
        if (
            snapshot.brake
            or snapshot.stop
            or place > snapshot.lines_free
            or snapshot.waiting > snapshot.live_total
        ):
            place, binding = pacer._limited(snapshot, place, binding, safe)  # noqa: PLW2901
        decisions.append(Decision(place, release, binding, alpha, risk, overflow, live_hz))
    return decisions


def _together(pacers: Sequence[Pacer]) -> tuple[Bank, list[int]]:
    # pools stepped together keep their columns in one bank: brought together once, not at every step
    bank = pacers[0]._bank
    if any(pacer._bank is not bank for pacer in pacers):
        bank = Bank.of([pacer._config for pacer in pacers], [(pacer._bank, pacer._row) for pacer in pacers])
        for row, pacer in enumerate(pacers):
            pacer._bank, pacer._row = bank, row
    return bank, [pacer._row for pacer in pacers]


def _learned(state: PacerState) -> LearnedState:
    learned = state.get("learned")
    if not isinstance(learned, dict):
        raise PacingInputError("state", "lacks what was learned")
    return learned


def _positive(state: PacerState, name: str) -> float:
    value = state.get(name)
    if not (isinstance(value, (int, float)) and 0.0 < value < math.inf):
        raise PacingInputError("state", f"{name} must be a positive number")
    return float(value)
