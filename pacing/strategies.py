"""What each mode would place, as pure functions of a snapshot.

Owns the rules of the modes. Limits above the modes (stop, brake, abandonment ceiling, lines) are applied by `pacing.pacer`.
"""

from __future__ import annotations

import math
from functools import lru_cache

from pacing import erlang
from pacing.interface import PacerConfig, Snapshot

MIN_ANSWER_RATE = 0.02
"""The Erlang-C mode takes no answer rate below this: under it, dialing faster reaches the carrier's limits before people."""

CREDIT_S = 2.0
"""Seconds of the Erlang-C rate that may pile up unplaced (no lines, a pause) before credit is forfeited."""


def one_to_one(snapshot: Snapshot) -> int:
    """One call per idle agent, less those in flight.

    Parameters
    ----------
    snapshot : Snapshot
        The pool.

    Returns
    -------
    int
        Calls to place, at least 0. Nobody can be abandoned for want of an agent, unless agents leave.
    """
    idle = snapshot.idle
    return max(0, idle - snapshot.in_flight) if idle else 0


def by_ratio(snapshot: Snapshot, ratio: float) -> int:
    """Return a fixed number of calls per idle agent, less those in flight.

    Parameters
    ----------
    snapshot : Snapshot
        The pool.
    ratio : float
        Calls per idle agent, over 0.

    Returns
    -------
    int
        ``floor(ratio x idle + 1/2) - in flight``, at least 0. Only idle agents count: agents about to be free are the predictive
        mode's business. In flight are calls ringing, under analysis and waiting, each once.
    """
    return max(0, math.floor(ratio * snapshot.idle + 0.5) - snapshot.in_flight)


def erlang_c_dial_rate(agents: int, handling_s: float, answer_rate: float, config: PacerConfig) -> float:
    """Dialing rate at which Erlang C meets the configured wait target.

    Parameters
    ----------
    agents : int
        Agents who take calls, idle or busy.
    handling_s : float
        Mean talk and wrap-up in seconds, over 0.
    answer_rate : float
        Live answers per attempt; taken as at least `MIN_ANSWER_RATE`.
    config : PacerConfig
        `erlang_wait_s` and `erlang_target` are used.

    Returns
    -------
    float
        Attempts per second, at least 0.

    Notes
    -----
    Open loop: it looks at no queue and no idle agent, so with few agents most of their time is spent waiting, and a wrong answer
    rate goes uncorrected. Measured at a 3 % ceiling on a drifting day: occupancy 36 % with 5 agents, 63 % with 20, 82 % with
    100, 94 % with 1000, abandoning 2.5 to 6.7 % of live answers.
    """
    if agents == 0:
        return 0.0
    return _live_rate(agents, handling_s, config.erlang_wait_s, config.erlang_target) / max(
        answer_rate, MIN_ANSWER_RATE
    )


def _live_rate(agents: int, handling_s: float, wait_s: float, target: float) -> float:
    # rounded to 3 digits so that a step rarely has to solve again; the rate moves by at most 0.1 %
    return _solved(agents, float(f"{handling_s:.3g}"), wait_s, target)


@lru_cache(maxsize=4096)
def _solved(agents: int, handling_s: float, wait_s: float, target: float) -> float:
    return float(erlang.largest_arrival_rate(agents, handling_s, wait_s, target))
