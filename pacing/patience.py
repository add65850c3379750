"""Queues whose callers give up: Erlang A (exponential patience) and M/M/n+D (everybody the same deadline, as the two-second rule sets).

Owns the share that is abandoned, and the inverses in the arrival rate and in the agents. Steady state, as `pacing.erlang`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pacing.blocking import Floats, agents_of, blocking, nonnegative, positive, share_of
from pacing.errors import PacingInputError

MOST_AGENTS = 1_000_000
"""Largest number of agents the inverses search for."""

Ints = NDArray[np.int64]


def mmnd_abandonment(agents: ArrayLike, load: ArrayLike, patience: ArrayLike) -> Floats:
    """Share of callers abandoned in M/M/n+D, where everybody leaves who has waited a fixed time.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 1.
    load : array_like of float
        Offered load a in erlangs, at least 0; may exceed n.
    patience : array_like of float
        The deadline in mean handling times, at least 0; all three are broadcast.

    Returns
    -------
    numpy.ndarray of float64
        Probability in [0, 1] that a caller's wait reaches the deadline; Erlang B at a deadline of 0.

    Raises
    ------
    PacingInputError
        A value is out of its range.

    Notes
    -----
    The virtual wait has density a p exp(-(n - a) x) up to the deadline and falls off at rate n beyond, where nobody joins; p is the
    probability of n - 1 busy servers and an empty queue.

    References
    ----------
    D. Y. Barrer (1957), "Queuing with impatient customers and ordered service", Operations Research 5; F. Baccelli, G. Hebuterne
    (1981), "On queues with impatient customers", Performance '81.

    Examples
    --------
    >>> float(mmnd_abandonment(10, 8.0, 2.0 / 210.0).round(5))
    0.11828
    """
    return _deadline(
        *np.broadcast_arrays(
            agents_of(agents, low=1), nonnegative("load", load), nonnegative("patience", patience)
        )
    )


def _deadline(n: Ints, a: Floats, patience: Floats) -> Floats:
    full = a * blocking(n - 1, a)
    slack = n - a
    drop = np.exp(np.minimum(-slack * patience, 700.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        queued = np.where(
            np.abs(slack) * patience < 1e-9, patience, -np.expm1(np.minimum(-slack * patience, 700.0)) / slack
        )
    beyond = full * drop / n
    return np.asarray(beyond / (1.0 + full * queued + beyond), dtype=np.float64)


def erlang_a(agents: ArrayLike, load: ArrayLike, patience: ArrayLike) -> Floats:
    """Share of callers abandoned in M/M/n+M, where patience is exponential (Erlang A).

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 1.
    load : array_like of float
        Offered load a in erlangs, at least 0; may exceed n.
    patience : array_like of float
        Mean patience in mean handling times, over 0; all three are broadcast.

    Returns
    -------
    numpy.ndarray of float64
        Probability in [0, 1] that a caller gives up waiting.

    Raises
    ------
    PacingInputError
        A value is out of its range.

    References
    ----------
    C. Palm (1946), "Specialnummer foer teletrafikteknik", Tekniska Meddelanden fran Kungl. Telegrafstyrelsen; A. Mandelbaum, S. Zeltyn
    (2007), "Service engineering in action: the Palm/Erlang-A queue", in Advances in Services Innovations.

    Examples
    --------
    >>> float(erlang_a(10, 8.0, 1.0).round(5))
    0.05323
    """
    return _patient(
        *np.broadcast_arrays(
            agents_of(agents, low=1), nonnegative("load", load), positive("patience", patience)
        )
    )


def _patient(n: Ints, a: Floats, patience: Floats) -> Floats:
    # A(x, y) = x e^y y^-x gamma(x, y) = 1F1(1; x + 1; y), with x = n patience, y = a patience
    x, y = n * patience, np.maximum(a * patience, 1e-300)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
        below = special.gammainc(x, y)
        logarithm = np.log(x) + y - x * np.log(y) + special.gammaln(x) + np.log(below)
        log_a = np.where(below > 1e-280, logarithm, np.log(special.hyp1f1(1.0, x + 1.0, np.minimum(y, x))))
        blocked = blocking(n, a)
        # of A B / (1 + (A - 1) B), the part that gives up: 1 / (rho A) + 1 - 1 / rho
        scaled = np.exp(np.minimum(log_a, 600.0))
        rho = np.maximum(a, 1e-300) / n
        waiting = scaled * blocked / (1.0 + (scaled - 1.0) * blocked)
        share = waiting * (1.0 / (rho * scaled) + 1.0 - 1.0 / rho)
    return np.where(a > 0.0, np.clip(share, 0.0, 1.0), 0.0)


def largest_rate_deadline(
    agents: ArrayLike, handling_s: ArrayLike, deadline_s: ArrayLike, ceiling: ArrayLike
) -> Floats:
    """Largest arrival rate at which no more than a share of callers waits to the deadline: M/M/n+D's inverse in the rate.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    deadline_s : array_like of float
        Seconds a caller waits at most, at least 0.
    ceiling : array_like of float
        Share abandoned, in (0, 1).

    Returns
    -------
    numpy.ndarray of float64
        Arrivals per second; 0 with no agents.

    Raises
    ------
    PacingInputError
        A value is out of its range.

    Examples
    --------
    >>> rate_hz = largest_rate_deadline(10, 180.0, 2.0, 0.03)
    >>> float(mmnd_abandonment(10, rate_hz * 180.0, 2.0 / 180.0).round(6))
    0.03
    """
    return _largest(_deadline, agents, handling_s, nonnegative("deadline_s", deadline_s), ceiling)


def largest_rate_patient(
    agents: ArrayLike, handling_s: ArrayLike, patience_s: ArrayLike, ceiling: ArrayLike
) -> Floats:
    """Largest arrival rate at which no more than a share of callers gives up: Erlang A's inverse in the rate.

    Parameters
    ----------
    agents : array_like of int
        Servers n, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    patience_s : array_like of float
        Mean patience in seconds, over 0.
    ceiling : array_like of float
        Share abandoned, in (0, 1).

    Returns
    -------
    numpy.ndarray of float64
        Arrivals per second; 0 with no agents.

    Raises
    ------
    PacingInputError
        A value is out of its range.
    """
    return _largest(_patient, agents, handling_s, positive("patience_s", patience_s), ceiling)


def fewest_agents_deadline(
    arrival_hz: ArrayLike, handling_s: ArrayLike, deadline_s: ArrayLike, ceiling: ArrayLike
) -> Ints:
    """Fewest agents with whom no more than a share of callers waits to the deadline: M/M/n+D's inverse in the agents.

    Parameters
    ----------
    arrival_hz : array_like of float
        Arrivals per second, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    deadline_s : array_like of float
        Seconds a caller waits at most, at least 0.
    ceiling : array_like of float
        Share abandoned, in (0, 1).

    Returns
    -------
    numpy.ndarray of int64
        Agents; 0 where nobody calls.

    Raises
    ------
    PacingInputError
        A value is out of its range, or a load is over half `MOST_AGENTS` erlangs.

    Examples
    --------
    >>> int(fewest_agents_deadline(8 / 180, 180.0, 2.0, 0.03))
    13
    """
    return _fewest(_deadline, arrival_hz, handling_s, nonnegative("deadline_s", deadline_s), ceiling)


def fewest_agents_patient(
    arrival_hz: ArrayLike, handling_s: ArrayLike, patience_s: ArrayLike, ceiling: ArrayLike
) -> Ints:
    """Fewest agents with whom no more than a share of callers gives up: Erlang A's inverse in the agents.

    Parameters
    ----------
    arrival_hz : array_like of float
        Arrivals per second, at least 0.
    handling_s : array_like of float
        Mean handling time in seconds, over 0.
    patience_s : array_like of float
        Mean patience in seconds, over 0.
    ceiling : array_like of float
        Share abandoned, in (0, 1).

    Returns
    -------
    numpy.ndarray of int64
        Agents; 0 where nobody calls.

    Raises
    ------
    PacingInputError
        A value is out of its range, or a load is over half `MOST_AGENTS` erlangs.
    """
    return _fewest(_patient, arrival_hz, handling_s, positive("patience_s", patience_s), ceiling)


Formula = Callable[[Ints, Floats, Floats], Floats]


def _largest(
    formula: Formula, agents: ArrayLike, handling_s: ArrayLike, wait_s: Floats, ceiling: ArrayLike
) -> Floats:
    n, handling, wait, share = np.broadcast_arrays(
        agents_of(agents, low=0), positive("handling_s", handling_s), wait_s, share_of("ceiling", ceiling)
    )
    servers = np.maximum(n, 1)
    # callers over n / (1 - ceiling) cannot all be served, however long they wait
    low, high = np.zeros(n.shape), n / (1.0 - share) + 1e-9
    for _ in range(48):
        load = 0.5 * (low + high)
        met = formula(servers, load, wait / handling) <= share
        low, high = np.where(met, load, low), np.where(met, high, load)
    return np.asarray(np.where(n > 0, low, 0.0) / handling, dtype=np.float64)


def _fewest(
    formula: Formula, arrival_hz: ArrayLike, handling_s: ArrayLike, wait_s: Floats, ceiling: ArrayLike
) -> Ints:
    rate, handling, wait, share = np.broadcast_arrays(
        nonnegative("arrival_hz", arrival_hz),
        positive("handling_s", handling_s),
        wait_s,
        share_of("ceiling", ceiling),
    )
    load = rate * handling
    if load.size and load.max() > MOST_AGENTS / 2:
        raise PacingInputError("arrival_hz", f"{load.max():g} erlangs need more than {MOST_AGENTS} agents")
    # at least the load that must be served, and surely enough at twice that and some
    low = np.maximum(np.floor(load * (1.0 - share)).astype(np.int64) - 1, 0)
    high = np.ceil(2.0 * load).astype(np.int64) + 64
    while (high - low > 1).any():
        middle = np.maximum((low + high) // 2, 1)
        enough = formula(middle, load, wait / handling) <= share
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(np.where(rate > 0.0, high, 0), dtype=np.int64)
