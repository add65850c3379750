"""Every event of the log: what happened, named `noun.past_participle` or `noun.state`. Read this third.

An event is a row written in the same transaction as the state it reports, ordered by (node, source, seq). `data` (every field but the
common ones) holds ids and numbers, never a phone number, a name, a balance or a message's text (I17). Plugins receive these very
classes; `EVENTS` maps a stored name back to its class.
"""

from __future__ import annotations

from dialer_core import list_events, message_events, node_events, voice_events
from dialer_core.event_base import COMMON_FIELDS, EVENTS, Event, StoredEvent
from dialer_core.event_base import event_named as _event
from dialer_core.vocabulary import AgentId, LegId, LegKind

__all__ = [
    "COMMON_FIELDS",
    "EVENTS",
    "Event",
    "StoredEvent",
    "list_events",
    "message_events",
    "node_events",
    "voice_events",
]
"""What else is imported from here; the events below are besides."""


@_event("attempt.committed")
class AttemptCommitted(Event, frozen=True, kw_only=True):
    """The attempt's row and the gate's evidence are stored; its INVITE may leave."""

    trunk: str
    retry_of: str | None = None


@_event("attempt.sent")
class AttemptSent(Event, frozen=True, kw_only=True):
    """The INVITE has left."""

    call_id: str
    worker: str
    command_to_wire_ms: float = 0.0
    """From the engine's command to the worker's INVITE; the commit came before."""


@_event("attempt.ringing")
class AttemptRinging(Event, frozen=True, kw_only=True):
    """The first provisional answer that says it rings."""

    code: int


@_event("attempt.early_media")
class AttemptEarlyMedia(Event, frozen=True, kw_only=True):
    """Sound before the answer; the detector listens."""

    code: int


@_event("attempt.answered")
class AttemptAnswered(Event, frozen=True, kw_only=True):
    """200."""

    ring_ms: int


@_event("attempt.verdict_given")
class AttemptVerdictGiven(Event, frozen=True, kw_only=True):
    """What the detector heard. `decision_ms` counts from the answer (negative in early media)."""

    label: str
    reason: str
    confidence: float
    provisional: bool
    decision_ms: int
    greeting_end_mono_ns: int = 0


@_event("attempt.verdict_revised")
class AttemptVerdictRevised(Event, frozen=True, kw_only=True):
    """A provisional verdict turned out otherwise."""

    label: str
    reason: str
    confidence: float


@_event("attempt.screened")
class AttemptScreened(Event, frozen=True, kw_only=True):
    """A phone's assistant asked who is calling; it is being told, and the detector listens anew afterwards."""


@_event("attempt.message_started")
class AttemptMessageStarted(Event, frozen=True, kw_only=True):
    """Our message to a machine begins, `after` its `beep`, its greeting's end where none came (`quiet`), or its agent's word (`agent`)."""

    after: str
    prompt: str


@_event("attempt.sampled")
class AttemptSampled(Event, frozen=True, kw_only=True):
    """A machine by its verdict, drawn for evidence: `connected` to an agent, or not because none was free."""

    label: str
    share: float
    draw: float
    connected: bool


@_event("attempt.bridged")
class AttemptBridged(Event, frozen=True, kw_only=True):
    """Customer and agent hear each other since `at_mono_ns`."""

    agent_id: AgentId
    verdict_to_bridge_ms: float


@_event("attempt.unbridged")
class AttemptUnbridged(Event, frozen=True, kw_only=True):
    """The agent's leg was lost in mid-conversation; the customer waits for the next agent."""

    agent_id: AgentId


@_event("attempt.abandoned")
class AttemptAbandoned(Event, frozen=True, kw_only=True):
    """A live answer without an agent in time; the message began at `at_mono_ns`."""

    waited_ms: int


@_event("attempt.released")
class AttemptReleased(Event, frozen=True, kw_only=True):
    """The pacer let a long-ringing attempt go."""

    ring_ms: int


@_event("attempt.ended")
class AttemptEnded(Event, frozen=True, kw_only=True):
    """The attempt's one outcome."""

    outcome: str
    sip_code: int
    q850: int
    ended_by: str
    talk_ms: int = 0
    agent_id: str | None = None
    crossed: bool = False
    """A 200 crossed our CANCEL: somebody picked up and heard nothing before the BYE."""


@_event("attempt.dispositioned")
class AttemptDispositioned(Event, frozen=True, kw_only=True):
    """An agent, or (without one) a flow, said what the conversation was."""

    agent_id: AgentId | None = None
    disposition: str
    reason: str | None = None
    """Why they do not pay, where the agent said so."""


