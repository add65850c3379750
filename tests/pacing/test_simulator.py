"""The simulator against closed forms, against simpy, and against its own books."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import simpy

from pacing import Binding, Decision, Pacer, PacerConfig, PacingInputError, Snapshot, erlang
from pacing.baselines import clairvoyant_bound, policies, policy
from pacing.scenario import Law, Scenario, named, names
from pacing.simulator import simulate, simulate_many

pytestmark = pytest.mark.sim

PROGRESSIVE = PacerConfig(mode="progressive")


@dataclass
class Poisson:
    """Place at random, whatever the pool looks like."""

    per_step: float
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def step(self, _snapshot: Snapshot) -> Decision:
        """Draw."""
        return Decision(place=int(self.rng.poisson(self.per_step)), release=0, binding=Binding.RATIO)


def test_live_callers_at_random_make_the_deadline_queue() -> None:
    """Poisson calls to exponential conversations abandon what M/M/n+D says, within four standard errors of correlated callers."""
    agents, load, talk_s = 30, 30.0, 40.0
    scenario = Scenario(
        agents=agents, hours=2.5, live_share=0.8, machine_share=0.0, fail_share=0.0, ring_mean_s=6.0, ring_cv=0.5, talk_mean_s=talk_s,
        talk_cv=1.0, talk_law=Law.GAMMA, wrapup_mean_s=0.0, step_s=0.5,
    )  # fmt: skip
    played = simulate(scenario, Poisson(load / talk_s / 0.8 * scenario.step_s), seed=3)
    expected = float(erlang.mmnd_abandonment(agents, load, 2.0 / talk_s))
    # abandonment comes in spells about as long as a conversation: as many independent looks as there are of those
    looks = scenario.seconds / talk_s
    error = 4.0 * math.sqrt(expected * (1.0 - expected) * (1.0 / played.live_total + 0.5 / looks))
    assert played.live_total == pytest.approx(load / talk_s * scenario.seconds, rel=0.06)
    assert played.abandoned == pytest.approx(expected, abs=error)
    assert error < 0.07


def simpy_occupancy(scenario: Scenario, seed: int) -> float:
    """Return the occupancy of agents who each dial one call at a time, played by simpy."""
    rng = np.random.default_rng(seed)
    env = simpy.Environment()
    busy = [0.0]

    def lognormal(mean: float, cv: float) -> float:
        sigma = math.sqrt(math.log1p(cv * cv))
        return float(mean * np.exp(sigma * rng.standard_normal() - sigma * sigma / 2))

    def agent() -> simpy.events.ProcessGenerator:
        while True:
            draw = rng.random()
            answered = draw < scenario.live_share + scenario.machine_share
            ring_s = scenario.ring_timeout_s
            if answered:
                while (
                    ring_s := lognormal(scenario.ring_mean_s, scenario.ring_cv)
                ) >= scenario.ring_timeout_s:
                    pass
            elif draw < scenario.live_share + scenario.machine_share + scenario.fail_share:
                ring_s = float(rng.gamma(4.0, scenario.fail_s / 4.0))
            yield env.timeout(ring_s)
            if draw < scenario.live_share:
                work_s = lognormal(scenario.talk_mean_s, scenario.talk_cv) + float(
                    rng.gamma(4.0, scenario.wrapup_mean_s / 4.0)
                )
                busy[0] += min(work_s, max(scenario.seconds - env.now, 0.0))
                yield env.timeout(work_s)

    for _ in range(scenario.agents):
        env.process(agent())
    env.run(until=scenario.seconds)
    return busy[0] / (scenario.agents * scenario.seconds)


def test_one_call_at_a_time_is_what_simpy_makes_of_it() -> None:
    """Progressive dialing of 60 agents gives simpy's occupancy, within four standard errors and the wait for the next look."""
    scenario = Scenario(agents=60, hours=2.0, step_s=0.5)
    ours = simulate(scenario, Pacer(PROGRESSIVE), seed=1)
    theirs = simpy_occupancy(scenario, seed=2)
    # each agent goes through about 25 cycles of which a quarter is waiting
    error = 4.0 * math.sqrt(2.0) * 0.19 / math.sqrt(60 * 25)
    assert ours.abandoned_total == 0
    assert ours.occupancy == pytest.approx(theirs - 4 * 0.25 / 280.0, abs=error)


