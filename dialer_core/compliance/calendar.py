"""The calendar of a rule pack: spans of the day by weekday, and holidays by rule and by list.

It owns what windows and holidays may say, and which day is one. Whether a contact may begin at an instant is `windows.py`'s.
"""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MINUTES_PER_DAY = 24 * 60


class Rule(BaseModel):
    """A part of a rule pack: frozen, and no key unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Rule):
    """Wall-clock minutes of a day, `start_min` included and `end_min` not: 22:00 itself is outside `07:00-22:00`."""

    start_min: int
    end_min: int

    def holds(self, local: dt.datetime) -> bool:
        """Say whether a local wall-clock time lies inside."""
        return self.start_min <= local.hour * 60 + local.minute < self.end_min

    def __str__(self) -> str:
        return f"{_clock(self.start_min)}-{_clock(self.end_min)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _minute(text: str) -> int:
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and len(minute) == 2):
        msg = f"{text!r} is not a time of day; write HH:MM"
        raise ValueError(msg)
    value = int(hour) * 60 + int(minute)
    if int(minute) > 59 or value > MINUTES_PER_DAY:
        msg = f"{text!r} is not a time of day; use 00:00 to 24:00"
        raise ValueError(msg)
    return value


def _parse_span(raw: object) -> object:
    if not isinstance(raw, str):
        return raw
    start, dash, end = (part.strip() for part in raw.partition("-"))
    if not dash:
        msg = f"{raw!r} is not a span of time; write HH:MM-HH:MM"
        raise ValueError(msg)
    return {"start_min": _minute(start), "end_min": _minute(end)}


def parse_span(text: str) -> Span:
    """Return a span such as `07:00-22:00`; ValueError where it is none."""
    return _check_span(Span.model_validate(_parse_span(text)))


def _check_span(span: Span) -> Span:
    if span.start_min >= span.end_min:
        msg = f"{span} ends before it begins; a span over midnight is two spans"
        raise ValueError(msg)
    return span


def _check_spans(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    for before, after in itertools.pairwise(spans):
        if after.start_min < before.end_min:
            msg = f"{before} and {after} overlap or stand in the wrong order"
            raise ValueError(msg)
    return spans


TimeSpan = Annotated[Span, BeforeValidator(_parse_span), AfterValidator(_check_span)]
Spans = Annotated[tuple[TimeSpan, ...], AfterValidator(_check_spans)]


class CitedRule(Rule):
    """A rule that says where it comes from."""

    cite: Annotated[tuple[str, ...], Field(min_length=1)]


class Windows(CitedRule):
    """When a contact may begin, by the weekday of the callee's wall clock. A day without spans is closed."""

    monday: Spans
    tuesday: Spans
    wednesday: Spans
    thursday: Spans
    friday: Spans
    saturday: Spans
    sunday: Spans

    def on(self, day: dt.date) -> tuple[Span, ...]:
        """Return the spans of a date's weekday."""
        spans: tuple[Span, ...] = getattr(self, WEEKDAYS[day.weekday()])
        return spans

    @model_validator(mode="after")
    def _some_day(self) -> Self:
        if not any(getattr(self, day) for day in WEEKDAYS):
            msg = "every day is closed: nobody could ever be contacted"
            raise ValueError(msg)
        return self


Moves = Literal["next_monday", "week_monday", "nearest_monday"]
_DAY = dt.timedelta(days=1)
_TO_MONDAY: dict[str, tuple[int, ...]] = {
    # days to go from a holiday on     Mon Tue Wed Thu Fri Sat Sun
    "next_monday": (0, 6, 5, 4, 3, 2, 1),
    "week_monday": (0, -1, -2, -3, 3, 0, 0),
    "nearest_monday": (0, -1, -2, 4, 3, 0, 0),
}


