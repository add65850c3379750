"""What deserves a supervisor's eye now: thresholds over one status of the engine, and numbers that we call from.

It owns the thresholds and nothing else: no words (`texts.toml`), no history, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from dialer_core.plugin_api import AgentState, AgentView, CallerIdHealthChanged, CampaignView, Snapshot

FEWEST_LIVE: Final = 20
"""Live answers below which a share of them says nothing."""
LAG_MS: Final = 100.0
"""Lateness of the engine's loop (99th percentile); pacing brakes at 250."""
Share = Annotated[float, Field(gt=0, le=1)]
Minutes = Annotated[float, Field(ge=0.5, le=600)]


class Thresholds(BaseModel):
    """From which values on something deserves an eye. Supervisors set them on the page; they are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    near_ceiling: Share = 0.8
    """Share of the abandonment ceiling from which on it is near."""
    lines_full: Share = 0.95
    """Share of a trunk's lines."""
    people_lost: Share = 0.05
    """Share of people taken for machines that is too high, certainly (lower end of its interval)."""
    behind: Share = 0.2
    """Share by which a campaign's day lags behind the same hour last week."""
    paused_min: Minutes = 15
    wrap_up_min: Minutes = 2
    talking_min: Minutes = 20
    ready_min: Minutes = 5

    def long_s(self, state: AgentState) -> float | None:
        """Return from how many seconds on an agent is too long in a state; None: never."""
        minutes: float | None = getattr(self, f"{state}_min", None)
        return None if minutes is None else 60 * minutes


class Alert(NamedTuple):
    """One of them: which text, how grave (`bad` or `warn`), about whom, with which values."""

    key: str
    level: str
    subject: str
    values: dict[str, float | str]


def alerts(now: Snapshot, limits: Thresholds) -> list[Alert]:
    """Return what holds now, the gravest first."""
    found = [*_system(now, limits), *(one for its in now.campaigns for one in _campaign(its, now, limits))]
    found += [one for agent in now.agents for one in _agent(agent, limits)]
    return sorted(found, key=lambda one: one.level != "bad")


def caller_ids(told: Iterable[CallerIdHealthChanged]) -> list[Alert]:
    """Return the numbers that something speaks against, as last told of each."""
    return [
        Alert("caller_id", "warn", one.pool, {"position": one.position, "signs": " ".join(one.signs)})
        for one in told
        if one.signs
    ]


def _system(now: Snapshot, limits: Thresholds) -> Iterator[Alert]:
    if not now.store_healthy:
        yield Alert("store_away", "bad", "", {})
    if not now.media_attached:
        yield Alert("media_away", "bad", "", {})
    for trunk in now.trunks:
        if trunk.state != "up":
            yield Alert("trunk_down", "bad", trunk.id, {"reason": trunk.reason})
        elif trunk.lines and trunk.lines_used >= limits.lines_full * trunk.lines:
            yield Alert("lines_full", "warn", trunk.id, {"used": trunk.lines_used, "lines": trunk.lines})
    if now.held:
        yield Alert("held", "bad", "", {"reason": now.held})
    if now.brake:
        yield Alert("brake", "warn", "", {"reason": now.brake})
    if now.loop_lag_ms_p99 > LAG_MS:
        yield Alert("loop_lag", "warn", "", {"ms": round(now.loop_lag_ms_p99)})


def _campaign(campaign: CampaignView, now: Snapshot, limits: Thresholds) -> Iterator[Alert]:
    live, ceiling = campaign.ledger_live, campaign.abandonment_ceiling
    share = campaign.ledger_abandoned / live if live else 0.0
    values: dict[str, float | str] = {"share": share, "ceiling": ceiling}
    if live >= FEWEST_LIVE and share > ceiling:
        yield Alert("abandonment_over", "bad", campaign.id, values)
    elif live >= FEWEST_LIVE and share > limits.near_ceiling * ceiling:
        yield Alert("abandonment_near", "warn", campaign.id, values)
    if campaign.people_lost is not None and campaign.people_lost_low > limits.people_lost:
        yield Alert("people_lost", "warn", campaign.id, {"share": campaign.people_lost})
    if campaign.state != "running":
        return
    under_way = campaign.dialing + campaign.listening + campaign.waiting + campaign.talking
    ready = sum(agent.state == AgentState.READY for agent in now.agents)
    if campaign.reason and ready and not under_way:
        yield Alert("nothing_dialed", "warn", campaign.id, {"reason": campaign.reason, "ready": ready})


def _agent(agent: AgentView, limits: Thresholds) -> Iterator[Alert]:
    try:
        limit_s = limits.long_s(AgentState(agent.state))
    except ValueError:  # a newer engine's state
        return
    if limit_s is not None and agent.seconds_in_state > limit_s:
        yield Alert(
            "agent_long",
            "warn",
            agent.name or agent.id,
            {"state": agent.state, "minutes": int(agent.seconds_in_state // 60)},
        )
    if agent.state == AgentState.PAUSED and agent.reason == "leg_lost":
        yield Alert("leg_lost", "warn", agent.name or agent.id, {})
