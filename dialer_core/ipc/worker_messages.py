"""What the engine and a line worker say to each other. See `messages.py`, from which everybody imports them."""

from __future__ import annotations

import msgspec

from dialer_core.ipc.base import Drain, DumpState, Message, SourcedEvent, SrtpKeys
from dialer_core.vocabulary import EndedBy, LegId, LegKind, LegPurpose, SrtpUse


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
    owner: str = ""
    """The attempt's or the agent's id, or the extension's name: what a later engine joins the leg to its journal by."""
    purpose: LegPurpose | None = None
    """Of an extension's leg."""
    about: str = ""
    """Of an extension's leg: the attempt's id, for a transfer and a delivery; the agent's for a third."""
    to_uri: str
    identity: SipIdentity
    media_host: str
    """What our SDP names: the media plane's socket for this leg."""
    media_port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    srtp: SrtpUse = SrtpUse.OFF
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    progress_limit_s: float = 8.0
    """No 1xx at all: end with 408 by LIMIT."""
    ring_limit_s: float = 28.0
    """From the INVITE to the final answer: CANCEL by LIMIT."""
    unattended_limit_s: float = 15.0
    """Answered, and no `Attend` from an engine by then: BYE by LIMIT. So no call outlives a dead engine unheard."""


class Attend(Message, frozen=True, kw_only=True, tag="attend"):
    """The leg is in somebody's hands (bridged, or an agent's nailed-up leg): its unattended limit no longer runs."""

    leg_id: LegId


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """Answer a call that came in (`LegIncoming`) with 200; `LegNegotiated` and `LegAnswered` follow. Harmless when the leg has ended."""

    leg_id: LegId


class ExpectedLeg(msgspec.Struct, frozen=True, kw_only=True):
    """A leg for a call that may come in. pjsua2 makes its description when the INVITE comes, so its socket must be known before."""

    leg_id: LegId
    media_host: str
    media_port: int
    srtp: SrtpUse = SrtpUse.OFF


class Expect(Message, frozen=True, kw_only=True, tag="expect"):
    """Take so many calls that come in, each by one of these legs; they replace those told before. Without any, calls are refused."""

    legs: tuple[ExpectedLeg, ...]


class Hangup(Message, frozen=True, kw_only=True, tag="hangup"):
    """CANCEL, BYE or reject, whatever the leg's state asks for. Harmless when the leg has ended. Always ends in one `LegEnded`."""

    leg_id: LegId
    reason: str = ""
    """Text of a Reason header, or empty."""
    reject_code: int = 480
    """The answer to a call that came in and has not been answered."""


class Probe(Message, frozen=True, kw_only=True, tag="probe"):
    """Send OPTIONS to a trunk; answered by `ProbeResult`."""

    probe_id: str
    uri: str
    proxy: str = ""
    timeout_s: float = 3.0


class AllowSources(Message, frozen=True, kw_only=True, tag="allow_sources"):
    """Accept SIP only from these IPv4 addresses; everything else is discarded by the kernel before pjsua2 sees it."""

    addresses: tuple[str, ...]
    complete: bool = True
    """False: some names could not be looked up, so whoever was allowed before stays allowed."""


class SendInfoDigits(Message, frozen=True, kw_only=True, tag="send_info_digits"):
    """Send digits to a far end by SIP INFO, one request each: where it takes none by RFC 4733."""

    leg_id: LegId
    digits: str

    def __repr__(self) -> str:
        """Hide the digits: they may be a card's."""
        return f"SendInfoDigits(leg_id={self.leg_id!r})"


class Refer(Message, frozen=True, kw_only=True, tag="refer"):
    """Ask the far end of an answered leg to call somebody in our place (RFC 3515); `LegReferred` tells how that goes."""

    leg_id: LegId
    to_uri: str
    replaces: Dialog | None = None
    """The dialog to be replaced by that call (RFC 3891): a leg of ours, to the same `to_uri`."""


WorkerCommand = (
    Place
    | Refer
    | Expect
    | Answer
    | Attend
    | Hangup
    | SendInfoDigits
    | Probe
    | AllowSources
    | Drain
    | DumpState
)


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


class LegIncoming(SourcedEvent, frozen=True, kw_only=True, tag="leg_incoming"):
    """A call came in by an expected leg; the worker gives it up by itself where nothing is said about it within seconds."""

    leg_id: LegId
    call_id: str
    number: str
    """The user part of its Request-URI: who was called. Never in a log."""
    caller: str = ""
    """The user part of its P-Asserted-Identity, or else of From: who calls, as the trunk says. Never in a log."""
    trunk: str = ""
    """By whom it came, as the edge knows it."""
    encrypted: bool = False
    """Its description has keys for encrypted sound."""


