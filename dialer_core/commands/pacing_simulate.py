"""`dialer pacing simulate` and `dialer pacing compare`: shifts that never were, of one policy or of several."""

from __future__ import annotations

from pathlib import Path

import click

from dialer_core.commands.invocation import Invocation, PictureFile, example, printing
from dialer_core.commands.pacing_shifts import make_scenario, play, scenario_options
from pacing.baselines import policies, takes_level

STANDARD = ("progressive", "ratio", "erlang_c", "vicidial_tapered", "issabel", "predictive")
"""What `compare` runs unless told otherwise."""


@click.command(
    epilog=example(
        "dialer pacing simulate --agents 10 --mode predictive --hours 2 --seeds 3 --scenario drift",
        "dialer pacing simulate --agents 50 --mode ratio --level 2.5 --law live_share=0.15 --json",
    )
)
@click.option("--agents", type=click.IntRange(1, 5000), required=True, help="Agents of the team.")
@click.option(
    "--mode",
    type=click.Choice(policies()),
    default="predictive",
    show_default=True,
    help="A pacing mode, or another dialer's.",
)
@click.option(
    "--level",
    type=click.FloatRange(1, 20),
    default=None,
    help="Calls per idle agent (ratio), dial level (VICIdial's); other modes have none.",
)
@scenario_options
@click.option(
    "--out",
    type=PictureFile(),
    metavar="PNG",
    help="Draw occupancy and abandonment here.",
)
@printing
def simulate(
    call: Invocation, *, agents: int, mode: str, level: float | None, scenario: str, hours: float, ceiling: float,
    seeds: int, laws: tuple[str, ...], out: Path | None,
) -> None:  # fmt: skip
    """Simulate shifts of a team: occupancy, abandonment, and how far from the best anyone could do.

    Every seed is another day. The policy begins each one knowing nothing.
    """
    if level is not None and not takes_level(mode):
        raise click.UsageError(
            f"--level says nothing to {mode}; it goes with {', '.join(filter(takes_level, policies()))}"
        )
    found = play(
        make_scenario(scenario, agents=agents, hours=hours, laws=laws),
        mode,
        ceiling,
        range(1, seeds + 1),
        level=level,
    )
    report = found.report()
    if out is not None:
        from dialer_core.commands.pacing_picture import draw  # noqa: PLC0415 - matplotlib takes half a second

        draw(out, found)
        report["picture"] = str(out)
    call.give(report)
    call.say(
        f"{mode}, {agents} agents, {scenario}, {hours:g} h, {seeds} shifts:\n"
        f"  occupancy   {report['occupancy']:.1%} ± {report['ci95']:.1%} (the best anyone could do: {report['clairvoyant']:.1%})\n"
        f"  abandoned   {report['abandoned']:.2%} of {report['live_answers']} live answers; worst shift {report['worst_shift']:.2%}; "
        f"ceiling {ceiling:.1%}\n"
        f"  on people   {report['live_talk_share']:.1%} of the time, on machines {report['machine_seconds_share']:.1%}"
    )
    if out is not None:
        call.say(f"drawn: {out}")


@click.command(
    epilog=example("dialer pacing compare --agents 5 --agents 20 --hours 2 --seeds 2 --scenario drift")
)
@click.option(
    "--agents",
    "teams",
    type=click.IntRange(1, 5000),
    multiple=True,
    default=(5, 20),
    show_default=True,
    help="A team size; again for more.",
)
@click.option(
    "--mode",
    "modes",
    type=click.Choice(policies()),
    multiple=True,
    default=STANDARD,
    show_default=True,
    help="A policy; again for more.",
)
@click.option(
    "--level",
    type=click.FloatRange(1, 20),
    default=2.0,
    show_default=True,
    help="Level of ratio and, at the start, of VICIdial's.",
)
@scenario_options
@printing
def compare(
    call: Invocation, *, teams: tuple[int, ...], modes: tuple[str, ...], level: float, scenario: str, hours: float,
    ceiling: float, seeds: int, laws: tuple[str, ...],
) -> None:  # fmt: skip
    """Print a table of policies: occupancy per team size, and what is abandoned for it."""
    rows, reports = [], []
    for mode in modes:
        row: list[object] = [mode]
        worst = 0.0
        for agents in teams:
            shift = make_scenario(scenario, agents=agents, hours=hours, laws=laws)
            report = play(shift, mode, ceiling, range(1, seeds + 1), level=level).report()
            reports.append(report)
            row.append(f"{report['occupancy']:.1%} ({report['abandoned']:.1%})")
            worst = max(worst, report["worst_shift"])
        rows.append([*row, f"{worst:.1%}"])
    call.give(reports)
    columns = ["policy", *(f"{agents} agents" for agents in teams), "worst shift abandoned"]
    call.table(columns, rows)
    call.say(f"occupancy (abandoned); {scenario}, {hours:g} h, {seeds} shifts each, ceiling {ceiling:.1%}")
