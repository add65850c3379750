"""Voice broadcast: what came of the calls that a flow spoke to, per campaign and step, at `/api/v1/broadcasts`.

It owns the counting. It uses what any plugin gets: the handle, which reads the event log, and a route; the flow itself is the campaign's
(`flow = "NAME"`), its voice another plugin's. Whoever asks has the log read on from where it was read last, of every node: a host
that was away misses nothing.
"""

from __future__ import annotations

from fastapi import APIRouter

from dialer_core.plugin_api import EngineHandle, hookimpl
from plugins.voice_broadcast.tally import Broadcast, Tally


@hookimpl
def dialer_register_routes(engine: EngineHandle) -> APIRouter:
    """Serve the counts; like every route it asks for the API's token."""
    tally = Tally()
    router = APIRouter(tags=["broadcasts"])

    async def broadcasts() -> dict[str, Broadcast]:
        """Every campaign whose flow has spoken to somebody, by its id."""
        await tally.read_on(engine)
        return tally.broadcasts

    router.add_api_route(
        "/api/v1/broadcasts", broadcasts, response_model=dict[str, Broadcast], name="broadcasts"
    )
    return router
