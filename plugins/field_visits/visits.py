"""Visits as the plugin keeps them: handed over, on a visitor's day, in the order of their route.

It owns the keys under which they lie and the moves of whoever plans. What comes back from the door is `results.py`'s.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from dialer_core.plugin_api import AccountId, AccountView, CommandRefusedError, EngineHandle, PluginStore
from plugins.field_visits import route
from plugins.field_visits.settings import FieldVisitSettings
from plugins.field_visits.states import OPEN, Cue, VisitState, next_state

MOST_A_DAY: Final = 60
_NO_DAY: Final = "proposed"
"""Where a visit lies that has no day; behind every day in the order of keys."""
_NAME = re.compile(r"[^\s/]{1,64}").fullmatch


class Visit(msgspec.Struct, kw_only=True):
    """One visit. Who is visited and where is the account's, and read from it each time."""

    id: str
    account: str
    state: VisitState = VisitState.PROPOSED
    visitor: str = ""
    day: str = ""
    """ISO; empty while it is nobody's."""
    place: int = 0
    """In the order of the day's route, from 1; 0: not planned."""
    had: list[str] = []
    """Who had it before: what they did meanwhile, away from the network, is still theirs to tell."""
    by: str = ""
    """Who handed it over."""
    note: str = ""
    """What the visitor should know."""
    proposed_at: str = ""
    begun_at: str = ""
    ended_at: str = ""
    outcome: str = ""
    marks: list[str] = []
    """What to look at: `far`, `inaccurate`, `old_position`, `no_position`, `address_unknown`, `clock`, `offline`, `other_questions`."""
    conflicts: list[str] = []
    """What had changed meanwhile: `cancelled`, `withdrawn`, `given_away`, `told_twice`, `rule RULE`, `promise REASON`."""
    distance_m: float | None = None
    position: dict[str, Any] | None = None
    answers: dict[str, Any] = {}
    photos: list[str] = []
    """Ids of documents."""
    told: list[str] = []
    """What was told of it, by the ids that the page gave: told again, it is known."""


class Place(msgspec.Struct, frozen=True):
    """Where an account's person lives, as its attributes say."""

    address: str
    point: tuple[float, float] | None
    """Latitude and longitude in degrees; None: nothing is known of it."""


def place_of(view: AccountView, its: FieldVisitSettings) -> Place:
    """Return an account's address; what is no position is none."""
    said = {one.name: one.value for one in view.attributes}
    latitude, longitude = _degrees(said.get(its.latitude), 90), _degrees(said.get(its.longitude), 180)
    point = (latitude, longitude) if latitude is not None and longitude is not None else None
    return Place(said.get(its.address, ""), point)


def _degrees(text: str | None, most: float) -> float | None:
    try:
        value = float((text or "").strip().replace(",", "."))
    except ValueError:
        return None
    return value if -most <= value <= most else None


