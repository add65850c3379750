"""What the tests of `crm` share: a store on SQLite; the store itself is tested on both databases elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.conftest import database, migrated_sqlite  # noqa: F401 - fixtures


@pytest.fixture
def migrated_url(tmp_path: Path, migrated_sqlite: Path) -> str:  # noqa: F811
    """Return the URL of a migrated SQLite database without rows."""
    (tmp_path / "store.db").write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{tmp_path / 'store.db'}"
