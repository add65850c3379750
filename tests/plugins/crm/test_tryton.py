"""Against a live Tryton server: dunnings come in as accounts, promises and dispositions go back as notes."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer_core.portfolio import promises as our_promises
from dialer_core.store.database import Database
from plugins.crm.connector import AwayError, LoginError, MappingError
from tests.plugins.crm.floor import Floor, toml
from tests.plugins.tryton_server import PASSWORD, Debt, TrytonServer, tryton_server
from tests.skips import ROOT
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

MAPPING = Path(__file__).with_name("tryton.toml").read_text()
DEBTS = [
    Debt("Ana Díaz", "+525512345678", "1500.50", 40),
    Debt("Beto Núñez", "+525512345679", "900", 70),
    Debt("Sin Número", "", "1", 10),
]


@pytest.fixture(scope="module")
def tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonServer]:
    """A server with three debts."""
    with tryton_server(tmp_path_factory.mktemp("tryton")) as server:
        server.add(DEBTS)
        yield server


@pytest.fixture
def migrated_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """On SQLite alone: the store under it is tested elsewhere."""
    (tmp_path / "store.db").write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def floor(database: Database, tmp_path: Path, tryton: TrytonServer, monkeypatch: pytest.MonkeyPatch) -> Floor:
    """The plugin, mapped onto it."""
    monkeypatch.setenv("TRYTON_PASSWORD", PASSWORD)
    return Floor(database, tmp_path, toml(MAPPING, url=tryton.url), now=dt.datetime.now(dt.UTC))


async def test_there_and_back(floor: Floor, tryton: TrytonServer) -> None:
    """Dunnings come in with the debtor's number and what is owed, what cannot be called is listed; a promise and a disposition are notes on them."""
    found = await floor.pull()
    assert (found.read, found.new, found.rejected) == (3, 2, 1)
    (reject,) = (await floor.kept("reject/")).values()
    assert reject["reason"] == "no phone number in the row"
    dunnings = {one["party.name"]: one["id"] for one in tryton.find("account.dunning", [], ["party.name"])}
    ana = await floor.account(str(dunnings["Ana Díaz"]))
    view = await floor.engine.accounts.get(ana)
    assert view.person.name == "Ana Díaz"
    assert [one.e164 for one in view.phones] == ["+525512345678"]
    assert (view.account.balance_minor, view.account.currency) == (150_050, "MXN")

    await floor.push()  # from now on
    promise, attempt = floor.promise(ana), floor.dispose(ana)
    assert (await floor.push()).written == 3
    notes = {one["message"]: one["resource"] for one in tryton.find("ir.note", [], ["message", "resource"])}
    assert set(notes.values()) == {f"account.dunning,{dunnings['Ana Díaz']}"}
    assert sorted(text.split(" [")[0] for text in notes) == [
        "Gestión: promise de ana",
        f"Promesa: 500.00 MXN para {view_day(floor)}, open",
    ]
    assert {text.split("[")[1] for text in notes} == {f"promise {promise}]", f"disposition {attempt}]"}
    assert [one["id"] for one in tryton.find("account.dunning", [["blocked", "=", True]], [])] == [
        dunnings["Ana Díaz"]
    ]

    with floor.database.write() as tx:  # kept: the same note says so, and the dunning goes on
        (row,) = our_promises.promises.open_of(tx, [ana]).values()
        our_promises.keep(tx, row, floor.clock.utc())
    await floor.push()
    (note,) = tryton.find("ir.note", [["message", "like", f"%{promise}%"]], ["message"])
    assert ", kept [" in note["message"]
    assert tryton.find("account.dunning", [["blocked", "=", True]], []) == []


def view_day(floor: Floor) -> str:
    """Return the day of the promise."""
    return (floor.clock.utc().date() + dt.timedelta(days=5)).isoformat()


async def test_the_second_time_nothing_changes(floor: Floor, tryton: TrytonServer) -> None:
    """Read again, nothing is written; a number that was changed there comes in, though the dunning itself was not touched."""
    await floor.pull()
    again = await floor.pull(whole=True)
    assert (again.new, again.updated, again.unchanged, again.rejected) == (0, 0, 2, 1)
    floor.clock.set_elapsed_s(3600)
    assert (await floor.pull()).updated == 0
    (party,) = tryton.find("party.party", [["name", "=", "Sin Número"]], ["contact_mechanisms"])
    (way,) = tryton.call(
        "party.contact_mechanism",
        "create",
        [{"party": party["id"], "type": "mobile", "value": "+525512345670"}],
    )
    found = await floor.pull()
    assert (found.new, found.rejected) == (1, 0)
    assert await floor.kept("reject/") == {}
    tryton.call("party.contact_mechanism", "delete", [way])


