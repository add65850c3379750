"""Tests of visits share a store; what plugins write is held on PostgreSQL too, in `tests/plugins/test_contacts.py` and `test_records.py`."""

import shutil
from pathlib import Path

import pytest

from dialer_core.store.database import Database
from tests.plugins.field_visits.field import Field
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves


@pytest.fixture
def migrated_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """Return the URL of a migrated database without rows."""
    shutil.copyfile(migrated_sqlite, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def field(database: Database, tmp_path: Path) -> Field:
    """Four accounts: three to the north of where visitors begin, one of which nobody knows where it is."""
    return Field(database, tmp_path)