class HolidayRule(CitedRule):
    """A holiday by rule: a fixed date, the nth weekday of a month, or days from Easter Sunday."""

    name: str = Field(min_length=1)
    month: Annotated[int, Field(ge=1, le=12)] | None = None
    day: Annotated[int, Field(ge=1, le=31)] | None = None
    weekday: Weekday | None = None
    nth: Annotated[int, Field(ge=-1, le=5)] | None = None
    """Which such weekday of the month; -1 is the last."""
    easter_days: Annotated[int, Field(ge=-60, le=80)] | None = None
    moves: Moves | None = None
    """Where the day off is kept on a Monday: `next_monday` (Colombia), `week_monday` (Chile), `nearest_monday` (Argentina)."""
    every_years: Annotated[int, Field(ge=1)] = 1
    from_year: int = 1
    """First year; with `every_years`, the year the count begins."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        fixed = self.month is not None and self.day is not None
        nth = self.month is not None and self.weekday is not None and self.nth is not None and self.nth != 0
        given = {
            key for key in ("month", "day", "weekday", "nth", "easter_days") if getattr(self, key) is not None
        }
        if not (
            (fixed and given == {"month", "day"})
            or (nth and given == {"month", "weekday", "nth"})
            or given == {"easter_days"}
        ):
            msg = (
                "give month and day, or month, weekday and nth (1 to 5, or -1), or easter_days; nothing else"
            )
            raise ValueError(msg)
        if fixed and self.day is not None and self.month is not None:
            dt.date(2024, self.month, self.day)  # a leap year, so that 29 February is a date
        return self

    def in_year(self, year: int) -> dt.date | None:
        """Return the date in a year, or None where there is none."""
        if year < self.from_year or (year - self.from_year) % self.every_years:
            return None
        found = self._own_day(year)
        return (
            found
            if found is None or self.moves is None
            else found + _TO_MONDAY[self.moves][found.weekday()] * _DAY
        )

    def _own_day(self, year: int) -> dt.date | None:
        if self.easter_days is not None:
            return easter(year) + dt.timedelta(days=self.easter_days)
        assert self.month is not None  # noqa: S101 - the validator's promise, for the type checker
        if self.day is not None:
            try:
                return dt.date(year, self.month, self.day)
            except ValueError:  # 29 February
                return None
        assert self.weekday is not None  # noqa: S101
        assert self.nth is not None  # noqa: S101
        return _nth_weekday(year, self.month, WEEKDAYS.index(self.weekday), self.nth)


class HolidayDay(CitedRule):
    """A holiday of one year, listed because no rule gives it."""

    date: dt.date
    name: str = Field(min_length=1)


class Holidays(Rule):
    """Days on which nobody is contacted, by rule and by list."""

    rules: tuple[HolidayRule, ...] = ()
    days: tuple[HolidayDay, ...] = ()

    _by_year: dict[int, dict[dt.date, str]] = PrivateAttr(default_factory=dict)

    def name_of(self, day: dt.date) -> str | None:
        """Return the holiday's name, or None on an ordinary day."""
        year = self._by_year.get(day.year)
        if year is None:
            year = self._by_year[day.year] = self._in_year(day.year)
        return year.get(day)

    def _in_year(self, year: int) -> dict[dt.date, str]:
        found = {date: rule.name for rule in self.rules if (date := rule.in_year(year)) is not None}
        return found | {listed.date: listed.name for listed in self.days if listed.date.year == year}


def easter(year: int) -> dt.date:
    """Return Easter Sunday of the Gregorian calendar (New Scientist, 30 March 1961, p. 828)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * weekday) // 433
    month = (h + weekday - 7 * m + 90) // 25
    return dt.date(year, month, (h + weekday - 7 * m + 33 * month + 19) % 32)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> dt.date | None:
    first = dt.date(year, month, 1)
    days = [first + dt.timedelta(days=(weekday - first.weekday()) % 7 + 7 * week) for week in range(5)]
    days = [day for day in days if day.month == month]
    if nth == -1:
        return days[-1]
    return days[nth - 1] if nth <= len(days) else None