class LegSent(SourcedEvent, frozen=True, kw_only=True, tag="leg_sent"):
    """The INVITE has left."""

    leg_id: LegId
    call_id: str


class Dialog(msgspec.Struct, frozen=True, kw_only=True):
    """What a BYE needs when the worker that held the dialog is dead, journalled at the answer; before it, what a CANCEL needs."""

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
    acknowledged: bool = True
    """The 200 has had its ACK."""
    via: str = ""
    """Not answered yet: the INVITE's own Via, by which a CANCEL is known to be for it. `remote_target` is its Request-URI then."""


class LegProvisional(SourcedEvent, frozen=True, kw_only=True, tag="leg_provisional"):
    """A 1xx above 100. `early_sdp`: sound may be on its way."""

    leg_id: LegId
    code: int
    early_sdp: bool = False
    pending: Dialog | None = None
    """What a CANCEL needs if this worker dies now."""


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
    srtp: SrtpKeys | None = None
    """None: sound in the clear."""


class LegAnswered(SourcedEvent, frozen=True, kw_only=True, tag="leg_answered"):
    """200 received and acknowledged."""

    leg_id: LegId
    dialog: Dialog


class StrayAnswered(SourcedEvent, frozen=True, kw_only=True, tag="stray_answered"):
    """A 200 came for a call that a dead predecessor on this port had placed: somebody picked up, and nobody is there. Told once."""

    dialog: Dialog


class LegInfoDigit(SourcedEvent, frozen=True, kw_only=True, tag="leg_info_digit"):
    """A digit by SIP INFO."""

    leg_id: LegId
    digit: str

    def __repr__(self) -> str:
        """Hide the digit: it may be a card's."""
        return f"LegInfoDigit(leg_id={self.leg_id!r})"


class LegReferred(SourcedEvent, frozen=True, kw_only=True, tag="leg_referred"):
    """News of a `Refer`: 100 when it is accepted and for each NOTIFY on the way, then one `final`: the last NOTIFY's code, or the refusal's.

    0: it could not be sent.
    """

    leg_id: LegId
    code: int
    final: bool


class LegConnectedLine(SourcedEvent, frozen=True, kw_only=True, tag="leg_connected_line"):
    """A re-INVITE or UPDATE of the far end says whom the leg is connected to now (P-Asserted-Identity)."""

    leg_id: LegId
    user: str
    """The user part: an extension of the PBX."""


class LegEnded(SourcedEvent, frozen=True, kw_only=True, tag="leg_ended"):
    """The leg is over; sent exactly once per `Place` and `LegIncoming`.

    `code` is the final SIP code (0: none came; the worker refused before any INVITE left).
    """

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
    draining: bool = False
    """It takes nothing new and leaves when its last call has ended."""


class LegSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One leg in a `WorkerState`: everything that was told of it, so that an engine which heard none of it knows as much."""

    leg_id: LegId
    kind: LegKind
    owner: str
    """As in its `Place`, and so the next two."""
    purpose: LegPurpose | None = None
    about: str = ""
    call_id: str
    state: str
    """`calling`, `early`, `confirmed`, `releasing` or `ended`."""
    media_port: int = 0
    sent_ns: int = 0
    ringing_ns: int = 0
    ringing_code: int = 0
    early_sdp: bool = False
    answered_ns: int = 0
    negotiated: LegNegotiated | None = None
    dialog: Dialog | None = None
    arrival: LegIncoming | None = None
    """What was said when it came in, for one that did."""
    ended: LegEnded | None = None
    """How it ended, for one of `recent_ends`."""


class WorkerState(SourcedEvent, frozen=True, kw_only=True, tag="worker_state"):
    """Answer to `DumpState`."""

    legs: tuple[LegSnapshot, ...]
    recent_ends: tuple[LegSnapshot, ...] = ()
    """The last legs that ended: what happened while no engine was there, or was on its way to one that died."""


WorkerEvent = (
    WorkerHello
    | LegIncoming
    | LegSent
    | LegProvisional
    | LegNegotiated
    | LegAnswered
    | StrayAnswered
    | LegInfoDigit
    | LegReferred
    | LegConnectedLine
    | LegEnded
    | ProbeResult
    | WorkerHealth
    | WorkerState
)
