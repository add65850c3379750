"""From the answer to the talk: listening, verdict, waiting, the agent, the bridge, and the abandoned call.

It owns what the media plane's events do to an attempt. Signalling is `call_flow.py`'s; agents' states are the roster's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls.attempt import AGENT_RING_LIMIT_S, RINGING_STATES, Attempt, Cue
from dialer_core.calls.deliveries import Deliveries
from dialer_core.calls.flow_calls import FlowCalls
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.machines import Machines
from dialer_core.calls.outcome import outcome_of_verdict
from dialer_core.calls.records import CallRecords
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import (
    AttemptAbandoned,
    AttemptBridged,
    AttemptUnbridged,
    AttemptVerdictGiven,
    AttemptVerdictRevised,
)
from dialer_core.ipc.messages import (
    Attend,
    Await,
    Bridge,
    BridgeRefused,
    FallbackStarted,
    Hear,
    LegsBridged,
    LegVerdict,
    Listen,
    Unbridge,
    VerdictRevised,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import (
    LIVE_VERDICTS,
    AgentState,
    AttemptState,
    CampaignId,
    DetectionMode,
    LegId,
    Outcome,
    Verdict,
)

log = structlog.get_logger(__name__)

ACTING_MODES: Final = frozenset({DetectionMode.FAST, DetectionMode.STRICT})
"""Modes in which a verdict decides; in the others every answered call is connected as a person."""
S = AttemptState
MUSIC: Final = "hold"
"""Prompt id of what a customer hears who is handed on, while somebody's phone rings."""


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


