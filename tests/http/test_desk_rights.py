"""What an agent at their desk sees and may write: their conversation, what they are shown, and for a time what they talked about before."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from dialer_core.campaigns import hopper
from dialer_core.clock import VirtualClock
from dialer_core.event_tail import EventTail
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.http.desk_rights import WRITES_FOR
from dialer_core.http.documents import LASTS
from dialer_core.plugin_api import EngineHandle
from dialer_core.portfolio import proof
from dialer_core.settings import AgentSettings, CampaignSettings, DialerSettings, Settings
from dialer_core.snapshot import AgentView, ShownView
from dialer_core.store import agents, people
from dialer_core.store.agents import Intent
from dialer_core.store.database import Database
from dialer_core.vocabulary import AccountId, AgentId, AgentState, AttemptId, CampaignId, new_id
from dialer_core.web.principals import Principal, Scope
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TRUNK,
    Listed,
    put_lead,
    put_list_campaign,
    rows,
    settings_of,
)
from tests.campaigns.test_recycle import OPEN
from tests.host.scripted_engine import SNAPSHOT

pytestmark = pytest.mark.db

ANA = AgentId("ana")


class Floor:
    """An engine that knows what Ana does, and keeps the commands it is given."""

    def __init__(self) -> None:
        self.ana = AgentView(
            id="ana", name="Ana", state="ready", reason="", seconds_in_state=1.0, leg_up=True
        )
        self.commands: list[dict[str, Any]] = []

    def now(self, **what: Any) -> None:
        """Let her do something else."""
        self.ana = msgspec.structs.replace(self.ana, **({"attempt_id": None, "shown": None} | what))

    async def command(self, name: str, args: dict[str, Any], *, actor: str) -> Any:
        """Say what she does, or keep a command."""
        del actor
        if name == "status":
            return msgspec.to_builtins(msgspec.structs.replace(SNAPSHOT, agents=(self.ana,)))
        self.commands.append({"name": name, **args})
        return {}


class Desk:
    """Ana's browser, and what is behind it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = VirtualClock(NOON)
        self.floor = Floor()
        engine = EngineHandle(port=self.floor, tail=EventTail(database), clock=self.clock, actor="test")
        dialer = DialerSettings.model_validate({"node": {"state_dir": str(folder / "state")}})
        campaign = CampaignSettings(
            rule_pack="mx", trunks=("t",), creditor="Banco", promises={"most_instalments": 2}
        )
        settings = Settings(
            folder,
            dialer,
            {},
            {ANA: AgentSettings(sip="sip:ana@127.0.0.1:5070", name="Ana")},
            {CampaignId("spring"): campaign},
        )
        parts = ApiParts(engine=engine, database=database, plugins=list, settings=settings, packs={})

        class Agents(Access):
            async def of_token(self, presented: str) -> Principal | None:
                scopes = {"ana": {Scope.DESK}, "eva": {Scope.DESK}, "crm": set(Scope)}
                return Principal(
                    presented,
                    frozenset(scopes[presented]),
                    agent=presented if presented != "crm" else "",
                )

        self.app = create_app(parts, Agents(database, "t", "k"))
        self.client = self.as_user("ana")

    def as_user(self, name: str) -> httpx2.AsyncClient:
        """Return somebody's browser."""
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(
            transport=transport, base_url="http://t/api/v1", headers={"Authorization": f"Bearer {name}"}
        )

    def talk(self, listed: Listed) -> AttemptId:
        """Let Ana talk about an account: the attempt, and her interval."""
        with self.database.write() as tx:
            claimed = hopper.claim_named(
                tx, lead_id=listed.lead, trunk=TRUNK, settings=settings_of(), pack=OPEN, node="n", boot_id="b", now=NOON,
                agent_id=ANA,
            )  # fmt: skip
            assert not isinstance(claimed, str), claimed
            attempt = claimed.attempt_id
            agents.change_state(
                tx, ANA, new_id(), AgentState.TALKING, "", attempt, self.clock.utc(), 1, "b", Intent()
            )
        self.floor.now(state="talking", attempt_id=attempt, last_attempt_id=attempt)
        return attempt


@pytest.fixture
def leads(database: Database) -> tuple[Listed, Listed]:
    """Two people on a list, each owing 1,000.00."""
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, ["+525512345678"]), put_lead(tx, ["+525587654321"])
        for one in found:
            people.update_account(tx, one.account, {"balance_minor": 100_000, "currency": "MXN"})
        agents.sync(tx, {ANA: AgentSettings(sip="sip:ana@127.0.0.1:5070")})
    return found


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """Ana at her desk."""
    made = Desk(database, tmp_path)
    async with made.client:
        yield made


