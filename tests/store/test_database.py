"""Transactions: what is committed, what is not, who waits for whom, and how errors are told."""

import fcntl
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select, text

from dialer_core.errors import StoreError
from dialer_core.events import CampaignPaused, CampaignStarted
from dialer_core.store import events
from dialer_core.store.database import Database, open_database
from dialer_core.store.errors import DatabaseAwayError
from tests.polling import wait_until
from tests.store.rows import CAMPAIGN, TABLES, put, put_campaign, put_debtor

pytestmark = pytest.mark.db


def count(database: Database, table: str) -> int:
    """Count a table's rows."""
    with database.read() as tx:
        return int(tx.scalar(select(func.count()).select_from(TABLES[table])))


def test_write_commits_at_the_end(database: Database) -> None:
    """Rows and events of a block are there after it, and neither after a block that raised."""
    with database.write() as tx:
        put_campaign(tx)
        tx.emit(CampaignStarted(campaign_id=CAMPAIGN))
    assert (count(database, "campaign"), count(database, "event")) == (1, 1)
    with pytest.raises(ZeroDivisionError), database.write() as tx:  # noqa: PT012 - what stands before the raise is the test
        put_campaign(tx, "autumn")
        tx.emit(CampaignStarted(campaign_id=CAMPAIGN))
        raise ZeroDivisionError
    assert (count(database, "campaign"), count(database, "event")) == (1, 1)


def test_reading_is_a_snapshot_that_writes_nothing(database: Database) -> None:
    """A read transaction does not see what is committed meanwhile, and neither writes nor emits."""
    with database.read() as reading:
        assert reading.scalar(select(func.count()).select_from(TABLES["campaign"])) == 0
        with database.write() as writing:
            put_campaign(writing)
        assert reading.scalar(select(func.count()).select_from(TABLES["campaign"])) == 0
        with pytest.raises(StoreError, match="read transaction"):
            reading.emit(CampaignStarted(campaign_id=CAMPAIGN))
    with pytest.raises(StoreError, match="read"), database.read() as tx:
        put_campaign(tx, "autumn")
    assert count(database, "campaign") == 1


def test_savepoint_undoes_rows_and_events(database: Database) -> None:
    """What a raising savepoint wrote and emitted is gone, nested ones too; the rest of the transaction stays."""
    with database.write() as tx:
        put_campaign(tx)
        tx.emit(CampaignStarted(campaign_id=CAMPAIGN))
        with tx.savepoint(), pytest.raises(ZeroDivisionError), tx.savepoint():  # noqa: PT012 - as above
            put_campaign(tx, "autumn")
            tx.emit(CampaignPaused(campaign_id=CAMPAIGN))
            with tx.savepoint():
                put_campaign(tx, "winter")
            raise ZeroDivisionError
        put_campaign(tx, "summer")
    with database.read() as tx:
        assert sorted(tx.scalars(select(TABLES["campaign"].c.id))) == ["spring", "summer"]
        assert [event.name for event in events.tail(tx, {})] == ["campaign.started"]


