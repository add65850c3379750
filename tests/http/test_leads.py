"""`leads/{id}/why`: the gate's own words over HTTP."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import httpx2
import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns.leads_import import import_leads
from dialer_core.clock import SystemClock
from dialer_core.compliance.packs import load_pack
from dialer_core.event_tail import EventTail
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.plugin_api import EngineHandle
from dialer_core.settings import DialerSettings, Settings
from dialer_core.store import campaigns, restrictions, scan
from dialer_core.store.database import open_database
from dialer_core.vocabulary import CampaignId, RestrictionKind, RestrictionScope, new_id
from tests.plugins.plugin_sets import Refusing

pytestmark = pytest.mark.db

C = CampaignId("c")


async def test_a_restricted_lead_says_why(tmp_path: Path) -> None:
    """The answer names rule and reason, in words and by number; without a number in it. No such lead: 404."""
    campaign = CampaignSettings(rule_pack="demo", trunks=("t",))
    settings = Settings(tmp_path, DialerSettings(), {}, {}, {C: campaign})
    with as_file(files("dialer_core") / "config_defaults" / "compliance" / "demo.toml") as file:
        pack = load_pack(file)
    file = tmp_path / "leads.csv"
    file.write_text("cuenta,telefono,zona\nA1,55 0000 0101,America/Mexico_City\n")
    database = open_database(f"sqlite:///{tmp_path}/s.db")
    database.migrate()
    try:
        with database.write() as tx:
            campaigns.sync(tx, {C: campaign.model_dump(mode="json")})
        import_leads(database, file, C, clock=SystemClock(), reject_dir=tmp_path)
        with database.write() as tx:
            restrictions.add_missing(
                tx, RestrictionKind.DO_NOT_CALL, RestrictionScope.NUMBER, ["+525500000101"],
                source="test", from_utc=SystemClock().utc(),
            )  # fmt: skip
            (lead,) = scan.rows(tx, "lead")
        engine = EngineHandle(port=Refusing(), tail=EventTail(database), clock=SystemClock(), actor="test")
        parts = ApiParts(
            engine=engine, database=database, plugins=list, settings=settings, packs={"demo": pack}
        )
        transport = httpx2.ASGITransport(app=create_app(parts, Access(None, "t", "k")))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://t", headers={"Authorization": "Bearer t"}
        ) as client:
            answer = await client.get(f"/api/v1/leads/{lead.id}/why")
            assert (await client.get(f"/api/v1/leads/{new_id()}/why")).status_code == 404
    finally:
        database.dispose()
    assert answer.status_code == 200
    assert answer.json()["lead"]["numbers"][0]["rule"] == "do_not_call"
    assert "blocked now: do_not_call" in answer.json()["words"]
    assert "5500000101" not in answer.text
