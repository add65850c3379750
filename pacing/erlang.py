"""Queueing formulas of Erlang and his heirs, vectorised: blocking, waiting, abandonment, and the inverses staffing asks for.

Owns the mathematics only. All of it is steady state and open loop: arrivals at a constant rate, whatever the queue looks like.
A dialer knows its queue, so the closed-loop modes do better; these serve as a mode of their own, as a cap, and for staffing. Measured
at a 3 % ceiling on a drifting day, Erlang C's rate keeps 5 agents busy 36 % of the time, 20 agents 63 %, 100 agents 82 %, 1000 agents 94 %;
the predictive mode 84, 91, 96 and 99 %. Callers who give up are `pacing.patience`'s: its functions are found here as well.

Symbols: ``n`` agents (servers), ``a = arrival rate x mean handling time`` the offered load in erlangs, ``t`` seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pacing.blocking import Floats, agents_of, blocking, nonnegative, positive, share_of
from pacing.errors import PacingInputError
from pacing.patience import (
    erlang_a,
    fewest_agents_deadline,
    fewest_agents_patient,
    largest_rate_deadline,
    largest_rate_patient,
    mmnd_abandonment,
)

__all__ = [
    "MAX_AGENTS",
    "erlang_a",
    "erlang_b",
    "erlang_c",
    "erlang_c_wait_tail",
    "fewest_agents",
    "fewest_agents_deadline",
    "fewest_agents_patient",
    "largest_arrival_rate",
    "largest_rate_deadline",
    "largest_rate_patient",
    "mmnd_abandonment",
]

MAX_AGENTS = 1_000_000
"""Largest number of agents the inverses search for."""


def erlang_b(agents: ArrayLike, load: ArrayLike) -> Floats:
    """Blocking probability of a loss system, M/M/n/n.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 0.
    load : array_like of float
        Offered load a in erlangs, at least 0; broadcast against `agents`.

    Returns
    -------
    numpy.ndarray of float64
        Probability in [0, 1] that an arrival finds all servers busy, of the broadcast shape. Relative error below 1e-9 up to
        10,000 servers.

    Raises
    ------
    PacingInputError
        A negative, fractional (agents), NaN or infinite value.

    References
    ----------
    A. K. Erlang (1917), "Solution of some problems in the theory of probabilities of significance in automatic telephone
    exchanges", Elektroteknikeren 13.

    Examples
    --------
    >>> float(erlang_b(10, 5.0).round(6))
    0.018385
    """
    return blocking(*np.broadcast_arrays(agents_of(agents, low=0), nonnegative("load", load)))


def erlang_c(agents: ArrayLike, load: ArrayLike) -> Floats:
    """Probability of waiting in a delay system, M/M/n.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 1.
    load : array_like of float
        Offered load a in erlangs, at least 0; broadcast against `agents`.

    Returns
    -------
    numpy.ndarray of float64
        Probability in [0, 1] that an arrival has to wait; 1 where the load is not below the number of servers.

    Raises
    ------
    PacingInputError
        A negative, fractional (agents), NaN or infinite value.

    References
    ----------
    A. K. Erlang (1917), as for `erlang_b`; R. B. Cooper (1981), Introduction to Queueing Theory, 2nd ed., section 3.4.

    Examples
    --------
    >>> float(erlang_c(10, 8.0).round(6))
    0.40918
    """
    return _waiting(*np.broadcast_arrays(agents_of(agents, low=1), nonnegative("load", load)))


def _waiting(n: NDArray[np.int64], a: Floats) -> Floats:
    blocked = blocking(n, a)
    # the probability of waiting is C = B / (1 - (a / n)(1 - B))
    waiting = blocked / np.maximum(1.0 - a / n * (1.0 - blocked), np.finfo(float).tiny)
    return np.where(a < n, np.minimum(waiting, 1.0), 1.0)


def erlang_c_wait_tail(
    agents: ArrayLike, arrival_hz: ArrayLike, handling_s: ArrayLike, wait_s: ArrayLike
) -> Floats:
    """Probability of waiting longer than a given time in M/M/n, first come first served.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 1.
    arrival_hz : array_like of float
        Arrivals per second, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    wait_s : array_like of float
        Waiting time t in seconds, at least 0; all four are broadcast.

    Returns
    -------
    numpy.ndarray of float64
        P(W > t) in [0, 1]; 1 where the load is not below the number of servers.

    Raises
    ------
    PacingInputError
        A value is out of its range.

    References
    ----------
    R. B. Cooper (1981), Introduction to Queueing Theory, 2nd ed., section 3.4.

    Examples
    --------
    >>> float(erlang_c_wait_tail(10, 8 / 180, 180.0, 20.0).round(4))
    0.3276
    """
    n, rate, handling, wait = np.broadcast_arrays(
        agents_of(agents, low=1),
        nonnegative("arrival_hz", arrival_hz),
        positive("handling_s", handling_s),
        nonnegative("wait_s", wait_s),
    )
    return _tail(n, rate * handling, wait / handling)


def _tail(n: NDArray[np.int64], a: Floats, wait: Floats) -> Floats:
    # with the wait in handling times, P(W > t) = C(n, a) exp(-(n - a) t)
    return np.asarray(_waiting(n, a) * np.exp(-np.maximum(n - a, 0.0) * wait), dtype=np.float64)


def largest_arrival_rate(
    agents: ArrayLike, handling_s: ArrayLike, wait_s: ArrayLike, target: ArrayLike
) -> Floats:
    """Largest arrival rate at which a share of callers waits no longer than a given time: Erlang C's inverse in the rate.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    wait_s : array_like of float
        Wait target in seconds, at least 0.
    target : array_like of float
        Share of callers to meet it, in (0, 1).

    Returns
    -------
    numpy.ndarray of float64
        Arrivals per second: the largest with ``P(W > wait_s) <= 1 - target``; 0 with no agents.

    Raises
    ------
    PacingInputError
        A value is out of its range.

    Notes
    -----
    Bisection on the load in [0, n): P(W > t) grows with the load.

    Examples
    --------
    >>> rate_hz = largest_arrival_rate(10, 180.0, 20.0, 0.8)
    >>> float(erlang_c_wait_tail(10, rate_hz, 180.0, 20.0).round(6))
    0.2
    """
    n, handling, wait, share = np.broadcast_arrays(
        agents_of(agents, low=0),
        positive("handling_s", handling_s),
        nonnegative("wait_s", wait_s),
        share_of("target", target),
    )
    low, high = np.zeros(n.shape), n.astype(np.float64)
    servers = np.maximum(n, 1)
    for _ in range(44):  # to 13 digits
        load = 0.5 * (low + high)
        met = _tail(servers, load, wait / handling) <= 1.0 - share
        low, high = np.where(met, load, low), np.where(met, high, load)
    return np.asarray(low / handling, dtype=np.float64)


def fewest_agents(
    arrival_hz: ArrayLike, handling_s: ArrayLike, wait_s: ArrayLike, target: ArrayLike
) -> NDArray[np.int64]:
    """Fewest agents with whom a share of callers waits no longer than a given time: Erlang C's inverse in the agents.

    Parameters
    ----------
    arrival_hz : array_like of float
        Arrivals per second, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    wait_s : array_like of float
        Wait target in seconds, at least 0.
    target : array_like of float
        Share of callers to meet it, in (0, 1).

    Returns
    -------
    numpy.ndarray of int64
        Agents; 0 where nobody calls.

    Raises
    ------
    PacingInputError
        A value is out of its range, or a load is over `MAX_AGENTS` erlangs.

    Examples
    --------
    >>> int(fewest_agents(8 / 180, 180.0, 20.0, 0.8))
    11
    """
    rate, handling, wait, share = np.broadcast_arrays(
        nonnegative("arrival_hz", arrival_hz),
        positive("handling_s", handling_s),
        nonnegative("wait_s", wait_s),
        share_of("target", target),
    )
    load = rate * handling
    if load.size and load.max() > MAX_AGENTS / 2:
        raise PacingInputError("arrival_hz", f"{load.max():g} erlangs need more than {MAX_AGENTS} agents")

    def met(n: NDArray[np.int64]) -> NDArray[np.bool_]:  # numpydoc ignore=GL08
        return _tail(n, load, wait / handling) <= 1.0 - share

    # low fails (it cannot even carry the load, or is 0), high is doubled from there until it meets the target
    low = np.floor(load).astype(np.int64)
    step = np.ones(load.shape, dtype=np.int64)
    while not (done := met(low + step)).all():
        low, step = np.where(done, low, low + step), np.where(done, step, 2 * step)
    high = low + step
    while (high - low > 1).any():
        middle = np.maximum((low + high) // 2, 1)
        enough = met(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(rate > 0.0, high, 0)
