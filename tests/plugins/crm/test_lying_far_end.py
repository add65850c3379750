"""A CRM that says what none should, a store that is away, clocks that jump: nothing ends the sync or moves it past what was not read."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog.testing
from sqlalchemy import create_engine, text

from dialer_core.events import LeadsImported
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId
from plugins.crm import drop
from plugins.crm.connection_settings import FilesSettings, SalesforceSettings, SqlSettings
from plugins.crm.connector import OK, AwayError, Connector, CrmError, MappingError, Outgoing
from plugins.crm.incoming import Incoming
from plugins.crm.records import as_text, later, moment
from plugins.crm.salesforce import SalesforceConnector
from plugins.crm.settings import AccountsSettings, OutSettings
from plugins.crm.sql import SqlConnector
from plugins.crm.syncing import Syncing
from tests.plugins.crm.floor import NOW, Floor
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves
from tests.store.rows import CAMPAIGN

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

MAPPING = """
[connections.crm]
kind = "rest"
url = "http://crm.example/api"
since_parameter = "since"
records = "data"
[connections.crm.paging]
by = "page"
[connections.erp]
kind = "tryton"
url = "http://erp.example/db/"
user = "u"
password_env = "ERP"
[accounts.cartera]
connection = "crm"
campaign = "spring"
source = "accounts"
modified = "changed"
[accounts.cartera.fields]
external_id = "id"
phone = "phone"
name = "name"
balance = "owed"
[accounts.deudas]
connection = "erp"
campaign = "spring"
source = "debt"
[accounts.deudas.fields]
external_id = "id"
phone = "phone"
"""
ANA = {"id": "A-1", "phone": "+525512345678", "name": "Ana", "owed": 10, "changed": "2026-03-01T00:00:00Z"}
Answers = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def migrated_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """On SQLite alone: the store under it is tested elsewhere."""
    (tmp_path / "store.db").write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def floor(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Floor:
    """The plugin over an empty store."""
    monkeypatch.setenv("ERP", "secret")
    return Floor(database, tmp_path, MAPPING)


async def pull(floor: Floor, answers: Answers, name: str = "cartera") -> Any:
    """Read once from a CRM that answers like this."""
    its = floor.its.accounts[name]
    async with floor.connection(its.connection) as connector:
        await answered(connector, answers)
        return await Incoming(floor.engine, name, its, connector).pull()


async def answered(connector: Any, answers: Answers) -> Connector:
    """Have a connection's requests answered here."""
    await connector.close()
    connector._client = httpx2.AsyncClient(transport=httpx2.MockTransport(answers))
    return connector  # type: ignore[no-any-return]


def page(*records: Any, **more: Any) -> httpx2.Response:
    """Return an answer of the REST kind."""
    return httpx2.Response(200, content=json.dumps({"data": records} | more))


async def test_pages_that_never_end(floor: Floor) -> None:
    """An interface that does not know the page's parameter, and pages that lead round in a circle, are told of instead of read for ever."""
    with pytest.raises(MappingError, match="each page is the same: does it know 'page'"):
        await pull(floor, lambda _: page(ANA))
    floor.file.write_text(MAPPING.replace('by = "page"', 'by = "cursor"\nnext = "next"'))
    following = {"": "a", "a": "b", "b": "a"}
    with pytest.raises(AwayError, match="in a circle"):
        await pull(floor, lambda asked: page(ANA, next=following[asked.url.params.get("cursor", "")]))
    floor.file.write_text(MAPPING.replace('by = "page"', 'by = "link"\nnext = "next"'))
    with pytest.raises(MappingError, match="address of the next page is none"):
        await pull(floor, lambda _: page(ANA, next="http://[crm.example/"))


