"""The journal: order, groups, units that fail alone, numbers without gaps, and a database that goes away."""

import asyncio
import datetime as dt
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from dialer_core.clock import SystemClock, VirtualClock
from dialer_core.errors import StoreError
from dialer_core.events import AttemptCommitted, CampaignStarted, PluginFailed
from dialer_core.store import attempts, events, people
from dialer_core.store.database import Database, open_database
from dialer_core.store.errors import AlreadyLiveError
from dialer_core.store.journal import Journal
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId, CampaignId, new_id
from tests.polling import wait_until_async
from tests.store.rows import CAMPAIGN, NOON, TABLES, new_attempt, put_campaign, put_debtor

pytestmark = pytest.mark.db


def start(database: Database, *, inline: bool = False) -> Journal:
    """Return a journal as the engine makes it."""
    return Journal(database, node="node1", boot_id="boot-1", clock=SystemClock(), inline=inline)


def adds_campaign(name: str) -> Callable[[Tx], str]:
    """Return a unit that stores a campaign and returns its name."""

    def work(tx: Tx) -> str:
        put_campaign(tx, name)
        return name

    return work


def fails(error: Exception) -> Callable[[Tx], None]:
    """Return a unit that writes a row, emits an event, and raises."""

    def work(tx: Tx) -> None:
        put_campaign(tx, "never")
        tx.emit(CampaignStarted(campaign_id=CampaignId("never")))
        raise error

    return work


def logged(database: Database, source: str = "engine") -> list[tuple[int, str]]:
    """Return number and name of the events of a source."""
    with database.read() as tx:
        return [(one.seq, one.name) for one in events.tail(tx, {}, limit=10_000) if one.source == source]


async def test_done_means_committed(database: Database) -> None:
    """A future is resolved, on the submitting loop, with what the unit returned, when another connection can read it."""
    journal = start(database)
    name = await journal.submit(adds_campaign("spring"), CampaignStarted(campaign_id=CAMPAIGN))
    assert name == "spring"
    with database.read() as tx:
        assert tx.scalar(select(func.count()).select_from(TABLES["campaign"])) == 1
    assert logged(database) == [(1, "campaign.started")]
    assert journal.backlog == 0
    assert journal.oldest_wait_s == 0
    assert await asyncio.to_thread(journal.close)


async def test_order_and_failures(database: Database) -> None:
    """Units take effect in order; one that raises fails alone, and leaves neither row, event nor gap in the numbers."""
    journal = start(database)
    futures: list[asyncio.Future[Any]] = []
    done: list[int] = []
    for number in range(200):
        if number % 7 == 3:
            future: asyncio.Future[Any] = journal.submit(fails(ZeroDivisionError(str(number))))
        else:
            event = PluginFailed(plugin=str(number), hook="", error="")
            future = journal.submit(adds_campaign(f"c{number}"), event)
        future.add_done_callback(lambda _, number=number: done.append(number))
        futures.append(future)
    answers = await asyncio.gather(*futures, return_exceptions=True)
    await asyncio.to_thread(journal.close)
    for number, answer in enumerate(answers):
        if number % 7 == 3:
            assert isinstance(answer, ZeroDivisionError)
        else:
            assert answer == f"c{number}"
    assert done == list(range(200))
    with database.read() as tx:
        written = events.tail(tx, {}, limit=1000)
    assert [one.seq for one in written] == list(range(1, len(written) + 1))
    assert [int(one.data["plugin"]) for one in written] == [n for n in range(200) if n % 7 != 3]


async def test_constraints_fail_one_unit(database: Database) -> None:
    """A second live attempt at a person fails with `AlreadyLiveError` and its neighbours are committed."""
    with database.write() as tx:
        put_campaign(tx)
        debtors = [put_debtor(tx, f"+52551111000{n}") for n in range(3)]
    journal = start(database)
    wanted = [debtors[0], debtors[1], debtors[1], debtors[2]]
    futures = []
    for debtor in wanted:
        new = new_attempt(debtor)
        event = AttemptCommitted(attempt_id=new.id, trunk="carrier")
        futures.append(journal.submit(lambda tx, new=new: attempts.insert(tx, new), event))
    answers = await asyncio.gather(*futures, return_exceptions=True)
    await asyncio.to_thread(journal.close)
    assert [type(answer) for answer in answers] == [type(None), type(None), AlreadyLiveError, type(None)]
    assert logged(database) == [(n, "attempt.committed") for n in (1, 2, 3)]


