"""What the engine and the media plane say to each other. See `messages.py`, from which everybody imports them."""

from __future__ import annotations

import msgspec

from dialer_core.ipc.base import DumpState, Message, SourcedEvent, SrtpKeys
from dialer_core.vocabulary import DetectionMode, LegId, LegKind, RecordSwitch, Verdict


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
    srtp: SrtpKeys | None = None
    """Encrypt by these, and take nothing else; None: sound in the clear."""


class Listen(Message, frozen=True, kw_only=True, tag="listen"):
    """Start the detector on a customer's leg. First with `early` at early media, then again without at the answer: timing restarts."""

    leg_id: LegId
    mode: DetectionMode
    early: bool = False
    agent_wait_s: float = 2.0
    """From the end of a live answer's greeting: not bridged by then, `fallback_prompt` plays (`FallbackStarted`)."""
    limit_s: float = 0.0
    """Undecided after this many seconds from the answer: `unknown` or `silence`. 0: the mode's own."""
    cost_lost_person: float = 0.0
    cost_passed_machine: float = 0.0
    cost_delay_s: float = 0.0
    cost_told_person: float = 0.0
    """What mistakes and delays cost (`amd.DetectorConfig`). 0: the mode's own."""
    clip_id: str = ""
    """Keep the first seconds after the answer under this id, where the media plane keeps clips; empty: keep nothing."""
    tell_quiet: bool = False
    """Tell when a machine's greeting is over although no beep came (`LegQuiet`)."""
    fallback_prompt: str = ""
    """Prompt id of the abandonment message; empty: none is played, and `PromptFinished` follows `FallbackStarted` at once."""


class Bridge(Message, frozen=True, kw_only=True, tag="bridge"):
    """Relay two legs to each other; answered by `LegsBridged` or `BridgeRefused`. The media plane alone decides the race with the fallback."""

    leg_id: LegId
    agent_leg_id: LegId
    connect_tone: str = "connect"
    """Prompt id played to the agent alone while the relay starts; empty: none."""
    announcement: str = ""
    """Prompt id played to the customer before they hear the agent; empty: none."""


class Unbridge(Message, frozen=True, kw_only=True, tag="unbridge"):
    """Stop relaying this leg (either side may be named). Both get silence. Harmless when not bridged."""

    leg_id: LegId


class Await(Message, frozen=True, kw_only=True, tag="await"):
    """A live customer who lost their agent waits again: from now, `agent_wait_s` until the fallback prompt."""

    leg_id: LegId
    agent_wait_s: float = 2.0
    fallback_prompt: str = ""


class Play(Message, frozen=True, kw_only=True, tag="play"):
    """Play prompts one after another to a leg that is not bridged; ends in `PromptFinished`. Replaces what is playing; with none, stops it.

    A prompt `speech:NAME` is a file that the host has rendered for this call.
    """

    leg_id: LegId
    prompts: tuple[str, ...]
    play_id: str = ""
    ends_wait: bool = False
    """They are in a flow's hands: the wait for an agent that a verdict began is over."""


class CloseLeg(Message, frozen=True, kw_only=True, tag="close_leg"):
    """Stop everything of this leg, send RTCP BYE and free its sockets; answered by `LegClosed` with the leg's statistics."""

    leg_id: LegId


class Hear(Message, frozen=True, kw_only=True, tag="hear"):
    """Whom each of these legs hears from now on, added up, and nobody else: hold, mute, three-way, supervision.

    A bridged leg that is named with its partner alone hears it as packets again. What it says holds until the next, or until a leg's
    bridge ends: then it hears nobody, and nobody hears it.
    """

    hears: dict[LegId, tuple[LegId, ...]]
    music: dict[LegId, str] = msgspec.field(default_factory=dict)
    """Prompt id that a leg hears over and over, and nobody besides."""


class SendDigits(Message, frozen=True, kw_only=True, tag="send_digits"):
    """Send digits to a far end by RFC 4733, one after another; what it would hear meanwhile is left out."""

    leg_id: LegId
    digits: str

    def __repr__(self) -> str:
        """Hide the digits: they may be a card's."""
        return f"SendDigits(leg_id={self.leg_id!r})"


class Record(Message, frozen=True, kw_only=True, tag="record"):
    """Record a customer's leg: what they say and what they hear of people, as two channels; ends in `RecordingEnded`, with the leg at the latest."""

    leg_id: LegId
    recording_id: str
    switch: RecordSwitch


MediaCommand = (
    OpenLeg
    | ConnectLeg
    | Listen
    | Bridge
    | Unbridge
    | Hear
    | SendDigits
    | Record
    | Await
    | Play
    | CloseLeg
    | DumpState
)


