"""SIP messages and SDP as the simulated far ends write and read them, on aiosipua's parsers and serialisers.

Owns responses, the BYE, Via stamping and routing (RFC 3261 18.2, RFC 3581), offers read and answers written
(RFC 3264). Holds no state. Message syntax is aiosipua's; everything that has a life of its own is in
`sip_dialog.py` and `sip_endpoint.py` (docs/adr/0004-simulator.md says why).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiosipua.headers import parse_address, parse_uri, parse_via, stringify_uri, stringify_via
from aiosipua.message import SipRequest, SipResponse
from aiosipua.sdp import SdpMessage, SdpNegotiationError, build_sdp, negotiate_sdp, parse_sdp, serialize_sdp
from aiosipua.utils import generate_branch, generate_tag

from dialer_core.sim import g711

if TYPE_CHECKING:
    from collections.abc import Mapping

Address = tuple[str, int]

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"
SUPPORTED_EXTENSIONS: frozenset[str] = frozenset()
"""Option tags that a Require header may name."""

_PHRASES = {
    180: "Ringing",
    183: "Session Progress",
    420: "Bad Extension",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    603: "Decline",
}


class UnusableSdpError(ValueError):
    """The SDP cannot be read, or holds no audio that this end can send."""


def phrase(code: int) -> str:
    """The reason phrase of a SIP status code."""
    if code in _PHRASES:
        return _PHRASES[code]
    return "Trying" if code == 100 else HTTPStatus(code).phrase


# ---------------------------------------------------------------------------------------------- requests and
# responses


def stamp_via(request: SipRequest, source: Address) -> None:
    """Notes in the topmost Via where the request really came from."""
    first, *rest = request.headers.get("via")
    via = parse_via(first)
    if via.host != source[0]:
        via.params["received"] = source[0]
    if "rport" in via.params:
        via.params["received"] = source[0]
        via.params["rport"] = str(source[1])
    request.headers.remove("Via")
    for value in (stringify_via(via), *rest):
        request.headers.append("Via", value)


def reply_address(request: SipRequest) -> Address:
    """Where the responses to a stamped request go."""
    via = request.via[0]
    return (via.received or via.host, int(via.rport or via.port or 5060))


def transaction_key(request: SipRequest, method: str | None = None) -> tuple[str, str, str]:
    """What tells a transaction from others (RFC 3261 17.2.3); `method` is INVITE for its ACK and CANCEL."""
    via = request.via[0]
    return (via.branch or request.call_id or "", f"{via.host}:{via.port or 5060}", method or request.method)


def response(
    request: SipRequest,
    code: int,
    *,
    to_tag: str | None,
    contact: str | None = None,
    sdp: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> SipResponse:
    """A response; `to_tag` is added where the request's To has none (None in a 100)."""
    reply = SipResponse(status_code=code, reason_phrase=phrase(code))
    for via in request.headers.get("via"):
        reply.headers.append("Via", via)
    if 100 < code < 300:
        for route in request.headers.get("record-route"):
            reply.headers.append("Record-Route", route)
    to = request.headers.get_first("to") or ""
    reply.set_header("From", request.headers.get_first("from") or "")
    reply.set_header("To", f"{to};tag={to_tag}" if to_tag and not tag_of(to) else to)
    reply.set_header("Call-ID", request.call_id or "")
    reply.set_header("CSeq", request.headers.get_first("cseq") or "")
    if contact:
        reply.set_header("Contact", contact)
        reply.set_header("Allow", ALLOW)
    reply.set_header("Server", "Marcador-sim")
    for name, value in (headers or {}).items():
        reply.set_header(name, value)
    if sdp is not None:
        reply.set_header("Content-Type", "application/sdp")
        reply.text = sdp
    return reply


def tag_of(value: str) -> str:
    """The tag of a From or To value, empty when there is none."""
    return parse_address(value).tag or ""


def user_of(value: str) -> str:
    """The user part of a From or To value, empty when there is none."""
    return parse_address(value).uri.user or ""


