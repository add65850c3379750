"""Leads are put into the segments of their campaign's mix, again and again, for what they are made of changes by the day.

It owns the pace: reads of a few thousand leads, short writes of those that moved. Which leads an expression names is `store/segments.py`'s. It
runs in the host; on several nodes each does the whole, and finds little left to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.errors import StoreError
from dialer_core.list_settings import SegmentSettings
from dialer_core.segment_language import parse
from dialer_core.store import segments
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 60.0
_LOOKED_AT, _WRITTEN = 4000, 250
_BREATH_S: Final = 0.02
"""Between two writes of a long list: claims come between."""


async def put_all(
    database: Database,
    campaigns: Mapping[CampaignId, CampaignSettings],
    known: Mapping[str, SegmentSettings],
) -> int:
    """Put every unfinished lead of each campaign with a mix into its segment; return how many moved."""
    moved = 0
    for campaign_id, settings in campaigns.items():
        mix = [(part.segment, parse(known[part.segment].where)) for part in settings.hopper.mix]
        after: str | None = None
        while mix:
            changes, after = await asyncio.to_thread(_look, database, campaign_id, mix, after)
            for begin in range(0, len(changes), _WRITTEN):
                await asyncio.to_thread(_write, database, changes[begin : begin + _WRITTEN])
                await asyncio.sleep(_BREATH_S)
            moved += len(changes)
            if after is None:
                break
    return moved


def _look(
    database: Database, campaign_id: CampaignId, mix: segments.MixOf, after: str | None
) -> segments.Changes:
    with database.read() as tx:
        return segments.to_change(tx, campaign_id, mix, database.clock.utc(), after, _LOOKED_AT)


def _write(database: Database, changes: list[segments.Change]) -> None:
    with database.write() as tx:
        segments.put(tx, changes)


async def watch(
    database: Database,
    campaigns: Mapping[CampaignId, CampaignSettings],
    known: Mapping[str, SegmentSettings],
) -> None:
    """Put leads into their segments until cancelled."""
    while True:
        try:
            if moved := await put_all(database, campaigns, known):
                log.info("leads_segmented", moved=moved)
        except StoreError as error:  # tried again in a moment
            log.warning("leads_not_segmented", error=str(error))
        await asyncio.sleep(INTERVAL_S)
