"""`dialer events`: the event log, from the store (page after page) or live from the running dialer."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import ConfigError
from dialer_core.events import EVENTS, StoredEvent
from dialer_core.store import events as event_rows
from dialer_core.store.database import open_database

FOLLOW_PAUSE_S = 0.5


@click.command(epilog=example("dialer events --name attempt.ended", "dialer events --follow --json"))
@click.option("--follow", is_flag=True, help="Begin at the end, and print each new event until Ctrl-C.")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Only this event; may be given again.")
@click.option("--attempt", default=None, metavar="ID", help="Only events of this attempt.")
@click.option("--campaign", default=None, metavar="NAME", help="Only events of this campaign.")
@invocation
def events(
    call: Invocation, *, follow: bool, names: tuple[str, ...], attempt: str | None, campaign: str | None
) -> None:
    """Print the event log, one event a line; with --json one object a line."""
    if unknown := next((name for name in names if name not in EVENTS), None):
        raise ConfigError(f"--name: {unknown!r} is not an event; events are: {', '.join(sorted(EVENTS))}")
    settings = call.settings
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.require_current()
        cursor = ""
        if follow:
            with database.read() as tx:
                cursor = event_rows.format_cursor(event_rows.last_positions(tx))
        while True:
            with database.read() as tx:
                page = event_rows.page(tx, cursor, names or None, attempt_id=attempt, campaign_id=campaign)
            for event in page.events:
                click.echo(_line(event, as_json=call.as_json))
            cursor = page.cursor
            if not page.events:
                if not follow:
                    return
                sys.stdout.flush()
                time.sleep(FOLLOW_PAUSE_S)
    except KeyboardInterrupt:
        return
    finally:
        database.dispose()


def _line(event: StoredEvent, *, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(event).decode()
    ids = {"campaign": event.campaign_id, "attempt": event.attempt_id, "account": event.account_id}
    said = {**{key: value for key, value in ids.items() if value}, **event.data}
    return f"{event.at_utc} {event.name:<22} " + " ".join(f"{key}={value}" for key, value in said.items())
