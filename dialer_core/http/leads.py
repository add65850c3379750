"""Routes of leads: why one is not dialed now."""

from __future__ import annotations

import asyncio
import datetime as dt
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from dialer_core.campaigns.why import LeadAnswer, why
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.store import leads
from dialer_core.vocabulary import CampaignId, LeadId
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/leads", tags=["leads"])


class WhyView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a lead is not dialed now."""

    words: str
    """In one line, for people."""
    lead: LeadAnswer


@router.get(
    "/{lead}/why", dependencies=[needs(Scope.RECORDS)], responses=shape(WhyView, "In words, and by number")
)
async def why_not_dialed(lead: UUID, engine: Engine, parts: Parts) -> Response:
    """Why a lead is not dialed now, and from when it can be, as the gate of the claim sees it."""
    found = await asyncio.to_thread(_ask, parts, LeadId(str(lead)), engine.now())
    return answer(WhyView(words=found.words(), lead=found))


def _ask(parts: ApiParts, lead_id: LeadId, now: dt.datetime) -> LeadAnswer:
    with parts.database.read() as tx:
        lead = leads.get(tx, lead_id)
        if lead is None:
            raise Problem(404, "unknown", "there is no such lead")
        campaign = parts.settings.campaigns.get(CampaignId(lead.campaign_id))
        if campaign is None or campaign.rule_pack not in parts.packs:
            raise Problem(
                409,
                "refused",
                f"campaign {lead.campaign_id} of this lead is not in the configuration any more",
            )
        return why(tx, lead_id, settings=campaign, pack=parts.packs[campaign.rule_pack], now=now)
