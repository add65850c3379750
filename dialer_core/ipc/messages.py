"""Every message between our processes, and who sends it. It owns their shape, not their transport or meaning in a state machine.

Commands are imperatives and go from the engine to a line worker or the media plane; events are past tense and come back, stamped at
their source with `at_ns` (CLOCK_MONOTONIC) and a per-source `seq`. A listener (worker, media plane, engine) accepts one peer at a time and
outlives it: after a re-attach the peer asks for `DumpState`.

Encoding: msgpack, one tagged union per direction (`WorkerCommand`, `WorkerEvent`, `MediaCommand`, `MediaEvent`, `HostCommand`, `HostReply`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dialer_core.vocabulary import DetectionMode, EndedBy, LegId, LegKind, Verdict


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of all messages."""


class SourcedEvent(Message, frozen=True, kw_only=True):
    """An event stamped where it happened."""

    at_ns: int
    seq: int = 0


# --- the same in both directions of every socket -------------------------------------------------------------------------


class DumpState(Message, frozen=True, kw_only=True, tag="dump_state"):
    """Engine → worker or media plane: say everything you hold; answered by a `WorkerState` or `MediaState`."""


class Drain(Message, frozen=True, kw_only=True, tag="drain"):
    """Engine or supervisor → worker: place nothing more; exit when the last leg has ended."""


# --- engine → line worker ------------------------------------------------------------------------------------------------


class SipIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """From whom an INVITE comes, and how it authenticates. `password` never appears in a log or a dump."""

    from_uri: str
    """`sip:+525512345678@host`: the caller ID as the trunk wants it."""
    display_name: str = ""
    auth_user: str = ""
    password: str = ""
    proxy: str = ""
    """Outbound proxy URI with `;lr`, or empty."""

    def __repr__(self) -> str:
        """Hide the password."""
        return f"SipIdentity(auth_user={'set' if self.auth_user else 'none'})"


class Place(Message, frozen=True, kw_only=True, tag="place"):
    """Send an INVITE. The worker keeps own timers for each phase; every limit is in seconds."""

    leg_id: LegId
    kind: LegKind
    to_uri: str
    identity: SipIdentity
    media_host: str
    """What our SDP names: the media plane's socket for this leg."""
    media_port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    headers: dict[str, str] = {}
    progress_limit_s: float = 8.0
    """No 1xx at all: end with 408 by LIMIT."""
    ring_limit_s: float = 28.0
    """From the INVITE to the final answer: CANCEL by LIMIT."""
    unattended_limit_s: float = 15.0
    """Answered, and no `Attend` from an engine by then: BYE by LIMIT. So no call outlives a dead engine unheard."""


class Attend(Message, frozen=True, kw_only=True, tag="attend"):
    """The leg is in somebody's hands (bridged, or an agent's nailed-up leg): its unattended limit no longer runs."""

    leg_id: LegId


class Hangup(Message, frozen=True, kw_only=True, tag="hangup"):
    """CANCEL, BYE or reject, whatever the leg's state asks for. Harmless when the leg has ended. Always ends in one `LegEnded`."""

    leg_id: LegId
    reason: str = ""
    """Text of a Reason header, or empty."""


class Probe(Message, frozen=True, kw_only=True, tag="probe"):
    """Send OPTIONS to a trunk; answered by `ProbeResult`."""

    probe_id: str
    uri: str
    proxy: str = ""
    timeout_s: float = 3.0


class AllowSources(Message, frozen=True, kw_only=True, tag="allow_sources"):
    """Accept SIP only from these IPv4 addresses; everything else is discarded by the kernel before pjsua2 sees it."""

    addresses: tuple[str, ...]


WorkerCommand = Place | Attend | Hangup | Probe | AllowSources | Drain | DumpState


# --- line worker → engine ------------------------------------------------------------------------------------------------


class WorkerHello(SourcedEvent, frozen=True, kw_only=True, tag="worker_hello"):
    """First thing on a new connection, outside the sequence (`seq` 0): events kept while no engine was attached follow it."""

    worker: str
    pid: int
    capacity: int
    """Simultaneous calls of this pjsua2, read from the library."""
    sip_host: str
    sip_port: int
    boot: str
    """Unique per process start: a changed value means all earlier legs are gone."""