def bye(
    invite: SipRequest, *, contact: str, local_tag: str, cseq: int, own_address: Address
) -> tuple[SipRequest, Address | None]:
    """The BYE of the side that was called, and where it goes (None: the next hop is no IP address).

    Parameters
    ----------
    invite
        The INVITE that made the dialog: its Record-Route, From and To.
    contact
        The other side's latest Contact value; its From when it gave none.
    local_tag, cseq, own_address
        Our side of the dialog.
    """
    target = parse_address(contact).uri
    request = SipRequest(method="BYE", uri=stringify_uri(target))
    host, port = own_address
    request.add_header("Via", f"SIP/2.0/UDP {host}:{port};branch={generate_branch()};rport")
    # The called side uses the recorded routes in the order in which they came (RFC 3261 12.1.1)
    routes = invite.headers.get("record-route")
    for route in routes:
        request.add_header("Route", route)
    request.set_header("From", f"{invite.headers.get_first('to')};tag={local_tag}")
    request.set_header("To", invite.headers.get_first("from") or "")
    request.set_header("Call-ID", invite.call_id or "")
    request.set_header("CSeq", f"{cseq} BYE")
    request.set_header("Max-Forwards", "70")
    next_hop = parse_address(routes[0]).uri if routes else target
    try:
        ipaddress.ip_address(next_hop.host)
    except ValueError:
        return request, None
    return request, (next_hop.host, next_hop.port or 5060)


def called_number(request: SipRequest) -> str:
    """The user part of the request URI."""
    return parse_uri(request.uri).user or ""


def new_tag() -> str:
    """A tag for our side of a dialog."""
    return generate_tag()


# ---------------------------------------------------------------------------------------------- SDP


@dataclass(frozen=True, slots=True)
class Offer:
    """The other side's SDP, as far as a far end cares."""

    message: SdpMessage
    codecs: tuple[str, ...]
    telephone_event: int | None
    direction: str
    remote_rtp: Address | None
    """None while nothing may be sent there (hold, inactive, 0.0.0.0)."""


def read_sdp(text: str) -> Offer:
    """Reads an offer, or an answer to ours.

    Raises
    ------
    UnusableSdpError
        If it cannot be parsed or has no audio.
    """
    try:
        message = parse_sdp(text)
    except (ValueError, IndexError, TypeError) as error:
        raise UnusableSdpError(f"cannot be parsed: {error}") from error
    audio, address = message.audio, message.rtp_address
    if audio is None or address is None or audio.port == 0 or audio.proto != "RTP/AVP":
        raise UnusableSdpError("no audio over RTP/AVP")
    events = [c.payload_type for c in audio.codecs if c.encoding_name.lower() == "telephone-event"]
    may_send = audio.direction in {"sendrecv", "recvonly"} and address[0] != "0.0.0.0"
    return Offer(
        message=message,
        codecs=tuple(c.encoding_name or str(c.payload_type) for c in audio.codecs),
        telephone_event=events[0] if events else None,
        direction=audio.direction,
        remote_rtp=address if may_send else None,
    )


def answer(
    offer: Offer, *, host: str, port: int, preferred: g711.Law, session: str, version: int
) -> tuple[str, g711.Law]:
    """Our answer, with exactly one codec (the preferred one if it was offered), and that codec.

    Raises
    ------
    UnusableSdpError
        If neither PCMU nor PCMA was offered.
    """
    other = g711.Law.PCMA if preferred is g711.Law.PCMU else g711.Law.PCMU
    for law in (preferred, other):
        try:
            message, _ = negotiate_sdp(
                offer.message, host, port, [g711.PAYLOAD_TYPE[law]],
                dtmf_payload_type=offer.telephone_event or 0, session_id=session,
            )  # fmt: skip
        except SdpNegotiationError:
            continue
        message.origin.session_version = str(version)
        return serialize_sdp(message), law
    raise UnusableSdpError(f"neither PCMU nor PCMA among {', '.join(offer.codecs)}")


def own_offer(*, host: str, port: int, law: g711.Law, session: str) -> str:
    """Our offer in the 200 to an INVITE that brought none."""
    message = build_sdp(host, port, g711.PAYLOAD_TYPE[law], law.value, session_id=session)
    return serialize_sdp(message)
