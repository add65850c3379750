"""Routes of the agents' inbox: chats that wait for a person, taken, put back, given to their flow again, closed; and of one agent's own.

The rules are `messaging/chats.py`'s, through the same handle that plugins have.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.agents import Name
from dialer_core.http.answers import Engine, answer, shape
from dialer_core.messaging.inbox_views import ChatTalk, InboxView
from dialer_core.plugin_api import AgentId, ChatRow, ChatState
from dialer_core.web.needs import needs, needs_own
from dialer_core.web.principals import Scope

router = APIRouter(prefix="/chats", tags=["chats"])

desk_router = APIRouter(
    prefix="/agents/{agent}/chats",
    tags=["chats"],
    dependencies=[needs_own(Scope.CONTROL), needs_own(Scope.RECORDS)],
)
"""What agents at their desks ask for: their own inbox, and nobody else's."""

READS = [needs(Scope.RECORDS)]
WRITES = [needs(Scope.CONTROL), needs(Scope.RECORDS)]
_CHAT = shape(ChatRow, "The chat as it is now")


class Taker(BaseModel):
    """Who takes a chat."""

    model_config = ConfigDict(extra="forbid")
    agent: Annotated[str, Field(min_length=1, max_length=64)]


class Answered(BaseModel):
    """What an agent writes back."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1, max_length=4096)]
    key: UUID
    """Your own id of it: sent again because no answer came, it is queued once."""


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


@desk_router.get("", responses=shape(InboxView, "Theirs, and those that they may take"))
async def get_inbox(agent: Name, engine: Engine) -> Response:
    """The agent's chats, those that wait and that they have the skills for, and how many they may have."""
    return answer(await engine.chats.inbox(AgentId(agent)))


@desk_router.get("/{chat}", responses=shape(ChatTalk, "The chat, and what was written"))
async def get_talk(agent: Name, chat: UUID, engine: Engine) -> Response:
    """One of the agent's chats; what is owed, and what was written elsewhere, once it is known who writes."""
    return answer(await engine.chats.talk(str(chat), AgentId(agent)))


@desk_router.post("/{chat}/reply", responses=shape(dict[str, str], "Its id"))
async def reply_in_chat(agent: Name, chat: UUID, engine: Engine, what: Annotated[Answered, Body()]) -> Response:  # fmt: skip
    """Answer in a chat of theirs, by its channel; the gate is asked before it goes out."""
    return answer({"id": await engine.chats.reply(str(chat), AgentId(agent), what.text, str(what.key))})


@desk_router.post("/{chat}/{what}", responses=shape(dict, "Done"))
async def act_in_chat(
    agent: Name, chat: UUID, what: Literal["take", "put-back", "to-bot", "close", "seen", "identity"], engine: Engine,
) -> Response:  # fmt: skip
    """Take a chat; or, of one of theirs: let somebody else take it, give it to its flow, close it, have seen it, know who writes."""
    its, own, name = engine.chats, AgentId(agent), str(chat)
    match what:
        case "take":
            await its.take(name, own)
        case "seen":
            await its.seen(name, own)
        case "identity":
            await its.identify(name, own)
        case _:
            await {"put-back": its.put_back, "to-bot": its.to_bot, "close": its.close}[what](name, of=own)
    return answer(None)
