"""The application: core routes under `/api/v1`, plugins' routes beside them, the guard around all.

It owns how the parts are put together, and the OpenAPI document at `/api/v1/openapi.json`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from dialer_core.http import (
    accounts,
    agents,
    calls,
    campaigns,
    desk,
    events,
    leads,
    portfolio,
    problems,
    recordings,
    supervision,
    system,
)
from dialer_core.http.answers import ApiParts, components
from dialer_core.http.guard import PREFIX, Guard
from dialer_core.http.tokens import Tokens
from dialer_core.plugin_host import Plugin

CORE_ROUTERS = (
    campaigns.router,
    agents.router,
    desk.router,
    supervision.router,
    recordings.router,
    calls.router,
    leads.router,
    accounts.router,
    portfolio.router,
    events.router,
    system.router,
)


def create_app(parts: ApiParts, tokens: Tokens, plugin_routes: Sequence[tuple[Plugin, Any]] = ()) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    parts
        What stands behind the routes.
    tokens
        Who may ask.
    plugin_routes
        Each plugin with the router it returned; one that does not fit disables its plugin.
    """
    app = FastAPI(
        title="Marcador",
        version=importlib.metadata.version("marcador"),
        description="Commands and state of one node. Every request carries the bearer token; every error is "
        "application/problem+json.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    problems.install(app)
    for router in CORE_ROUTERS:
        app.include_router(router, prefix=PREFIX)
    for plugin, router in plugin_routes:
        _mount(app, plugin, router)
    app.add_middleware(Guard, tokens=tokens)
    app.openapi = _openapi(app)  # type: ignore[method-assign]
    return app


def _mount(app: FastAPI, plugin: Plugin, router: object) -> None:
    if not isinstance(router, APIRouter):
        plugin.disable(f"dialer_register_routes returned a {type(router).__name__}, not a fastapi.APIRouter")
        return
    taken = set(_paths(app.routes))
    wanted = list(_paths(router.routes))
    if clash := next((f"{method} {path}" for method, path in wanted if (method, path) in taken), ""):
        plugin.disable(f"its route {clash} is taken by the core or by another plugin")
        return
    app.include_router(router, tags=[plugin.name])


def _paths(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(routes):
        for method in sorted(route.methods or ()):
            yield method, route.path or ""


def _openapi(app: FastAPI) -> Any:
    make = app.openapi

    def with_shapes() -> dict[str, Any]:
        """FastAPI describes requests; the answers' shapes are msgspec's and are added here."""
        if app.openapi_schema is None:
            document = make()
            document.setdefault("components", {}).setdefault("schemas", {}).update(components())
            app.openapi_schema = document
        return app.openapi_schema

    return with_shapes
