"""Voice broadcast: what came of the calls that a flow spoke to, per campaign and step, at `/api/v1/broadcasts`.

It owns the counting. It uses what any plugin gets: the event log, the handle and a route; the flow itself is the campaign's
(`flow = "NAME"`), its voice another plugin's. Counts begin with what the log holds, so a restart of the host
loses nothing.
"""

from __future__ import annotations

from fastapi import APIRouter

from dialer_core.plugin_api import EngineHandle, Event, StoredEvent, hookimpl
from plugins.voice_broadcast.tally import Broadcast, Tally

_running: list[Tally] = []


@hookimpl
async def dialer_startup(engine: EngineHandle) -> None:
    """Count what the log holds already."""
    tally = Tally()
    _running[:] = [tally]
    await tally.catch_up(engine)


@hookimpl
def dialer_register_routes(engine: EngineHandle) -> APIRouter:
    """Serve the counts; like every route it asks for the API's token."""
    del engine
    (tally,) = _running
    router = APIRouter(tags=["broadcasts"])

    async def broadcasts() -> dict[str, Broadcast]:
        """Every campaign whose flow has spoken to somebody, by its id."""
        return tally.broadcasts

    router.add_api_route(
        "/api/v1/broadcasts", broadcasts, response_model=dict[str, Broadcast], name="broadcasts"
    )
    return router


@hookimpl
async def dialer_track_event(event: Event, stored: StoredEvent) -> None:
    """Count one event."""
    for tally in _running:
        tally.count(event, stored)


@hookimpl
def dialer_shutdown() -> None:
    """Forget."""
    _running.clear()
