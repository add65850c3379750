"""Routes of live attempts, and of what is said of an attempt."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.agents import AgentDisposition
from dialer_core.http.answers import Engine, answer, shape
from dialer_core.plugin_api import AgentId, AttemptId, CallView
from dialer_core.web.needs import needs, needs_any, principal_of
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(tags=["calls"])


class AttemptDisposition(AgentDisposition):
    """What an agent says a conversation was."""

    agent: Annotated[str, Field(max_length=64)]


@router.get(
    "/calls", dependencies=[needs(Scope.READ)], responses=shape(tuple[CallView, ...], "Every live attempt")
)
async def list_calls(engine: Engine) -> Response:
    """Every live attempt."""
    return answer(await engine.calls.list())


@router.post(
    "/calls/{attempt}/hangup",
    dependencies=[needs_any(Scope.CONTROL, Scope.DESK)],
    responses=shape(dict, "Under way"),
)
async def hang_up(attempt: UUID, request: Request, engine: Engine) -> Response:
    """End one attempt: CANCEL before the answer, BYE after it. An agent at their desk may end their own conversation."""
    who = principal_of(request)
    if Scope.CONTROL not in who.scopes:
        agents = (await engine.status()).agents
        if not any(one.id == who.agent and one.attempt_id == str(attempt) for one in agents):
            raise Problem(403, "forbidden", "an agent ends their own conversation only")
    return answer(await engine.calls.hangup(AttemptId(str(attempt))))


class Connected(BaseModel):
    """That one of a queue's agents has a call."""

    model_config = ConfigDict(extra="forbid")

    agent: Annotated[str, Field(max_length=64)] = ""
    """Which of `agents.toml`; empty: it is not known."""


@router.post(
    "/calls/{attempt}/connected",
    dependencies=[needs_any(Scope.CONTROL, Scope.PBX)],
    responses=shape(dict, "Who has it"),
)
async def connected(attempt: UUID, engine: Engine, said: Annotated[Connected, Body()]) -> Response:
    """Say that an agent of the PBX's queue has this call (`X-Marcador-Attempt` of the INVITE); again: nothing changes."""
    return answer(await engine.agent_states.connected(AttemptId(str(attempt)), said.agent))


@router.post(
    "/attempts/{attempt}/disposition", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Stored")
)
async def dispose_attempt(
    attempt: UUID, engine: Engine, said: Annotated[AttemptDisposition, Body()]
) -> Response:
    """Store what an agent says this attempt was."""
    return answer(
        await engine.attempts.disposition(
            said.disposition,
            agent=AgentId(said.agent),
            attempt=AttemptId(str(attempt)),
            callback_at=said.callback_at,
            reason=said.reason,
        )
    )
