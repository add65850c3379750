"""In which order a visitor's addresses are best visited: the nearest next from several beginnings, crossings undone (2-opt), the shortest kept.

Arrays in, arrays out; no I/O.

It owns distances on the ground and the order. Streets it does not know: distances are as the crow flies.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_M: Final = 6_371_008.8
"""Mean radius of the Earth in metres (IUGG)."""
_ROUNDS: Final = 60
_BEGINNINGS: Final = 12
"""So many of the places nearest to the start are tried as the first."""


def distances_m(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return great-circle distances by the haversine formula.

    Parameters
    ----------
    first, second
        Latitude and longitude in degrees, of shape (n, 2) and (m, 2).

    Returns
    -------
    Metres, of shape (n, m).
    """
    a = np.radians(np.asarray(first, np.float64))[:, None, :]
    b = np.radians(np.asarray(second, np.float64))[None, :, :]
    # hav(d) = hav(dlat) + cos(lat1) cos(lat2) hav(dlon)
    hav: Any = (
        np.sin((b[..., 0] - a[..., 0]) / 2) ** 2
        + np.cos(a[..., 0]) * np.cos(b[..., 0]) * np.sin((b[..., 1] - a[..., 1]) / 2) ** 2
    )
    return np.asarray(2 * EARTH_M * np.arcsin(np.sqrt(np.clip(hav, 0, 1))), np.float64)


def order(start: ArrayLike, places: ArrayLike) -> NDArray[np.intp]:
    """Return in which order to visit places, from a start and not back to it.

    Parameters
    ----------
    start
        Latitude and longitude in degrees, of shape (2,).
    places
        Of shape (n, 2); every value a number.

    Returns
    -------
    Indices into `places`, of shape (n,). Never longer on the ground than the nearest-neighbour tour.

    Raises
    ------
    ValueError
        A place is no pair of numbers.
    """
    where = np.asarray(places, np.float64).reshape(-1, 2)
    if not np.isfinite(where).all():
        raise ValueError("a place has no position")
    points = np.vstack([np.asarray(start, np.float64).reshape(1, 2), where])
    apart = distances_m(points, points)
    firsts = np.argsort(apart[0, 1:], kind="stable")[:_BEGINNINGS] + 1
    tours = [_improved(_nearest(apart, int(first)), apart) for first in firsts]
    best = min(tours, key=lambda tour: float(apart[tour[:-1], tour[1:]].sum()), default=np.zeros(1, np.intp))
    return best[1:] - 1


def length_m(start: ArrayLike, places: ArrayLike) -> float:
    """Return how long the way is over places in their order, of shape (n, 2), in metres."""
    points = np.vstack(
        [np.asarray(start, np.float64).reshape(1, 2), np.asarray(places, np.float64).reshape(-1, 2)]
    )
    return float(np.diag(distances_m(points, points), 1).sum())


def _improved(tour: NDArray[np.intp], apart: NDArray[np.float64]) -> NDArray[np.intp]:
    for _ in range(_ROUNDS):
        if not _improve(tour, apart):
            break
    return tour


def _nearest(apart: NDArray[np.float64], first: int) -> NDArray[np.intp]:
    left = np.ones(len(apart), bool)
    left[[0, first]] = False
    tour = [0, first]
    while left.any():
        here = np.where(left, apart[tour[-1]], np.inf)
        tour.append(int(np.argmin(here)))
        left[tour[-1]] = False
    return np.asarray(tour, np.intp)


def _improve(tour: NDArray[np.intp], apart: NDArray[np.float64]) -> bool:
    """Turn round the stretches that are shorter the other way; say whether there was one. The last place has no way onwards."""
    better = False
    for i in range(1, len(tour) - 1):
        ends = tour[i + 1 :]
        after = np.append(tour[i + 2 :], -1)
        old = apart[tour[i - 1], tour[i]] + np.where(after >= 0, apart[ends, after], 0)
        new = apart[tour[i - 1], ends] + np.where(after >= 0, apart[tour[i], after], 0)
        gain = old - new
        best = int(np.argmax(gain))
        if gain[best] > 1e-6:
            tour[i : i + best + 2] = tour[i : i + best + 2][::-1].copy()
            better = True
    return better
