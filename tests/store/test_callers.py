"""Who calls is found along indexes, however many leads and attempts there are."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from dialer_core.store import callers
from dialer_core.store.database import open_database
from tests.campaigns.lists import CAMPAIGN, put_lead, put_list_campaign

pytestmark = pytest.mark.db


def test_a_caller_is_found_along_indexes(tmp_path: Path) -> None:
    """Neither the person behind a number nor the agent who spoke with them last has SQLite walk a whole table, or a whole campaign's list."""
    database = open_database(f"sqlite:///{tmp_path / 'plan.db'}")
    database.migrate()
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, values: Any, *_rest: Any) -> None:
        asked.append((sql, values))

    with database.read() as tx:
        event.listen(tx.connection, "before_cursor_execute", note)
        found = callers.find(tx, CAMPAIGN, ["+525500000001"])
        event.remove(tx.connection, "before_cursor_execute", note)
        assert found is not None
        assert found.lead_id == listed.lead
        plans = [
            row[3]
            for sql, values in asked
            for row in tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    database.dispose()
    assert len(asked) >= 3
    assert not any(step.startswith("SCAN") for step in plans), plans
    assert not any("ix_lead_hopper" in step for step in plans), plans
