"""`dialer pacing staff`: how many agents and lines a list needs in given hours, and what a team makes of it.

It owns the arithmetic from a list to a load; occupancy comes from simulated shifts, lines from Erlang B.
"""

from __future__ import annotations

import math
from typing import Any

import click
import numpy as np

from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.commands.pacing_shifts import make_scenario, play
from dialer_core.errors import ConfigError
from pacing.erlang import erlang_b
from pacing.scenario import Scenario

BLOCKED = 0.001
"""Share of attempts that may find no line."""
MOST_AGENTS = 1000
SEEDS, SHIFT_HOURS, STEP_S = 2, 2.0, 1.0
"""What is simulated of a team: enough for a point of occupancy, in a second or two."""


@click.command(
    epilog=example(
        "dialer pacing staff --accounts 20000 --attempts 6 --days 22 --hours 10",
        "dialer pacing staff --accounts 20000 --agents 10 --live-share 0.2 --json",
    )
)
@click.option("--accounts", type=click.IntRange(1), required=True, help="Accounts to work in the period.")
@click.option(
    "--attempts",
    type=click.FloatRange(0.1, 100),
    default=6.0,
    show_default=True,
    help="Attempts per account in the period.",
)
@click.option(
    "--days", type=click.IntRange(1, 366), default=22, show_default=True, help="Working days of the period."
)
@click.option(
    "--hours", type=click.FloatRange(0.5, 24), default=10.0, show_default=True, help="Hours of dialing a day."
)
@click.option(
    "--agents",
    type=click.IntRange(1, MOST_AGENTS),
    default=None,
    help="What does this team make of it? Without: how many are needed.",
)
@click.option(
    "--live-share",
    type=click.FloatRange(0.005, 0.9),
    default=0.2,
    show_default=True,
    help="Live answers per attempt.",
)
@click.option(
    "--talk",
    "talk_s",
    type=click.FloatRange(5, 3600),
    default=180.0,
    show_default=True,
    help="Mean conversation, seconds.",
)
@click.option(
    "--wrap-up",
    "wrap_up_s",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    help="Mean wrap-up, seconds.",
)
@click.option(
    "--ceiling",
    type=click.FloatRange(0, 0.2, min_open=True),
    default=0.03,
    show_default=True,
    help="Abandonment ceiling.",
)
@printing
def staff(
    call: Invocation, *, accounts: int, attempts: float, days: int, hours: float, agents: int | None, live_share: float,
    talk_s: float, wrap_up_s: float, ceiling: float,
) -> None:  # fmt: skip
    """Answer how many agents and lines a list needs, at what occupancy; or what a given team makes of it."""
    laws = [f"live_share={live_share}", f"talk_mean_s={talk_s}", f"wrapup_mean_s={wrap_up_s}"]
    laws += [f"machine_share={min(0.2, 0.9 - live_share)}", f"step_s={STEP_S}"]
    work_s = days * hours * 3600.0
    load = accounts * attempts * live_share * (talk_s + wrap_up_s) / work_s  # agents kept busy, in erlangs
    if agents is None:
        if load > MOST_AGENTS:
            raise ConfigError(f"--accounts: this is work for {load:.0f} agents; ask for a smaller part of it")
        agents, occupancy, abandoned = _fewest(load, laws, ceiling)
    else:
        occupancy, abandoned = _shift(agents, laws, ceiling)
    scenario = make_scenario("steady", agents=agents, hours=SHIFT_HOURS, laws=laws)
    answer = _answer(scenario, occupancy, load, accounts * attempts, work_s)
    answer |= {
        "agents": agents,
        "occupancy": round(occupancy, 4),
        "abandoned": round(abandoned, 4),
        "ceiling": ceiling,
    }
    call.give(answer)
    call.say(
        f"{agents} agents, {answer['lines']} lines: occupancy {min(1.0, load / agents / occupancy) * occupancy:.1%} of at most {occupancy:.1%} "
        f"at {ceiling:.1%} abandoned at most.\n"
        f"The list is {answer['attempts_per_hour_needed']:.0f} attempts an hour; this team can do {answer['attempts_per_hour_possible']:.0f}, "
        f"and works {answer['share_of_list']:.0%} of it in {days} days of {hours:g} h."
    )


def _shift(agents: int, laws: list[str], ceiling: float) -> tuple[float, float]:
    found = play(
        make_scenario("steady", agents=agents, hours=SHIFT_HOURS, laws=laws),
        "predictive",
        ceiling,
        range(1, SEEDS + 1),
    )
    return found.mean("occupancy"), found.abandoned


def _fewest(load: float, laws: list[str], ceiling: float) -> tuple[int, float, float]:
    """Return the smallest team whose simulated occupancy carries the load, that occupancy, and what it abandons."""
    agents = max(1, math.ceil(load))
    while True:
        occupancy, abandoned = _shift(agents, laws, ceiling)
        if agents * occupancy >= load:
            return agents, occupancy, abandoned
        # occupancy grows with the team: what is missing at this one is never missing by less than a whole agent
        agents = max(agents + 1, math.floor(load / max(occupancy + 0.02, 0.1)))


def _answer(s: Scenario, occupancy: float, load: float, attempts: float, work_s: float) -> dict[str, Any]:
    possible_hz = s.agents * occupancy / (s.talk_mean_s + s.wrapup_mean_s) / s.live_share
    used_hz = min(possible_hz, attempts / work_s)
    unanswered = 1.0 - s.live_share - s.machine_share - s.fail_share
    ringing_s = (
        (s.live_share + s.machine_share) * s.ring_mean_s
        + s.fail_share * s.fail_s
        + unanswered * s.ring_timeout_s
    )
    on_lines = possible_hz * (ringing_s + s.live_share * s.talk_mean_s)
    lines = np.arange(1, 20 * s.agents + 50)
    return {
        # a line per agent's own leg is not counted: nailed-up softphones are no trunk's
        "lines": int(lines[np.argmax(erlang_b(lines, np.full(lines.size, on_lines)) <= BLOCKED)]),
        "load_erlangs": round(load, 2),
        "attempts_per_hour_needed": round(attempts / work_s * 3600.0, 1),
        "attempts_per_hour_possible": round(possible_hz * 3600.0, 1),
        "share_of_list": round(used_hz * work_s / attempts, 4),
        "live_answers_per_hour": round(used_hz * s.live_share * 3600.0, 1),
    }
