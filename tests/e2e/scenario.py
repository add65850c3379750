"""What SIPp does as a carrier: one scenario with a branch for each behaviour, chosen by the called number's last two digits.

Owns the steps a call is made of and their rendering as SIPp's XML. Starts nothing (`carrier.py` does).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

RTP_PAYLOAD = {"PCMU": 0, "PCMA": 8, "G729": 18}
_RTPMAP = {0: "PCMU/8000", 8: "PCMA/8000", 18: "G729/8000"}


@dataclass(frozen=True, slots=True)
class Ring:
    """180, then this long; a CANCEL in it is answered as it should be."""

    ms: int = 300


@dataclass(frozen=True, slots=True)
class RingOut:
    """180 until the CANCEL."""


@dataclass(frozen=True, slots=True)
class EarlyMedia:
    """183 with SDP and sound."""

    sound: Path
    ms: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A final response; the call is over."""

    code: int
    phrase: str
    q850: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """200, ACK, and sound where one is given.

    With `echo` whatever comes goes back to its sender at once; SIPp has one socket for that, for all its calls (`Carrier`, `echo`). With `at`
    their sound is wanted at that address and port, which a socket of the test has (`elsewhere.py`).
    """

    sound: Path | None = None
    law: str = "PCMU"
    echo: bool = False
    at: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Press:
    """Keys by RFC 4733 out of a capture (`keys.py`), from SIPp's own media port (`Answer`, `echo` names it; one call at a time): needs root."""

    keys: Path


@dataclass(frozen=True, slots=True)
class PressByInfo:
    """After so long, keys by SIP INFO, each as soon as the one before is answered."""

    after_ms: int
    keys: str


@dataclass(frozen=True, slots=True)
class Change:
    """After so long, a request in mid-call with a new description; by default it is the old one, as session timers and SBCs send it."""

    after_ms: int
    method: str = "INVITE"
    law: str = "PCMU"
    at: tuple[str, int] | None = None
    direction: str = "sendrecv"
    late: bool = False
    """No description in the request: it comes in the ACK, as the answer to ours."""
    refused: int = 0
    """It is to be refused with this code, and the talk goes on."""


@dataclass(frozen=True, slots=True)
class Stay:
    """On the line until the dialer's BYE; after so long, hangs up by itself."""

    ms: int


@dataclass(frozen=True, slots=True)
class AwaitBye:
    """The dialer's BYE is expected; none within the limit fails the call."""

    ms: int = 8000


@dataclass(frozen=True, slots=True)
class AnswerGarbled:
    """200 with a description nobody can read; ACK and BYE may come in either order, and more than one BYE."""


Step = (
    Ring | RingOut | EarlyMedia | Refuse | Answer | AnswerGarbled | Press | PressByInfo | Change | Stay | AwaitBye
)  # fmt: skip
Behaviour = tuple[Step, ...]


def sdp(
    law: str = "PCMU",
    *,
    connection: str = "[media_ip]",
    port: str = "[rtpstream_audio_port]",
    version: int = 1,
    direction: str = "sendrecv",
) -> str:
    """Return a description of one stream with telephone-event."""
    payload_type = RTP_PAYLOAD[law]
    return "\n".join(
        (
            "v=0", f"o=sipp 1 {version} IN IP4 [local_ip]", "s=-", f"c=IN IP4 {connection}", "t=0 0",
            f"m=audio {port} RTP/AVP {payload_type} 101", f"a=rtpmap:{payload_type} {_RTPMAP[payload_type]}",
            "a=rtpmap:101 telephone-event/8000", "a=ptime:20", f"a={direction}", "",
        )
    )  # fmt: skip


def _placed(at: tuple[str, int] | None) -> dict[str, str]:
    return {} if at is None else {"connection": at[0], "port": str(at[1])}


