"""What deserves a supervisor's eye now: thresholds over one status of the engine.

It owns the thresholds and nothing else: no words (`texts.toml`), no history, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dialer_core.plugin_api import AgentState, AgentView, CampaignView, Snapshot

NEAR_CEILING: Final = 0.8
"""Share of the abandonment ceiling from which on it is near."""
FEWEST_LIVE: Final = 20
"""Live answers below which a share of them says nothing."""
LONG_S: Final = {
    AgentState.PAUSED: 900.0,
    AgentState.WRAP_UP: 120.0,
    AgentState.TALKING: 1200.0,
    AgentState.READY: 300.0,
}
"""An agent is too long in a state."""
LAG_MS: Final = 100.0
"""Lateness of the engine's loop (99th percentile); pacing brakes at 250."""
LINES_FULL: Final = 0.95
PEOPLE_LOST: Final = 0.05
"""Share of people taken for machines that is too high, certainly (lower end of its interval)."""


class Alert(NamedTuple):
    """One of them: which text, how grave (`bad` or `warn`), about whom, with which values."""

    key: str
    level: str
    subject: str
    values: dict[str, float | str]


def alerts(now: Snapshot) -> list[Alert]:
    """Return what holds now, the gravest first."""
    found = [*_system(now), *(one for campaign in now.campaigns for one in _campaign(campaign, now))]
    found += [one for agent in now.agents for one in _agent(agent)]
    return sorted(found, key=lambda one: one.level != "bad")


def _system(now: Snapshot) -> Iterator[Alert]:
    if not now.store_healthy:
        yield Alert("store_away", "bad", "", {})
    if not now.media_attached:
        yield Alert("media_away", "bad", "", {})
    for trunk in now.trunks:
        if trunk.state != "up":
            yield Alert("trunk_down", "bad", trunk.id, {"reason": trunk.reason})
        elif trunk.lines and trunk.lines_used >= LINES_FULL * trunk.lines:
            yield Alert("lines_full", "warn", trunk.id, {"used": trunk.lines_used, "lines": trunk.lines})
    if now.held:
        yield Alert("held", "bad", "", {"reason": now.held})
    if now.brake:
        yield Alert("brake", "warn", "", {"reason": now.brake})
    if now.loop_lag_ms_p99 > LAG_MS:
        yield Alert("loop_lag", "warn", "", {"ms": round(now.loop_lag_ms_p99)})


def _campaign(campaign: CampaignView, now: Snapshot) -> Iterator[Alert]:
    live, ceiling = campaign.ledger_live, campaign.abandonment_ceiling
    share = campaign.ledger_abandoned / live if live else 0.0
    values: dict[str, float | str] = {"share": share, "ceiling": ceiling}
    if live >= FEWEST_LIVE and share > ceiling:
        yield Alert("abandonment_over", "bad", campaign.id, values)
    elif live >= FEWEST_LIVE and share > NEAR_CEILING * ceiling:
        yield Alert("abandonment_near", "warn", campaign.id, values)
    if campaign.people_lost is not None and campaign.people_lost_low > PEOPLE_LOST:
        yield Alert("people_lost", "warn", campaign.id, {"share": campaign.people_lost})
    if campaign.state != "running":
        return
    under_way = campaign.dialing + campaign.listening + campaign.waiting + campaign.talking
    ready = sum(agent.state == AgentState.READY for agent in now.agents)
    if campaign.reason and ready and not under_way:
        yield Alert("nothing_dialed", "warn", campaign.id, {"reason": campaign.reason, "ready": ready})


def _agent(agent: AgentView) -> Iterator[Alert]:
    try:
        limit_s = LONG_S.get(AgentState(agent.state))
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
