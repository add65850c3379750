"""Routes of campaigns: what each is doing, and start, pause, stop."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.campaigns.dispositions import WordsView, words_view
from dialer_core.http.answers import Engine, Parts, answer, shape
from dialer_core.plugin_api import CampaignId, CampaignView
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/campaigns", tags=["campaigns"])

Name = Annotated[str, Path(max_length=64, description="The campaign's file name without .toml")]


class Why(BaseModel):
    """A reason, kept with what it explains."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=48)] = ""


NO_REASON = Why()
WhyBody = Annotated[Why, Body()]


@router.get(
    "", dependencies=[needs(Scope.READ)], responses=shape(tuple[CampaignView, ...], "Every campaign now")
)
async def list_campaigns(engine: Engine) -> Response:
    """Every campaign now, with its totals since the engine started."""
    return answer((await engine.status()).campaigns)


@router.get(
    "/{campaign}", dependencies=[needs(Scope.READ)], responses=shape(CampaignView, "The campaign now")
)
async def get_campaign(campaign: Name, engine: Engine) -> Response:
    """One campaign now."""
    for view in (await engine.status()).campaigns:
        if view.id == campaign:
            return answer(view)
    raise Problem(404, "unknown", "there is no such campaign; GET /api/v1/campaigns lists them")


@router.get(
    "/{campaign}/dispositions",
    dependencies=[needs(Scope.READ)],
    responses=shape(WordsView, "The campaign's words"),
)
async def get_dispositions(campaign: Name, parts: Parts) -> Response:
    """The words by which agents may say what a conversation was, as a tree, and the reasons for non-payment."""
    settings = parts.settings.campaigns.get(CampaignId(campaign))
    if settings is None:
        raise Problem(404, "unknown", "there is no such campaign; GET /api/v1/campaigns lists them")
    return answer(words_view(settings))


@router.post("/{campaign}/start", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def start_campaign(campaign: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Let it dial."""
    return answer(await engine.campaigns.start(CampaignId(campaign), reason=why.reason))


@router.post("/{campaign}/pause", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def pause_campaign(campaign: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Place nothing new; attempts alive go on."""
    return answer(await engine.campaigns.pause(CampaignId(campaign), reason=why.reason))


@router.post("/{campaign}/stop", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def stop_campaign(campaign: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Place nothing new, and cancel what has not been answered."""
    return answer(await engine.campaigns.stop(CampaignId(campaign), reason=why.reason))
