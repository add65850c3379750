"""`dialer flows`: the group of what is done with flow files. Each command is imported when it is asked for."""

from __future__ import annotations

import click

from dialer_core.commands.invocation import example
from dialer_core.commands.lazy_group import LazyGroup, Table

TABLE: Table = {
    "check": ("flows_check:check", "Say what is wrong with flow files, with line and reason."),
    "show": ("flows_check:show", "List the steps of a flow, or draw them."),
    "try": ("flows_try:try_", "Walk a flow in the terminal, as a caller would."),
}


@click.group(
    cls=LazyGroup,
    table=TABLE,
    epilog=example("dialer flows check config/flows", "dialer flows try config/flows/recordatorio.toml"),
)
def flows() -> None:
    """Flows: what calls hear that need no agent, as files that are checked before anybody hears them."""
