"""An agent's own inbox over HTTP: what they see of whom, what they do with theirs, and that it is nobody else's."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import VirtualClock
from dialer_core.event_tail import EventTail
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.messaging.channel import Inbound
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.messenger import Messenger
from dialer_core.messaging.templates import load_template
from dialer_core.plugin_api import EngineHandle
from dialer_core.settings import AgentSettings, DialerSettings, Settings
from dialer_core.store import people
from dialer_core.store.database import Database
from dialer_core.verify import verify_store
from dialer_core.vocabulary import AccountId, AgentId, CampaignId, new_id
from dialer_core.web.principals import Principal, Scope
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, put_list_campaign, rows
from tests.http.test_webhooks import Provider
from tests.plugins.plugin_sets import Refusing

pytestmark = pytest.mark.db

NUMBER, OTHER = "+525512345678", "+525587654321"
AGENTS = {
    AgentId("ana"): AgentSettings(sip="sip:ana@127.0.0.1", chats=1),
    AgentId("eva"): AgentSettings(sip="sip:eva@127.0.0.1", skills={"legal": 5}),
}


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead who owes 1,000.00."""
    with database.write() as tx:
        put_list_campaign(tx)
        one = put_lead(tx, [NUMBER])
        people.update_account(tx, one.account, {"balance_minor": 100_000, "currency": "MXN"})
        people.update_person(tx, one.person, {"name": "Rosa Solís"})
    return one


class Desks:
    """Agents' browsers, and somebody who writes to them."""

    def __init__(self, database: Database, folder: Path, campaign: CampaignSettings) -> None:
        self.clock = VirtualClock(NOON)
        (folder / "aviso.toml").write_text(
            'channel = "sms"\n[text]\nes = "{{ first_name }}. Responda BAJA."\n'
        )
        campaigns = {CampaignId(CAMPAIGN): campaign}
        self.messenger = Messenger(
            database, templates={"aviso": load_template(folder / "aviso.toml")}, campaigns=campaigns, packs={}, clock=self.clock,
            agents=AGENTS,
        )  # fmt: skip
        self.messenger.add_channel("sms", Provider())
        engine = EngineHandle(port=Refusing(), tail=EventTail(database), clock=self.clock, actor="test", messenger=self.messenger)  # fmt: skip
        dialer = DialerSettings.model_validate({"node": {"state_dir": str(folder / "state")}})
        settings = Settings(folder, dialer, {}, AGENTS, campaigns)
        parts = ApiParts(engine=engine, database=database, plugins=list, settings=settings, packs={})

        class Agents(Access):
            async def of_token(self, presented: str) -> Principal | None:
                return Principal(presented, frozenset({Scope.DESK}), agent=presented)

        self.app = create_app(parts, Agents(database, "t", "k"))
        self.told = 0

    def of(self, name: str) -> httpx2.AsyncClient:
        """Return an agent's browser."""
        transport = httpx2.ASGITransport(app=self.app)
        headers = {"Authorization": f"Bearer {name}"}
        return httpx2.AsyncClient(
            transport=transport, base_url=f"http://t/api/v1/agents/{name}", headers=headers
        )

    def hear(self, text: str, sender: str = NUMBER) -> None:
        """Let somebody write, a minute later."""
        self.told += 1
        self.clock.set_elapsed_s(60.0 * self.told)
        channel = self.messenger.sender("sms")
        assert channel is not None
        channel.take([Inbound(provider_id=f"I{self.told}", sender=sender, text=text)])


@pytest.fixture
def desks(database: Database, tmp_path: Path) -> Desks:
    """Two agents of a campaign that asks nothing of those who answer."""
    return Desks(database, tmp_path, CampaignSettings(rule_pack="mx", trunks=("t",)))


