"""What sources of agents' states say: who of the agents is free in the telephone system that has them.

It owns the last word of each source on each agent, the order of these words, and how long a source may be silent. Agents' own states are moved by
the roster's commands, as if the agents had given them. A source that is silent for too long is not believed: its agents take nobody until it speaks
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.errors import CommandRefusedError
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AgentId, AgentState, PauseReason, Presence
from dialer_core.voice_commands import AgentReport, ReportsTaken
from dialer_core.voice_events import AgentSourceChanged

log = structlog.get_logger(__name__)

FIRST_WORD_S = 15.0
"""After a new engine has taken over, a source may be silent for so long before its agents are paused; they are offered nobody meanwhile."""
MOST_REPORTS = 2000
"""In one command."""
_IN_TALK = (AgentState.RESERVED, AgentState.TALKING)
_AT_WORK = (*_IN_TALK, AgentState.WRAP_UP)
OURS = frozenset({PauseReason.BUSY, PauseReason.OFFLINE, PauseReason.SOURCE_STALE})
"""Reasons of pauses that a source's word alone ends."""


@dataclass(slots=True)
class _Source:
    """One source."""

    name: str
    stale_after_s: float
    fresh: bool = False
    timer: asyncio.TimerHandle | None = None
    said: dict[AgentId, AgentReport] = field(default_factory=dict)


class Presences:
    """The sources, and what follows from their words."""

    def __init__(self, runtime: Runtime, roster: Roster) -> None:
        self._runtime = runtime
        self._roster = roster
        self._sources: dict[str, _Source] = {}
        self._agents: dict[str, dict[str, Agent]] = {}
        for agent in roster.all():
            if agent.settings.state_from:
                names = self._agents.setdefault(agent.settings.state_from, {})
                names[agent.settings.member or agent.id] = agent
                names.setdefault(agent.id, agent)
                agent.told_free = False
        roster.on_entered(self._entered)

    def begin(self) -> None:
        """A former engine's agents are taken over: a source that has agents at work must speak to this one."""
        for name in self._agents:
            if any(agent.state is not AgentState.LOGGED_OUT for agent in self._of_source(name)):
                source = self._sources.setdefault(name, _Source(name, FIRST_WORD_S))
                self._wait_for(source)

    def of(self, agent: Agent) -> Presence | None:
        """Return what an agent's source says of them now; None: nothing that is believed."""
        source = self._sources.get(agent.settings.state_from)
        said = source.said.get(agent.id) if source is not None and source.fresh else None
        return said.state if said is not None else None

    def known_as(self, source: str, name: str) -> Agent | None:
        """Return the agent whom a source calls that."""
        return self._agents.get(source, {}).get(name)

    def heard(self, name: str, stale_after_s: float, reports: Iterable[Any]) -> ReportsTaken:
        """Take a source's words; none at all still says that it is alive, and words that are all older than what it said last do not.

        Parameters
        ----------
        name
            The plugin whose source it is.
        stale_after_s
            It is not believed any more when it has said nothing for so long.

        Raises
        ------
        CommandRefusedError
            A report is not one.
        """
        if not 0.5 <= stale_after_s <= 3600:
            raise CommandRefusedError("stale_after_s must be between 0.5 and 3600", "invalid")
        try:
            read = msgspec.convert(list(reports), list[AgentReport])
        except msgspec.ValidationError as error:
            raise CommandRefusedError(f"reports: {error}", "invalid") from None
        if len(read) > MOST_REPORTS:
            raise CommandRefusedError(f"at most {MOST_REPORTS} reports at a time", "invalid")
        source = self._sources.setdefault(name, _Source(name, stale_after_s))
        source.stale_after_s = stale_after_s
        changed: list[Agent] = []
        late, older, unknown = 0, 0, []
        for report in read:
            agent = self.known_as(name, report.agent)
            if agent is None:
                unknown.append(report.agent[:64])
                continue
            before = source.said.get(agent.id)
            if before is not None and report.order <= before.order:
                late += 1
                older += report.order < before.order
                continue
            source.said[agent.id] = report
            if before is None or (before.state, before.reason) != (report.state, report.reason):
                changed.append(agent)
        back = False
        if not older or older < len(read):
            back, source.fresh = not source.fresh, True
            self._wait_for(source)
        for agent in changed:
            self._settle(agent)
        if back:
            self._tell(source, fresh=True)
            for agent in self._of_source(name):
                self._settle(agent)
        return ReportsTaken(changed=len(changed), late=late, unknown=tuple(sorted(set(unknown)))[:10])

    def _wait_for(self, source: _Source) -> None:
        if source.timer is not None:
            source.timer.cancel()
        source.timer = self._runtime.later(source.stale_after_s, lambda: self._silent(source))

    def _silent(self, source: _Source) -> None:
        source.fresh = False
        log.error("agent_source_stale", source=source.name, silent_s=source.stale_after_s)
        self._tell(source, fresh=False)
        for agent in self._of_source(source.name):
            self._settle(agent)

    def _of_source(self, name: str) -> list[Agent]:
        return [agent for agent in self._roster.all() if agent.settings.state_from == name]

    def _tell(self, source: _Source, *, fresh: bool) -> None:
        told = AgentSourceChanged(
            source=source.name, fresh=fresh, agents=len(self._of_source(source.name)), stale_after_s=source.stale_after_s,
            at_mono_ns=self._runtime.clock.mono_ns(),
        )  # fmt: skip
        self._runtime.journal.append(told)

    def _entered(self, agent: Agent, before: AgentState) -> None:
        """An agent whose conversation or work after it is over is what their source says, at once."""
        if agent.settings.state_from and before in _AT_WORK and agent.state is AgentState.READY:
            self._settle(agent)

    def _settle(self, agent: Agent) -> None:
        """Bring an agent to what their source says; in a conversation of ours, to what they are to be after it."""
        state = self.of(agent)
        agent.told_free = state is Presence.AVAILABLE
        source = self._sources.get(agent.settings.state_from)  # a new engine has heard none yet
        said = source.said.get(agent.id) if source is not None else None
        if agent.state in _IN_TALK:
            if state in (Presence.PAUSED, Presence.OFFLINE) or source is None or not source.fresh:
                self._roster.pause(agent.id, self._reason(state, said))
            elif agent.after_call is AgentCue.PAUSE:
                self._roster.take_back(agent)
        elif state is Presence.AVAILABLE:
            self._free(agent)
        elif agent.state is AgentState.LOGGED_OUT or (
            agent.state is AgentState.WRAP_UP and state is Presence.BUSY
        ):
            return
        elif state is Presence.OFFLINE:
            self._roster.logout(agent.id)
        elif agent.state is not AgentState.PAUSED or agent.reason != self._reason(state, said):
            self._roster.pause(agent.id, self._reason(state, said))

    def _free(self, agent: Agent) -> None:
        if agent.state is AgentState.LOGGED_OUT:
            self._roster.login(agent.id)
            self._roster.arrived(agent)
        if agent.state in (AgentState.PAUSED, AgentState.WRAP_UP):
            self._roster.ready(agent.id)

    @staticmethod
    def _reason(state: Presence | None, said: AgentReport | None) -> str:
        if state is None:
            return PauseReason.SOURCE_STALE
        if state is Presence.PAUSED:
            return (said.reason[:48] if said is not None else "") or "pause"
        return PauseReason.BUSY if state is Presence.BUSY else PauseReason.OFFLINE
