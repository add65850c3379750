"""Calling windows: cases worked by hand from `mx`'s rules, daylight changes, and a slow reference that steps minute by minute."""

import csv
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer_core.compliance.calendar import WEEKDAYS
from dialer_core.compliance.rules import RulePack
from dialer_core.compliance.windows import closed, next_open, start_of_local_day
from tests.compliance.packs_for_tests import pack_of, packaged, weekly

MEXICO_CITY, TIJUANA, CANCUN, HERMOSILLO = (
    "America/Mexico_City",
    "America/Tijuana",
    "America/Cancun",
    "America/Hermosillo",
)


def at(text: str, zone: str = "UTC") -> dt.datetime:
    """Return a wall-clock time of a zone as an instant in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


# (zones, wall clock, of which zone, rule or None where open, next opening as a wall clock of that zone)
MX_CASES = [
    # an ordinary Tuesday: 07:00 to 22:00, the end not included
    ((MEXICO_CITY,), "2025-03-04T06:59", MEXICO_CITY, "window", "2025-03-04T07:00"),
    ((MEXICO_CITY,), "2025-03-04T07:00", MEXICO_CITY, None, "2025-03-04T07:00"),
    ((MEXICO_CITY,), "2025-03-04T21:59:59", MEXICO_CITY, None, "2025-03-04T21:59:59"),
    ((MEXICO_CITY,), "2025-03-04T22:00", MEXICO_CITY, "window", "2025-03-05T07:00"),
    ((TIJUANA,), "2025-03-04T22:14", TIJUANA, "window", "2025-03-05T07:00"),
    ((MEXICO_CITY,), "2025-03-04T00:00", MEXICO_CITY, "window", "2025-03-04T07:00"),
    # Friday evening to Monday; here Monday 3 February is a holiday, so Tuesday
    ((MEXICO_CITY,), "2025-03-07T22:00", MEXICO_CITY, "window", "2025-03-10T07:00"),
    ((MEXICO_CITY,), "2025-03-08T12:00", MEXICO_CITY, "weekday", "2025-03-10T07:00"),
    ((MEXICO_CITY,), "2025-03-09T12:00", MEXICO_CITY, "weekday", "2025-03-10T07:00"),
    ((MEXICO_CITY,), "2025-01-31T22:30", MEXICO_CITY, "window", "2025-02-04T07:00"),
    ((MEXICO_CITY,), "2025-02-03T12:00", MEXICO_CITY, "holiday", "2025-02-04T07:00"),
    ((MEXICO_CITY,), "2025-05-01T12:00", MEXICO_CITY, "holiday", "2025-05-02T07:00"),
    ((MEXICO_CITY,), "2024-10-01T12:00", MEXICO_CITY, "holiday", "2024-10-02T07:00"),
    # Wednesday of Holy Week at night: Thursday and Friday are closed, then a weekend
    ((MEXICO_CITY,), "2025-04-16T22:01", MEXICO_CITY, "window", "2025-04-21T07:00"),
    # Christmas 2025 is a Thursday
    ((MEXICO_CITY,), "2025-12-25T09:00", MEXICO_CITY, "holiday", "2025-12-26T07:00"),
    # two zones: both must allow. 07:30 in Mexico City is 05:30 in Tijuana (winter)
    ((MEXICO_CITY, TIJUANA), "2025-03-04T07:30", MEXICO_CITY, "window", "2025-03-04T09:00"),
    ((MEXICO_CITY, TIJUANA), "2025-03-04T09:00", MEXICO_CITY, None, "2025-03-04T09:00"),
    ((MEXICO_CITY, TIJUANA), "2025-03-04T21:30", MEXICO_CITY, None, "2025-03-04T21:30"),
    ((MEXICO_CITY, TIJUANA), "2025-03-04T22:10", MEXICO_CITY, "window", "2025-03-05T09:00"),
    # Cancun is an hour ahead all year
    ((CANCUN,), "2025-03-04T21:30", MEXICO_CITY, "window", "2025-03-05T06:00"),
    ((CANCUN, TIJUANA), "2025-03-04T09:30", CANCUN, "window", "2025-03-04T10:00"),
    # Friday 23:30 in Cancun is Friday 20:30 in Tijuana: closed in one is closed
    ((TIJUANA, CANCUN), "2025-03-07T20:30", TIJUANA, "window", "2025-03-10T07:00"),
    # Sunday 23:30 in Tijuana is Monday 02:30 in Cancun
    ((TIJUANA,), "2025-03-09T23:30", TIJUANA, "weekday", "2025-03-10T07:00"),
    # daylight time began in Tijuana on Sunday 9 March 2025 and not in Mexico City: the gap is one hour now
    ((MEXICO_CITY, TIJUANA), "2025-03-10T07:30", MEXICO_CITY, "window", "2025-03-10T08:00"),
    # Sonora keeps no daylight time: with Tijuana, two hours of winter's one are gone in summer
    ((HERMOSILLO, TIJUANA), "2025-03-04T07:30", HERMOSILLO, "window", "2025-03-04T08:00"),
    ((HERMOSILLO, TIJUANA), "2025-03-10T07:30", HERMOSILLO, None, "2025-03-10T07:30"),
    # the last daylight time of Mexico City ended on Sunday 30 October 2022
    ((MEXICO_CITY,), "2022-10-28T22:00", MEXICO_CITY, "window", "2022-10-31T07:00"),
    # New Year 2026 is a Thursday
    ((MEXICO_CITY,), "2025-12-31T22:00", MEXICO_CITY, "window", "2026-01-02T07:00"),
]


@pytest.mark.unit
@pytest.mark.parametrize(("zones", "wall", "zone", "rule", "opens"), MX_CASES)
def test_mx_by_hand(zones: tuple[str, ...], wall: str, zone: str, rule: str | None, opens: str) -> None:
    """`mx` decides as worked by hand from compliance.md: business days, 07:00-22:00, in every zone."""
    pack, instant = packaged("mx"), at(wall, zone)
    found = closed(pack, zones, instant)
    assert (found.rule if found else None) == rule
    assert next_open(pack, zones, instant) == at(opens, zone)


@pytest.mark.unit
def test_refusals_read_as_words() -> None:
    """A refusal says the local time, the zone, what is allowed and by which pack."""
    mx = packaged("mx")

    def reason(wall: str, zone: str) -> str:
        found = closed(mx, (zone,), at(wall, zone))
        assert found is not None
        return found.reason

    assert reason("2025-03-04T22:14", TIJUANA) == "22:14 in America/Tijuana, allowed 07:00-22:00 by mx"
    assert "Saturday 11:00 in America/Cancun" in reason("2025-03-08T11:00", CANCUN)
    assert "Día del Trabajo" in reason("2025-05-01T11:00", MEXICO_CITY)


@pytest.mark.unit
def test_unknown_zone_is_closed() -> None:
    """A number without a zone is refused at every hour, even by a pack that is always open."""
    for pack in (packaged("mx"), packaged("demo")):
        found = closed(pack, (), at("2025-03-04T18:00"))
        assert found is not None
        assert found.rule == "zone_unknown"
        assert next_open(pack, (), at("2025-03-04T18:00")) is None


@pytest.mark.unit
def test_zones_that_never_overlap_have_no_opening() -> None:
    """Where no instant suits both zones, there is no opening, and the search ends."""
    pack = pack_of(windows=weekly({day: ["07:00-08:00"] for day in WEEKDAYS}))
    assert next_open(pack, (MEXICO_CITY, "Asia/Tokyo"), at("2025-03-04T18:00")) is None


@pytest.mark.unit
def test_a_window_in_a_gap_opens_at_its_end() -> None:
    """02:30 does not exist in New York on 9 March 2025: a window from 02:30 opens at 03:00 there."""
    pack = pack_of(windows=weekly({"sunday": ["02:30-04:00"]}))
    opens = next_open(pack, ("America/New_York",), at("2025-03-09T00:00", "America/New_York"))
    assert opens == at("2025-03-09T03:00", "America/New_York")


@pytest.mark.unit
def test_a_window_in_a_repeated_hour_opens_twice() -> None:
    """01:30 happens twice in New York on 2 November 2025: a window of 01:30-01:45 is open in both."""
    pack = pack_of(windows=weekly({"sunday": ["01:30-01:45"]}))
    first = at("2025-11-02T05:30")
    assert next_open(pack, ("America/New_York",), at("2025-11-02T04:00")) == first
    assert next_open(pack, ("America/New_York",), first + dt.timedelta(minutes=15)) == at("2025-11-02T06:30")


@pytest.mark.unit
def test_a_repeated_hour_leads_back_into_a_window() -> None:
    """01:00-01:30 begins again at the change itself when the clock is put back from 02:00 to 01:00."""
    pack = pack_of(windows=weekly({"sunday": ["00:45-01:30"]}))
    closing = at("2025-11-02T05:30")  # 01:30 the first time
    assert next_open(pack, ("America/New_York",), closing) == at("2025-11-02T06:00")


@pytest.mark.unit
def test_the_day_before_a_change_does_not_look_ahead() -> None:
    """Late on Saturday, the next opening is Sunday's midnight, not the daylight change an hour and more after it."""
    pack = pack_of(windows=weekly({"saturday": ["00:00-00:30"], "sunday": ["00:00-01:30"]}))
    opens = next_open(pack, (MEXICO_CITY,), at("2022-10-29T23:59", MEXICO_CITY))
    assert opens == at("2022-10-30T00:00", MEXICO_CITY)


