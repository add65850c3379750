"""What a desk reads and writes about an account, over HTTP: one view of everything, and every write checked, audited and in force at once."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from dialer_core.campaigns import hopper, recycle
from dialer_core.clock import VirtualClock
from dialer_core.event_tail import EventTail
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.plugin_api import EngineHandle
from dialer_core.portfolio import payments, proof
from dialer_core.portfolio.payments import NewPayment
from dialer_core.settings import DialerSettings, Settings
from dialer_core.snapshot import AgentView
from dialer_core.store import attempts, contacts, people, restrictions
from dialer_core.store.contacts import PriorContact
from dialer_core.store.database import Database
from dialer_core.vocabulary import AttemptId, Channel, Outcome, new_id
from dialer_core.web.principals import Principal, Scope
from tests.campaigns.lists import NOON, TRUNK, Listed, put_lead, put_list_campaign, row_of, rows, settings_of
from tests.campaigns.test_recycle import OPEN, dial
from tests.host.scripted_engine import SNAPSHOT
from tests.http.desk_api import desk_api

pytestmark = pytest.mark.db

TODAY = NOON.date()
DAY = dt.timedelta(days=1)


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead that owes 1,000.00 and has two numbers."""
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, ["+525512345678", "+525587654321"])
        changes = {"external_id": "A1", "balance_minor": 100_000, "currency": "MXN"}
        people.update_account(tx, found.account, changes | {"attributes": {"sucursal": "Centro"}})
    return found


