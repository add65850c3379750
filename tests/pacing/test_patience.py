"""Queues whose callers give up, against exact birth-death chains and one another."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacing import PacingInputError, erlang

pytestmark = pytest.mark.unit


def slow_erlang_a(agents: int, load: float, patience: float) -> float:
    """Return the share that gives up, by the stationary law of the chain itself: k callers leave at min(k, n) + (k - n)+ / patience."""
    weights, states = [1.0], 4000
    for k in range(1, states):
        weights.append(weights[-1] * load / (min(k, agents) + max(k - agents, 0) / patience))
        if weights[-1] > 1e250:
            weights = [w / 1e250 for w in weights]
    queued = sum(w * max(k - agents, 0) for k, w in enumerate(weights)) / sum(weights)
    return queued / patience / load


def slow_deadline(agents: int, load: float, patience: float) -> float:
    """Return the share abandoned with Erlang-distributed patience of many stages: nearly a deadline, by simulation of the virtual wait."""
    rng = np.random.default_rng(5)
    free_at = np.zeros(agents)
    now, lost, callers = 0.0, 0, 200_000
    for gap, handling in zip(
        rng.exponential(1.0 / load, callers), rng.exponential(1.0, callers), strict=True
    ):
        now += gap
        first = int(free_at.argmin())
        start = max(now, free_at[first])
        if start - now >= patience:
            lost += 1
        else:
            free_at[first] = start + handling
    return lost / callers


def test_the_published_check_value() -> None:
    """10 agents, 8 erlangs, 2 s of patience and 210 s of handling abandon 0.11828."""
    assert erlang.mmnd_abandonment(10, 8.0, 2.0 / 210.0) == pytest.approx(0.11828, abs=5e-6)


@pytest.mark.parametrize(
    ("agents", "load", "patience"),
    [(1, 0.5, 1.0), (5, 4.0, 0.1), (5, 9.0, 0.5), (40, 38.0, 2.0), (300, 290.0, 0.01)],
)
def test_erlang_a_is_its_chain(agents: int, load: float, patience: float) -> None:
    """The closed form equals the stationary law of the birth-death chain, under and over load."""
    assert erlang.erlang_a(agents, load, patience) == pytest.approx(
        slow_erlang_a(agents, load, patience), rel=1e-7, abs=1e-13
    )


@pytest.mark.parametrize(("agents", "load", "patience"), [(3, 2.0, 0.2), (10, 12.0, 0.05)])
def test_the_deadline_formula_is_the_queue_it_says(agents: int, load: float, patience: float) -> None:
    """A queue played caller by caller abandons what the formula says, within four standard errors."""
    expected = float(erlang.mmnd_abandonment(agents, load, patience))
    error = 4.0 * np.sqrt(
        expected * (1.0 - expected) / 200_000 * (1.0 + 2.0 * load)
    )  # neighbours share their fate
    assert slow_deadline(agents, load, patience) == pytest.approx(expected, abs=error)


def test_a_deadline_of_nothing_is_erlang_b_and_endless_patience_serves_all() -> None:
    """At no patience both models lose what Erlang B blocks; with endless patience and load below the agents nobody is lost."""
    n, a = np.array([1, 5, 50]), np.array([0.7, 4.0, 60.0])
    np.testing.assert_allclose(erlang.mmnd_abandonment(n, a, 0.0), erlang.erlang_b(n, a), rtol=1e-12)
    np.testing.assert_allclose(erlang.erlang_a(n, a, 1e-7), erlang.erlang_b(n, a), rtol=1e-4)
    assert erlang.mmnd_abandonment(10, 8.0, 100.0) < 1e-12
    assert erlang.mmnd_abandonment(10, 10.0, 0.5) == pytest.approx(
        float(erlang.mmnd_abandonment(10, 10.0 + 1e-6, 0.5)), rel=1e-5
    )


@settings(deadline=None)
@given(
    agents=st.integers(1, 3000),
    handling_s=st.floats(10.0, 1000.0),
    wait_s=st.floats(0.1, 60.0),
    ceiling=st.floats(0.005, 0.5),
)
def test_the_inverses_meet_the_ceiling_and_no_more(
    agents: int, handling_s: float, wait_s: float, ceiling: float
) -> None:
    """At the largest rate the ceiling is met, and a thousandth above it is not; at that rate the fewest agents are those, not one less."""
    for formula, largest, fewest in (
        (erlang.mmnd_abandonment, erlang.largest_rate_deadline, erlang.fewest_agents_deadline),
        (erlang.erlang_a, erlang.largest_rate_patient, erlang.fewest_agents_patient),
    ):
        rate_hz = largest(agents, handling_s, wait_s, ceiling)
        assert formula(agents, rate_hz * handling_s, wait_s / handling_s) <= ceiling * (1 + 1e-9)
        assert formula(agents, rate_hz * handling_s * 1.001, wait_s / handling_s) > ceiling
        enough = int(fewest(rate_hz * 0.999, handling_s, wait_s, ceiling))
        assert enough <= agents
        assert formula(enough, rate_hz * 0.999 * handling_s, wait_s / handling_s) <= ceiling
        if enough > 1:
            assert formula(enough - 1, rate_hz * 0.999 * handling_s, wait_s / handling_s) > ceiling


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: erlang.mmnd_abandonment(0, 1.0, 1.0), "agents"),
        (lambda: erlang.mmnd_abandonment(1, -1.0, 1.0), "load"),
        (lambda: erlang.mmnd_abandonment(1, 1.0, float("nan")), "patience"),
        (lambda: erlang.erlang_a(1, 1.0, 0.0), "patience"),
        (lambda: erlang.largest_rate_deadline(1, 0.0, 1.0, 0.1), "handling_s"),
        (lambda: erlang.largest_rate_patient(1, 1.0, 1.0, 1.0), "ceiling"),
        (lambda: erlang.fewest_agents_deadline(1e9, 1e3, 1.0, 0.5), "arrival_hz"),
    ],
)
def test_bad_input_is_refused_by_name(call: Callable[[], object], field: str) -> None:
    """A value no queue can have raises a ValueError that names the argument."""
    with pytest.raises(PacingInputError) as refusal:
        call()
    assert refusal.value.field == field