async def test_bad_statement_fails_one_unit(database: Database) -> None:
    """A unit with a wrong statement fails with one line; the units beside it do not notice."""
    journal = start(database)
    answers = await asyncio.gather(
        journal.submit(adds_campaign("one")),
        journal.submit(lambda tx: tx.execute(text("SELECT nonsense FROM nowhere"))),
        journal.submit(adds_campaign("two")),
        return_exceptions=True,
    )
    assert answers[0] == "one"
    assert isinstance(answers[1], StoreError)
    assert "refused a statement" in str(answers[1])
    assert answers[2] == "two"
    assert journal.healthy
    await asyncio.to_thread(journal.close)


async def test_event_that_cannot_be_stored(database: Database) -> None:
    """An event that the database refuses fails its own unit, whose row is undone, and no other."""
    journal = start(database)
    broken = CampaignStarted(account_id="not an id")  # type: ignore[arg-type]
    answers = await asyncio.gather(
        journal.submit(adds_campaign("one"), CampaignStarted(campaign_id=CAMPAIGN)),
        journal.submit(adds_campaign("broken"), broken),
        journal.submit(adds_campaign("two"), CampaignStarted(campaign_id=CAMPAIGN)),
        return_exceptions=True,
    )
    await asyncio.to_thread(journal.close)
    assert isinstance(answers[1], StoreError)
    assert [answers[0], answers[2]] == ["one", "two"]
    assert [seq for seq, _ in logged(database)] == [1, 2]
    with database.read() as tx:
        assert sorted(tx.scalars(select(TABLES["campaign"].c.id))) == ["one", "two"]


async def test_audit_entry_that_cannot_be_stored(database: Database) -> None:
    """It spoils its own unit; those submitted with it are committed, audited and numbered. Long names are cut."""
    journal = start(database)

    def bad(tx: Tx) -> None:
        tx.audit("a.b", "campaign x", unknown=object())

    def good(tx: Tx) -> None:
        tx.audit("a.c", "campaign " + "x" * 80, actor="token " + "y" * 80)

    done = [journal.submit(work) for work in (adds_campaign("one"), bad, good, adds_campaign("two"))]
    results = await asyncio.gather(*done, return_exceptions=True)
    await asyncio.to_thread(journal.close)
    assert [type(one) for one in results] == [str, TypeError, type(None), str]
    with database.read() as tx:
        rows = tx.execute(text("SELECT action, subject, actor FROM audit")).all()
    assert [(row.action, len(row.subject), len(row.actor)) for row in rows] == [("a.c", 64, 64)]


async def test_numbers_go_on_after_a_restart(database: Database) -> None:
    """A new journal goes on counting where the last one of its (node, source) ended."""
    for _ in range(2):
        journal = start(database)
        await journal.append(CampaignStarted(campaign_id=CAMPAIGN))
        await asyncio.to_thread(journal.close)
    other = Journal(database, node="node2", boot_id="boot-1", clock=SystemClock())
    await other.append(CampaignStarted(campaign_id=CAMPAIGN))
    await asyncio.to_thread(other.close)
    with database.read() as tx:
        assert events.last_positions(tx) == {("node1", "engine"): 2, ("node2", "engine"): 1}


async def test_committed_callback(database: Database) -> None:
    """`on_committed` hears, on the loop, the number of the last event of each commit, in rising order."""
    journal = start(database)
    heard: list[int] = []
    threads = set()

    def hear(seq: int) -> None:
        heard.append(seq)
        threads.add(threading.get_ident())

    journal.on_committed(hear)
    for _ in range(5):
        await asyncio.gather(*(journal.append(CampaignStarted(campaign_id=CAMPAIGN)) for _ in range(3)))
    await journal.submit(adds_campaign("quiet"))
    await asyncio.to_thread(journal.close)
    await wait_until_async(lambda: heard and heard[-1] == 15, 2, "the callbacks")
    assert heard == sorted(set(heard))
    assert threads == {threading.get_ident()}