class MediaHello(SourcedEvent, frozen=True, kw_only=True, tag="media_hello"):
    """First thing on a new connection."""

    pid: int
    boot: str
    prompts: tuple[str, ...]
    """Ids of the prompts it can play."""
    prompt_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """How long each of them is."""


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


class LegQuiet(SourcedEvent, frozen=True, kw_only=True, tag="leg_quiet"):
    """A machine has said nothing since its greeting ended: without a beep, it listens all the same. Once."""

    leg_id: LegId


class LegDigit(SourcedEvent, frozen=True, kw_only=True, tag="leg_digit"):
    """A digit by RFC 4733, once per press."""

    leg_id: LegId
    digit: str


class FallbackStarted(SourcedEvent, frozen=True, kw_only=True, tag="fallback_started"):
    """The deadline passed without a bridge: the fallback prompt began (or would have, if none is set).

    A `PromptFinished` with `play_id` `fallback` follows.
    """

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
    rx_unusable: int = 0
    """Packets of the far end that are no RTP, or of a payload type nobody negotiated."""
    rx_overrun: int = 0
    """Packets the kernel threw away because they were not read in time."""
    tx_packets: int = 0
    tx_failed: int = 0
    """Packets the kernel would not take."""
    jitter_ms: float = 0.0
    """Interarrival jitter of what we got (RFC 3550, A.8), as it was last."""
    far_reports: int = 0
    """How often the far end has reported by RTCP on what it gets of us."""
    far_lost: int = 0
    """Packets of ours that it says it never got."""
    far_jitter_ms: float = 0.0
    """Of our stream as it arrives there."""
    round_trip_ms: float | None = None
    """There and back, by RTCP; None where the far end never answered a report of ours."""


class LegClosed(SourcedEvent, frozen=True, kw_only=True, tag="leg_closed"):
    """The leg's sockets are gone."""

    leg_id: LegId
    kind: LegKind = LegKind.CUSTOMER
    statistics: LegStatistics


class RecordingEnded(SourcedEvent, frozen=True, kw_only=True, tag="recording_ended"):
    """No more of it comes: it waits to be archived, or was discarded. `began_ns`: when its first sample was spoken (0: nothing was)."""

    leg_id: LegId
    recording_id: str
    began_ns: int
    seconds: float
    lost_pieces: int = 0
    """Seconds that the disk did not take in time."""
    discarded: bool = False


class MediaHealth(SourcedEvent, frozen=True, kw_only=True, tag="media_health"):
    """Once a second. Packets are counted since the process started, over all its legs."""

    legs: int
    listening: int
    bridged_pairs: int
    tick_lag_ms: float
    """How late the worst 20 ms of the last second began."""
    rss_mb: float
    rx_packets: int = 0
    rx_lost: int = 0
    """Gaps in what the far ends sent."""
    rx_overrun: int = 0
    """Thrown away by the kernel because we did not read in time."""
    tx_packets: int = 0
    tx_failed: int = 0
    """The kernel would not take them: a full buffer, no route, a far end that is gone."""


class MediaLegSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One leg in a `MediaState`. Times are 0 where it has not come to that."""

    leg_id: LegId
    kind: LegKind
    host: str
    port: int
    connected: ConnectLeg | None = None
    bridged_to: LegId | None = None
    bridged_ns: int = 0
    """When the bridge that stands, or stood last, was made."""
    listening: bool = False
    wait_until_ns: int = 0
    """It waits for an agent until then."""
    fallback_ns: int = 0
    """When the fallback prompt began."""
    play_id: str = ""
    """Of the prompt begun last that has one; the fallback prompt's is `fallback`."""
    playing: bool = False
    """A prompt is still to be heard."""
    verdict: LegVerdict | None = None
    rtp_lost: bool = False
    hears: tuple[LegId, ...] | None = None
    """By the last `Hear`; None: its bridge."""
    music: str = ""
    recording_id: str = ""
    recording_paused: bool = False


class MediaState(SourcedEvent, frozen=True, kw_only=True, tag="media_state"):
    """Answer to `DumpState`."""

    legs: tuple[MediaLegSnapshot, ...]
    recent_ends: tuple[MediaLegSnapshot, ...] = ()
    """Customers' legs closed last, as they were: what was heard of them may have been on its way to an engine that died."""


MediaEvent = (
    MediaHello
    | LegOpened
    | LegVerdict
    | VerdictRevised
    | LegBeep
    | LegQuiet
    | LegDigit
    | FallbackStarted
    | LegsBridged
    | BridgeRefused
    | PromptFinished
    | LegRtpLost
    | LegRtpBack
    | RecordingEnded
    | LegClosed
    | MediaHealth
    | MediaState
)