@pytest.fixture
async def client(database: Database, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Return a client of the API over the store, at noon."""
    async with desk_api(tmp_path, database, VirtualClock(NOON)) as found:
        yield found


def promise(*amounts: int, **more: Any) -> dict[str, Any]:
    """Return the body of a promise for tomorrow, the day after it, and so on."""
    days = [{"due_date": (TODAY + DAY * (1 + nth)).isoformat(), "amount_minor": amount} for nth, amount in enumerate(amounts)]  # fmt: skip
    return {"instalments": days, **more}


def claim(database: Database) -> int:
    """Return how many attempts a claim makes now."""
    with database.write() as tx:
        found = hopper.claim(
            tx, campaign_id="spring", settings=settings_of(), pack=OPEN, trunks=[TRUNK], node="n", boot_id="b", now=NOON
        )  # type: ignore[arg-type]  # fmt: skip
        return len(found.attempts)


async def test_the_last_write_does_not_silently_win(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """Of two who saw the same account, the second to write is told that it has changed; having read it again they may; a call-back likewise."""
    account = f"/accounts/{listed.account}"
    seen = (await client.get(account)).headers["etag"]
    assert (await client.get(account)).headers["etag"] == seen
    key = new_id()
    mine = await client.post(f"{account}/promises", json=promise(30_000, key=key), headers={"If-Match": seen})
    assert mine.status_code == 200
    theirs = await client.post(f"{account}/promises", json=promise(20_000), headers={"If-Match": seen})
    assert (theirs.status_code, theirs.json()["type"]) == (412, "urn:marcador:problem:changed")
    again = await client.post(
        f"{account}/promises", json=promise(30_000, key=key), headers={"If-Match": seen}
    )
    assert again.json()["id"] == mine.json()["id"]
    call = {"campaign": "spring", "at": (NOON + DAY).isoformat()}
    late = await client.post(f"{account}/callbacks", json=call, headers={"If-Match": seen})
    assert late.status_code == 412
    now = (await client.get(account)).headers["etag"]
    assert now != seen
    assert (
        await client.post(f"{account}/callbacks", json=call, headers={"If-Match": now})
    ).status_code != 412
    assert (await client.get(account)).json()["promise"]["total_minor"] == 30_000


async def test_one_account_with_everything(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """The view holds person, phones, leads, a call with its talk time, a message, promise, payment, note and restriction, in one line of time."""
    with database.write() as tx:
        one = dial(tx)
        times = {"sent_mono_ns": 10**9, "answered_mono_ns": 6 * 10**9, "bridged_mono_ns": 7 * 10**9}
        attempts.update(tx, one.attempt_id, agent_id="ana", disposition="promise", reason="lost_job", **times)
        attempts.end(
            tx, one.attempt_id, outcome=Outcome.CONNECTED, at_utc=NOON, at_mono_ns=67 * 10**9, sip_code=200
        )
        recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.CONNECTED, live_answer=True, abandoned=False,
            talked=True, settings=settings_of(), pack=OPEN, now=NOON,
        )  # fmt: skip
        contacts.add_prior(
            tx,
            [PriorContact(external_id="w1", person_id=listed.person, account_id=listed.account, channel=Channel.WHATSAPP,
                          address="", at_utc=NOON - DAY, outcome="read", conversation=False)],
        )  # fmt: skip
        payments.receive(
            tx, [NewPayment(listed.account, "P1", 10_000, "MXN", TODAY.isoformat())], source="bank", now=NOON
        )
    account = f"/accounts/{listed.account}"
    made = (
        await client.post(
            f"{account}/promises", json=promise(30_000, 20_000, agent="ana", attempt=one.attempt_id)
        )
    ).json()
    assert (
        await client.post(f"{account}/notes", json={"note": "Pide llamar por la tarde"})
    ).status_code == 200
    await client.post(
        f"{account}/restrictions", json={"kind": "workplace", "scope": "phone", "phone": listed.phones[1]}
    )
    seen = (await client.get(account)).json()
    assert seen["account"] | {"id": 0, "person_id": 0} == {
        "id": 0, "portfolio": "default", "external_id": "A1", "person_id": 0, "creditor": "Banco", "product": None, "currency": "MXN",
        "balance_minor": 90_000, "days_past_due": None, "due_date": None, "status": "open",
    }  # fmt: skip
    assert seen["attributes"] == [{"name": "sucursal", "value": "Centro", "sensitive": True}]
    assert seen["person"]["name"] == "Debtor"
    assert [phone["e164"] for phone in seen["phones"]] == list(listed.numbers)
    assert [(lead["campaign"], lead["state"], lead["waiting_for"]) for lead in seen["leads"]] == [
        ("spring", "waiting", "promise")
    ]
    [call] = seen["calls"]
    told = {
        name: call[name]
        for name in ("outcome", "sip_code", "agent_id", "ring_s", "wait_s", "talk_s", "billed_s")
    }
    assert told == {
        "outcome": "connected",
        "sip_code": 200,
        "agent_id": "ana",
        "ring_s": 5.0,
        "wait_s": 1.0,
        "talk_s": 60.0,
        "billed_s": 61.0,
    }
    assert dt.datetime.fromisoformat(call["answered_at_utc"]) == NOON - dt.timedelta(seconds=61)
    assert seen["promise"]["id"] == made["id"]
    assert [one["due_date"] for one in seen["promise"]["instalments"]] == ["2025-03-05", "2025-03-06"]
    assert [one["kind"] for one in seen["restrictions"]] == ["workplace"]
    assert {(one["what"], one["channel"], one["result"]) for one in seen["timeline"]} == {
        ("call", "voice", "promise"), ("contact", "whatsapp", "read"), ("payment", None, None), ("promise_made", None, "agreement"),
        ("note", None, None), ("restriction", None, "workplace"),
    }  # fmt: skip
    moments = [one["at_utc"] for one in seen["timeline"]]
    assert moments == sorted(moments, reverse=True)


async def test_accounts_are_found(listed: Listed, client: httpx2.AsyncClient) -> None:
    """By the customer's own number, and by a phone however it is written; by both, neither or nonsense it is refused; unknown is none or 404."""
    for query in ({"external_id": "A1"}, {"phone": "55 1234 5678"}, {"phone": "+52 1 55 8765 4321"}):
        found = (await client.get("/accounts", params=query)).json()
        assert [one["id"] for one in found] == [listed.account]
    assert (await client.get("/accounts", params={"external_id": "A9"})).json() == []
    for query in ({}, {"external_id": "A1", "phone": "55 1234 5678"}, {"phone": "12"}):
        assert (await client.get("/accounts", params=query)).status_code == 422
    assert (await client.get(f"/accounts/{new_id()}")).status_code == 404


async def test_a_promise_is_kept_from_its_making_to_its_taking_back(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """Made over HTTP it stops the calls; a second one replaces it; taken back, the account is dialed again, and neither twice."""
    path = f"/accounts/{listed.account}/promises"
    first = (await client.post(path, json=promise(30_000))).json()
    second = (await client.post(path, json=promise(60_000, kind="settlement", settles_minor=100_000))).json()
    assert (second["kind"], second["settles_minor"], second["state"]) == ("settlement", 100_000, "open")
    assert claim(database) == 0
    assert (await client.post(f"/promises/{first['id']}/cancel")).status_code == 409
    assert (await client.post(f"/promises/{second['id']}/cancel")).status_code == 200
    assert (await client.post(f"/promises/{second['id']}/cancel")).status_code == 409
    assert (await client.post(f"/promises/{new_id()}/cancel")).status_code == 404
    assert claim(database) == 1
    with database.read() as tx:
        said = [(row["action"], row["actor"]) for row in _audit(tx)]
    assert said == [("promise.made", "api:local")] * 2 + [("promise.cancelled", "api:local")]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (promise(100_001), 409, "more than is owed"),
        (promise(60_000, kind="settlement", settles_minor=50_000), 409, "no less than is paid"),
        (promise(60_000, kind="settlement", settles_minor=100_001), 409, "no more than is owed"),
        (promise(10, settles_minor=20), 409, "only a settlement"),
        (promise(10, agent="nobody"), 404, "no such agent"),
        (promise(10, attempt=new_id()), 404, "not one of this account's"),
        (promise(10, grace_days=99), 422, "grace_days"),
        ({"instalments": []}, 422, "instalments"),
        ({"instalments": [{"due_date": "2025-03-01", "amount_minor": 5}]}, 409, "none of them past"),
        ({"instalments": [{"due_date": "2062-03-01", "amount_minor": 5}]}, 409, "within 10 years"),
        (promise(10, who="me"), 422, "who"),
    ],
)  # fmt: skip
async def test_promises_that_make_no_sense(
    database: Database,
    listed: Listed,
    client: httpx2.AsyncClient,
    body: dict[str, Any],
    status: int,
    told: str,
) -> None:
    """Each is refused with what would be right, and nothing is written."""
    answer = await client.post(f"/accounts/{listed.account}/promises", json=body)
    assert answer.status_code == status, answer.text
    assert told in answer.text
    with database.read() as tx:
        assert rows(tx, "promise") == []