def test_host_numbers_have_no_gaps_over_processes(database: Database, migrated_url: str) -> None:
    """Several writers of source `host` at once, some failing, leave the numbers 1 to n."""
    others = [open_database(migrated_url) for _ in range(3)]

    def write(one: Database) -> None:
        for turn in range(20):
            try:
                with one.write() as tx:
                    tx.emit(CampaignStarted(campaign_id=CAMPAIGN), CampaignPaused(campaign_id=CAMPAIGN))
                    turn // (0 if turn % 5 == 4 else 1)
            except ZeroDivisionError:
                continue

    threads = [threading.Thread(target=write, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as tx:
        found = events.tail(tx, {}, limit=10_000)
    assert [event.seq for event in found] == list(range(1, 3 * 16 * 2 + 1))
    for one in others:
        one.dispose()


def test_constraint_error_names_no_value(database: Database) -> None:
    """A row that breaks a constraint is told by the constraint, without the number it holds (I17)."""
    with database.write() as tx:
        put_campaign(tx)
        debtor = put_debtor(tx, "+525511112222")
    with pytest.raises(StoreError) as caught, database.write() as tx:
        put(
            tx, "phone", id=debtor.phone[:-1] + ("0" if debtor.phone[-1] != "0" else "1"),
            person_id=debtor.person, e164="+525511112222", kind="x", rank=0, zones="", failures=0,
        )  # fmt: skip
    told = str(caught.value)
    assert "+525511112222" not in told
    assert "phone" in told
    assert "\n" not in told
    assert caught.value.__suppress_context__


def test_foreign_keys_hold(database: Database) -> None:
    """A lead of nobody is refused on both databases."""
    with pytest.raises(StoreError, match="refused"), database.write() as tx:
        put(tx, "phone", id="0" * 32, person_id="0" * 32, e164="+1", kind="x", rank=0, zones="", failures=0)


def test_times_are_aware_utc(database: Database) -> None:
    """Times come back aware and in UTC, from databases with and without zones."""
    with database.write() as tx:
        put_campaign(tx)
    with database.read() as tx:
        changed = tx.scalar(select(TABLES["campaign"].c.changed_at_utc))
    assert changed.utcoffset().total_seconds() == 0


def test_not_a_number_is_stored_as_null(database: Database) -> None:
    """JSON columns take a NaN, which PostgreSQL's json does not know, as null."""
    with database.write() as tx:
        put_campaign(tx, ratio=float("nan"), deep=[float("inf")])
    with database.read() as tx:
        assert tx.scalar(select(TABLES["campaign"].c.settings)) == {"ratio": None, "deep": [None]}


def test_sqlite_is_durable(tmp_path: Path) -> None:
    """SQLite runs with a write-ahead log, flushes every commit and checks foreign keys."""
    database = open_database(f"sqlite:///{tmp_path / 'deep' / 'store.db'}")
    database.migrate()
    for access in (database.read, database.write):
        with access() as tx:
            pragmas = {
                name: tx.scalar(text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
            assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    database.dispose()


def test_sqlite_is_for_our_eyes_only(tmp_path: Path) -> None:
    """The folder, the database and the files beside it can be read by nobody else: they hold people's data."""
    file = tmp_path / "state" / "store.db"
    database = open_database(f"sqlite:///{file}")
    database.migrate()
    with database.write() as tx:
        put_campaign(tx)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (file.parent, *file.parent.iterdir())}
    assert modes.pop("state") == 0o700
    assert {"store.db", "store.db-wal", "store.db-shm", "store.db-turn"} == modes.keys()
    assert set(modes.values()) == {0o600}
    database.dispose()


def test_busy_sqlite_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that someone else keeps locked is told as not available, and works once let go."""
    monkeypatch.setattr("dialer_core.store.database.BUSY_TIMEOUT_MS", 30)
    file = tmp_path / "store.db"
    database = open_database(f"sqlite:///{file}")
    database.migrate()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseAwayError, match="locked"), database.write() as tx:
        put_campaign(tx)
    other.execute("ROLLBACK")
    other.close()
    with database.write() as tx:
        put_campaign(tx)
    assert count(database, "campaign") == 1
    database.dispose()


def test_waiting_writer_is_next(tmp_path: Path) -> None:
    """Beside a job that writes transaction after transaction, a second writer gets in after the present one."""
    file = tmp_path / "store.db"
    database = open_database(f"sqlite:///{file}")
    database.migrate()
    order: list[str] = []
    first_is_in = threading.Event()

    def somebody_waits() -> bool:
        with Path(f"{file}-turn").open() as turnstile:
            try:
                fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def bulk() -> None:
        with database.write():
            first_is_in.set()
            wait_until(somebody_waits, 5, "the second writer to stand in turn")
            order.append("bulk")
        for _ in range(50):
            with database.write():
                order.append("bulk")

    def single() -> None:
        first_is_in.wait(5)
        with database.write():
            order.append("single")

    threads = [threading.Thread(target=bulk), threading.Thread(target=single)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order.index("single") == 1
    database.dispose()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://root:hunter2@localhost/x", r"mysql is not supported; use sqlite:///FILE"),
        ("sqlite://", "names no file"),
        ("sqlite:////proc/none/x/store.db", "cannot open or make the database"),
    ],
)
def test_bad_urls(url: str, told: str) -> None:
    """A URL that cannot work is refused at once, in a line that says what would."""
    with pytest.raises(StoreError, match=told) as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)


def test_absent_server_is_told_without_the_password() -> None:
    """Nobody listening is one line with the place and without the password."""
    database = open_database("postgresql://dialer:hunter2@127.0.0.1:9/marcador")
    with pytest.raises(DatabaseAwayError) as caught:
        database.migrate()
    told = str(caught.value)
    assert "hunter2" not in told
    assert "127.0.0.1:9/marcador is not available" in told
    assert "\n" not in told
    database.dispose()


def test_file_that_is_no_database(tmp_path: Path) -> None:
    """A file of something else is told in one line."""
    file = tmp_path / "store.db"
    file.write_text("name,phone\n" * 1000)
    database = open_database(f"sqlite:///{file}")
    with pytest.raises(StoreError, match="not a database"):
        database.migrate()
    database.dispose()


def test_url_kinds_of_postgresql(postgresql_url: str) -> None:
    """`postgresql://` means the driver that we ship."""
    database = open_database(postgresql_url.replace("postgresql+psycopg://", "postgresql://"))
    with database.read() as tx:
        assert tx.scalar(text("SELECT 1")) == 1
    database.dispose()
    assert create_engine(postgresql_url).dialect.driver == "psycopg"
