"""Routes of campaigns: what each is doing, and start, pause, stop."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.campaigns import day, forecast
from dialer_core.campaigns.day import CampaignDay
from dialer_core.campaigns.dispositions import WordsView, words_view
from dialer_core.campaigns.forecast import Forecast
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.plugin_api import CampaignId, CampaignView
from dialer_core.reports import targets
from dialer_core.vocabulary import PacingMode
from dialer_core.web.needs import needs, needs_any, principal_of
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/campaigns", tags=["campaigns"])

Name = Annotated[str, Path(max_length=64, description="The campaign's file name without .toml")]


class Why(BaseModel):
    """A reason, kept with what it explains."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=48)] = ""


class NewTarget(BaseModel):
    """What a campaign is to reach on a day."""

    model_config = ConfigDict(extra="forbid")
    metric: Annotated[str, Field(max_length=24)]
    """One of the figures of the summary: `promises`, `promised`, `recovered` ...; amounts in minor units."""
    goal: Annotated[int, Field(ge=0, lt=10**15)]
    """0 takes the target away."""
    day: dt.date
    """A day of the campaign's zone."""


class Steering(BaseModel):
    """How a campaign is to dial until further notice. What is not named stays as it is; nothing named: all as its file says."""

    model_config = ConfigDict(extra="forbid")
    pacing: PacingMode | None = None
    ratio: Annotated[float, Field(ge=1, le=10)] | None = None
    """Calls per idle agent, in mode ratio."""
    ceiling_share: Annotated[float, Field(ge=0.1, le=1)] | None = None
    """How much of the abandonment ceiling pacing may use; the ceiling itself is the law's and the file's."""


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign dials now."""

    pacing: str
    ratio: float
    ceiling_share: float


FORESEEN = dt.timedelta(seconds=30)
"""How long what can still be dialed, and the abandoned of a month, are believed: the gate is asked a thousand times, and a long table read."""
FRESH = dt.timedelta(seconds=2)
"""How long a day's figures are: every screen asks for them."""
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
    dependencies=[needs_any(Scope.READ, Scope.DESK)],
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


@router.post("/{campaign}/release", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def release_campaign(campaign: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Let a draft be started from now on."""
    return answer(await engine.campaigns.release(CampaignId(campaign), reason=why.reason))


@router.post("/{campaign}/archive", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def archive_campaign(campaign: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Put away a campaign that is stopped, finished or a draft: it takes no leads and cannot be started."""
    return answer(await engine.campaigns.archive(CampaignId(campaign), reason=why.reason))


@router.post("/{campaign}/reopen", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def reopen_campaign(campaign: Name, engine: Engine, why: WhyBody = NO_REASON) -> Response:
    """Take an archived campaign out again; it is stopped."""
    return answer(await engine.campaigns.reopen(CampaignId(campaign), reason=why.reason))


@router.post(
    "/{campaign}/pacing", dependencies=[needs(Scope.CONTROL)], responses=shape(Steered, "How it dials now")
)
async def steer_campaign(campaign: Name, engine: Engine, what: Annotated[Steering, Body()]) -> Response:
    """Change mode, ratio or boldness within the ceiling, from the next decision on and over restarts."""
    wanted = what.model_dump(mode="json", exclude_none=True)
    return answer(await engine.campaigns.steer(CampaignId(campaign), **wanted))


@router.get(
    "/{campaign}/day",
    dependencies=[needs_any(Scope.READ, Scope.DESK)],
    responses=shape(
        CampaignDay, "The day until now; for an agent at their desk, with their own figures alone"
    ),
)
async def get_day(
    campaign: Name, request: Request, engine: Engine, parts: Parts, agents: Annotated[bool, Query()] = True  # noqa: FBT002 - of the address
) -> Response:  # fmt: skip
    """A campaign's day: by the hour, promises and what came of them, against last week and targets, what is left to dial, and agents."""
    name, now = _known(parts, campaign), engine.now()
    kept = parts.days.get(name)
    if kept is None or now - kept[0] > FRESH:
        kept = parts.days[name] = now, asyncio.ensure_future(asyncio.to_thread(_day, parts, name, now))
    found, who = await asyncio.shield(kept[1]), principal_of(request)
    if Scope.READ not in who.scopes:
        found = day.for_agent(found, who.agent)
    return answer(found if agents else msgspec.structs.replace(found, agents=()))


@router.post("/{campaign}/targets", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Done"))
async def set_target(
    campaign: Name, engine: Engine, parts: Parts, what: Annotated[NewTarget, Body()]
) -> Response:
    """Say what a campaign is to reach on a day."""
    name, actor = _known(parts, campaign), engine.actor
    return answer(
        await parts.write(lambda tx: targets.put(tx, name, what.day, what.metric, what.goal, actor=actor))
    )


def _known(parts: ApiParts, campaign: str) -> CampaignId:
    if CampaignId(campaign) not in parts.settings.campaigns:
        raise Problem(404, "unknown", "there is no such campaign; GET /api/v1/campaigns lists them")
    return CampaignId(campaign)


def _day(parts: ApiParts, name: CampaignId, now: dt.datetime) -> CampaignDay:
    with parts.database.read() as tx:
        kept = parts.forecasts.get(name)
        if kept is None or now - kept[0] > FORESEEN:
            settings = parts.settings.campaigns[name]
            pack = parts.packs.get(settings.rule_pack)
            found = (
                forecast.forecast(tx, name, settings=settings, pack=pack, now=now)
                if pack
                else Forecast("UTC", 0, 0, (), {})
            )
            counted = day.abandonment_by_window(tx, name, found.zone, pack.abandonment if pack else None, now)
            kept = parts.forecasts[name] = now, found, counted
        return day.day(tx, name, kept[1], kept[2], now)
