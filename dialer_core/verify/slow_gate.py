"""The gate once more, slowly and in another way: from rows and a pack's data, without a line of the gate's code.

It owns the second opinion behind I11. Where the gate jumps between instants and reads indexes, this walks
over days and rows one by one. It reads the shape of rule packs (`compliance/rules.py`) and none of their
methods.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dialer_core.compliance.calendar import HolidayRule
from dialer_core.compliance.rules import Cap, CapScope, CountingRule, QuietPeriod, RulePack, SingleChannel
from dialer_core.vocabulary import Channel

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SCOPE_COLUMNS = {CapScope.PERSON: "person_id", CapScope.ACCOUNT: "account_id", CapScope.ADDRESS: "address"}


def why_closed(pack: RulePack, zones: Iterable[str], at: dt.datetime) -> str | None:
    """Return why a contact could not begin at an instant, or None where every zone was open."""
    names = list(zones)
    if not names:
        return "no zone is known"
    for zone in names:
        local = at.astimezone(ZoneInfo(zone))
        minute = local.hour * 60 + local.minute
        spans = getattr(pack.windows, _DAYS[local.weekday()])
        if not any(minute in range(span.start_min, span.end_min) for span in spans):
            return f"{_DAYS[local.weekday()]} {local:%H:%M} in {zone}"
        if is_holiday(pack, local.date()):
            return f"the holiday {local:%Y-%m-%d} in {zone}"
    return None


def is_holiday(pack: RulePack, day: dt.date) -> bool:
    """Say whether a pack names a day as a holiday, by its list or by a rule."""
    return any(one.date == day for one in pack.holidays.days) or any(
        _falls_on(rule, day) for rule in pack.holidays.rules
    )


def _falls_on(rule: HolidayRule, day: dt.date) -> bool:
    if rule.moves is not None:
        return _kept_on_monday(rule, day)
    return _is_own_day(rule, day)


def _kept_on_monday(rule: HolidayRule, day: dt.date) -> bool:
    """Say whether a movable holiday is kept on a day: the days about it are tried."""
    for step in range(-4, 7):
        own = day - dt.timedelta(days=step)
        if not _is_own_day(rule, own):
            continue
        weekday = own.strftime("%a")
        next_monday = dt.timedelta(days=(7 - own.weekday()) % 7)
        if weekday == "Mon" or (weekday in {"Sat", "Sun"} and rule.moves != "next_monday"):
            kept = own
        elif (
            rule.moves == "next_monday"
            or weekday == "Fri"
            or (weekday == "Thu" and rule.moves == "nearest_monday")
        ):
            kept = own + next_monday
        else:
            kept = own - dt.timedelta(days=own.weekday())
        if kept == day:
            return True
    return False


def _is_own_day(rule: HolidayRule, day: dt.date) -> bool:
    if day.year < rule.from_year or (day.year - rule.from_year) % rule.every_years:
        return False
    if rule.easter_days is not None:
        return day - dt.timedelta(days=rule.easter_days) == easter_sunday(day.year)
    if day.month != rule.month:
        return False
    if rule.day is not None:
        return day.day == rule.day
    same = [one for one in _days_of_month(day) if one.weekday() == _DAYS.index(str(rule.weekday))]
    nth = int(rule.nth or 0)
    return day in same and (same.index(day) + 1 == nth or (nth == -1 and day == same[-1]))


def _days_of_month(day: dt.date) -> Iterator[dt.date]:
    one = day.replace(day=1)
    while one.month == day.month:
        yield one
        one += dt.timedelta(days=1)


def easter_sunday(year: int) -> dt.date:
    """Return Easter Sunday by the Church's own definition, walked out: the Sunday after the paschal full moon.

    The moon of 21 March or later from epact and golden number (Clavius; Knuth, The Art of Computer
    Programming 1.3.2, exercise 14).
    """
    golden = year % 19 + 1
    century = year // 100 + 1
    skipped_leap_years = 3 * century // 4 - 12
    moon = (8 * century + 5) // 25 - 5
    epact = (11 * golden + 20 + moon - skipped_leap_years) % 30
    if epact == 24 or (epact == 25 and golden > 11):
        epact += 1
    full = 44 - epact
    full_moon = dt.date(year, 3, 1) + dt.timedelta(days=(full if full >= 21 else full + 30) - 1)
    sunday = full_moon + dt.timedelta(days=1)
    while sunday.weekday() != 6:
        sunday += dt.timedelta(days=1)
    return sunday


def count(cap: Cap, contacts: Iterable[Any], own: Any, zones: Sequence[str]) -> int:
    """Count, for the contact `own`, the earlier contacts that a cap counts; every zone is asked, the strictest holds.

    `contacts` are rows that were in the ledger and not void when `own` was allowed.
    """
    return sum(_within(cap, one, own, zones) for one in _of_scope(cap, contacts, own, cap.channels))


def quiet_broken(quiet: QuietPeriod, contacts: Iterable[Any], own: Any, zones: Sequence[str]) -> bool:
    """Say whether an earlier conversation, or other cause, should have kept `own` from being made."""
    for one in _of_scope(quiet, contacts, own, quiet.channels):
        if one.outcome not in quiet.after if quiet.after else not one.conversation:
            continue
        if quiet.hours is not None:
            if (own.at_utc - one.at_utc).total_seconds() < quiet.hours * 3600:
                return True
            continue
        for zone in zones:
            days = (_local_day(own.at_utc, zone) - _local_day(one.at_utc, zone)).days
            if days < int(quiet.local_days or 0):
                return True
    return False


def channel_broken(single: SingleChannel, contacts: Iterable[Any], own: Any, zones: Sequence[str]) -> bool:
    """Say whether an earlier contact by another channel should have kept `own` from being made."""
    return any(
        (_local_day(own.at_utc, zone) - _local_day(one.at_utc, zone)).days < single.local_days
        for one in _of_scope(single, contacts, own, ())
        if one.channel != own.channel
        for zone in zones
    )


def local_packs(pack: RulePack, number: str, region: str | None) -> list[str]:
    """Return the names of the packs that hold beside this one for a number and a region."""
    return [
        local.pack
        for local in pack.local
        if region in local.regions or any(number[: len(prefix)] == prefix for prefix in local.prefixes)
    ]


def at_hours(hours: str, zones: Iterable[str], at: dt.datetime) -> bool:
    """Say whether an instant lies in the hours of a restriction, in any zone."""
    for part in hours.lower().split(";"):
        *days, spans = part.split()
        for zone in zones:
            local = at.astimezone(ZoneInfo(zone))
            on_day = not days or _DAYS[local.weekday()][:3] in _named_days(days[0])
            if on_day and any(
                span.strip()[:5] <= f"{local:%H:%M}" < span.strip()[6:] for span in spans.split(",")
            ):
                return True
    return False


def _named_days(text: str) -> list[str]:
    short = [day[:3] for day in _DAYS] * 2
    found = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        begin = short.index(first[:3])
        found += short[begin : short.index((last or first)[:3], begin) + 1]
    return found


def speaks_of(rule: Cap | QuietPeriod, channel: str) -> bool:
    """Say whether a rule limits contacts by this channel."""
    return not rule.channels or Channel(channel) in rule.channels


def _of_scope(
    rule: CountingRule, contacts: Iterable[Any], own: Any, channels: Sequence[Channel]
) -> Iterator[Any]:
    column = _SCOPE_COLUMNS[rule.per]
    for one in contacts:
        same = line(getattr(one, column) or "") == line(getattr(own, column) or "")
        if same and (not channels or Channel(one.channel) in channels):
            yield one


def names_of(number: str) -> list[str]:
    """Return the numbers that are one line: in Argentina ten digits with and without the 9 of mobiles."""
    found = re.fullmatch(r"\+549?(\d{10})", number)
    return [f"+54{found[1]}", f"+549{found[1]}"] if found else [number]


def line(address: str) -> str:
    """Return the first of the names of an address's line."""
    return names_of(address)[0]


def _within(cap: Cap, one: Any, own: Any, zones: Sequence[str]) -> bool:
    if cap.rolling_days is not None:
        return bool((own.at_utc - one.at_utc).total_seconds() < cap.rolling_days * 86_400)
    days = int(cap.local_days or 1)
    return any((_local_day(own.at_utc, zone) - _local_day(one.at_utc, zone)).days < days for zone in zones)


def _local_day(at: dt.datetime, zone: str) -> dt.date:
    return at.astimezone(ZoneInfo(zone)).date()