@_event("attempt.faulted")
class AttemptFaulted(Event, frozen=True, kw_only=True):
    """A `bug` cell of a state table was hit; the attempt ends as `internal`."""

    state: str
    event: str


@_event("call.arrived")
class CallArrived(Event, frozen=True, kw_only=True):
    """Somebody called a campaign's number, by a trunk and through the edge."""

    leg_id: str
    trunk: str


@_event("call.identified")
class CallIdentified(Event, frozen=True, kw_only=True):
    """The caller's number is somebody's: their leads rest meanwhile."""

    leg_id: str
    lead_id: str | None = None
    """Theirs in the campaign they called."""
    promised_agent: AgentId | None = None
    """Who promised to call them, took their promise or spoke with them last."""


@_event("call.queued")
class CallQueued(Event, frozen=True, kw_only=True):
    """Nobody is free for the caller: they wait, with music."""

    leg_id: str


@_event("callback.taken")
class CallbackTaken(Event, frozen=True, kw_only=True):
    """A caller has pressed the digit to be called back."""

    leg_id: str
    lead_id: str
    callback_id: str
    """Empty: their lead is not to be dialed at all (paid, restricted, or waiting for what they promised)."""
    due_utc: str


@_event("call.dispositioned")
class CallDispositioned(Event, frozen=True, kw_only=True):
    """What an agent, or (none) a flow, says a call that came in was; a later word replaces the former one."""

    leg_id: str
    disposition: str
    agent_id: AgentId | None = None
    lead_id: str | None = None
    """The lead it was about, where the caller's number is one's."""
    reason: str | None = None


@_event("call.bridged")
class CallBridged(Event, frozen=True, kw_only=True):
    """A caller and an agent hear each other."""

    leg_id: str
    agent_id: AgentId


@_event("call.ended")
class CallEnded(Event, frozen=True, kw_only=True):
    """A call that came in is over."""

    leg_id: str
    talked: bool
    """With an agent; else the message was told, or the caller left before."""
    by_us: bool
    seconds: float
    """Since it arrived."""


@_event("agent.state_changed")
class AgentStateChanged(Event, frozen=True, kw_only=True):
    """An agent's interval ended and the next began."""

    agent_id: AgentId
    state: str
    reason: str = ""


@_event("campaign.started")
class CampaignStarted(Event, frozen=True, kw_only=True):
    """Dialing may begin."""


@_event("campaign.paused")
class CampaignPaused(Event, frozen=True, kw_only=True):
    """No new attempts."""

    reason: str = ""


@_event("campaign.stopped")
class CampaignStopped(Event, frozen=True, kw_only=True):
    """Stopped by command or by a drain."""

    reason: str = ""


@_event("campaign.empty")
class CampaignEmpty(Event, frozen=True, kw_only=True):
    """Nothing is dialable now; says why in counts per reason and when the next lead is."""

    reasons: dict[str, int]
    next_at_utc: str | None = None
    finished: bool = False
    complete: bool = True
    """False: a long list is still being looked through; the counts are of the leads seen so far."""


@_event("detection.estimated")
class DetectionEstimated(Event, frozen=True, kw_only=True):
    """What detection does in a campaign, estimated anew from what agents heard: shares with the ends of their 95 % intervals."""

    people_lost: float | None
    people_lost_low: float
    people_lost_high: float
    machines_passed: float | None
    machine_verdicts: int
    sampled_heard: int
    passed_heard: int


@_event("detection.exported")
class DetectionExported(Event, frozen=True, kw_only=True):
    """So many of a campaign's clips were decrypted and written out, for retraining."""

    clips: int


@_event("pacing.decided")
class PacingDecided(Event, frozen=True, kw_only=True):
    """The pacer placed or released something, or what bound it changed; `pacing_words.decision_words` says it in words."""

    pool: str
    place: int
    release: int
    idle: int
    talking: int = 0
    wrapping: int = 0
    """Agents in wrap-up who will come back."""
    finishing: int = 0
    """Agents seen finishing, in conversation or in wrap-up; they are not among the two above."""
    ringing: int
    listening: int
    waiting: int
    lines_free: int = 0
    ledger_live: int = 0
    """Of the campaign whose ledger is tightest, in its tightest window."""
    ledger_abandoned: int = 0
    ceiling: float = 0.0
    alpha: float | None = None
    """Highest probability of abandonment the next live answer may have; None where the mode has none."""
    p_marginal: float | None = None
    overflow: float | None = None
    expected_live_hz: float | None = None
    """Live answers a second that the ringing attempts are expected to give."""
    next_propensity: float | None = None
    """Mean probability of a live answer of the leads that come next, where somebody scores the list; None: as the pool has learned."""
    quiet_steps: int = 0
    """Decisions since the last told that placed and released nothing and were bound by the same."""
    binding: str
    reason: str = ""
    """Where `binding` is the brake: what tripped it."""


