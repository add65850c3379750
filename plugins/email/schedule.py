"""When a scheduled report goes out, and which days it is of: by the company's clock, over its changes to summer time and back.

It owns that arithmetic, and touches nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import get_args
from zoneinfo import ZoneInfo

from plugins.email.settings import Days, ScheduledReport, Weekday

_DAY = dt.timedelta(days=1)


def moment(report: ScheduledReport, day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """Return when a report of a day goes out, in UTC: once where the clock shows its time twice, after the gap where it never does."""
    return dt.datetime.combine(day, report.at, zone).astimezone(dt.UTC)


def last_due(report: ScheduledReport, now: dt.datetime, zone: ZoneInfo) -> dt.date:
    """Return the latest day whose report should have gone out by now."""
    return next(day for day in _days(report, now.astimezone(zone).date(), -_DAY) if moment(report, day, zone) <= now)  # fmt: skip


def next_due(report: ScheduledReport, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return when the next one goes out, in UTC."""
    days = _days(report, now.astimezone(zone).date(), _DAY)
    return next(at for day in days if (at := moment(report, day, zone)) > now)


def span(days: Days, on: dt.date) -> tuple[dt.date, dt.date]:
    """Return the first and the last day that a report is of which goes out on a day."""
    match days:
        case "today":
            return on, on
        case "yesterday":
            return on - _DAY, on - _DAY
        case "last_7_days":
            return on - 7 * _DAY, on - _DAY
        case "this_month":
            last = on - _DAY
            return last.replace(day=1), last
        case "last_month":
            last = on.replace(day=1) - _DAY
            return last.replace(day=1), last


def _days(report: ScheduledReport, first: dt.date, step: dt.timedelta) -> list[dt.date]:
    names = get_args(Weekday)
    return [day for n in range(9) if names[(day := first + n * step).weekday()] in report.weekdays]
