"""Routes of the agents' inbox: chats that wait for a person, taken, put back, given to their flow again, closed.

The rules are `messaging/chats.py`'s, through the same handle that plugins have.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.answers import Engine, answer, shape
from dialer_core.plugin_api import AgentId, ChatRow, ChatState
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope

router = APIRouter(prefix="/chats", tags=["chats"])

READS = [needs(Scope.RECORDS)]
WRITES = [needs(Scope.CONTROL), needs(Scope.RECORDS)]
_CHAT = shape(ChatRow, "The chat as it is now")


class Taker(BaseModel):
    """Who takes a chat."""

    model_config = ConfigDict(extra="forbid")
    agent: Annotated[str, Field(min_length=1, max_length=64)]


@router.get("", responses=shape(list[ChatRow], "Those that wait longest first"), dependencies=READS)
async def list_chats(
    engine: Engine,
    state: Annotated[ChatState, Query()] = ChatState.WAITING,
    agent: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Return chats in a state, at most 200; with an agent, theirs, or those waiting that they may take."""
    return answer(await engine.chats.in_state(state, agent=AgentId(agent) if agent else None))


@router.post("/{chat}/take", responses=_CHAT, dependencies=WRITES)
async def take_chat(chat: UUID, engine: Engine, who: Annotated[Taker, Body()]) -> Response:
    """Give a chat to an agent, who has its skills and room for it."""
    return answer(await engine.chats.take(str(chat), AgentId(who.agent)))


@router.post("/{chat}/{what}", responses=_CHAT, dependencies=WRITES)
async def move_chat(chat: UUID, what: Literal["put-back", "to-bot", "close"], engine: Engine) -> Response:
    """Let somebody else take it, give it to its flow again, or close it."""
    its = engine.chats
    move = {"put-back": its.put_back, "to-bot": its.to_bot, "close": its.close}[what]
    return answer(await move(str(chat)))
