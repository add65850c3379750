"""How long a pacing step takes, and how fast shifts are simulated.

Steps are timed on snapshots recorded from simulated shifts, events and all, by a pacer that has learned from what came before: 1,000
agents with about 5,000 attempts in flight (few are answered), and 200 campaigns of 10 agents stepped at once. Building the snapshots is
timed apart: it is the engine's. Beside the batch stands the same 200 stepped one by one.

    python -m benchmarks.pacing_speed [--json] [--steps 200]

It takes a minute, wants a machine with nothing else to do, and reports medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import fields

from pacing import Pacer, PacerConfig, Snapshot, step_many
from pacing.baselines import policy
from pacing.scenario import Scenario, named
from pacing.simulator import Shift, simulate

SEED = 1
POOLS = 200
TICK_S = 0.25


def record(scenario: Scenario, warm_s: float, steps: int) -> tuple[Pacer, list[Snapshot]]:
    """Return a pacer that has run a shift for some time, and what it would have seen then."""
    shift, pacer = Shift(scenario, SEED), Pacer(PacerConfig(mode="predictive"))
    seen: list[Snapshot] = []
    warm: Pacer | None = None
    while len(seen) < steps:
        snapshot = shift.snapshot()
        if shift.now_s >= warm_s:
            warm = warm or Pacer(pacer.config, pacer.export_state())
            seen.append(snapshot)
        shift.carry_out(pacer.step(snapshot), 15.0)
        shift.advance(shift.now_s + TICK_S)
    assert warm is not None  # noqa: S101 (recording began)
    return warm, seen


def step_us(pacer: Pacer, snapshots: list[Snapshot]) -> list[float]:
    """Return the time of each step in microseconds."""
    times = []
    for snapshot in snapshots:
        began = time.perf_counter_ns()
        pacer.step(snapshot)
        times.append((time.perf_counter_ns() - began) / 1000.0)
    return times


def build_us(snapshots: list[Snapshot]) -> float:
    """Return the median time to build a snapshot in microseconds."""
    times = []
    for snapshot in snapshots:
        given = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
        began = time.perf_counter_ns()
        Snapshot(**given)
        times.append((time.perf_counter_ns() - began) / 1000.0)
    return statistics.median(times)


def many_us(scenario: Scenario, rounds: int) -> tuple[float, float]:
    """Return the median time per pool of 200 pools stepped at once, and one by one, in microseconds."""
    warm, snapshots = record(scenario, 1200.0, POOLS * 4 + rounds)
    state = warm.export_state()
    # each pool lives through its own stretch of the shift
    stretches = [snapshots[4 * k : 4 * k + rounds] for k in range(POOLS)]
    together = [Pacer(warm.config, state) for _ in range(POOLS)]
    alone = [Pacer(warm.config, state) for _ in range(POOLS)]
    at_once, one_by_one = [], []
    for k in range(rounds):
        now = [stretch[k] for stretch in stretches]
        began = time.perf_counter_ns()
        step_many(together, now)
        at_once.append((time.perf_counter_ns() - began) / 1000.0 / POOLS)
        began = time.perf_counter_ns()
        for pacer, snapshot in zip(alone, now, strict=True):
            pacer.step(snapshot)
        one_by_one.append((time.perf_counter_ns() - began) / 1000.0 / POOLS)
    return statistics.median(at_once), statistics.median(one_by_one)


def main() -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    large = named("steady", agents=1000, hours=1.0, live_share=0.023, lines=20_000)
    pacer, snapshots = record(large, 120.0, options.steps)
    in_flight = statistics.mean(snapshot.in_flight for snapshot in snapshots)
    large_us = step_us(pacer, snapshots)
    at_once, one_by_one = many_us(named("drift", agents=10, hours=1.0), max(20, options.steps // 5))
    shift = named("drift", agents=1000, hours=0.5, step_s=1.0)
    began = time.perf_counter()
    played = simulate(shift, policy("vicidial_ratio", shift, 0.03, level=2.0), SEED)
    took_s = time.perf_counter() - began
    report = {
        "step_us_1000_agents": round(statistics.median(large_us), 1),
        "step_us_1000_agents_p99": round(sorted(large_us)[int(0.99 * len(large_us))], 1),
        "in_flight": round(in_flight),
        "snapshot_us_1000_agents": round(build_us(snapshots), 1),
        "step_us_per_pool_200_at_once": round(at_once, 2),
        "step_us_per_pool_one_by_one": round(one_by_one, 1),
        "simulator_events_per_s": round(played.heap_events / took_s),
        "simulator_times_life_1000_agents": round(shift.seconds / took_s),
    }
    if options.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<36} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
