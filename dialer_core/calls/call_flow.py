"""A call's life, step by step: INVITE, listening, verdict, agent, bridge, hang-up. Read it beside the table in `attempt.py`.

It owns every live attempt and what each transition does. It does not choose whom to dial (`campaigns/dialing.py`), keep agents' states
(`agents/roster.py`) or decide what a lead does next (`campaigns/recycle.py`, run in the unit that stores the ending: `ending.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import connect_command
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls import originate
from dialer_core.calls.attempt import (
    LATE,
    RING_MARGIN_S,
    RINGING_STATES,
    STATE_LIMIT_S,
    WAIT_MARGIN_S,
    Attempt,
    Cue,
)
from dialer_core.calls.ending import Ending, outcome_of
from dialer_core.calls.outcome import outcome_of_verdict
from dialer_core.calls.records import CallRecords
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import (
    AttemptAbandoned,
    AttemptAnswered,
    AttemptBridged,
    AttemptEarlyMedia,
    AttemptFaulted,
    AttemptRinging,
    AttemptSent,
    AttemptUnbridged,
    AttemptVerdictGiven,
    AttemptVerdictRevised,
    Event,
)
from dialer_core.ipc.messages import (
    Attend,
    Await,
    Bridge,
    BridgeRefused,
    CloseLeg,
    FallbackStarted,
    Hangup,
    LegAnswered,
    LegClosed,
    LegEnded,
    LegNegotiated,
    LegOpened,
    LegProvisional,
    LegsBridged,
    LegSent,
    LegVerdict,
    Listen,
    MediaEvent,
    OpenLeg,
    PromptFinished,
    Unbridge,
    VerdictRevised,
    WorkerEvent,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import (
    LIVE_VERDICTS,
    AttemptId,
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
S = AttemptState


class Observer(Protocol):
    """What pacing is told of attempts."""

    def live_answer(self, attempt: Attempt) -> None:
        """It is routed as a person from now."""

    def abandoned(self, attempt: Attempt) -> None:
        """It got no agent in time."""

    def not_live_after_all(self, attempt: Attempt) -> None:
        """A live answer was revised to a machine before anybody talked."""

    def attempt_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """It is over."""


class CallFlow:
    """Every live attempt of this engine."""

    def __init__(
        self,
        runtime: Runtime,
        campaigns: dict[CampaignId, CampaignRun],
        trunks: Trunks,
        workers: WorkerPool,
        media: MediaPort,
        roster: Roster,
        originator: originate.Originator,
        ending: Ending,
        observer: Observer,
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._trunks = trunks
        self._workers = workers
        self._media = media
        self._roster = roster
        self._originator = originator
        self._ending = ending
        self._observer = observer
        self._records = CallRecords(runtime)
        self._by_leg: dict[LegId, Attempt] = {}
        self._closing: set[LegId] = set()
        self._overdue: dict[AttemptId, asyncio.TimerHandle] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.late = 0
        """Cues that came too late: legitimate races, counted."""
        self.on_idle: Callable[[], None] = lambda: None
        """Called when the last live attempt has ended."""
        self.on_bad_agent_leg: Callable[[Agent], None] = lambda _agent: None
        """Called when the media plane will not bridge to an agent's leg: it is to be called anew."""

    # --- from campaigns, agents and commands ---------------------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> None:
        """Take a committed attempt: ask the media plane for its socket; the INVITE follows."""
        attempt.entered_ns = attempt.committed_ns = self._runtime.clock.mono_ns()
        self.attempts[attempt.id] = attempt
        self._by_leg[attempt.leg_id] = attempt
        self._watch(attempt)
        self._media.send(OpenLeg(leg_id=attempt.leg_id, kind=LegKind.CUSTOMER))

    def release(self, attempt: Attempt, outcome: Outcome) -> None:
        """End an attempt; `outcome` is stored unless what has happened says otherwise (a talk stays `connected`)."""
        attempt.release_outcome = attempt.release_outcome or outcome
        self._feed(attempt, Cue.RELEASE)

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is a live attempt's."""
        return leg_id in self._by_leg

    def serve_waiting(self) -> None:
        """Give waiting people to agents: those with the least time left first, each to the agent idle longest."""
        waiting = sorted(
            (a for a in self.attempts.values() if a.state is S.WAITING), key=lambda a: a.waiting_since_ns
        )
        for attempt in waiting:
            agent = self._roster.longest_idle(attempt.campaign_id)
            if agent is not None:
                self._reserve(attempt, agent)

    def agent_lost(self, agent: Agent) -> None:
        """An agent's leg is gone: their caller waits for the next one."""
        if (
            agent.attempt_id is not None
            and (attempt := self.attempts.get(agent.attempt_id)) is not None
            and attempt.agent_id == agent.id
        ):
            self._feed(attempt, Cue.AGENT_LOST)

    # --- from workers and media plane --------------------------------------------------------------------------------------

    def on_worker(self, worker: WorkerId, event: WorkerEvent) -> None:
        """Take one event of a worker about a customer's leg."""
        leg_id: LegId | None = getattr(event, "leg_id", None)
        attempt = self._by_leg.get(leg_id) if leg_id else None
        if attempt is None:
            self._count_late(event)
            return
        match event:
            case LegSent():
                attempt.call_id, attempt.sent_ns = event.call_id, event.at_ns
                self._feed(attempt, Cue.SENT)
                self._records.sent(
                    attempt,
                    self._event(AttemptSent, attempt, event.at_ns, call_id=event.call_id, worker=worker),
                )
            case LegProvisional():
                self._originator.trunk_alive(attempt)
                self._provisional(attempt, event)
            case LegNegotiated():
                attempt.negotiated = event
                self._media.send(connect_command(event))
                if attempt.state is S.EARLY_MEDIA:
                    self._listen(attempt, early=True)
            case LegAnswered():
                self._originator.trunk_alive(attempt)
                attempt.dialog = event.dialog
                attempt.answered_ns = attempt.answered_ns or event.at_ns
                if self._feed(attempt, Cue.ANSWERED):
                    self._answered(attempt, event)
            case LegEnded():
                if (
                    not event.invite_sent
                    and attempt.placements < MAX_PLACEMENTS
                    and attempt.state is S.PLACING
                ):
                    self._originator.place(
                        attempt
                    )  # that worker was full: no INVITE has left, another one takes it
                    return
                self._end(attempt, event.code, event.q850, event.by)
            case _:
                pass

    def on_worker_lost(self, worker: WorkerId) -> int:
        """A worker died: its attempts end as `interrupted`; returns how many."""
        lost = [a for a in self.attempts.values() if a.worker == worker and a.state is not S.COMMITTED]
        for attempt in lost:
            attempt.release_outcome = Outcome.INTERRUPTED
            self._end(attempt, 0, 0, EndedBy.WORKER)
        return len(lost)

    def on_media_lost(self) -> int:
        """The media plane died: nobody hears anything, so every attempt is ended; returns how many."""
        lost = list(self.attempts.values())
        self._closing.clear()
        for attempt in lost:
            attempt.release_outcome = Outcome.INTERRUPTED
            self._feed(attempt, Cue.RELEASE)
        return len(lost)

    def on_media(self, event: MediaEvent) -> None:
        """Take one event of the media plane about a customer's leg."""
        if isinstance(event, LegClosed):
            if event.leg_id in self._closing:
                self._closing.discard(event.leg_id)
                self._records.leg_statistics(event.leg_id, event.statistics)
            return
        leg_id: LegId | None = getattr(event, "leg_id", None)
        attempt = self._by_leg.get(leg_id) if leg_id else None
        if attempt is None:
            self._count_late(event)
            return
        match event:
            case LegOpened():
                self._opened(attempt, event)
            case LegVerdict():
                self._verdict(attempt, event)
            case VerdictRevised():
                self._revised(attempt, event)
            case LegsBridged():
                self._bridged(attempt, event)
            case BridgeRefused():
                self._refused(attempt, event)
            case FallbackStarted():
                self._abandoned(attempt, event)
            case PromptFinished():
                if not event.cut:
                    self._feed(attempt, Cue.PROMPT_FINISHED)
            case _:
                pass

    # --- the machine -----------------------------------------------------------------------------------------------------------

    def _feed(self, attempt: Attempt, cue: Cue) -> bool:
        """Apply a cue; returns whether the state changed. What leaving and entering a state always does happens here."""
        cell = attempt.next_state(cue)
        if not isinstance(cell, AttemptState):
            if cell is LATE:
                self.late += 1
                log.debug("cue_late", attempt_id=attempt.id, state=attempt.state, cue=cue)
            else:
                self._fault(attempt, cue)
            return False
        before, attempt.state = attempt.state, cell
        attempt.entered_ns = self._runtime.clock.mono_ns()
        self._watch(attempt)
        if cue is Cue.OVERDUE:
            log.error("attempt_overdue", attempt_id=attempt.id, state=before)
            attempt.release_outcome = attempt.release_outcome or (
                Outcome.INTERRUPTED if before is S.RELEASING else Outcome.INTERNAL
            )
        if before in (S.BRIDGED, S.BRIDGING) and cell is not S.BRIDGED:
            self._part_from_agent(attempt, before, cue)
        if cell is S.WAITING:
            self._wait_for_agent(attempt, again=before is S.BRIDGED)
        elif cell is S.RELEASING:
            if attempt.worker is not None:
                self._workers.send(attempt.worker, Hangup(leg_id=attempt.leg_id))
            self._records.change(attempt)
        elif cell is S.ENDED and cue is not Cue.LEG_ENDED:
            self._end(attempt, 0, 0, EndedBy.US)
        return True

    def _fault(self, attempt: Attempt, cue: Cue) -> None:
        """A bug cell: this attempt ends as `internal`, the loop goes on."""
        log.error("attempt_faulted", attempt_id=attempt.id, state=attempt.state, cue=cue)
        event = AttemptFaulted(
            attempt_id=attempt.id,
            campaign_id=attempt.campaign_id,
            account_id=attempt.account_id,
            state=attempt.state,
            event=cue,
        )
        self._runtime.journal.append(event)
        attempt.release_outcome = Outcome.INTERNAL
        if attempt.next_state(Cue.RELEASE) is S.RELEASING:
            self._feed(attempt, Cue.RELEASE)

    def _watch(self, attempt: Attempt) -> None:
        """Run the limit of the state just entered (I6)."""
        if timer := self._overdue.pop(attempt.id, None):
            timer.cancel()
        if attempt.state is S.ENDED:
            return
        campaign = self._campaigns[attempt.campaign_id]
        if attempt.state is S.WAITING:
            limit_s = campaign.agent_wait_s + WAIT_MARGIN_S
        elif attempt.state in RINGING_STATES:
            limit_s = STATE_LIMIT_S.get(attempt.state, campaign.settings.ring_limit_s + RING_MARGIN_S)
        else:
            limit_s = STATE_LIMIT_S[attempt.state]
        self._overdue[attempt.id] = self._runtime.later(
            limit_s, lambda: self._overstayed(attempt)
        )

    def _overstayed(self, attempt: Attempt) -> None:
        self._feed(attempt, Cue.OVERDUE)

    # --- what each step does -----------------------------------------------------------------------------------------------------

    def _opened(self, attempt: Attempt, event: LegOpened) -> None:
        if attempt.state is not S.COMMITTED:
            self.late += 1
            return
        if not event.port:
            log.error("no_rtp_port", attempt_id=attempt.id, error=event.error)
            attempt.release_outcome = Outcome.CANCELLED
            self._feed(attempt, Cue.RELEASE)
            return
        attempt.media_port = event.port
        self._originator.place(attempt, media_host=event.host)
        if attempt.worker is None:  # no worker has room: nothing was sent
            attempt.release_outcome = Outcome.CANCELLED
            self._feed(attempt, Cue.RELEASE)
            return
        self._feed(attempt, Cue.PLACED)
        self._records.leg_placed(attempt, attempt.worker)

    def _provisional(self, attempt: Attempt, event: LegProvisional) -> None:
        attempt.ringing_seen = attempt.ringing_seen or event.code == 180
        cue = Cue.EARLY_MEDIA if event.early_sdp else Cue.RINGING
        if not self._feed(attempt, cue):
            return
        first = not attempt.ringing_ns
        attempt.ringing_ns = attempt.ringing_ns or event.at_ns
        kind = AttemptEarlyMedia if event.early_sdp else AttemptRinging
        columns = {"ringing_mono_ns": attempt.ringing_ns} if first else {}
        self._records.change(attempt, self._event(kind, attempt, event.at_ns, code=event.code), **columns)
        if event.early_sdp and attempt.negotiated is not None:
            self._listen(attempt, early=True)

    def _answered(self, attempt: Attempt, event: LegAnswered) -> None:
        ring_ms = (event.at_ns - attempt.sent_ns) // 1_000_000 if attempt.sent_ns else 0
        self._records.answered(
            attempt, event.dialog, self._event(AttemptAnswered, attempt, event.at_ns, ring_ms=ring_ms)
        )
        mode = self._campaigns[attempt.campaign_id].settings.detection
        if mode is not DetectionMode.OFF:
            self._listen(attempt, early=False)
        if mode in (DetectionMode.OFF, DetectionMode.MONITOR):
            attempt.greeting_end_ns = event.at_ns
            self._route_as_person(attempt)

    def _listen(self, attempt: Attempt, *, early: bool) -> None:
        campaign = self._campaigns[attempt.campaign_id]
        mode = campaign.settings.detection
        if mode is DetectionMode.OFF:
            return
        self._media.send(
            Listen(
                leg_id=attempt.leg_id, mode=mode, early=early, agent_wait_s=campaign.agent_wait_s,
                fallback_prompt=campaign.settings.abandonment_prompt,
            )
        )  # fmt: skip

    def _verdict(self, attempt: Attempt, event: LegVerdict) -> None:
        early = event.early or attempt.state in RINGING_STATES
        if early:
            attempt.early_verdict = event.label
        else:
            attempt.verdict = event.label
            attempt.verdict_ns = attempt.verdict_ns or event.at_ns
            attempt.greeting_end_ns = event.greeting_end_ns or attempt.greeting_end_ns
        told = self._event(
            AttemptVerdictGiven, attempt, event.at_ns, label=event.label, reason=event.reason, confidence=round(event.confidence, 4),
            provisional=event.provisional, decision_ms=(event.at_ns - attempt.answered_ns) // 1_000_000 if attempt.answered_ns else -1,
            greeting_end_mono_ns=event.greeting_end_ns,
        )  # fmt: skip
        if early:
            self._records.change(attempt, told)
            return
        acts = self._campaigns[attempt.campaign_id].settings.detection in (
            DetectionMode.FAST,
            DetectionMode.STRICT,
        )
        if acts:
            if event.label in LIVE_VERDICTS:
                self._route_as_person(attempt)
            else:
                attempt.release_outcome = attempt.release_outcome or outcome_of_verdict(event.label)
                self._feed(attempt, Cue.NOT_LIVE)
        self._records.change(
            attempt, told, verdict=event.label, verdict_reason=event.reason, verdict_mono_ns=attempt.verdict_ns,
            greeting_end_mono_ns=attempt.greeting_end_ns or None,
        )  # fmt: skip

    def _revised(self, attempt: Attempt, event: VerdictRevised) -> None:
        before, attempt.verdict = attempt.verdict, event.label
        told = self._event(
            AttemptVerdictRevised,
            attempt,
            event.at_ns,
            label=event.label,
            reason=event.reason,
            confidence=round(event.confidence, 4),
        )
        self._records.change(
            attempt, told, verdict=event.label, verdict_reason=event.reason, verdict_revised_from=before
        )
        acts = self._campaigns[attempt.campaign_id].settings.detection in (
            DetectionMode.FAST,
            DetectionMode.STRICT,
        )
        if (
            acts
            and event.label not in LIVE_VERDICTS
            and attempt.next_state(Cue.REVISED_NOT_LIVE) is S.RELEASING
        ):
            attempt.release_outcome = attempt.release_outcome or outcome_of_verdict(event.label)
            attempt.live = attempt.abandoned = False
            self._observer.not_live_after_all(attempt)
            self._feed(attempt, Cue.REVISED_NOT_LIVE)
            self._records.change(attempt, None, live_answer=False, abandoned=False)

    def _route_as_person(self, attempt: Attempt) -> None:
        if attempt.next_state(Cue.LIVE) is not S.WAITING:
            self.late += 1
            return
        attempt.live = True
        self._observer.live_answer(attempt)
        self._feed(attempt, Cue.LIVE)

    def _wait_for_agent(self, attempt: Attempt, *, again: bool) -> None:
        """Entered WAITING: start the media plane's deadline where it does not run yet, then look for an agent at once."""
        campaign = self._campaigns[attempt.campaign_id]
        attempt.waiting_since_ns = self._runtime.clock.mono_ns()
        listening_decides = campaign.settings.detection in (DetectionMode.FAST, DetectionMode.STRICT)
        if again or not listening_decides:
            self._media.send(
                Await(
                    leg_id=attempt.leg_id,
                    agent_wait_s=campaign.agent_wait_s,
                    fallback_prompt=campaign.settings.abandonment_prompt,
                )
            )
        self._records.change(attempt, None, live_answer=True)
        agent = self._roster.longest_idle(attempt.campaign_id)
        if agent is not None:
            self._reserve(attempt, agent)

    def _reserve(self, attempt: Attempt, agent: Agent) -> None:
        """Give this person to this agent. Nothing here waits for the store."""
        if agent.leg_id is None or not self._feed(attempt, Cue.AGENT_RESERVED):
            return
        attempt.agent_id = agent.id
        self._media.send(Bridge(leg_id=attempt.leg_id, agent_leg_id=agent.leg_id))
        self._roster.apply(agent, AgentCue.RESERVE, attempt=attempt.id, campaign=attempt.campaign_id)

    def _bridged(self, attempt: Attempt, event: LegsBridged) -> None:
        if not self._feed(attempt, Cue.BRIDGED):
            return
        assert attempt.agent_id is not None  # noqa: S101 - BRIDGING is entered by _reserve alone
        attempt.bridge_began_ns = event.at_ns
        first = not attempt.bridged_ns
        attempt.bridged_ns = attempt.bridged_ns or event.at_ns
        attempt.last_agent_id = attempt.agent_id
        if attempt.worker is not None:
            self._workers.send(attempt.worker, Attend(leg_id=attempt.leg_id))
        self._roster.apply(self._roster[attempt.agent_id], AgentCue.BRIDGED)
        since_ns = attempt.verdict_ns or attempt.waiting_since_ns
        told = self._event(
            AttemptBridged,
            attempt,
            event.at_ns,
            agent_id=attempt.agent_id,
            verdict_to_bridge_ms=round((event.at_ns - since_ns) / 1e6, 3),
        )
        columns = {"bridged_mono_ns": event.at_ns} if first else {}
        self._records.change(attempt, told, agent_id=attempt.agent_id, **columns)

    def _refused(self, attempt: Attempt, event: BridgeRefused) -> None:
        log.warning("bridge_refused", attempt_id=attempt.id, leg_id=event.leg_id, reason=event.reason)
        if event.reason != "fallback" and attempt.agent_id is not None and attempt.state is S.BRIDGING:
            self.on_bad_agent_leg(
                self._roster[attempt.agent_id]
            )  # comes back as AGENT_LOST, so that nobody is offered that leg again
        self._feed(attempt, Cue.BRIDGE_REFUSED)

    def _part_from_agent(self, attempt: Attempt, before: AttemptState, cue: Cue) -> None:
        """The attempt leaves BRIDGING or BRIDGED: its agent is freed, or goes into wrap-up."""
        agent_id, attempt.agent_id = attempt.agent_id, None
        if agent_id is None:
            return
        agent = self._roster[agent_id]
        if before is S.BRIDGED:
            now_ns = self._runtime.clock.mono_ns()
            attempt.talk_ns += max(0, now_ns - attempt.bridge_began_ns)
            self._media.send(Unbridge(leg_id=attempt.leg_id))
            if cue is Cue.AGENT_LOST:
                self._runtime.journal.append(
                    self._event(AttemptUnbridged, attempt, now_ns, agent_id=agent_id)
                )
        if cue is not Cue.AGENT_LOST:  # a lost agent's state is changed by whoever saw the loss
            self._roster.apply(agent, AgentCue.CALL_ENDED if before is S.BRIDGED else AgentCue.UNRESERVE)

    def _abandoned(self, attempt: Attempt, event: FallbackStarted) -> None:
        talked = bool(attempt.bridged_ns)
        if not self._feed(attempt, Cue.FALLBACK_STARTED):
            return
        waited_ms = (event.at_ns - (attempt.greeting_end_ns or attempt.waiting_since_ns)) // 1_000_000
        if talked:  # they lost their agent in mid-talk: sorry is said, but it was not an abandoned call
            self._records.change(attempt)
            return
        attempt.abandoned, attempt.abandoned_ns = True, event.at_ns
        if not attempt.live:
            attempt.live = True
            self._observer.live_answer(attempt)
        self._observer.abandoned(attempt)
        told = self._event(AttemptAbandoned, attempt, event.at_ns, waited_ms=waited_ms)
        self._records.change(attempt, told, live_answer=True, abandoned=True, abandoned_mono_ns=event.at_ns)

    def _end(self, attempt: Attempt, code: int, q850: int, by: EndedBy) -> None:
        """The leg is over: one outcome, whatever the state was."""
        if attempt.id not in self.attempts:
            return
        if attempt.state is not S.ENDED and not self._feed(attempt, Cue.LEG_ENDED):
            return
        del self.attempts[attempt.id]
        self._by_leg.pop(attempt.leg_id, None)
        if timer := self._overdue.pop(attempt.id, None):
            timer.cancel()
        self._media.send(CloseLeg(leg_id=attempt.leg_id))
        if attempt.placements:
            self._closing.add(attempt.leg_id)
        self._trunks[attempt.trunk].give_back()
        outcome = outcome_of(attempt, code, q850, by)
        self._originator.note_ending(attempt, outcome, code)
        self._observer.attempt_ended(attempt, outcome)
        self._ending.store(attempt, outcome, code, q850, by)
        if not self.attempts:
            self.on_idle()

    # --- small things -----------------------------------------------------------------------------------------------------------

    def _count_late(self, event: object) -> None:
        self.late += 1
        log.debug("event_for_an_ended_leg", event_type=type(event).__name__)

    @staticmethod
    def _event(kind: type[Event], attempt: Attempt, at_ns: int, **data: Any) -> Event:
        return kind(
            attempt_id=attempt.id,
            campaign_id=attempt.campaign_id,
            account_id=attempt.account_id,
            at_mono_ns=at_ns,
            **data,
        )

    def count(self, *states: AttemptState) -> int:
        """Return how many live attempts are in any of these states."""
        return sum(attempt.state in states for attempt in self.attempts.values())
