"""Any interface of JSON over HTTP: pages, trouble of every kind, upserts, dead letters and replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dialer_core.events import CallDispositioned
from dialer_core.message_events import MessageDelivered, MessageReceived
from dialer_core.plugin_records import PaymentRow
from dialer_core.portfolio import promises as our_promises
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from dialer_core.vocabulary import AgentId, CampaignId, Disposition, MessageId, new_id
from plugins.crm.connector import AwayError, LoginError, MappingError
from plugins.crm.incoming import Incoming
from tests.plugins.crm.far_end import RestCrm, serving
from tests.plugins.crm.floor import CAMPAIGN, Floor, toml
from tests.store.rows import put

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

MAPPING = """
most_tries = 3
begin = "start"
batch = 10

[connections.crm]
kind = "rest"
url = "<url>"
records = "data"
since_parameter = "since"
check_path = "accounts"
timeout_s = 5
at_once = 4
auth = { scheme = "bearer", secret_env = "CRM_TOKEN" }
paging = { by = "page", size = 2, total = "meta.total" }

[accounts.cartera]
connection = "crm"
campaign = "spring"
source = "accounts"
key = "number"
modified = "changed"
overlap_s = 0

[accounts.cartera.fields]
external_id = "number"
name = "owner.name"
phone = "owner.phones.0"
phone_2 = "owner.phones.1"
balance = "owed"
due_date = "due"
product = { path = "kind", values = { TC = "tarjeta" } }

[accounts.cartera.attributes]
sucursal = "branch"

[out.promesas]
connection = "crm"
what = "promise"
target = "promises/{id}"
headers.Idempotency-Key = "{key}"
fields."account.number" = "{account}"
fields.amount = "{amount}"
fields.due = "{last_due}"
fields.status = "{state}"
values.state = { open = "OPEN", kept = "KEPT", broken = "BROKEN", replaced = "VOID", cancelled = "VOID" }

