"""What routes share: the parts behind the API, who asks, and answers in the shapes of our structs.

It owns no route.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response

from dialer_core.campaigns.day import CampaignDay, Window
from dialer_core.campaigns.forecast import Forecast
from dialer_core.compliance.rules import RulePack
from dialer_core.http.desk_rights import DeskRights
from dialer_core.messaging.scripts import Script
from dialer_core.plugin_api import EngineHandle, NextStep, StepFacts
from dialer_core.plugin_host import PluginView
from dialer_core.reports.floor import AgentDay
from dialer_core.settings import Settings
from dialer_core.store import off_loop
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId
from dialer_core.web.needs import principal_of
from dialer_core.web.problems import MEDIA_TYPE, ProblemDocument
from dialer_core.web.streams import Seats

T = TypeVar("T")
MOST_STREAMS = 32
"""Streams of events at once: each reads the store on its own."""
REF = "#/components/schemas/{name}"
_shapes: dict[str, Any] = {}
"""Schemas of the answers' structs, written by msgspec, for the OpenAPI document; `shape` enters them."""


async def _nobody(facts: StepFacts) -> tuple[str, NextStep] | None:
    """Have no answer: no plugin is asked."""
    del facts
    return None


@dataclass(slots=True)
class ApiParts:
    """What stands behind the API."""

    engine: EngineHandle
    database: Database
    plugins: Callable[[], Sequence[PluginView]]
    settings: Settings
    packs: Mapping[str, RulePack]
    """Rule packs by name."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the host stops: streams end."""
    streams: Seats = field(default_factory=lambda: Seats(MOST_STREAMS, MOST_STREAMS // 4))
    """Event streams open now."""
    days: dict[CampaignId, tuple[dt.datetime, asyncio.Future[CampaignDay]]] = field(default_factory=dict)
    """Each campaign's day as last asked for, and when: many screens ask for it."""
    forecasts: dict[CampaignId, tuple[dt.datetime, Forecast, tuple[Window, ...]]] = field(
        default_factory=dict
    )
    """What each campaign can still dial and how many it has abandoned, as last counted, and when."""
    floor: tuple[dt.datetime, tuple[AgentDay, ...]] | None = None
    """Every agent's day as last asked for, and when."""
    scripts: Mapping[str, Script] = field(default_factory=dict)
    """What agents say, by name."""
    choose_step: Callable[[StepFacts], Awaitable[tuple[str, NextStep] | None]] = _nobody
    """Asks the plugins what is best done next about an account."""
    rights: DeskRights = field(init=False)

    def __post_init__(self) -> None:
        self.rights = DeskRights(self.engine, self.database)

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Ask the store, in a thread."""
        return await off_loop.read(self.database, work)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Write into the store, in one transaction and in a thread."""
        return await off_loop.write(self.database, work)


def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


def _engine(request: Request) -> EngineHandle:
    return _parts(request).engine.acting_as(principal_of(request).actor)


Parts = Annotated[ApiParts, Depends(_parts)]
Engine = Annotated[EngineHandle, Depends(_engine)]


def answer(value: Any) -> Response:
    """Return a value as JSON; a command that returns nothing answers an empty object."""
    return Response(msgspec.json.encode({} if value is None else value), media_type="application/json")


def shape(kind: Any, description: str) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses`: a good answer's shape, and that every error is a problem document."""
    (schema, _), found = msgspec.json.schema_components([kind, ProblemDocument], ref_template=REF)
    _shapes.update(found)
    return {
        200: {"description": description, "content": {"application/json": {"schema": schema}}},
        "default": {
            "description": "What is wrong, and what would be right",
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="ProblemDocument")}}},
        },
    }


def components() -> dict[str, Any]:
    """Return the schemas of every shape that a route has named, for the OpenAPI document."""
    return dict(_shapes)
