"""Supervisors with agents: calling the supervisor's phone, how they are in the conversations, taking one over.

It owns who supervises whom. A supervisor is with an agent, not with a call: their leg stays up from one conversation to the next, until they
hang up. Whom everybody hears then is `conversation.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent
from dialer_core.calls.extensions import Extensions
from dialer_core.errors import CommandRefusedError
from dialer_core.runtime import Runtime
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, LegId, LegPurpose, SupervisionMode
from dialer_core.voice_events import AgentSupervisionChanged

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watch:
    """One supervisor with one agent."""

    supervisor: str
    agent: Agent
    mode: SupervisionMode
    leg_id: LegId
    actor: str
    up: bool = False
    took_over: bool = False
    """They have the agent's former customer: until that ends they are in nobody's conversation besides."""


class Supervision:
    """Every supervisor who is with an agent.

    Parameters
    ----------
    on_change
        Called with an agent around whom it has changed who hears whom.
    """

    def __init__(
        self,
        runtime: Runtime,
        roster: Roster,
        extensions: Extensions,
        *,
        on_change: Callable[[Agent], None],
        on_lost: Callable[[LegId, int], None],
    ) -> None:
        self._runtime = runtime
        self._roster = roster
        self._extensions = extensions
        self._on_change = on_change
        self._on_lost = on_lost
        self.watches: dict[str, Watch] = {}
        """By supervisor."""

    def of(self, agent: Agent) -> list[tuple[LegId, SupervisionMode]]:
        """Return the legs of those who are with an agent now, and how."""
        return [
            (watch.leg_id, watch.mode)
            for watch in self.watches.values()
            if watch.agent is agent and watch.up and not watch.took_over
        ]

    def supervise(self, supervisor: str, agent_id: AgentId, mode: SupervisionMode, actor: str) -> None:
        """Be with an agent from a supervisor's phone, which is called where it is not up; again with another mode or agent: switch."""
        agent = self._roster[agent_id]
        settings = self._extensions.settings.get(supervisor)
        if settings is None or not settings.supervises:
            known = ", ".join(sorted(n for n, its in self._extensions.settings.items() if its.supervises))
            msg = f"no extension {supervisor!r} with supervises = true in dialer.toml; known are: {known or 'none'}"
            raise CommandRefusedError(msg)
        watch = self.watches.get(supervisor)
        if watch is None:
            leg_id = self._extensions.call(
                supervisor,
                LegPurpose.SUPERVISION,
                on_up=lambda: self._up(supervisor),
                on_gone=lambda code: self._gone(supervisor, code),
            )
            self.watches[supervisor] = watch = Watch(supervisor, agent, mode, leg_id, actor)
        elif watch.took_over:
            msg = f"{supervisor} talks to a customer; hang up first"
            raise CommandRefusedError(msg)
        before = watch.agent
        if before is not agent:
            self._tell(watch, "none")
        watch.agent, watch.mode, watch.actor = agent, mode, actor
        self._tell(watch, mode)
        self._on_change(agent)
        if before is not agent:
            self._on_change(before)

    def adopt(self, watch: Watch) -> tuple[Callable[[], None], Callable[[int], None]]:
        """Go on with a former engine's; nothing is told. Returns what to call when their phone has answered, and when it is over."""
        supervisor = watch.supervisor
        self.watches[supervisor] = watch
        return lambda: self._up(supervisor), lambda code: self._gone(supervisor, code)

    def stop(self, supervisor: str) -> None:
        """Hang the supervisor's phone up."""
        watch = self.watches.get(supervisor)
        if watch is None:
            msg = f"{supervisor} is with nobody"
            raise CommandRefusedError(msg)
        self._end(watch, 0)
        self._extensions.hang_up(watch.leg_id)

    def with_a_talk(self, supervisor: str) -> Watch:
        """Return a supervisor who may take their agent's customer over."""
        watch = self.watches.get(supervisor)
        if watch is None or not watch.up:
            msg = f"{supervisor} is with no agent; supervise first"
            raise CommandRefusedError(msg)
        if watch.took_over:
            msg = f"{supervisor} talks to a customer; hang up first"
            raise CommandRefusedError(msg)
        return watch

    def is_supervisor(self, leg_id: LegId) -> bool:
        """Whether a leg is a supervisor's."""
        return any(watch.leg_id == leg_id for watch in self.watches.values())

    def gave_back(self, leg_id: LegId) -> None:
        """The customer that a supervisor had taken over has gone: they are with their agent again."""
        for watch in self.watches.values():
            if watch.leg_id == leg_id and watch.took_over:
                watch.took_over = False
                self._on_change(watch.agent)

    def _up(self, supervisor: str) -> None:
        watch = self.watches[supervisor]
        watch.up = True
        self._on_change(watch.agent)

    def _gone(self, supervisor: str, code: int) -> None:
        if (watch := self.watches.get(supervisor)) is not None:
            log.info("supervisor_gone", supervisor=supervisor, agent_id=watch.agent.id, code=code)
            self._end(watch, code)

    def _end(self, watch: Watch, code: int) -> None:
        del self.watches[watch.supervisor]
        self._tell(watch, "none")
        if watch.took_over:
            self._on_lost(watch.leg_id, code)
        else:
            self._on_change(watch.agent)

    def _tell(self, watch: Watch, mode: str) -> None:
        """Log it, and write it down where nobody changes it: listening to people must be accounted for."""
        agent_id, supervisor, actor = watch.agent.id, watch.supervisor, watch.actor
        told = AgentSupervisionChanged(
            agent_id=agent_id, supervisor=supervisor, mode=mode, actor=actor,
            attempt_id=watch.agent.attempt_id, at_mono_ns=self._runtime.clock.mono_ns(),
        )  # fmt: skip

        def write(tx: Tx) -> None:
            tx.audit(
                "agent.supervision_changed",
                f"agent {agent_id}",
                actor=actor,
                supervisor=supervisor,
                mode=mode,
            )

        self._runtime.store(write, told)