async def test_a_plan_may_come_to_more_than_is_owed(listed: Listed, client: httpx2.AsyncClient) -> None:
    """A restructuring has interest; an agreement over the balance is a mistyped one."""
    body = promise(60_000, 60_000, kind="restructuring")
    assert (await client.post(f"/accounts/{listed.account}/promises", json=body)).status_code == 200


async def test_a_restriction_stops_what_rings_and_can_be_lifted(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """Set over HTTP it forbids the ringing call and the next claim; lifted, the lead that it had finished is dialed again; both are audited."""
    with database.write() as tx:
        one = dial(tx)
    path = f"/accounts/{listed.account}/restrictions"
    made = (await client.post(path, json={"kind": "cease_contact", "source": "letter"})).json()
    with database.write() as tx:
        assert restrictions.forbidden_live_attempts(tx, NOON + DAY) == [one.attempt_id]
        attempts.end(tx, one.attempt_id, outcome=Outcome.CANCELLED, at_utc=NOON, at_mono_ns=1)
        recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.CANCELLED, live_answer=False, abandoned=False,
            talked=False, settings=settings_of(), pack=OPEN, now=NOON - DAY,
        )  # fmt: skip
    assert claim(database) == 0
    with database.read() as tx:
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "cease_contact"
    assert (await client.post(f"/restrictions/{made['id']}/lift")).status_code == 200
    assert (await client.post(f"/restrictions/{made['id']}/lift")).status_code == 409
    assert (await client.post(f"/restrictions/{new_id()}/lift")).status_code == 404
    assert claim(database) == 1
    assert (await client.get(f"/accounts/{listed.account}")).json()["restrictions"] == []
    with database.read() as tx:
        said = [(row["action"], row["actor"]) for row in _audit(tx)]
    assert said == [("restriction.added", "api:local"), ("restriction.lifted", "api:local")]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"kind": "wrong_number"}, 422, "of a phone or a number"),
        ({"kind": "wrong_number", "scope": "phone"}, 404, "names one of the person's phones"),
        ({"kind": "refused_channel"}, 422, "names the channel"),
        ({"kind": "inconvenient_hours"}, 422, "must have them"),
        ({"kind": "dispute", "hours": "mon 09:00-10:00"}, 422, "go with"),
        ({"kind": "inconvenient_hours", "hours": "mañana"}, 422, "hours:"),
        ({"kind": "dispute", "until": "2020-01-01T00:00:00Z"}, 422, "lies ahead"),
        ({"kind": "abandonment_lock"}, 422, "nobody sets one"),
        ({"kind": "nonsense"}, 422, "kind"),
    ],
)
async def test_restrictions_that_make_no_sense(
    database: Database,
    listed: Listed,
    client: httpx2.AsyncClient,
    body: dict[str, Any],
    status: int,
    told: str,
) -> None:
    """Each is refused with what would be right, and nothing is written."""
    answer = await client.post(f"/accounts/{listed.account}/restrictions", json=body)
    assert answer.status_code == status, answer.text
    assert told in answer.text
    with database.read() as tx:
        assert rows(tx, "restriction") == []


