"""How likely it is that live callers outnumber free agents: sums of independent chances, exactly for few, by a normal for many.

Owns the arithmetic, vectorised over pools and rows of assumptions. It knows nothing of calls: everything is a Bernoulli "one more".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

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
    for chance in chances:
        upper += chance * (lower - upper)
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


def normal_tail(at_least: Floats, mean: Floats, variance: Floats, third: Floats) -> Floats:
    """Tail of a sum of many independent Bernoulli variables, from its first three cumulants.

    Parameters
    ----------
    at_least : numpy.ndarray of float64
        Whole number m.
    mean, variance, third : numpy.ndarray of float64
        Mean, variance and third central moment of the sum; all broadcast.

    Returns
    -------
    numpy.ndarray of float64
        P(sum >= m), with continuity correction and the first Edgeworth term; non-increasing in m.

    References
    ----------
    F. Y. Edgeworth (1905), "The law of error", Transactions of the Cambridge Philosophical Society 20; A. Yu. Volkova (1996), "A
    refinement of the central limit theorem for sums of independent random indicators", Theory of Probability and its Applications 40.

    Examples
    --------
    >>> float(normal_tail(np.array(60.0), np.array(50.0), np.array(25.0), np.array(0.0)).round(4))
    0.0287
    """
    deviation = np.sqrt(np.maximum(variance, 1e-9))
    z = (at_least - 0.5 - mean) / deviation
    # skewed beyond this the term would take the tail below 0 where it still matters
    skew = np.clip(third / deviation**3, -0.3, 1.0)
    term = skew / 6.0 * (np.maximum(z, 0.0) ** 2 - 1.0) * np.exp(-0.5 * z * z) / _SQRT_2PI
    return np.asarray(np.clip(special.ndtr(-z) + term, 0.0, 1.0), dtype=np.float64)
