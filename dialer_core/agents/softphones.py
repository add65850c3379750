"""Agents' nailed-up legs: calling the softphone at log-in, keeping the leg, noticing its loss at once, calling it again.

It owns agents' legs. States are the roster's; customers' calls are told of a lost agent through a callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.ipc.messages import (
    Attend,
    CloseLeg,
    ConnectLeg,
    Dialog,
    Hangup,
    LegAnswered,
    LegEnded,
    LegNegotiated,
    LegOpened,
    LegRtpLost,
    LegSent,
    MediaEvent,
    OpenLeg,
    Place,
    SipIdentity,
    WorkerEvent,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.store import legs as leg_rows
from dialer_core.vocabulary import AgentId, AgentState, LegId, LegKind, WorkerId, new_id

log = structlog.get_logger(__name__)

REDIAL_MAX_S = 15.0
RING_LIMIT_S = 30.0
SETUP_LIMIT_S = RING_LIMIT_S + 15.0
"""From the wish to call a softphone to its answer or its end (I6): the worker's own limit acts first, this watches over it."""
RETRY_S = 0.5
"""No worker has room, or the media plane is away: looked again after so long."""


class Softphones:
    """The nailed-up legs.

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
        self._by_leg: dict[LegId, Agent] = {}
        self._worker_of: dict[LegId, WorkerId] = {}
        self._redials: dict[AgentId, asyncio.TimerHandle] = {}
        self._setups: dict[LegId, asyncio.TimerHandle] = {}
        self._dialogs: dict[LegId, Dialog] = {}
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of a leg whose worker is gone: somebody else is to send its BYE."""

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is an agent's."""
        return leg_id in self._by_leg

    def worker_of(self, agent: Agent) -> WorkerId | None:
        """Return the worker that holds the agent's leg."""
        return self._worker_of.get(agent.leg_id) if agent.leg_id is not None else None

    def call(self, agent: Agent) -> None:
        """Call the softphone, unless it is being called or up already, or the agent has logged out."""
        if agent.state is AgentState.LOGGED_OUT or agent.leg_id is not None:
            return
        if not self._media.attached:  # being replaced: nobody would ever answer the OpenLeg
            self._redial_later(agent, RETRY_S)
            return
        leg_id = LegId(new_id())
        agent.leg_id = leg_id
        self._by_leg[leg_id] = agent
        self._setups[leg_id] = self._runtime.later(SETUP_LIMIT_S, lambda: self._overdue(agent, leg_id))
        self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.AGENT))

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
        match event:
            case LegOpened():
                self._place(self._by_leg[event.leg_id], event)
            case LegRtpLost():
                agent = self._by_leg[event.leg_id]
                if agent.leg_up:
                    log.warning(
                        "agent_leg_silent", agent_id=agent.id, leg_id=event.leg_id, silent_s=event.silent_s
                    )
                    self._lost(agent, hangup=True)
            case _:
                pass  # verdicts and prompts are customers' business

    def on_worker(self, worker: WorkerId, event: WorkerEvent) -> None:
        """Take an event of a leg that `owns` says is ours."""
        match event:
            case LegSent():
                leg_id, call_id = event.leg_id, event.call_id
                self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, call_id=call_id))
            case LegNegotiated():
                self._media.send(connect_command(event))
            case LegAnswered():
                self._up(self._by_leg[event.leg_id], worker, event)
            case LegEnded():
                agent = self._by_leg[event.leg_id]
                log.info(
                    "agent_leg_ended", agent_id=agent.id, leg_id=event.leg_id, code=event.code, by=event.by
                )
                self._lost(agent, hangup=False)
            case _:
                pass

    def on_worker_lost(self, worker: WorkerId) -> int:
        """Every leg in this worker is gone; returns how many."""
        lost = [leg_id for leg_id, name in self._worker_of.items() if name == worker]
        for leg_id in lost:
            if (dialog := self._dialogs.get(leg_id)) is not None:
                self.on_orphan(dialog)
            self._lost(self._by_leg[leg_id], hangup=False)
        return len(lost)

    def on_media_lost(self) -> None:
        """Every leg has lost its sound: end and call again."""
        for agent in list(self._by_leg.values()):
            self._lost(agent, hangup=True)

    def _place(self, agent: Agent, opened: LegOpened) -> None:
        worker = self._workers.choose(LegKind.AGENT)
        if not opened.port or worker is None:
            log.warning(
                "agent_leg_not_placed",
                agent_id=agent.id,
                media_error=opened.error,
                worker_free=worker is not None,
            )
            self._forget(agent, hangup=False)
            self._redial_later(agent, RETRY_S)
            return
        leg_id = opened.leg_id
        self._worker_of[leg_id] = worker
        now = self._runtime.clock.utc()
        row = leg_rows.NewLeg(
            id=leg_id, kind=LegKind.AGENT, agent_id=agent.id, node=self._runtime.node, worker=worker, media_port=opened.port, opened_at_utc=now
        )  # fmt: skip
        self._runtime.store(lambda tx: leg_rows.insert(tx, row))
        place = Place(
            leg_id=leg_id,
            kind=LegKind.AGENT,
            to_uri=agent.settings.sip,
            identity=SipIdentity(from_uri=f"sip:marcador@{self._sip_host}", display_name="Marcador"),
            media_host=opened.host,
            media_port=opened.port,
            ring_limit_s=RING_LIMIT_S,
            unattended_limit_s=RING_LIMIT_S,
        )
        self._workers.send(worker, place)

    def _overdue(self, agent: Agent, leg_id: LegId) -> None:
        """Nobody has said anything more of this leg."""
        log.error("agent_leg_overdue", agent_id=agent.id, leg_id=leg_id)
        self._lost(agent, hangup=True)

    def _up(self, agent: Agent, worker: WorkerId, event: LegAnswered) -> None:
        agent.leg_up, agent.redial_attempt = True, 0
        self._dialogs[event.leg_id] = event.dialog
        if timer := self._setups.pop(event.leg_id, None):
            timer.cancel()
        self._workers.send(worker, Attend(leg_id=event.leg_id))
        leg_id, dialog = event.leg_id, msgspec.to_builtins(event.dialog)
        self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=dialog))
        log.info("agent_leg_up", agent_id=agent.id, leg_id=leg_id)
        self._roster.apply(agent, AgentCue.LEG_UP)

    def _lost(self, agent: Agent, *, hangup: bool) -> None:
        was_up = agent.leg_up
        self._forget(agent, hangup=hangup)
        if was_up:
            self._on_agent_lost(agent)
            self._roster.apply(agent, AgentCue.LEG_LOST)
        if agent.state is not AgentState.LOGGED_OUT:
            agent.redial_attempt += 1
            self._redial_later(agent, min(REDIAL_MAX_S, 0.5 * 2 ** min(agent.redial_attempt, 6)))

    def _forget(self, agent: Agent, *, hangup: bool) -> None:
        leg_id = agent.leg_id
        agent.leg_id, agent.leg_up = None, False
        if leg_id is None:
            return
        self._by_leg.pop(leg_id, None)
        self._dialogs.pop(leg_id, None)
        if timer := self._setups.pop(leg_id, None):
            timer.cancel()
        worker = self._worker_of.pop(leg_id, None)
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
    )
