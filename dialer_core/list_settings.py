"""How a campaign works through its list, as its file says: how often a lead is tried, what is dialed in which share, and on which days.

It owns the shape of `[attempts]`, `[hopper]` and `[schedule]`. What they do is `campaigns/attempt_limits.py`, `mix.py` and `schedule.py`.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dialer_core.segment_language import parse
from dialer_core.setting_types import E164, Name, Section


def _check_span(text: str) -> str:
    begin, dash, end = text.partition("-")
    try:
        ok = bool(dash) and minutes_of(begin) < minutes_of(end)
    except ValueError:
        ok = False
    if not ok:
        msg = f"{text!r}: write the hours of a part of the day as 07:00-12:00"
        raise ValueError(msg)
    return text


def minutes_of(text: str) -> int:
    """Return the minutes since midnight of `HH:MM`; `24:00` is the end of the day. ValueError: it is no such time."""
    hours, minutes = text.split(":")
    found = int(hours) * 60 + int(minutes)
    if len(hours) != 2 or len(minutes) != 2 or not 0 <= int(minutes) < 60 or not 0 <= found <= 24 * 60:
        raise ValueError(text)
    return found


def _check_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        msg = f"{name!r} is no time zone; write one such as America/Mexico_City"
        raise ValueError(msg) from None
    return name


Span = Annotated[str, AfterValidator(_check_span)]
Zone = Annotated[str, AfterValidator(_check_zone)]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _check_days(text: str) -> str:
    days, _, span = text.partition(" ")
    begin, dash, end = days.partition("-")
    ends_before = dash and begin in DAYS and end in DAYS and DAYS.index(end) < DAYS.index(begin)
    if begin not in DAYS or (dash and end not in DAYS) or ends_before or not span:
        msg = f"{text!r}: write days and hours as 'mon-fri 09:00-18:00' or 'sat 09:00-14:00'"
        raise ValueError(msg)
    _check_span(span)
    return text


OpenHours = Annotated[str, AfterValidator(_check_days)]


def _check_expression(text: str) -> str:
    parse(text)
    return text


Expression = Annotated[str, AfterValidator(_check_expression)]


class SegmentSettings(Section):
    """`[segments.NAME]` of `segments.toml`: leads of one kind, for the mix of campaigns, reports and strategies."""

    where: Expression
    """Who is in it, in the language of segments."""
    label: str = ""
    """As people are shown it; by default its name."""


class CallerIdPool(Section):
    """`[pools.NAME]` of `caller_ids.toml`: numbers that the operator owns and that reach it when they are called back."""

    numbers: Annotated[tuple[E164, ...], Field(min_length=1)]
    """The numbers. Each person keeps the one they were first called from."""
    by_area: bool = True
    """Choose a number of the callee's area where there is one: the one that shares the most leading digits, four at least."""

    resting: tuple[E164, ...] = ()
    """Those of them that nobody is called from for now, as carriers block or label them; whoever has such a number waits, and gets no other."""

    @model_validator(mode="after")
    def _rests_here(self) -> CallerIdPool:
        if strangers := set(self.resting) - set(self.numbers):
            msg = f"resting: {min(strangers)} is not among numbers"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _named_once(self) -> CallerIdPool:
        if twice := {number for number in self.numbers if self.numbers.count(number) > 1}:
            msg = f"numbers: {min(twice)} stands there twice"
            raise ValueError(msg)
        return self


class AttemptLimits(Section):
    """How often a lead is tried, whatever the outcomes; the rule pack's caps come on top. Call-backs that somebody asked for are exempt."""

    most: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Attempts at a lead in all, then it is finished as `max_attempts`; by default the outcomes' own limits are the only ones."""
    per_day: Annotated[int, Field(ge=1, le=100)] | None = None
    """Attempts at a lead in one day of the person's."""
    day_parts: tuple[Span, ...] = ("07:00-12:00", "12:00-17:00", "17:00-22:00")
    """The parts of the person's day."""
    per_day_part: Annotated[int, Field(ge=1, le=100)] | None = None
    """Attempts at a lead in one part of a day, so that the next is made at another hour."""


class MixPart(Section):
    """A share of what is dialed for one segment of `segments.toml`."""

    segment: Name
    """The segment's name; a lead belongs to the first of the mix that it is in."""
    share: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Weight against the others; a segment with nobody to dial leaves its share to them."""
    most_per_day: Annotated[int, Field(ge=1)] | None = None
    """Attempts in this segment on one day, of the campaign's zone (`schedule.zone`), at most: its quota."""


class HopperSettings(Section):
    """In which shares a campaign's list is dialed. Within each share, by priority, then those tried less often."""

    new_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of leads never tried before, while there are both; by default they come as the priority says, the untried first."""
    mix: tuple[MixPart, ...] = ()
    """Shares by segment; by default the list is one."""
    rest_share: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Weight of the leads that are in no segment of the mix; 0: they are not dialed."""

    @model_validator(mode="after")
    def _named_once(self) -> HopperSettings:
        names = [part.segment for part in self.mix]
        if twice := {name for name in names if names.count(name) > 1}:
            msg = f"mix: segment {min(twice)!r} stands there twice"
            raise ValueError(msg)
        return self

    @property
    def in_shares(self) -> bool:
        """It is not one list in one order."""
        return self.new_share is not None or bool(self.mix)


class PreviewSettings(Section):
    """Mode preview: an agent is shown a lead, and it is dialed for them alone when they accept it."""

    limit_s: Annotated[float, Field(ge=5, le=3600)] = 90.0
    """How long they may look."""
    then: Literal["skip", "dial"] = "skip"
    """What happens when that time is over."""
    skip_minutes: Annotated[float, Field(ge=0, le=100_000)] = 60.0
    """A lead that was skipped rests for so long."""


class PromiseSettings(Section):
    """What agents may agree to; who may write about every account, as supervisors, may agree to more."""

    most_instalments: Annotated[int, Field(ge=1, le=120)] = 12
    """Payments of one promise."""
    first_within_days: Annotated[int, Field(ge=0, le=365)] = 30
    """The first payment is due within so many days."""
    all_within_days: Annotated[int, Field(ge=0, le=3650)] = 365
    """The last one is."""
    least_minor: Annotated[int, Field(ge=0)] = 0
    """The least that one payment may be, in the currency's minor unit: 20000 is 200.00. A smaller balance may be paid whole."""
    most_discount: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the balance that a settlement may forgo; 0: agents settle for nothing less than all of it."""


class ScheduleSettings(Section):
    """When a campaign places calls at all, in its own zone; the rule pack's hours come on top. Nothing given: always."""

    zone: Zone = "America/Mexico_City"
    """Where its days and hours are counted."""
    hours: tuple[OpenHours, ...] = ()
    """Days and hours, such as `mon-fri 09:00-18:00`."""
    from_date: dt.date | None = None
    """Its first day."""
    to_date: dt.date | None = None
    """Its last day."""

    @model_validator(mode="after")
    def _in_order(self) -> ScheduleSettings:
        if self.from_date and self.to_date and self.to_date < self.from_date:
            msg = f"to_date {self.to_date} lies before from_date {self.from_date}"
            raise ValueError(msg)
        return self