class LiveAnswers:
    """Answered calls on their way to an agent."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: dict[CampaignId, CampaignRun],
        workers: WorkerPool,
        media: MediaPort,
        roster: Roster,
        records: CallRecords,
        observer: Observer,
        flows: FlowCalls,
        deliveries: Deliveries,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._workers = workers
        self._media = media
        self._roster = roster
        self._records = records
        self._observer = observer
        self._flows = flows
        self.deliveries = deliveries
        self.machines = Machines(runtime, machine, campaigns, media, roster, records, self)
        """What becomes of those that are no person's."""
        self.on_bad_agent_leg: Callable[[Agent], None] = lambda _agent: None
        """Called when the media plane will not bridge to an agent's leg: it is to be called anew."""
        self.on_transfer_refused: Callable[[Attempt, LegId], None] = lambda _attempt, _leg_id: None
        """Called when the media plane will not bridge a customer to a leg, an extension's or one of before."""
        self.on_bridged: Callable[[Agent, Attempt], None] = lambda _agent, _attempt: None
        """Called when an agent and a customer hear each other."""
        self.on_parted: Callable[[Agent], None] = lambda _agent: None
        """Called when an agent has been parted from a customer, their leg told so."""
        self.when_up: Callable[[Agent, Callable[[LegId], None]], None] = lambda _agent, _then: None
        """Does something with a reserved agent's leg, now or when their softphone has answered."""
        self.on_reserved: Callable[[Agent], None] = lambda _agent: None
        """Called when an agent is given to somebody dialed."""

    def serve_waiting(self) -> None:
        """Give waiting people to agents: those with the least time left first."""
        if not self._media.attached:
            return
        waiting = sorted(
            (a for a in self._machine.attempts.values() if a.state is S.WAITING),
            key=lambda a: a.wait_until_ns,
        )
        for attempt in waiting:
            agent = self._agent_for(attempt)
            if agent is not None:
                self._reserve(attempt, agent)

    def _agent_for(self, attempt: Attempt) -> Agent | None:
        """Return who gets this person. Nobody on the line is kept waiting for the agent they were promised."""
        waited_s = (self._runtime.clock.mono_ns() - attempt.waiting_since_ns) / 1e9
        if attempt.previewed and attempt.for_agent is not None:
            agent = self._roster[attempt.for_agent]
            if agent.reachable:
                return agent
        return self._roster.offer(attempt.campaign_id, waited_s=waited_s, sticky=attempt.for_agent)

    def agent_lost(self, agent: Agent) -> None:
        """An agent's leg is gone: their caller waits for the next one."""
        if (
            agent.attempt_id is not None
            and (attempt := self._machine.attempts.get(agent.attempt_id)) is not None
            and attempt.agent_id == agent.id
        ):
            self._machine.feed(attempt, Cue.AGENT_LOST)

    def listen(self, attempt: Attempt, *, early: bool, limit_s: float = 0.0) -> None:
        """Have the media plane's detector listen, unless the campaign's mode is off; `limit_s` 0 is the mode's own limit."""
        campaign = self._campaigns[attempt.campaign_id]
        mode, machines = campaign.settings.detection, campaign.settings.machines
        if mode is DetectionMode.OFF:
            return
        self._media.send(
            Listen(
                leg_id=attempt.leg_id, mode=mode, early=early, agent_wait_s=campaign.agent_wait_s, limit_s=limit_s,
                fallback_prompt=campaign.settings.abandonment_prompt, cost_lost_person=machines.cost_lost_person or 0.0,
                cost_passed_machine=machines.cost_passed_machine or 0.0, cost_delay_s=machines.cost_delay_s or 0.0,
                cost_told_person=machines.cost_told_person or 0.0,
                tell_quiet=bool(campaign.message), clip_id=attempt.id if machines.keep_clips and not early else "",
            )
        )  # fmt: skip

    def verdict(self, attempt: Attempt, event: LegVerdict) -> None:
        """Take a verdict: note it, and act on it where the campaign's mode acts."""
        early = event.early or attempt.state in RINGING_STATES
        if early:
            attempt.early_verdict = event.label
        else:
            attempt.verdict = event.label
            attempt.verdict_ns = attempt.verdict_ns or event.at_ns
            attempt.greeting_end_ns = event.greeting_end_ns or attempt.greeting_end_ns
        told = event_of(
            AttemptVerdictGiven, attempt, event.at_ns, label=event.label, reason=event.reason, confidence=round(event.confidence, 4),
            provisional=event.provisional, decision_ms=(event.at_ns - attempt.answered_ns) // 1_000_000 if attempt.answered_ns else -1,
            greeting_end_mono_ns=event.greeting_end_ns,
        )  # fmt: skip
        if early:
            self._records.change(attempt, told)
            return
        if self._campaigns[attempt.campaign_id].settings.detection in ACTING_MODES:
            # who says nothing is taken for a person, but not where an assistant has just been told who we are
            live = {Verdict.HUMAN} if attempt.screened else LIVE_VERDICTS
            if event.label in live:
                self.route_as_person(attempt)
            else:
                self.machines.take(attempt, event)
        self._records.change(
            attempt, told, verdict=event.label, verdict_reason=event.reason, verdict_mono_ns=attempt.verdict_ns,
            greeting_end_mono_ns=attempt.greeting_end_ns or None,
        )  # fmt: skip

    def revised(self, attempt: Attempt, event: VerdictRevised) -> None:
        """Take a revision: a person turned out to be a machine. Released, unless somebody is talking already."""
        before, attempt.verdict = attempt.verdict, event.label
        told = event_of(
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
        if (
            self._campaigns[attempt.campaign_id].settings.detection in ACTING_MODES
            and event.label not in LIVE_VERDICTS
            and attempt.next_state(Cue.REVISED_NOT_LIVE) is S.RELEASING
        ):
            attempt.release_outcome = attempt.release_outcome or outcome_of_verdict(event.label)
            attempt.live = attempt.abandoned = False
            self._observer.not_live_after_all(attempt)
            self._machine.feed(attempt, Cue.REVISED_NOT_LIVE)
            self._records.change(attempt, None, live_answer=False, abandoned=False)

    def route_as_person(self, attempt: Attempt) -> None:
        """From now on this is a live answer."""
        cue = Cue.TO_FLOW if self._flows.flow_of(attempt) is not None else Cue.LIVE
        if attempt.next_state(cue) not in (S.WAITING, S.IN_FLOW):
            self._machine.late += 1
            return
        attempt.live = True
        self._observer.live_answer(attempt)
        self._machine.feed(attempt, cue)

    def to_flow(self, attempt: Attempt) -> None:
        """Entered IN_FLOW: their flow speaks to them."""
        acting = self._campaigns[attempt.campaign_id].settings.detection in ACTING_MODES
        self._flows.begin(attempt, waits=acting)

    def wait_for_agent(self, attempt: Attempt, before: AttemptState) -> None:
        """Entered WAITING: start the media plane's deadline where it may not run, then look for an agent at once.

        Out of BRIDGING it may or may not run (the bridge may have been made before its agent was lost): told again, it stays what it was.
        """
        campaign = self._campaigns[attempt.campaign_id]
        now_ns = attempt.waiting_since_ns = self._runtime.clock.mono_ns()
        listening_decides = campaign.settings.detection in ACTING_MODES and not attempt.sampled
        if before is not S.BRIDGING:
            greeted_ns = attempt.greeting_end_ns or attempt.verdict_ns if before is S.LISTENING else 0
            attempt.wait_until_ns = (greeted_ns or now_ns) + int(campaign.agent_wait_s * 1e9)
        if before is not S.LISTENING or not listening_decides:
            self._media.send(
                Await(
                    leg_id=attempt.leg_id,
                    agent_wait_s=max(0.0, (attempt.wait_until_ns - now_ns) / 1e9),
                    fallback_prompt=campaign.settings.abandonment_prompt,
                )
            )
        self._records.change(attempt, None, live_answer=True)
        agent = self._agent_for(attempt)
        if agent is not None and self._media.attached:
            self._reserve(attempt, agent)

    def resume_bridge(self, attempt: Attempt, agent: Agent, at_ns: int) -> None:
        """Take over a bridge that a former engine asked for and did not write down."""
        if agent.state is AgentState.READY:
            self._roster.apply(agent, AgentCue.RESERVE, attempt=attempt.id, campaign=attempt.campaign_id)
        # talking already: the agent's change was written down, and the attempt's own, one unit later, was not
        mine = agent.state in (AgentState.RESERVED, AgentState.TALKING) and agent.attempt_id == attempt.id
        if not mine or agent.leg_id is None or not self._machine.feed(attempt, Cue.AGENT_RESERVED):
            return
        attempt.agent_id = agent.id
        self.bridged(attempt, LegsBridged(at_ns=at_ns, leg_id=attempt.leg_id, agent_leg_id=agent.leg_id))

    def _reserve(self, attempt: Attempt, agent: Agent) -> None:
        """Give this person to this agent. Nothing here waits for the store."""
        if agent.leg_id is None and not agent.per_conversation and not agent.in_pbx:
            return
        attempt.bridging_limit_s = self.bridging_limit_s(agent)
        if not self._machine.feed(attempt, Cue.AGENT_RESERVED):
            return
        attempt.agent_id = agent.id
        run = self._campaigns[attempt.campaign_id]
        announced = run.announcement(attempt.number, attempt.language, attempt.region)
        told = announced if not attempt.bridged_ns else ""
        self._roster.apply(agent, AgentCue.RESERVE, attempt=attempt.id, campaign=attempt.campaign_id)
        if agent.in_pbx:
            self.deliveries.begin(attempt, agent, told)
        else:
            self._bridge(attempt, agent, told)
        self.on_reserved(agent)

    def bridging_limit_s(self, agent: Agent) -> float:
        """Return how long it may take until they hear each other, where somebody is called for that; 0: the state's own limit."""
        if agent.in_pbx:
            return self.deliveries.limit_s(agent)
        return AGENT_RING_LIMIT_S if agent.leg_id is None else 0.0

    def _bridge(self, attempt: Attempt, agent: Agent, announcement: str = "") -> None:
        """Bridge them as soon as the agent's leg is up; the media plane's deadline for the person runs on meanwhile."""

        def bridge(leg_id: LegId) -> None:
            if attempt.state is S.BRIDGING and attempt.agent_id == agent.id:
                self._media.send(
                    Bridge(leg_id=attempt.leg_id, agent_leg_id=leg_id, announcement=announcement)
                )

        self.when_up(agent, bridge)

    def hand_on(self, attempt: Attempt, agent: Agent) -> None:
        """Entered BRIDGING by its former agent's word: give this person to the agent named."""
        if agent.leg_id is None and not agent.per_conversation and not agent.in_pbx:
            return  # its leg was lost in this very moment: the state's limit ends the call
        attempt.agent_id = agent.id
        if agent.leg_id is None:
            self._media.send(Hear(hears={}, music={attempt.leg_id: MUSIC}))
        if agent.state is AgentState.READY:
            self._roster.apply(agent, AgentCue.RESERVE, attempt=attempt.id, campaign=attempt.campaign_id)
        if agent.in_pbx:
            self.deliveries.begin(attempt, agent)
        else:
            self._bridge(attempt, agent)

    def bridged(self, attempt: Attempt, event: LegsBridged) -> None:
        """Customer and agent hear each other."""
        if not self._is_of_now(attempt, event) or not self._machine.feed(attempt, Cue.BRIDGED):
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
        told = event_of(
            AttemptBridged,
            attempt,
            event.at_ns,
            agent_id=attempt.agent_id,
            verdict_to_bridge_ms=round((event.at_ns - since_ns) / 1e6, 3),
        )
        columns = {"bridged_mono_ns": event.at_ns} if first else {}
        self._records.change(attempt, told, agent_id=attempt.agent_id, **columns)
        self.on_bridged(self._roster[attempt.agent_id], attempt)
        self.deliveries.bridged(attempt)

    def refused(self, attempt: Attempt, event: BridgeRefused) -> None:
        """The media plane would not bridge."""
        log.warning("bridge_refused", attempt_id=attempt.id, leg_id=event.leg_id, reason=event.reason)
        if attempt.state is S.TRANSFERRED:
            self.on_transfer_refused(attempt, event.agent_leg_id)
            return
        if not self._is_of_now(attempt, event):
            return
        if (
            event.reason != "fallback"
            and attempt.agent_id is not None
            and attempt.state in (S.BRIDGING, S.BRIDGED)
        ):
            self.on_bad_agent_leg(
                self._roster[attempt.agent_id]
            )  # comes back as AGENT_LOST, so that nobody is offered that leg again
            return
        self._machine.feed(attempt, Cue.BRIDGE_REFUSED)

    def _is_of_now(self, attempt: Attempt, event: LegsBridged | BridgeRefused) -> bool:
        """Whether this speaks of the agent the attempt has now, and not of one who was lost meanwhile: that is late news."""
        if attempt.agent_id is not None and self._roster[attempt.agent_id].leg_id == event.agent_leg_id:
            return True
        self._machine.late += 1
        return False

    def part_from_agent(self, attempt: Attempt, before: AttemptState, cue: Cue) -> None:
        """The attempt leaves BRIDGING or BRIDGED: its agent is freed, or goes into wrap-up."""
        agent_id, attempt.agent_id = attempt.agent_id, None
        if agent_id is None:
            return
        agent = self._roster[agent_id]
        # Also out of BRIDGING: the bridge may have been made, and the agent's leg must be free for the next person.
        self._media.send(Unbridge(leg_id=attempt.leg_id))
        if before is S.BRIDGED:
            now_ns = self._runtime.clock.mono_ns()
            attempt.talk_ns += max(0, attempt.end_ns(now_ns) - attempt.bridge_began_ns)
            if cue is Cue.AGENT_LOST:
                self._runtime.journal.append(event_of(AttemptUnbridged, attempt, now_ns, agent_id=agent_id))
        self.on_parted(agent)
        if agent.in_pbx:
            self.deliveries.parted(attempt, agent)
        if cue is not Cue.AGENT_LOST:  # a lost agent's state is changed by whoever saw the loss
            # Who was consulted and is being given the customer talks already, also before that bridge stands.
            talked = agent.state is AgentState.TALKING
            self._roster.apply(agent, AgentCue.CALL_ENDED if talked else AgentCue.UNRESERVE)

    def abandoned(self, attempt: Attempt, event: FallbackStarted) -> None:
        """No agent in time: the abandonment message is playing."""
        talked = bool(attempt.bridged_ns)
        if not self._machine.feed(attempt, Cue.FALLBACK_STARTED):
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
        told = event_of(AttemptAbandoned, attempt, event.at_ns, waited_ms=waited_ms)
        self._records.change(attempt, told, live_answer=True, abandoned=True, abandoned_mono_ns=event.at_ns)
