"""Routes of what agents do with their conversation: hold, mute, digits, a third, transfer, a message, a longer wrap-up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.agents import Name
from dialer_core.http.answers import Engine, answer, shape
from dialer_core.plugin_api import AgentId
from dialer_core.vocabulary import RecordSwitch
from dialer_core.web.needs import needs_own
from dialer_core.web.principals import Scope

router = APIRouter(
    prefix="/agents/{agent}",
    tags=["desk"],
    dependencies=[needs_own(Scope.CONTROL)],
    responses=shape(dict, "Done"),
)


class Target(BaseModel):
    """To whom: another agent or a named extension."""

    model_config = ConfigDict(extra="forbid")
    to_agent: Annotated[str, Field(max_length=64)] = ""
    to_extension: Annotated[str, Field(max_length=64)] = ""


class Digits(BaseModel):
    """Digits to send."""

    model_config = ConfigDict(extra="forbid")
    digits: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9*#A-D]+$")]


class Seconds(BaseModel):
    """How long."""

    model_config = ConfigDict(extra="forbid")
    seconds: Annotated[float, Field(gt=0, le=900)]


class Switch(BaseModel):
    """What is to become of the recording."""

    model_config = ConfigDict(extra="forbid")
    switch: RecordSwitch


class CardField(BaseModel):
    """Where the agent's cursor is."""

    model_config = ConfigDict(extra="forbid")
    focused: bool


NO_TARGET = Target()


@router.post("/hold")
async def hold(agent: Name, engine: Engine) -> Response:
    """Play music to the customer; the agent hears nobody."""
    return answer(await engine.desk.hold(AgentId(agent)))


@router.post("/resume")
async def resume(agent: Name, engine: Engine) -> Response:
    """Take the customer back from hold."""
    return answer(await engine.desk.resume(AgentId(agent)))


@router.post("/mute")
async def mute(agent: Name, engine: Engine) -> Response:
    """Let nobody hear the agent."""
    return answer(await engine.desk.mute(AgentId(agent)))


@router.post("/unmute")
async def unmute(agent: Name, engine: Engine) -> Response:
    """Let everybody hear the agent again."""
    return answer(await engine.desk.mute(AgentId(agent), muted=False))


@router.post("/digits")
async def send_digits(agent: Name, engine: Engine, what: Annotated[Digits, Body()]) -> Response:
    """Send digits to the customer, or to the third the agent speaks to alone. Which ones is logged nowhere."""
    return answer(await engine.desk.digits(AgentId(agent), what.digits))


@router.post("/leave_message")
async def leave_message(agent: Name, engine: Engine) -> Response:
    """Leave the campaign's message with the machine that the agent hears, and free the agent."""
    return answer(await engine.desk.leave_message(AgentId(agent)))


@router.post("/consult")
async def consult(agent: Name, engine: Engine, to: Annotated[Target, Body()]) -> Response:
    """Put the customer on hold and call a third: a free agent, or an extension."""
    return answer(
        await engine.desk.consult(AgentId(agent), to_agent=to.to_agent, to_extension=to.to_extension)
    )


@router.post("/dismiss")
async def dismiss(agent: Name, engine: Engine) -> Response:
    """Let the third go, and take the customer back."""
    return answer(await engine.desk.dismiss(AgentId(agent)))


@router.post("/join")
async def join(agent: Name, engine: Engine) -> Response:
    """Bring customer, agent and third together."""
    return answer(await engine.desk.join(AgentId(agent)))


@router.post("/transfer")
async def transfer(agent: Name, engine: Engine, to: Annotated[Target, Body()] = NO_TARGET) -> Response:
    """Hand the customer on and leave: to a free agent or an extension, or, with neither named, to the third just consulted."""
    return answer(
        await engine.desk.transfer(AgentId(agent), to_agent=to.to_agent, to_extension=to.to_extension)
    )


@router.post("/recording")
async def record(agent: Name, engine: Engine, what: Annotated[Switch, Body()]) -> Response:
    """Begin or go on (`on`), `pause` while a card's number is said, end (`off`), or `discard`: they do not want it, and it is deleted."""
    return answer(await engine.desk.record(AgentId(agent), what.switch))


@router.post("/card_field")
async def card_field(agent: Name, engine: Engine, what: Annotated[CardField, Body()]) -> Response:
    """The cursor is in a field for a card's number (`focused`), or has left it: the recording pauses by itself, and goes on."""
    return answer(await engine.desk.card_field(AgentId(agent), focused=what.focused))


@router.post("/wrap_up")
async def extend_wrap_up(agent: Name, engine: Engine, more: Annotated[Seconds, Body()]) -> Response:
    """Let the agent's wrap-up go on for so long from now."""
    return answer(await engine.desk.extend_wrap_up(AgentId(agent), more.seconds))
