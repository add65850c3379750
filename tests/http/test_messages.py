"""Messages over HTTP: queued once, seen, taken back, each under the name of whoever asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import VirtualClock
from dialer_core.event_tail import EventTail
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.messaging.channel import Inbound
from dialer_core.messaging.messenger import Messenger
from dialer_core.messaging.templates import load_template
from dialer_core.plugin_api import EngineHandle
from dialer_core.settings import AgentSettings, DialerSettings, Settings
from dialer_core.store.database import Database
from dialer_core.vocabulary import AgentId, CampaignId
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, put_list_campaign, rows
from tests.http.test_webhooks import Provider
from tests.plugins.plugin_sets import Refusing

pytestmark = pytest.mark.db


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead."""
    with database.write() as tx:
        put_list_campaign(tx)
        return put_lead(tx, ["+525512345678"])


@pytest.fixture
def messenger(database: Database, tmp_path: Path) -> Messenger:
    """Return a messenger with one template and a channel for SMS."""
    file = tmp_path / "aviso.toml"
    file.write_text(
        'channel = "sms"\n[given]\nfolio = "plain"\n[text]\nes = "{{ first_name }} {{ folio }}. Responda BAJA."\n'
    )
    campaigns = {CampaignId(CAMPAIGN): CampaignSettings(rule_pack="mx", trunks=("t",))}
    found = Messenger(
        database,
        templates={"aviso": load_template(file)},
        campaigns=campaigns,
        packs={},
        clock=VirtualClock(NOON),
        agents={AgentId("ana"): AgentSettings(sip="sip:ana@127.0.0.1")},
    )
    found.add_channel("sms", Provider())
    return found


@pytest.fixture
async def client(database: Database, tmp_path: Path, messenger: Messenger) -> Any:
    """Return a client of the API."""
    clock = VirtualClock(NOON)
    dialer = DialerSettings.model_validate({"node": {"state_dir": str(tmp_path / "state")}})
    engine = EngineHandle(
        port=Refusing(), tail=EventTail(database), clock=clock, actor="test", messenger=messenger
    )
    parts = ApiParts(engine=engine, database=database, plugins=list, settings=Settings(tmp_path, dialer, {}, {}, {}), packs={})  # fmt: skip
    transport = httpx2.ASGITransport(app=create_app(parts, Access(database, "t", "k")))
    headers = {"Authorization": "Bearer t"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://t/api/v1", headers=headers) as found:
        yield found


def request(listed: Listed, **more: Any) -> dict[str, Any]:
    """Return the body of a request."""
    return {
        "campaign": CAMPAIGN,
        "account": listed.account,
        "template": "aviso",
        "given": {"folio": "7"},
        **more,
    }


async def test_a_message_from_request_to_cancel(
    client: httpx2.AsyncClient, database: Database, listed: Listed
) -> None:
    """Queued once under its key, listed, in the person's conversation, taken back once, all of it accounted for."""
    first = (await client.post("/messages", json=request(listed, request_key="k1"))).json()["id"]
    assert (await client.post("/messages", json=request(listed, request_key="k1"))).json() == {"id": first}
    [one] = (await client.get("/messages", params={"state": "queued"})).json()
    assert (one["id"], one["body"], one["source"]) == (first, "Debtor 7. Responda BAJA.", "api:local")
    assert (await client.get("/channels")).json()[0]["queued"] == 1
    assert [m["id"] for m in (await client.get(f"/people/{listed.person}/messages")).json()] == [first]
    assert (await client.post(f"/messages/{first}/release")).status_code == 409
    assert (await client.post(f"/messages/{first}/cancel", json={"reason": "mistake"})).status_code == 200
    assert (await client.post(f"/messages/{first}/cancel")).status_code == 409
    with database.read() as tx:
        assert [row["reason"] for row in rows(tx, "message")] == ["mistake"]
        assert "message.cancelled" in [row["action"] for row in rows(tx, "audit")]


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"campaign": "none"}, 404, "no campaign"),
        ({"template": "none"}, 404, "there are: aviso"),
        ({"account": "0198c9a4-7c1e-7000-8000-000000000001"}, 404, "no account"),
        ({"given": {}}, 422, "needs folio"),
        ({"given": {"folio": "x" * 1001}}, 422, "given"),
        ({"template": "", "body": "hola", "channel": "email"}, 404, "no plugin sends by email"),
        ({"template": "", "body": ""}, 422, "a message has a template, or"),
        ({"colour": 1}, 422, "colour"),
    ],
)
async def test_what_cannot_be_sent(
    client: httpx2.AsyncClient,
    database: Database,
    listed: Listed,
    more: dict[str, Any],
    status: int,
    said: str,
) -> None:
    """Each is told why, and nothing is queued."""
    answer = await client.post("/messages", json=request(listed) | more)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    with database.read() as tx:
        assert rows(tx, "message") == []


async def test_a_message_by_hand_is_accounted_for(
    client: httpx2.AsyncClient, database: Database, listed: Listed
) -> None:
    """What a person wrote themselves stands in the audit, under their name."""
    by_hand = {"campaign": CAMPAIGN, "account": listed.account, "body": "Le llamo a las 5.", "channel": "sms"}
    assert (await client.post("/messages", json=by_hand)).status_code == 200
    with database.read() as tx:
        assert [row["actor"] for row in rows(tx, "audit") if row["action"] == "message.written"] == [
            "api:local"
        ]


async def test_the_inbox(client: Any, messenger: Messenger, listed: Listed, database: Database) -> None:
    """What nobody answers waits; an agent of `agents.toml` takes it, puts it back, closes it; nobody else can."""
    sender = messenger.sender("sms")
    assert sender is not None
    sender.take([Inbound(provider_id="I1", sender="+525512345678", text="hola")])
    [chat] = (await client.get("/chats")).json()
    assert (chat["person_id"], chat["state"]) == (listed.person, "waiting")
    assert (await client.post(f"/chats/{chat['id']}/take", json={"agent": "nobody"})).status_code == 404
    assert (await client.post(f"/chats/{chat['id']}/to-bot")).status_code == 409
    taken = await client.post(f"/chats/{chat['id']}/take", json={"agent": "ana"})
    assert (taken.status_code, taken.json()["agent_id"]) == (200, "ana")
    assert (await client.get("/chats", params={"state": "with_agent", "agent": "ana"})).json() == [
        taken.json()
    ]
    assert (await client.post(f"/chats/{chat['id']}/put-back")).json()["state"] == "waiting"
    assert len((await client.get("/chats", params={"agent": "ana"})).json()) == 1
    assert (await client.post(f"/chats/{chat['id']}/close")).json()["state"] == "closed"
    assert (await client.post(f"/chats/{chat['id']}/close")).status_code == 409
    with database.read() as tx:
        told = [one["action"] for one in rows(tx, "audit")]
    assert {"chat.taken", "chat.put_back", "chat.closed"} <= set(told)


async def test_e_mail_addresses(client: Any, listed: Listed) -> None:
    """One more for a person, once; what is none, or of nobody, is refused."""
    where = f"/people/{listed.person}/emails"
    for _ in range(2):
        [one] = (await client.put(where, json={"address": "Ana@Example.mx"})).json()
        assert one["address"] == "ana@example.mx"
    assert (await client.put(where, json={"address": "ana"})).status_code == 422
    assert (await client.put(f"/people/{listed.lead}/emails", json={"address": "a@b.mx"})).status_code == 404
