"""Routes of messages over other channels: write one, see what is held, say what becomes of it.

The rules are `messaging/`'s, through the same handle that plugins have.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.http.answers import Engine, answer, shape
from dialer_core.plugin_api import (
    AccountId,
    CampaignId,
    Channel,
    ChannelView,
    EmailRow,
    MessageId,
    MessageRequest,
    MessageRow,
    MessageState,
    PersonId,
)
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope

router = APIRouter(tags=["messages"])

READS = [needs(Scope.RECORDS)]
WRITES = [needs(Scope.CONTROL), needs(Scope.RECORDS)]


class NewMessage(BaseModel):
    """A message to be sent about an account, by a template or by hand."""

    model_config = ConfigDict(extra="forbid")
    campaign: Annotated[str, Field(max_length=64)]
    """Whose rules it goes by."""
    account: UUID
    template: Annotated[str, Field(max_length=64)] = ""
    given: dict[str, Annotated[str, Field(max_length=1000)]] = Field(default_factory=dict)
    """What the template's `[given]` names."""
    body: Annotated[str, Field(max_length=4096)] = ""
    """By hand, instead of a template."""
    channel: Literal[Channel.SMS, Channel.WHATSAPP, Channel.EMAIL] | None = None
    """Of a message by hand."""
    address: Annotated[str, Field(max_length=128)] = ""
    """A certain one of theirs; by default the best of their numbers."""
    language: Annotated[str, Field(max_length=8)] = ""
    not_before: AwareDatetime | None = None
    valid_hours: Annotated[float, Field(ge=0, le=720)] = 0
    """By default the template's."""
    request_key: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Your own name of this request: asked for twice, it is queued once."""


class Reason(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=64)] = "command"


@router.post("/messages", responses=shape(dict[str, str], "Its id"), dependencies=WRITES)
async def queue_message(engine: Engine, what: Annotated[NewMessage, Body()]) -> Response:
    """Queue a message; the gate is asked when its time has come."""
    message = await engine.messages.queue(
        MessageRequest(
            campaign_id=CampaignId(what.campaign),
            account_id=AccountId(str(what.account)),
            template=what.template,
            given=what.given,
            body=what.body,
            channel=Channel(what.channel) if what.channel else None,
            address=what.address,
            language=what.language,
            not_before=what.not_before,
            valid_hours=what.valid_hours,
            request_key=what.request_key,
        )
    )
    return answer({"id": message})


@router.get("/messages", responses=shape(list[MessageRow], "The newest first"), dependencies=READS)
async def list_messages(engine: Engine, state: Annotated[MessageState, Query()] = MessageState.HELD) -> Response:  # fmt: skip
    """Return messages in a state, at most 200."""
    return answer(await engine.messages.in_state(state))


@router.get("/channels", responses=shape(list[ChannelView], "Each channel"), dependencies=[needs(Scope.READ)])
async def list_channels(engine: Engine) -> Response:
    """Return what waits in each channel."""
    return answer(await engine.messages.channels())


@router.get("/people/{person}/messages", responses=shape(list[MessageRow], "The oldest first"), dependencies=READS)  # fmt: skip
async def conversation(person: UUID, engine: Engine) -> Response:
    """Return what was written to and by a person, over all channels."""
    return answer(await engine.messages.conversation(PersonId(str(person))))


class NewEmail(BaseModel):
    """An e-mail address of a person."""

    model_config = ConfigDict(extra="forbid")
    address: Annotated[str, Field(max_length=128)]


@router.put("/people/{person}/emails", responses=shape(list[EmailRow], "All of theirs, in order"), dependencies=WRITES)  # fmt: skip
async def add_email(person: UUID, engine: Engine, new: Annotated[NewEmail, Body()]) -> Response:
    """Give a person an e-mail address, behind those they have; one that they have changes nothing."""
    return answer(await engine.messages.add_email(PersonId(str(person)), new.address))


@router.post("/messages/{message}/release", responses=shape(dict, "Done"), dependencies=WRITES)
async def release_message(message: UUID, engine: Engine) -> Response:
    """Send a held message again: somebody has found that it was not sent, or does not mind twice."""
    await engine.messages.release(MessageId(str(message)))
    return answer(None)


@router.post("/messages/{message}/cancel", responses=shape(dict, "Done"), dependencies=WRITES)
async def cancel_message(message: UUID, engine: Engine, why: Annotated[Reason, Body()] = Reason()) -> Response:  # fmt: skip # noqa: B008 - frozen
    """Take back a message that has not been sent."""
    await engine.messages.cancel(MessageId(str(message)), reason=why.reason)
    return answer(None)


@router.post("/messages/{message}/end-link", responses=shape(dict, "Done"), dependencies=WRITES)
async def end_link(message: UUID, engine: Engine) -> Response:
    """End the link to a document that a message carried: it opens no more."""
    await engine.messages.end_link(MessageId(str(message)))
    return answer(None)
