"""Erlang's formulas against published tables, exact fractions and one another."""

from collections.abc import Callable
from fractions import Fraction
from math import comb, exp, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacing import PacingInputError, erlang

pytestmark = pytest.mark.unit


def slow_erlang_b(agents: int, load: Fraction) -> Fraction:
    """Return the definition, a**n / n! over the sum of a**k / k!, in exact arithmetic."""
    terms = [load**k / factorial(k) for k in range(agents + 1)]
    return terms[-1] / sum(terms)


def slow_erlang_c(agents: int, load: Fraction) -> Fraction:
    """Return the definition in exact arithmetic; the load is below the agents."""
    busy = load**agents / factorial(agents) * agents / (agents - load)
    return busy / (sum(load**k / factorial(k) for k in range(agents)) + busy)


@pytest.mark.parametrize(
    ("agents", "blocking", "load"),
    [
        (1, 0.01, "0.0101"),
        (5, 0.01, "1.3608"),
        (10, 0.001, "3.0920"),
        (10, 0.01, "4.4612"),
        (10, 0.02, "5.0840"),
        (20, 0.01, "12.031"),
        (20, 0.02, "13.182"),
        (50, 0.01, "37.901"),
        (50, 0.02, "40.255"),
        (100, 0.01, "84.064"),
        (100, 0.02, "87.972"),
    ],
)
def test_blocking_agrees_with_the_published_traffic_table(agents: int, blocking: float, load: str) -> None:
    """The load that standard traffic tables list for a blocking gives it, to the tables' last digit."""
    half_digit = 0.5 * 10.0 ** -len(load.partition(".")[2])
    below, above = erlang.erlang_b(agents, [float(load) - half_digit, float(load) + half_digit])
    assert below < blocking < above


def test_blocking_and_waiting_of_the_textbook_cases() -> None:
    """B(1, 1) = 1/2, B(10, 5) = 0.018385, C(2, 1) = 1/3, C(10, 8) = 0.409180, and C(1, a) = a."""
    assert erlang.erlang_b(1, 1.0) == pytest.approx(0.5, rel=1e-14)
    assert erlang.erlang_b(10, 5.0) == pytest.approx(0.018385, abs=5e-7)
    assert erlang.erlang_c(2, 1.0) == pytest.approx(1 / 3, rel=1e-14)
    assert erlang.erlang_c(10, 8.0) == pytest.approx(0.409180, abs=5e-7)
    load = np.linspace(0.0, 0.99, 12)
    np.testing.assert_allclose(erlang.erlang_c(1, load), load, rtol=1e-12, atol=1e-15)


def test_the_worked_call_centre_example() -> None:
    """200 calls an hour of 3 minutes and 14 agents: 17.4 % wait and 88.8 % are answered within 20 s."""
    assert erlang.erlang_c(14, 10.0) == pytest.approx(0.174, abs=5e-4)
    assert 1 - erlang.erlang_c_wait_tail(14, 200 / 3600, 180.0, 20.0) == pytest.approx(0.888, abs=5e-4)


@pytest.mark.parametrize("agents", [0, 1, 2, 7, 50, 300])
@pytest.mark.parametrize(
    "per_agent", [Fraction(1, 100), Fraction(7, 10), Fraction(99, 100), Fraction(3), Fraction(40)]
)
def test_blocking_equals_exact_fractions(agents: int, per_agent: Fraction) -> None:
    """Erlang B is the definition evaluated in exact fractions, from light to absurd load."""
    load = per_agent * max(agents, 1)
    assert erlang.erlang_b(agents, float(load)) == pytest.approx(
        float(slow_erlang_b(agents, load)), rel=1e-10
    )


