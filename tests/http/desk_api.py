"""The API over a store without a running engine: what is read and written about accounts needs none."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from dialer_core.clock import Clock
from dialer_core.event_tail import EventTail
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.plugin_api import EngineHandle
from dialer_core.settings import AgentSettings, CampaignSettings, DialerSettings, Settings
from dialer_core.store.database import Database
from dialer_core.vocabulary import AgentId, CampaignId
from tests.plugins.plugin_sets import Refusing


@contextlib.asynccontextmanager
async def desk_api(
    folder: Path, database: Database, clock: Clock, campaign: str = "spring"
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve a store; agent `ana` is known, and one campaign."""
    agents = {AgentId("ana"): AgentSettings(sip="sip:ana@127.0.0.1:5070")}
    campaigns = {CampaignId(campaign): CampaignSettings(rule_pack="mx", trunks=("t",))}
    dialer = DialerSettings.model_validate({"node": {"state_dir": str(folder / "state")}})
    settings = Settings(folder, dialer, {}, agents, campaigns)
    engine = EngineHandle(port=Refusing(), tail=EventTail(database), clock=clock, actor="test")
    parts = ApiParts(engine=engine, database=database, plugins=list, settings=settings, packs={})
    transport = httpx2.ASGITransport(app=create_app(parts, Access(database, "t", "k")))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://t/api/v1", headers={"Authorization": "Bearer t"}
    ) as client:
        yield client
