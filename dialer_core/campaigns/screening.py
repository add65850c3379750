"""The hopper kept clear: leads that the gate would refuse are taken out of the ready ones before a claim meets them.

It owns the pass over a campaign's ready leads, and when one is due. What is refused and why is the gate's (`hopper.refused_of`), and the claim
asks it again in its own transaction: a pass saves claims their work and decides nothing for them.

A pass reads in a snapshot of its own and keeps nobody from writing; whoever seems to be refused is asked about again, a few at a time, in the short
transaction that writes it down.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Collection, Mapping
from typing import Final

import msgspec
import structlog

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper, refusals
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import StoreError
from dialer_core.store import callbacks, campaigns, import_runs, leads
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId, CampaignState, LeadId

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 5.0
_READ_AT_ONCE: Final = 500
_WRITTEN_AT_ONCE: Final = 50


class Screened(msgspec.Struct, frozen=True):
    """What a pass found."""

    looked_at: int
    refused: int


def screen(
    database: Database,
    campaign_id: CampaignId,
    settings: CampaignSettings,
    pack: RulePack,
    *,
    now: dt.datetime | None = None,
) -> Screened:
    """Go over a campaign's ready leads once and take out those that may not be dialed now.

    Raises
    ------
    StoreError
        The database is away; what was taken out stays out.
    """
    at = now or database.clock.utc()
    looked_at = refused = 0
    with database.read() as tx:
        for batch in leads.each_ready(tx, campaign_id, _READ_AT_ONCE):
            looked_at += len(batch)
            asked = callbacks.asked_now(tx, [lead.id for lead in batch], at)
            suspects = [lead.id for lead, _ in hopper.refused_of(tx, batch, settings, pack, at, asked)]
            for first in range(0, len(suspects), _WRITTEN_AT_ONCE):
                some = suspects[first : first + _WRITTEN_AT_ONCE]
                refused += _refuse(database, campaign_id, some, settings, pack, at)
    return Screened(looked_at, refused)


def _refuse(
    database: Database,
    campaign_id: CampaignId,
    lead_ids: Collection[LeadId],
    settings: CampaignSettings,
    pack: RulePack,
    now: dt.datetime,
) -> int:
    with database.write() as tx:
        batch = leads.take_those_ready(tx, campaign_id, lead_ids)
        asked = callbacks.asked_now(tx, [lead.id for lead in batch], now)
        found = hopper.refused_of(tx, batch, settings, pack, now, asked)
        for lead, block in found:
            refusals.tell(tx, campaign_id, lead, block)
        leads.block(tx, [block for _, block in found])
    return len(found)


async def watch(
    database: Database, settings: Mapping[CampaignId, CampaignSettings], packs: Mapping[str, RulePack]
) -> None:
    """Go over each running campaign's leads when the host begins and after each import, until cancelled."""
    seen: dict[CampaignId, dt.datetime | None] = {}
    while True:
        try:
            for name in await asyncio.to_thread(_due, database, seen):
                its = settings.get(name)
                if its is None or its.rule_pack not in packs:
                    continue
                found = await asyncio.to_thread(screen, database, name, its, packs[its.rule_pack])
                log.info(
                    "hopper_screened", campaign_id=name, looked_at=found.looked_at, refused=found.refused
                )
        except StoreError as error:  # tried again in a moment
            log.warning("hopper_not_screened", error=str(error))
            seen.clear()
        await asyncio.sleep(INTERVAL_S)


def _due(database: Database, seen: dict[CampaignId, dt.datetime | None]) -> list[CampaignId]:
    """Return the running campaigns not gone over since the last import ended, and take note that they are now."""
    with database.read() as tx:
        last = import_runs.last_ended(tx)
        running = [name for name, state in campaigns.states(tx).items() if state is CampaignState.RUNNING]
    due = [name for name in running if name not in seen or seen[name] != last]
    seen.update(dict.fromkeys(due, last))
    return due