class LegSent(SourcedEvent, frozen=True, kw_only=True, tag="leg_sent"):
    """The INVITE has left."""

    leg_id: LegId
    call_id: str


class LegProvisional(SourcedEvent, frozen=True, kw_only=True, tag="leg_provisional"):
    """A 1xx above 100. `early_sdp`: sound may be on its way."""

    leg_id: LegId
    code: int
    early_sdp: bool = False


class LegNegotiated(SourcedEvent, frozen=True, kw_only=True, tag="leg_negotiated"):
    """The far end's media as now negotiated: at 183, at 200, and after each re-INVITE or UPDATE; the latest wins."""

    leg_id: LegId
    host: str
    """`0.0.0.0` means hold: never a destination."""
    port: int
    codec: str
    """`PCMU` or `PCMA`."""
    dtmf_pt: int = -1
    """Telephone-event payload type the far end wants to receive; -1 for none."""
    ptime_ms: int = 20
    direction: int = 3
    """0 inactive, 1 we only send, 2 we only receive, 3 both."""
    rtcp_host: str = ""
    rtcp_port: int = 0


class Dialog(msgspec.Struct, frozen=True, kw_only=True):
    """What a BYE needs when the worker that held the dialog is dead: journalled at the answer."""

    call_id: str
    local_uri: str
    local_tag: str
    remote_uri: str
    remote_tag: str
    remote_target: str
    route_set: tuple[str, ...] = ()
    local_cseq: int = 1
    destination: str = ""
    """`host:port` the last request went to."""


class LegAnswered(SourcedEvent, frozen=True, kw_only=True, tag="leg_answered"):
    """200 received and acknowledged."""

    leg_id: LegId
    dialog: Dialog


class LegInfoDigit(SourcedEvent, frozen=True, kw_only=True, tag="leg_info_digit"):
    """A digit by SIP INFO."""

    leg_id: LegId
    digit: str


class LegEnded(SourcedEvent, frozen=True, kw_only=True, tag="leg_ended"):
    """The leg is over; sent exactly once per `Place`. `code` is the final SIP code (0: none came; the worker refused before any INVITE left)."""

    leg_id: LegId
    code: int
    by: EndedBy
    q850: int = 0
    """Cause of a Reason header, or 0."""
    reason: str = ""
    """SIP reason phrase or the worker's own words; no personal data."""
    retry_after_s: int = 0
    invite_sent: bool = True
    crossed: bool = False
    """A 200 crossed our CANCEL: somebody did answer, and heard nothing before the BYE. There was no `LegAnswered`; `code` is 200."""


class ProbeResult(SourcedEvent, frozen=True, kw_only=True, tag="probe_result"):
    """`code` 0: no answer in time. Any answer below 500, and 501/503 apart, means the trunk is alive: the engine decides."""

    probe_id: str
    code: int


class WorkerHealth(SourcedEvent, frozen=True, kw_only=True, tag="worker_health"):
    """Once a second, and after each change of slots."""

    slots_used: int
    capacity: int
    lag_ms: float
    rss_mb: float
    bridge_ports: int = 0


class LegSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One leg in a `WorkerState`."""

    leg_id: LegId
    kind: LegKind
    call_id: str
    state: str
    """`calling`, `early`, `confirmed` or `releasing`."""
    negotiated: LegNegotiated | None = None
    dialog: Dialog | None = None


class WorkerState(SourcedEvent, frozen=True, kw_only=True, tag="worker_state"):
    """Answer to `DumpState`."""

    legs: tuple[LegSnapshot, ...]
    recent_ends: tuple[LegEnded, ...] = ()
    """The last legs that ended, as told: what was on its way to an engine that died."""


WorkerEvent = (
    WorkerHello
    | LegSent
    | LegProvisional
    | LegNegotiated
    | LegAnswered
    | LegInfoDigit
    | LegEnded
    | ProbeResult
    | WorkerHealth
    | WorkerState
)


# --- engine → media plane ------------------------------------------------------------------------------------------------


class OpenLeg(Message, frozen=True, kw_only=True, tag="open_leg"):
    """Bind an RTP/RTCP socket pair for a leg; answered by `LegOpened`. `port` asks for one (re-open after a restart)."""

    leg_id: LegId
    kind: LegKind
    port: int = 0


class ConnectLeg(Message, frozen=True, kw_only=True, tag="connect_leg"):
    """Where the far end is and what it speaks. Sending (silence at least) begins. Again on every change; the latest wins."""

    leg_id: LegId
    host: str
    port: int
    codec: str
    dtmf_pt: int = -1
    ptime_ms: int = 20
    direction: int = 3
    rtcp_host: str = ""
    rtcp_port: int = 0
    latch: bool = False
    """Take the first valid source instead of the negotiated one (NAT)."""


class Listen(Message, frozen=True, kw_only=True, tag="listen"):
    """Start the detector on a customer's leg. First with `early` at early media, then again without at the answer: timing restarts."""

    leg_id: LegId
    mode: DetectionMode
    early: bool = False
    agent_wait_s: float = 2.0
    """From the end of a live answer's greeting: not bridged by then, `fallback_prompt` plays (`FallbackStarted`)."""
    limit_s: float = 0.0
    """Undecided after this many seconds from the answer: `unknown` or `silence`. 0: the mode's own."""
    fallback_prompt: str = ""
    """Prompt id of the abandonment message; empty: none is played and `FallbackStarted` alone is sent."""


class Bridge(Message, frozen=True, kw_only=True, tag="bridge"):
    """Relay two legs to each other; answered by `LegsBridged` or `BridgeRefused`. The media plane alone decides the race with the fallback."""

    leg_id: LegId
    agent_leg_id: LegId
    connect_tone: str = "connect"
    """Prompt id played to the agent alone while the relay starts; empty: none."""


class Unbridge(Message, frozen=True, kw_only=True, tag="unbridge"):
    """Stop relaying this leg (either side may be named). Both get silence. Harmless when not bridged."""

    leg_id: LegId


class Await(Message, frozen=True, kw_only=True, tag="await"):
    """A live customer who lost their agent waits again: from now, `agent_wait_s` until the fallback prompt."""

    leg_id: LegId
    agent_wait_s: float = 2.0
    fallback_prompt: str = ""


class Play(Message, frozen=True, kw_only=True, tag="play"):
    """Play prompts one after another to a leg that is not bridged; ends in `PromptFinished`. Replaces what is playing."""

    leg_id: LegId
    prompts: tuple[str, ...]
    play_id: str = ""


class CloseLeg(Message, frozen=True, kw_only=True, tag="close_leg"):
    """Stop everything of this leg, send RTCP BYE and free its sockets; answered by `LegClosed` with the leg's statistics."""

    leg_id: LegId


MediaCommand = OpenLeg | ConnectLeg | Listen | Bridge | Unbridge | Await | Play | CloseLeg | DumpState


# --- media plane → engine ------------------------------------------------------------------------------------------------


class MediaHello(SourcedEvent, frozen=True, kw_only=True, tag="media_hello"):
    """First thing on a new connection."""

    pid: int
    boot: str
    prompts: tuple[str, ...]
    """Ids of the prompts it can play."""


class LegOpened(SourcedEvent, frozen=True, kw_only=True, tag="leg_opened"):
    """`port` 0: no port pair was free (`error` says so)."""

    leg_id: LegId
    host: str
    port: int
    error: str = ""


class LegVerdict(SourcedEvent, frozen=True, kw_only=True, tag="leg_verdict"):
    """What the detector decided. `at_ns` is when; `greeting_end_ns` when the last speech before it arrived (0: unknown)."""

    leg_id: LegId
    label: Verdict
    reason: str
    confidence: float
    provisional: bool
    early: bool = False
    greeting_end_ns: int = 0


class VerdictRevised(SourcedEvent, frozen=True, kw_only=True, tag="verdict_revised"):
    """A provisional verdict turned out otherwise."""

    leg_id: LegId
    label: Verdict
    reason: str
    confidence: float


class LegBeep(SourcedEvent, frozen=True, kw_only=True, tag="leg_beep"):
    """A voicemail beep ended at `end_ns`."""

    leg_id: LegId
    end_ns: int


