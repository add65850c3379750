"""Prometheus metrics at `/metrics` and `/api/v1/metrics`: events counted, the engine's status as gauges.

It owns the hooks; `collect.py` owns the metrics. It is the smallest complete plugin: read it to write one.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from dialer_core.plugin_api import EngineHandle, Event, hookimpl
from plugins.metrics.collect import CONTENT_TYPE, Metrics

PATHS = ("/metrics", "/api/v1/metrics")

_running: list[Metrics] = []


@hookimpl
def dialer_startup() -> None:
    """Begin counting."""
    _running[:] = [Metrics()]


@hookimpl
def dialer_register_routes(engine: EngineHandle) -> APIRouter:
    """Serve the text that Prometheus scrapes; like every route it asks for the API's token."""
    (metrics,) = _running
    router = APIRouter()

    async def scrape() -> Response:
        """Every metric now, as Prometheus text."""
        return Response(await metrics.scrape(engine), media_type=CONTENT_TYPE)

    for path in PATHS:
        router.add_api_route(path, scrape, response_class=Response, name=f"metrics {path}")
    return router


@hookimpl
async def dialer_track_event(event: Event) -> None:
    """Count one event.

    Asynchronous because it is short: a plain function would cross to the plugin's thread each time.
    """
    for metrics in _running:
        metrics.count(event)


@hookimpl
def dialer_shutdown() -> None:
    """Forget."""
    _running.clear()
