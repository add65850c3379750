"""Calls that come in to a campaign's number: answered, and given to an idle agent or told a message.

It owns those calls, from the worker's word that one has come to their end, and their events. They are nobody's attempt: no lead, no gate, no
pacing. Whoever waits from a call of ours goes first; nobody waits here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import connect_command
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import CallArrived, CallBridged, CallEnded
from dialer_core.ipc.messages import (
    Answer,
    Attend,
    Bridge,
    BridgeRefused,
    CloseLeg,
    Dialog,
    Expect,
    ExpectedLeg,
    Hangup,
    LegAnswered,
    LegClosed,
    LegEnded,
    LegIncoming,
    LegNegotiated,
    LegOpened,
    LegsBridged,
    MediaEvent,
    OpenLeg,
    Play,
    PromptFinished,
    Unbridge,
    WorkerEvent,
)
from dialer_core.lines import INBOUND_WORKER_PREFIX, MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.settings import TrunkSettings
from dialer_core.store import legs as leg_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    INBOUND_CALL,
    CampaignId,
    LegId,
    LegKind,
    SrtpUse,
    TrunkId,
    WorkerId,
    new_id,
)

log = structlog.get_logger(__name__)

NOT_FOUND, UNAVAILABLE, NOT_ACCEPTABLE = 404, 480, 488
MESSAGE_PLAY_ID: Final = "inbound"


class CallState(enum.StrEnum):
    """Where a call that came in is."""

    ANSWERING = "answering"
    """200 is on its way, and its ACK back."""
    BRIDGING = "bridging"
    """An agent is reserved."""
    TALKING = "talking"
    MESSAGE = "message"
    """Nobody is free: the message plays."""
    ENDED = "ended"


class CallCue(enum.StrEnum):
    """What can happen to it."""

    ANSWERED = "answered"
    RESERVED = "reserved"
    """An agent is theirs."""
    BRIDGED = "bridged"
    NOBODY = "nobody"
    """There is no agent, or none any more."""
    ENDED = "ended"


LATE = None
"""A legitimate race: ignored."""
_S, _C = CallState, CallCue
_CUES: Final = tuple(CallCue)
_ROWS: Final[dict[CallState, tuple[CallState | None, ...]]] = {
    # state       answered      reserved     bridged      nobody       ended
    _S.ANSWERING: (_S.ANSWERING, _S.BRIDGING, LATE,       _S.MESSAGE,  _S.ENDED),
    _S.BRIDGING:  (LATE,         _S.BRIDGING, _S.TALKING, _S.MESSAGE,  _S.ENDED),
    _S.TALKING:   (LATE,         _S.BRIDGING, LATE,       _S.MESSAGE,  _S.ENDED),
    _S.MESSAGE:   (LATE,         LATE,        LATE,       LATE,        _S.ENDED),
    _S.ENDED:     (LATE,         LATE,        LATE,       LATE,        LATE),
}  # fmt: skip
TABLE: Final[dict[tuple[CallState, CallCue], CallState | None]] = {
    (state, cue): cell for state, row in _ROWS.items() for cue, cell in zip(_CUES, row, strict=True)
}
"""Every state and cue; there is no `bug` cell: whatever comes in which order, such a call can go on or end."""


@dataclass(slots=True)
class InboundCall:
    """One call that came in. Times are monotonic nanoseconds."""

    leg_id: LegId
    worker: WorkerId
    campaign_id: CampaignId
    trunk: str
    arrived_ns: int
    state: CallState = CallState.ANSWERING
    agent: Agent | None = None
    dialog: Dialog | None = None
    bridged_ns: int = 0

    def apply(self, cue: CallCue) -> bool:
        """Take a cue; return whether it counted."""
        following = TABLE[self.state, cue]
        if following is not None:
            self.state = following
        return following is not None


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
        free: Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._workers = workers
        self._media = media
        self._roster = roster
        self._free = free
        self._must_encrypt = {name for name, trunk in trunks.items() if trunk.srtp is SrtpUse.REQUIRED}
        off = all(trunk.srtp is SrtpUse.OFF for trunk in trunks.values())
        self._srtp = SrtpUse.OFF if off else SrtpUse.OPTIONAL
        """Of every leg kept ready: by which trunk a call comes is known only when it is there."""
        self._calls: dict[LegId, InboundCall] = {}
        self._expected: dict[LegId, tuple[WorkerId, ExpectedLeg | None]] = {}
        """Legs kept ready for the next calls, and the worker they are meant for; None while the media plane makes room."""
        self._campaign_of = {
            _digits(number): name
            for name, run in reversed(list(campaigns.items()))
            for number in {
                run.settings.caller_id,
                *(trunks[TrunkId(t)].caller_id for t in run.settings.trunks),
            }
            if number is not None
        } | {
            _digits(run.settings.caller_id): name for name, run in campaigns.items() if run.settings.caller_id
        }
        """By number: who is called back is who called. A campaign's own number goes before that of its trunk."""
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of a leg whose worker is gone."""

    def __len__(self) -> int:
        return len(self._calls)

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is a call that came in, or kept ready for one."""
        return leg_id in self._calls or leg_id in self._expected

    def hang_up(self, leg_id: LegId) -> None:
        """End a call by command."""
        self._end(self._calls[leg_id], by_us=True)

    # --- legs kept ready -------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Keep a leg ready for each free slot of the workers that take calls; none while calls are not taken."""
        if not self._free():
            self._forget_expected(set(self._expected))
            return
        for worker in self._workers.workers.values():
            if not worker.id.startswith(INBOUND_WORKER_PREFIX) or not worker.ready:
                continue
            ready = sum(name == worker.id for name, _ in self._expected.values())
            for _ in range(worker.free - ready):
                leg_id = LegId(new_id())
                self._expected[leg_id] = (worker.id, None)
                self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.CUSTOMER))

    def _opened(self, opened: LegOpened) -> None:
        worker, _ = self._expected.get(opened.leg_id, (None, None))
        if worker is None or not opened.port:
            self._expected.pop(opened.leg_id, None)
            return
        leg = ExpectedLeg(
            leg_id=opened.leg_id, media_host=opened.host, media_port=opened.port, srtp=self._srtp
        )
        self._expected[leg.leg_id] = (worker, leg)
        self._tell_expected(worker)

    def _tell_expected(self, worker: WorkerId) -> None:
        legs = tuple(leg for name, leg in self._expected.values() if name == worker and leg is not None)
        self._workers.send(worker, Expect(legs=legs))

    def _forget_expected(self, legs: set[LegId]) -> None:
        workers = {self._expected.pop(leg_id)[0] for leg_id in legs}
        for leg_id in legs:
            self._media.send(CloseLeg(leg_id=leg_id))
        for worker in workers:
            self._tell_expected(worker)

    # --- what happens ----------------------------------------------------------------------------------------------------------

    def arrived(self, worker: WorkerId, event: LegIncoming) -> None:
        """A worker offers a call: take it or refuse it."""
        _, expected = self._expected.pop(event.leg_id, (None, None))
        campaign_id = self._campaign_of.get(_digits(event.number))
        clear = event.trunk in self._must_encrypt and not event.encrypted
        if campaign_id is None or expected is None or clear:
            code = NOT_FOUND if campaign_id is None else NOT_ACCEPTABLE if clear else UNAVAILABLE
            if expected is not None:
                self._media.send(CloseLeg(leg_id=event.leg_id))
            log.info("inbound_refused", leg_id=event.leg_id, trunk=event.trunk, code=code)
            self._workers.send(worker, Hangup(leg_id=event.leg_id, reject_code=code))
            return
        call = InboundCall(
            leg_id=event.leg_id, worker=worker, campaign_id=campaign_id, trunk=event.trunk, arrived_ns=event.at_ns
        )  # fmt: skip
        self._calls[call.leg_id] = call
        row = leg_rows.NewLeg(
            id=call.leg_id, kind=LegKind.CUSTOMER, node=self._runtime.node, worker=worker,
            media_port=expected.media_port, opened_at_utc=self._runtime.clock.utc(),
        )  # fmt: skip
        call_id = event.call_id

        def write(tx: Tx) -> None:
            leg_rows.insert(tx, row)
            leg_rows.update(tx, row.id, call_id=call_id)

        told = CallArrived(
            campaign_id=campaign_id, leg_id=call.leg_id, trunk=event.trunk, at_mono_ns=event.at_ns
        )
        self._runtime.store(write, told)
        log.info("inbound_arrived", leg_id=call.leg_id, trunk=event.trunk, campaign=campaign_id)
        self._workers.send(worker, Answer(leg_id=call.leg_id))

    def on_worker(self, event: WorkerEvent) -> None:
        """Take a worker's event of a leg that `owns` says is ours."""
        match event:
            case LegNegotiated():
                self._media.send(connect_command(event))
            case LegAnswered():
                call = self._calls[event.leg_id]
                call.dialog = event.dialog
                leg_id, dialog = call.leg_id, msgspec.to_builtins(event.dialog)
                self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=dialog))
                if call.apply(CallCue.ANSWERED):
                    self._find_agent(call)
            case LegEnded() if event.leg_id in self._calls:
                self._end(self._calls[event.leg_id], by_us=False, code=event.code)
            case _:
                pass

    def on_media(self, event: MediaEvent) -> None:
        """Take the media plane's event of a leg that `owns` says is ours."""
        match event:
            case LegOpened():
                self._opened(event)
            case LegsBridged():
                self._bridged(self._calls[event.leg_id], event)
            case BridgeRefused():
                call = self._calls[event.leg_id]
                log.warning("bridge_refused", leg_id=event.leg_id, reason=event.reason)
                self._part(call)
                self._tell_message(call)
            case LegClosed():  # by no word of ours: there is no sound for it any more
                log.error("leg_closed_unasked", leg_id=event.leg_id)
                if (silenced := self._calls.get(event.leg_id)) is not None:
                    self._end(silenced, by_us=True)
                else:
                    self._forget_expected({event.leg_id})
            case PromptFinished(play_id=play_id, leg_id=leg_id) if play_id == MESSAGE_PLAY_ID:
                self._end(self._calls[leg_id], by_us=True)
            case _:
                pass

    def agent_lost(self, agent: Agent) -> None:
        """An agent's leg is gone: their caller goes to the next one, or hears the message."""
        for call in list(self._calls.values()):
            if call.agent is agent:
                self._media.send(Unbridge(leg_id=call.leg_id))
                call.agent = None
                self._find_agent(call)

    def on_worker_lost(self, worker: WorkerId) -> int:
        """Every call in this worker is gone; returns how many."""
        self._forget_expected({leg_id for leg_id, (name, _) in self._expected.items() if name == worker})
        lost = [call for call in self._calls.values() if call.worker == worker]
        for call in lost:
            if call.dialog is not None:
                self.on_orphan(call.dialog)
            self._end(call, by_us=False)
        return len(lost)

    def end_all(self) -> int:
        """End every call: the media plane is gone, or the node has drained; returns how many."""
        self._forget_expected(set(self._expected))
        calls = list(self._calls.values())
        for call in calls:
            self._end(call, by_us=True)
        return len(calls)

    def _find_agent(self, call: InboundCall) -> None:
        """Give the caller to the agent idle longest, or tell the message."""
        agent = self._roster.longest_idle(call.campaign_id)
        if agent is None or agent.leg_id is None or not call.apply(CallCue.RESERVED):
            self._tell_message(call)
            return
        call.agent = agent
        self._media.send(Bridge(leg_id=call.leg_id, agent_leg_id=agent.leg_id))
        self._roster.apply(agent, AgentCue.RESERVE, INBOUND_CALL, campaign=call.campaign_id)

    def _tell_message(self, call: InboundCall) -> None:
        if not call.apply(CallCue.NOBODY):
            return
        prompt = self._campaigns[call.campaign_id].settings.inbound_prompt
        if not prompt:
            self._end(call, by_us=True)
            return
        self._media.send(Play(leg_id=call.leg_id, prompts=(prompt,), play_id=MESSAGE_PLAY_ID))

    def _bridged(self, call: InboundCall, event: LegsBridged) -> None:
        agent = call.agent
        if agent is None or agent.leg_id != event.agent_leg_id or not call.apply(CallCue.BRIDGED):
            return
        call.bridged_ns = call.bridged_ns or event.at_ns
        self._workers.send(call.worker, Attend(leg_id=call.leg_id))
        self._roster.apply(agent, AgentCue.BRIDGED, INBOUND_CALL)
        told = CallBridged(
            campaign_id=call.campaign_id, leg_id=call.leg_id, agent_id=agent.id, at_mono_ns=event.at_ns
        )
        self._runtime.journal.append(told)

    def _part(self, call: InboundCall) -> None:
        """Free the call's agent: to wrap-up after a talk."""
        agent, call.agent = call.agent, None
        if agent is None:
            return
        self._media.send(Unbridge(leg_id=call.leg_id))
        talked = call.state is CallState.TALKING
        self._roster.apply(agent, AgentCue.CALL_ENDED if talked else AgentCue.UNRESERVE)

    def _end(self, call: InboundCall, *, by_us: bool, code: int = 200) -> None:
        if self._calls.pop(call.leg_id, None) is None:
            return
        self._part(call)
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


def _digits(number: str | None) -> str:
    """Return a number without what trunks write differently: `+`, spaces, hyphens."""
    return "".join(char for char in number or "" if char.isdigit())


def render_table() -> str:
    """Return the table of transitions in Markdown."""
    lines = ["| state | " + " | ".join(_CUES) + " |", "|---" * (len(_CUES) + 1) + "|"]
    lines += [
        f"| **{state}** | " + " | ".join(cell or "late" for cell in row) + " |"
        for state, row in _ROWS.items()
    ]
    return "\n".join(lines)
