"""Agents' states pushed over HTTP, by whatever knows them: a PBX's script, a workforce tool, a CRM.

It owns the route `POST /api/v1/agent-states` and what was pushed last. Who pushes has a token of its own with the scope `pbx`. Settings:
`plugins/agent_state_http.toml`. Which agents it speaks for says `state_from = "agent_state_http"` in `agents.toml`; the order of words, and what
they lead to, are the engine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from dialer_core.plugin_api import (
    AgentReport,
    AgentStates,
    AgentStateSource,
    CommandRefusedError,
    EngineHandle,
    NotRunningError,
    Presence,
    Problem,
    ReportsTaken,
    Scope,
    hookimpl,
    needs,
)

AGAIN_S = 1.0
"""What was pushed is told again so often: an engine that has just started knows nothing."""
LEAST_S = 0.5


class PushSettings(BaseModel):
    """`plugins/agent_state_http.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stale_after_s: Annotated[float, Field(ge=2, le=3600)] = 30.0
    """Without a push for so long, empty or not, nobody of these agents is dialed for."""


class PushedState(BaseModel):
    """How one agent is."""

    model_config = ConfigDict(extra="forbid")

    agent: Annotated[str, Field(min_length=1, max_length=64)]
    """Their id, or their `member` in `agents.toml`."""
    state: Presence
    reason: Annotated[str, Field(max_length=48)] = ""
    """Of a pause."""
    sequence: Annotated[int, Field(ge=0, lt=1 << 62)] | None = None
    """Grows with every word on this agent."""
    at: AwareDatetime | None = None
    """Or when it became so."""

    @model_validator(mode="after")
    def _ordered(self) -> PushedState:
        if (self.sequence is None) == (self.at is None):
            msg = "give either sequence or at: what is not newer than the last word is ignored"
            raise ValueError(msg)
        return self

    def report(self) -> AgentReport:
        """Return it as the engine takes it."""
        at = self.at.astimezone(dt.UTC) if self.at is not None else None
        order = self.sequence if at is None else int(at.timestamp() * 1_000_000)
        return AgentReport(agent=self.agent, state=self.state, order=order or 0, reason=self.reason)


class Push(BaseModel):
    """What is pushed: states, or none to say that all is as it was."""

    model_config = ConfigDict(extra="forbid")

    states: Annotated[list[PushedState], Field(max_length=2000)] = []


class Taken(BaseModel):
    """What became of a push."""

    changed: int
    late: int
    """Not newer than what was known: ignored."""
    unknown: list[str]
    """Nobody with this source is called that."""


class PushedStates:
    """What was pushed last, told to the engine for as long as it may be believed."""

    def __init__(self, settings: PushSettings, tell: AgentStates) -> None:
        self._stale_after_s = settings.stale_after_s
        self._tell = tell
        self._known: dict[str, AgentReport] = {}
        self._until_s = 0.0

    async def run(self, tell: AgentStates) -> None:
        """Tell what is known again and again: the engine may be another one since."""
        while True:
            left_s = self._until_s - asyncio.get_running_loop().time()
            if left_s >= LEAST_S:
                with contextlib.suppress(NotRunningError):  # told again in a moment
                    await tell.tell(list(self._known.values()), stale_after_s=left_s)
            await asyncio.sleep(AGAIN_S)

    async def take(self, states: list[PushedState]) -> ReportsTaken:
        """Take a push; raises as the handle's commands."""
        new = [state.report() for state in states]
        taken = await self._tell.tell(new, stale_after_s=self._stale_after_s)
        self._until_s = asyncio.get_running_loop().time() + self._stale_after_s
        for report in new:
            before = self._known.get(report.agent)
            if report.agent not in taken.unknown and (before is None or before.order < report.order):
                self._known[report.agent] = report
        return taken


_running: list[PushedStates] = []


@hookimpl
def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at the settings."""
    engine.settings(PushSettings)


@hookimpl
def dialer_startup(engine: EngineHandle) -> None:
    """Read the settings."""
    _running[:] = [PushedStates(engine.settings(PushSettings), engine.agent_states)]


@hookimpl
def dialer_register_agent_states() -> AgentStateSource:
    """Speak for the agents who are pushed."""
    return _running[0]


@hookimpl
def dialer_register_routes() -> APIRouter:
    """Take pushes; like every route it asks for a token."""
    (pushed,) = _running
    router = APIRouter(tags=["agents"])

    async def push(said: Annotated[Push, Body()]) -> Any:
        """Say how agents of another system are. At least every `stale_after_s`, without states too; the same again changes nothing."""
        try:
            taken = await pushed.take(said.states)
        except NotRunningError as error:
            raise Problem(503, "not_running", str(error)) from None
        except CommandRefusedError as error:
            raise Problem(422, "invalid", str(error)) from None
        return Taken(changed=taken.changed, late=taken.late, unknown=list(taken.unknown))

    router.add_api_route(
        "/api/v1/agent-states", push, methods=["POST"], response_model=Taken, name="agent-states",
        dependencies=[needs(Scope.PBX)],
    )  # fmt: skip
    return router
