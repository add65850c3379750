"""`dialer amd quality`: what detection does in each campaign, estimated from what agents heard. The estimate is `compliance`'s."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import click

from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.compliance.detection_quality import BEGINNING, Quality, Share
from dialer_core.compliance.detection_quality import quality as estimated
from dialer_core.errors import CommandRefusedError
from dialer_core.store import campaigns
from dialer_core.store.database import open_database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

COLUMNS = (
    "campaign",
    "people lost",
    "95 %",
    "machines passed",
    "95 %",
    "machine verdicts",
    "heard by agents",
    "were people",
    "passed",
    "heard by agents",
    "were machines",
)


@click.command(epilog=example("dialer amd quality", "dialer amd quality cobranza --days 30 --json"))
@click.argument("campaign", required=False)
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="Only calls of the last so many days."
)
@invocation
def quality(call: Invocation, campaign: str | None, days: float | None) -> None:
    """Show how many people detection loses, and how many machines it passes.

    Read from the store, from what agents said of the calls they got: those taken for people, and the share of machine
    verdicts that is connected anyway ([machines] sample), each weighed by how seldom it is. With 95 % intervals; a figure
    that nobody has heard anything for is missing, not zero.
    """
    settings = call.settings
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    since = BEGINNING if days is None else dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    try:
        database.require_current()
        with database.read() as tx:
            names = asked_for(tx, campaign, settings.campaigns)
            found = [estimated(tx, CampaignId(name), since) for name in names]
    finally:
        database.dispose()
    call.give(found)
    call.table(COLUMNS, [_row(one) for one in found])


def asked_for(tx: Tx, campaign: str | None, configured: Iterable[str]) -> list[str]:
    """Return the campaign of a command line, or all that are known; CommandRefusedError where nobody knows it."""
    known = sorted({*campaigns.states(tx), *configured})
    if campaign is not None and campaign not in known:
        raise CommandRefusedError(f"no campaign {campaign!r}; known are: {', '.join(known) or 'none'}")
    return known if campaign is None else [campaign]


def _row(one: Quality) -> list[object]:
    return [
        one.campaign, *_cells(one.people_lost), *_cells(one.machines_passed), one.machine_verdicts, one.sampled_heard, one.sampled_people,
        one.passed, one.passed_heard, one.passed_machines,
    ]  # fmt: skip


def _cells(share: Share) -> tuple[str, str]:
    shown = "unknown" if share.estimate is None else f"{share.estimate:.2%}"
    return shown, f"{share.low:.2%} to {share.high:.2%}"