async def test_what_was_typed_arrives_in_the_next_conversation(
    desk: Desk, leads: tuple[Listed, Listed], database: Database
) -> None:
    """A note, a promise and an outcome of the conversation before are taken while the next one goes on, and for a shift; the account is not seen."""
    first, second = leads
    attempt = desk.talk(first)
    desk.talk(second)
    path = f"/accounts/{first.account}"
    assert (await desk.client.get(path)).status_code == 403
    note = {"note": "paga el viernes", "attempt": attempt, "key": new_id()}
    promise = {
        "instalments": [{"due_date": (NOON.date() + dt.timedelta(1)).isoformat(), "amount_minor": 30_000}],
        "attempt": attempt,
        "agent": "ana",
    }
    for kind, body in (("notes", note), ("promises", promise)):
        answer = await desk.client.post(f"{path}/{kind}", json=body)
        assert answer.status_code == 200, answer.text
    said = {"disposition": "promise", "attempt": attempt}
    assert (await desk.client.post("/agents/ana/disposition", json=said)).status_code == 200
    assert desk.floor.commands == [
        {"name": "attempts.disposition", "agent": "ana", "disposition": "promise", "attempt": attempt}
    ]
    stranger = {"disposition": "promise", "attempt": new_id()}
    assert (await desk.client.post("/agents/ana/disposition", json=stranger)).status_code == 403
    with database.write() as tx:
        other = put_lead(tx, ["+525500000001"]).account
    assert (await desk.client.post(f"/accounts/{other}/notes", json={"note": "x"})).status_code == 403
    desk.clock.set_elapsed_s(WRITES_FOR.total_seconds() + 1)
    assert (await desk.client.post(f"{path}/notes", json={"note": "tarde"})).status_code == 403
    with database.read() as tx:
        assert [row["note"] for row in rows(tx, "account_note")] == ["paga el viernes"]


async def test_agents_agree_to_what_the_campaign_lets_them(desk: Desk, leads: tuple[Listed, Listed]) -> None:
    """More payments than the campaign's policy are refused to an agent, with the limit, and taken of a supervisor."""
    first, _ = leads
    attempt = desk.talk(first)
    days = [(NOON.date() + dt.timedelta(1 + nth)).isoformat() for nth in range(3)]
    body = {"instalments": [{"due_date": day, "amount_minor": 10_000} for day in days], "attempt": attempt}
    refused = await desk.client.post(f"/accounts/{first.account}/promises", json=body)
    assert (refused.status_code, "at most 2 payments" in refused.text) == (422, True)
    async with desk.as_user("crm") as crm:
        assert (await crm.post(f"/accounts/{first.account}/promises", json=body)).status_code == 200


async def test_a_promise_of_no_conversation_is_no_way_round_it(
    desk: Desk, leads: tuple[Listed, Listed]
) -> None:
    """Left out, the conversation is none of another campaign's: the lists' own policies hold; another's conversation is not an agent's to name."""
    first, _ = leads
    desk.talk(first)
    days = [(NOON.date() + dt.timedelta(1 + nth)).isoformat() for nth in range(3)]
    body: dict[str, Any] = {"instalments": [{"due_date": day, "amount_minor": 10_000} for day in days]}
    path = f"/accounts/{first.account}/promises"
    refused = await desk.client.post(path, json=body)
    assert (refused.status_code, "at most 2 payments" in refused.text) == (422, True)
    two = body | {"instalments": body["instalments"][:2]}
    assert (await desk.client.post(path, json=two | {"attempt": new_id()})).status_code == 403
    assert (await desk.client.post(path, json=two)).status_code == 200


async def test_an_agent_chooses_no_other_campaigns_rules(desk: Desk, leads: tuple[Listed, Listed]) -> None:
    """A message goes by the rules of a campaign that has the account: an agent who names another's, with other hours and caps, is refused."""
    first, _ = leads
    desk.talk(first)
    body = {"campaign": "elsewhere", "template": "aviso", "key": new_id()}
    path = f"/accounts/{first.account}/messages"
    refused = await desk.client.post(path, json=body)
    assert (refused.status_code, "has this account" in refused.text) == (403, True)
    own = await desk.client.post(path, json=body | {"campaign": CAMPAIGN})
    assert "sends no messages" in own.text  # it came as far as the messenger, which this test has none of


