"""Values of foreign records: where they stand, how they become text, which of two moments is later. It owns no mapping and no protocol."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

_DIGITS: Final = 40
"""Of a number that says anything: more is a mistake, or meant to hurt."""
_MOST_AHEAD: Final = dt.timedelta(hours=14)
"""So far ahead of UTC a clock on the wall may be."""


def at(record: Any, path: str) -> Any:
    """Return what stands at `data.0.id` in JSON; None: nothing. A name with points in it is found too."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    for name in path.split("."):
        if isinstance(record, Mapping):
            record = record.get(name)
        elif isinstance(record, list | tuple) and name.isdecimal() and int(name) < len(record):
            record = record[int(name)]
        else:
            return None
    return record


def as_text(value: Any) -> str:
    """Return a value as our files have it: amounts with a point, days as `YYYY-MM-DD`; what holds other values is nothing."""
    if value is None or isinstance(value, Mapping | list | tuple):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal | float):
        number = Decimal(str(value))
        # written out, 1E+999999999 takes a gigabyte; left as it is, no field takes it
        return format(number, "f") if number.is_finite() and abs(number.adjusted()) <= _DIGITS else str(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    text = str(value)
    # what JSON can hold and no database takes
    return text if text.isprintable() else text.replace("\0", "").encode("utf-8", "replace").decode()


def put(record: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` in a record, with what is missing on the way."""
    *outer, last = path.split(".")
    for name in outer:
        record = record.setdefault(name, {})
    record[last] = value


def moment(value: Any) -> dt.datetime | int | str | None:
    """Return when a record was changed, to compare: a time (aware, where it says so), a number, or text. None: it does not say."""
    if value is None or value == "" or isinstance(value, dt.datetime):
        return value or None
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time())
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
        return int(number) if number.is_finite() and number.adjusted() <= _DIGITS else None
    text = as_text(value)
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return int(text) if text.isdecimal() and len(text) <= _DIGITS else text


def later(one: Any, other: Any) -> Any:
    """Return the later of two moments; of two that cannot be compared, the one that is a time, else the first."""
    if one is None or other is None:
        return other if one is None else one
    try:
        return max(one, other)
    except TypeError:
        return other if isinstance(other, dt.datetime) and not isinstance(one, dt.datetime) else one


def kept(value: Any) -> Any:
    """Return a moment as JSON keeps it."""
    return value.isoformat() if isinstance(value, dt.datetime) else value


def by_now(value: Any, now: dt.datetime) -> Any:
    """Return a time, none that is yet to come: a record of the year 2206 is no reason to read nothing until then. Others as they are."""
    if not isinstance(value, dt.datetime):
        return value
    return min(value, now if value.tzinfo else (now + _MOST_AHEAD).replace(tzinfo=None))


def earlier(value: Any, seconds: float) -> Any:
    """Return a moment so much earlier; numbers and text as they are."""
    if not isinstance(value, dt.datetime):
        return value
    try:
        return value - dt.timedelta(seconds=seconds)
    except OverflowError:  # a time of the year 1, which some write for none
        return value