@pytest.mark.unit
def test_start_of_a_day_that_has_no_midnight() -> None:
    """In Santiago midnight of 8 September 2024 is skipped: the day begins at 01:00, which is 04:00 UTC."""
    assert start_of_local_day("America/Santiago", dt.date(2024, 9, 8)) == at("2024-09-08T04:00")


@pytest.mark.unit
@pytest.mark.needs_shared
def test_every_daylight_change(shared_data: Path) -> None:
    """Around each of 411 changes of 29 zones, the gate's wall clock is that of the published table."""
    pack = pack_of(windows=weekly({day: ["07:00-22:00"] for day in WEEKDAYS}))
    with (shared_data / "timezones" / "transitions_2020_2030.csv").open(encoding="utf-8") as file:
        changes = list(csv.DictReader(file))
    assert len(changes) > 400
    for change in changes:
        instant = dt.datetime.fromisoformat(change["utc_instant"])
        for hours in range(-30, 31):
            moment = instant + dt.timedelta(hours=hours, minutes=30)
            minutes = int(change["offset_after_min" if moment >= instant else "offset_before_min"])
            wall = (moment + dt.timedelta(minutes=minutes)).time()
            is_open = dt.time(7) <= wall < dt.time(22)
            assert (closed(pack, (change["zone"],), moment) is None) == is_open, change


