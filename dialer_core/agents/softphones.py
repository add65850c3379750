"""Agents' legs: nailed up at log-in, kept, called again when lost; or, for who is called per conversation, called and hung up with each.

It owns agents' legs. States are the roster's; customers' calls are told of a lost agent through a callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.events import LegSoundLost
from dialer_core.ipc.messages import (
    Attend,
    CloseLeg,
    ConnectLeg,
    Dialog,
    Hangup,
    LegAnswered,
    LegClosed,
    LegEnded,
    LegInfoDigit,
    LegNegotiated,
    LegOpened,
    LegProvisional,
    LegRtpLost,
    LegSent,
    LegSnapshot,
    MediaEvent,
    MediaLegSnapshot,
    OpenLeg,
    Place,
    SipIdentity,
    WorkerEvent,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.store import legs as leg_rows
from dialer_core.vocabulary import AgentId, AgentState, EndedBy, LegId, LegKind, PauseReason, WorkerId, new_id

log = structlog.get_logger(__name__)

REDIAL_MAX_S = 15.0
RING_LIMIT_S = 30.0
SETUP_LIMIT_S = RING_LIMIT_S + 15.0
"""From the wish to call a softphone to its answer or its end (I6): the worker's own limit acts first, this watches over it."""
RING_LEARNS = 0.2
"""How much the last conversation says about how long a softphone rings."""
RETRY_S = 0.5
"""No worker has room, or the media plane is away: looked again after so long."""


@dataclass(slots=True)
class _Line:
    """One leg to one softphone, from the wish to call it to its end."""

    agent: Agent
    media_port: int = 0
    worker: WorkerId | None = None
    dialog: Dialog | None = None
    negotiated: LegNegotiated | None = None
    setup: asyncio.TimerHandle | None = None
    on_up: Callable[[LegId], None] | None = None
    """What waits for its answer."""
    called_ns: int = 0


