"""Hours at which a person does not want to be contacted, as a restriction states them: `mon-fri 09:00-17:00; sat,sun 00:00-24:00`.

It owns that little language and when such hours end. Times are the callee's wall clock; a part without days holds on every day. Which
restriction has hours is the store's, what follows the gate's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

from dialer_core.compliance.calendar import WEEKDAYS, Span, parse_span
from dialer_core.compliance.windows import wall_instants, zone_info

_SHORT = tuple(day[:3] for day in WEEKDAYS)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Part:
    weekdays: frozenset[int]
    span: Span


@lru_cache(maxsize=4096)
def parse_hours(text: str) -> tuple[_Part, ...]:
    """Read hours.

    Raises
    ------
    ValueError
        They are not such hours, and why.
    """
    parts = []
    for piece in text.casefold().split(";"):
        words = piece.split()
        if not 1 <= len(words) <= 2:
            msg = f"{piece.strip()!r}: write 'mon-fri 09:00-17:00', parts divided by semicolons"
            raise ValueError(msg)
        weekdays = _weekdays(words[0]) if len(words) == 2 else frozenset(range(7))
        parts += [_Part(weekdays, parse_span(span)) for span in words[-1].split(",")]
    return tuple(parts)


def end_of(text: str, zones: tuple[str, ...], at: dt.datetime) -> dt.datetime | None:
    """Return when the hours that an instant lies in are over in the zone they hold in, in UTC; None where it lies in none.

    In any zone that the callee may be in. What follows may lie in other hours: ask again.
    """
    for zone in zones:
        local = at.astimezone(zone_info(zone))
        for part in parse_hours(text):
            if local.weekday() in part.weekdays and part.span.holds(local):
                end = dt.datetime.combine(local.date(), dt.time()) + dt.timedelta(minutes=part.span.end_min)
                later = [
                    one
                    for one in wall_instants(zone, end, local.date())
                    if one > at and _over(part.span, zone, local.date(), one)
                ]
                return min(later, default=at + _DAY)
    return None


def _over(span: Span, zone: str, day: dt.date, instant: dt.datetime) -> bool:
    local = instant.astimezone(zone_info(zone))
    return local.date() != day or not span.holds(local)


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for piece in text.split(","):
        first, dash, last = (name[:3] for name in piece.partition("-"))
        if first not in _SHORT or (dash and last not in _SHORT):
            msg = f"{piece!r} is no day of the week; use {', '.join(_SHORT)}, or a range of them"
            raise ValueError(msg)
        begin, end = _SHORT.index(first), _SHORT.index(last if dash else first)
        found |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(found)
