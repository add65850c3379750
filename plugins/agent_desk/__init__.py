"""The agent's desk at `/desk`: their state, who is on the line, what to do about it.

It owns the hooks and the routes. What an agent's own screen hears is put together in `floor.py`; all else the page asks of the API and
commands through it, as its user, whom the API lets see the account they talk about and no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from dialer_core.plugin_api import (
    AgentNoted,
    AgentStateChanged,
    AttemptBridged,
    AttemptCommitted,
    ChatStateChanged,
    EngineHandle,
    Event,
    EventStream,
    MessageReceived,
    NextStep,
    PageLink,
    Pages,
    Problem,
    Scope,
    Seats,
    StepFacts,
    hookimpl,
    needs,
    principal_of,
)
from plugins.agent_desk.floor import Floor
from plugins.agent_desk.next_step import default_step

PATH = "/desk"
ASSETS = f"{PATH}/assets"
MOST_DESKS = 600
"""Open at once: each holds a connection open."""

OF_DESKS = (
    AttemptCommitted,
    AttemptBridged,
    AgentStateChanged,
    AgentNoted,
    MessageReceived,
    ChatStateChanged,
)

_floors: list[Floor] = []


@hookimpl
def dialer_startup() -> None:
    """Begin with nobody at a desk."""
    _floors[:] = [Floor()]


@hookimpl
def dialer_register_pages() -> list[PageLink]:
    """The desk, for whoever is an agent."""
    return [PageLink(PATH, {"es": "Escritorio", "en": "Desk"}, Scope.DESK)]


@hookimpl
def dialer_register_routes(engine: EngineHandle) -> APIRouter:
    """Serve the page, its stream and its files."""
    (floor,) = _floors
    floor.engine = engine
    pages = Pages(Path(__file__).parent, ASSETS)
    router = APIRouter(include_in_schema=False)
    seats = Seats(MOST_DESKS)

    async def show(request: Request) -> Response:
        """The desk."""
        _agent(request)
        return pages.page(request, "desk.html")

    async def stream(request: Request) -> Response:
        """What the agent's own screen must know, as server-sent events."""
        agent = _agent(request)
        seat = seats.take(principal_of(request).actor)
        return EventStream(floor.watch(agent, request.state.still), seat)

    scope = [needs(Scope.DESK)]
    router.add_api_route(PATH, show, dependencies=scope)
    router.add_api_route(f"{PATH}/stream", stream, dependencies=scope)
    router.add_api_route(f"{ASSETS}/{{name}}", pages.assets.serve, dependencies=scope)
    return router


@hookimpl(trylast=True)
async def dialer_choose_next_step(facts: StepFacts) -> NextStep:
    """Say what to do where nobody else does, by rules that every collector knows."""
    return default_step(facts)


@hookimpl
async def dialer_track_event(event: Event) -> None:
    """Tell the desk whose agent something has happened to, at once."""
    if isinstance(event, OF_DESKS):
        for floor in _floors:
            floor.happened(event)


@hookimpl
async def dialer_shutdown() -> None:
    """Let the desks go."""
    for floor in _floors:
        floor.close()
    _floors.clear()
    await asyncio.sleep(0)


def _agent(request: Request) -> str:
    who = principal_of(request)
    if not who.agent:
        raise Problem(
            403, "forbidden", "this user is no agent of agents.toml: dialer users add … --agent NAME"
        )
    return who.agent
