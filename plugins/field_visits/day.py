"""What a visitor's page is told of a day: whom to visit, where, in which order, at which hours, and what is asked there.

It owns putting that together. It holds personal data, all of it of the visitor's own visits.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from dialer_core.plugin_api import AccountId, AccountView, CampaignId, Channel, EngineHandle
from plugins.field_visits import route
from plugins.field_visits.settings import FieldVisitSettings
from plugins.field_visits.states import OUTCOMES, VisitState
from plugins.field_visits.visits import Book, Place, Visit, place_of

FIRST_HOUR, LAST_HOUR = 6, 22
STEP: Final = dt.timedelta(minutes=30)


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One visit as its visitor sees it."""

    visit: Visit
    number: str
    """The account's."""
    name: str
    address: str
    point: tuple[float, float] | None
    """Latitude and longitude."""
    from_last_m: float | None
    """As the crow flies, from the stop before."""
    phone: str
    creditor: str
    balance_minor: int | None
    currency: str | None
    days_past_due: int | None
    hours: list[tuple[dt.datetime, dt.datetime]]
    """When it may be begun, by what is known now."""
    rule: str
    """What stands in the way all day; empty: nothing does."""


async def stops(engine: EngineHandle, its: FieldVisitSettings, visitor: str, day: str) -> list[Stop]:
    """Return a visitor's day."""
    book = Book(engine, its)
    known = its.visitors.get(visitor)
    last: tuple[float, float] | None = known.start if known else None
    found: list[Stop] = []
    for visit in await book.of_day(visitor, day):
        view = await engine.accounts.get(AccountId(visit.account))
        place = place_of(view, its)
        hours, rule = await _hours(engine, its, visit, day)
        found.append(_stop(visit, view, place, last, hours, rule))
        last = place.point or last
    return found


def asked(its: FieldVisitSettings, engine: EngineHandle) -> dict[str, Any]:
    """Return what the page asks at the door, and what may be agreed to there."""
    policy = engine.contacts.promise_policy(CampaignId(its.campaign))
    return {
        "questions": [one.model_dump(mode="json") for one in its.questions],
        "outcomes": list(OUTCOMES),
        "near_m": its.near_m,
        "most_photos": its.most_photos,
        "promise": {"first_within_days": policy.first_within_days, "least_minor": policy.least_minor},
    }


def _stop(
    visit: Visit, view: AccountView, place: Place, last: tuple[float, float] | None,
    hours: list[tuple[dt.datetime, dt.datetime]], rule: str,
) -> Stop:  # fmt: skip
    point = place.point
    apart = round(float(route.distances_m([last], [point])[0, 0])) if last and point else None
    its = view.account
    return Stop(
        visit=visit, number=its.external_id, name=view.person.name, address=place.address, point=point,
        from_last_m=apart, phone=view.phones[0].e164 if view.phones else "", creditor=its.creditor, balance_minor=its.balance_minor,
        currency=its.currency, days_past_due=its.days_past_due, hours=hours, rule=rule,
    )  # fmt: skip


async def _hours(
    engine: EngineHandle, its: FieldVisitSettings, visit: Visit, day: str
) -> tuple[list[tuple[dt.datetime, dt.datetime]], str]:
    """Return when the gate would let a visit begin on its day, and otherwise what stands in the way."""
    if visit.state is not VisitState.ASSIGNED:
        return [], ""
    zone = ZoneInfo(its.zone)
    morning = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(FIRST_HOUR), zone).astimezone(dt.UTC)
    steps = round(dt.timedelta(hours=LAST_HOUR - FIRST_HOUR) / STEP)
    instants = [morning + number * STEP for number in range(steps)]
    words = await engine.contacts.words(
        CampaignId(its.campaign), AccountId(visit.account), Channel.VISIT, instants
    )
    found: list[tuple[dt.datetime, dt.datetime]] = []
    for at, word in zip(instants, words, strict=True):
        if not word.allowed:
            continue
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + STEP)
        else:
            found.append((at, at + STEP))
    return found, "" if found else next((one.rule for one in words if one.rule), "")
