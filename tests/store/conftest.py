"""Tests of the store run on SQLite and PostgreSQL: ask for `database` (migrated) or `database_url` (empty)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer_core.store.database import Database, open_database
from dialer_core.store.models import Base
from tests.postgresql import new_database as new_postgresql_database


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


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated database file, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = open_database(f"sqlite:///{file}")
    database.migrate()
    database.dispose()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a migrated database without rows."""
    if request.param == "sqlite":
        file = tmp_path / "store.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), file)
        return f"sqlite:///{file}"
    url: str = request.getfixturevalue("migrated_postgresql")
    database = open_database(url)
    with database.write() as tx:
        for table in reversed(Base.metadata.sorted_tables):
            tx.execute(table.delete())  # a tenth of the time of TRUNCATE for so few rows
    database.dispose()
    return url


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """Yield a migrated database without rows."""
    opened = open_database(migrated_url, node="node1", boot_id="boot-1")
    yield opened
    opened.dispose()