[out.gestiones]
connection = "crm"
what = "disposition"
target = "accounts/{account}/results/{id}"
fields.result = "{disposition}"
fields.text = "{disposition} by {agent}"
only.disposition = ["promise", "refused"]
"""


def record(number: int, **changes: Any) -> dict[str, Any]:
    """Return an account as that CRM has it."""
    owner = {"name": f"Ana {number}", "phones": [f"55 1234 {5000 + number}"]}
    its = {
        "number": f"A-{number}",
        "owner": owner,
        "owed": 1000.5 + number,
        "due": "2026-02-01T00:00:00Z",
        "kind": "TC",
        "branch": "Norte",
    }
    return its | {"changed": f"2026-03-01T10:00:{number:02d}Z"} | changes


@pytest.fixture
async def crm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RestCrm]:
    """A CRM with five accounts."""
    monkeypatch.setenv("CRM_TOKEN", "the-token")
    far_end = RestCrm()
    far_end.records = [record(number) for number in range(5)]
    async with serving(far_end):
        yield far_end


@pytest.fixture
def floor(database: Database, tmp_path: Path, crm: RestCrm) -> Floor:
    """The plugin, mapped onto it."""
    return Floor(database, tmp_path, toml(MAPPING, url=crm.url))


def pages(crm: RestCrm) -> list[str]:
    """Return which lists were asked for."""
    return [target.partition("?")[2] for method, target, _, _ in crm.asked if method == "GET"]


async def test_accounts_come_in_page_by_page(floor: Floor, crm: RestCrm) -> None:
    """All of them the first time, then what has changed since; the same again changes nothing."""
    first = await floor.pull()
    assert (first.read, first.new, first.whole) == (5, 5, True)
    assert pages(crm) == ["limit=2&page=1", "limit=2&page=2", "limit=2&page=3"]
    view = await floor.engine.accounts.get(await floor.account("A-1"))
    assert (view.person.name, view.account.balance_minor, view.account.product) == (
        "Ana 1",
        100_150,
        "tarjeta",
    )
    assert view.account.due_date == "2026-02-01"
    assert [(one.name, one.value) for one in view.attributes] == [("sucursal", "Norte")]
    crm.asked.clear()
    crm.records[1] = record(1, owed=7, changed="2026-03-02T00:00:00Z")
    second = await floor.pull()
    assert (second.read, second.new, second.updated, second.unchanged) == (2, 0, 1, 1)
    assert "since=2026-03-01T10%3A00%3A04%2B00%3A00" in pages(crm)[0]
    third = await floor.pull()
    assert (third.read, third.updated, third.unchanged) == (1, 0, 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("half", "broke off"),
        ("cut", "no JSON"),
        ((200, {"data": [], "meta": {"total": 5}}, {}), "ended after 2 of 5"),
        ((200, {"data": "nothing"}, {}), "no list of records"),
        ((429, {}, {"retry-after": "7"}), "429"),
        ((503, "<html>", {}), "503"),
        ((500, {}, {}), "500"),
        ((302, {}, {"location": "http://127.0.0.1:9/"}), "302"),
        ("hang", "no answer in time"),
    ],
    ids=["half_page", "half_json", "half_list", "garbage", "busy", "down", "fault", "redirect", "slow"],
)
async def test_reading_stops_and_goes_on(floor: Floor, crm: RestCrm, wrong: Any, words: str) -> None:
    """What goes wrong with the second page stops the reading there; the first is kept, and the next reading goes on behind it."""
    if wrong == "hang":
        floor.file.write_text(floor.file.read_text().replace("timeout_s = 5", "timeout_s = 0.4"))
    crm.trouble = [None, wrong]
    with pytest.raises(AwayError, match=words) as stopped:
        await floor.pull()
    if wrong[0] == 429:
        assert stopped.value.retry_after_s == 7.0
    assert len(await floor.engine.accounts.find([f"A-{number}" for number in range(5)])) == 2
    crm.asked.clear()
    floor.file.write_text(floor.file.read_text().replace("timeout_s = 0.4", "timeout_s = 5"))
    rest = await floor.pull()
    assert (rest.read, rest.new) == (3, 3)
    assert pages(crm)[0] == "limit=2&page=2"


async def test_what_cannot_be_taken_is_listed(floor: Floor, crm: RestCrm) -> None:
    """A row without a number to call, one without an id and one with a wrong amount are listed with why; mended, they are listed no more."""
    crm.records[1]["owner"]["phones"] = ["12"]
    crm.records[2]["owed"] = "much"
    crm.records[3]["number"] = None
    crm.records[4]["owner"]["phones"] += ["99"]
    found = await floor.pull()
    assert (found.new, found.rejected, found.left_out) == (2, 3, 1)
    rejects = {
        key.split("/")[2][:7]: (one["field"], one["taken"])
        for key, one in (await floor.kept("reject/")).items()
    }
    assert rejects == {
        "A-1": ("phone", False),
        "A-2": ("balance", False),
        "A-4": ("phone_2", True),
        "unnamed": ("external_id", False),
    }
    crm.records[1] = record(1, changed="2026-03-03T00:00:00Z")
    assert (await floor.pull()).new == 1
    assert {key.split("/")[2][:7] for key in await floor.kept("reject/")} == {"A-2", "A-4", "unnamed"}


async def test_rejects_are_taken_once_the_mapping_is_right(floor: Floor, crm: RestCrm) -> None:
    """What was refused is kept as it came: read by a mended mapping, it is taken without asking the CRM again."""
    for one in crm.records[:2]:
        one["owner"] = {"name": "Ana", "mobile": "55 1234 9999"}
    assert (await floor.pull()).rejected == 2
    floor.file.write_text(floor.file.read_text().replace('"owner.phones.0"', '"owner.mobile"'))
    crm.asked.clear()
    accounts = floor.its.accounts["cartera"]
    async with floor.connection() as connector:
        again = await Incoming(floor.engine, "cartera", accounts, connector).retry()
    assert (again.new, again.rejected, crm.asked) == (2, 0, [])
    assert await floor.kept("reject/") == {}


async def test_a_mapping_that_fits_nothing_stops_at_once(floor: Floor, crm: RestCrm) -> None:
    """Where every record of a first page is refused, it is the mapping: nothing is listed one by one, and the cursor stays."""
    crm.records, crm.page = [record(number, owner={}) for number in range(40)], 40
    with pytest.raises(MappingError, match="every one of the first 40"):
        await floor.pull()
    assert await floor.kept("reject/") == {}
    assert await floor.kept("in/") == {}


async def test_who_wins(floor: Floor, crm: RestCrm) -> None:
    """`ours` is set once, `newest` is what was changed last: what the CRM has not touched since stays as it has become with us."""
    text = (
        floor.file.read_text()
        + '\n[accounts.cartera.wins]\nname = "ours"\nbalance = "newest"\nsucursal = "newest"\n'
    )
    floor.file.write_text(text)
    await floor.pull()
    account = await floor.account("A-1")
    paid = PaymentRow(
        account_id=account,
        external_id="1",
        amount_minor=5_000,
        currency="MXN",
        paid_on=floor.clock.utc().date(),
    )
    await floor.engine.accounts.receive_payments([paid])
    crm.records[1] = record(1, branch="Sur", changed="2026-03-02T00:00:00Z") | {
        "owner": {"name": "Otra", "phones": []}
    }
    await floor.pull(whole=True)
    view = await floor.engine.accounts.get(account)
    assert (view.person.name, view.account.balance_minor) == ("Ana 1", 95_150)
    assert [one.value for one in view.attributes] == ["Sur"]
    crm.records[1] |= {
        "owed": 300,
        "changed": "2026-03-03T00:00:00Z",
    }  # changed before the payment came to us
    await floor.pull(whole=True)
    assert (await floor.engine.accounts.get(account)).account.balance_minor == 95_150
    crm.records[1] |= {"owed": 301, "changed": "2026-03-09T00:00:00Z"}
    await floor.pull(whole=True)
    assert (await floor.engine.accounts.get(account)).account.balance_minor == 30_100


async def test_a_dry_run_writes_nothing(floor: Floor, crm: RestCrm) -> None:
    """Read through and judged, nothing is on a list, and no cursor has moved."""
    crm.records[1]["owed"] = "much"
    would = await floor.pull(dry_run=True)
    assert (would.new, would.rejected) == (4, 1)
    assert await floor.engine.accounts.find(["A-0"]) == {}
    assert await floor.kept("") == {}


async def test_promises_go_out_as_they_stand(floor: Floor, crm: RestCrm) -> None:
    """A promise is written by its id, with amount, day and word of theirs; kept, it is the same record; a disposition goes where it belongs."""
    await floor.pull()
    account = await floor.account("A-1")
    promise, attempt = floor.promise(account), floor.dispose(account)
    done = await floor.push()
    assert (done.written, done.dead) == (2, 0)
    assert crm.told == {
        f"/promises/{promise}": {
            "account": {"number": "A-1"},
            "amount": 500.0,
            "due": "2026-03-11",
            "status": "OPEN",
        },
        f"/accounts/A-1/results/{attempt}": {"result": "promise", "text": "promise by ana"},
    }
    keys = [
        headers["idempotency-key"]
        for method, target, headers, _ in crm.asked
        if target.startswith("/promises")
    ]
    with floor.database.write() as tx:
        (row,) = our_promises.promises.open_of(tx, [account]).values()
        our_promises.keep(tx, row, floor.clock.utc())
    assert (await floor.push()).written == 1
    assert crm.told[f"/promises/{promise}"]["status"] == "KEPT"
    assert len(crm.told) == 2
    assert len(set(keys)) == 1
    assert (await floor.push()).events == 0


async def test_a_crm_that_is_away_is_waited_for(floor: Floor, crm: RestCrm) -> None:
    """429, 503, half an answer and silence are waited out, longer each time and as long as asked; nothing is lost, nothing is read ahead."""
    await floor.pull()
    for number in range(3):
        floor.promise(await floor.account(f"A-{number}"))
    crm.trouble = [(429, {}, {"retry-after": "4"})] * 3 + [(503, {}, {})] * 3 + ["half"] * 3
    done = await floor.push(patience=None)
    assert (done.written, done.dead) == (3, 0)
    assert len(crm.told) == 3
    assert floor.waits[0] == 4.0
    assert 0 < floor.waits[1] <= floor.waits[2] * 2


async def test_it_gives_up_where_it_may(floor: Floor, crm: RestCrm) -> None:
    """A command tries a few times; then the cursor stands where it stood, and the lag is told."""
    await floor.pull()
    await floor.push()
    account = await floor.account("A-1")
    floor.promise(account)
    floor.clock.set_elapsed_s(60)
    crm.trouble = [(503, {}, {})] * 9
    with pytest.raises(AwayError, match="503"):
        await floor.push(patience=2)
    async with floor.teller() as teller:
        lag = await teller.lag()
    assert lag.events >= 1
    assert lag.seconds == pytest.approx(60, abs=2)
    crm.trouble = []
    assert (await floor.push()).written == 1
    async with floor.teller() as teller:
        assert (await teller.lag()).seconds == 0


async def test_dead_letters_and_replay(floor: Floor, crm: RestCrm) -> None:
    """What the CRM refuses, and what it fails at while it takes others, become dead letters; a replay tells them as they stand then."""
    await floor.pull()
    promises = [
        floor.promise(await floor.account(f"A-{number}"), 1_000 * (number + 1)) for number in range(4)
    ]

    def refuse(body: dict[str, Any]) -> Any:
        if body.get("amount") == 20:
            return 422, {"error": "no such agreement"}, {}
        return (500, {}, {}) if body.get("amount") == 30 else None

    crm.refuse = refuse
    done = await floor.push(patience=None)
    assert (done.written, done.dead) == (2, 2)
    reasons = {one["told"]["id"]: one["reason"] for one in (await floor.kept("dead/")).values()}
    assert set(reasons) == {promises[1], promises[2]}
    assert "422" in reasons[promises[1]]
    assert "500" in reasons[promises[2]]
    crm.refuse = lambda body: (422, {}, {}) if body.get("amount") == 30 else None
    async with floor.teller() as teller:
        again = await teller.replay(patience=0)
    assert (again.replayed, again.dead) == (1, 1)
    crm.refuse = lambda _: None
    async with floor.teller() as teller:
        assert (await teller.replay(patience=0)).replayed == 1
    assert await floor.kept("dead/") == {}
    assert len(crm.told) == 4


async def test_a_crm_that_fails_at_everything_takes_nothing_with_it(floor: Floor, crm: RestCrm) -> None:
    """Where every record fails, it is the CRM and not the records: at most one is given up, the rest waits."""
    await floor.pull()
    for number in range(4):
        floor.promise(await floor.account(f"A-{number}"))
    crm.trouble = [(500, {}, {})] * 30
    done = await floor.push(patience=None)
    assert (done.written, done.dead) == (3, 1)


async def test_an_account_that_is_gone(floor: Floor, crm: RestCrm) -> None:
    """A promise about an account that was deleted with us meanwhile is a dead letter that says so; the others go out."""
    await floor.pull()
    gone, stays = await floor.account("A-1"), await floor.account("A-2")
    floor.promise(gone)
    floor.promise(stays)
    tables = Base.metadata.tables
    with floor.database.write() as tx:
        (its,) = (one.id for one in our_promises.promises.of(tx, [gone]))
        tx.execute(
            tables["promise_instalment"].delete().where(tables["promise_instalment"].c.promise_id == its)
        )
        for name in ("promise", "lead"):
            tx.execute(tables[name].delete().where(tables[name].c.account_id == gone))
        tx.execute(tables["account"].delete().where(tables["account"].c.id == gone))
    done = await floor.push()
    assert (done.written, done.dead) == (1, 1)
    (letter,) = (await floor.kept("dead/")).values()
    assert letter["reason"] == "its account is gone"


async def test_memory_is_bounded(floor: Floor, crm: RestCrm, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much has happened while the CRM was away, no more than `batch` events are held at a time."""
    await floor.pull()
    account = await floor.account("A-1")
    for _ in range(25):
        floor.dispose(account)
    asked: list[int] = []
    read = floor.engine.read_events

    async def counted(*args: Any) -> Any:
        events, cursor = await read(*args)
        asked.append(len(events))
        return events, cursor

    monkeypatch.setattr(floor.engine, "read_events", counted)
    done = await floor.push()
    assert done.written == 25
    assert max(asked) == floor.its.batch