class Book:
    """The visits of one store.

    Parameters
    ----------
    engine
        As the plugin.
    its
        The settings.
    """

    def __init__(self, engine: EngineHandle, its: FieldVisitSettings) -> None:
        self.engine, self.its = engine, its
        self._store: PluginStore = engine.store

    def today(self) -> str:
        """Return the day it is where visitors are."""
        return self.engine.now().astimezone(ZoneInfo(self.its.zone)).date().isoformat()

    async def get(self, visit_id: str) -> Visit:
        """Return a visit; refused where there is none."""
        found = await self._store.get(f"visit/{visit_id}")
        if found is None:
            raise CommandRefusedError("there is no such visit", "unknown")
        return msgspec.convert(found, Visit)

    async def put(self, *visits: Visit) -> None:
        """Write visits, each also under its visitor's day."""
        values: dict[str, Any] = {}
        for one in visits:
            values[f"visit/{one.id}"] = msgspec.to_builtins(one)
            values[f"account/{one.account}/{one.id}"] = ""
            values[f"on/{one.day or _NO_DAY}/{one.id}"] = ""
            if one.visitor and one.day:
                values[f"day/{one.visitor}/{one.day}/{one.id}"] = ""
        await self._store.put_many(values)
        await self._store.remove(*(f"on/{_NO_DAY}/{one.id}" for one in visits if one.day))

    async def every(self, state: VisitState | None = None) -> list[Visit]:
        """Return all visits, or those in a state, the latest first."""
        found = [msgspec.convert(value, Visit) for _, value in await self._all("visit/")]
        return sorted(
            (one for one in found if state in (None, one.state)), key=lambda one: (one.day, one.proposed_at), reverse=True
        )  # fmt: skip

    async def since(self, day: str) -> list[Visit]:
        """Return the visits from a day on, and those without one, the latest first."""
        keys = [key for key, _ in await self._all("on/", f"on/{day}")]
        found = await self._store.get_many(
            [f"visit/{one}" for one in {key.rpartition("/")[2] for key in keys}]
        )
        visits = [msgspec.convert(one, Visit) for one in found.values()]
        current = [one for one in visits if one.day >= day or one.state is VisitState.PROPOSED]
        return sorted(current, key=lambda one: (one.day, one.visitor, -one.place), reverse=True)

    async def of_day(self, visitor: str, day: str) -> list[Visit]:
        """Return a visitor's visits of a day, by their place; those that were taken back are left out, unless they went."""
        ids = [key.rpartition("/")[2] for key, _ in await self._all(f"day/{visitor}/{day}/")]
        found = [await self.get(one) for one in ids]
        mine = [one for one in found if one.visitor == visitor and one.day == day and one.state is not VisitState.CANCELLED]  # fmt: skip
        return sorted(mine, key=lambda one: (one.place or MOST_A_DAY + 1, one.proposed_at, one.id))

    async def propose(self, account: AccountId, *, by: str, note: str = "") -> Visit:
        """Hand an account over to be visited: the open visit of it, where there is one.

        Raises
        ------
        CommandRefusedError
            There is no such account, or it is paid or withdrawn.
        """
        view = await self.engine.accounts.get(account)
        if view.account.status != "open":
            raise CommandRefusedError(f"the account is {view.account.status}: nobody is visited about it")
        for key, _ in await self._all(f"account/{account}/"):
            known = await self.get(key.rpartition("/")[2])
            if known.state in OPEN:
                return known
        made = Visit(
            id=str(uuid.uuid4()), account=account, by=by, note=note[:500], proposed_at=self.engine.now().isoformat()
        )  # fmt: skip
        await self.put(made)
        return made

    async def assign(self, visit: Visit, visitor: str, day: str) -> Visit:
        """Give a visit to a visitor for a day, and put that day in order.

        Raises
        ------
        CommandRefusedError
            There is no such visitor, the day is over or full, or the visit is beyond being given.
        """
        if visitor not in self.its.visitors or not _NAME(visitor):
            known = ", ".join(sorted(self.its.visitors)) or "none"
            raise CommandRefusedError(f"there is no visitor {visitor!r} in plugins/field_visits.toml; there are: {known}", "unknown")  # fmt: skip
        if _day(day) < self.today():
            raise CommandRefusedError(f"{day} is over", "invalid")
        if (visit.visitor, visit.day) != (visitor, day) and len(
            await self.of_day(visitor, day)
        ) >= MOST_A_DAY:
            raise CommandRefusedError(f"{visitor} has {MOST_A_DAY} visits on {day} already")
        before = (visit.visitor, visit.day)
        self._move(visit, Cue.ASSIGN)
        if visit.visitor not in ("", visitor, *visit.had):
            visit.had.append(visit.visitor)
        visit.visitor, visit.day, visit.place = visitor, day, 0
        await self.put(visit)
        for who, when in {before, (visitor, day)} - {("", "")}:
            await self.plan(who, when)
        return await self.get(visit.id)

    async def withdraw(self, visit: Visit, *, cancel: bool = False) -> Visit:
        """Take a visit back from its visitor, or cancel it for good; refused where they have begun it."""
        self._move(visit, Cue.CANCEL if cancel else Cue.WITHDRAW)
        who, when = visit.visitor, visit.day
        if who and who not in visit.had:
            visit.had.append(who)
        visit.visitor, visit.day, visit.place = ("", "", 0)
        await self.put(visit)
        if who:
            await self.plan(who, when)
        return visit

    async def plan(self, visitor: str, day: str) -> list[Visit]:
        """Put a visitor's day in the order of its route, those without a position last; what is begun or over keeps its place."""
        known = self.its.visitors.get(visitor)
        visits = await self.of_day(visitor, day)
        begun = [one for one in visits if one.state is not VisitState.ASSIGNED]
        waiting = [one for one in visits if one.state is VisitState.ASSIGNED]
        points = {one.id: (await self.place(one)).point for one in visits}
        there = [(one, point) for one in waiting if (point := points[one.id]) is not None]
        start = known.start if known else (0.0, 0.0)
        if begun:
            start = points[begun[-1].id] or start
        route_of = [there[index][0] for index in route.order(start, [point for _, point in there])]
        ordered = [*begun, *route_of, *(one for one in waiting if points[one.id] is None)]
        for number, one in enumerate(ordered, 1):
            one.place = number
        await self.put(*ordered)
        return ordered

    async def place(self, visit: Visit) -> Place:
        """Return where a visit goes."""
        return place_of(await self.engine.accounts.get(AccountId(visit.account)), self.its)

    async def _all(self, prefix: str, after: str = "") -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        while page := await self._store.items(prefix, after):
            found += page
            after = page[-1][0]
        return found

    @staticmethod
    def _move(visit: Visit, cue: Cue) -> None:
        state = next_state(visit.state, cue)
        if state is None:
            raise CommandRefusedError(f"the visit is {visit.state.value}: it is too late to {cue.value} it")
        visit.state = state


def _day(text: str) -> str:
    try:
        return dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise CommandRefusedError(f"{text!r} is no day; write YYYY-MM-DD", "invalid") from None


def marks_in(visits: Iterable[Visit]) -> int:
    """Return how many visits have something to look at."""
    return sum(bool(set(one.marks) - {"offline"} or one.conflicts) for one in visits)
