"""What routes share: the parts behind the API, who asks, and answers in the shapes of our structs.

It owns no route.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response

from dialer_core.campaigns.day import CampaignDay
from dialer_core.campaigns.forecast import Forecast
from dialer_core.compliance.rules import RulePack
from dialer_core.plugin_api import EngineHandle
from dialer_core.plugin_host import PluginView
from dialer_core.settings import Settings
from dialer_core.store import claims
from dialer_core.store.database import Database
from dialer_core.vocabulary import AttemptId, CampaignId
from dialer_core.web.needs import principal_of
from dialer_core.web.problems import MEDIA_TYPE, ProblemDocument

REF = "#/components/schemas/{name}"
MOST_ACCOUNTS = 5000
_shapes: dict[str, Any] = {}
"""Schemas of the answers' structs, written by msgspec, for the OpenAPI document; `shape` enters them."""


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
    streams: int = 0
    """Event streams open now."""
    days: dict[CampaignId, tuple[dt.datetime, asyncio.Future[CampaignDay]]] = field(default_factory=dict)
    """Each campaign's day as last asked for, and when: many screens ask for it."""
    identified: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """The account about which each agent has made sure to whom they talk, and the conversation in which they did: in the next one they
    do not know yet who has answered."""
    account_of_attempt: dict[str, str] = field(default_factory=dict)
    """The account of each attempt asked for lately."""
    forecasts: dict[CampaignId, tuple[dt.datetime, Forecast]] = field(default_factory=dict)

    async def attempt_of(self, agent: str) -> str | None:
        """Return the attempt of an agent's present conversation, or of their last."""
        for view in (await self.engine.status()).agents:
            if view.id == agent:
                return view.attempt_id or view.last_attempt_id
        return None

    async def account_of(self, agent: str) -> str | None:
        """Return the account of an agent's present conversation, or of their last."""
        attempt = await self.attempt_of(agent)
        return await self._account(attempt) if attempt else None

    async def _account(self, attempt_id: str) -> str | None:
        def ask() -> str | None:
            with self.database.read() as tx:
                tried = claims.tried(tx, AttemptId(attempt_id))
            return tried.account_id if tried else None

        if attempt_id not in self.account_of_attempt:
            if (found := await asyncio.to_thread(ask)) is None:
                return None
            if len(self.account_of_attempt) > MOST_ACCOUNTS:
                self.account_of_attempt.clear()
            self.account_of_attempt[attempt_id] = found
        return self.account_of_attempt[attempt_id]


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
