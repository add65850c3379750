"""`dialer pacing`: the table of everything about pacing. The bodies are in `pacing_*.py` beside it."""

from __future__ import annotations

import click

from dialer_core.commands.invocation import example
from dialer_core.commands.lazy_group import LazyGroup, Table

TABLE: Table = {
    "explain": ("pacing_explain:explain", "Say in words why the dialer placed what it placed."),
    "simulate": ("pacing_simulate:simulate", "Simulate shifts of a team under a pacing mode."),
    "compare": ("pacing_simulate:compare", "Print a table of policies, ours and others'."),
    "staff": ("pacing_staff:staff", "Answer how many agents and lines a list needs."),
    "replay": ("pacing_replay:replay", "Pace a recorded day by another mode."),
}
"""Command: where it is, and what `dialer pacing --help` says of it."""


@click.group(cls=LazyGroup, table=TABLE, epilog=example("dialer pacing explain --last 5"))
def pacing() -> None:
    """Pacing: why the dialer places what it places, what another mode would do, how many agents a list needs."""
