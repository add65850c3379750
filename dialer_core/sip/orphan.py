"""Ending the calls of a dead worker: a BYE built from what was journalled at the answer (RFC 3261 section 12.2.1.1), a CANCEL before it (9.1).

It owns that request (and the ACK before it that a dead worker still owed), its retransmissions and its answer, on a socket of its own. It
needs no pjsua2 and no worker, so whoever notices the death can send it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import secrets
import socket
from collections.abc import Sequence

import structlog

from dialer_core.ipc.messages import Dialog
from dialer_core.sip import digest
from dialer_core.sip.digest import Credentials
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
    method: str, cseq: int, dialog: Dialog, *, sent_by: str, branch: str, by_tcp: bool = False, more: Sequence[str] = (),
) -> bytes:  # fmt: skip
    """Return a request within the dialog, without a body, as bytes.

    Parameters
    ----------
    dialog
        As journalled.
    sent_by
        `host:port` where the answer shall come to.
    branch
        The transaction's id.
    more
        Further header lines.
    """
    lines = [
        f"{method} {dialog.remote_target} SIP/2.0",
        f"Via: SIP/2.0/{'TCP' if by_tcp else 'UDP'} {sent_by};rport;branch={branch}",
        "Max-Forwards: 70",
        f"From: <{dialog.local_uri}>;tag={dialog.local_tag}",
        f"To: <{dialog.remote_uri}>;tag={dialog.remote_tag}",
        f"Call-ID: {dialog.call_id}",
        f"CSeq: {cseq} {method}",
        *(f"Route: {route}" for route in dialog.route_set),
        *more,
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


def build_cancel(dialog: Dialog) -> bytes:
    """Return the CANCEL of an INVITE that nobody has answered: by its Via the far end knows which.

    The answer comes to where this is sent from, if the far end keeps to `rport` (RFC 3581); the INVITE's own 487 goes to the dead worker's
    port, and nobody misses it.
    """
    lines = [
        f"CANCEL {dialog.remote_target} SIP/2.0",
        f"Via: {dialog.via};rport",
        "Max-Forwards: 70",
        f"From: <{dialog.local_uri}>;tag={dialog.local_tag}",
        f"To: <{dialog.remote_uri}>",
        f"Call-ID: {dialog.call_id}",
        f"CSeq: {dialog.local_cseq} CANCEL",
        *(f"Route: {route}" for route in dialog.route_set),
        'Reason: SIP;cause=500;text="Worker lost"',
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def end_orphan(
    dialog: Dialog, credentials: Credentials | None = None, *, limit_s: float = LIMIT_S
) -> int:
    """Send the BYE, or the CANCEL, until it is answered; return the final code, 0 when none came within `limit_s`.

    A 200 that crosses the CANCEL is ended by the worker that has the port by then. 481 is as good as 200: the far end has no such call
    (any more). A BYE that is challenged (401, 407) is sent once more with `credentials`, where there are any; a CANCEL cannot be challenged.
    """
    host, port, by_tcp = next_hop(dialog)
    try:
        async with asyncio.timeout(limit_s):
            exchange = _by_tcp if by_tcp else _by_udp
            final = await exchange(dialog, host, port, "")
            if credentials is not None and not dialog.via and final.status in (401, 407):
                proof = digest.answer(final, "BYE", dialog.remote_target, credentials)
                final = await exchange(dialog, host, port, proof) if proof else final
            return final.status
    except TimeoutError:
        return 0
    except OSError as error:
        _log.warning("orphan_unreachable", call_id=dialog.call_id, error=error.strerror)
        return 0


def _requests(dialog: Dialog, sent_by: str, proof: str, *, by_tcp: bool) -> tuple[bytes, bytes, str]:
    """Return what goes first and once (the ACK that is still owed, or nothing), the BYE or CANCEL, and the branch of its transaction.

    `proof` is the header line that answers the challenge to a first BYE; empty for the first one.
    """
    if dialog.via:
        return b"", build_cancel(dialog), dialog.via.partition("branch=")[2].partition(";")[0]
    branch = _new_branch()
    cseq = dialog.local_cseq
    more = (proof,) if proof else ()
    number = cseq + CSEQ_JUMP + len(more)
    bye = build_request("BYE", number, dialog, sent_by=sent_by, branch=branch, by_tcp=by_tcp, more=more)
    if dialog.acknowledged or proof:
        return b"", bye, branch
    ack = build_request("ACK", cseq, dialog, sent_by=sent_by, branch=_new_branch(), by_tcp=by_tcp)
    return ack, bye, branch


def _new_branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


async def _by_udp(dialog: Dialog, host: str, port: int, proof: str) -> SipText:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect((host, port))
        own_host, own_port = sender.getsockname()
        first, request, branch = _requests(dialog, f"{own_host}:{own_port}", proof, by_tcp=False)
        if first:
            await loop.sock_sendall(sender, first)
        wait_s = _FIRST_WAIT_S
        while True:
            await loop.sock_sendall(sender, request)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while (final := _final(await loop.sock_recv(sender, 65_536), branch)) is None:
                        pass
                    return final
            wait_s *= 2


async def _by_tcp(dialog: Dialog, host: str, port: int, proof: str) -> SipText:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        own_host, own_port = writer.get_extra_info("sockname")[:2]
        first, request, branch = _requests(dialog, f"{own_host}:{own_port}", proof, by_tcp=True)
        writer.writelines((first, request))
        while True:
            final = _final(await reader.readuntil(b"\r\n\r\n"), branch)
            if final is not None:
                return final
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError(errno.ECONNRESET, "closed without an answer") from error
    finally:
        writer.close()


def _final(data: bytes, branch: str) -> SipText | None:
    """Return a final response to our branch; None for anything else."""
    message = SipText.parse(data.decode(errors="replace"))
    return message if message.status >= 200 and branch in message.first("via") else None
