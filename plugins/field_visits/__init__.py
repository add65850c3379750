"""Visits in person at `/visits`: a visitor's day on their telephone, with or without a network, and its planning at `/visits/plan`.

It owns the hooks and the routes. What a visit is and where it stands is `states.py`'s and `visits.py`'s, what comes back from the door
`results.py`'s.
"""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Body, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from dialer_core.plugin_api import (
    AccountId,
    CommandRefusedError,
    EngineHandle,
    PageLink,
    Pages,
    Problem,
    Scope,
    hookimpl,
    needs,
    principal_of,
)
from plugins.field_visits import photos
from plugins.field_visits.day import asked, stops
from plugins.field_visits.results import Item, Results
from plugins.field_visits.settings import FieldVisitSettings, settings_of
from plugins.field_visits.turns import Turn
from plugins.field_visits.visits import Book

PATH: Final = "/visits"
ASSETS: Final = f"{PATH}/assets"
PLAN_ASSETS: Final = f"{PATH}/plan/assets"
"""The same files, for those who may not see a visitor's page."""
PLACE: Final = {"Permissions-Policy": "camera=(), geolocation=(self), microphone=(), payment=(), usb=()"}
"""This page alone asks where it is."""
HERE: Final = Path(__file__).parent
MOST_AT_ONCE: Final = 50
MOST_PLANNED: Final = 200
"""Visits on the plan, of"""
BEFORE: Final = dt.timedelta(days=7)
"""the days before today, today and to come; `dialer visits list` has all."""


class Told(BaseModel):
    """What a visitor's page tells, in the order in which it happened."""

    model_config = ConfigDict(extra="forbid")
    items: Annotated[list[Item], Field(max_length=MOST_AT_ONCE)]


class HandOver(BaseModel):
    """An account to be visited, and by whom and when, where that is known."""

    model_config = ConfigDict(extra="forbid")
    account: Annotated[str, Field(min_length=1, max_length=128)]
    """The customer's own number of it."""
    portfolio: Annotated[str, Field(max_length=64)] = "default"
    visitor: Annotated[str, Field(max_length=64)] = ""
    day: Annotated[str, Field(max_length=10)] = ""
    note: Annotated[str, Field(max_length=500)] = ""


