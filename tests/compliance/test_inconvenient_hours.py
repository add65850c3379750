"""Hours at which somebody does not want to be contacted: how they are written, and when they are over."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from dialer_core.compliance import inconvenient_hours

pytestmark = pytest.mark.unit

TIJUANA, MEXICO_CITY = "America/Tijuana", "America/Mexico_City"


def at(text: str, zone: str) -> dt.datetime:
    """Return a wall-clock time of a zone as an instant in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


@pytest.mark.parametrize(
    ("hours", "when", "over"),
    [
        ("09:00-17:00", "2025-03-04T09:00", "2025-03-04T17:00"),
        ("09:00-17:00", "2025-03-04T17:00", None),
        ("mon-fri 09:00-17:00", "2025-03-08T12:00", None),
        ("mon-fri 09:00-17:00; sat,sun 00:00-24:00", "2025-03-08T12:00", "2025-03-09T00:00"),
        ("Fri-Mon 08:00-09:00,20:00-21:00", "2025-03-10T20:30", "2025-03-10T21:00"),
        ("sun 01:00-03:30", "2025-03-09T01:30", "2025-03-09T03:30"),  # the hour from two is skipped
        ("sun 00:30-01:30", "2025-11-02T01:15", "2025-11-02T01:30"),  # and comes twice in autumn
    ],
)
def test_when_they_are_over(hours: str, when: str, over: str | None) -> None:
    """Within the hours the end is told, in the callee's wall clock; outside, nothing is."""
    found = inconvenient_hours.end_of(hours, (TIJUANA,), at(when, TIJUANA))
    assert found == (at(over, TIJUANA) if over else None)


def test_any_zone_counts() -> None:
    """A number of two zones is in its hours while it is in either."""
    now = at("2025-03-04T16:30", TIJUANA)
    assert inconvenient_hours.end_of("09:00-17:00", (MEXICO_CITY, TIJUANA), now) == at(
        "2025-03-04T17:00", TIJUANA
    )


@pytest.mark.parametrize(
    "wrong", ["", "9 to 5", "mon", "xyz 09:00-17:00", "17:00-09:00", "mon 09:00-17:00 x"]
)
def test_what_cannot_be_read(wrong: str) -> None:
    """Other words are refused, not passed over."""
    with pytest.raises(ValueError):
        inconvenient_hours.parse_hours(wrong)
