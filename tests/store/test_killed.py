"""A process that is killed in the middle of writing loses nothing that it was told is stored."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

import dialer_core
from dialer_core.store.database import open_database
from dialer_core.verify import verify_store
from tests.store.rows import TABLES

pytestmark = pytest.mark.db

WRITER = """
import asyncio, os, sys
from dialer_core.clock import SystemClock
from dialer_core.events import CampaignStarted
from dialer_core.store import campaigns
from dialer_core.store.database import open_database
from dialer_core.store.journal import Journal

async def main():
    journal = Journal(open_database(sys.argv[1]), node="node1", boot_id="b", clock=SystemClock())
    first = int(sys.argv[2])
    for number in range(first, first + 100_000):
        name = f"c{number}"
        future = journal.submit(
            lambda tx, name=name: tx.execute(
                campaigns._TABLE.insert(), {"id": name, "state": "stopped", "settings": {}, "changed_at_utc": tx.utc()}
            ) and None,
            CampaignStarted(campaign_id=name),
        )
        future.add_done_callback(lambda done, name=name: done.result() or os.write(1, f"{name}\\n".encode()))
        if number % 5 == 0:
            await asyncio.sleep(0)
    await future

asyncio.run(main())
"""
KILLS = 3


def test_what_was_acknowledged_is_there(database_url: str) -> None:
    """Killed with SIGKILL, over and over: every unit acknowledged is in the store, with its event, and no number is missing."""
    database = open_database(database_url)
    database.migrate()
    acknowledged: list[str] = []
    for turn in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, database_url, str(turn * 100_000)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(dialer_core.__file__).parent.parent)},
        )
        assert writer.stdout is not None
        with writer.stdout:
            told = [writer.stdout.readline() for _ in range(150)]
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.readlines()
        writer.wait()
        acknowledged += [line.decode().strip() for line in told if line.endswith(b"\n")]
    with database.read() as tx:
        stored = set(tx.scalars(select(TABLES["campaign"].c.id)))
        started = set(tx.scalars(select(TABLES["event"].c.campaign_id)))
    assert len(acknowledged) >= KILLS * 150
    assert set(acknowledged) <= stored
    assert stored == started
    assert verify_store(database).violations == []
    database.dispose()