async def test_what_tryton_refuses(floor: Floor, tryton: TrytonServer) -> None:
    """A dunning deleted there makes a dead letter in words, the rest is written; a replay says the same again."""
    (id_of_gone,) = tryton.add([Debt("Se Va", "+525512345999", "10", 20)])
    await floor.pull()
    await floor.push()
    (gone,) = tryton.find("account.dunning", [["party", "=", id_of_gone]], [])
    stays = tryton.find("account.dunning", [["party.name", "=", "Beto Núñez"]], [])[0]["id"]
    tryton.call("account.dunning", "delete", [gone["id"]])
    floor.promise(await floor.account(str(gone["id"])), 500)
    floor.promise(await floor.account(str(stays)))
    done = await floor.push()
    assert (done.written, done.dead) == (2, 2)
    letters = await floor.kept("dead/")
    assert {one["out"] for one in letters.values()} == {"promesas", "bloqueo"}
    reasons = {one["out"]: one["reason"] for one in letters.values()}
    assert "there is no account.dunning" in reasons["bloqueo"]
    assert "UserError" in reasons["promesas"], reasons
    async with floor.teller() as teller:
        again = await teller.replay(patience=0)
    assert (again.replayed, again.dead) == (0, 2)


DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from dialer_core.store.database import open_database
from tests.plugins.crm.floor import Floor

async def main():
    database = open_database(sys.argv[1], node="node1", boot_id="boot-1")
    floor = Floor(database, Path(sys.argv[2]), Path(sys.argv[2], "plugins", "crm.toml").read_text(), new=False)
    async with floor.connection() as connector:
        write = connector.write
        async def write_and_die(batch):
            await write(batch)
            os.kill(os.getpid(), signal.SIGKILL)
        connector.write = write_and_die
        await floor.teller_of(connector).push()

asyncio.run(main())
"""


async def test_killed_between_sending_and_keeping(
    floor: Floor, tryton: TrytonServer, migrated_url: str, tmp_path: Path
) -> None:
    """A process that is killed with -9 once Tryton has a promise, and before it has noted that, is followed by one that tells it again: one note."""
    await floor.pull()
    await floor.push()
    dunning = tryton.find("account.dunning", [["party.name", "=", "Beto Núñez"]], [])[0]["id"]
    promise = floor.promise(await floor.account(str(dunning)))
    before = await floor.kept("out/")
    program = [sys.executable, "-c", DIES, migrated_url, str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert await floor.kept("out/") == before
    assert len(tryton.find("ir.note", [["message", "like", f"%{promise}%"]], [])) == 1
    assert (await floor.push()).written == 2
    assert len(tryton.find("ir.note", [["message", "like", f"%{promise}%"]], [])) == 1


async def test_wrong_words_and_a_server_that_is_away(
    floor: Floor, tryton: TrytonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, a wrong field and a server that is gone are each said in one line."""
    async with floor.connection() as connector:
        assert "blocked" in await connector.fields_of("account.dunning")
        with pytest.raises(MappingError, match=r"account\.none"):
            await connector.fields_of("account.none")
    floor.file.write_text(floor.file.read_text().replace('"party.mobile"', '"party.nothing"'))
    with pytest.raises(MappingError, match="nothing"):
        await floor.pull()
    monkeypatch.setenv("TRYTON_PASSWORD", "wrong")
    async with floor.connection() as connector:
        with pytest.raises(LoginError, match="name or password"):
            await connector.check()
    floor.file.write_text(toml(MAPPING, url="http://127.0.0.1:9/tryton/"))
    with pytest.raises(AwayError, match="cannot be reached"):
        await floor.pull()


async def test_a_session_that_ends_is_opened_anew(floor: Floor, tryton: TrytonServer) -> None:
    """A session that the server knows no more is opened anew by itself, once."""
    async with floor.connection() as connector:
        await connector.check()
        session = connector._session
        connector._session = session[:-4] + "AAAA"  # as one that the server has forgotten
        assert "blocked" in await connector.fields_of("account.dunning")
