"""Calling windows: may a contact begin at an instant, in every zone the callee may be in, and if not, from when.

Pure: rules, zones and an instant in; an answer in words out. It owns wall clocks, weekdays, holidays and daylight changes, and knows
nothing of people, caps or the store.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from dialer_core.compliance.calendar import WEEKDAYS
from dialer_core.compliance.rules import RulePack

HORIZON_DAYS = 400
"""How far ahead an opening is looked for; a year with every holiday has one."""

_ZERO = dt.timedelta(0)
_SECOND = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Closed:
    """A zone in which nothing may begin now, and why."""

    rule: str
    """`window`, `weekday`, `holiday` or `zone_unknown`."""
    reason: str
    zone: str


@lru_cache(maxsize=1024)
def zone_info(name: str) -> ZoneInfo:
    """Return a zone by name."""
    return ZoneInfo(name)


def closed(pack: RulePack, zones: tuple[str, ...], at: dt.datetime) -> Closed | None:
    """Return why nothing may begin at an instant, or None where every zone allows it.

    Parameters
    ----------
    pack
        The rules.
    zones
        Every zone the callee may be in; none means unknown, which is refused.
    at
        An aware instant.
    """
    if not zones:
        return Closed(
            "zone_unknown", f"the number's time zone is unknown, and {pack.name} has calling hours", ""
        )
    for zone in zones:
        if found := _closed_in(pack, zone, at):
            return found
    return None


def next_open(pack: RulePack, zones: tuple[str, ...], at: dt.datetime) -> dt.datetime | None:
    """Return the first instant from `at` on at which every zone allows a contact, in UTC; None within the horizon.

    Zones that never overlap within the horizon, or none at all, give None.
    """
    if not zones:
        return None
    end = at + HORIZON_DAYS * _DAY
    instant = at
    while instant <= end:
        # Each zone's own next opening; no instant before the latest of them can be open in all.
        openings = [_next_open_in(pack, zone, instant, end) for zone in zones]
        if any(opening is None for opening in openings):
            return None
        latest = max(opening for opening in openings if opening is not None)
        if latest == instant:
            return instant.astimezone(dt.UTC)
        instant = latest
    return None


def spans_text(pack: RulePack, zone: str, at: dt.datetime) -> str:
    """Return the spans of the local day in words, for evidence: `07:00-22:00`."""
    return ", ".join(str(span) for span in pack.windows.on(at.astimezone(zone_info(zone)).date())) or "closed"


@lru_cache(maxsize=8192)
def start_of_local_day(zone: str, day: dt.date) -> dt.datetime:
    """Return the first instant of a calendar day in a zone, in UTC; where midnight is skipped, the end of the gap."""
    candidates = wall_instants(zone, dt.datetime.combine(day, dt.time()), day)
    return min((one for one in candidates if _on(zone, one, day)), default=candidates[-1])


def _closed_in(pack: RulePack, zone: str, at: dt.datetime) -> Closed | None:
    local = at.astimezone(zone_info(zone))
    if holiday := pack.holidays.name_of(local.date()):
        return Closed("holiday", f"{local.date()} is a holiday in {zone} ({holiday}) by {pack.name}", zone)
    spans = pack.windows.on(local.date())
    if not spans:
        day = WEEKDAYS[local.weekday()].capitalize()
        return Closed("weekday", f"{day} {local:%H:%M} in {zone}, no contact on {day}s by {pack.name}", zone)
    if not any(span.holds(local) for span in spans):
        allowed = ", ".join(str(span) for span in spans)
        return Closed("window", f"{local:%H:%M} in {zone}, allowed {allowed} by {pack.name}", zone)
    return None


def _next_open_in(pack: RulePack, zone: str, at: dt.datetime, end: dt.datetime) -> dt.datetime | None:
    if _closed_in(pack, zone, at) is None:
        return at
    day = (
        at.astimezone(zone_info(zone)).date() - _DAY
    )  # at midnight, a daylight change may lead back to the day before
    last = end.astimezone(zone_info(zone)).date()
    while day <= last:
        if pack.holidays.name_of(day) is None:
            found = [
                instant
                for span in pack.windows.on(day)
                for instant in wall_instants(zone, _wall(day, span.start_min), day)
                if instant >= at and _on(zone, instant, day) and _closed_in(pack, zone, instant) is None
            ]
            if found:
                return min(found)
        day += _DAY
    return None


def _on(zone: str, instant: dt.datetime, day: dt.date) -> bool:
    return instant.astimezone(zone_info(zone)).date() == day


def _wall(day: dt.date, minute: int) -> dt.datetime:
    return dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minute)


def wall_instants(zone: str, wall: dt.datetime, day: dt.date) -> list[dt.datetime]:
    """Return, in UTC, instants among which every beginning of a wall-clock span that starts at `wall` is found.

    A wall time happens once, twice (both are given) or, in a gap, never: then the span begins at the gap's end. A repeated hour may
    also lead back into the middle of a span. So a change of the offset about that day is a candidate of its own.
    """
    info = zone_info(zone)
    once = wall.replace(tzinfo=info)
    found = [once.astimezone(dt.UTC), once.replace(fold=1).astimezone(dt.UTC)]
    found = [instant for instant in found if instant.astimezone(info).replace(tzinfo=None) == wall]
    if change := _offset_change(zone, day):
        found.append(change)
    return found


@lru_cache(maxsize=8192)
def _offset_change(zone: str, day: dt.date) -> dt.datetime | None:
    """Return the instant, in UTC, at which a zone's offset changes on or about a calendar day; None on nearly every day."""
    info = zone_info(zone)
    low = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=15)
    high = low + dt.timedelta(hours=54)

    def offset(instant: dt.datetime) -> dt.timedelta:
        return instant.astimezone(info).utcoffset() or _ZERO

    first = offset(low)
    if offset(high) == first:
        return None
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle == low:
            break
        if offset(middle) == first:
            low = middle
        else:
            high = middle
    return high
