"""When a campaign places calls: against a slow reading of every minute, and what people are told."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dialer_core.campaigns import schedule
from dialer_core.campaigns.allocation import Allocation
from dialer_core.list_settings import DAYS, ScheduleSettings
from dialer_core.vocabulary import CampaignId
from tests.campaigns.lists import NOON

pytestmark = pytest.mark.unit

HOURS = st.lists(
    st.sampled_from(["mon-fri 09:00-18:00", "sat 10:00-14:00", "sun 00:00-24:00", "tue-thu 22:30-24:00", "mon 00:00-01:30"]),
    max_size=3,
)  # fmt: skip


@given(
    HOURS,
    st.sampled_from(["America/Mexico_City", "America/Tijuana", "America/Santiago", "Europe/London"]),
    st.integers(0, 365 * 48),
    st.sampled_from([None, -3, 2]),
    st.sampled_from([None, 2, 5]),
)
def test_it_agrees_with_a_slow_reading(
    hours: list[str], zone: str, half_hours: int, first: int | None, last: int | None
) -> None:
    """Open or closed at any instant of a year, and open again exactly at the first half hour at which a slow reader finds it open."""
    now = dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + half_hours * dt.timedelta(minutes=30)
    today = now.astimezone(ZoneInfo(zone)).date()
    days = dt.timedelta(days=1)
    its = ScheduleSettings(
        zone=zone,
        hours=tuple(hours),
        from_date=None if first is None else today + first * days,
        to_date=None if last is None else today + last * days,
    )

    def is_open(at: dt.datetime) -> bool:
        wall = at.astimezone(ZoneInfo(zone))
        if (its.from_date and wall.date() < its.from_date) or (its.to_date and wall.date() > its.to_date):
            return False
        for text in its.hours or ("mon-sun 00:00-24:00",):
            named, span = text.split()
            begin, _, end = named.partition("-")
            if wall.weekday() in range(DAYS.index(begin), DAYS.index(end or begin) + 1) and (
                span[:5] <= wall.strftime("%H:%M") < span[6:]
            ):
                return True
        return False

    assert (schedule.closed(its, now) == "") == is_open(now)
    at = now
    while not is_open(at) and at < now + 9 * days:
        at += dt.timedelta(minutes=30)
    found = schedule.opens(its, now)
    assert found == (at if is_open(at) else None)


def test_what_people_are_told() -> None:
    """From when on it dials, in its own zone, or that its last day has gone."""
    its = ScheduleSettings(hours=("sat 09:00-14:00",))
    assert schedule.closed(its, NOON) == "its schedule: from Saturday 2025-03-08 09:00 America/Mexico_City"
    over = ScheduleSettings(to_date=dt.date(2025, 3, 3))
    assert schedule.closed(over, NOON) == "its schedule: the last day was 2025-03-03"
    assert schedule.closed(ScheduleSettings(), NOON) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": ["weekdays 09:00-18:00"]},
        {"hours": ["fri-mon 09:00-18:00"]},
        {"hours": ["mon 18:00-09:00"]},
        {"zone": "Nowhere/City"},
        {"from_date": "2025-03-04", "to_date": "2025-03-03"},
    ],
)
def test_a_wrong_schedule_is_refused(wrong: dict[str, object]) -> None:
    """When the file is read."""
    with pytest.raises(ValidationError):
        ScheduleSettings.model_validate(wrong)


def test_a_higher_priority_comes_first_and_leaves_what_it_cannot_place() -> None:
    """Calls go to the highest priority with room, by weight among equals, and the rest to those below."""
    a, b, c = (CampaignId(name) for name in "abc")
    split = Allocation().split
    weights = {a: 1.0, b: 1.0, c: 1.0}
    priorities = {a: 5, b: 5, c: 0}
    assert split(4, weights, {a: 9, b: 9, c: 9}, priorities) == {a: 2, b: 2}
    assert split(4, weights, {a: 1, b: 0, c: 9}, priorities) == {a: 1, c: 3}
    assert split(2, weights, {a: 0, b: 0, c: 1}, priorities) == {c: 1}
