"""How likely it is that live callers outnumber free agents: sums of independent chances, exactly for few, by a normal for many.

Owns the arithmetic, vectorised over pools and rows of assumptions. It knows nothing of calls: everything is a Bernoulli "one more".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pacing.arithmetic import Arithmetic, Value

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

_SQRT_2PI = 2.5066282746310002


def exact_tails(chances: Floats, most: int) -> Floats:
    """Tail of a sum of independent Bernoulli variables (Poisson binomial), by adding them one by one.

    Parameters
    ----------
    chances : numpy.ndarray of float64, shape (n, ...)
        Probability of each; those of 0 change nothing, so ragged sets may be filled up with them.
    most : int
        Largest count asked for, at least 0.

    Returns
    -------
    numpy.ndarray of float64, shape (most + 1, ...)
        P(sum >= m) for m = 0 to `most`.

    References
    ----------
    Y. H. Wang (1993), "On the number of successes in independent trials", Statistica Sinica 3.

    Examples
    --------
    >>> exact_tails(np.array([0.5, 0.5]), 3).tolist()
    [1.0, 0.75, 0.25, 0.0]
    """
    tails = np.zeros((most + 1, *chances.shape[1:]))
    tails[0] = 1.0
    upper, lower = tails[1:], tails[:-1]
    step = np.empty_like(upper)
    for chance in chances:
        np.subtract(lower, upper, out=step)
        step *= chance
        upper += step
    return tails


def add_one(tails: Floats, chance: Floats) -> None:
    """Add one more Bernoulli variable to tails of `exact_tails`, in place.

    Parameters
    ----------
    tails : numpy.ndarray of float64, shape (most + 1, ...)
        P(sum >= m) for m = 0 to `most`.
    chance : numpy.ndarray of float64, shape (...)
        Its probability.
    """
    tails[1:] += chance * (tails[:-1] - tails[1:])


def normal_tail(at_least: Value, mean: Value, variance: Value, third: Value, by: Arithmetic) -> Value:
    """Tail of a sum of many independent Bernoulli variables, from its first three cumulants.

    Parameters
    ----------
    at_least : float or numpy.ndarray of float64
        Whole number m.
    mean, variance, third : float or numpy.ndarray of float64
        Mean, variance and third central moment of the sum; all broadcast.
    by : Arithmetic
        Of numbers or of arrays.

    Returns
    -------
    float or numpy.ndarray of float64
        P(sum >= m), with continuity correction and the first Edgeworth term; non-increasing in m.

    References
    ----------
    F. Y. Edgeworth (1905), "The law of error", Transactions of the Cambridge Philosophical Society 20; A. Yu. Volkova (1996), "A
    refinement of the central limit theorem for sums of independent random indicators", Theory of Probability and its Applications 40.

    Examples
    --------
    >>> from pacing.arithmetic import NUMBERS
    >>> round(normal_tail(60.0, 50.0, 25.0, 0.0, NUMBERS), 4)
    0.0287
    """
    variance = by.maximum(variance, 1e-9)
    deviation = by.sqrt(variance)
    z = (at_least - 0.5 - mean) / deviation
    # skewed beyond this the term would take the tail below 0 where it still matters
    skew = by.minimum(by.maximum(third / (deviation * variance), -0.3), 1.0)
    above = by.maximum(z, 0.0)
    term = skew / 6.0 * (above * above - 1.0) * by.exp(-0.5 * z * z) / _SQRT_2PI
    return by.minimum(by.maximum(by.ndtr(-z) + term, 0.0), 1.0)


def expected_beyond(at_least: Value, mean: Value, variance: Value, by: Arithmetic) -> Value:
    """Mean of what a normal variable exceeds a number by.

    Parameters
    ----------
    at_least : float or numpy.ndarray of float64
        The number m.
    mean, variance : float or numpy.ndarray of float64
        Of the variable S.
    by : Arithmetic
        Of numbers or of arrays.

    Returns
    -------
    float or numpy.ndarray of float64
        E[max(S - m, 0)].
    """
    deviation = by.sqrt(by.maximum(variance, 1e-9))
    z = (mean - at_least) / deviation
    return deviation * (by.exp(-0.5 * z * z) / _SQRT_2PI + z * by.ndtr(z))
