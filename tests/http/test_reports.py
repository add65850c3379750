"""Reports and targets over HTTP: the same sheets as the command line's."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.store.database import Database
from tests.http.desk_api import desk_api
from tests.reports.floor import DAY, MONDAY, write

pytestmark = pytest.mark.db


async def test_reports_and_targets(database: Database, tmp_path: Path) -> None:
    """Filters, keys and days are heeded; a target is set and seen; what there is not is refused with what there is."""
    with database.write() as tx:
        write(tx)
    async with desk_api(tmp_path, database, VirtualClock(MONDAY + 6 * DAY)) as client:
        asked = {
            "by": ["campaign", "day"],
            "since": "2026-03-02",
            "until": "2026-03-02",
            "campaign": "spring",
        }
        sheet = (await client.get("/reports/summary", params=asked)).json()
        names = [column["name"] for column in sheet["columns"]]
        assert dict(zip(names, sheet["rows"][0], strict=True))["attempts"] == 5
        assert len(sheet["rows"]) == 1
        reasons = (await client.get("/reports/reasons")).json()
        assert reasons["rows"][0][:2] == ["illness", 2]
        body = {"day": "2026-03-03", "metric": "kept", "goal": 2}
        assert (await client.post("/campaigns/spring/targets", json=body)).status_code == 200
        assert (await client.get("/reports/targets")).json()["rows"] == [
            ["spring", "2026-03-03", "kept", "count", 2, 1, 0.5]
        ]
        wrong = {"winter": body, "spring": body | {"metric": "luck"}}
        for campaign, one in wrong.items():
            refused = await client.post(f"/campaigns/{campaign}/targets", json=one)
            assert refused.status_code == (404 if campaign == "winter" else 422)
        assert (await client.post("/campaigns/spring/targets", json=body | {"goal": -1})).status_code == 422
        for path in ("/reports/weather", "/reports/summary?by=moon", "/reports/summary?since=yesterday"):
            assert (await client.get(path)).status_code == 422