async def test_an_agent_takes_answers_and_hands_back(
    desks: Desks, listed: Listed, database: Database
) -> None:
    """Of who waits only that they wait; of one's own the words, and the debt once they are known; an answer sent twice is queued once."""
    desks.hear("ya no puedo pagar")
    async with desks.of("ana") as ana, desks.of("eva") as eva:
        [waits] = (await ana.get("/chats")).json()["waiting"]
        assert (waits["unread"], waits["name"], waits["last"]) == (1, "", "")
        chat = f"/chats/{waits['id']}"
        assert (await ana.get(chat)).status_code == 409
        assert (await ana.post(f"{chat}/take")).status_code == 200
        talk = (await ana.get(chat)).json()
        assert (talk["person"], talk["balance_minor"], talk["chat"]["unread"]) == ("Rosa Solís", None, 1)
        assert [one["text"] for one in talk["written"]] == ["ya no puedo pagar"]
        await ana.post(f"{chat}/seen")
        counted = await desks.messenger.inbox.counts()
        assert (counted[AgentId("ana")].own, counted[AgentId("ana")].unread, "eva" in counted) == (
            1,
            0,
            False,
        )
        desks.hear("¿me oyen?")
        assert (await desks.messenger.inbox.counts())[AgentId("ana")].mark != counted[AgentId("ana")].mark
        [mine] = (await ana.get("/chats")).json()["own"]
        assert (mine["unread"], mine["last"]) == (1, "¿me oyen?")
        await ana.post(f"{chat}/identity")
        assert (await ana.get(chat)).json()["balance_minor"] == 100_000
        said = {"text": "Le ofrezco dos pagos.", "key": new_id()}
        for _ in range(2):
            assert (await ana.post(f"{chat}/reply", json=said)).status_code == 200
        assert (await eva.post(f"{chat}/reply", json=said | {"key": new_id()})).status_code == 409
        assert (await eva.post(f"{chat}/close")).status_code == 409
        assert (await ana.post(f"{chat}/to-bot")).status_code == 409  # no flow answers there
        assert (await ana.post(f"{chat}/put-back")).status_code == 200
        assert (await eva.post(f"{chat}/take")).status_code == 200
        assert [one["text"] for one in (await eva.get(chat)).json()["written"]][-1] == said["text"]
        assert (await eva.post(f"{chat}/close")).status_code == 200
    with database.read() as tx:
        [sent] = [one for one in rows(tx, "message") if one["state"] == "queued"]
        told = [(one["actor"], one["action"]) for one in rows(tx, "audit")]
    assert (sent["purpose"], sent["account_id"], sent["address"]) == ("answer", listed.account, NUMBER)
    assert ("api:ana", "identity.verified") in told
    assert ("api:eva", "chat.closed") in told
    assert verify_store(database).violations == []


async def test_nobody_has_more_than_they_may_or_lacks_a_skill(database: Database, tmp_path: Path, listed: Listed) -> None:  # fmt: skip
    """One who may have one chat has no second; a campaign's skill keeps its chats from who lacks it; an address of nobody cannot be answered."""
    desks = Desks(
        database, tmp_path, CampaignSettings(rule_pack="mx", trunks=("t",), routing={"skills": {"legal": 3}})
    )
    async with desks.of("ana") as ana, desks.of("eva") as eva:
        desks.hear("hola", "+525500000009")
        desks.hear("hola", OTHER)
        first, second = (await ana.get("/chats")).json()["waiting"]
        assert (await ana.post(f"/chats/{first['id']}/take")).status_code == 200
        refused = await ana.post(f"/chats/{second['id']}/take")
        assert (refused.status_code, "has 1 chats already" in refused.text) == (409, True)
        talk = (await ana.get(f"/chats/{first['id']}")).json()
        assert (talk["can_answer"], talk["external_id"]) == (False, "")
        said = await ana.post(f"/chats/{first['id']}/reply", json={"text": "hola", "key": new_id()})
        assert (said.status_code, "nobody on any list" in said.text) == (409, True)
        assert (await ana.post(f"/chats/{first['id']}/identity")).status_code == 409
        about = MessageRequest(
            campaign_id=CampaignId(CAMPAIGN), account_id=AccountId(listed.account), template="aviso"
        )
        await desks.messenger.queue(about, actor="test")
        desks.hear("quiero un abogado")  # in answer to that campaign's text, whose chats ask for a skill
        counted = await desks.messenger.inbox.counts()
        assert (counted[AgentId("ana")].waiting, counted[AgentId("eva")].waiting) == (1, 2)
        legal = (await eva.get("/chats")).json()["waiting"][-1]
        assert legal["campaign"] == CAMPAIGN
        assert (await ana.post(f"/chats/{first['id']}/close")).status_code == 200
        refused = await ana.post(f"/chats/{legal['id']}/take")
        assert (refused.status_code, "asks for the skill legal" in refused.text) == (409, True)
        assert (await eva.get("http://t/api/v1/agents/ana/chats")).status_code == 403
