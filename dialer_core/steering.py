"""What a supervisor changes of campaigns and agents while the engine runs, over what the files say: mode, boldness, who works for what.

It owns which settings may be changed and to what, and taking up what is kept: after a restart, and what another node was told. A ceiling is
never raised: pacing is told to use less of it. It owns no pacing (`pools.py`), no agent (`agents/roster.py`) and no row (`store/steering.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from pydantic import ValidationError

from dialer_core.call_loop import CallLoop
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns.run import CampaignRun
from dialer_core.command_arguments import ACTOR, Args, Command, InvalidError, UnknownError, agent_of, text_of
from dialer_core.errors import CommandRefusedError, StoreError
from dialer_core.store import steering as rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, CampaignId, PacingMode

log = structlog.get_logger(__name__)

MAY_CHANGE: Final = ("pacing", "ratio", "ceiling_share")
"""Of a campaign's settings. Everything else is a file's, read at the start."""
FOLLOW_S: Final = 5.0
"""What a supervisor told another node holds here after so long."""
_Kept = tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]
"""What differs from the files: of campaigns, of agents."""


def steering_commands(engine: CallLoop) -> dict[str, Command]:
    """Return the commands by name."""
    return {
        "campaigns.steer": lambda args: _steer(engine, args),
        "agents.move": lambda args: _move(engine, args),
    }


async def take_up(engine: CallLoop) -> None:
    """Take up again what was kept of a former engine; what the files do not admit any more is left, and said in the log."""
    campaigns, agents = await engine.runtime.journal.submit(_read)
    for name, what in campaigns.items():
        try:
            run = engine.dialing[CampaignId(name)]
            run.settings = _changed(engine, run, what)
        except (CommandRefusedError, InvalidError) as error:
            log.warning("steering_left", campaign=name, error=str(error))
    for name, what in agents.items():
        try:
            works_for = _known(engine, what.get("campaigns"))
            _apply_move(engine, AgentId(name), works_for)
        except (CommandRefusedError, UnknownError, InvalidError) as error:
            log.warning("steering_left", agent_id=name, error=str(error))


async def follow(engine: CallLoop) -> None:
    """Take up what supervisors tell other nodes, until cancelled: a mode or a ceiling's share is the campaign's, wherever it is dialed from."""
    while True:
        await asyncio.sleep(FOLLOW_S)
        # by the journal: behind this node's own words. Whoever is told something new meanwhile is looked at next time
        before = {run.id: run.settings for run in engine.dialing.campaigns.values()}
        worked_for = {agent.id: agent.works_for for agent in engine.roster.all()}
        try:
            campaigns, agents = await engine.runtime.journal.submit(_read)
        except StoreError as error:  # read again in a moment
            log.warning("steering_not_followed", error=str(error))
            continue
        for run in engine.dialing.campaigns.values():
            if run.settings is before[run.id]:
                _follow_campaign(engine, run, campaigns.get(run.id, {}))
        for name, works_for in worked_for.items():
            if engine.roster[name].works_for is works_for:
                _follow_agent(engine, name, agents.get(name, {}).get("campaigns", []))


def _follow_campaign(engine: CallLoop, run: CampaignRun, what: dict[str, Any]) -> None:
    try:
        settings = _changed(engine, run, what)
    except (CommandRefusedError, InvalidError):  # this node's file is another: said when it started
        return
    if settings != run.settings:
        log.info("campaign_steered", campaign=run.id, before=_told(run.settings), now=_told(settings))
        run.settings = settings
        engine.wake()


def _follow_agent(engine: CallLoop, name: AgentId, campaigns: list[str]) -> None:
    try:
        works_for = _known(engine, campaigns)
    except (UnknownError, InvalidError):
        return
    if engine.roster[name].works_for != (works_for or engine.roster.written(name)):
        _apply_move(engine, name, works_for)


def _read(tx: Tx) -> _Kept:
    return rows.kept(tx, "campaign"), rows.kept(tx, "agent")


def _steer(engine: CallLoop, args: Args) -> asyncio.Future[dict[str, Any]]:
    run, what = engine.dialing[CampaignId(text_of(args, "campaign"))], args.get("what")
    if not isinstance(what, dict):
        raise InvalidError("what is missing; it names pacing, ratio or ceiling_share")
    before = _told(run.settings)
    run.settings = _changed(engine, run, _kept(engine, run) | what if what else {})
    written, told, actor = (
        _told(engine.settings.campaigns[run.id]),
        _told(run.settings),
        text_of(args, ACTOR, ""),
    )
    log.info("campaign_steered", campaign=run.id, before=before, now=told)
    engine.wake()

    def write(tx: Tx) -> dict[str, Any]:
        elsewhere = (
            rows.kept(tx, "campaign").get(run.id, {}) if what else {}
        )  # another node may have been told the rest
        wanted = elsewhere | {name: told[name] for name in what}
        kept = {name: value for name, value in wanted.items() if value != written.get(name)}
        rows.keep(tx, "campaign", run.id, kept, actor=actor)
        return written | kept

    return engine.runtime.journal.submit(write)


def _changed(engine: CallLoop, run: CampaignRun, what: dict[str, Any]) -> CampaignSettings:
    """Return a campaign's settings with these in place of the file's."""
    written = engine.settings.campaigns[run.id]
    if unknown := sorted(what.keys() - set(MAY_CHANGE)):
        raise InvalidError(f"{unknown[0]!r} is no setting to change here; these are: {', '.join(MAY_CHANGE)}")
    if not what:
        return written
    try:
        settings = CampaignSettings.model_validate(written.model_dump() | what)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if (settings.pacing is PacingMode.AGENTLESS) != (written.pacing is PacingMode.AGENTLESS):
        raise CommandRefusedError(
            f"campaign {run.id} cannot change to or from agentless while the engine runs: set pacing in its file"
        )
    changes = {name: getattr(settings, name) for name in MAY_CHANGE}
    if changes == {name: getattr(written, name) for name in MAY_CHANGE}:
        return written
    return written.model_copy(update=changes)


def _kept(engine: CallLoop, run: CampaignRun) -> dict[str, Any]:
    """Return what differs from the file."""
    written, now = _told(engine.settings.campaigns[run.id]), _told(run.settings)
    return {name: value for name, value in now.items() if value != written[name]}


def _told(settings: CampaignSettings) -> dict[str, Any]:
    return {
        "pacing": settings.pacing.value,
        "ratio": settings.ratio,
        "ceiling_share": settings.ceiling_share,
    }


def _move(engine: CallLoop, args: Args) -> asyncio.Future[dict[str, Any]]:
    name, works_for = agent_of(engine, args), _known(engine, args.get("campaigns"))
    _apply_move(engine, name, works_for)
    actor, told = text_of(args, ACTOR, ""), sorted(engine.roster[name].works_for)

    def write(tx: Tx) -> dict[str, Any]:
        rows.keep(tx, "agent", name, {"campaigns": sorted(works_for)} if works_for else {}, actor=actor)
        return {"agent": name, "campaigns": told}

    return engine.runtime.journal.submit(write)


def _apply_move(engine: CallLoop, name: AgentId, works_for: frozenset[CampaignId]) -> None:
    agent = engine.roster.move(name, works_for)
    if pool := engine.dialing.pool_for(agent):
        pool.owed = engine.inbound.queue.owed
    engine.wake()


def _known(engine: CallLoop, campaigns: object) -> frozenset[CampaignId]:
    if not isinstance(campaigns, list) or not all(isinstance(name, str) for name in campaigns):
        raise InvalidError("campaigns is missing; it is a list of names, or an empty one: as the file says")
    known = engine.dialing.campaigns
    if unknown := sorted(set(campaigns) - known.keys()):
        raise UnknownError(f"no campaign {unknown[0]!r}; known are: {', '.join(sorted(known)) or 'none'}")
    return frozenset(map(CampaignId, campaigns))
