"""Routes about the system itself: the engine's status, and the plugins."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dialer_core.http.answers import Engine, Parts, answer, shape
from dialer_core.plugin_api import Snapshot
from dialer_core.plugin_host import PluginView
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope

router = APIRouter(tags=["system"])


@router.get("/status", dependencies=[needs(Scope.READ)], responses=shape(Snapshot, "The engine now"))
async def get_status(engine: Engine) -> Response:
    """The engine at this moment: campaigns, agents, trunks, workers."""
    return answer(await engine.status())


@router.get(
    "/plugins", dependencies=[needs(Scope.READ)], responses=shape(tuple[PluginView, ...], "The plugins now")
)
async def list_plugins(parts: Parts) -> Response:
    """Every enabled plugin: its state, and why it is disabled where it is."""
    return answer(tuple(parts.plugins()))
