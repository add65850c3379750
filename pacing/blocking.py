"""What all queueing formulas share: Erlang B's arithmetic, and the checks of their arguments.

Owns no formula of its own name: `pacing.erlang` and `pacing.patience` do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pacing.errors import PacingInputError

Floats = NDArray[np.float64]

_TINY = 1e-280
"""Below this the tail probability in Erlang B has lost its digits and the recurrence takes over."""


def blocking(n: NDArray[np.int64], a: Floats) -> Floats:
    """Erlang B of checked arguments.

    Parameters
    ----------
    n : numpy.ndarray of int64
        Servers.
    a : numpy.ndarray of float64, of the same shape
        Offered load in erlangs.

    Returns
    -------
    numpy.ndarray of float64
        As `pacing.erlang.erlang_b`.
    """
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


def _erlang_b_recurrence(agents: int, load: float) -> float:
    # 1/B(0) = 1, 1/B(k) = 1 + (k / a) / B(k - 1): all terms positive, and short where the load is far above n
    inverse = 1.0
    for k in range(1, agents + 1):
        inverse = 1.0 + k / load * inverse
    return 1.0 / inverse


def agents_of(value: ArrayLike, *, low: int) -> NDArray[np.int64]:
    """Return whole numbers of agents, or refuse it by name.

    Parameters
    ----------
    value : array_like
        As given.
    low : int
        The least there may be.

    Returns
    -------
    numpy.ndarray
        The values.

    Raises
    ------
    PacingInputError
        A value is no number, infinite or out of its range.
    """
    array = _numbers("agents", value)
    if array.size and not ((array >= low) & (array == np.floor(array))).all():
        raise PacingInputError("agents", f"must be whole numbers of at least {low}")
    return array.astype(np.int64)


def nonnegative(name: str, value: ArrayLike) -> Floats:
    """Return numbers of at least 0, or refuse it by name.

    Parameters
    ----------
    name : str
        Of the argument.
    value : array_like
        As given.

    Returns
    -------
    numpy.ndarray
        The values.

    Raises
    ------
    PacingInputError
        A value is no number, infinite or out of its range.
    """
    array = _numbers(name, value)
    if array.size and array.min() < 0.0:
        raise PacingInputError(name, "must not be negative")
    return array


def positive(name: str, value: ArrayLike) -> Floats:
    """Return numbers over 0, or refuse it by name.

    Parameters
    ----------
    name : str
        Of the argument.
    value : array_like
        As given.

    Returns
    -------
    numpy.ndarray
        The values.

    Raises
    ------
    PacingInputError
        A value is no number, infinite or out of its range.
    """
    array = _numbers(name, value)
    if array.size and array.min() <= 0.0:
        raise PacingInputError(name, "must be over 0")
    return array


def share_of(name: str, value: ArrayLike) -> Floats:
    """Return shares inside (0, 1), or refuse it by name.

    Parameters
    ----------
    name : str
        Of the argument.
    value : array_like
        As given.

    Returns
    -------
    numpy.ndarray
        The values.

    Raises
    ------
    PacingInputError
        A value is no number, infinite or out of its range.
    """
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