async def test_close_drains(database: Database) -> None:
    """Closing commits what is queued, and afterwards nothing more is taken."""
    journal = start(database)
    futures = [journal.submit(adds_campaign(f"c{n}")) for n in range(100)]
    assert await asyncio.to_thread(journal.close)
    await asyncio.gather(*futures)
    with database.read() as tx:
        assert tx.scalar(select(func.count()).select_from(TABLES["campaign"])) == 100
    with pytest.raises(StoreError, match="closed"):
        journal.append(CampaignStarted(campaign_id=CAMPAIGN))
    assert journal.close()


async def test_cancelled_future_changes_nothing(database: Database) -> None:
    """Whoever stops waiting does not undo the unit, nor disturb its neighbours."""
    journal = start(database)
    first = journal.submit(adds_campaign("one"))
    second = journal.submit(adds_campaign("two"))
    first.cancel()
    assert await second == "two"
    await asyncio.to_thread(journal.close)
    with database.read() as tx:
        assert sorted(tx.scalars(select(TABLES["campaign"].c.id))) == ["one", "two"]


async def test_inline(database: Database) -> None:
    """Inline, a future is done when `submit` returns, events carry the virtual time, and failures fail their own unit."""
    clock = VirtualClock(NOON)
    journal = Journal(database, node="node1", boot_id="boot-1", clock=clock, inline=True)
    heard: list[int] = []
    journal.on_committed(heard.append)
    clock.set_elapsed_s(90)
    future = journal.submit(adds_campaign("spring"), CampaignStarted(campaign_id=CAMPAIGN))
    assert future.done()
    assert future.result() == "spring"
    failed = journal.submit(fails(ZeroDivisionError()))
    assert isinstance(failed.exception(), ZeroDivisionError)
    assert heard == [1]
    earlier = CampaignStarted(campaign_id=CAMPAIGN, at_mono_ns=clock.mono_ns() - 30_000_000_000)
    journal.append(earlier)
    with database.read() as tx:
        now, before = events.tail(tx, {})
    assert now.at_utc == (NOON + dt.timedelta(seconds=90)).isoformat()
    assert before.at_utc == (NOON + dt.timedelta(seconds=60)).isoformat()
    assert before.at_mono_ns == now.at_mono_ns - 30_000_000_000
    assert journal.close()


async def test_units_wait_while_sqlite_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another holds the database, units wait in order and it shows; afterwards all are committed, none twice."""
    monkeypatch.setattr("dialer_core.store.database.BUSY_TIMEOUT_MS", 20)
    file = tmp_path / "store.db"
    database = open_database(f"sqlite:///{file}")
    database.migrate()
    journal = start(database)
    await journal.submit(adds_campaign("before"))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    futures = [
        journal.submit(adds_campaign(f"c{n}"), CampaignStarted(campaign_id=CAMPAIGN)) for n in range(5)
    ]
    await wait_until_async(lambda: not journal.healthy, 5, "the journal to notice")
    assert journal.backlog == 5
    assert journal.oldest_wait_s > 0
    assert not any(future.done() for future in futures)
    other.execute("ROLLBACK")
    other.close()
    assert await asyncio.gather(*futures) == [f"c{n}" for n in range(5)]
    assert journal.healthy
    assert [seq for seq, _ in logged(database)] == [1, 2, 3, 4, 5]
    await asyncio.to_thread(journal.close)
    database.dispose()


async def test_units_outlive_a_lost_connection(postgresql_database: str) -> None:
    """When the server cuts the connection in the middle of a group, the group is written again, once."""
    database = open_database(postgresql_database)
    database.migrate()
    journal = start(database)
    cut = threading.Event()

    def cuts_its_own_connection(tx: Tx) -> None:
        put_campaign(tx, "cut")
        if not cut.is_set():
            cut.set()
            with database.write() as other:
                mine = tx.scalar(text("SELECT pg_backend_pid()"))
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})
            tx.execute(text("SELECT 1"))

    futures: list[asyncio.Future[Any]] = [
        journal.submit(adds_campaign("one"), CampaignStarted(campaign_id=CAMPAIGN)),
        journal.submit(cuts_its_own_connection, CampaignStarted(campaign_id=CAMPAIGN)),
        journal.submit(adds_campaign("two"), CampaignStarted(campaign_id=CAMPAIGN)),
    ]
    await asyncio.gather(*futures)
    assert cut.is_set()
    assert journal.healthy
    assert [seq for seq, _ in logged(database)] == [1, 2, 3]
    with database.read() as tx:
        assert sorted(tx.scalars(select(TABLES["campaign"].c.id))) == ["cut", "one", "two"]
    await asyncio.to_thread(journal.close)
    database.dispose()


async def test_a_deadlock_of_two_nodes_costs_neither_its_unit(postgresql_database: str) -> None:
    """Two nodes keep one row each and want the other's: the server ends one of them, which is written again when the other is done."""
    nodes = [open_database(postgresql_database, node=name) for name in ("one", "two")]
    nodes[0].migrate()
    with nodes[0].write() as tx:
        put_campaign(tx)
        debtors = [put_debtor(tx, f"+52551234567{place}") for place in range(2)]
    meet, runs = threading.Barrier(2), []

    def keeps(name: str, *persons: str) -> Callable[[Tx], None]:
        def unit(tx: Tx) -> None:
            runs.append(name)
            people.lock(tx, persons[:1])
            if runs.count(name) == 1:
                meet.wait(20)
            people.lock(tx, persons[1:])
            put_campaign(tx, name)

        return unit

    ids = [one.person for one in debtors]
    journals = [Journal(one, node=one.node, boot_id="boot-1", clock=SystemClock()) for one in nodes]
    await asyncio.gather(
        journals[0].submit(keeps("one", *ids), CampaignStarted(campaign_id=CAMPAIGN)),
        journals[1].submit(keeps("two", *reversed(ids)), CampaignStarted(campaign_id=CAMPAIGN)),
    )
    assert len(runs) == 3
    assert all(journal.healthy for journal in journals)
    with nodes[0].read() as tx:
        assert {"one", "two"} <= set(tx.scalars(select(TABLES["campaign"].c.id)))
    for journal, database in zip(journals, nodes, strict=True):
        await asyncio.to_thread(journal.close)
        database.dispose()


