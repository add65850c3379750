"""One OPTIONS request by a raw socket, as a stranger would ask: whether a trunk answers at all.

It owns that one question for `dialer doctor`, without pjsua2, so that the answer does not depend on what is
being checked. The running dialer asks by its line workers.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from dataclasses import dataclass

TIMER_T1_S = 0.5
"""First retransmission over UDP, doubled each time (RFC 3261, 17.1.2.2)."""
_STATUS_LINE = re.compile(rb"SIP/2\.0 (\d{3}) ")


@dataclass(frozen=True, slots=True)
class OptionsAnswer:
    """What came back: `code` 0 and the reason in words, where nothing did."""

    code: int
    elapsed_ms: float
    error: str = ""


def _request(uri: str, transport: str, local: tuple[str, int], by: tuple[str, int] | None) -> bytes:
    host, port = local
    route = f"Route: <sip:{by[0]}:{by[1]};lr>\r\n" if by else ""
    return (
        f"OPTIONS {uri} SIP/2.0\r\n{route}"
        f"Via: SIP/2.0/{transport.upper()} {host}:{port};rport;branch=z9hG4bK{secrets.token_hex(8)}\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:doctor@{host}>;tag={secrets.token_hex(4)}\r\n"
        f"To: <{uri}>\r\n"
        f"Call-ID: {secrets.token_hex(12)}\r\n"
        "CSeq: 1 OPTIONS\r\n"
        f"Contact: <sip:doctor@{host}:{port};transport={transport}>\r\n"
        "Accept: application/sdp\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def ask_options(
    host: str,
    port: int,
    *,
    transport: str,
    bind: str,
    by: tuple[str, int] | None = None,
    limit_s: float = 3.0,
) -> OptionsAnswer:
    """Send OPTIONS and wait for any final answer.

    Parameters
    ----------
    host, port
        The trunk, or the proxy in front of it.
    transport
        `udp` or `tcp`.
    bind
        The address that the line workers bind to: the question leaves from where calls would.
    by
        The edge, where it goes through one: asked by UDP, whatever the trunk speaks.
    limit_s
        Longest to wait, in seconds.
    """
    started = time.monotonic()
    uri = f"sip:{host}:{port}" if transport == "udp" else f"sip:{host}:{port};transport={transport}"
    transport = "udp" if by else transport
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    try:
        address = socket.getaddrinfo(*(by or (host, port)), socket.AF_INET, kind)[0][4]
        with socket.socket(socket.AF_INET, kind) as asking:
            asking.bind((bind, 0))
            asking.settimeout(limit_s)
            asking.connect(address)  # over UDP too: a closed port is then told at once
            request = _request(uri, transport, asking.getsockname(), by)
            code = _await_final(asking, request, started + limit_s, again=transport == "udp")
    except OSError as error:
        return OptionsAnswer(0, _since_ms(started), error.strerror or str(error))
    return OptionsAnswer(code, _since_ms(started), "" if code else f"no answer within {limit_s:g} s")


def _await_final(asking: socket.socket, request: bytes, deadline: float, *, again: bool) -> int:
    """Send, send again as RFC 3261 says, and return the code of the final answer; 0 for none."""
    wait_s = TIMER_T1_S
    asking.sendall(request)
    while (left_s := deadline - time.monotonic()) > 0:
        asking.settimeout(min(wait_s, left_s) if again else left_s)
        try:
            data = asking.recv(65_535)
        except TimeoutError:
            if again:
                asking.sendall(request)
                wait_s *= 2
            continue
        match = _STATUS_LINE.match(data)
        if match and int(match[1]) >= 200:
            return int(match[1])
        if not data:
            return 0
    return 0


def _since_ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
