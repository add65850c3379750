"""The fixtures of the store's tests, and a store in which nothing is wrong."""

from pathlib import Path

import pytest

from dialer_core.store.database import Database
from dialer_core.verify import Report, verify_store
from tests.store.conftest import database, database_url, migrated_postgresql, migrated_sqlite, migrated_url
from tests.verify.world import NOW_S, PACK, TRUNKS, World, build, utc

__all__ = ["database", "database_url", "migrated_postgresql", "migrated_sqlite", "migrated_url"]


@pytest.fixture
def wire(tmp_path: Path) -> Path:
    """Return where the carrier's log is."""
    return tmp_path / "carrier.jsonl"


@pytest.fixture
def world(database: Database, wire: Path) -> World:
    """Return a clean store's names; its rows are committed and the carrier's log is written."""
    with database.write() as tx:
        made = build(tx)
    made.write_wire(wire)
    return made


def verify(database: Database, wire: Path, *logs: Path) -> Report:
    """Verify with everything given."""
    return verify_store(
        database, packs={PACK.name: PACK}, trunks=TRUNKS, carrier_log=wire, logs=logs, now=utc(NOW_S)
    )
