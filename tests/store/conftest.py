"""Tests of the store run on SQLite and PostgreSQL: ask for `database` (migrated) or `database_url` (empty)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dialer_core.store.database import Database, open_database
from dialer_core.store.models import Base
from tests.postgresql import _new_database as new_postgresql_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of this test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("postgresql_database")


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: Path) -> str:
    """Return the URL of a migrated database that these tests share, each emptying it first."""
    url = new_postgresql_database(postgresql_server)
    database = open_database(url)
    database.migrate()
    database.dispose()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a migrated database without rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'store.db'}"
        database = open_database(url)
        database.migrate()
    else:
        url = request.getfixturevalue("migrated_postgresql")
        database = open_database(url)
        with database.write() as tx:
            tx.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)}"))
    database.dispose()
    return url


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """Yield a migrated database without rows."""
    opened = open_database(migrated_url, node="node1", boot_id="boot-1")
    yield opened
    opened.dispose()