ZONES = (
    MEXICO_CITY, TIJUANA, CANCUN, HERMOSILLO, "America/Ciudad_Juarez", "America/New_York", "America/Santiago", "America/Bogota",
    "Europe/Madrid", "Atlantic/Canary", "America/Havana", "Australia/Lord_Howe",
)  # fmt: skip

spans = st.lists(st.integers(0, 48), min_size=2, max_size=4, unique=True).map(
    lambda halves: [
        f"{a // 2:02d}:{a % 2 * 30:02d}-{b // 2:02d}:{b % 2 * 30:02d}"
        for a, b in zip(sorted(halves)[::2], sorted(halves)[1::2], strict=False)
    ]
)
packs = st.fixed_dictionaries({day: st.one_of(st.just([]), spans) for day in WEEKDAYS}).filter(
    lambda week: any(week.values())
)
# half of the instants lie near a daylight change of some of the zones
instants = st.one_of(
    st.integers(0, 6 * 365 * 1440).map(lambda minutes: dt.datetime.fromisoformat("2021-01-01") + dt.timedelta(minutes=minutes)),
    st.tuples(
        st.sampled_from(["2025-03-09T07:00", "2025-11-02T06:00", "2022-10-30T07:00", "2024-09-08T04:00", "2024-04-07T03:00", "2025-10-26T01:00"]),
        st.integers(-2000, 2000),
    ).map(lambda pair: dt.datetime.fromisoformat(pair[0]) + dt.timedelta(minutes=pair[1])),
)  # fmt: skip


def open_by_the_wall_clock(pack: RulePack, zones: tuple[str, ...], instant: dt.datetime) -> bool:
    """Say whether every zone's wall clock stands in a span of its weekday: the definition, and nothing else."""
    for zone in zones:
        wall = instant.astimezone(ZoneInfo(zone))
        texts = [str(span).split("-") for span in getattr(pack.windows, wall.strftime("%A").lower())]
        if not any(low <= wall.strftime("%H:%M") < high for low, high in texts):
            return False
    return True


@pytest.mark.unit
@given(packs, st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True), instants)
@settings(max_examples=500, deadline=None)
def test_next_opening_is_the_first_open_minute(
    week: dict[str, list[str]], zones: list[str], naive: dt.datetime
) -> None:
    """`next_open` is the first whole minute that a search minute by minute finds, over every kind of daylight change."""
    pack = pack_of(windows=weekly(week))
    start = naive.replace(second=0, microsecond=0, tzinfo=dt.UTC)
    found = next_open(pack, tuple(zones), start)
    steps = 3 * 24 * 60
    expected = next(
        (
            moment
            for moment in (start + dt.timedelta(minutes=step) for step in range(0, steps, 30))
            if open_by_the_wall_clock(pack, tuple(zones), moment)
        ),
        None,
    )
    if expected is None:
        assert found is None or found >= start + dt.timedelta(minutes=steps - 30)
        return
    assert found is not None
    # the search went by half hours, in which a span can only begin on its grid or at `start`
    assert found <= expected
    assert open_by_the_wall_clock(pack, tuple(zones), found)
    before = found - dt.timedelta(minutes=1)
    while before >= start and before > found - dt.timedelta(minutes=31):
        assert not open_by_the_wall_clock(pack, tuple(zones), before)
        before -= dt.timedelta(minutes=1)
