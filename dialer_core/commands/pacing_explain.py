"""`dialer pacing explain`: the pacer's decisions in words, from the event log."""

from __future__ import annotations

import sys
import time
from collections import deque

import click
import msgspec

from dialer_core.commands.events import FOLLOW_PAUSE_S
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import ConfigError
from dialer_core.events import PacingDecided, StoredEvent
from dialer_core.pacing_words import decision_words
from dialer_core.store import events as event_rows
from dialer_core.store.database import open_database

_NAME = "pacing.decided"


@click.command(
    epilog=example("dialer pacing explain --last 5", "dialer pacing explain --campaign cobranza --follow")
)
@click.option("--campaign", default=None, metavar="NAME", help="Only pools that dial this campaign.")
@click.option(
    "--last", type=click.IntRange(min=1), default=20, show_default=True, help="So many of the last decisions."
)
@click.option("--follow", is_flag=True, help="Then print each new decision, until Ctrl-C.")
@invocation
def explain(call: Invocation, *, campaign: str | None, last: int, follow: bool) -> None:
    """Say why the dialer placed what it placed; with --json one object a line.

    Decisions that placed and released nothing, bound by what bound the one before, are counted (`quiet_steps`), not stored.
    """
    settings = call.settings
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.require_current()
        cursor, shown = "", deque[StoredEvent](maxlen=last)
        said = False
        while True:
            with database.read() as tx:
                page = event_rows.page(tx, cursor, (_NAME,))
            shown.extend(event for event in page.events if _concerns(event, campaign))
            cursor = page.cursor
            if page.events:
                continue
            if not shown and not said:
                _say_nothing(call, campaign)
            said = True
            while shown:
                click.echo(_line(shown.popleft(), as_json=call.as_json))
            if not follow:
                return
            sys.stdout.flush()
            time.sleep(FOLLOW_PAUSE_S)
    except KeyboardInterrupt:
        return
    finally:
        database.dispose()


def _say_nothing(call: Invocation, campaign: str | None) -> None:
    known = sorted(call.settings.campaigns)
    if campaign is not None and campaign not in known:
        msg = f"no campaign {campaign!r} in campaigns/; there are: {', '.join(known) or 'none'}"
        raise ConfigError(msg)
    of = f" of campaign {campaign}" if campaign else ""
    click.echo(f"no decision{of} is recorded: a pool decides once a campaign of its agents dials", err=True)


def _concerns(event: StoredEvent, campaign: str | None) -> bool:
    return campaign is None or campaign in str(event.data.get("pool", "")).split("+")


def _line(event: StoredEvent, *, as_json: bool) -> str:
    told = msgspec.convert(event.data, PacingDecided)
    words = decision_words(told)
    if as_json:
        return msgspec.json.encode({"at_utc": event.at_utc, **event.data, "words": words}).decode()
    quiet = f" (after {told.quiet_steps} quiet steps)" if told.quiet_steps else ""
    return f"{event.at_utc} {told.pool}: {words}{quiet}"