class LegDigit(SourcedEvent, frozen=True, kw_only=True, tag="leg_digit"):
    """A digit by RFC 4733, once per press."""

    leg_id: LegId
    digit: str


class FallbackStarted(SourcedEvent, frozen=True, kw_only=True, tag="fallback_started"):
    """The deadline passed without a bridge: the fallback prompt began (or would have, if none is set). A `PromptFinished` follows."""

    leg_id: LegId


class LegsBridged(SourcedEvent, frozen=True, kw_only=True, tag="legs_bridged"):
    """Both directions relay from `at_ns` on."""

    leg_id: LegId
    agent_leg_id: LegId


class BridgeRefused(SourcedEvent, frozen=True, kw_only=True, tag="bridge_refused"):
    """`reason`: `fallback` (its message is playing), `gone` (a leg is not open), `busy` (a leg is bridged)."""

    leg_id: LegId
    agent_leg_id: LegId
    reason: str


class PromptFinished(SourcedEvent, frozen=True, kw_only=True, tag="prompt_finished"):
    """Played to its end, or cut off by a bridge or another `Play` (`cut`)."""

    leg_id: LegId
    play_id: str
    cut: bool = False


class LegRtpLost(SourcedEvent, frozen=True, kw_only=True, tag="leg_rtp_lost"):
    """A connected leg that should send has sent nothing for `silent_s`; once, until it sends again (`LegRtpBack`)."""

    leg_id: LegId
    silent_s: float


class LegRtpBack(SourcedEvent, frozen=True, kw_only=True, tag="leg_rtp_back"):
    """Sound comes again."""

    leg_id: LegId


class LegStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A leg's totals at its end."""

    rx_packets: int = 0
    rx_lost: int = 0
    rx_late: int = 0
    rx_duplicate: int = 0
    rx_refused: int = 0
    """Packets from anybody but the negotiated far end."""
    tx_packets: int = 0
    jitter_ms: float = 0.0


class LegClosed(SourcedEvent, frozen=True, kw_only=True, tag="leg_closed"):
    """The leg's sockets are gone."""

    leg_id: LegId
    statistics: LegStatistics


class MediaHealth(SourcedEvent, frozen=True, kw_only=True, tag="media_health"):
    """Once a second."""

    legs: int
    listening: int
    bridged_pairs: int
    tick_lag_ms: float
    rss_mb: float


class MediaLegSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One leg in a `MediaState`."""

    leg_id: LegId
    kind: LegKind
    host: str
    port: int
    connected: ConnectLeg | None = None
    bridged_to: LegId | None = None
    listening: bool = False
    fallback: bool = False
    verdict: LegVerdict | None = None


class MediaState(SourcedEvent, frozen=True, kw_only=True, tag="media_state"):
    """Answer to `DumpState`."""

    legs: tuple[MediaLegSnapshot, ...]


MediaEvent = (
    MediaHello
    | LegOpened
    | LegVerdict
    | VerdictRevised
    | LegBeep
    | LegDigit
    | FallbackStarted
    | LegsBridged
    | BridgeRefused
    | PromptFinished
    | LegRtpLost
    | LegRtpBack
    | LegClosed
    | MediaHealth
    | MediaState
)


# --- host ↔ engine -------------------------------------------------------------------------------------------------------


class HostCommand(Message, frozen=True, kw_only=True, tag="host_command"):
    """Host → engine: one command of `/api/v1`, e.g. `agents.login`, `campaigns.pause`; answered by a `HostReply` with the same id."""

    request_id: int
    name: str
    args: dict[str, Any] = {}
    actor: str = ""


class HostReply(Message, frozen=True, kw_only=True, tag="host_reply"):
    """`error` empty: done. `kind`: `refused` (understood, not now), `unknown` (no such thing), `invalid` (bad arguments), `internal`."""

    request_id: int
    result: Any = None
    error: str = ""
    kind: str = ""


class EventsCommitted(Message, frozen=True, kw_only=True, tag="events_committed"):
    """Engine → host: the event log has rows up to `seq` of source `engine`: read them. Bulk-free wake-up, never the events themselves."""

    seq: int


EngineToHost = HostReply | EventsCommitted
HostToEngine = HostCommand
