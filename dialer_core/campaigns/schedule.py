"""When a campaign places calls at all: its days, its hours, its first and last day, in its own zone.

It owns that question. What the law allows is the gate's, and comes on top.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo

from dialer_core.list_settings import DAYS, ScheduleSettings, minutes_of

RULE = "schedule"
"""What holds a lead while its campaign is closed, in answers for people."""
_DAY = dt.timedelta(days=1)
_LOOKED_AHEAD = 8
"""Days in which a weekly schedule comes round, and one for today."""


def closed(schedule: ScheduleSettings, now: dt.datetime) -> str:
    """Say why nothing is placed at an instant, and from when on something is; empty while the campaign is open."""
    if not (schedule.hours or schedule.from_date or schedule.to_date):
        return ""
    zone = zoneinfo.ZoneInfo(schedule.zone)
    if schedule.to_date and now.astimezone(zone).date() > schedule.to_date:
        return f"its schedule: the last day was {schedule.to_date}"
    begins = opens(schedule, now)
    if begins is not None and begins <= now:
        return ""
    if begins is None:
        return "its schedule has no hours left"
    return f"its schedule: from {begins.astimezone(zone):%A %Y-%m-%d %H:%M} {schedule.zone}"


def opens(schedule: ScheduleSettings, now: dt.datetime) -> dt.datetime | None:
    """Return `now` where the campaign is open, else the first instant after it at which it opens; None: never again."""
    if not (schedule.hours or schedule.from_date or schedule.to_date):
        return now
    zone = zoneinfo.ZoneInfo(schedule.zone)
    first = now.astimezone(zone).date()
    if schedule.from_date and first < schedule.from_date:
        first = schedule.from_date
    for ahead in range(_LOOKED_AHEAD):
        day = first + ahead * _DAY
        if schedule.to_date and day > schedule.to_date:
            return None
        found = [
            max(begin, now)
            for begin, end in _spans(schedule, day, zone)
            if end > now and max(begin, now) < end
        ]
        if found:
            return min(found)
    return None


def _spans(
    schedule: ScheduleSettings, day: dt.date, zone: zoneinfo.ZoneInfo
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return when the campaign is open on one of its days."""
    found = []
    for text in schedule.hours or ("mon-sun 00:00-24:00",):
        days, span = text.split(" ")
        first, _, last = days.partition("-")
        if DAYS.index(first) <= day.weekday() <= DAYS.index(last or first):
            begin, end = span.split("-")
            found.append((_instant(day, begin, zone), _instant(day, end, zone)))
    return found


def _instant(day: dt.date, text: str, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    days, minutes = divmod(minutes_of(text), 24 * 60)
    at = dt.datetime.combine(day + days * _DAY, dt.time(minutes // 60, minutes % 60), tzinfo=zone)
    return at.astimezone(dt.UTC)
