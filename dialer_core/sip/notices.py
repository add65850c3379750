"""What the callbacks of pjsua2 leave for the worker's loop: small values, made inside a callback, read after it. It owns no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from dialer_core.ipc.messages import Dialog, SrtpKeys


@dataclass(frozen=True, slots=True)
class Sent:
    """The INVITE is on the wire."""

    at_ns: int
    call_id: str


@dataclass(frozen=True, slots=True)
class Provisional:
    """A 1xx; 100 included."""

    at_ns: int
    code: int
    early_sdp: bool
    pending: Dialog | None = None


@dataclass(frozen=True, slots=True)
class Negotiated:
    """pjsua2 has (again) agreed on media; the fields are those of `LegNegotiated`."""

    at_ns: int
    host: str
    port: int
    codec: str
    dtmf_pt: int
    ptime_ms: int
    direction: int
    rtcp_host: str
    rtcp_port: int
    srtp: SrtpKeys | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A 200 has come and its ACK has left."""

    at_ns: int
    dialog: Dialog


@dataclass(frozen=True, slots=True)
class Digit:
    """A digit by INFO."""

    at_ns: int
    digit: str


@dataclass(frozen=True, slots=True)
class Referred:
    """News of a REFER of ours."""

    at_ns: int
    code: int
    final: bool


@dataclass(frozen=True, slots=True)
class ConnectedLine:
    """The far end has said whom it has connected us to."""

    at_ns: int
    user: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The call is over for pjsua2."""

    at_ns: int
    code: int
    q850: int
    reason: str
    retry_after_s: int
    by_far: bool
    """False: answered, and then ended by pjsua2 itself: unusable media, or no session refresh."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A callback of ours failed; logged by the loop."""

    at_ns: int
    where: str
    error: str


@dataclass(frozen=True, slots=True)
class FinalSeen:
    """A final response to an INVITE, seen on the wire by the log writer."""

    at_ns: int
    call_id: str
    code: int
    q850: int
    reason: str
    dialog: Dialog | None = None
    """Of a 2xx: what it takes to end the call."""


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """A final response to an OPTIONS of ours."""

    at_ns: int
    call_id: str
    code: int


CallNotice = (
    Sent | Provisional | Negotiated | Answered | Digit | Referred | ConnectedLine | Disconnected | Fault
)