@pytest.mark.parametrize("agents", [1, 2, 7, 50, 300])
@pytest.mark.parametrize("per_agent", [Fraction(1, 100), Fraction(7, 10), Fraction(999, 1000)])
def test_waiting_equals_exact_fractions(agents: int, per_agent: Fraction) -> None:
    """Erlang C is the definition evaluated in exact fractions."""
    load = per_agent * agents
    assert erlang.erlang_c(agents, float(load)) == pytest.approx(
        float(slow_erlang_c(agents, load)), rel=1e-10
    )


@pytest.mark.parametrize("agents", [1000, 5000, 10_000])
def test_thousands_of_agents_follow_the_recurrence(agents: int) -> None:
    """With thousands of servers the closed form still equals the textbook recurrence in log space."""
    for per_agent in (0.5, 0.95, 1.0, 1.2, 5.0):
        load = per_agent * agents
        inverse_log = 0.0  # log 1/B
        for k in range(1, agents + 1):
            inverse_log = np.logaddexp(0.0, inverse_log + np.log(k / load))
        expected = exp(-inverse_log) if inverse_log < 700 else 0.0
        assert erlang.erlang_b(agents, load) == pytest.approx(expected, rel=1e-8, abs=1e-300)


def test_arrays_broadcast_and_equal_single_values() -> None:
    """A column of agents against a row of loads gives the table of single values."""
    agents, loads = np.array([[1], [10], [200]]), np.array([0.0, 0.5, 8.0, 500.0])
    table = erlang.erlang_c(agents, loads)
    assert table.shape == (3, 4)
    for i, n in enumerate(agents[:, 0]):
        for j, a in enumerate(loads):
            assert table[i, j] == erlang.erlang_c(n, a)


def test_no_load_never_waits_and_overload_always_does() -> None:
    """At load 0 nobody is blocked or waits; at or over the number of agents everybody waits, forever."""
    assert erlang.erlang_b([0, 3], 0.0).tolist() == [1.0, 0.0]
    assert erlang.erlang_c(3, 0.0) == 0.0
    assert erlang.erlang_c(3, [3.0, 7.5]).tolist() == [1.0, 1.0]
    assert erlang.erlang_c_wait_tail(3, 1.0, 3.0, 1000.0) == 1.0


def test_the_wait_tail_equals_the_sum_over_queue_lengths() -> None:
    """P(W > t) is the sum over states of P(state) P(fewer departures in t than callers ahead)."""
    agents, load, handling_s, wait_s = 5, 4.0, 180.0, 30.0
    waiting, rho = float(erlang.erlang_c(agents, load)), load / agents
    departures = agents * wait_s / handling_s
    total = 0.0
    for ahead in range(400):
        state = waiting * (1 - rho) * rho**ahead
        total += state * sum(
            exp(-departures) * departures**k / factorial(k) for k in range(min(ahead, 150) + 1)
        )
    tail = erlang.erlang_c_wait_tail(agents, load / handling_s, handling_s, wait_s)
    assert tail == pytest.approx(total, rel=1e-9)


@given(
    agents=st.integers(1, 3000),
    handling_s=st.floats(1.0, 3600.0),
    wait_s=st.floats(0.0, 300.0),
    target=st.floats(0.01, 0.999),
)
def test_the_largest_rate_meets_the_target_and_no_more(
    agents: int, handling_s: float, wait_s: float, target: float
) -> None:
    """At the largest rate the wait target is met; a millionth above, it is not."""
    rate_hz = erlang.largest_arrival_rate(agents, handling_s, wait_s, target)
    assert erlang.erlang_c_wait_tail(agents, rate_hz, handling_s, wait_s) <= 1 - target + 1e-12
    more_hz = rate_hz * (1 + 1e-6) + 1e-12
    assert erlang.erlang_c_wait_tail(agents, more_hz, handling_s, wait_s) > 1 - target - 1e-12