async def test_hours_and_one_number_of_many(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """Hours on the person and one wrong number: the claim takes the other number, and outside the hours alone."""
    path = f"/accounts/{listed.account}/restrictions"
    wrong = {"kind": "wrong_number", "scope": "number", "phone": listed.phones[0]}
    assert (await client.post(path, json=wrong)).status_code == 200
    evening = {"kind": "inconvenient_hours", "hours": "mon-fri 18:00-20:00"}
    assert (await client.post(path, json=evening)).status_code == 200
    assert claim(database) == 1
    with database.read() as tx:
        assert [row["number"] for row in rows(tx, "attempt")] == [listed.numbers[1]]
        assert [(row["scope"], row["scope_value"]) for row in rows(tx, "restriction")] == [
            ("number", listed.numbers[0]),
            ("person", listed.person),
        ]


async def test_a_callback_waits_for_its_time(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """The lead is dialed at the time that was asked for and not before; a time that makes no sense, or a lead that is held, is refused."""
    path = f"/accounts/{listed.account}/callbacks"
    body = {"campaign": "spring", "at": (NOON + DAY).isoformat(), "agent": "ana", "phone": listed.phones[1]}
    assert (await client.post(path, json=body)).status_code == 200
    assert claim(database) == 0
    [asked] = (await client.get(f"/accounts/{listed.account}")).json()["callbacks"]
    assert (asked["agent_id"], asked["phone_id"]) == ("ana", listed.phones[1])
    wrong = [
        {"at": (NOON - DAY).isoformat()}, {"at": "2030-01-01T00:00:00Z"}, {"campaign": "autumn"}, {"phone": new_id()},
        {"open_from": NOON.isoformat()}, {"agent": "nobody"},
    ]  # fmt: skip
    assert [(await client.post(path, json=body | change)).status_code for change in wrong] == [
        422,
        422,
        404,
        404,
        422,
        404,
    ]
    await client.post(f"/accounts/{listed.account}/promises", json=promise(10_000))
    assert (await client.post(path, json=body)).status_code == 409


async def test_consent_is_asked_for_and_given(
    database: Database, listed: Listed, client: httpx2.AsyncClient
) -> None:
    """A word about one number is on that number; somebody else's phone is refused; each word is kept."""
    path = f"/accounts/{listed.account}/consents"
    body = {"channel": "voice", "granted": True, "phone": listed.phones[0], "source": "form 7"}
    assert (await client.post(path, json=body)).status_code == 200
    assert (await client.post(path, json=body | {"granted": False})).status_code == 200
    assert (await client.post(path, json=body | {"phone": new_id()})).status_code == 404
    with database.read() as tx:
        assert row_of(tx, "phone", listed.phones[0])["consent"] is False
    words = (await client.get(f"/accounts/{listed.account}")).json()["consents"]
    assert [one["granted"] for one in words] == [False, True]


async def test_documents_are_proof(
    database: Database, listed: Listed, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    """One that lies elsewhere is linked with its checksum; a kept one is read with an audit entry, and not at all once it is another."""
    path = f"/accounts/{listed.account}/documents"
    link = {"kind": "contract", "title": "Contrato 4401", "location": "https://archive.bank.example/4401"}
    linked = (await client.post(path, json=link | {"sha256": "AB" * 32})).json()
    assert linked["sha256"] == "ab" * 32
    assert (await client.get(f"{path}/{linked['id']}/content")).status_code == 409
    for wrong in (
        {"kind": "Un Contrato"},
        {"title": ""},
        {"sha256": "12"},
        {"location": "documents/../store.db"},
        {"location": "javascript:alert(1)"},
        {"location": "data:text/html,x"},
        {"location": "https://user@bank.example/x"},
        {"location": "https://bank.example/a b"},
    ):
        assert (await client.post(path, json=link | wrong)).status_code == 422
    (tmp_path / "carta.PDF").write_bytes(b"%PDF-1.7 carta")
    location, digest = proof.keep(tmp_path / "state", tmp_path / "carta.PDF")
    assert digest == hashlib.sha256(b"%PDF-1.7 carta").hexdigest()
    with database.write() as tx:
        kept = proof.add(
            tx, account_id=listed.account, kind="letter", title="Carta", location=location, sha256=digest, actor="cli", now=NOON
        )  # fmt: skip
    content = await client.get(f"{path}/{kept.id}/content")
    assert content.content == b"%PDF-1.7 carta"
    (tmp_path / "state" / location).write_bytes(b"%PDF-1.7 other")
    assert "checksum" in (await client.get(f"{path}/{kept.id}/content")).text
    with database.read() as tx:
        assert [row["action"] for row in _audit(tx)] == ["document.added", "document.added", "document.read"]


async def test_notes_belong_to_their_account(listed: Listed, client: httpx2.AsyncClient) -> None:
    """Of no account, in a call of another's or empty: refused."""
    assert (await client.post(f"/accounts/{new_id()}/notes", json={"note": "x"})).status_code == 404
    path = f"/accounts/{listed.account}/notes"
    assert (await client.post(path, json={"note": "x", "attempt": AttemptId(new_id())})).status_code == 404
    assert (await client.post(path, json={"note": ""})).status_code == 422


def _audit(tx: Any) -> list[dict[str, Any]]:
    """Return what the routes themselves accounted for; the guard notes each request besides (`web.…`)."""
    found = sorted(rows(tx, "audit"), key=lambda row: row["seq"])
    return [row for row in found if not row["action"].startswith("web.")]


async def test_what_is_sent_again_is_written_once(
    client: httpx2.AsyncClient, database: Database, listed: Listed
) -> None:
    """A promise or a note whose answer was lost on the way is sent again under its key, and stands once; of another account nobody reads it so."""
    key = "0198c9a4-7c1e-4000-8000-000000000001"
    for path, body in (("promises", promise(30_000)), ("notes", {"note": "paga el viernes"})):
        answers = [
            await client.post(f"/accounts/{listed.account}/{path}", json=body | {"key": key})
            for _ in range(2)
        ]
        assert [one.status_code for one in answers] == [200, 200], answers[1].text
        assert answers[0].json() == answers[1].json()
        assert answers[0].json()["id"] == key
    with database.read() as tx:
        assert len(rows(tx, "promise")) == len(rows(tx, "account_note")) == 1
    with database.write() as tx:
        other = put_lead(tx, ["+525500000001"]).account
    for path, body in (("promises", promise(30_000)), ("notes", {"note": "x"})):
        answer = await client.post(f"/accounts/{other}/{path}", json=body | {"key": key})
        assert (answer.status_code, "paga" in answer.text) == (409, False)


class _Desk:
    """An engine that knows one agent, `ana`, and her present attempt; everything else it refuses."""

    def __init__(self) -> None:
        self.attempt = AttemptId(new_id())

    async def command(self, name: str, args: dict[str, Any], *, actor: str) -> Any:
        """Say what she does, or show her nobody."""
        del actor
        if name == "agents.preview":
            return {"agent": args["agent"]}
        assert name == "status"
        ana = AgentView(id="ana", name="Ana", state="talking", reason="", seconds_in_state=1.0, leg_up=True, attempt_id=self.attempt)  # fmt: skip
        return msgspec.to_builtins(msgspec.structs.replace(SNAPSHOT, agents=(ana,)))


async def test_a_desk_learns_of_the_debt_anew_in_each_conversation(
    database: Database, listed: Listed, tmp_path: Path
) -> None:
    """Who answered the last call was the person; who answers the next one about the same account is not known yet (I19)."""
    desk = _Desk()

    class Agents(Access):
        async def of_token(self, presented: str) -> Principal | None:
            del presented
            return Principal("ana", frozenset({Scope.DESK}), agent="ana")

    engine = EngineHandle(port=desk, tail=EventTail(database), clock=VirtualClock(NOON), actor="test")
    settings = Settings(tmp_path, DialerSettings(), {}, {}, {})
    parts = ApiParts(engine=engine, database=database, plugins=list, settings=settings, packs={})
    transport = httpx2.ASGITransport(app=create_app(parts, Agents(database, "t", "k")))
    headers = {"Authorization": "Bearer t"}
    account = f"/api/v1/accounts/{listed.account}"
    async with httpx2.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:

        async def balance() -> int | None:
            seen = await client.get(account)
            assert seen.status_code == 200, seen.text
            found: int | None = seen.json()["account"]["balance_minor"]
            return found

        parts.rights._accounts[desk.attempt] = listed.account
        assert await balance() is None
        told = {"attempt": new_id()}  # of another: the engine knows which conversation it is
        assert (await client.post(f"{account}/identity", json=told)).status_code == 200
        assert await balance() == 100_000
        first, desk.attempt = desk.attempt, AttemptId(new_id())
        parts.rights._accounts[desk.attempt] = listed.account
        assert await balance() is None
        assert (await client.get("/api/v1/agents/ana/preview")).json() == {"agent": "ana"}
        assert (await client.get("/api/v1/agents/luis/preview")).status_code == 403
    with database.read() as tx:
        [verified] = [one for one in rows(tx, "event") if one["name"] == "identity.verified"]
        assert verified["attempt_id"] == first
