"""`dialer caller-ids`: how the numbers that we call from are received. It owns words only."""

from __future__ import annotations

import click

from dialer_core.campaigns.caller_id_health import LOOKED_BACK, Health, Sign, look
from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import open_store

_WORDS = {
    Sign.BLOCKED: "refused as unwanted",
    Sign.ANSWERED_LESS: "answered less",
    Sign.SHORT_CALLS: "hung up at once",
}


@click.command("caller-ids", epilog=example("dialer caller-ids", "dialer caller-ids --json"))
@invocation
def caller_ids(call: Invocation) -> int:
    """Show each caller ID of caller_ids.toml: attempts of the last week, and what speaks against it.

    A number is held against the others of its pool. One that is blocked is never rotated round: look into it with the carrier, and
    let it rest ('resting' in caller_ids.toml); whoever is called from it waits meanwhile.

    Ends with status 1 if something speaks against a number that does not rest.
    """
    settings = call.settings
    if not settings.caller_ids:
        call.give([])
        call.say(f"no pools of caller IDs; write some in {settings.directory / 'caller_ids.toml'}")
        return 0
    with open_store(settings) as database, database.read() as tx:
        now = SystemClock().utc()
        found = [one for name, pool in settings.caller_ids.items() for one in look(tx, name, pool, now)]
    call.give(found)
    call.table(
        (
            "pool",
            "number",
            "attempts",
            "answered",
            "short",
            "blocked",
            f"in the last {LOOKED_BACK.days} days",
        ),
        [_row(one) for one in found],
    )
    return 1 if any(one.signs and not one.resting for one in found) else 0


def _row(one: Health) -> tuple[str, ...]:
    words = ", ".join(_WORDS[sign] for sign in one.signs)
    state = "rests" if one.resting else ""
    return (
        one.pool, one.number, str(one.attempts), str(one.answered), str(one.short), str(one.blocked),
        "; ".join(part for part in (words, state) if part) or "-",
    )  # fmt: skip
