"""Queueing formulas of Erlang and his heirs, vectorised: blocking, waiting, abandonment, and the inverses staffing asks for.

Owns the mathematics only. All of it is steady state and open loop: arrivals at a constant rate, whatever the queue looks like.
A dialer knows its queue, so the closed-loop modes do better; these serve as a mode of their own, as a cap, and for staffing.

Symbols: ``n`` agents (servers), ``a = arrival rate x mean handling time`` the offered load in erlangs, ``t`` seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pacing.errors import PacingInputError

Floats = NDArray[np.float64]

MAX_AGENTS = 1_000_000
"""Largest number of agents the inverses search for."""

_TINY = 1e-280
"""Below this the tail probability in Erlang B has lost its digits and the recurrence takes over."""


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
    return _blocking(*np.broadcast_arrays(_agents(agents, low=0), _nonnegative("load", load)))


def _blocking(n: NDArray[np.int64], a: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        # B = P(X = n) / P(X <= n) for X ~ Poisson(a); the numerator in logarithms, the denominator Q(n + 1, a)
        below = special.gammaincc(n + 1.0, a)
        blocked = np.exp(special.xlogy(n, a) - a - special.gammaln(n + 1.0)) / below
    lost = np.asarray(below < _TINY)
    if lost.any():
        blocked = np.array(blocked)
        blocked[lost] = [
            _erlang_b_recurrence(int(ni), float(ai)) for ni, ai in zip(n[lost], a[lost], strict=True)
        ]
    return np.asarray(blocked, dtype=np.float64)


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
    return _waiting(*np.broadcast_arrays(_agents(agents, low=1), _nonnegative("load", load)))


def _waiting(n: NDArray[np.int64], a: Floats) -> Floats:
    blocked = _blocking(n, a)
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
        _agents(agents, low=1),
        _nonnegative("arrival_hz", arrival_hz),
        _positive("handling_s", handling_s),
        _nonnegative("wait_s", wait_s),
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
        _agents(agents, low=0),
        _positive("handling_s", handling_s),
        _nonnegative("wait_s", wait_s),
        _share("target", target),
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
        _nonnegative("arrival_hz", arrival_hz),
        _positive("handling_s", handling_s),
        _nonnegative("wait_s", wait_s),
        _share("target", target),
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


def _erlang_b_recurrence(agents: int, load: float) -> float:
    # 1/B(0) = 1, 1/B(k) = 1 + (k / a) / B(k - 1): all terms positive, and short where the load is far above n
    inverse = 1.0
    for k in range(1, agents + 1):
        inverse = 1.0 + k / load * inverse
    return 1.0 / inverse


def _agents(value: ArrayLike, *, low: int) -> NDArray[np.int64]:
    array = _numbers("agents", value)
    if array.size and not ((array >= low) & (array == np.floor(array))).all():
        raise PacingInputError("agents", f"must be whole numbers of at least {low}")
    return array.astype(np.int64)


def _nonnegative(name: str, value: ArrayLike) -> Floats:
    array = _numbers(name, value)
    if array.size and array.min() < 0.0:
        raise PacingInputError(name, "must not be negative")
    return array


def _positive(name: str, value: ArrayLike) -> Floats:
    array = _numbers(name, value)
    if array.size and array.min() <= 0.0:
        raise PacingInputError(name, "must be over 0")
    return array


def _share(name: str, value: ArrayLike) -> Floats:
    array = _numbers(name, value)
    if array.size and not (array.min() > 0.0 and array.max() < 1.0):
        raise PacingInputError(name, "must be inside (0, 1)")
    return array


def _numbers(name: str, value: ArrayLike) -> Floats:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise PacingInputError(name, "not a number or an array of numbers") from None
    if not np.isfinite(array).all():
        raise PacingInputError(name, "holds NaN or infinity")
    return array