async def test_cells_that_nothing_can_hold(floor: Floor) -> None:
    """Numbers of a thousand million digits, half characters and NULs cost their row a cell, or themselves, and not the others."""
    bad = '{"data": [%s, {"id": "B-1", "phone": "+525512345679", "name": "B\\u0000eto \\ud800", "owed": 1E+999999999, "changed": 1E+999999999}]}'
    answers = iter([bad % json.dumps(ANA), '{"data": []}'])
    found = await pull(floor, lambda _: httpx2.Response(200, content=next(answers)))
    assert (found.read, found.new, found.rejected) == (2, 1, 1)
    (reject,) = (await floor.kept("reject/")).values()
    assert (reject["field"], reject["record"]["name"]) == ("balance", "Beto ?")
    assert (await floor.kept("in/"))["in/cartera"]["cursor"] == "2026-03-01T00:00:00+00:00"
    assert [moment(one) for one in (float("nan"), Decimal("Infinity"), Decimal("1E+99"), 7.0)] == [None, None, None, 7]  # fmt: skip
    assert as_text(Decimal("-1E+5")) == "-100000"
    assert later("zzz", NOW) == NOW


async def test_a_record_of_a_time_to_come(floor: Floor) -> None:
    """One that says it was changed in 2206 does not keep what is changed until then from being read."""
    answers = iter([page(ANA | {"changed": "2206-01-01T00:00:00Z"}), page()])
    await pull(floor, lambda _: next(answers))
    assert (await floor.kept("in/"))["in/cartera"]["cursor"] == NOW.isoformat()


@pytest.mark.parametrize(
    "answer",
    [httpx2.Response(404), httpx2.Response(413, text="no"), httpx2.Response(200, text="[]"), httpx2.Response(500)],
)  # fmt: skip
async def test_a_tryton_that_says_no(floor: Floor, answer: httpx2.Response) -> None:
    """Whatever stands where Tryton did, also behind a session that has just ended, is told as what a CRM can do, and ends nothing."""
    expired = iter([httpx2.Response(401)])

    def answers(asked: httpx2.Request) -> httpx2.Response:
        method = json.loads(asked.content)["method"]
        if method == "common.db.login":
            return httpx2.Response(200, json={"result": [1, "s"]})
        if "get_preferences" in method:
            return httpx2.Response(200, json={"result": {}})
        return next(expired, answer)

    with pytest.raises(CrmError):
        await pull(floor, answers, "deudas")


