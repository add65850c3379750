"""The agents' day and the campaign's windows, against what can be worked out by hand from a small floor."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from dialer_core.campaigns.day import abandonment_by_window
from dialer_core.clock import VirtualClock
from dialer_core.compliance.packs import load_packs
from dialer_core.reports.floor import floor
from dialer_core.store import rollups
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId, new_id
from tests.http.desk_api import desk_api
from tests.reports.floor import DAY, HOUR, MONDAY, write
from tests.store.rows import put

pytestmark = pytest.mark.db

ZONE = "America/Mexico_City"
SHIPPED = Path(__file__).parents[2] / "dialer_core" / "config_defaults" / "compliance"


@pytest.fixture
def monday(database: Database) -> Database:
    """The small floor, where on Tuesday Ana talked and wrapped up for an hour, and Luis paused."""
    with database.write() as tx:
        write(tx)
        spent = (("ana", "ready", 60), ("ana", "wrap_up", 15), ("ana", "talking", 45), ("luis", "paused", 30))
        for agent, state, minutes in spent:
            # Luis's pause was ended by a later engine, whose clock knows nothing of its beginning
            put(
                tx, "agent_interval", id=new_id(), agent_id=agent, session_id=new_id(), state=state, reason="", boot_id="b",
                from_utc=MONDAY + DAY + HOUR, to_utc=MONDAY + DAY + HOUR + dt.timedelta(minutes=minutes), from_mono_ns=0,
                to_mono_ns=None if agent == "luis" else minutes * 60 * 10**9,
            )  # fmt: skip
    return database


async def test_an_agents_day(monday: Database, tmp_path: Path) -> None:
    """Occupancy is the busy share of the time at work, pauses apart; counted up or not, and over the API, the same."""
    at = MONDAY + DAY + 4 * HOUR

    def look() -> dict[str, tuple[object, ...]]:
        with monday.read() as tx:
            told = floor(tx, ZONE, at)
        return {one.agent: (one.occupancy, one.talks, one.talk_s, one.contacts, one.promises) for one in told}

    expected = {
        "ana": (pytest.approx(1 / 2), 1, 40.0, 1, 0),
        "luis": (None, 0, 0.0, 0, 0),
    }  # of Tuesday alone
    assert look() == expected
    rollups.roll_up(monday)
    assert look() == expected
    async with desk_api(tmp_path, monday, VirtualClock(at)) as client:
        [ana, luis] = (await client.get("/floor")).json()
        assert (ana["states"], luis["states"]["paused"]) == (
            {"ready": 3_600.0, "talking": 2_700.0, "wrap_up": 900.0},
            1_800.0,
        )
        [light, _] = (await client.get("/floor", params={"states": False})).json()
        assert light == ana | {"states": {}}


def test_abandonment_by_window(monday: Database) -> None:
    """The last hour, the campaign's day and the rule pack's own windows each count their own people, with the pack's ceiling where it has one."""
    profile = load_packs(SHIPPED)["uk"].abandonment
    assert profile is not None

    def counted(at: dt.datetime) -> dict[str, tuple[int, int, float | None]]:
        with monday.read() as tx:
            told = abandonment_by_window(tx, CampaignId("spring"), ZONE, profile, at)
        return {one.name: (one.live, one.abandoned, one.ceiling) for one in told}

    soon, later = counted(MONDAY + DAY + HOUR / 2), counted(MONDAY + DAY + 3 * HOUR)
    assert (soon.pop("hour"), soon.pop("day")) == ((1, 0, None), (1, 0, None))
    assert (later["hour"], later["day"]) == ((0, 0, None), (1, 0, None))
    assert {one[2] for one in soon.values()} == {profile.ceiling}
    assert max(one[:2] for one in soon.values()) == (2, 1)  # of 24 hours
