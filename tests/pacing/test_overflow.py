"""Sums of independent chances against brute force and the binomial law."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pacing.arithmetic import ARRAYS, NUMBERS
from pacing.overflow import add_one, exact_tails, normal_tail

pytestmark = pytest.mark.unit


def brute_force(chances: list[float], at_least: int) -> float:
    """Return P(sum >= at_least) by going through every outcome."""
    total = 0.0
    for outcome in itertools.product((0, 1), repeat=len(chances)):
        if sum(outcome) >= at_least:
            total += float(np.prod([p if hit else 1.0 - p for p, hit in zip(chances, outcome, strict=True)]))
    return total


@given(chances=st.lists(st.floats(0.0, 1.0), max_size=9), at_least=st.integers(0, 12))
def test_exact_equals_brute_force(chances: list[float], at_least: int) -> None:
    """For up to nine chances the tail is the sum over all outcomes, however many are asked for."""
    tails = exact_tails(np.array(chances), at_least)
    assert tails[at_least] == pytest.approx(brute_force(chances, at_least), abs=1e-12)


@given(chances=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_one_more_is_the_same_as_having_been_there(chances: list[float]) -> None:
    """Adding the last variable afterwards gives the tails of all; order does not matter, and zeros change nothing."""
    tails = exact_tails(np.array(chances[:-1]), 14)
    add_one(tails, np.array(chances[-1]))
    np.testing.assert_allclose(tails, exact_tails(np.array([*chances[::-1], 0.0]), 14), atol=1e-12)


@pytest.mark.parametrize(("number", "chance"), [(25, 0.1), (30, 0.5), (60, 0.06), (400, 0.3), (5000, 0.02)])
def test_the_normal_is_close_where_it_decides(number: int, chance: float) -> None:
    """Where the tail is between 1 and 50 % the normal with its skewness is within half a point of the binomial law."""
    law = stats.binom(number, chance)
    m = np.arange(number + 1)
    exact = law.sf(m - 1)
    variance = number * chance * (1 - chance)
    near = normal_tail(
        m, np.array(number * chance), np.array(variance), np.array(variance * (1 - 2 * chance)), ARRAYS
    )
    decides = (exact > 0.01) & (exact < 0.5)
    assert decides.sum() >= 3
    assert np.abs(near - exact)[decides].max() < 0.005
    assert (np.diff(near)[exact[1:] > 0.001] <= 1e-12).all()


@given(
    at_least=st.integers(0, 2000), mean=st.floats(0.0, 1500.0), variance=st.floats(0.0, 500.0), skew=st.floats(-3.0, 3.0)
)  # fmt: skip
def test_one_number_and_an_array_have_the_same_tail(
    at_least: int, mean: float, variance: float, skew: float
) -> None:
    """The formula gives a pool alone what it gives many, and a probability."""
    one = normal_tail(at_least, mean, variance, skew * variance, NUMBERS)
    many = normal_tail(*(np.array([x]) for x in (at_least, mean, variance, skew * variance)), ARRAYS)
    assert 0.0 <= one <= 1.0
    assert one == pytest.approx(float(many[0]), abs=1e-12)