@pytest.mark.parametrize("name", ["predictive", "progressive"])
def test_shifts_side_by_side_are_the_shifts_alone(name: str) -> None:
    """Three shifts played look by look come out as each alone does: not a call more, not one abandoned more."""
    scenario = named("drift", agents=4, hours=0.1, step_s=1.0)
    together = simulate_many(scenario, [policy(name, scenario, 0.03) for _ in range(3)], [1, 2, 3])
    alone = [simulate(scenario, policy(name, scenario, 0.03), seed) for seed in (1, 2, 3)]
    for one, other in zip(together, alone, strict=True):
        assert (one.placed, one.live_total, one.abandoned_total) == (
            other.placed,
            other.live_total,
            other.abandoned_total,
        )
        assert one.occupancy == pytest.approx(other.occupancy)
    assert len({one.placed for one in together}) > 1


def test_a_seed_says_everything() -> None:
    """The same seed gives the same shift, another one another."""
    scenario = named("drift", agents=8, hours=0.1)
    first, again, other = (
        simulate(scenario, Pacer(PacerConfig(mode="predictive")), seed) for seed in (4, 4, 5)
    )
    assert (first.occupancy, first.placed, first.live_total) == (
        again.occupancy,
        again.placed,
        again.live_total,
    )
    assert first.placed != other.placed


class Looker:
    """A pacer that checks what it is shown."""

    def __init__(self, lines: int | None) -> None:
        self.pacer = Pacer(PacerConfig(mode="predictive"))
        self.lines = math.inf if lines is None else lines
        self.most_agents = 0

    def step(self, snapshot: Snapshot) -> Decision:
        """Look, then decide."""
        self.most_agents = max(self.most_agents, snapshot.agents)
        assert snapshot.in_flight + len(snapshot.talk_elapsed_s) <= self.lines
        return self.pacer.step(snapshot)


def test_every_named_shift_runs_and_its_books_balance() -> None:
    """In every scenario shares are shares, what happens minute by minute adds up, and limits of list and lines hold."""
    for name in names():
        scenario = named(name, agents=12, hours=0.2, step_s=1.0)
        looker = Looker(scenario.lines)
        played = simulate(scenario, looker, seed=3)
        assert 0 < looker.most_agents <= scenario.agents
        assert 0.3 < played.occupancy <= 1.0
        assert 0.0 <= played.abandoned <= played.abandoned_with_lost <= 1.0
        assert played.live_talk_share + played.machine_seconds_share <= played.occupancy
        assert played.minute_live.sum() <= played.live_total
        assert scenario.leads is None or played.placed <= scenario.leads
        assert played.lost_total == 0 or scenario.lost_share > 0.0


def test_all_policies_run_by_name_and_order_themselves() -> None:
    """Every name makes a policy that runs; one call at a time abandons nobody; predicting keeps agents busier."""
    scenario = named("steady", agents=10, hours=0.4, step_s=1.0)
    played = {name: simulate(scenario, policy(name, scenario, 0.03), seed=2) for name in policies()}
    assert played["progressive"].abandoned_total == 0
    assert played["predictive"].occupancy > played["progressive"].occupancy + 0.05
    assert played["predictive"].released > 0 == played["predictive_without_release"].released
    assert all(p.occupancy < clairvoyant_bound(scenario) for p in played.values())
    with pytest.raises(PacingInputError, match="policy"):
        policy("magic", scenario, 0.03)


@pytest.mark.parametrize(
    ("name", "fields"),
    [("agents", {"agents": -1}), ("live_share", {"live_share": 0.0}), ("talk_law", {"talk_law": "weibull"}), ("leads", {"leads": -3}),
     ("step_s", {"step_s": float("nan")})],
)  # fmt: skip
def test_a_shift_that_cannot_be_is_refused_by_name(name: str, fields: dict) -> None:
    """Shares, durations and laws outside their range raise a ValueError that names the field."""
    with pytest.raises(PacingInputError) as refusal:
        Scenario(**fields)
    assert refusal.value.field == name