async def test_wrong_words(floor: Floor, crm: RestCrm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token, a path that is not there, a list that stands elsewhere: each is said, and none is tried again blindly."""
    monkeypatch.setenv("CRM_TOKEN", "other")
    async with floor.connection() as connector:
        with pytest.raises(LoginError, match="401: "):
            await connector.check()
    with pytest.raises(LoginError):
        await floor.pull()
    monkeypatch.setenv("CRM_TOKEN", "the-token")
    floor.file.write_text(floor.file.read_text().replace('records = "data"', 'records = "items"'))
    with pytest.raises(MappingError, match="it has: data, meta"):
        await floor.pull()


CALLS = """
[out.toques]
connection = "crm"
what = "interaction"
target = "touches/{id}"
headers.X-By = "{agent}"
fields = { account = "{account}", by = "{channel}", way = "{direction}", end = "{outcome}", said = "{disposition}", seconds = "{seconds}" }
"""


async def test_calls_and_messages_go_out(floor: Floor, crm: RestCrm) -> None:
    """A call with what its agent said, a message with what became of it, and a call that came in, each one record; a stranger's message is none."""
    floor.file.write_text(floor.file.read_text() + CALLS)
    await floor.pull()
    account = await floor.account("A-1")
    attempt = floor.dispose(account, Disposition.CALLBACK)
    message, stranger, leg = MessageId(new_id()), MessageId(new_id()), new_id()
    common: dict[str, Any] = {"campaign_id": CampaignId(CAMPAIGN), "account_id": account}
    with floor.database.write() as tx:
        its = {
            "channel": "sms",
            "state": "delivered",
            "address": "+525512345678",
            "purpose": "collection",
            "language": "es",
            "subject": "",
            "body": "",
        }
        its |= {
            "source": "t",
            "tries": 1,
            "next_at_utc": floor.clock.utc(),
            "created_at_utc": floor.clock.utc(),
            "when_uncertain": "hold",
        }
        put(tx, "message", id=message, account_id=account, campaign_id=CAMPAIGN, **its)
        tx.emit(MessageDelivered(**common, message_id=message, channel="sms"))
        tx.emit(MessageReceived(message_id=stranger, channel="sms", known=False))
        tx.emit(CallDispositioned(**common, leg_id=leg, disposition="refused", agent_id=AgentId("añá")))
    done = await floor.push()
    assert (done.written, done.dead) == (4, 0)
    assert crm.told[f"/touches/{attempt}"] == {
        "account": "A-1",
        "by": "voice",
        "way": "out",
        "end": "connected",
        "said": "callback",
        "seconds": 42,
    }
    assert crm.told[f"/touches/{message}"] == {
        "account": "A-1",
        "by": "sms",
        "way": "out",
        "end": "delivered",
        "said": None,
        "seconds": None,
    }
    assert crm.told[f"/touches/{leg}"] == {
        "account": "A-1",
        "by": "voice",
        "way": "in",
        "end": "connected",
        "said": "refused",
        "seconds": None,
    }
    assert f"/accounts/A-1/results/{leg}" in crm.told
    (by,) = [headers["x-by"] for _, target, headers, _ in crm.asked if target == f"/touches/{leg}"]
    assert by == "a%C3%B1%C3%A1"
