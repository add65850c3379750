"""Calls that come in to a campaign's number: answered, and bridged to the agent whom the queue gives them, or told a message.

It owns those calls, from the worker's word that one has come to their end, and their events; also over the death of the media plane, which gets
their legs anew, and of the engine: the next one adopts them. They are nobody's attempt: no gate, no pacing. Who waits for whom is
`inbound_queue.py`'s, who they are `callers.py`'s, what a flow says to them `inbound_flows.py`'s, one call's states are `inbound_call.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import connect_command
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls.callers import Callers, campaigns_by_number, digits_of
from dialer_core.calls.flow_talks import PLAY_ID as FLOW_PLAY_ID
from dialer_core.calls.flow_talks import FlowTalks
from dialer_core.calls.inbound_call import CallCue, CallState, InboundCall
from dialer_core.calls.inbound_flows import InboundFlows
from dialer_core.calls.inbound_legs import ReadyLegs
from dialer_core.calls.inbound_queue import OFFER_PLAY_ID, InboundQueue
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import CallArrived, CallBridged, CallEnded
from dialer_core.flows.language import Flow
from dialer_core.ipc.messages import (
    Answer,
    Attend,
    Bridge,
    BridgeRefused,
    CloseLeg,
    Dialog,
    Hangup,
    Hear,
    LegAnswered,
    LegClosed,
    LegDigit,
    LegEnded,
    LegIncoming,
    LegInfoDigit,
    LegNegotiated,
    LegOpened,
    LegsBridged,
    LegSnapshot,
    MediaEvent,
    MediaLegSnapshot,
    OpenLeg,
    Play,
    PromptFinished,
    Unbridge,
    WorkerEvent,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.settings import TrunkSettings
from dialer_core.store import legs as leg_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    INBOUND_CALL,
    AgentId,
    AgentState,
    CampaignId,
    LegId,
    LegKind,
    SrtpUse,
    TrunkId,
    WorkerId,
)

log = structlog.get_logger(__name__)

NOT_FOUND, UNAVAILABLE, NOT_ACCEPTABLE = 404, 480, 488
MESSAGE_PLAY_ID: Final = "inbound"


class InboundCalls:
    """The calls that came in.

    Parameters
    ----------
    free
        Whether calls are taken at all: not while the node drains, or its media plane is away.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: Mapping[CampaignId, CampaignRun],
        trunks: Mapping[TrunkId, TrunkSettings],
        workers: WorkerPool,
        media: MediaPort,
        roster: Roster,
        flows: Mapping[str, Flow],
        talks: FlowTalks,
        free: Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._workers = workers
        self._media = media
        self._roster = roster
        self._must_encrypt = {name for name, trunk in trunks.items() if trunk.srtp is SrtpUse.REQUIRED}
        off = all(trunk.srtp is SrtpUse.OFF for trunk in trunks.values())
        self._ready = ReadyLegs(workers, media, srtp=SrtpUse.OFF if off else SrtpUse.OPTIONAL, free=free)
        self.prepare = self._ready.prepare
        self._calls: dict[LegId, InboundCall] = {}
        self._callers = Callers(runtime, campaigns, on_known=self._known)
        self.flows = InboundFlows(
            runtime,
            campaigns,
            flows,
            media,
            talks,
            to_agent=self._wait_again,
            over=partial(self._end, by_us=True),
        )
        self.queue = InboundQueue(
            runtime,
            campaigns,
            media,
            roster,
            self._callers,
            self.flows,
            give=self._give,
            close=self._tell_message,
        )
        self.last_of: dict[AgentId, InboundCall] = {}
        """The last caller each agent talked to: whom their disposition is about."""
        self._campaign_of = campaigns_by_number(campaigns, trunks)
        self.on_bridged: Callable[[Agent, InboundCall], None] = lambda _agent, _call: None
        """Called when an agent and a caller hear each other."""
        self.on_parted: Callable[[Agent], None] = lambda _agent: None
        """Called when an agent has been parted from a caller."""
        self.when_up: Callable[[Agent, Callable[[LegId], None]], None] = lambda _agent, _then: None
        """Does something with a reserved agent's leg, now or when their softphone has answered."""
        self.on_bad_agent_leg: Callable[[Agent], None] = lambda _agent: None
        """Called when the media plane will not bridge to an agent's leg: it is to be called anew."""
        self.on_key: Callable[[Agent, str], None] = lambda _agent, _key: None
        """Called with a key that a caller presses while they talk to an agent."""
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of a leg whose worker is gone."""

    def __len__(self) -> int:
        return len(self._calls)

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is a call that came in, or kept ready for one."""
        return leg_id in self._calls or leg_id in self._ready

    def hang_up(self, leg_id: LegId) -> None:
        """End a call by command."""
        self._end(self._calls[leg_id], by_us=True)

    # --- what happens ----------------------------------------------------------------------------------------------------------

    def arrived(self, worker: WorkerId, event: LegIncoming) -> None:
        """A worker offers a call: take it or refuse it."""
        expected = self._ready.take(event.leg_id)
        campaign_id = self._campaign_of.get(digits_of(event.number))
        clear = event.trunk in self._must_encrypt and not event.encrypted
        if campaign_id is None or expected is None or clear:
            code = NOT_FOUND if campaign_id is None else NOT_ACCEPTABLE if clear else UNAVAILABLE
            if expected is not None:
                self._media.send(CloseLeg(leg_id=event.leg_id))
            log.info("inbound_refused", leg_id=event.leg_id, trunk=event.trunk, code=code)
            self._workers.send(worker, Hangup(leg_id=event.leg_id, reject_code=code))
            return
        call = InboundCall(
            leg_id=event.leg_id, worker=worker, campaign_id=campaign_id, trunk=event.trunk, arrived_ns=event.at_ns,
            media_port=expected.media_port,
        )  # fmt: skip
        self._calls[call.leg_id] = call
        self._store_arrival(call, event)
        self._callers.identify(call, event.caller, event.number)
        self._workers.send(worker, Answer(leg_id=call.leg_id))

    def _known(self, call: InboundCall) -> None:
        """Their number has been looked up."""
        if call.leg_id in self._calls:
            self.flows.expect(call)
        self.queue.serve()

    def _store_arrival(self, call: InboundCall, event: LegIncoming) -> None:
        row = leg_rows.NewLeg(
            id=call.leg_id, kind=LegKind.CUSTOMER, node=self._runtime.node, worker=call.worker,
            media_port=call.media_port, opened_at_utc=self._runtime.clock.utc(),
        )  # fmt: skip
        call_id = event.call_id

        def write(tx: Tx) -> None:
            leg_rows.insert(tx, row)
            leg_rows.update(tx, row.id, call_id=call_id)

        told = CallArrived(
            campaign_id=call.campaign_id, leg_id=call.leg_id, trunk=call.trunk, at_mono_ns=call.arrived_ns
        )
        self._runtime.store(write, told)
        log.info("inbound_arrived", leg_id=call.leg_id, trunk=call.trunk, campaign=call.campaign_id)

    def on_worker(self, event: WorkerEvent) -> None:
        """Take a worker's event of a leg that `owns` says is ours."""
        match event:
            case LegNegotiated():
                self._media.send(connect_command(event))
                if event.leg_id in self._calls:
                    self._calls[event.leg_id].negotiated = event
            case LegAnswered():
                call = self._calls[event.leg_id]
                self._store_dialog(call, event.dialog)
                if call.apply(CallCue.ANSWERED):
                    self.queue.join(call)
            case LegInfoDigit(leg_id=leg_id, digit=digit):
                self._pressed(leg_id, digit)
            case LegEnded() if event.leg_id in self._calls:
                self._end(self._calls[event.leg_id], by_us=False, code=event.code)
            case _:
                pass

    def _store_dialog(self, call: InboundCall, dialog: Dialog) -> None:
        call.dialog = dialog
        leg_id, plain = call.leg_id, msgspec.to_builtins(dialog)
        self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=plain))

    def on_media(self, event: MediaEvent) -> None:
        """Take the media plane's event of a leg that `owns` says is ours."""
        match event:
            case LegOpened() if event.leg_id in self._calls:  # again
                if not event.port:
                    log.error("leg_not_reopened", leg_id=event.leg_id, error=event.error)
                    self._end(self._calls[event.leg_id], by_us=True)
            case LegOpened():
                self._ready.opened(event)
            case LegsBridged():
                self._bridged(self._calls[event.leg_id], event)
            case BridgeRefused():
                call = self._calls[event.leg_id]
                log.warning("bridge_refused", leg_id=event.leg_id, reason=event.reason)
                agent = call.agent
                self._part(call)
                if agent is not None:
                    self.on_bad_agent_leg(agent)
                self._wait_again(call)
            case LegDigit(leg_id=leg_id, digit=digit):
                self._pressed(leg_id, digit)
            case PromptFinished(play_id=play_id) if play_id.startswith(FLOW_PLAY_ID):
                self.flows.prompt_finished(event)
            case PromptFinished(play_id=play_id, leg_id=leg_id) if play_id == OFFER_PLAY_ID:
                self.queue.offer_over(leg_id)
            case LegClosed():  # by no word of ours: there is no sound for it any more
                log.error("leg_closed_unasked", leg_id=event.leg_id)
                if (silenced := self._calls.get(event.leg_id)) is not None:
                    self._end(silenced, by_us=True)
                else:
                    self._ready.forget({event.leg_id})
            case PromptFinished(play_id=play_id, leg_id=leg_id) if play_id == MESSAGE_PLAY_ID:
                self._end(self._calls[leg_id], by_us=True)
            case _:
                pass

    def _pressed(self, leg_id: LegId, digit: str) -> None:
        call = self._calls.get(leg_id)
        if call is not None and call.state is CallState.IN_FLOW:
            self.flows.pressed(leg_id, digit)
        elif call is not None and call.state is CallState.TALKING and call.agent is not None:
            self.on_key(call.agent, digit)
        else:
            self.queue.pressed(leg_id, digit)

    def agent_lost(self, agent: Agent) -> None:
        """An agent's leg is gone: their caller waits for the next one, before all who came later."""
        for call in list(self._calls.values()):
            if call.agent is agent:
                self._media.send(Unbridge(leg_id=call.leg_id))
                self.on_parted(agent)
                call.agent = None
                self._wait_again(call)

    def on_worker_lost(self, worker: WorkerId) -> int:
        """Every call in this worker is gone; returns how many."""
        self._ready.worker_lost(worker)
        lost = [call for call in self._calls.values() if call.worker == worker]
        for call in lost:
            if call.dialog is not None:
                self.on_orphan(call.dialog)
            self._end(call, by_us=False)
        return len(lost)

    def on_media_lost(self) -> None:
        """Nobody hears anything: calls wait for the next media plane, and no further one is taken."""
        self._ready.forget()

    def end_all(self) -> int:
        """End every call: there has been no media plane for too long, or the node has drained; returns how many."""
        self._ready.forget()
        calls = list(self._calls.values())
        for call in calls:
            self._end(call, by_us=True)
        return len(calls)

    # --- after a death ---------------------------------------------------------------------------------------------------------

    def adopt(
        self,
        worker: WorkerId,
        leg: LegSnapshot,
        sound: MediaLegSnapshot | None,
        agent: Agent | None,
        *,
        stored: bool,
    ) -> None:
        """Take over a call that a former engine took, or was offered; what its leg lacks is ordered by `bring_in_line`.

        Parameters
        ----------
        worker, leg
            Who holds it, or saw it end, and what it says of it. One that came to a number which is nobody's any more is left to be ended as a stray.
        sound
            What the media plane says of it; None: it does not hold it.
        agent
            With whom it is bridged there.
        stored
            Whether the leg has its row.
        """
        arrival = leg.arrival
        campaign_id = self._campaign_of.get(digits_of(arrival.number)) if arrival is not None else None
        if arrival is None or campaign_id is None or not (stored or leg.ended is None):
            return
        call = InboundCall(
            leg_id=leg.leg_id, worker=worker, campaign_id=campaign_id, trunk=arrival.trunk, arrived_ns=arrival.at_ns,
            media_port=leg.media_port, negotiated=leg.negotiated,
        )  # fmt: skip
        self._calls[call.leg_id] = call
        if not stored:
            self._store_arrival(call, arrival)
        if leg.dialog is not None:
            self._store_dialog(call, leg.dialog)
        self._callers.identify(call, arrival.caller, arrival.number)
        log.info("inbound_adopted", leg_id=call.leg_id, ended=leg.ended is not None)
        if agent is not None and sound is not None:
            self._adopt_talk(call, agent, sound)
        elif sound is not None and sound.play_id == MESSAGE_PLAY_ID:
            call.apply(CallCue.NOBODY)
        elif sound is not None and sound.play_id.startswith(FLOW_PLAY_ID):
            self.flows.tell_cut_off(call)  # nobody knows what they were told: they wait for an agent
        if leg.ended is not None:
            self._end(call, by_us=False, code=leg.ended.code)

    def _adopt_talk(self, call: InboundCall, agent: Agent, sound: MediaLegSnapshot) -> None:
        """Make call and agent what the bridge says; what was not told of it is told now."""
        call.agent = agent
        call.apply(CallCue.RESERVED)
        if agent.state is not AgentState.TALKING:
            self._roster.apply(agent, AgentCue.RESERVE, INBOUND_CALL, campaign=call.campaign_id)
            told = LegsBridged(
                at_ns=sound.bridged_ns, leg_id=call.leg_id, agent_leg_id=agent.leg_id or LegId("")
            )
            self._bridged(call, told)
            return
        agent.campaign_id = call.campaign_id
        self.last_of[agent.id] = call
        call.apply(CallCue.BRIDGED)
        call.bridged_ns = sound.bridged_ns

    def talks_with(self, agent: Agent) -> bool:
        """Whether a call that came in has this agent."""
        return any(call.agent is agent for call in self._calls.values())

    def talks(self) -> list[tuple[Agent, InboundCall]]:
        """Return who talks with whom."""
        return [
            (call.agent, call)
            for call in self._calls.values()
            if call.agent is not None and call.state is CallState.TALKING
        ]

    def bring_in_line(self, held: Mapping[LegId, MediaLegSnapshot]) -> int:
        """Order what the media plane lacks of these calls, after it was replaced or the engine was; return how many legs had to be opened."""
        reopened = 0
        for call in list(self._calls.values()):
            leg = held.get(call.leg_id)
            if leg is None:  # the same port: the far end was told of it
                reopened += 1
                self._media.send(OpenLeg(leg_id=call.leg_id, kind=LegKind.CUSTOMER, port=call.media_port))
            if call.negotiated is not None:
                command = connect_command(call.negotiated)
                if leg is None or leg.connected != command:
                    self._media.send(command)
            self._go_on(call, leg)
        return reopened

    def _go_on(self, call: InboundCall, leg: MediaLegSnapshot | None) -> None:
        if call.dialog is None:  # not answered yet: by a former engine's word it may never be
            self._workers.send(call.worker, Answer(leg_id=call.leg_id))
        elif call.agent is not None and call.agent.leg_up and call.agent.leg_id is not None:
            if leg is None or leg.bridged_to != call.agent.leg_id:
                self._media.send(Bridge(leg_id=call.leg_id, agent_leg_id=call.agent.leg_id))
        elif call.state is CallState.MESSAGE:
            if leg is None or leg.play_id != MESSAGE_PLAY_ID:
                self._play(call, self._campaigns[call.campaign_id].settings.inbound_prompt)
            elif not leg.playing:
                self._end(call, by_us=True)
        elif call.state is CallState.QUEUED:
            if leg is None:
                self.queue.bring_in_line(call.leg_id)
        elif call.state is CallState.IN_FLOW:
            if leg is None:
                self.flows.say_again(call)
        elif call.apply(CallCue.ANSWERED):
            self.queue.join(call)

    def _give(self, call: InboundCall, agent: Agent) -> None:
        """Bridge a caller to the agent they are given."""
        if (agent.leg_id is None and not agent.per_conversation) or not call.apply(CallCue.RESERVED):
            return
        call.agent = agent

        run = self._campaigns[call.campaign_id]
        language, region = (call.caller.language, call.caller.region) if call.caller else ("es", None)
        told = run.announcement(call.number, language, region) if not call.bridged_ns else ""

        def bridge(leg_id: LegId) -> None:
            if call.state is CallState.BRIDGING and call.agent is agent:
                self._media.send(Bridge(leg_id=call.leg_id, agent_leg_id=leg_id, announcement=told))

        self._roster.apply(agent, AgentCue.RESERVE, INBOUND_CALL, campaign=call.campaign_id)
        self.when_up(agent, bridge)

    def _wait_again(self, call: InboundCall) -> None:
        if call.apply(CallCue.WANTS_AGENT if call.state is CallState.IN_FLOW else CallCue.LOST):
            self.queue.join(call)

    def _tell_message(self, call: InboundCall, prompt: str) -> None:
        """Tell a caller the last thing they hear."""
        if call.apply(CallCue.NOBODY):
            self._play(call, prompt)

    def _play(self, call: InboundCall, prompt: str) -> None:
        if not prompt:
            self._end(call, by_us=True)
            return
        self._media.send(Hear(hears={call.leg_id: ()}))  # music ends
        self._media.send(Play(leg_id=call.leg_id, prompts=(prompt,), play_id=MESSAGE_PLAY_ID))

    def _bridged(self, call: InboundCall, event: LegsBridged) -> None:
        agent = call.agent
        if agent is None or agent.leg_id != event.agent_leg_id or not call.apply(CallCue.BRIDGED):
            return
        call.bridged_ns = call.bridged_ns or event.at_ns
        self.last_of[agent.id] = call
        self._workers.send(call.worker, Attend(leg_id=call.leg_id))
        self._roster.apply(agent, AgentCue.BRIDGED, INBOUND_CALL)
        told = CallBridged(
            campaign_id=call.campaign_id,
            leg_id=call.leg_id,
            agent_id=agent.id,
            at_mono_ns=event.at_ns,
            account_id=call.caller.account_id if call.caller is not None else None,
        )
        self._runtime.journal.append(told)
        self.on_bridged(agent, call)

    def _part(self, call: InboundCall) -> None:
        """Free the call's agent: to wrap-up after a talk."""
        agent, call.agent = call.agent, None
        if agent is None:
            return
        self._media.send(Unbridge(leg_id=call.leg_id))
        self.on_parted(agent)
        talked = call.state is CallState.TALKING
        self._roster.apply(agent, AgentCue.CALL_ENDED if talked else AgentCue.UNRESERVE)

    def _end(self, call: InboundCall, *, by_us: bool, code: int = 200) -> None:
        if self._calls.pop(call.leg_id, None) is None:
            return
        self._part(call)
        self.queue.leave(call)
        self.flows.forget(call, "finished" if by_us else "hung_up")
        if call.bridged_ns or call.identified:
            self._callers.talked(call)
        call.apply(CallCue.ENDED)
        if by_us:
            self._workers.send(call.worker, Hangup(leg_id=call.leg_id, reject_code=UNAVAILABLE))
        self._media.send(CloseLeg(leg_id=call.leg_id))
        now_ns, now_utc, leg_id = self._runtime.clock.mono_ns(), self._runtime.clock.utc(), call.leg_id
        told = CallEnded(
            campaign_id=call.campaign_id, leg_id=leg_id, by_us=by_us, talked=bool(call.bridged_ns),
            seconds=round((now_ns - call.arrived_ns) / 1e9, 3), at_mono_ns=now_ns,
        )  # fmt: skip
        self._runtime.store(lambda tx: leg_rows.end(tx, leg_id, at_utc=now_utc, sip_code=code), told)
        log.info("inbound_ended", leg_id=leg_id, by_us=by_us, talked=bool(call.bridged_ns))
