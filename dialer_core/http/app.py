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
    chats,
    desk,
    documents,
    events,
    guidance,
    leads,
    messages,
    portfolio,
    push,
    recordings,
    reports,
    supervision,
    system,
    users,
)
from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts, components
from dialer_core.http.guard import PREFIX, Guard
from dialer_core.http.login import create_router, error_page
from dialer_core.http.oidc import Oidc
from dialer_core.plugin_host import Plugin, PluginState
from dialer_core.web import problems
from dialer_core.web.needs import needs
from dialer_core.web.pages import PageLink
from dialer_core.web.principals import Scope

CORE_ROUTERS = (
    campaigns.router,
    agents.router,
    desk.router,
    supervision.router,
    recordings.router,
    calls.router,
    leads.router,
    accounts.router,
    documents.router,
    guidance.router,
    portfolio.router,
    messages.router,
    chats.router,
    chats.desk_router,
    reports.router,
    events.router,
    push.router,
    users.router,
    system.router,
)


def create_app(
    parts: ApiParts,
    access: Access,
    plugin_routes: Sequence[tuple[Plugin, Any]] = (),
    plugin_pages: Sequence[tuple[Plugin, Any]] = (),
    oidc: Oidc | None = None,
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    parts
        What stands behind the routes.
    access
        Finds out who asks.
    plugin_routes
        Each plugin with the router it returned; one that does not fit disables its plugin.
    plugin_pages
        Each plugin with the pages it returned, as `PageLink`.
    oidc
        By which people may log in beside their password.
    """
    app = FastAPI(
        title="Marcador",
        version=importlib.metadata.version("marcador"),
        description="Commands and state of one node. Every request carries a bearer token; every error is "
        "application/problem+json.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    app.state.signing_key = access.signing_key
    problems.install(app, error_page)
    for router in CORE_ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.state.links = [link for plugin, links in plugin_pages for link in _links(plugin, links)]
    app.include_router(
        create_router(access, app.state.links, oidc)
    )  # before the plugins: the log-in is nobody else's
    for plugin, router in plugin_routes:
        _mount(app, plugin, router)
    app.add_middleware(Guard, access=access)
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
    # a route that names no scope is not everybody's: agents may log in, and not see what supervisors see
    own = all(
        any(_is_scope(one) for one in route.dependencies or ())
        for route in iter_route_contexts(router.routes)
    )
    app.include_router(router, tags=[plugin.name], dependencies=[] if own else [needs(Scope.READ)])


def _is_scope(dependency: object) -> bool:
    return bool(getattr(dependency, "scopes", None))


def _links(plugin: Plugin, links: object) -> list[PageLink]:
    found = list(links) if isinstance(links, list | tuple) else [links]
    if plugin.state is not PluginState.RUNNING:
        return []
    pages = [link for link in found if isinstance(link, PageLink)]
    if len(pages) != len(found):
        plugin.disable("dialer_register_pages returned something else than PageLinks")
        return []
    return pages


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
