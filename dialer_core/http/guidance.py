"""Routes of what helps somebody with an account: the next step, the script, the messages that can be sent, its documents.

It owns who is told when: an agent at their desk learns what speaks of the debt once the conversation's person is known (I19).
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns.openings import openings
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.messaging.messenger import MessageOption
from dialer_core.messaging.scripts import ScriptView, script_of
from dialer_core.plugin_api import (
    AccountId,
    AccountView,
    AgentId,
    CampaignId,
    Channel,
    CommandRefusedError,
    MessageRequest,
    Opening,
    StepFacts,
)
from dialer_core.portfolio import account_view
from dialer_core.portfolio.next_step import ChosenStep
from dialer_core.web.needs import at_a_desk, needs_account, needs_account_writer, principal_of
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/accounts/{account}", tags=["guidance"])

Campaign = Annotated[str, Query(max_length=64, description="Whose rules and words hold")]
Language = Annotated[Literal["es", "en"], Query()]


class NewDeskMessage(BaseModel):
    """A message by a template."""

    model_config = ConfigDict(extra="forbid")
    campaign: Annotated[str, Field(max_length=64)]
    template: Annotated[str, Field(min_length=1, max_length=64)]
    language: Literal["es", "en"] = "es"
    key: UUID
    """Your own id of it: sent again because no answer came, it is queued once."""


@router.get(
    "/next_step",
    dependencies=[needs_account(Scope.RECORDS)],
    responses=shape(ChosenStep, "What is best done next"),
)
async def get_next_step(
    account: UUID, request: Request, engine: Engine, parts: Parts, campaign: Campaign
) -> Response:
    """What is best done next about an account, which plugin says so, and why in both languages; and what the gate says of each channel."""
    settings = _campaign(parts, campaign)
    await _require_known(request, parts, account)
    who, now = principal_of(request), engine.now()
    channels = await _channels(engine)

    def read() -> tuple[AccountView, tuple[Opening, ...]]:
        with parts.database.read() as tx:
            found = account_view.view(tx, AccountId(str(account)), now)
            pack = parts.packs.get(settings.rule_pack)
            return found, openings(
                tx, found, campaign_id=CampaignId(campaign), pack=pack, now=now, channels=channels
            )

    found, told = await asyncio.to_thread(read)
    view = await parts.rights.view(who.agent) if who.agent else None
    talking = view is not None and view.state == "talking"
    facts = StepFacts(
        account=found, campaign_id=CampaignId(campaign), now=now, talking=talking, openings=told
    )
    by, step = await parts.choose_step(facts) or ("", None)
    return answer(ChosenStep(step=step, by=by, openings=told))


@router.get(
    "/script", dependencies=[needs_account(Scope.RECORDS)], responses=shape(ScriptView | None, "What is said")
)
async def get_script(
    account: UUID,
    request: Request,
    engine: Engine,
    parts: Parts,
    campaign: Campaign,
    language: Language = "es",
) -> Response:
    """What an agent says of this account, by its segment; before the conversation's person is known without the phrases. Null: there is no script."""
    settings = _campaign(parts, campaign)
    who, now = principal_of(request), engine.now()
    known = not at_a_desk(who) or await parts.rights.knows_person(request.state.agent, str(account))
    speaker = parts.settings.agents.get(AgentId(who.agent))

    def read() -> ScriptView | None:
        with parts.database.read() as tx:
            return script_of(
                tx, parts.scripts.values(), AccountId(str(account)), CampaignId(campaign), now, language=language,
                agent=speaker.name if speaker and speaker.name else who.agent or who.name,
                callback_number=settings.caller_id or "", creditor=settings.creditor, identified=known,
            )  # fmt: skip

    found = await asyncio.to_thread(read)
    return answer(found) if found is not None else Response(b"null", media_type="application/json")


@router.get(
    "/messages",
    dependencies=[needs_account(Scope.RECORDS)],
    responses=shape(tuple[MessageOption, ...], "Each as it would be sent"),
)
async def list_messages_to_send(
    account: UUID,
    request: Request,
    engine: Engine,
    parts: Parts,
    campaign: Campaign,
    language: Literal["es", "en", ""] = "",
) -> Response:
    """The templates that can be sent about this account, each as they would read it, and what the gate says of it now."""
    _campaign(parts, campaign)
    await _require_known(request, parts, account)
    return answer(
        await engine.messages.options(AccountId(str(account)), CampaignId(campaign), language=language)
    )


@router.post(
    "/messages",
    dependencies=[needs_account_writer(Scope.CONTROL, Scope.RECORDS)],
    responses=shape(dict[str, str], "Its id"),
)
async def send_message(
    account: UUID, request: Request, engine: Engine, parts: Parts, what: Annotated[NewDeskMessage, Body()]
) -> Response:
    """Queue a message by a template; the gate is asked when its time has come."""
    who = principal_of(request)
    if at_a_desk(who) and what.campaign not in await parts.rights.campaigns(who.agent, str(account)):
        raise Problem(403, "forbidden", "an agent writes by the rules of a campaign that has this account")
    message = await engine.messages.queue(
        MessageRequest(
            campaign_id=CampaignId(what.campaign), account_id=AccountId(str(account)), template=what.template,
            language=what.language, request_key=f"desk:{what.key}",
        )
    )  # fmt: skip
    return answer({"id": message})


async def _channels(engine: Engine) -> list[Channel]:
    try:
        return [Channel.VOICE, *(Channel(one.channel) for one in await engine.messages.channels())]
    except CommandRefusedError:  # this process sends no messages
        return [Channel.VOICE]


async def _require_known(request: Request, parts: ApiParts, account: UUID) -> None:
    who = principal_of(request)
    if at_a_desk(who) and not await parts.rights.knows_person(request.state.agent, str(account)):
        raise Problem(403, "forbidden", "not before it is known that the person is on the line")


def _campaign(parts: ApiParts, name: str) -> CampaignSettings:
    found = parts.settings.campaigns.get(CampaignId(name))
    if found is None:
        raise Problem(404, "unknown", "there is no such campaign; GET /api/v1/campaigns lists them")
    return found