class Softphones:
    """The legs to softphones.

    Parameters
    ----------
    on_agent_lost
        Called with the agent whose leg is gone, before their state changes.
    """

    def __init__(
        self,
        runtime: Runtime,
        roster: Roster,
        workers: WorkerPool,
        media: MediaPort,
        *,
        sip_host: str,
        on_agent_lost: Callable[[Agent], None],
    ) -> None:
        self._runtime = runtime
        self._roster = roster
        self._workers = workers
        self._media = media
        self._sip_host = sip_host
        self._on_agent_lost = on_agent_lost
        self._lines: dict[LegId, _Line] = {}
        self._redials: dict[AgentId, asyncio.TimerHandle] = {}
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of a leg whose worker is gone: somebody else is to send its BYE."""
        self.on_digit: Callable[[Agent, str], None] = lambda _agent, _digit: None
        """Called with a digit that a softphone has sent by INFO."""
        self.on_hung_up: Callable[[Agent], bool] = lambda _agent: False
        """Called when an agent who is called per conversation has hung up: that is how they end it; returns whether they had one."""
        roster.on_talk_over = self._talk_over

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is an agent's."""
        return leg_id in self._lines

    def agent_of(self, leg_id: LegId | None) -> Agent | None:
        """Return whose leg this is, if it is an agent's."""
        line = self._lines.get(leg_id) if leg_id else None
        return line.agent if line else None

    def worker_of(self, agent: Agent) -> WorkerId | None:
        """Return the worker that holds the agent's leg."""
        line = self._lines.get(agent.leg_id) if agent.leg_id is not None else None
        return line.worker if line else None

    def call(self, agent: Agent) -> None:
        """Call the softphone, unless it is being called or up already, is called per conversation, is a PBX's, or the agent has logged out."""
        if agent.state is AgentState.LOGGED_OUT or agent.leg_id is not None or agent.in_pbx:
            return
        if agent.per_conversation:
            self._roster.apply(agent, AgentCue.LEG_UP)
            return
        if not self._media.attached:  # being replaced: nobody would ever answer the OpenLeg
            self._redial_later(agent, RETRY_S)
            return
        leg_id = LegId(new_id())
        self._begin(agent, leg_id)
        self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.AGENT))

    def when_up(self, agent: Agent, then: Callable[[LegId], None]) -> None:
        """Do something with the leg of an agent who has been reserved: at once where it is up, else when their softphone has answered.

        One that does not answer, is busy or cannot be called is told as a lost agent; `then` is not called any more.
        """
        if agent.leg_id is not None and agent.leg_up:
            then(agent.leg_id)
            return
        if agent.leg_id is None:
            if not self._media.attached:
                self._runtime.loop.call_soon(self._unanswered, agent)
                return
            leg_id = LegId(new_id())
            self._begin(agent, leg_id)
            self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.AGENT))
        if agent.leg_id is not None:
            line = self._lines[agent.leg_id]
            line.on_up, line.called_ns = then, self._runtime.clock.mono_ns()

    def _talk_over(self, agent: Agent) -> None:
        if agent.per_conversation:
            self.hang_up(agent)

    def _unanswered(self, agent: Agent) -> None:
        """The softphone did not answer: their person goes to the next agent, and they are given nobody more until they say so."""
        self._forget(agent, hangup=True)
        if agent.state is AgentState.RESERVED:
            self._on_agent_lost(agent)
            self._roster.apply(agent, AgentCue.NO_ANSWER)

    def _left_early(self, agent: Agent) -> None:
        """They hung up before the bridge stood, or in somebody else's conversation: whoever was on the way to them goes to the next agent."""
        self._on_agent_lost(agent)
        early = agent.state is AgentState.RESERVED
        self._roster.apply(agent, AgentCue.NO_ANSWER if early else AgentCue.CALL_ENDED)

    def call_waiting(self) -> None:
        """Call the softphones whose first call found no worker or media plane yet."""
        if self._media.attached and self._workers.choose(LegKind.AGENT) is not None:
            for agent in self._roster.all():
                if (
                    agent.state is AgentState.PAUSED
                    and agent.leg_id is None
                    and agent.redial_attempt == 0
                    and not agent.per_conversation
                ):
                    self.call(agent)

    def leave_draining(self) -> None:
        """Call anew, over another worker, whoever does not talk and hangs on one that wants to leave."""
        for agent in self._roster.all():
            if (
                agent.leg_up
                and agent.state in (AgentState.READY, AgentState.PAUSED, AgentState.WRAP_UP)
                and self._workers.is_draining(self.worker_of(agent))
                and self._workers.choose(LegKind.AGENT) is not None
            ):
                log.info("softphone_moved", agent_id=agent.id)
                self.restart(agent)

    def _begin(self, agent: Agent, leg_id: LegId) -> _Line:
        agent.leg_id = leg_id
        line = self._lines[leg_id] = _Line(agent)
        line.setup = self._runtime.later(SETUP_LIMIT_S, lambda: self._overdue(agent, leg_id))
        return line

    def adopt(self, agent: Agent, worker: WorkerId, leg: LegSnapshot, *, stored: bool) -> None:
        """Take over the leg that a former engine had to this agent's softphone, up or still being called.

        Parameters
        ----------
        agent
            As journalled.
        worker, leg
            Who holds it, and what it says of it.
        stored
            Whether the leg has its row.
        """
        line = self._begin(agent, leg.leg_id)
        line.worker, line.media_port, line.negotiated = worker, leg.media_port, leg.negotiated
        if not stored:
            self._insert(line, leg.leg_id)
        line.dialog = leg.dialog
        if leg.answered_ns and leg.dialog is not None:
            self._up(agent, worker, leg.leg_id, leg.dialog)

    def bring_in_line(self, held: Mapping[LegId, MediaLegSnapshot]) -> int:
        """Open again what the media plane does not hold, on the same ports; return how many. A leg it says is silent is called anew."""
        reopened = 0
        for leg_id, line in list(self._lines.items()):
            leg = held.get(leg_id)
            if not line.media_port:
                self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.AGENT))  # the wish for it was lost
                continue
            if leg is None:
                reopened += 1
                self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.AGENT, port=line.media_port))
            if line.negotiated is not None:
                command = connect_command(line.negotiated)
                if leg is None or leg.connected != command:
                    self._media.send(command)
            if leg is not None and leg.rtp_lost and line.agent.leg_up:
                self._lost(line.agent, hangup=True)
        return reopened

    def restart(self, agent: Agent) -> None:
        """The media plane will not use this leg: end it and call the softphone anew; their caller goes to the next agent."""
        self._lost(agent, hangup=True)

    def hang_up(self, agent: Agent) -> None:
        """End the leg; the agent has logged out."""
        if timer := self._redials.pop(agent.id, None):
            timer.cancel()
        if (leg_id := agent.leg_id) is not None:
            self._forget(agent, hangup=True)
            log.info("agent_leg_hung_up", agent_id=agent.id, leg_id=leg_id)

    def on_media(self, event: MediaEvent) -> None:
        """Take an event of a leg that `owns` says is ours."""
        line = self._lines[event.leg_id]  # type: ignore[union-attr] # `owns` has looked at it
        match event:
            case LegOpened():
                self._opened(line, event)
            case LegRtpLost():
                if line.agent.leg_up:
                    log.warning(
                        "agent_leg_silent",
                        agent_id=line.agent.id,
                        leg_id=event.leg_id,
                        silent_s=event.silent_s,
                    )
                    self._runtime.journal.append(
                        LegSoundLost(
                            leg_id=event.leg_id, silent_s=event.silent_s, agent_id=line.agent.id, at_mono_ns=event.at_ns
                        )
                    )  # fmt: skip
                    self._lost(line.agent, hangup=True)
            case LegClosed():
                log.error("leg_closed_unasked", agent_id=line.agent.id, leg_id=event.leg_id)
                self._lost(line.agent, hangup=True)
            case _:
                pass  # verdicts and prompts are customers' business

    def on_worker(self, worker: WorkerId, event: WorkerEvent) -> None:
        """Take an event of a leg that `owns` says is ours."""
        line = self._lines[event.leg_id]  # type: ignore[union-attr] # `owns` has looked at it
        match event:
            case LegSent():
                leg_id, call_id = event.leg_id, event.call_id
                self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, call_id=call_id))
            case LegProvisional():
                if line.dialog is None and event.pending is not None:
                    line.dialog, leg_id = event.pending, event.leg_id
                    row = msgspec.to_builtins(event.pending)
                    self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=row))
            case LegNegotiated():
                line.negotiated = event
                self._media.send(connect_command(event))
            case LegAnswered():
                self._up(line.agent, worker, event.leg_id, event.dialog)
            case LegInfoDigit(digit=digit):
                self.on_digit(line.agent, digit)
            case LegEnded():
                log.info(
                    "agent_leg_ended",
                    agent_id=line.agent.id,
                    leg_id=event.leg_id,
                    code=event.code,
                    by=event.by,
                )
                if line.agent.per_conversation and line.agent.leg_up and event.by is EndedBy.FAR:
                    self._forget(line.agent, hangup=False)
                    if not self.on_hung_up(line.agent):
                        self._left_early(line.agent)
                else:
                    self._lost(line.agent, hangup=False)
            case _:
                pass

    def on_worker_lost(self, worker: WorkerId) -> int:
        """Every leg in this worker is gone; returns how many."""
        lost = [line for line in self._lines.values() if line.worker == worker]
        for line in lost:
            if line.dialog is not None:
                self.on_orphan(line.dialog)
            self._lost(line.agent, hangup=False)
        return len(lost)

    def on_media_gone(self) -> None:
        """There has been no media plane for too long: end every leg and call again."""
        for line in list(self._lines.values()):
            self._lost(line.agent, hangup=True)

    def _opened(self, line: _Line, opened: LegOpened) -> None:
        agent, leg_id = line.agent, opened.leg_id
        if line.worker is not None:  # opened again
            if not opened.port:
                log.error("leg_not_reopened", agent_id=agent.id, error=opened.error)
                self._lost(agent, hangup=True)
            return
        worker = self._workers.choose(LegKind.AGENT)
        if not opened.port or worker is None:
            log.warning(
                "agent_leg_not_placed",
                agent_id=agent.id,
                media_error=opened.error,
                worker_free=worker is not None,
            )
            if agent.per_conversation:
                self._unanswered(agent)
                return
            self._forget(agent, hangup=False)
            self._redial_later(agent, RETRY_S)
            return
        line.worker, line.media_port = worker, opened.port
        self._insert(line, leg_id)
        place = Place(
            leg_id=leg_id,
            kind=LegKind.AGENT,
            owner=agent.id,
            to_uri=agent.settings.sip,
            identity=SipIdentity(from_uri=f"sip:marcador@{self._sip_host}", display_name="Marcador"),
            media_host=opened.host,
            media_port=opened.port,
            srtp=agent.settings.srtp,
            ring_limit_s=RING_LIMIT_S,
            unattended_limit_s=RING_LIMIT_S,
        )
        self._workers.send(worker, place)

    def _insert(self, line: _Line, leg_id: LegId) -> None:
        row = leg_rows.NewLeg(
            id=leg_id, kind=LegKind.AGENT, agent_id=line.agent.id, node=self._runtime.node, worker=line.worker or "",
            media_port=line.media_port, opened_at_utc=self._runtime.clock.utc(),
        )  # fmt: skip
        self._runtime.store(lambda tx: leg_rows.insert(tx, row))

    def _overdue(self, agent: Agent, leg_id: LegId) -> None:
        """Nobody has said anything more of this leg."""
        log.error("agent_leg_overdue", agent_id=agent.id, leg_id=leg_id)
        self._lost(agent, hangup=True)

    def _up(self, agent: Agent, worker: WorkerId, leg_id: LegId, dialog: Dialog) -> None:
        line = self._lines[leg_id]
        agent.leg_up, agent.redial_attempt, line.dialog = True, 0, dialog
        if line.setup:
            line.setup.cancel()
            line.setup = None
        self._workers.send(worker, Attend(leg_id=leg_id))
        row = msgspec.to_builtins(dialog)
        self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=row, call_id=dialog.call_id))
        log.info("agent_leg_up", agent_id=agent.id, leg_id=leg_id)
        if agent.state is not AgentState.PAUSED or agent.reason in (
            PauseReason.CONNECTING,
            PauseReason.LEG_LOST,
        ):
            self._roster.apply(agent, AgentCue.LEG_UP)
        if line.on_up is not None:
            on_up, line.on_up = line.on_up, None
            rang_s = (self._runtime.clock.mono_ns() - line.called_ns) / 1e9
            agent.ring_s = (
                rang_s if not agent.ring_s else agent.ring_s + RING_LEARNS * (rang_s - agent.ring_s)
            )
            on_up(leg_id)

    def gone(self, agent: Agent) -> None:
        """The leg that a former engine had to this agent is nowhere any more."""
        self._lost(agent, hangup=True, was_up=True)

    def _lost(self, agent: Agent, *, hangup: bool, was_up: bool = False) -> None:
        was_up = was_up or agent.leg_up
        if agent.per_conversation and not was_up:
            self._unanswered(agent)
            return
        self._forget(agent, hangup=hangup)
        if was_up:
            self._on_agent_lost(agent)
            self._roster.apply(agent, AgentCue.LEG_LOST)
        if agent.per_conversation:
            self._roster.apply(
                agent, AgentCue.LEG_UP
            )  # there is nothing to call again before the next conversation
        elif agent.state is not AgentState.LOGGED_OUT and not agent.in_pbx:
            agent.redial_attempt += 1
            self._redial_later(agent, min(REDIAL_MAX_S, 0.5 * 2 ** min(agent.redial_attempt, 6)))

    def _forget(self, agent: Agent, *, hangup: bool) -> None:
        leg_id = agent.leg_id
        agent.leg_id, agent.leg_up = None, False
        if leg_id is None:
            return
        line = self._lines.pop(leg_id, None)
        if line is not None and line.setup:
            line.setup.cancel()
        worker = line.worker if line else None
        if hangup and worker is not None:
            self._workers.send(worker, Hangup(leg_id=leg_id))
        self._media.send(CloseLeg(leg_id=leg_id))
        if worker is not None:
            now = self._runtime.clock.utc()
            self._runtime.store(lambda tx: leg_rows.end(tx, leg_id, at_utc=now))

    def _redial_later(self, agent: Agent, delay_s: float) -> None:
        def redial() -> None:
            self._redials.pop(agent.id, None)
            self.call(agent)

        if timer := self._redials.pop(agent.id, None):
            timer.cancel()
        self._redials[agent.id] = self._runtime.later(delay_s, redial)


def connect_command(event: LegNegotiated) -> ConnectLeg:
    """Return the media plane's command for what the worker negotiated."""
    return ConnectLeg(
        leg_id=event.leg_id,
        host=event.host,
        port=event.port,
        codec=event.codec,
        dtmf_pt=event.dtmf_pt,
        ptime_ms=event.ptime_ms,
        direction=event.direction,
        rtcp_host=event.rtcp_host,
        rtcp_port=event.rtcp_port,
        srtp=event.srtp,
    )
