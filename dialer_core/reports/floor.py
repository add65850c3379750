"""Every agent's day until now, for whoever leads them: what they did with their time, and what came of it.

It owns that sum and what occupancy is. Days past are `summary.py`'s, by agent.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from dialer_core.compliance import windows
from dialer_core.reports.figures import NO_CONTACT
from dialer_core.store import agents, day_figures, rollups
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentState

_BUSY = (AgentState.RESERVED, AgentState.TALKING, AgentState.WRAP_UP)


class AgentDay(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's day."""

    agent: str
    states: dict[str, float]
    """Seconds in each state, log-ins of today."""
    occupancy: float | None
    """Share of the time at work (talking, reserved, wrap-up, ready) in which they were busy; None: they have not been at work."""
    talks: int
    talk_s: float
    contacts: int
    """Conversations that they did not call a machine."""
    promises: int


def floor(tx: Tx, zone: str, now: dt.datetime) -> tuple[AgentDay, ...]:
    """Return the day of every agent who was logged in or spoke to somebody in it, by name. The day is a zone's."""
    begin = windows.start_of_local_day(zone, now.astimezone(windows.zone_info(zone)).date()).astimezone(
        dt.UTC
    )
    states = agents.spent_in_states(tx, begin, now)
    promises = day_figures.promised_by_agent(tx, None, begin)
    talks: dict[str, list[float]] = {}
    for one in rollups.totals(tx, ["agent_id", "disposition"], since=begin):
        if one.agent_id:
            sums = talks.setdefault(one.agent_id, [0, 0.0, 0])
            sums[0] += one.talks
            sums[1] += one.talk_ms / 1000
            sums[2] += 0 if one.disposition in NO_CONTACT else one.talks
    found = []
    for name in sorted({*states, *talks, *promises}):
        its = states.get(name, {})  # type: ignore[call-overload]
        busy = sum(its.get(state, 0.0) for state in _BUSY)
        at_work = busy + its.get(AgentState.READY, 0.0)
        count, seconds, contacts = talks.get(name, (0, 0.0, 0))
        found.append(
            AgentDay(
                agent=name, states={state: round(spent, 1) for state, spent in its.items()},
                occupancy=busy / at_work if at_work else None, talks=int(count), talk_s=seconds, contacts=int(contacts),
                promises=promises.get(name, 0),
            )
        )  # fmt: skip
    return tuple(found)
