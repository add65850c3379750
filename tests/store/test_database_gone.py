"""A PostgreSQL server that crashes under a claiming engine and under an import, and comes back: nothing lost, nothing twice."""

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.own_postgresql import Server, own_postgresql
from dialer_core.campaigns import hopper
from dialer_core.clock import SystemClock
from dialer_core.errors import StoreError
from dialer_core.store import attempts
from dialer_core.store.database import Database, open_database
from dialer_core.store.errors import DatabaseAwayError
from dialer_core.store.journal import Journal
from dialer_core.store.tx import Tx
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, put_lead, put_list_campaign, rows, settings_of
from tests.campaigns.test_leads_import import load, write
from tests.compliance.packs_for_tests import pack_of
from tests.polling import wait_until

pytestmark = pytest.mark.db

SETTINGS, PACK = settings_of(), pack_of()
LEADS = 400


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Yield a server of this module's own, whose commits are on disk before they are acknowledged."""
    with tempfile.TemporaryDirectory(prefix="marcador-gone-") as made:
        Path(made).chmod(0o755)
        with own_postgresql(Path(made)) as running:
            if running is None:
                pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
            opened = open_database(running.url, node="node1", boot_id="boot-1")
            opened.migrate()
            with opened.write() as tx:
                put_list_campaign(tx)
            opened.dispose()
            yield running


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """Yield the server's database."""
    opened = open_database(server.url, node="node1", boot_id="boot-1")
    yield opened
    opened.dispose()


def crash(server: Server) -> None:
    """End the server as a power cut would: what it has not written it forgets."""
    os.kill(int((server.home / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    server.stop()


def claim(tx: Tx) -> list[hopper.ClaimedAttempt]:
    """Claim five leads."""
    return hopper.claim(
        tx, campaign_id=CAMPAIGN, settings=SETTINGS, pack=PACK, trunks=[TRUNK] * 5, node="node1", boot_id="boot-1", now=NOON
    ).attempts  # fmt: skip


def test_a_crash_under_a_claiming_engine(server: Server, database: Database) -> None:
    """What was claimed and acknowledged is there after the crash; claims in flight wait, in order, and go on by themselves; no lead twice."""
    with database.write() as tx:
        for index in range(LEADS):
            put_lead(tx, [f"+52551111{index:04d}"])

    async def whole() -> list[hopper.ClaimedAttempt]:
        journal = Journal(database, node="node1", boot_id="boot-1", clock=SystemClock())
        acknowledged = [one for _ in range(5) for one in await journal.submit(claim)]
        in_flight = [journal.submit(claim) for _ in range(10)]
        crash(server)
        in_flight += [journal.submit(claim) for _ in range(10)]
        await asyncio.to_thread(wait_until, lambda: journal.behind, 30, "the journal to notice")
        server.start()
        for found in await asyncio.gather(*in_flight):
            acknowledged += found
        acknowledged += await journal.submit(claim)
        await asyncio.to_thread(journal.close)
        return acknowledged

    acknowledged = asyncio.run(whole())
    with database.read() as tx:
        stored = {row.id for row in attempts.live(tx)}
    assert {one.attempt_id for one in acknowledged} == stored
    assert len(acknowledged) == len({one.lead_id for one in acknowledged}) == 26 * 5


def test_a_crash_under_an_import(server: Server, database: Database, tmp_path: Path) -> None:
    """The import says in one line that the database is away; what it had committed stays, and the same file again brings in the rest, once."""
    lines = [f"G{number},55200{number:05d}" for number in range(3000)]
    path = write(tmp_path, ["cuenta,telefono", *lines])
    failed: list[StoreError] = []
    some = threading.Event()

    def run() -> None:
        try:
            load(database, path, progress=lambda _progress: some.set())
        except StoreError as error:
            failed.append(error)

    importing = threading.Thread(target=run)
    importing.start()
    some.wait(30)
    crash(server)
    importing.join()
    server.start()
    assert [type(error) for error in failed] == [DatabaseAwayError]
    with database.read() as tx:
        had = sum(row["external_id"].startswith("G") for row in rows(tx, "account"))
    report = load(database, path)
    assert (report.accepted, report.unchanged) == (3000 - had, had)
    with database.read() as tx:
        accounts = [row["external_id"] for row in rows(tx, "account") if row["external_id"].startswith("G")]
    assert len(accounts) == len(set(accounts)) == 3000
