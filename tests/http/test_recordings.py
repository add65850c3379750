"""Recordings over HTTP: what cannot be played says why, and is not audited as played."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.store import recordings
from dialer_core.store.database import Database
from dialer_core.vocabulary import AgentId, CampaignId, new_id
from tests.campaigns.lists import NOON, put_list_campaign, rows
from tests.http.desk_api import desk_api

pytestmark = pytest.mark.db


async def test_a_recording_whose_key_was_taken_away(database: Database, tmp_path: Path) -> None:
    """It is refused with what is missing in the configuration, and the audit log does not say that it was played."""
    recording_id = new_id()
    with database.write() as tx:
        put_list_campaign(tx)
        recordings.begin(
            tx, recording_id, attempt_id=None, campaign_id=CampaignId("spring"), agent_id=AgentId("ana"), node="n", at_utc=NOON
        )  # fmt: skip
        recordings.change(tx, recording_id, state=recordings.STORED, sha256="0" * 64, container="flac")
    async with desk_api(tmp_path, database, VirtualClock(NOON)) as client:
        answer = await client.get(f"/recordings/{recording_id}/sound")
    assert answer.status_code == 409
    assert "recordings.key_env" in answer.json()["detail"]
    with database.read() as tx:
        assert rows(tx, "audit") == []
