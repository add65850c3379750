"""`dialer push`: how far other systems have been told what happened, and what they did not take."""

from __future__ import annotations

from typing import Any

import click

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation


@click.group(epilog=example("dialer push list", "dialer push dead crm", "dialer push replay crm"))
def push() -> None:
    """Systems of `[push.NAME]`, which are told what happens."""


@push.command("list", epilog=example("dialer push list"))
@invocation
def list_targets(call: Invocation) -> None:
    """List the targets: how much they were told, and what is in the way."""
    with api(call.settings) as client:
        found: Any = client.get("/push")
    call.give(found)
    columns = ("name", "node", "told", "dead", "trouble", "changed_at_utc")
    call.table(columns, [tuple(str(one[name]) for name in columns) for one in found])


@push.command("dead", epilog=example("dialer push dead crm"))
@click.argument("name")
@invocation
def list_dead(call: Invocation, name: str) -> None:
    """List what a target did not take."""
    with api(call.settings) as client:
        found: Any = client.get(f"/push/{name}/dead")
    call.give(found)
    columns = ("id", "events", "reason", "state", "at_utc")
    call.table(columns, [tuple(str(one[name]) for name in columns) for one in found])


@push.command("replay", epilog=example("dialer push replay crm"))
@click.argument("name")
@click.option("--letter", metavar="ID", default=None, help="Only this one.")
@invocation
def replay(call: Invocation, name: str, letter: str | None) -> None:
    """Send dead letters once more."""
    with api(call.settings) as client:
        done: Any = client.post(f"/push/{name}/replay", {"letter": letter} if letter else {})
    call.give(done)
    call.say(f"{name}: {done['letters']} sent once more")