@given(
    load=st.floats(0.01, 2000.0),
    handling_s=st.floats(1.0, 3600.0),
    wait_s=st.floats(0.0, 300.0),
    target=st.floats(0.01, 0.999),
)
def test_the_fewest_agents_meet_the_target_and_one_less_does_not(
    load: float, handling_s: float, wait_s: float, target: float
) -> None:
    """With the fewest agents the wait target is met; with one less it is not."""
    rate_hz = load / handling_s
    agents = int(erlang.fewest_agents(rate_hz, handling_s, wait_s, target))
    assert erlang.erlang_c_wait_tail(agents, rate_hz, handling_s, wait_s) <= 1 - target
    if agents > 1:
        assert erlang.erlang_c_wait_tail(agents - 1, rate_hz, handling_s, wait_s) > 1 - target


@given(agents=st.integers(1, 2000), load=st.floats(0.0, 4000.0))
def test_probabilities_stay_probabilities_and_waiting_exceeds_blocking(agents: int, load: float) -> None:
    """B and C lie in [0, 1], C is not below B, and both fall with one more agent."""
    blocked, waiting = float(erlang.erlang_b(agents, load)), float(erlang.erlang_c(agents, load))
    assert 0.0 <= blocked <= 1.0 + 1e-12
    assert blocked * (1 - 1e-9) <= waiting <= 1.0
    assert erlang.erlang_b(agents + 1, load) <= blocked * (1 + 1e-9)
    assert erlang.erlang_c(agents + 1, load) <= waiting * (1 + 1e-9)


def test_staffing_is_vectorised_like_the_formulas() -> None:
    """A column of rates against a row of targets gives what single calls give."""
    rates, targets = np.array([[0.0], [0.05], [2.0]]), np.array([0.5, 0.97])
    table = erlang.fewest_agents(rates, 180.0, 2.0, targets)
    assert table[0].tolist() == [0, 0]
    for i, rate in enumerate(rates[:, 0]):
        for j, target in enumerate(targets):
            assert table[i, j] == erlang.fewest_agents(rate, 180.0, 2.0, target)
    assert erlang.largest_arrival_rate([0, 5], 180.0, 2.0, 0.97)[0] == 0.0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: erlang.erlang_b(-1, 1.0), "agents"),
        (lambda: erlang.erlang_b(1.5, 1.0), "agents"),
        (lambda: erlang.erlang_b(float("nan"), 1.0), "agents"),
        (lambda: erlang.erlang_b("ten", 1.0), "agents"),
        (lambda: erlang.erlang_b(1, -0.1), "load"),
        (lambda: erlang.erlang_b(1, float("inf")), "load"),
        (lambda: erlang.erlang_c(0, 1.0), "agents"),
        (lambda: erlang.erlang_c_wait_tail(1, -1.0, 1.0, 1.0), "arrival_hz"),
        (lambda: erlang.erlang_c_wait_tail(1, 1.0, 0.0, 1.0), "handling_s"),
        (lambda: erlang.erlang_c_wait_tail(1, 1.0, 1.0, float("nan")), "wait_s"),
        (lambda: erlang.largest_arrival_rate(1, 1.0, 1.0, 1.0), "target"),
        (lambda: erlang.fewest_agents(1.0, 1.0, 1.0, 0.0), "target"),
        (lambda: erlang.fewest_agents(1e9, 1e3, 1.0, 0.5), "arrival_hz"),
    ],
)
def test_bad_input_is_refused_by_name(call: Callable[[], object], field: str) -> None:
    """A value no queue can have raises a ValueError that names the argument."""
    with pytest.raises(PacingInputError, match=field) as refusal:
        call()
    assert refusal.value.field == field
    assert isinstance(refusal.value, ValueError)


def test_blocking_is_the_binomial_of_a_full_group() -> None:
    """1 / B(n, a) is the sum over k of n choose k times k! / a**k."""
    agents, load = 12, Fraction(9)
    inverse = sum(comb(agents, k) * Fraction(factorial(k)) / load**k for k in range(agents + 1))
    assert erlang.erlang_b(agents, 9.0) == pytest.approx(float(1 / inverse), rel=1e-12)
