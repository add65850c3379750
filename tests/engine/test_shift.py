"""The engine against the simulator: the same shift, with the same pacer settings, gives the same occupancy and abandonment."""

from __future__ import annotations

import numpy as np
import pytest

from dialer_core import call_loop
from pacing import Pacer, PacerConfig
from pacing.scenario import Scenario, named
from pacing.simulator import ShiftResult, simulate_many
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.shift import Played, beyond_luck, play

pytestmark = pytest.mark.unit

WAIT_S = 1.8
"""What the rule pack leaves of its two seconds: the message must be heard by then."""
RING_LIMIT_S = 28.0
LOOK_S = 0.2
"""How often the simulator's pacer looks: the engine's looks at every change, too."""
POINT = 0.01


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


def by_simulator(scenario: Scenario, mode: str, shifts: int) -> list[ShiftResult]:
    """Play shifts by the simulator with the settings the engine gives its pacer."""
    settings = PacerConfig(
        mode=mode, abandonment_ceiling=0.03, agent_wait_s=WAIT_S, ring_timeout_s=RING_LIMIT_S
    )
    return simulate_many(scenario, [Pacer(settings) for _ in range(shifts)], range(shifts))


def test_a_shift_of_the_engine_is_one_of_the_simulators(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of six agents: occupancy within a point and three deviations of the simulator's shifts, abandoned within its room."""
    scenario = named("steady", agents=6, hours=1 / 6, agent_wait_s=WAIT_S, talk_mean_s=60.0, talk_cv=0.3)
    played = by_engine(make_floor, monkeypatch, scenario, "predictive", seed=1)
    shifts = by_simulator(scenario, "predictive", 16)
    occupancy = np.array([shift.occupancy for shift in shifts])
    assert abs(played.occupancy - occupancy.mean()) < POINT + 3.0 * occupancy.std(ddof=1)
    # one abandoned call more than in the worst of the simulator's shifts
    worst = max(shift.abandoned for shift in shifts)
    assert played.abandoned <= worst + 1.0 / max(played.live_total, 1)


@pytest.mark.soak
@pytest.mark.parametrize(("mode", "seeds"), [("progressive", 6), ("predictive", 12)])
def test_shifts_of_the_engine_have_the_simulators_occupancy(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, mode: str, seeds: int
) -> None:
    """Over half-hours of ten agents the engine's occupancy is within a point of the simulator's with the same luck, give or take half a point."""
    scenario = named("steady", agents=10, hours=0.5, agent_wait_s=WAIT_S, step_s=LOOK_S)
    shifts = by_simulator(scenario, mode, 80)
    played = [by_engine(make_floor, monkeypatch, scenario, mode, seed) for seed in range(seeds)]
    off, error = beyond_luck(played, shifts, scenario)
    assert error < 0.6 * POINT
    assert abs(off) < POINT
    abandoned = sum(one.abandoned_total for one in played) / sum(one.live_total for one in played)
    theirs = sum(shift.abandoned_total for shift in shifts) / sum(shift.live_total for shift in shifts)
    # a Poisson number's two deviations
    assert abs(abandoned - theirs) < POINT + 2.0 * np.sqrt(
        max(theirs, 0.001) / sum(one.live_total for one in played)
    )
