"""Routes of agents: what each is doing, and log-in, ready, pause, log-out, disposition."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Body, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.answers import Engine, Parts, answer, shape
from dialer_core.http.campaigns import NO_REASON, WhyBody
from dialer_core.plugin_api import AgentId, AgentView, AttemptId, CampaignId
from dialer_core.web.needs import at_a_desk, needs, needs_own, principal_of
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/agents", tags=["agents"])

Name = Annotated[str, Path(max_length=64, description="The agent's name in agents.toml")]


class PauseReason(BaseModel):
    """Why an agent takes nobody for a while."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=48)]


class AgentDisposition(BaseModel):
    """What the agent says their present or last conversation was."""

    model_config = ConfigDict(extra="forbid")
    disposition: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9_]+$")]
    callback_at: AwareDatetime | None = None
    """When they asked to be called, for `callback`; by default a day later."""
    reason: Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9_]+$")] | None = None
    """Why they do not pay."""


class Move(BaseModel):
    """For whom an agent is to work."""

    model_config = ConfigDict(extra="forbid")
    campaigns: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=200)]
    """From the next person on; empty: those of `agents.toml`."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """For whom an agent works now."""

    agent: str
    campaigns: tuple[str, ...]


class OwnDisposition(AgentDisposition):
    """What an agent says a conversation was."""

    attempt: UUID | None = None
    """Which; by default their present or last one. One of the last hours that was theirs."""


@router.get("", dependencies=[needs(Scope.READ)], responses=shape(tuple[AgentView, ...], "Every agent now"))
async def list_agents(engine: Engine) -> Response:
    """Every agent now."""
    return answer((await engine.status()).agents)


@router.get("/{agent}", dependencies=[needs_own(Scope.READ)], responses=shape(AgentView, "The agent now"))
async def get_agent(agent: Name, engine: Engine) -> Response:
    """One agent now."""
    for view in (await engine.status()).agents:
        if view.id == agent:
            return answer(view)
    raise Problem(404, "unknown", "there is no such agent; GET /api/v1/agents lists them")


class OwnAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an agent talks to, or last talked to."""

    account_id: str | None
    attempt_id: str | None


@router.get(
    "/{agent}/account", dependencies=[needs_own(Scope.RECORDS)], responses=shape(OwnAccount, "The ids")
)
async def get_account_of_agent(agent: Name, parts: Parts) -> Response:
    """The account of the agent's present or last conversation, for who has just opened their desk."""
    if (view := await parts.rights.view(agent)) is not None:
        attempt = view.attempt_id or view.last_attempt_id
        return answer(OwnAccount(account_id=await parts.rights.account_of(agent), attempt_id=attempt))
    raise Problem(404, "unknown", "there is no such agent; GET /api/v1/agents lists them")


@router.post("/{agent}/login", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Done"))
async def login_agent(agent: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Call the agent's softphone and keep the leg."""
    return answer(await engine.agents.login(AgentId(agent), reason=why.reason))


@router.post("/{agent}/ready", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Done"))
async def ready_agent(agent: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Offer people to the agent; ends a pause or wrap-up."""
    return answer(await engine.agents.ready(AgentId(agent), reason=why.reason))


@router.post("/{agent}/pause", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Done"))
async def pause_agent(agent: Name, engine: Engine, why: Annotated[PauseReason, Body()]) -> Response:
    """Offer nobody to the agent; the conversation they have goes on. A reason is required."""
    return answer(await engine.agents.pause(AgentId(agent), reason=why.reason))


@router.post("/{agent}/finishing", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Done"))
async def finishing_agent(agent: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Say that the agent is about to be done, their disposition form open: pacing then knows better when they are free."""
    return answer(await engine.agents.finishing(AgentId(agent), reason=why.reason))


@router.post("/{agent}/logout", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Done"))
async def logout_agent(agent: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """End the agent's leg and log-in."""
    return answer(await engine.agents.logout(AgentId(agent), reason=why.reason))


@router.post(
    "/{agent}/campaigns",
    dependencies=[needs(Scope.CONTROL)],
    responses=shape(Moved, "For whom they work now"),
)
async def move_agent(agent: Name, engine: Engine, what: Annotated[Move, Body()]) -> Response:
    """Let an agent work for other campaigns, over restarts; the conversation they have goes on."""
    return answer(await engine.agents.move(AgentId(agent), [CampaignId(name) for name in what.campaigns]))


@router.get(
    "/{agent}/preview", dependencies=[needs_own(Scope.READ)], responses=shape(dict, "What they are shown")
)
async def get_preview(agent: Name, engine: Engine) -> Response:
    """The lead that the agent is shown, in a campaign of mode preview; empty while there is none."""
    return answer(await engine.agents.preview(AgentId(agent)))


@router.post(
    "/{agent}/preview/accept", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Being dialed")
)
async def accept_preview(agent: Name, engine: Engine) -> Response:
    """Dial the lead that the agent is shown; the gate decides once more."""
    return answer(await engine.agents.accept(AgentId(agent)))


@router.post("/{agent}/preview/skip", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Done"))
async def skip_preview(agent: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Do not dial the lead that the agent is shown; the next one comes."""
    return answer(await engine.agents.skip(AgentId(agent), reason=why.reason))


class NextNumber(BaseModel):
    """What the call before was, if the agent says so in the same breath."""

    model_config = ConfigDict(extra="forbid")
    disposition: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9_]+$")] | None = None
    reason: Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9_]+$")] | None = None
    """Why they do not pay."""


NOTHING_SAID = NextNumber()


@router.post(
    "/{agent}/next_number", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Being dialed")
)
async def dial_next_number(
    agent: Name, engine: Engine, said: Annotated[NextNumber, Body()] = NOTHING_SAID
) -> Response:
    """Dial the next number of the person the agent talks to, or has just talked to, for this agent alone; the gate and its caps decide."""
    return answer(
        await engine.agents.next_number(AgentId(agent), disposition=said.disposition, reason=said.reason)
    )


@router.post("/{agent}/disposition", dependencies=[needs_own(Scope.CONTROL)], responses=shape(dict, "Stored"))
async def dispose(
    agent: Name, request: Request, engine: Engine, parts: Parts, said: Annotated[OwnDisposition, Body()]
) -> Response:
    """Store what the agent says a conversation of theirs was; ends their wrap-up where it is of that one."""
    attempt = AttemptId(str(said.attempt)) if said.attempt else None
    if attempt and at_a_desk(principal_of(request)) and not await parts.rights.had(agent, attempt):
        raise Problem(403, "forbidden", "this was no conversation of this agent's, or it is long over")
    return answer(
        await engine.attempts.disposition(
            said.disposition, agent=AgentId(agent), attempt=attempt, callback_at=said.callback_at, reason=said.reason
        )
    )  # fmt: skip
