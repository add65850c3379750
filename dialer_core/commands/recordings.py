"""`dialer recordings`: recorded conversations found and exported, by the running dialer's API, which accounts for each playing.

It owns words only.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path

import click

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import CommandRefusedError

_COLUMNS = ("id", "began_at_utc", "campaign", "agent", "seconds", "state", "container", "attempt_id")


@click.group(epilog=example("dialer recordings find --agent ana", "dialer recordings export ID call.ogg"))
def recordings() -> None:
    """Recorded conversations: find them, export them."""


@recordings.command(epilog=example("dialer recordings find --campaign cobranza --since 2026-11-22"))
@click.option("--campaign", default="", help="Of this campaign.")
@click.option("--agent", default="", help="Of this agent.")
@click.option("--attempt", default=None, help="Of this attempt.")
@click.option("--since", type=click.DateTime(), help="Begun then or later; UTC.")
@click.option("--until", type=click.DateTime(), help="Begun before; UTC.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="So many at most."
)
@invocation
def find(
    call: Invocation,
    campaign: str,
    agent: str,
    attempt: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    limit: int,
) -> None:
    """List recordings, the latest first."""
    with api(call.settings) as client:
        found = client.get(
            "/recordings", campaign=campaign or None, agent=agent or None, attempt=attempt,
            since=since.isoformat() if since else None, until=until.isoformat() if until else None, limit=limit,
        )  # fmt: skip
    call.give(found)
    call.table(_COLUMNS, [["" if one.get(name) is None else one[name] for name in _COLUMNS] for one in found])


@recordings.command(
    epilog=example("dialer recordings export ID call.ogg", "dialer recordings export ID - | ffplay -")
)
@click.argument("recording", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@invocation
def export(call: Invocation, recording: str, file: Path, *, force: bool) -> None:
    """Write a recording's sound to FILE, in the clear: left the customer, right what they heard of people; `-`: the standard output.

    Each export is in the audit log, as a playing.
    """
    to_output = str(file) == "-"
    if not to_output and file.exists() and not force:
        raise CommandRefusedError(f"{file} exists; nothing was written (--force overwrites it)")
    with api(call.settings) as client:
        sound = client.bytes_of(f"/recordings/{recording}/sound")
    if to_output:
        sys.stdout.buffer.write(sound)
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(sound)
    except OSError as error:
        raise CommandRefusedError(f"{file}: cannot be written: {error.strerror}") from error
    call.give({"recording": recording, "file": str(file), "bytes": len(sound)})
    call.say(f"Wrote {len(sound)} bytes to {file}, in the clear.")
