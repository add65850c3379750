"""`dialer segments`: which leads a segment names, counted live, and what the language knows.

It owns words only; the language is `segment_language.py`'s, the counts are `store/segments.py`'s.
"""

from __future__ import annotations

import click

from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import campaign_of, open_store
from dialer_core.errors import CommandRefusedError
from dialer_core.money import written
from dialer_core.segment_language import FIELDS, Node, SegmentError, parse
from dialer_core.settings import Settings
from dialer_core.store import segments as segment_rows
from dialer_core.vocabulary import LeadState

_CAMPAIGN = click.option("--campaign", required=True, metavar="NAME", help="On whose list.")


@click.group(
    epilog=example(
        "dialer segments list",
        "dialer segments count mora_60 --campaign cobranza",
        "dialer segments count 'balance > 5000 and promises_broken >= 1' --campaign cobranza",
    )
)
def segments() -> None:
    """Name parts of a list by what is known of them, count and look at them."""


@segments.command("list", epilog=example("dialer segments list", "dialer segments list --campaign cobranza"))
@click.option("--campaign", default=None, metavar="NAME", help="Count the leads on this campaign's list.")
@invocation
def list_segments(call: Invocation, campaign: str | None) -> None:
    """List the segments of segments.toml, with how many unfinished leads each names now."""
    settings = call.settings
    found = []
    for name, its in settings.segments.items():
        counts = _counts(settings, campaign, parse(its.where)) if campaign else {}
        found.append(
            {"name": name, "label": its.label or name, "where": its.where, "leads": _unfinished(counts)}
        )
    if not campaign:
        found = [{key: value for key, value in one.items() if key != "leads"} for one in found]
    call.give(found)
    if not found:
        call.say(f"no segments; write some in {settings.directory / 'segments.toml'} (docs: Campaigns)")
        return
    call.table(tuple(found[0]), [tuple(one.values()) for one in found])


@segments.command("fields", epilog=example("dialer segments fields"))
@invocation
def list_fields(call: Invocation) -> None:
    """List what an expression may ask about a lead."""
    found = [
        {"field": name, "compared with": kind.value, "meaning": text} for name, (kind, text) in FIELDS.items()
    ]
    found.append(
        {
            "field": "attribute.NAME",
            "compared with": "a text in quotes",
            "meaning": "a free attribute of the account",
        }
    )
    call.give(found)
    call.table(tuple(found[0]), [tuple(one.values()) for one in found])


@segments.command("count", epilog=example("dialer segments count mora_60 --campaign cobranza"))
@click.argument("which")
@_CAMPAIGN
@invocation
def count_leads(call: Invocation, which: str, *, campaign: str) -> None:
    """Count the leads that WHICH names now, by state: a segment's name, or an expression."""
    settings = call.settings
    counts = _counts(settings, campaign, _node(settings, which))
    call.give({state.value: number for state, number in counts.items()})
    call.say(f"{sum(counts.values())} leads, {_unfinished(counts)} of them unfinished")
    call.table(("state", "leads"), [(state, number) for state, number in counts.items()])


@segments.command(
    "preview", epilog=example("dialer segments preview 'days_past_due >= 60' --campaign cobranza")
)
@click.argument("which")
@_CAMPAIGN
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many at most.")
@invocation
def preview_leads(call: Invocation, which: str, *, campaign: str, limit: int) -> None:
    """Show the first unfinished leads that WHICH names, by priority: a segment's name, or an expression."""
    settings = call.settings
    node = _node(settings, which)
    with open_store(settings) as database, database.read() as tx:
        found = segment_rows.preview(tx, campaign_of(settings, campaign), node, SystemClock().utc(), limit)
    call.give(found)
    call.table(
        ("account", "days past due", "balance", "product", "state"),
        [
            (
                one.external_id,
                "" if one.days_past_due is None else one.days_past_due,
                "" if one.balance_minor is None else written(one.balance_minor, one.currency),
                one.product or "",
                one.state,
            )
            for one in found
        ],
    )


def _node(settings: Settings, which: str) -> Node:
    its = settings.segments.get(which)
    try:
        return parse(its.where if its is not None else which)
    except SegmentError as error:
        known = ", ".join(settings.segments) or "none"
        msg = f"{which!r} is no segment (known are: {known}) and no expression: {error}"
        raise CommandRefusedError(msg, "invalid") from None


def _counts(settings: Settings, campaign: str, node: Node) -> dict[LeadState, int]:
    with open_store(settings) as database, database.read() as tx:
        return segment_rows.count(tx, campaign_of(settings, campaign), node, SystemClock().utc())


def _unfinished(counts: dict[LeadState, int]) -> int:
    return sum(number for state, number in counts.items() if state is not LeadState.FINISHED)
