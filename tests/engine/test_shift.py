"""The engine against the simulator: the same seeded shift, with the same pacer settings, gives the same occupancy and abandonment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dialer_core import call_loop
from pacing import Pacer, PacerConfig
from pacing.scenario import Scenario, named
from pacing.simulator import ShiftResult, simulate_many
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.shift import Played, apart, play

pytestmark = pytest.mark.unit

WAIT_S = 1.8
"""What the rule pack leaves of its two seconds: the message must be heard by then."""
RING_LIMIT_S = 28.0
LOOKS_S = (0.16, 0.18, 0.2, 0.22, 0.24, 0.3)
"""How often the simulator's pacers look: the engine's looks at every change, too."""
POINT = 0.01

log = logging.getLogger(__name__)


def by_engine(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, scenario: Scenario, mode: str, seed: int
) -> Played:
    """Play a shift by the engine, and hold its store to the invariants."""
    monkeypatch.setattr(call_loop, "STEP_INTERVAL_S", 0.5)  # and at every change
    floor = make_floor(
        folder=f"{mode}{seed}",
        leads=round(scenario.agents * scenario.hours * 300),
        agents=scenario.agents,
        workers=4 * scenario.agents,
        campaign={"pacing": mode, "ring_limit_s": RING_LIMIT_S, "wrap_up_s": 600.0},
        trunks={"carrier": {"host": "127.0.0.1", "lines": 2000, "calls_per_second": 1000}},
    )
    played = play(floor, scenario, seed)
    verified(floor)
    return played


def by_simulator(
    scenario: Scenario, mode: str, seeds: Sequence[int], looks_s: Sequence[float] = LOOKS_S
) -> list[list[ShiftResult]]:
    """Play the shifts of some seeds by the simulator with the settings the engine gives its pacer: for each seed, one for each spacing of looks."""
    settings = PacerConfig(
        mode=mode, abandonment_ceiling=0.03, agent_wait_s=WAIT_S, ring_timeout_s=RING_LIMIT_S
    )
    by_look = [
        simulate_many(replace(scenario, step_s=look_s), [Pacer(settings) for _ in seeds], seeds)
        for look_s in looks_s
    ]
    return [list(same) for same in zip(*by_look, strict=True)]


def test_a_shift_one_to_one_is_the_simulators(make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes of ten agents, a call for each idle one: the same calls in the same order, occupancy within a fifth of a point."""
    scenario = named("steady", agents=10, hours=1 / 3, agent_wait_s=WAIT_S)
    played = by_engine(make_floor, monkeypatch, scenario, "progressive", seed=1)
    ((shift,),) = by_simulator(scenario, "progressive", [1], [0.05])
    assert abs(played.occupancy - shift.occupancy) < 0.2 * POINT
    assert abs(played.placed - shift.placed) <= 2
    assert abs(played.live_total - shift.live_total) <= 1
    assert played.abandoned_total == shift.abandoned_total == 0


def test_a_shift_that_looks_ahead_is_one_of_the_simulators(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of six agents: occupancy within a point and three deviations of the simulator's shifts, abandoned within its room."""
    scenario = named("steady", agents=6, hours=1 / 6, agent_wait_s=WAIT_S, talk_mean_s=60.0, talk_cv=0.3)
    played = by_engine(make_floor, monkeypatch, scenario, "predictive", seed=1)
    shifts = [shift for same in by_simulator(scenario, "predictive", range(16), [0.2]) for shift in same]
    occupancy = np.array([shift.occupancy for shift in shifts])
    assert abs(played.occupancy - occupancy.mean()) < POINT + 3.0 * occupancy.std(ddof=1)
    # one abandoned call more than in the worst of the simulator's shifts
    worst = max(shift.abandoned for shift in shifts)
    assert played.abandoned <= worst + 1.0 / max(played.live_total, 1)


@pytest.mark.soak
@pytest.mark.parametrize(("mode", "seeds"), [("progressive", range(3)), ("predictive", range(12))])
def test_shifts_of_the_engine_have_the_simulators_occupancy(
    make_floor: MakeFloor,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    seeds: range,
) -> None:
    """Over seeded shifts of two hours and ten agents the engine's occupancy is within a point of the simulator's of the same seeds."""
    scenario = named("steady", agents=10, hours=2.0, agent_wait_s=WAIT_S)
    shifts = by_simulator(scenario, mode, seeds)
    played = [by_engine(make_floor, monkeypatch, scenario, mode, seed) for seed in seeds]
    off, error = apart(played, shifts)
    everyone = [shift for same in shifts for shift in same]
    abandoned = sum(one.abandoned_total for one in played) / sum(one.live_total for one in played)
    theirs = sum(shift.abandoned_total for shift in everyone) / sum(shift.live_total for shift in everyone)
    log.info(
        "%s: %+.2f points, standard error %.2f; abandoned %.2f %%, the simulator's %.2f %%",
        mode, 100 * off, 100 * error, 100 * abandoned, 100 * theirs,
    )  # fmt: skip
    assert error < 0.5 * POINT
    assert abs(off) < POINT
    # a Poisson number's two deviations
    assert abs(abandoned - theirs) < 2.0 * np.sqrt(max(theirs, 0.001) / sum(one.live_total for one in played))
