"""`verify` passes a store in which nothing is wrong, and names the row and the invariant of every fault planted in it."""

import pytest

from dialer_core.store.database import Database
from tests.verify.conftest import verify

pytestmark = pytest.mark.db


def test_clean_store(database: Database, world, wire, tmp_path) -> None:
    """A store in which nothing is wrong has no violation, and every check was made."""
    log = tmp_path / "dialer.log"
    log.write_text('{"event": "attempt_ended"}\n')
    report = verify(database, wire, log)
    assert [str(one) for one in report.violations] == []
    assert report.not_checked == []
