"""Simulated shifts for the commands of `dialer pacing`: their options, several seeds of one policy, and the sums of them.

It owns no law and no policy (`pacing.scenario`, `pacing.baselines`) and prints nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from dialer_core.errors import ConfigError
from pacing import PacingInputError
from pacing.baselines import clairvoyant_bound, policy
from pacing.scenario import Scenario, named, names
from pacing.simulator import ShiftResult, simulate

_NUMBERS = {field.name for field in fields(Scenario) if field.type in ("float", "int", "int | None")}


def scenario_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that describe a shift."""
    for option in reversed(
        (
            click.option("--scenario", type=click.Choice(names()), default="steady", show_default=True, help="The shift's kind."),
            click.option("--hours", type=click.FloatRange(0.05, 24), default=8.0, show_default=True, help="Length of the shift."),
            click.option(
                "--ceiling", type=click.FloatRange(0, 0.2, min_open=True), default=0.03, show_default=True,
                help="Share of live answers that may be abandoned.",
            ),
            click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many shifts."),
            click.option(
                "--law", "laws", multiple=True, metavar="NAME=VALUE",
                help="A number of the shift that differs: live_share=0.2, talk_mean_s=240, lines=60 ... May be given again.",
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function


def make_scenario(name: str, *, agents: int, hours: float, laws: Sequence[str]) -> Scenario:
    """Return the shift that the options describe; ConfigError names what is wrong."""
    given: dict[str, float | int] = {}
    for law in laws:
        key, equals, value = law.partition("=")
        if not equals or key not in _NUMBERS:
            raise ConfigError(f"--law {law!r}: write NAME=VALUE; names are {', '.join(sorted(_NUMBERS))}")
        try:
            number = float(value)
        except ValueError:
            raise ConfigError(f"--law {law!r}: {value!r} is not a number") from None
        given[key] = int(number) if number.is_integer() and key in {"agents", "lines", "leads"} else number
    try:
        return named(name, **({"agents": agents, "hours": hours} | given))
    except PacingInputError as error:
        raise ConfigError(f"--law or --scenario: {error}") from None


@dataclass(frozen=True, slots=True)
class Summary:
    """Several shifts of one policy. Shares are of 1."""

    policy: str
    scenario: Scenario
    ceiling: float
    shifts: tuple[ShiftResult, ...]

    def mean(self, name: str) -> float:
        """Return the mean of a `ShiftResult` field over the shifts."""
        return float(np.mean([getattr(shift, name) for shift in self.shifts]))

    @property
    def abandoned(self) -> float:
        """Abandoned calls of all shifts over live answers of all shifts."""
        return self._share("abandoned_total")

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % interval of the mean occupancy; 0 for a single shift."""
        count = len(self.shifts)
        return (
            0.0
            if count < 2
            else 1.96 * float(np.std([s.occupancy for s in self.shifts], ddof=1)) / math.sqrt(count)
        )

    def _share(self, *names: str) -> float:
        live = sum(shift.live_total for shift in self.shifts)
        return float(sum(getattr(shift, name) for shift in self.shifts for name in names)) / max(live, 1)

    def report(self) -> dict[str, Any]:
        """Return the numbers for `--json`."""
        return {
            "policy": self.policy,
            "scenario": self.scenario.name,
            "agents": self.scenario.agents,
            "hours": self.scenario.hours,
            "ceiling": self.ceiling,
            "shifts": len(self.shifts),
            "occupancy": round(self.mean("occupancy"), 5),
            "ci95": round(self.ci95, 5),
            "clairvoyant": round(clairvoyant_bound(self.scenario), 5),
            "live_talk_share": round(self.mean("live_talk_share"), 5),
            "machine_seconds_share": round(self.mean("machine_seconds_share"), 5),
            "abandoned": round(self.abandoned, 5),
            "abandoned_with_lost": round(self._share("abandoned_total", "lost_total"), 5),
            "worst_shift": round(max(shift.abandoned for shift in self.shifts), 5),
            "worst_half_hour": round(max(shift.worst_half_hour for shift in self.shifts), 5),
            "live_answers": sum(shift.live_total for shift in self.shifts),
            "attempts": sum(shift.placed for shift in self.shifts),
        }

    def by_minute(self, name: str) -> NDArray[np.float64]:
        """Return a minute series of every shift, shape (shifts, minutes); as long as the shortest."""
        rows = [getattr(shift, name) for shift in self.shifts]
        minutes = min(row.size for row in rows)
        return np.stack([row[:minutes] for row in rows])


def play(
    scenario: Scenario, name: str, ceiling: float, seeds: Iterable[int], *, level: float | None = None
) -> Summary:
    """Run one shift per seed; the policy knows nothing at the start of each. ConfigError where the policy cannot be made."""
    shifts = []
    for seed in seeds:
        try:
            shifts.append(simulate(scenario, policy(name, scenario, ceiling, level=level), seed))
        except PacingInputError as error:
            raise ConfigError(str(error)) from None
    return Summary(name, scenario, ceiling, tuple(shifts))