@_event("trunk.state_changed")
class TrunkStateChanged(Event, frozen=True, kw_only=True):
    """A trunk came up or went down."""

    trunk: str
    state: str
    reason: str = ""


@_event("worker.lost")
class WorkerLost(Event, frozen=True, kw_only=True):
    """A line worker died or its socket closed; `legs` are what it held. Its attempts end as `interrupted`."""

    worker: str
    legs: int


@_event("leg.rtp_lost")
class LegSoundLost(Event, frozen=True, kw_only=True):
    """One-way sound: a far end that should send has sent nothing for `silent_s`. A bridged customer's leg, or an agent's (which is called anew)."""

    leg_id: LegId
    silent_s: float
    agent_id: AgentId | None = None


@_event("leg.rtp_back")
class LegSoundBack(Event, frozen=True, kw_only=True):
    """A customer of whom nothing was heard is heard again."""

    leg_id: LegId


@_event("leg.measured")
class LegMeasured(Event, frozen=True, kw_only=True):
    """The sound of a leg that has ended, both ways: what we got of it, and what its far end said by RTCP that it got of us."""

    leg_id: LegId
    kind: LegKind
    rx_packets: int
    rx_lost: int
    rx_jitter_ms: float
    tx_packets: int
    one_way: bool
    """We spoke for a second at least, and never heard anything."""
    far_reports: int
    """How often the far end reported; where it did not, the following say nothing."""
    far_lost: int
    far_jitter_ms: float
    round_trip_ms: float | None = None
    """None: the far end never answered a report of ours."""


@_event("media.lost")
class MediaLost(Event, frozen=True, kw_only=True):
    """The media plane died or its socket closed; `legs` wait for their sound to come back."""

    legs: int


@_event("media.restored")
class MediaRestored(Event, frozen=True, kw_only=True):
    """There is a media plane again; `reopened` legs go on with it, after `away_ms` without."""

    reopened: int
    away_ms: int


@_event("engine.restarted")
class EngineRestarted(Event, frozen=True, kw_only=True):
    """An engine started and found what a former one had left: live attempts, agents logged in.

    `adopted` attempts went on, `interrupted` ones could not; `ended` had ended while there was no engine. `down_ms` counts from the former one's
    last word in the log.
    """

    adopted: int
    interrupted: int
    ended: int
    agents: int
    down_ms: int


@_event("host.lost")
class HostLost(Event, frozen=True, kw_only=True):
    """The host process died; plugins, screens and the API are away until it is back."""


@_event("lead.imported")
class LeadsImported(Event, frozen=True, kw_only=True):
    """An import ended."""

    file_sha256: str
    accepted: int
    updated: int
    rejected: int


@_event("lead.blocked")
class LeadBlocked(Event, frozen=True, kw_only=True):
    """The gate refused a lead at its claim; it may be dialed from `allowed_from_utc` on, if ever."""

    lead_id: str
    rule: str
    reason: str
    allowed_from_utc: str | None = None


@_event("lead.finished")
class LeadFinished(Event, frozen=True, kw_only=True):
    """A lead is done."""

    lead_id: str
    reason: str


@_event("promise.made")
class PromiseMade(Event, frozen=True, kw_only=True):
    """Somebody promised to pay; calls about the account stop until the promise is kept or broken."""

    promise_id: str
    kind: str


@_event("promise.kept")
class PromiseKept(Event, frozen=True, kw_only=True):
    """Every instalment of a promise was paid."""

    promise_id: str


@_event("promise.broken")
class PromiseBroken(Event, frozen=True, kw_only=True):
    """An instalment of a promise was not paid by its day and grace."""

    promise_id: str


@_event("payment.received")
class PaymentReceived(Event, frozen=True, kw_only=True):
    """A payment of an account is known for the first time."""

    payment_id: str


@_event("restriction.added")
class RestrictionAdded(Event, frozen=True, kw_only=True):
    """Somebody may no longer be contacted."""

    kind: str
    scope: str
    count: int = 1


@_event("plugin.failed")
class PluginFailed(Event, frozen=True, kw_only=True):
    """A plugin's hook raised or ran over its time limit; nothing else noticed."""

    plugin: str
    hook: str
    error: str
