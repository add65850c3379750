"""Counting by hand: rolling windows, the callee's days, quiet periods, over daylight changes and two zones."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from dialer_core.compliance import caps
from dialer_core.compliance.rules import Cap, QuietPeriod
from dialer_core.store.contacts import Entry
from dialer_core.vocabulary import AccountId, Channel, PersonId
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.unit

MEXICO_CITY, TIJUANA = "America/Mexico_City", "America/Tijuana"


def at(text: str, zone: str = MEXICO_CITY) -> dt.datetime:
    """Return a wall-clock time of a zone as an instant in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


def contact(time: dt.datetime, channel: Channel = Channel.VOICE, *, talked: bool = False) -> Entry:
    """Return a contact."""
    return Entry(PersonId("p"), AccountId("a"), "+525512345678", channel, time, talked)


def cap(limit: int, channels: tuple[Channel, ...] = (), **window: float) -> Cap:
    """Return a cap."""
    return Cap.model_validate(
        {"id": "c", "cite": ["t"], "per": "account", "limit": limit, "channels": channels, **window}
    )


def test_seven_in_seven_days() -> None:
    """Seven calls since Monday noon leave no eighth until the first is exactly 7 times 24 hours old."""
    rule = cap(7, rolling_days=7)
    calls = [contact(at(f"2025-03-{day:02d}T12:00")) for day in range(3, 10)]
    for now, count, free in (
        ("2025-03-09T12:01", 7, "2025-03-10T12:00"),
        ("2025-03-10T11:59", 7, "2025-03-10T12:00"),
        ("2025-03-10T12:00", 6, None),
    ):
        times = caps.counted(rule, calls, (MEXICO_CITY,), at(now))
        assert len(times) == count
        assert caps.frees_at(rule, times, (MEXICO_CITY,)) == (at(free) if free else None)


def test_more_than_the_limit_waits_for_all_too_many() -> None:
    """With prior contacts over the limit, room comes when enough of them have left, not when the oldest has."""
    rule = cap(2, rolling_days=7)
    calls = [contact(at(f"2025-03-{day:02d}T12:00")) for day in (3, 4, 5, 6)]
    times = caps.counted(rule, calls, (MEXICO_CITY,), at("2025-03-06T13:00"))
    assert caps.frees_at(rule, times, (MEXICO_CITY,)) == at("2025-03-12T12:00")


def test_a_day_is_the_callees() -> None:
    """23:30 and 00:30 in Mexico City are two days there; the day's count begins again at midnight."""
    rule = cap(1, local_days=1)
    calls = [contact(at("2025-03-03T23:30"))]
    assert len(caps.counted(rule, calls, (MEXICO_CITY,), at("2025-03-03T23:59"))) == 1
    assert caps.frees_at(rule, [calls[0].at_utc], (MEXICO_CITY,)) == at("2025-03-04T00:00")
    assert caps.counted(rule, calls, (MEXICO_CITY,), at("2025-03-04T00:00")) == []


def test_with_two_zones_the_longer_day_holds() -> None:
    """A call at 00:30 in Mexico City is yesterday's in Tijuana: it counts until Tijuana's day of it is over, too."""
    rule = cap(1, local_days=1)
    calls = [contact(at("2025-03-04T00:30"))]
    both = (MEXICO_CITY, TIJUANA)
    assert len(caps.counted(rule, calls, both, at("2025-03-04T01:00"))) == 1
    assert caps.frees_at(rule, [calls[0].at_utc], both) == at("2025-03-05T00:00")


def test_calendar_days_over_a_daylight_change() -> None:
    """Seven calendar days of Tijuana over the end of daylight time are 169 hours, and every one counts."""
    rule = cap(1, local_days=7)
    calls = [contact(at("2025-10-27T00:05", TIJUANA))]
    late = at("2025-11-02T23:55", TIJUANA)
    assert late - calls[0].at_utc > dt.timedelta(hours=168)
    assert len(caps.counted(rule, calls, (TIJUANA,), late)) == 1
    assert caps.frees_at(rule, [calls[0].at_utc], (TIJUANA,)) == at("2025-11-03T00:00", TIJUANA)


def test_channels_that_do_not_count() -> None:
    """A cap on calls leaves messages out; one without channels counts them all."""
    now = at("2025-03-04T12:00")
    mixed = [contact(now, Channel.VOICE), contact(now, Channel.SMS), contact(now, Channel.WHATSAPP)]
    assert len(caps.counted(cap(9, (Channel.VOICE,), rolling_days=1), mixed, (MEXICO_CITY,), now)) == 1
    assert len(caps.counted(cap(9, rolling_days=1), mixed, (MEXICO_CITY,), now)) == 3


def test_a_contact_from_the_future_counts() -> None:
    """After a clock was put back, contacts stamped later than now still count."""
    now = at("2025-03-04T12:00")
    later = [contact(now + dt.timedelta(hours=2))]
    for rule in (cap(1, rolling_days=1), cap(1, local_days=1)):
        assert len(caps.counted(rule, later, (MEXICO_CITY,), now)) == 1


@pytest.mark.parametrize(
    ("days", "talked", "ends"),
    [
        # 12 CFR 1006.14(b)(2): none within 7 days after a conversation, and its date is day 1: a talk on Monday 3rd frees Monday 10th
        (7, "2025-03-03T20:00", "2025-03-10T00:00"),
        (7, "2025-03-03T00:10", "2025-03-10T00:00"),
        (1, "2025-03-03T09:00", "2025-03-04T00:00"),
    ],
)
def test_quiet_after_a_conversation(days: int, talked: str, ends: str) -> None:
    """The day of the conversation is day 1, and the quiet ends with the callee's midnight."""
    rule = QuietPeriod.model_validate({"id": "q", "cite": ["t"], "per": "account", "local_days": days})
    contacts = [contact(at(talked), talked=True), contact(at("2025-03-05T12:00"))]
    assert caps.quiet_until(rule, contacts, (MEXICO_CITY,)) == at(ends)
    assert caps.quiet_until(rule, contacts[1:], (MEXICO_CITY,)) is None


def test_quiet_in_two_zones_ends_with_the_later_midnight() -> None:
    """A talk at 00:30 in Mexico City was still the day before in Tijuana: its day 1 ends there two hours after Mexico City's."""
    rule = QuietPeriod.model_validate({"id": "q", "cite": ["t"], "per": "account", "local_days": 1})
    late, early = contact(at("2025-03-04T23:30"), talked=True), contact(at("2025-03-04T00:30"), talked=True)
    assert caps.quiet_until(rule, [late], (MEXICO_CITY, TIJUANA)) == at("2025-03-05T00:00", TIJUANA)
    assert caps.quiet_until(rule, [early], (MEXICO_CITY, TIJUANA)) == at("2025-03-05T00:00", MEXICO_CITY)


def test_the_horizon_reaches_every_rule() -> None:
    """What is read back covers the longest window of the pack, with room for long days."""
    assert caps.horizon(packaged("mx")) >= dt.timedelta(days=7)