async def test_one_that_breaks_us_does_not_end_the_others(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody thought of in one table is an error in the log, tried again, and the other tables are read."""
    tries: list[str] = []
    enough = asyncio.Event()

    async def pull(self: Incoming) -> Any:
        tries.append(self._name)
        if min(tries.count("cartera"), tries.count("deudas")) == 2:
            enough.set()
        if self._name == "cartera":
            raise KeyError("nobody thought of it")
        raise AwayError("away", 0.0)

    monkeypatch.setattr(Incoming, "pull", pull)
    monkeypatch.setattr("plugins.crm.back_off._FIRST_S", 0.01)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(Syncing(floor.engine, floor.its).run())
        await asyncio.wait_for(enough.wait(), 10)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {"crm_sync_broke", "crm_sync_stopped"} <= {one["event"] for one in logs}
    assert "nobody thought" not in repr(logs)  # what an error quotes may be somebody's


async def test_a_turn_of_a_clock_that_was_wrong(floor: Floor) -> None:
    """A turn that was taken while a clock was a year ahead lapses at once when it is right again; one of now holds."""
    first, second = (Syncing(floor.engine, floor.its) for _ in range(2))
    floor.clock.step_wall(dt.timedelta(days=365))
    assert await first._hold("turn/x", 15.0)
    floor.clock.step_wall(-dt.timedelta(days=365))
    assert await second._hold("turn/x", 15.0)
    assert not await first._hold("turn/x", 15.0)


async def test_two_nodes_begin_at_the_first_ones_place(floor: Floor) -> None:
    """Where telling begins is set once: a node that looks later does not move it past what happened since."""
    floor.file.write_text(
        MAPPING + '[out.p]\nconnection = "crm"\nwhat = "promise"\ntarget = "p/{id}"\nfields.a = "{amount}"\n'
    )
    async with floor.teller() as first, floor.teller() as second:
        began = await first.cursor()
        with floor.database.write() as tx:
            tx.emit(
                LeadsImported(
                    campaign_id=CampaignId(CAMPAIGN), file_sha256="", accepted=1, updated=0, rejected=0
                )
            )
        read = floor.engine.store.get

        async def looked_before(_key: str, _default: Any = None) -> Any:
            floor.engine.store.get = read  # type: ignore[method-assign]
            return None

        floor.engine.store.get = looked_before  # type: ignore[method-assign]
        assert await second.cursor() == began != await floor.engine.last_cursor()
        assert not await second.waits()


async def test_an_answer_larger_than_any_page(floor: Floor) -> None:
    """It is not read to its end, nor taken apart: that would hold up everything else in the process."""
    with pytest.raises(AwayError, match="over 16 MB"):
        await pull(floor, lambda _: httpx2.Response(200, content=b" " * (17 << 20)))


async def test_salesforce_pages_in_a_circle(floor: Floor) -> None:
    """A next page that was there before is told of."""
    page = {"records": [], "done": False, "nextRecordsUrl": "/services/data/v62.0/query/01g-2"}
    its = SalesforceSettings(kind="salesforce", client_id="c", client_secret_env="S")
    connector: Any = SalesforceConnector(its, "secret")
    granted = {"access_token": "t", "instance_url": "http://x"}
    await answered(
        connector, lambda asked: httpx2.Response(200, json=granted if "token" in asked.url.path else page)
    )
    with pytest.raises(AwayError, match="in a circle"):
        [one async for one in connector.read(floor.its.accounts["cartera"], None, None)]
    await connector.close()


async def test_a_database_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is tried, it keeps one thread of its own and none of the host's; what came late after all is there once."""
    url, goes_on = f"sqlite:///{tmp_path / 'theirs.db'}", threading.Event()
    engine = create_engine(url)
    with engine.begin() as their:
        their.execute(text("CREATE TABLE p (id TEXT, a TEXT)"))  # whose key is none
    connector = SqlConnector(SqlSettings(kind="sql", url_env="U", timeout_s=0.1), url)
    upsert = SqlConnector._upsert

    def hang(self: SqlConnector, *given: Any) -> Any:
        found = upsert(self, *given)
        goes_on.wait(20)
        return found

    monkeypatch.setattr(SqlConnector, "_upsert", hang)
    out = OutSettings(connection="crm", what="promise", target="p", key="id", fields={"a": "1"})
    one = Outgoing("p", out, "p-1", "k", "p", {"a": "1"}, {})
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(AwayError, match=r"no answer in 0\.1 s"):
            await connector.write([one])
    assert threading.active_count() == before + 1
    goes_on.set()
    connector._its = SqlSettings(kind="sql", url_env="U")
    assert await connector.write([one]) == [OK]
    with engine.begin() as their:
        assert their.scalar(text("SELECT count(*) FROM p")) == 1
    await connector.close()
    engine.dispose()


async def test_a_file_is_taken_apart_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are read in a thread, in which others get their turn; one with a row that is none is told by its name."""
    rows, threads = drop._rows, []

    def note(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return rows(*given)

    monkeypatch.setattr(drop, "_rows", note)
    its = FilesSettings(kind="files", in_folder=".", settle_s=0)
    connector = drop.DropConnector(its, drop.LocalPlace(tmp_path))
    accounts = AccountsSettings(
        connection="f", campaign="spring", source="*.csv", fields={"external_id": "id"}
    )
    (tmp_path / "a.csv").write_text("id\nA-1\n")
    (tmp_path / "b.csv").write_text("id\n" + "x" * 200_000 + "\n")
    found = []
    pages = connector.read(accounts, None, None)
    found += (await anext(pages)).records
    with pytest.raises(MappingError, match=r"b\.csv: row 2 is none"):
        await anext(pages)
    assert [one["id"] for one in found] == ["A-1"]
    assert threading.main_thread() not in threads
