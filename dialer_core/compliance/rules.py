"""The shape of a rule pack: one TOML file of contact rules for one jurisdiction, as checked, frozen objects.

It owns what a rule may say and how its parts are checked. It does not read files (`packs.py`) and decides nothing (`windows.py`,
`caps.py`, `gate.py`).
"""

from __future__ import annotations

import datetime as dt
import enum
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

from dialer_core.vocabulary import Channel, Outcome

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MINUTES_PER_DAY = 24 * 60


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(_Rule):
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
Citations = Annotated[tuple[str, ...], Field(min_length=1)]


class Source(_Rule):
    """Where a rule comes from."""

    text: str = Field(min_length=1)
    """The law or the publication, so that it can be found."""
    read: bool = False
    """The primary text was read and says what the rules that cite it say."""
    url: str = ""


class Windows(_Rule):
    """When a contact may begin, by the weekday of the callee's wall clock. A day without spans is closed."""

    cite: Citations
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


class HolidayRule(_Rule):
    """A holiday by rule: a fixed date, the nth weekday of a month, or days from Easter Sunday."""

    name: str = Field(min_length=1)
    cite: Citations
    month: Annotated[int, Field(ge=1, le=12)] | None = None
    day: Annotated[int, Field(ge=1, le=31)] | None = None
    weekday: Weekday | None = None
    nth: Annotated[int, Field(ge=-1, le=5)] | None = None
    """Which such weekday of the month; -1 is the last."""
    easter_days: Annotated[int, Field(ge=-60, le=80)] | None = None
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


class HolidayDay(_Rule):
    """A holiday of one year, listed because no rule gives it."""

    date: dt.date
    name: str = Field(min_length=1)
    cite: Citations


class Holidays(_Rule):
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


class CapScope(enum.StrEnum):
    """Whose contacts a cap counts."""

    PERSON = "person"
    ACCOUNT = "account"
    ADDRESS = "address"
    """The number or address contacted, whoever's it is."""


class Cap(_Rule):
    """At most `limit` contacts with one person, account or address in a stretch of time."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    """The rule's name in refusals and evidence."""
    cite: Citations
    per: CapScope
    limit: Annotated[int, Field(ge=1)]
    rolling_days: Annotated[float, Field(gt=0, le=366)] | None = None
    """The last so many times 24 hours."""
    local_days: Annotated[int, Field(ge=1, le=366)] | None = None
    """The callee's calendar days up to and with today; 1 is today."""
    channels: tuple[Channel, ...] = ()
    """Channels that count and are limited; empty: all."""

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if (self.rolling_days is None) == (self.local_days is None):
            msg = "give rolling_days or local_days, one of them"
            raise ValueError(msg)
        return self


class QuietPeriod(_Rule):
    """After a conversation, nobody is contacted for some of the callee's calendar days; that day is day 1."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    cite: Citations
    per: CapScope
    local_days: Annotated[int, Field(ge=1, le=366)]
    channels: tuple[Channel, ...] = ()
    """Channels of the conversation and of the contact refused; empty: all."""


class LedgerWindow(_Rule):
    """A stretch of time over which abandoned calls are counted against live answers."""

    name: str = Field(min_length=1)
    days: Annotated[float, Field(gt=0, le=366)] | None = None
    """The last so many times 24 hours; missing: the campaign's whole life."""


class Abandonment(_Rule):
    """The pack's profile of abandoned calls."""

    cite: Citations
    ceiling: Annotated[float, Field(gt=0, lt=0.2)]
    """Share of live answers that may be abandoned, in every window."""
    limit_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    """Seconds from the end of the person's greeting to an agent; later is abandoned."""
    message_required: bool = True
    lock_hours: Annotated[float, Field(ge=0, le=720)] = 0.0
    """After an abandoned call, the person is not dialed again for so long."""
    count_lost: bool = False
    """The estimate of people lost to detection counts as abandoned."""
    lost_assumed: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Share of machine verdicts taken for lost people while a campaign has little evidence of its own."""
    windows: Annotated[tuple[LedgerWindow, ...], Field(min_length=1)]


class Voicemail(_Rule):
    """Whether a message may be left with a machine."""

    cite: Citations
    message: bool
    """An automatic message after the beep is allowed: a neutral one, that says nothing of a debt."""


class RulePack(_Rule):
    """Everything one file says. `version` names the content, so evidence says exactly by which rules it was decided."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: str
    version: str
    """As the file says, with a digest of the file's content behind `+`."""
    jurisdiction: str
    verified: bool
    """Every rule's primary text has been read."""
    loopback_only: bool = False
    """For demonstrations and tests: only trunks on loopback addresses may be dialed by it."""
    ring_min_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Shortest ring before an unanswered call may be released."""
    caller_id_required: bool = True
    creditor_required: bool = True
    sources: dict[str, Source]
    windows: Windows
    holidays: Holidays = Holidays()
    caps: tuple[Cap, ...]
    quiet_periods: tuple[QuietPeriod, ...] = ()
    void_outcomes: frozenset[Outcome]
    """Outcomes that never reached the number: their contacts do not count."""
    abandonment: Abandonment
    voicemail: Voicemail | None = None
    """Missing: no message is left."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [*(cap.id for cap in self.caps), *(quiet.id for quiet in self.quiet_periods)]
        if twice := next((one for one in ids if ids.count(one) > 1), None):
            msg = f"two rules have the id {twice!r}"
            raise ValueError(msg)
        if clash := next((one for one in ids if one in RESERVED_RULES), None):
            msg = f"the id {clash!r} is the gate's own"
            raise ValueError(msg)
        cited = {source for rule in self._rules() for source in rule.cite}
        if unknown := sorted(cited - self.sources.keys()):
            msg = f"a rule cites {unknown[0]!r}, which is not among the sources: {', '.join(sorted(self.sources))}"
            raise ValueError(msg)
        if self.verified and (unread := sorted(name for name in cited if not self.sources[name].read)):
            msg = f"verified = true, but the source {unread[0]!r} is not marked as read"
            raise ValueError(msg)
        return self

    def _rules(
        self,
    ) -> list[Windows | HolidayRule | HolidayDay | Cap | QuietPeriod | Abandonment | Voicemail]:
        return [
            *([self.voicemail] if self.voicemail is not None else []),
            self.windows,
            *self.holidays.rules,
            *self.holidays.days,
            *self.caps,
            *self.quiet_periods,
            self.abandonment,
        ]


RESERVED_RULES = frozenset({"window", "weekday", "holiday", "zone_unknown", "rule_pack", "gate_error"})
"""Names of the gate's own refusals; a restriction refuses under its kind's name."""
