"""A call's life, step by step: INVITE, listening, verdict, agent, bridge, hang-up. Read it beside the table in `attempt.py`.

It owns signalling's part of a call: originating, provisional answers, the answer, the end, and what every change of state always does. From the
verdict on it is `live_answers.py`'s. It does not choose whom to dial (`dialing.py`), keep agents' states
(`agents/roster.py`) or decide what a lead does next (`campaigns/recycle.py`, run in the unit that stores the ending: `ending.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dialer_core.agents.softphones import connect_command
from dialer_core.calls import originate
from dialer_core.calls.attempt import (
    Attempt,
    Cue,
)
from dialer_core.calls.ending import Ending, outcome_of
from dialer_core.calls.flow_calls import FlowCalls
from dialer_core.calls.flow_talks import PLAY_ID as FLOW_PLAY_ID
from dialer_core.calls.live_answers import LiveAnswers, Observer
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.records import CallRecords
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import (
    AttemptAnswered,
    AttemptEarlyMedia,
    AttemptRinging,
    AttemptSent,
)
from dialer_core.ipc.messages import (
    BridgeRefused,
    CloseLeg,
    Dialog,
    FallbackStarted,
    Hangup,
    LegAnswered,
    LegBeep,
    LegClosed,
    LegDigit,
    LegEnded,
    LegInfoDigit,
    LegNegotiated,
    LegOpened,
    LegProvisional,
    LegQuiet,
    LegReferred,
    LegRtpBack,
    LegRtpLost,
    LegsBridged,
    LegSent,
    LegVerdict,
    MediaEvent,
    OpenLeg,
    PromptFinished,
    VerdictRevised,
    WorkerEvent,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import (
    AttemptState,
    CampaignId,
    DetectionMode,
    EndedBy,
    LegId,
    LegKind,
    Outcome,
    WorkerId,
)

log = structlog.get_logger(__name__)

MAX_PLACEMENTS = 3
NO_SOCKET_PAUSE_S = 2.0
"""Nothing new is begun for so long after the media plane had no socket: leads must not be claimed for nothing."""
S = AttemptState


class CallFlow:
    """Feeds what workers and media plane say into the machine, and does what its changes ask for."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: dict[CampaignId, CampaignRun],
        trunks: Trunks,
        workers: WorkerPool,
        media: MediaPort,
        originator: originate.Originator,
        ending: Ending,
        answers: LiveAnswers,
        records: CallRecords,
        observer: Observer,
        flows: FlowCalls,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._trunks = trunks
        self._workers = workers
        self._media = media
        self._originator = originator
        self._ending = ending
        self._answers = answers
        self._records = records
        self._observer = observer
        self._flows = flows
        self._closing: dict[LegId, Attempt] = {}
        """Attempts that have ended and whose legs the media plane has not closed yet."""
        self._no_socket = ""
        self._no_socket_ns = 0
        self.on_idle: Callable[[], None] = lambda: None
        """Called when the last live attempt has ended."""
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of an answered leg whose worker has died: the far end waits for a BYE."""
        self.on_digit: Callable[[Attempt, str], None] = lambda _attempt, _digit: None
        """Called with a digit that a customer's phone has sent by INFO."""
        self.on_key: Callable[[Attempt, str], None] = lambda _attempt, _key: None
        """Called with every key that a customer presses while no flow speaks to them, once."""
        self.on_transfer_left: Callable[[Attempt], None] = lambda _attempt: None
        """Called when an attempt is no longer with an extension, nor on its way to one."""
        self.on_referred: Callable[[Attempt, LegReferred], None] = lambda _attempt, _event: None
        """Called with what the far end says of a REFER of ours."""
        self.on_over: Callable[[Attempt], None] = lambda _attempt: None
        """Called with an attempt that has ended."""
        machine.on_change(self._changed)

    def _changed(self, attempt: Attempt, before: AttemptState, cue: Cue) -> None:
        """Do what leaving and entering these states always does."""
        state = attempt.state
        if before is S.IN_FLOW:
            self._flows.left(attempt, cue)
        if before in (S.BRIDGED, S.BRIDGING) and state is not S.BRIDGED:
            self._answers.part_from_agent(attempt, before, cue)
        elif before in (S.TRANSFERRING, S.TRANSFERRED) and state is not S.TRANSFERRED:
            self.on_transfer_left(attempt)
        if state is S.WAITING:
            self._answers.wait_for_agent(attempt, before)
        elif state is S.IN_FLOW:
            self._answers.to_flow(attempt)
        elif state is S.RELEASING:
            if attempt.worker is not None:
                self._workers.send(attempt.worker, Hangup(leg_id=attempt.leg_id))
            self._records.change(attempt)
        elif state in (S.TRANSFERRING, S.TRANSFERRED):
            self._records.change(attempt)
        elif state is S.ENDED and cue is not Cue.LEG_ENDED:
            self._end(attempt, 0, 0, EndedBy.US)

    def begin(self, attempt: Attempt) -> None:
        """Take a committed attempt: ask the media plane for its socket; the INVITE follows."""
        self._machine.add(attempt)
        self._flows.expect(attempt)
        if self._media.attached:
            self._media.send(OpenLeg(leg_id=attempt.leg_id, kind=LegKind.CUSTOMER))
        else:
            self.release(attempt, Outcome.CANCELLED)

    def release(self, attempt: Attempt, outcome: Outcome) -> None:
        """End an attempt; `outcome` is stored unless what has happened says otherwise (a talk stays `connected`)."""
        attempt.release_outcome = attempt.release_outcome or outcome
        self._machine.feed(attempt, Cue.RELEASE)

    def fail(self, leg_id: LegId | None) -> None:
        """End the attempt of a leg as `internal`: an event of it could not be handled."""
        attempt = self._machine.by_leg.get(leg_id) if leg_id else None
        if attempt is None:
            return
        if attempt.state is S.ENDED:  # it was the end that could not be handled
            self._end(attempt, 0, 0, EndedBy.WORKER)
        else:
            self.release(attempt, Outcome.INTERNAL)

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is a live attempt's."""
        return leg_id in self._machine.by_leg

    def held(self) -> str:
        """Say why no new call should be begun: the last one got no socket, a moment ago; empty otherwise."""
        if self._no_socket and self._runtime.clock.mono_ns() - self._no_socket_ns < NO_SOCKET_PAUSE_S * 1e9:
            return f"the media plane has no socket for another call: {self._no_socket}"
        return ""

    def on_worker(self, worker: WorkerId, event: WorkerEvent) -> None:
        """Take one event of a worker about a customer's leg."""
        leg_id: LegId | None = getattr(event, "leg_id", None)
        attempt = self._machine.by_leg.get(leg_id) if leg_id else None
        if attempt is None:
            self._count_late(event)
            return
        match event:
            case LegSent():
                if not attempt.sent_ns:
                    self._trunks[attempt.trunk].sent(event.at_ns)
                attempt.call_id, attempt.sent_ns = event.call_id, event.at_ns
                self._machine.feed(attempt, Cue.SENT)
                wire_ms = (event.at_ns - attempt.placed_ns) / 1e6
                self._workers.command_to_wire.add(wire_ms)
                self._records.sent(
                    attempt,
                    event_of(
                        AttemptSent, attempt, event.at_ns, call_id=event.call_id, worker=worker, command_to_wire_ms=round(wire_ms, 3)
                    ),
                )  # fmt: skip
            case LegProvisional():
                self._originator.trunk_accepted(attempt)
                self._provisional(attempt, event)
            case LegNegotiated():
                attempt.negotiated = event
                self._media.send(connect_command(event))
                if attempt.state is S.EARLY_MEDIA:
                    self._answers.listen(attempt, early=True)
            case LegAnswered():
                self._originator.trunk_accepted(attempt)
                attempt.dialog = event.dialog
                attempt.answered_ns = attempt.answered_ns or event.at_ns
                if self._machine.feed(attempt, Cue.ANSWERED):
                    self._answered(attempt, event)
            case LegInfoDigit(digit=digit):
                self.on_digit(attempt, digit)
                if (
                    attempt.negotiated is None or attempt.negotiated.dtmf_pt < 0
                ):  # else it comes by RFC 4733 too
                    self._pressed(attempt, digit)
            case LegReferred():
                self.on_referred(attempt, event)
            case LegEnded():
                attempt.crossed = event.crossed
                if not self._placed_elsewhere(attempt, event):
                    attempt.ended_ns = event.at_ns
                    self._end(attempt, event.code, event.q850, event.by, event.retry_after_s)
            case _:
                pass

    def _placed_elsewhere(self, attempt: Attempt, event: LegEnded) -> bool:
        """A worker that was full refuses before any INVITE leaves: another one takes the same attempt."""
        if event.invite_sent or attempt.state is not S.PLACING or attempt.placements >= MAX_PLACEMENTS:
            return False
        self._originator.place(attempt)
        if attempt.worker is None:
            return False
        self._records.leg_placed(attempt, attempt.worker)
        return True

    def on_worker_lost(self, worker: WorkerId) -> int:
        """A worker died: its attempts end as `interrupted`; returns how many."""
        lost = [
            a for a in self._machine.attempts.values() if a.worker == worker and a.state is not S.COMMITTED
        ]
        for attempt in lost:
            self.leg_lost(attempt)
        return len(lost)

    def leg_lost(self, attempt: Attempt) -> None:
        """The worker that held its leg is dead: somebody else ends the dialog, and the attempt is over.

        One that was being ended already ends as was decided.
        """
        if attempt.dialog is not None:
            self.on_orphan(attempt.dialog)
        attempt.cut_off = attempt.state is not S.RELEASING
        attempt.release_outcome = attempt.release_outcome or Outcome.INTERRUPTED
        self._end(attempt, 0, 0, EndedBy.WORKER)

    def cut_off(self, attempt: Attempt) -> None:
        """There is no sound for it any more: end it."""
        attempt.cut_off = attempt.state is not S.RELEASING
        self.release(attempt, Outcome.INTERRUPTED)

    def on_media_lost(self) -> None:
        """The media plane died. What has no leg yet is not dialed; all others wait for the next one."""
        self._closing.clear()
        for attempt in list(self._machine.attempts.values()):
            if attempt.state is S.COMMITTED:
                self.release(attempt, Outcome.CANCELLED)

    def on_media(self, event: MediaEvent) -> None:
        """Take one event of the media plane about a customer's leg."""
        if isinstance(event, LegClosed):
            if (silenced := self._machine.by_leg.get(event.leg_id)) is not None:
                log.error("leg_closed_unasked", attempt_id=silenced.id, leg_id=event.leg_id)
                self.cut_off(silenced)
            else:
                self._records.leg_closed(event, self._closing.pop(event.leg_id, None))
            return
        leg_id: LegId | None = getattr(event, "leg_id", None)
        attempt = self._machine.by_leg.get(leg_id) if leg_id else None
        if attempt is None:
            self._count_late(event)
            return
        match event:
            case LegOpened():
                self._opened(attempt, event)
            case LegVerdict():
                self._answers.verdict(attempt, event)
            case VerdictRevised():
                self._answers.revised(attempt, event)
            case LegsBridged():
                self._answers.bridged(attempt, event)
            case BridgeRefused():
                self._answers.refused(attempt, event)
            case FallbackStarted():
                self._answers.abandoned(attempt, event)
            case LegDigit(digit=digit):
                self._pressed(attempt, digit)
            case PromptFinished(play_id=play_id):
                of_flow = play_id.startswith(FLOW_PLAY_ID)
                (self._flows if of_flow else self._answers.machines).prompt_finished(attempt, event)
            case LegBeep() | LegQuiet():
                self._answers.machines.heard_end(attempt, event)
            case LegRtpLost() | LegRtpBack():
                self._records.sound_changed(attempt, event)
            case _:
                pass

    def _pressed(self, attempt: Attempt, key: str) -> None:
        if attempt.state is S.IN_FLOW:
            self._flows.pressed(attempt, key)
        else:
            self.on_key(attempt, key)

    def _opened(self, attempt: Attempt, event: LegOpened) -> None:
        if attempt.state is not S.COMMITTED:
            if not event.port:  # its port was taken while there was no media plane
                log.error("leg_not_reopened", attempt_id=attempt.id, error=event.error)
                self.cut_off(attempt)
            return
        if not event.port:
            log.error("no_rtp_port", attempt_id=attempt.id, error=event.error)
            self._no_socket, self._no_socket_ns = event.error, self._runtime.clock.mono_ns()
            attempt.release_outcome = Outcome.CANCELLED
            self._machine.feed(attempt, Cue.RELEASE)
            return
        attempt.media_port = event.port
        self._originator.place(attempt, media_host=event.host)
        if attempt.worker is None:  # no worker has room: nothing was sent
            attempt.release_outcome = Outcome.CANCELLED
            self._machine.feed(attempt, Cue.RELEASE)
            return
        self._machine.feed(attempt, Cue.PLACED)
        self._records.leg_placed(attempt, attempt.worker)

    def _provisional(self, attempt: Attempt, event: LegProvisional) -> None:
        attempt.ringing_seen = attempt.ringing_seen or event.code == 180
        if event.pending is not None and not attempt.answered_ns:
            if attempt.dialog is None:
                self._records.leg_pending(attempt, event.pending)
            attempt.dialog = event.pending
        cue = Cue.EARLY_MEDIA if event.early_sdp else Cue.RINGING
        if not self._machine.feed(attempt, cue):
            return
        first = not attempt.ringing_ns
        attempt.ringing_ns = attempt.ringing_ns or event.at_ns
        kind = AttemptEarlyMedia if event.early_sdp else AttemptRinging
        columns = {"ringing_mono_ns": attempt.ringing_ns} if first else {}
        self._records.change(attempt, event_of(kind, attempt, event.at_ns, code=event.code), **columns)
        if event.early_sdp and attempt.negotiated is not None:
            self._answers.listen(attempt, early=True)

    def _answered(self, attempt: Attempt, event: LegAnswered) -> None:
        ring_ms = (event.at_ns - attempt.sent_ns) // 1_000_000 if attempt.sent_ns else 0
        self._records.answered(
            attempt, event.dialog, event_of(AttemptAnswered, attempt, event.at_ns, ring_ms=ring_ms)
        )
        mode = self._campaigns[attempt.campaign_id].settings.detection
        if mode is not DetectionMode.OFF:
            self._answers.listen(attempt, early=False)
        if mode in (DetectionMode.OFF, DetectionMode.MONITOR):
            attempt.greeting_end_ns = event.at_ns
            self._answers.route_as_person(attempt)

    def _end(self, attempt: Attempt, code: int, q850: int, by: EndedBy, retry_after_s: float = 0.0) -> None:
        """The leg is over: one outcome, whatever the state was."""
        if attempt.id not in self._machine.attempts:
            return
        if attempt.state is not S.ENDED and not self._machine.feed(attempt, Cue.LEG_ENDED):
            return
        self._machine.remove(attempt)
        self._flows.forget(attempt)
        self.on_over(attempt)
        self._media.send(CloseLeg(leg_id=attempt.leg_id))
        if attempt.placements:
            self._closing[attempt.leg_id] = attempt
        trunk = self._trunks[attempt.trunk]
        if attempt.placements and not attempt.sent_ns:
            trunk.sent(self._runtime.clock.mono_ns())  # its worker may have died before it told us
        trunk.give_back(unsent=not attempt.placements)
        outcome = outcome_of(attempt, code, q850, by)
        self._originator.note_ending(attempt, outcome, by, code, retry_after_s)
        self._observer.attempt_ended(attempt, outcome)
        self._ending.store(attempt, outcome, code, q850, by)
        if not self._machine.attempts:
            self.on_idle()

    def _count_late(self, event: object) -> None:
        self._machine.late += 1
        log.debug("event_for_an_ended_leg", event_type=type(event).__name__)
