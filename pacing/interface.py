"""What goes into a pacer and what comes out: modes, configuration, snapshot, decision.

Owns the public names other programs drive the pacer with, and their checks. It does not decide anything (`pacing.strategies`),
learn anything (`pacing.learned`) or keep state between steps (`pacing.pacer`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from pacing.errors import PacingInputError

FloatArray = NDArray[np.float64]


class Mode(StrEnum):
    """How a pool's pacer decides."""

    PREVIEW = "preview"
    """The agent decides: the pacer never places a call."""
    PROGRESSIVE = "progressive"
    """One call per idle agent, less the calls already in flight."""
    RATIO = "ratio"
    """`ratio` calls per idle agent, less the calls already in flight."""
    ERLANG_C = "erlang_c"
    """Open loop: the rate at which Erlang C says at least `erlang_target` of callers wait at most `erlang_wait_s`."""
    PREDICTIVE = "predictive"
    """The next call is placed only if it is unlikely enough to be abandoned, should it be answered live."""


class Binding(StrEnum):
    """What limited a decision, for the supervisor: the one limit that would have to move for more calls to be placed."""

    STOP = "stop"
    """The hard stop: nothing is placed."""
    PREVIEW = "preview"
    """Preview mode: the agent places calls."""
    BRAKE = "brake"
    """The safety brake (or a snapshot that contradicts itself) holds the pacer to one call per idle agent."""
    CEILING = "ceiling"
    """The abandonment ledger has no room for one more, which holds the pacer to one call per idle agent."""
    LINES = "lines"
    """The trunks have no more free lines."""
    IDLE = "idle"
    """Progressive mode: every idle agent has a call in flight."""
    RATIO = "ratio"
    """Ratio mode: the calls in flight reach `ratio` times the idle agents."""
    ERLANG_C = "erlang_c"
    """Erlang-C mode: the rate owes no further call yet. Predictive mode: the open-loop rate caps what the rule would place."""
    ALPHA = "alpha"
    """Predictive mode: the next call would be abandoned with a higher probability than the ledger allows."""


class EventKind(IntEnum):
    """First column of `Snapshot.events`; the second is a duration in seconds."""

    LIVE_ANSWER = 1
    """A person answered; seconds rung."""
    NOT_LIVE = 2
    """The attempt ended without a person (no answer, busy, machine, failure); seconds rung."""
    TALK_ENDED = 3
    """An agent's conversation ended; its length in seconds."""
    WRAPUP_ENDED = 4
    """An agent's wrap-up ended; its length in seconds."""
    RELEASED = 5
    """The pacer had the attempt released while it rang; seconds rung, the outcome unknown (censored)."""
    FINISHED = 6
    """An agent seen finishing is free; seconds since they were first seen to."""
    TALK_LEFT = 7
    """An agent was seen finishing while in conversation; its length until then (censored: no `TALK_ENDED` follows)."""
    WRAPUP_LEFT = 8
    """An agent was seen finishing while in wrap-up; its length until then (censored: no `WRAPUP_ENDED` follows)."""


