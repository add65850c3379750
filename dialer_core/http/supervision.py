"""Routes of supervisors: listen, whisper, barge, take over, force an agent's state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.agents import Name
from dialer_core.http.answers import Engine, answer, shape
from dialer_core.plugin_api import AgentId
from dialer_core.vocabulary import SupervisionMode
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope

router = APIRouter(tags=["supervision"], dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))

Supervisor = Annotated[str, Path(max_length=64, description="An extension with supervises = true")]


class Supervise(BaseModel):
    """Whom to be with, and how."""

    model_config = ConfigDict(extra="forbid")
    agent: Annotated[str, Field(max_length=64)]
    mode: SupervisionMode = SupervisionMode.LISTEN


class Force(BaseModel):
    """What an agent is to be."""

    model_config = ConfigDict(extra="forbid")
    state: Annotated[str, Field(pattern="^(ready|paused|logged_out)$")]
    reason: Annotated[str, Field(min_length=1, max_length=48)] = "supervisor"
    now: bool = False
    """Also out of a conversation: its customer goes to the next agent."""


@router.post("/supervisors/{supervisor}/supervise")
async def supervise(supervisor: Supervisor, engine: Engine, what: Annotated[Supervise, Body()]) -> Response:
    """Call the supervisor's phone, where it is not up, and be with an agent in all their conversations; again: switch mode or agent."""
    return answer(await engine.supervision.supervise(supervisor, AgentId(what.agent), what.mode))


@router.post("/supervisors/{supervisor}/stop")
async def stop(supervisor: Supervisor, engine: Engine) -> Response:
    """Hang the supervisor's phone up."""
    return answer(await engine.supervision.stop(supervisor))


@router.post("/supervisors/{supervisor}/take_over")
async def take_over(supervisor: Supervisor, engine: Engine) -> Response:
    """Give the customer of the agent they are with to the supervisor; the agent goes into wrap-up."""
    return answer(await engine.supervision.take_over(supervisor))


@router.post("/agents/{agent}/state")
async def force(agent: Name, engine: Engine, what: Annotated[Force, Body()]) -> Response:
    """Make an agent ready, paused or logged out, by a supervisor's word."""
    done = await engine.supervision.force(AgentId(agent), what.state, reason=what.reason, now=what.now)
    return answer(done)
