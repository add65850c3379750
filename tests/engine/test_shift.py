"""The engine against the simulator: the same shift, with the same pacer settings, gives the same occupancy and abandonment."""

from __future__ import annotations

import numpy as np
import pytest

from dialer_core import call_loop
from pacing import Pacer, PacerConfig
from pacing.scenario import Scenario, named
from pacing.simulator import simulate
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.shift import Played, play

pytestmark = pytest.mark.unit

WAIT_S = 1.8
"""What the rule pack leaves of its two seconds: the message must be heard by then."""
RING_LIMIT_S = 28.0
SEEDS = 16
POINT = 0.01


def engine_and_simulator(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, scenario: Scenario, mode: str, seed: int
) -> tuple[Played, np.ndarray, np.ndarray]:
    """Play a shift by the engine once and by the simulator many times; return what came of it, and of them."""
    monkeypatch.setattr(call_loop, "STEP_INTERVAL_S", scenario.step_s)  # both look as often
    floor = make_floor(
        leads=round(scenario.agents * scenario.hours * 300),
        agents=scenario.agents,
        workers=4 * scenario.agents,
        campaign={"pacing": mode, "ring_limit_s": RING_LIMIT_S, "wrap_up_s": 600.0},
        trunks={"carrier": {"host": "127.0.0.1", "lines": 2000, "calls_per_second": 1000}},
    )
    played = play(floor, scenario, seed)
    verified(floor)
    settings = PacerConfig(
        mode=mode, abandonment_ceiling=0.03, agent_wait_s=WAIT_S, ring_timeout_s=RING_LIMIT_S
    )
    shifts = [simulate(scenario, Pacer(settings), number) for number in range(SEEDS)]
    return (
        played,
        np.array([shift.occupancy for shift in shifts]),
        np.array([shift.abandoned for shift in shifts]),
    )


def test_a_shift_of_the_engine_is_one_of_the_simulators(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of six agents: occupancy within a point and three deviations of the simulator's shifts, abandoned within its room."""
    scenario = named("steady", agents=6, hours=1 / 6, agent_wait_s=WAIT_S, talk_mean_s=60.0, talk_cv=0.3)
    played, occupancy, abandoned = engine_and_simulator(
        make_floor, monkeypatch, scenario, "predictive", seed=1
    )
    assert abs(played.occupancy - occupancy.mean()) < POINT + 3.0 * occupancy.std(ddof=1)
    # one abandoned call more than in the worst of the simulator's shifts
    assert played.abandoned <= abandoned.max() + 1.0 / max(played.live_total, 1)


@pytest.mark.soak
@pytest.mark.parametrize(("mode", "agents", "hours"), [("progressive", 10, 4.0), ("predictive", 20, 8.0)])
def test_a_day_of_the_engine_has_the_simulators_occupancy(
    make_floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, mode: str, agents: int, hours: float
) -> None:
    """Over a day the engine's occupancy is the simulator's within one point, beside what days differ by themselves (two deviations)."""
    scenario = named("steady", agents=agents, hours=hours, agent_wait_s=WAIT_S)
    played, occupancy, abandoned = engine_and_simulator(make_floor, monkeypatch, scenario, mode, seed=1)
    assert abs(played.occupancy - occupancy.mean()) < POINT + 2.0 * occupancy.std(ddof=1)
    assert played.abandoned <= 0.03
    assert abs(played.abandoned - abandoned.mean()) < POINT
