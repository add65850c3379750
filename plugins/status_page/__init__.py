"""The supervisor's status page at `/status`, `/status/wall` for a television, `/status/report` for a day on paper.

It owns the hooks and the routes. What is shown of the engine is put together once for all viewers (`board.py`), what deserves a supervisor's
eye is decided in `alerts.py`; everything else the page asks of the API and commands through it, as its user.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from dialer_core.plugin_api import (
    CallerIdHealthChanged,
    EngineHandle,
    Event,
    EventStream,
    PacingDecided,
    PageLink,
    Pages,
    Scope,
    Seats,
    hookimpl,
    needs,
    principal_of,
)
from plugins.status_page.alerts import Thresholds
from plugins.status_page.board import Board

PATH = "/status"
ASSETS = f"{PATH}/assets"
MOST_VIEWERS = 1000
"""Screens at once: each holds a connection open."""

_boards: list[Board] = []


@hookimpl
def dialer_startup() -> None:
    """Begin with an empty board."""
    _boards[:] = [Board()]


@hookimpl
def dialer_register_pages() -> list[PageLink]:
    """The status page, for whoever may see the status."""
    return [PageLink(PATH, {"es": "Operación", "en": "Operation"}, Scope.READ)]


@hookimpl
def dialer_register_routes(engine: EngineHandle) -> APIRouter:
    """Serve the pages, their stream and their files."""
    (board,) = _boards
    board.engine = engine
    pages = Pages(Path(__file__).parent, ASSETS)
    router = APIRouter(dependencies=[needs(Scope.READ)], include_in_schema=False)
    seats = Seats(MOST_VIEWERS)

    async def show(request: Request) -> Response:
        """The status page."""
        return pages.page(request, "status.html", records=Scope.CONTROL in request.state.principal.scopes)

    async def wall(request: Request) -> Response:
        """The same numbers, large, for a television across the room."""
        return pages.page(request, "wall.html")

    async def stream(request: Request) -> Response:
        """The engine's state as server-sent events: all of it first, then what changes."""
        await board.recall()
        return EventStream(board.watch(request.state.still), seats.take(principal_of(request).actor))

    async def report(request: Request) -> Response:
        """A day on paper."""
        return pages.page(request, "report.html")

    async def set_limits(limits: Annotated[Thresholds, Body()]) -> Response:
        """Say from when on something deserves an eye."""
        await board.set_limits(limits)
        return Response(status_code=204)

    scope = [needs(Scope.READ)]
    router.add_api_route(f"{PATH}/report", report, dependencies=scope)
    router.add_api_route(f"{PATH}/limits", set_limits, methods=["POST"], dependencies=[needs(Scope.CONTROL)])
    router.add_api_route(PATH, show, dependencies=scope)
    router.add_api_route(f"{PATH}/wall", wall, dependencies=scope)
    router.add_api_route(f"{PATH}/stream", stream, dependencies=scope)
    router.add_api_route(f"{ASSETS}/{{name}}", pages.assets.serve, dependencies=scope)
    return router


@hookimpl
async def dialer_track_event(event: Event) -> None:
    """Keep each pool's last pacing decision, to tell it in the reader's language, and which numbers that we call from alarm."""
    if isinstance(event, PacingDecided | CallerIdHealthChanged):
        for board in _boards:
            board.happened(event)


@hookimpl
async def dialer_shutdown() -> None:
    """Let the viewers go."""
    for board in _boards:
        board.close()
    _boards.clear()
    await asyncio.sleep(0)
