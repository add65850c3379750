"""Live answers delivered into a queue of a PBX: the queue is called, one of its agents is acknowledged, and only then do they hear each other.

It owns which attempt is on its way to which queue, and what counts as an agent. Until one is acknowledged the person waits, by the same deadline as
for an agent of ours: a PBX that answers with music or a menu is nobody, and past the deadline they hear the abandonment message. The leg is
`extensions.py`'s, its REFER `referrals.py`'s, agents' states are the roster's.

An agent is reserved before the queue is called, so that pacing counts them; which of its agents takes the call the PBX decides, and whoever names
them (`told`, `update`) is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from dialer_core.agents.presence import Presences
from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.extensions import SETUP_MARGIN_S, Extensions
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.originate import ATTEMPT_HEADER
from dialer_core.errors import CommandRefusedError
from dialer_core.ipc.messages import Bridge
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AgentId, AgentState, AttemptId, AttemptState, LegId, LegPurpose
from dialer_core.voice_events import AttemptDelivered, AttemptDeliveryBegan, AttemptDeliveryFailed

log = structlog.get_logger(__name__)

S = AttemptState
REST_S: Final = 5.0
"""A queue that refused a call, or did not answer it, is given no other for so long."""
LONG_REST_S: Final = 60.0
"""The same where it is not there at all, or must not be called."""
_NOT_THERE: Final = frozenset({403, 404, 405, 410, 604})


@dataclass(slots=True)
class _Delivery:
    """One attempt on its way to a queue, or with one of its agents."""

    attempt: Attempt
    agent: Agent
    extension: str
    began_ns: int
    announcement: str = ""
    leg_id: LegId = field(default_factory=lambda: LegId(""))
    up: bool = False
    """The queue has answered."""
    told: str | None = None
    """An agent of it was named before it had answered; empty: nobody in particular."""
    connected: bool = False


class Deliveries:
    """Every attempt that is on its way to a queue, or with one of its agents."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        roster: Roster,
        presences: Presences,
        media: MediaPort,
        extensions: Extensions,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._roster = roster
        self._presences = presences
        self._media = media
        self._extensions = extensions
        self._of: dict[AttemptId, _Delivery] = {}
        self._rest_until_ns: dict[str, int] = {}
        """By extension: a short rest does not end a long one."""
        self.on_over: Callable[[Attempt], None] = lambda _attempt: None
        """Called when the PBX has ended a conversation: so is the call."""
        self.on_bridged: Callable[[Attempt, str, LegId], None] = lambda _attempt, _extension, _leg_id: None
        """Called when customer and agent hear each other, with the extension and its leg."""

    def limit_s(self, agent: Agent) -> float:
        """Return how long a delivery to an agent's queue may take; the person's own deadline is usually far shorter."""
        return self._extensions.settings[agent.settings.queue].ring_limit_s + 2 * SETUP_MARGIN_S

    def begin(self, attempt: Attempt, agent: Agent, announcement: str = "") -> None:
        """Entered BRIDGING: call the queue of the agent who has been reserved."""
        name, now_ns = agent.settings.queue, self._runtime.clock.mono_ns()
        its = self._of[attempt.id] = _Delivery(attempt, agent, name, now_ns, announcement)
        its.leg_id = self._extensions.call(
            name,
            LegPurpose.DELIVERY,
            attempt.id,
            on_up=lambda: self._answered(its),
            on_gone=lambda code: self._gone(its, code),
            on_line=lambda user: self._line(its, user),
            customer=attempt,
            headers={ATTEMPT_HEADER: attempt.id},
        )
        told = event_of(
            AttemptDeliveryBegan, attempt, now_ns, extension=name, leg_id=its.leg_id, agent_id=agent.id
        )
        self._runtime.journal.append(told)

    def told(self, attempt_id: AttemptId, agent: str = "", source: str = "") -> dict[str, str]:
        """Take somebody's word that an agent of the queue has the call; said again, it changes nothing.

        Parameters
        ----------
        attempt_id
            As the queue's INVITE carried it (`X-Marcador-Attempt`).
        agent
            Which: their id, or as `source` calls them; empty: it is not known.
        source
            The plugin who says so.

        Raises
        ------
        CommandRefusedError
            This attempt is on its way to no queue, or is not for such words.
        """
        its = self._of.get(attempt_id)
        if its is None:
            raise CommandRefusedError("no live attempt with this id is being delivered to a queue", "unknown")
        way = self._extensions.settings[its.extension].acknowledged_by
        if way != "told":
            msg = f'extensions.{its.extension} is acknowledged by {way}: set acknowledged_by = "told" to be told'
            raise CommandRefusedError(msg)
        found = self._presences.known_as(source, agent)
        name = found.id if found is not None else agent
        if name and name not in self._roster.agents:
            raise CommandRefusedError(f"no agent {name!r} in agents.toml", "invalid")
        if not its.connected:
            its.told = name
            if its.up:
                self._connect(its, "told", name)
        return {"attempt": attempt_id, "agent": its.agent.id}

    def adopt(self, attempt: Attempt, agent: Agent, extension: str, leg_id: LegId) -> Callable[[int], None]:
        """Go on with a former engine's: this attempt talks to this agent over this leg. Returns what to call when the leg is over."""
        now_ns = self._runtime.clock.mono_ns()
        its = _Delivery(attempt, agent, extension, now_ns, leg_id=leg_id, up=True, connected=True)
        self._of[attempt.id] = its
        agent.leg_id = leg_id
        return lambda code: self._gone(its, code)

    def bridged(self, attempt: Attempt) -> None:
        """Customer and agent hear each other."""
        if (its := self._of.get(attempt.id)) is not None:
            self.on_bridged(attempt, its.extension, its.leg_id)

    def parted(self, attempt: Attempt, agent: Agent) -> None:
        """The attempt is no longer on its way to them, nor with them: their leg of this conversation is hung up."""
        its = self._of.pop(attempt.id, None)
        agent.leg_id = None
        if its is not None:
            self._extensions.hang_up(its.leg_id)

    def bad_leg(self, agent: Agent) -> None:
        """The media plane will not bridge to an agent's leg."""
        for its in list(self._of.values()):
            if its.agent is agent:
                self._extensions.hang_up(its.leg_id)
                self._gone(its, 0)

    def _answered(self, its: _Delivery) -> None:
        its.up = True
        if self._extensions.settings[its.extension].acknowledged_by == "answer":
            self._connect(its, "answer", "")
        elif its.told is not None:
            self._connect(its, "told", its.told)

    def _line(self, its: _Delivery, user: str) -> None:
        """The PBX says whom it has connected us to: by that an agent is known to be there."""
        if its.up and self._extensions.settings[its.extension].acknowledged_by == "update":
            names = (agent for agent in self._roster.all() if agent.settings.queue == its.extension)
            found = next((a for a in names if user in (a.id, a.settings.member.rpartition("/")[2])), None)
            self._connect(its, "update", found.id if found is not None else "")

    def _connect(self, its: _Delivery, by: str, name: str) -> None:
        attempt = its.attempt
        if its.connected or attempt.state is not S.BRIDGING:
            return
        its.connected = True
        if name and name != its.agent.id:
            self._give_to(its, self._roster.agents[AgentId(name)])
        its.agent.leg_id = its.leg_id
        now_ns = self._runtime.clock.mono_ns()
        told = event_of(
            AttemptDelivered, attempt, now_ns, extension=its.extension, leg_id=its.leg_id, agent_id=its.agent.id, by=by,
            waited_ms=(now_ns - its.began_ns) // 1_000_000,
        )  # fmt: skip
        self._runtime.journal.append(told)
        self._media.send(
            Bridge(leg_id=attempt.leg_id, agent_leg_id=its.leg_id, announcement=its.announcement)
        )

    def _give_to(self, its: _Delivery, agent: Agent) -> None:
        """Another of its agents has taken it than the one reserved."""
        if agent.state is AgentState.PAUSED:  # their source said `busy` as soon as their phone rang
            self._roster.apply(agent, AgentCue.READY)
        if agent.state is not AgentState.READY:
            log.warning("delivered_to_somebody_at_work", agent_id=agent.id, state=agent.state)
            return
        before, its.agent, its.attempt.agent_id = its.agent, agent, agent.id
        self._roster.apply(agent, AgentCue.RESERVE, attempt=its.attempt.id, campaign=its.attempt.campaign_id)
        self._roster.apply(before, AgentCue.UNRESERVE)

    def _gone(self, its: _Delivery, code: int) -> None:
        """The queue's leg is over, by the PBX or because it is lost."""
        attempt, agent = its.attempt, its.agent
        if self._of.pop(attempt.id, None) is None:
            return
        agent.leg_id = None
        if attempt.state is S.BRIDGED:
            self.on_over(attempt)
            return
        reason = "lost"
        if its.up and not its.connected:
            reason = "not_acknowledged"
        elif not its.up:
            reason = "no_answer" if code in (0, 408, 480, 487) else "refused"
        told = event_of(
            AttemptDeliveryFailed, attempt, self._runtime.clock.mono_ns(), extension=its.extension, leg_id=its.leg_id,
            agent_id=agent.id, sip_code=code, reason=reason,
        )  # fmt: skip
        self._runtime.journal.append(told)
        log.warning(
            "delivery_failed", attempt_id=attempt.id, extension=its.extension, code=code, reason=reason
        )
        self._rest(its.extension, LONG_REST_S if code in _NOT_THERE else REST_S)
        if attempt.state is S.BRIDGING and attempt.agent_id == agent.id:
            self._machine.feed(attempt, Cue.AGENT_LOST)
        self._roster.apply(agent, AgentCue.UNRESERVE)

    def _rest(self, extension: str, for_s: float) -> None:
        until_ns = self._runtime.clock.mono_ns() + int(for_s * 1e9)
        if until_ns <= self._rest_until_ns.get(extension, 0):
            return  # it rests longer already
        self._rest_until_ns[extension] = until_ns
        resting = [agent for agent in self._roster.all() if agent.settings.queue == extension]
        for agent in resting:
            agent.resting = True

        def over() -> None:
            if self._rest_until_ns.get(extension) == until_ns:
                for agent in resting:
                    agent.resting = False

        self._runtime.later(for_s, over)  # the call loop looks ten times a second who is free
