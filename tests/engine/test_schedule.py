"""The engine goes by a campaign's schedule and shows the number that its pool chose."""

import datetime as dt

import pytest

from dialer_core.list_settings import CallerIdPool
from dialer_core.vocabulary import CampaignId
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.virtual import START

pytestmark = pytest.mark.unit


def test_nothing_is_placed_before_the_schedule_opens(make_floor: MakeFloor) -> None:
    """The status says from when on; then it dials, without anybody's doing, from the pool's number."""
    floor = make_floor(
        leads=["01"], agents=1, campaign={"schedule": {"hours": ["tue 12:02-12:10"]}, "caller_ids": "mx", "caller_id": None}
    )  # fmt: skip
    floor.settings.caller_ids["mx"] = CallerIdPool(numbers=("+525511110001",))

    async def story() -> None:
        await floor.start()
        campaign = floor.engine.dialing.campaigns[CampaignId("demo")]
        await floor.until(lambda: "its schedule: from Tuesday 2026-11-17 12:02" in campaign.reason, 30)
        assert not attempts(floor)
        await floor.until(lambda: bool(floor.carrier.placed[1:]), 130)  # the first is the agent's
        await floor.until(lambda: campaign.live_answers > 0, 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert START + dt.timedelta(minutes=2) <= attempt.committed_at_utc < START + dt.timedelta(minutes=3)
    assert attempt.caller_id == "+525511110001"
    shown = [place.identity.from_uri for place in floor.carrier.placed if place.owner == attempt.id]
    assert shown == ["sip:+525511110001@127.0.0.1"]
