"""What each pacing policy does to agents and to callers: occupancy and abandonment over simulated shifts, a line per row of the table.

Every policy plays the same seeded shifts, knowing nothing beforehand; ratios are also given at the best level found offline for each row,
which no dialer has. Shares are in percent, the ceiling is a fraction.

    python -m benchmarks.pacing [--json] [--agents 5,20] [--scenarios drift] [--policies predictive] [--ceilings 0.03] [--shifts 20]

The whole table takes hours on one core; `--shifts 2 --agents 20` a minute.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass

import numpy as np

from pacing.baselines import policies, policy
from pacing.scenario import Scenario, named, names
from pacing.simulator import ShiftResult, simulate_many

FIRST_SEED = 10_000
"""Seeds from here on report; those under it are for tuning."""
LEVELS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0)
"""Levels among which the best is looked for offline."""
LEVEL_SHIFTS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report."""

    policy: str
    agents: int
    scenario: str
    ceiling: float
    occupancy: float
    live_talk_share: float
    machine_seconds_share: float
    abandoned: float
    abandoned_with_lost: float
    worst_shift: float
    worst_half_hour: float
    shifts: int
    ci95: float


def play(
    name: str, scenario: Scenario, ceiling: float, seeds: range, level: float | None = None
) -> list[ShiftResult]:
    """Play a policy over shifts."""
    return simulate_many(scenario, [policy(name, scenario, ceiling, level=level) for _ in seeds], seeds)


def best_level(name: str, scenario: Scenario, ceiling: float) -> float:
    """Return the level with the highest occupancy among those that keep the ceiling, on seeds that do not report."""
    best = (-1.0, LEVELS[0])
    for level in LEVELS:
        shifts = play(name, scenario, ceiling, range(LEVEL_SHIFTS), level)
        if abandoned(shifts) <= ceiling:
            best = max(best, (float(np.mean([s.occupancy for s in shifts])), level))
    return best[1]


def abandoned(shifts: list[ShiftResult]) -> float:
    """Return the share abandoned of all people of all shifts."""
    return sum(s.abandoned_total for s in shifts) / max(sum(s.live_total for s in shifts), 1)


def row(name: str, scenario: Scenario, ceiling: float, shifts: list[ShiftResult]) -> Row:
    """Sum shifts up."""
    occupancy = 100.0 * np.array([s.occupancy for s in shifts])
    lost = sum(s.lost_total for s in shifts) / max(sum(s.live_total for s in shifts), 1)
    spread = float(occupancy.std(ddof=1)) if len(shifts) > 1 else math.nan

    def mean(values: list[float]) -> float:
        return round(100.0 * float(np.mean(values)), 3)

    return Row(
        policy=name,
        agents=scenario.agents,
        scenario=scenario.name,
        ceiling=ceiling,
        occupancy=round(float(occupancy.mean()), 3),
        live_talk_share=mean([s.live_talk_share for s in shifts]),
        machine_seconds_share=mean([s.machine_seconds_share for s in shifts]),
        abandoned=round(100.0 * abandoned(shifts), 3),
        abandoned_with_lost=round(100.0 * (abandoned(shifts) + lost), 3),
        worst_shift=round(100.0 * max(s.abandoned for s in shifts), 3),
        worst_half_hour=round(100.0 * max(s.worst_half_hour for s in shifts), 3),
        shifts=len(shifts),
        ci95=round(1.96 * spread / math.sqrt(len(shifts)), 3) if len(shifts) > 1 else 0.0,
    )


def main() -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", default="5,10,20,50,100,300,1000")
    parser.add_argument("--scenarios", default="drift,scores", help=f"of {', '.join(names())}")
    parser.add_argument(
        "--policies",
        default=",".join(p for p in policies() if p != "ratio"),
        help=f"of {', '.join(policies())}",
    )
    parser.add_argument("--ceilings", default="0.03,0.01")
    parser.add_argument("--shifts", type=int, default=20)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--step", type=float, default=0.5, help="seconds between two looks of a policy")
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument(
        "--offline-levels", action="store_true", help="also ratios at the best level found offline"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.shifts)
    for kind in options.scenarios.split(","):
        for agents in map(int, options.agents.split(",")):
            scenario = named(kind, agents=agents, hours=options.hours, step_s=options.step)
            for ceiling in map(float, options.ceilings.split(",")):
                runs: list[tuple[str, str, float | None]] = [
                    (name, name, None) for name in options.policies.split(",")
                ]
                if options.offline_levels:
                    runs += [
                        (f"{name}_best_level", name, best_level(name, scenario, ceiling))
                        for name in ("ratio", "vicidial_ratio")
                    ]
                for label, name, level in runs:
                    line = row(label, scenario, ceiling, play(name, scenario, ceiling, seeds, level))
                    show(line, as_json=options.json)
    return 0


def show(line: Row, *, as_json: bool) -> None:
    """Print a line at once: the table is long in the making."""
    if as_json:
        print(json.dumps(asdict(line)), flush=True)
    else:
        print(
            f"{line.scenario:<10} {line.agents:>5} {100 * line.ceiling:>4g} % {line.policy:<26} occupancy {line.occupancy:6.2f} ± {line.ci95:4.2f}  "
            f"abandoned {line.abandoned:5.2f}  worst shift {line.worst_shift:5.2f}  worst half hour {line.worst_half_hour:6.2f}  ({line.shifts})",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
