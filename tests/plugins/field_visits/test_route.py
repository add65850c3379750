"""The way over a day's addresses: distances that are known, tours that are short, and no place left out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from plugins.field_visits.route import distances_m, length_m, order

pytestmark = pytest.mark.unit

ZOCALO = (19.432608, -99.133209)


def test_distances_that_are_known() -> None:
    """The quarter of a meridian, a degree of latitude, the same place, and across the date line."""
    assert distances_m([(0, 0)], [(90, 0)])[0, 0] == pytest.approx(10_007_557, rel=1e-4)
    assert distances_m([ZOCALO], [(20.432608, -99.133209)])[0, 0] == pytest.approx(111_195, rel=1e-4)
    assert distances_m([ZOCALO], [ZOCALO])[0, 0] == 0
    assert distances_m([(0, 179.5)], [(0, -179.5)])[0, 0] == pytest.approx(111_195, rel=1e-4)


def test_short_ways_against_every_order() -> None:
    """Of up to six places the way is within a tenth of the best of all orders, and every place is on it once."""
    draw = np.random.default_rng(7)
    for number in (1, 2, 3, 5, 6, 6, 6):
        places = ZOCALO + draw.normal(0, 0.05, (number, 2))
        found = order(ZOCALO, places)
        assert sorted(found) == list(range(number))
        best = min(length_m(ZOCALO, places[list(way)]) for way in itertools.permutations(range(number)))
        assert length_m(ZOCALO, places[found]) <= 1.1 * best


def test_crossings_are_undone() -> None:
    """Over sixty places no way is longer than the nearest neighbour's, and on the whole it is shorter by a good part."""
    draw = np.random.default_rng(11)
    gained = []
    for _ in range(5):
        places = ZOCALO + draw.uniform(-0.1, 0.1, (60, 2))
        left, here, greedy = list(range(60)), np.array([ZOCALO]), 0.0
        while left:
            apart = distances_m(here, places[left])[0]
            greedy += float(apart.min())
            here = places[[left.pop(int(apart.argmin()))]]
        gained.append(1 - length_m(ZOCALO, places[order(ZOCALO, places)]) / greedy)
    assert min(gained) >= -1e-9
    assert np.mean(gained) > 0.05


def test_nothing_to_visit_and_no_place() -> None:
    """An empty day is an empty way; a place that is none is refused."""
    assert len(order(ZOCALO, np.empty((0, 2)))) == 0
    assert length_m(ZOCALO, np.empty((0, 2))) == 0
    with pytest.raises(ValueError, match="no position"):
        order(ZOCALO, [(19.4, float("nan"))])