def render(behaviours: Mapping[int, Behaviour], *, challenge: bool = False) -> str:
    """Return the scenario.

    Parameters
    ----------
    behaviours
        By the last two digits of the called number; any other number is refused with 404.
    challenge
        Every INVITE is first refused with 407 and must come again with credentials.
    """
    labels = (f"l{number}" for number in itertools.count())
    lines = ['<?xml version="1.0" encoding="ISO-8859-1"?>', '<scenario name="carrier">']
    lines += ['<recv request="OPTIONS" optional="true" next="options"/>']
    if challenge:
        lines += [
            '<recv request="INVITE"/>',
            _response(407, "Who are you", _CHALLENGE),
            '<recv request="ACK"/>',
        ]
    lines += [
        '<recv request="INVITE"><action>',
        '<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="cseq"/>',
        '<ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="uri"/>',
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>',
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>',
    ]
    lines += [
        f'<ereg regexp="[0-9]{suffix:02}@" search_in="hdr" header="To:" assign_to="n{suffix:02}"/>'
        for suffix in behaviours
    ]
    lines += [
        "</action></recv>",
        '<Reference variables="cseq,uri,from,to"/>',
        _response(100, "Trying", tag=False),
    ]
    lines += [f'<nop hide="true" test="n{suffix:02}" next="n{suffix:02}"/>' for suffix in behaviours]
    lines += [_response(404, "No such number in this test", reliable=True), '<recv request="ACK"/>', _END]
    for suffix, steps in behaviours.items():
        lines.append(f'<label id="n{suffix:02}"/>')
        for step in steps:
            lines += _step(step, labels)
        lines.append(_END)
    lines += [
        '<label id="options"/>', _response(200, "OK"), _END,
        '<label id="cancelled"/>', _response(200, "OK"),
        _response(487, "Request Terminated", cseq="CSeq: [$cseq] INVITE", reliable=True), '<recv request="ACK"/>', _END,
        '<label id="byed"/>', _response(200, "OK", tag=False),
        '<label id="end"/>', "</scenario>",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


_GARBLED = "v=0\nthis is no description\nm=audio x RTP/AVP\n"
_CONTACT = "Contact: <sip:[local_ip]:[local_port];transport=[transport]>"
_END = '<nop hide="true" next="end"/>'
_CHALLENGE = 'Proxy-Authenticate: Digest realm="trunk.test", nonce="47364c23432d2e131a5fb210812c", algorithm=MD5, qop="auth"'


def _step(step: Step, labels: Iterator[str]) -> Iterator[str]:
    match step:
        case Ring():
            label = next(labels)
            yield _response(180, "Ringing")
            yield f'<recv request="CANCEL" timeout="{step.ms}" ontimeout="{label}" next="cancelled"/>'
            yield f'<label id="{label}"/>'
        case RingOut():
            yield _response(180, "Ringing")
            yield '<recv request="CANCEL" next="cancelled"/>'
        case EarlyMedia():
            label = next(labels)
            yield _response(183, "Session Progress", body=sdp())
            yield _play(step.sound)
            yield f'<recv request="CANCEL" timeout="{step.ms}" ontimeout="{label}" next="cancelled"/>'
            yield f'<label id="{label}"/>'
        case Refuse():
            header = f"Reason: Q.850;cause={step.q850}" if step.q850 else ""
            yield _response(step.code, step.phrase, header, reliable=True)
            yield '<recv request="ACK"/>'
        case Answer():
            place = {"port": "[media_port]"} if step.echo else _placed(step.at)
            yield _response(200, "OK", body=sdp(step.law, **place), reliable=True)
            yield '<recv request="ACK"/>'
            if step.sound is not None:
                yield _play(step.sound, RTP_PAYLOAD[step.law])
        case AnswerGarbled():
            yield _response(200, "OK", body=_GARBLED, reliable=True)
            yield '<recv request="ACK" optional="true"/>'
            yield '<recv request="BYE"/>'
            yield _response(200, "OK", tag=False)
            yield '<recv request="ACK" optional="true"/>'
            yield '<recv request="BYE" timeout="2000" ontimeout="end" next="byed"/>'
        case Press():
            yield f'<nop hide="true"><action><exec play_pcap_audio="{step.keys}"/></action></nop>'
        case PressByInfo():
            yield from _wait(step.after_ms, labels)
            for key in step.keys:
                yield _send(
                    [*_request("INFO", _next(labels)), "Content-Type: application/dtmf-relay"],
                    f"Signal={key}\nDuration=40\n",
                    reliable=True,
                )
                yield '<recv response="200"/>'
        case Change():
            yield from _change(step, labels)
        case Stay(ms=0):
            yield _BYE
        case Stay():
            yield from _wait(step.ms, labels)
            yield _BYE
        case AwaitBye():
            yield f'<recv request="BYE" timeout="{step.ms}" next="byed"/>'


def _wait(ms: int, labels: Iterator[str]) -> Iterator[str]:
    """Let time pass, unless the dialer hangs up in it."""
    label = next(labels)
    yield f'<recv request="BYE" timeout="{ms}" ontimeout="{label}" next="byed"/>'
    yield f'<label id="{label}"/>'


def _next(labels: Iterator[str]) -> int:
    """Return a CSeq above every one before it in the scenario."""
    return int(next(labels)[1:]) + 1


def _change(step: Change, labels: Iterator[str]) -> Iterator[str]:
    yield from _wait(step.after_ms, labels)
    cseq = _next(labels)
    body = sdp(step.law, **_placed(step.at), version=cseq + 1, direction=step.direction)
    yield _send([*_request(step.method, cseq), _CONTACT], "" if step.late else body, reliable=True)
    if step.method == "INVITE":
        yield '<recv response="100" optional="true"/>'
    yield f'<recv response="{step.refused or 200}"/>'
    if step.method == "INVITE":
        yield _send(_request("ACK", cseq), body if step.late else "")


def _play(sound: Path, payload_type: int = 0) -> str:
    return f'<nop hide="true"><action><exec rtp_stream="{sound},1,{payload_type}"/></action></nop>'


def _response(
    code: int,
    phrase: str,
    header: str = "",
    *,
    body: str = "",
    cseq: str = "[last_CSeq:]",
    tag: bool = True,
    reliable: bool = False,
) -> str:
    head = [
        f"SIP/2.0 {code} {phrase}", "[last_Via:]", "[last_Record-Route:]", "[last_From:]",
        "[last_To:];tag=[call_number]" if tag else "[last_To:]", "[last_Call-ID:]", cseq,
        _CONTACT,
    ]  # fmt: skip
    return _send([*head, *([header] if header else [])], body, reliable=reliable)


def _request(method: str, cseq: int) -> list[str]:
    """Return the head of a request of SIPp's own within the dialog."""
    return [
        f"{method} [$uri] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From:[$to];tag=[call_number]", "To:[$from]", "[last_Call-ID:]", f"CSeq: {cseq} {method}", "Max-Forwards: 70",
    ]  # fmt: skip


def _send(head: list[str], body: str = "", *, reliable: bool = False) -> str:
    typed = ["Content-Length: [len]"] if body else ["Content-Length: 0"]
    if body and not any(line.startswith("Content-Type:") for line in head):
        typed.insert(0, "Content-Type: application/sdp")
    text = "\n".join([*head, *typed, "", body])
    attribute = ' retrans="500"' if reliable else ""
    return f"<send{attribute}><![CDATA[\n{text}\n]]></send>"


_BYE = _send(_request("BYE", 9999), reliable=True) + '\n<recv response="200"/>'