_AGES = ("talk_elapsed_s", "wrapup_elapsed_s", "finishing_elapsed_s", "ring_age_s", "listening_age_s")
_LEAST_KIND, _LAST_KIND = int(min(EventKind)), int(max(EventKind))
_NO_EVENTS: FloatArray = np.empty((0, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class PacerConfig:
    """Settings of one pool's pacer.

    Attributes
    ----------
    mode : str
        One of `Mode`.
    abandonment_ceiling : float
        Largest share of live answers that may be abandoned, in (0, 1].
    agent_wait_s : float
        Seconds a live caller may wait for an agent after the verdict, on average.
    ring_timeout_s : float
        Seconds after which an unanswered attempt ends.
    min_ring_s : float
        Seconds an attempt must have rung before it may be released; at most `ring_timeout_s`.
    release : bool
        Whether the predictive mode may release attempts before `ring_timeout_s`.
    ratio : float
        Calls per idle agent in ratio mode, in (0, 20].
    erlang_wait_s : float
        Wait target of the Erlang-C mode in seconds.
    erlang_target : float
        Share of live callers that meet the wait target, in (0, 1).

    Raises
    ------
    PacingInputError
        A setting is out of its range; the error names it.

    Examples
    --------
    >>> PacerConfig(mode="ratio", ratio=1.4).mode
    <Mode.RATIO: 'ratio'>
    """

    mode: str = Mode.PROGRESSIVE
    abandonment_ceiling: float = 0.03
    agent_wait_s: float = 2.0
    ring_timeout_s: float = 28.0
    min_ring_s: float = 15.0
    release: bool = True
    ratio: float = 1.0
    erlang_wait_s: float = 2.0
    erlang_target: float = 0.97

    def __post_init__(self) -> None:
        """Check every setting and normalise `mode` to a `Mode`."""
        try:
            object.__setattr__(self, "mode", Mode(self.mode))
        except ValueError:
            allowed = ", ".join(Mode)
            raise PacingInputError("mode", f"{self.mode!r} is not one of {allowed}") from None
        _within("abandonment_ceiling", self.abandonment_ceiling, 0.0, 1.0, low_open=True)
        _within("agent_wait_s", self.agent_wait_s, 0.0, 60.0)
        _within("ring_timeout_s", self.ring_timeout_s, 0.0, 600.0, low_open=True)
        _within("min_ring_s", self.min_ring_s, 0.0, self.ring_timeout_s)
        _within("ratio", self.ratio, 0.0, 20.0, low_open=True)
        _within("erlang_wait_s", self.erlang_wait_s, 0.0, 600.0)
        _within("erlang_target", self.erlang_target, 0.0, 1.0, low_open=True, high_open=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """One pool as the engine sees it at one moment.

    An agent is counted once: idle (ready and not reserved), talking, in wrap-up, or seen finishing; paused agents, and those who asked to pause
    after this call, are left out. An attempt is counted once: ringing, listening, or waiting; a caller for whom an agent is
    already reserved is with that agent.

    Attributes
    ----------
    now_s : float
        Any clock that never goes back, in seconds.
    idle : int
        Agents who can take a call now.
    waiting : int
        Live callers without an agent.
    talk_elapsed_s, wrapup_elapsed_s : array_like of float, shape (n_talking,) and (n_wrapup,)
        Seconds each busy agent who will come back has been talking, or in wrap-up.
    finishing_elapsed_s : array_like of float, shape (n_finishing,), optional
        Seconds since each agent was first seen finishing (their disposition form is open, say), who then is in neither of the two
        above. Empty where nobody tells.
    ring_age_s, listening_age_s : array_like of float, shape (n_ringing,) and (n_listening,)
        Seconds since each ringing attempt was sent, and since each attempt under analysis was answered.
    lines_free : int
        Calls the trunks can still take.
    live_total, abandoned_total : int
        Live answers and abandoned calls in the ledger's tightest window.
    waiting_left_s : array_like of float, shape (waiting,), optional
        Seconds each waiting caller has left before they count as abandoned; negative when late.
    ring_propensity : array_like of float, shape (n_ringing,), optional
        Probability in [0, 1] that each ringing attempt is answered live.
    next_propensity : array_like of float, optional
        The same for the leads that would be dialed next, in order.
    brake : bool
        The independent safety holds dialing to one call per idle agent.
    stop : bool
        The independent safety allows no call at all.
    events : array_like of float, shape (n_events, 2)
        Rows of (`EventKind`, seconds) since the previous step.

    Raises
    ------
    PacingInputError
        A count is negative or no integer, an age is negative or NaN, a shape does not fit; the error names the field.
    """

    now_s: float
    idle: int
    waiting: int
    talk_elapsed_s: FloatArray | Sequence[float] = ()
    wrapup_elapsed_s: FloatArray | Sequence[float] = ()
    finishing_elapsed_s: FloatArray | Sequence[float] = ()
    ring_age_s: FloatArray | Sequence[float] = ()
    listening_age_s: FloatArray | Sequence[float] = ()
    lines_free: int
    live_total: int = 0
    abandoned_total: int = 0
    waiting_left_s: FloatArray | Sequence[float] | None = None
    ring_propensity: FloatArray | Sequence[float] | None = None
    next_propensity: FloatArray | Sequence[float] | None = None
    brake: bool = False
    stop: bool = False
    events: FloatArray | Sequence[Sequence[float]] = field(default=())

    def __post_init__(self) -> None:
        """Check and normalise every field, so that the strategies may trust them."""
        _set = object.__setattr__
        if not math.isfinite(self.now_s):
            raise PacingInputError("now_s", f"{self.now_s} is not a finite time")
        for name in ("idle", "waiting", "lines_free", "live_total", "abandoned_total"):
            _set(self, name, _count(name, getattr(self, name)))
        for name in _AGES:
            _set(self, name, _ages(name, getattr(self, name)))
        if self.abandoned_total > self.live_total:
            raise PacingInputError(
                "abandoned_total",
                f"{self.abandoned_total} abandoned of {self.live_total} live answers is impossible",
            )
        if self.waiting_left_s is not None:
            left_s = _vector("waiting_left_s", self.waiting_left_s)
            if left_s.size != self.waiting:
                raise PacingInputError(
                    "waiting_left_s", f"{left_s.size} deadlines for {self.waiting} waiting callers"
                )
            _set(self, "waiting_left_s", left_s)
        if self.ring_propensity is not None:
            propensity = _probabilities("ring_propensity", self.ring_propensity)
            if propensity.size != len(self.ring_age_s):
                raise PacingInputError(
                    "ring_propensity", f"{propensity.size} values for {len(self.ring_age_s)} ringing attempts"
                )
            _set(self, "ring_propensity", propensity)
        if self.next_propensity is not None:
            _set(self, "next_propensity", _probabilities("next_propensity", self.next_propensity))
        _set(self, "events", _event_rows(self.events))

    @property
    def in_flight(self) -> int:  # numpydoc ignore=RT01
        """Number of attempts that are or may become live callers: ringing, under analysis, waiting for an agent."""
        return len(self.ring_age_s) + len(self.listening_age_s) + self.waiting

    @property
    def agents(self) -> int:  # numpydoc ignore=RT01
        """Number of agents who take calls: idle, talking, in wrap-up, finishing."""
        return self.idle + self.busy

    @property
    def busy(self) -> int:  # numpydoc ignore=RT01
        """Number of agents who take calls later: talking, in wrap-up, finishing."""
        return len(self.talk_elapsed_s) + len(self.wrapup_elapsed_s) + len(self.finishing_elapsed_s)


class Decision(NamedTuple):
    """What to do now, and why.

    Attributes
    ----------
    place : int
        Attempts to place now, at least 0.
    release : int
        How many of the oldest attempts that have rung at least `min_ring_s` to hang up.
    binding : Binding
        What limited `place`.
    alpha : float
        Highest probability of abandonment the marginal call may have; NaN where the mode has none.
    p_marginal : float
        Probability that the first call not placed would be abandoned if answered live; NaN where the mode has none.
    overflow : float
        Expected live callers beyond the agents who will be free for them; NaN where the mode has none.
    expected_live_hz : float
        Live answers a second that the ringing attempts are expected to give now; NaN where the mode has none.
    """

    place: int
    release: int
    binding: Binding
    alpha: float = math.nan
    p_marginal: float = math.nan
    overflow: float = math.nan
    expected_live_hz: float = math.nan


def _within(
    name: str, value: float, low: float, high: float, *, low_open: bool = False, high_open: bool = False
) -> None:
    above = value > low if low_open else value >= low
    below = value < high if high_open else value <= high
    if not (above and below):  # written so that NaN fails
        left, right = "(" if low_open else "[", ")" if high_open else "]"
        raise PacingInputError(name, f"{value} is outside {left}{low:g}, {high:g}{right}")


def _count(name: str, value: SupportsIndex) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise PacingInputError(name, f"{value!r} is not a whole number") from None
    if count < 0:
        raise PacingInputError(name, f"{count} is negative")
    return count


def _vector(name: str, values: FloatArray | Sequence[float]) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise PacingInputError(name, "not an array of numbers") from None
    if array.ndim != 1:
        raise PacingInputError(name, f"needs one dimension, has shape {array.shape}")
    if array.size and not math.isfinite(array.sum()):
        raise PacingInputError(name, "holds NaN or infinity")
    return array


def _ages(name: str, values: FloatArray | Sequence[float]) -> FloatArray:
    array = _vector(name, values)
    if array.size and array.min() < 0.0:
        raise PacingInputError(name, f"holds a negative age ({array.min():g} s)")
    return array


def _probabilities(name: str, values: FloatArray | Sequence[float]) -> FloatArray:
    array = _vector(name, values)
    if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
        raise PacingInputError(name, "holds a probability outside [0, 1]")
    return array


def _event_rows(values: FloatArray | Sequence[Sequence[float]]) -> FloatArray:
    if isinstance(values, tuple) and not values:
        return _NO_EVENTS
    try:
        rows = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise PacingInputError("events", "not an array of numbers") from None
    if rows.size == 0:
        return _NO_EVENTS
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise PacingInputError("events", f"needs rows of (kind, seconds), has shape {rows.shape}")
    kinds = rows[:, 0]
    if not (kinds.min() >= _LEAST_KIND and kinds.max() <= _LAST_KIND and (kinds == np.rint(kinds)).all()):
        raise PacingInputError("events", f"kinds are {_LEAST_KIND} to {_LAST_KIND}")
    if not (rows[:, 1].min() >= 0.0 and math.isfinite(rows[:, 1].sum())):
        raise PacingInputError("events", "holds a negative or NaN duration")
    return rows