async def test_full_disk_is_waited_for(tmp_path: Path) -> None:
    """A unit that finds the disk full is written once there is room, with those before it in its group."""
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    database.migrate()
    with database.write() as tx:
        pages = tx.scalar(text("PRAGMA page_count"))
    journal = start(database)
    full = threading.Event()

    def fills_the_disk(tx: Tx) -> None:
        if not full.is_set():
            tx.execute(text(f"PRAGMA max_page_count = {pages}"))
        else:
            tx.execute(text("PRAGMA max_page_count = 1000000"))
        full.set()
        for number in range(200):
            put_campaign(tx, f"{new_id()}-{number}", text="x" * 2000)

    futures: list[asyncio.Future[Any]] = [
        journal.submit(adds_campaign("one"), CampaignStarted(campaign_id=CAMPAIGN)),
        journal.submit(fills_the_disk, CampaignStarted(campaign_id=CAMPAIGN)),
    ]
    await asyncio.gather(*futures)
    with database.read() as tx:
        assert tx.scalar(select(func.count()).select_from(TABLES["campaign"])) == 201
    assert [seq for seq, _ in logged(database)] == [1, 2]
    assert await asyncio.to_thread(journal.close)
    database.dispose()


async def test_close_with_a_limit_says_what_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the database away and the time over, closing fails what is left, in order, and says so."""
    monkeypatch.setattr("dialer_core.store.database.BUSY_TIMEOUT_MS", 20)
    file = tmp_path / "store.db"
    database = open_database(f"sqlite:///{file}")
    database.migrate()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = start(database)
    futures = [journal.submit(adds_campaign(f"c{n}")) for n in range(3)]
    assert not await asyncio.to_thread(journal.close, 0.05)
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert all(isinstance(answer, StoreError) for answer in answers)
    other.execute("ROLLBACK")
    other.close()
    database.dispose()


async def test_units_may_read_what_earlier_ones_wrote(database: Database) -> None:
    """A unit sees the rows of units before it, and the log as it will be, within one group."""
    with database.write() as tx:
        put_campaign(tx)
        debtor = put_debtor(tx, "+525511110000")
    journal = start(database)
    new = new_attempt(debtor)
    journal.submit(lambda tx: attempts.insert(tx, new), AttemptCommitted(attempt_id=new.id, trunk="carrier"))

    def look(tx: Tx) -> tuple[list[str], int]:
        return [one.id for one in attempts.live(tx)], events.last_seq(tx, "node1", "engine")

    assert await journal.submit(look) == ([AttemptId(new.id)], 1)
    await asyncio.to_thread(journal.close)
