"""Ending the dialogs of a dead worker: a BYE built from what was journalled at the answer (RFC 3261 section 12.2.1.1).

It owns that request (and the ACK before it that a dead worker still owed), its retransmissions and its answer, on a socket of its own. It
needs no pjsua2 and no worker, so whoever notices the death can send it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket

import structlog

from dialer_core.ipc.messages import Dialog
from dialer_core.sip.headers import SipText, split_list, tag_of, uri_of

_log = structlog.get_logger(__name__)

CSEQ_JUMP = 1000
"""Above whatever the dead worker may have sent since the answer (session refreshes); CSeq may leap, never fall."""
LIMIT_S = 4.0
_FIRST_WAIT_S = 0.5
"""T1; the wait doubles with each retransmission."""
_HOST_PORT = re.compile(r"^sips?:(?:[^@]*@)?(\[[^\]]+\]|[^:;?]+)(?::(\d{1,5}))?", re.IGNORECASE)


def next_hop(dialog: Dialog) -> tuple[str, int, bool]:
    """Return host, port and whether by TCP, of where the dialog's next request goes: first route, else remote target.

    Where that is a name and not an address, it is where the answer came from.
    """
    uri = uri_of(dialog.route_set[0]) if dialog.route_set else dialog.remote_target
    by_tcp = "transport=tcp" in uri.lower()
    found = _HOST_PORT.match(uri)
    if found is not None and re.fullmatch(r"[0-9.]+", found.group(1)):
        return found.group(1), int(found.group(2) or 5060), by_tcp
    host, _, port = dialog.destination.rpartition(":")
    return host, int(port or 5060), by_tcp


def build_request(
    method: str, cseq: int, dialog: Dialog, *, sent_by: str, branch: str, by_tcp: bool = False
) -> bytes:
    """Return a request within the dialog, without a body, as bytes.

    Parameters
    ----------
    dialog
        As journalled.
    sent_by
        `host:port` where the answer shall come to.
    branch
        The transaction's id, without the magic cookie.
    """
    lines = [
        f"{method} {dialog.remote_target} SIP/2.0",
        f"Via: SIP/2.0/{'TCP' if by_tcp else 'UDP'} {sent_by};rport;branch=z9hG4bK{branch}",
        "Max-Forwards: 70",
        f"From: <{dialog.local_uri}>;tag={dialog.local_tag}",
        f"To: <{dialog.remote_uri}>;tag={dialog.remote_tag}",
        f"Call-ID: {dialog.call_id}",
        f"CSeq: {cseq} {method}",
        *(f"Route: {route}" for route in dialog.route_set),
        'Reason: SIP;cause=500;text="Worker lost"',
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def dialog_of(answer: SipText, destination: str, *, acknowledged: bool = True) -> Dialog:
    """Return what a BYE of another process needs, from the 200 of a call we placed and where it came from."""
    local, remote = answer.first("from"), answer.first("to")
    routes = [part for value in answer.values("record-route") for part in split_list(value)]
    return Dialog(
        call_id=answer.first("call-id"),
        local_uri=uri_of(local),
        local_tag=tag_of(local),
        remote_uri=uri_of(remote),
        remote_tag=tag_of(remote),
        remote_target=uri_of(answer.first("contact")),
        route_set=tuple(reversed(routes)),
        local_cseq=answer.cseq[0],
        destination=destination,
        acknowledged=acknowledged,
    )


async def end_orphan(dialog: Dialog, *, limit_s: float = LIMIT_S) -> int:
    """Send the BYE until it is answered; return the final code, 0 when none came within `limit_s`.

    481 is as good as 200: the far end has no such call (any more). A challenge (401, 407) is not met: no credentials are journalled.
    """
    host, port, by_tcp = next_hop(dialog)
    try:
        async with asyncio.timeout(limit_s):
            return await (_by_tcp if by_tcp else _by_udp)(dialog, host, port)
    except TimeoutError:
        return 0
    except OSError as error:
        _log.warning("orphan_unreachable", call_id=dialog.call_id, error=error.strerror)
        return 0


def _requests(dialog: Dialog, *, sent_by: str, branch: str, by_tcp: bool) -> tuple[bytes, bytes]:
    """Return what goes first and once (the ACK that is still owed, or nothing), and the BYE."""
    bye = build_request(
        "BYE", dialog.local_cseq + CSEQ_JUMP, dialog, sent_by=sent_by, branch=branch, by_tcp=by_tcp
    )
    if dialog.acknowledged:
        return b"", bye
    own = secrets.token_hex(8)
    return build_request("ACK", dialog.local_cseq, dialog, sent_by=sent_by, branch=own, by_tcp=by_tcp), bye


async def _by_udp(dialog: Dialog, host: str, port: int) -> int:
    loop = asyncio.get_running_loop()
    branch = secrets.token_hex(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect((host, port))
        own_host, own_port = sender.getsockname()
        first, request = _requests(dialog, sent_by=f"{own_host}:{own_port}", branch=branch, by_tcp=False)
        if first:
            await loop.sock_sendall(sender, first)
        wait_s = _FIRST_WAIT_S
        while True:
            await loop.sock_sendall(sender, request)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not (code := _final(await loop.sock_recv(sender, 65_536), branch)):
                        pass
                    return code
            wait_s *= 2


async def _by_tcp(dialog: Dialog, host: str, port: int) -> int:
    branch = secrets.token_hex(8)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        own_host, own_port = writer.get_extra_info("sockname")[:2]
        writer.writelines(_requests(dialog, sent_by=f"{own_host}:{own_port}", branch=branch, by_tcp=True))
        while True:
            if code := _final(await reader.readuntil(b"\r\n\r\n"), branch):
                return code
    except asyncio.IncompleteReadError:
        return 0
    finally:
        writer.close()


def _final(data: bytes, branch: str) -> int:
    """Return the code of a final response to our branch, else 0."""
    message = SipText.parse(data.decode(errors="replace"))
    return message.status if message.status >= 200 and f"z9hG4bK{branch}" in message.first("via") else 0