@hookimpl
def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at the settings."""
    settings_of(engine)


@hookimpl
def dialer_register_pages() -> list[PageLink]:
    """The day for visitors, its planning for supervisors."""
    return [
        PageLink(PATH, {"es": "Visitas", "en": "Visits"}, Scope.VISITS),
        PageLink(f"{PATH}/plan", {"es": "Plan de visitas", "en": "Visit plan"}, Scope.RECORDS),
    ]


@hookimpl
def dialer_register_routes(engine: EngineHandle) -> APIRouter:
    """Serve the pages and what they ask and tell."""
    return routes_of(_Routes(engine, settings_of(engine)))


def routes_of(routes: _Routes) -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)
    own, plans = [needs(Scope.VISITS)], [needs(Scope.CONTROL), needs(Scope.RECORDS)]
    router.add_api_route(PATH, routes.page, dependencies=own)
    router.add_api_route(f"{PATH}/worker.js", routes.worker, dependencies=own)
    router.add_api_route(f"{PATH}/day", routes.day, dependencies=own)
    router.add_api_route(f"{PATH}/told", routes.told, dependencies=own, methods=["POST"])
    router.add_api_route(
        f"{PATH}/{{visit}}/photos/{{photo}}", routes.photo, dependencies=own, methods=["POST"]
    )
    router.add_api_route(f"{PATH}/plan", routes.plan_page, dependencies=plans)
    router.add_api_route(f"{PATH}/plan", routes.hand_over, dependencies=plans, methods=["POST"])
    router.add_api_route(
        f"{PATH}/plan/{{visit}}/take-back", routes.take_back, dependencies=plans, methods=["POST"]
    )
    router.add_api_route(f"{ASSETS}/{{name}}", routes.pages.assets.serve, dependencies=[needs(Scope.VISITS)])
    router.add_api_route(f"{PLAN_ASSETS}/{{name}}", routes.plans.assets.serve, dependencies=plans)
    return router


class _Routes:
    """What stands behind the routes."""

    def __init__(self, engine: EngineHandle, its: FieldVisitSettings) -> None:
        self.pages, self.plans = Pages(HERE, ASSETS), Pages(HERE, PLAN_ASSETS)
        self._engine, self._its = engine, its
        self._book = Book(engine, its)
        self._results = Results(engine, its, self.pages.texts)
        self._turn = Turn(engine)
        """A visit is read, changed and written by one at a time."""

    async def page(self, request: Request) -> Response:
        """The visitor's page: the same for every visitor and day, so that it can be kept on the telephone."""
        return self.pages.page(request, "visits.html", headers=PLACE)

    async def worker(self) -> Response:
        """What serves the page where there is no network."""
        headers = {"Service-Worker-Allowed": PATH, "Cache-Control": "no-cache"}
        return FileResponse(HERE / "static" / "worker.js", media_type="text/javascript", headers=headers)

    async def day(self, request: Request, day: str = "") -> Response:
        """The visitor's own day, with what their page needs to tell what comes of it."""
        who = principal_of(request)
        wanted = day if len(day) == 10 else self._book.today()
        found = await stops(self._engine, self._its, who.name, wanted)
        return _json(
            {"user": who.name, "csrf": who.csrf, "day": wanted, "now": self._engine.now(), "stops": found}
            | asked(self._its, self._engine)
        )

    async def told(self, request: Request, what: Annotated[Told, Body()]) -> Response:
        """Take what happened, one after the other; each is answered, whatever becomes of the others."""
        visitor, results = principal_of(request).name, []
        for item in what.items:
            async with self._turn:
                try:
                    results.append(msgspec.to_builtins(await self._results.take(item, visitor)))
                except CommandRefusedError as error:
                    results.append(
                        {"id": str(item.id), "status": "refused", "why": error.kind, "detail": str(error)}
                    )
        return _json({"results": results})

    async def photo(
        self,
        request: Request,
        visit: uuid.UUID,
        photo: uuid.UUID,
        x_sha256: Annotated[str, Header(max_length=64)],
    ) -> Response:
        """Keep a photo."""
        content = await request.body()
        title = self.pages.texts.get(self._its.language, "history.photo", day=self._book.today())
        async with self._turn:
            made = await photos.keep(
                self._engine,
                self._its,
                principal_of(request).name,
                str(visit),
                str(photo),
                content,
                x_sha256,
                title,
            )
        return _json(made)

    async def plan_page(self, request: Request) -> Response:
        """The visits of the last days and those to come, and the form by which an account is handed over."""
        today = dt.date.fromisoformat(self._book.today())
        visits = (await self._book.since((today - BEFORE).isoformat()))[:MOST_PLANNED]
        known = await self._engine.accounts.summaries({AccountId(one.account) for one in visits})
        return self.plans.page(
            request,
            "plan.html",
            visits=visits,
            known=known,
            visitors=self._its.visitors,
            today=self._book.today(),
        )

    async def hand_over(self, request: Request, what: Annotated[HandOver, Body()]) -> Response:
        """Hand an account over, and give it to a visitor."""
        by = principal_of(request).actor
        account = (await self._engine.accounts.find([what.account], what.portfolio)).get(what.account)
        if account is None:
            raise Problem(
                404, "unknown", f"there is no account {what.account} in the portfolio {what.portfolio}"
            )
        async with self._turn:
            visit = await self._book.propose(account, by=by, note=what.note)
            if what.visitor:
                visit = await self._book.assign(visit, what.visitor, what.day or self._book.today())
        return _json(visit)

    async def take_back(self, visit: uuid.UUID) -> Response:
        """Cancel a visit that has not been begun."""
        async with self._turn:
            return _json(await self._book.withdraw(await self._book.get(str(visit)), cancel=True))


def _json(what: Any) -> Response:
    return Response(msgspec.json.encode(what), media_type="application/json")
