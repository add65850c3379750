"""The reader: long questions beside the journal."""

import asyncio
import threading

import pytest
from sqlalchemy import func, select

from dialer_core.clock import SystemClock
from dialer_core.errors import StoreError
from dialer_core.store.database import Database, open_database
from dialer_core.store.errors import DatabaseAwayError
from dialer_core.store.journal import Journal
from dialer_core.store.reader import Reader
from dialer_core.store.tx import Tx
from tests.store.rows import TABLES, put_campaign

pytestmark = pytest.mark.db


def campaigns(tx: Tx) -> int:
    """Count."""
    return int(tx.scalar(select(func.count()).select_from(TABLES["campaign"])))


def test_a_long_question_keeps_nobody_from_writing(database: Database) -> None:
    """While one is under way the journal commits; it sees what was committed before it was asked, and nothing after."""
    journal = Journal(database, node="node1", boot_id="b", clock=SystemClock())
    reader = Reader(database)
    asked, go_on = threading.Event(), threading.Event()

    def long_question(tx: Tx) -> tuple[int, int]:
        first = campaigns(tx)
        asked.set()
        assert go_on.wait(30)
        return first, campaigns(tx)

    async def whole() -> tuple[tuple[int, int], int]:
        await journal.submit(lambda tx: put_campaign(tx, "spring"))
        answer = reader.ask(long_question)
        await asyncio.to_thread(asked.wait, 30)
        await journal.submit(lambda tx: put_campaign(tx, "autumn"))
        go_on.set()
        return await answer, await reader.ask(campaigns)

    try:
        assert asyncio.run(whole()) == ((1, 1), 2)
    finally:
        go_on.set()
        reader.close()
        journal.close()


def test_a_question_that_fails_fails_alone(database: Database) -> None:
    """Its error goes to whoever asked; the next question is answered. Nothing can be written."""
    reader = Reader(database)

    async def whole() -> int:
        with pytest.raises(ZeroDivisionError):
            await reader.ask(lambda _tx: 1 // 0)
        with pytest.raises(StoreError):
            await reader.ask(put_campaign)
        return await reader.ask(campaigns)

    assert asyncio.run(whole()) == 0
    reader.close()


def test_a_question_that_hangs_is_given_up(postgresql_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL ends a statement that takes longer than the limit: its question fails, and the next is answered."""
    monkeypatch.setattr("dialer_core.store.reader.LIMIT_S", 0.2)
    database = open_database(postgresql_database)
    reader = Reader(database)

    async def whole() -> int:
        with pytest.raises(DatabaseAwayError):
            await reader.ask(lambda tx: tx.scalar(select(func.pg_sleep(60))))
        return await reader.ask(lambda tx: int(tx.scalar(select(1))))

    try:
        assert asyncio.run(whole()) == 1
    finally:
        reader.close()
        database.dispose()