async def test_what_speaks_of_the_debt_waits_for_the_person(
    desk: Desk, leads: tuple[Listed, Listed], database: Database, tmp_path: Path
) -> None:
    """Next step, messages and documents are refused until the conversation's person is known, whoever found it out."""
    first, second = leads
    document = _letter(database, tmp_path, first.account)
    path = f"/accounts/{first.account}"
    asks = [f"{path}/next_step?campaign=spring", f"{path}/messages?campaign=spring"]
    desk.talk(second)
    desk.talk(first)
    assert [(await desk.client.get(one)).status_code for one in asks] == [403, 403]
    another = f"/accounts/{second.account}/identity"  # whom she talked to before: not who is on the line
    assert (await desk.client.post(another, json={})).status_code in (403, 409)
    assert (await desk.client.post(f"{path}/documents/{document}/link")).status_code == 403
    assert (await desk.client.get(f"{path}/documents/{document}/content")).status_code == 403
    assert (await desk.client.post(f"{path}/identity", json={})).status_code == 200
    assert (await desk.client.get(asks[0])).status_code == 200
    again = Desk(database, tmp_path)  # the host has started anew
    again.floor.ana = desk.floor.ana
    async with again.client as client:
        assert (await client.get(path)).json()["account"]["balance_minor"] == 100_000
        assert (await client.post(f"{path}/documents/{document}/link")).status_code == 200


async def test_a_previewed_account_is_seen_until_somebody_may_answer(
    desk: Desk, leads: tuple[Listed, Listed]
) -> None:
    """Shown before it is dialed: all of it. Being dialed: nothing of the debt, nor in the conversation until the person is known."""
    first, second = leads
    shown = ShownView(
        lead=first.lead,
        account=first.account,
        campaign="spring",
        seconds_left=60.0,
        attempt=None,
        then="skip",
    )
    desk.floor.now(state="ready")
    desk.floor.ana = msgspec.structs.replace(desk.floor.ana, shown=shown)
    path = f"/accounts/{first.account}"

    async def balance() -> Any:
        return (await desk.client.get(path)).json()["account"]["balance_minor"]

    assert await balance() == 100_000
    assert (await desk.client.get("/agents/ana/account")).json()["account_id"] == first.account
    assert (await desk.client.post(f"{path}/identity", json={})).status_code == 409
    assert (await desk.client.get(f"/accounts/{second.account}")).status_code == 403
    dialing = msgspec.structs.replace(shown, seconds_left=None, attempt=new_id())
    desk.floor.ana = msgspec.structs.replace(desk.floor.ana, shown=dialing)
    assert await balance() is None
    desk.talk(first)
    assert await balance() is None


async def test_a_documents_link_is_for_one_and_for_a_moment(
    desk: Desk,
    leads: tuple[Listed, Listed],
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It opens for whoever asked, as what it is; not for another, not changed, not after two minutes; each opening is audited."""
    first, _ = leads
    document = _letter(database, tmp_path, first.account)
    archive = _link(database, first.account, "https://archive.bank.example/4401")
    old = _link(database, first.account, "https://archive.bank.example/1")
    with database.write() as tx:  # from before locations were checked
        from dialer_core.store.documents import _TABLE

        tx.execute(_TABLE.update().where(_TABLE.c.id == old).values(location="javascript:alert(1)"))
    desk.talk(first)
    path = f"/accounts/{first.account}"
    await desk.client.post(f"{path}/identity", json={})

    async def opened(one: str) -> str:
        answer = await desk.client.post(f"{path}/documents/{one}/link")
        return str(answer.json()["url"]).removeprefix("/api/v1")

    url = await opened(document)
    content = await desk.client.get(url)
    assert (content.text, content.headers["content-disposition"]) == ("Carta", "inline")
    assert content.headers["x-content-type-options"] == "nosniff"
    assert (await desk.client.get(url[:-2])).status_code == 403
    assert (await desk.client.get(url.replace(document, archive))).status_code == 403
    async with desk.as_user("crm") as crm:
        assert (await crm.get(url)).status_code == 403
    elsewhere = await desk.client.get(await opened(archive))
    assert (elsewhere.status_code, "<strong>archive.bank.example</strong>" in elsewhere.text) == (200, True)
    assert 'href="https://archive.bank.example/4401" rel="noopener noreferrer"' in elsewhere.text
    assert (await desk.client.get(await opened(old))).status_code == 409
    import itsdangerous

    later = itsdangerous.TimestampSigner.get_timestamp
    monkeypatch.setattr(
        itsdangerous.TimestampSigner, "get_timestamp", lambda its: later(its) + int(LASTS.total_seconds()) + 2
    )
    assert (await desk.client.get(url)).status_code == 410
    with database.read() as tx:
        read = [row for row in rows(tx, "audit") if row["action"] == "document.read"]
    assert len(read) == 2


def _letter(database: Database, folder: Path, account: AccountId) -> str:
    (folder / "carta.txt").write_bytes(b"Carta")
    location, digest = proof.keep(folder / "state", folder / "carta.txt")
    return _link(database, account, location, digest)


def _link(database: Database, account: AccountId, location: str, digest: str | None = None) -> str:
    with database.write() as tx:
        return proof.add(
            tx, account_id=account, kind="letter", title="Carta", location=location, sha256=digest, actor="cli", now=NOON
        ).id  # fmt: skip
