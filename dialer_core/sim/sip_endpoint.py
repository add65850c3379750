"""A SIP port of the simulator: its datagrams, its server transactions, and which dialog a request belongs to.

Owns the socket, the memory of responses by which a retransmitted request gets the same answer again (RFC 3261
17.2), the matching of ACK, CANCEL and requests within dialogs, and what needs no dialog (OPTIONS, strangers:
481, 405, 420, 400). A new INVITE becomes a `Dialog`, handed to the endpoint's owner. UDP and IPv4 only; no
digest: the simulated trunk knows its caller by address, as most carrier trunks do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiosipua.message import SipMessage, SipRequest, SipResponse, missing_required_headers

from dialer_core.errors import StartError
from dialer_core.sim import sip_messages as sip
from dialer_core.sim.sip_dialog import GIVE_UP_S, Dialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from dialer_core.sim.event_log import EventLog

_ANSWERED_WITHIN_DIALOG = {"BYE", "INVITE", "UPDATE", "INFO", "OPTIONS"}


class SipEndpoint(asyncio.DatagramProtocol):
    """One UDP port that answers SIP.

    Parameters
    ----------
    host, port
        Where it listens, and what its Contact says.
    side
        "carrier" or "softphone", for the event log.
    on_invite
        Called with each new call; it sets `dialog.user` and makes the call ring, answer and end.
    log
        The event log.
    """

    def __init__(
        self, *, host: str, port: int, side: str, on_invite: Callable[[Dialog], None], log: EventLog
    ) -> None:
        self.address: sip.Address = (host, port)
        self.side = side
        self._on_invite, self._log = on_invite, log
        self._transport: asyncio.DatagramTransport | None = None
        self._replies: dict[tuple[str, str, str], tuple[bytes, sip.Address] | None] = {}
        self._invites: dict[tuple[str, str, str], Dialog] = {}
        self._dialogs: dict[tuple[str, str], Dialog] = {}
        self._expected: dict[str, Callable[[int], None]] = {}
        self._expiry: set[asyncio.TimerHandle] = set()
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Begins to listen.

        Raises
        ------
        StartError
            If the port cannot be had.
        """
        host, port = self.address
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(
                f"the simulated {self.side} cannot listen on {host}:{port}/udp: {reason}"
            ) from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the socket's transport (asyncio's callback)."""
        self._transport = transport  # type: ignore[assignment]  # the selector loop's class is no DatagramTransport on 3.11

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The port is free again (asyncio's callback)."""
        self._closed.set()

    async def stop(self) -> None:
        """Ends listening and frees the port; nothing is sent any more, and every call is forgotten."""
        for dialog in list(self._dialogs.values()):
            dialog.abandon_timers()
        for timer in self._expiry:
            timer.cancel()
        for memory in (self._dialogs, self._invites, self._replies, self._expected, self._expiry):
            memory.clear()
        if self._transport is not None:
            self._closed.clear()
            self._transport.close()
            self._transport = None
            await self._closed.wait()

    # ---- what dialogs ask (Wire)

    def send(self, data: bytes, to: sip.Address) -> None:
        """Sends a datagram."""
        if self._transport is not None:
            self._transport.sendto(data, to)

    def reply(self, request: SipRequest, reply: SipResponse) -> bytes:
        """Sends a response and remembers it for retransmissions of its request."""
        data, to = bytes(reply), sip.reply_address(request)
        self._replies[sip.transaction_key(request)] = (data, to)
        self.send(data, to)
        return data

    def expect_answer(self, branch: str, callback: Callable[[int], None]) -> None:
        """Calls back with the code of the final response to our request of this branch."""
        self._expected[branch] = callback
        self._later(lambda: self._expected.pop(branch, None))

    def log(self, kind: str, **fields: Any) -> None:
        """A line of the event log, with this endpoint's side and port."""
        self._log.write(kind, side=self.side, port=self.address[1], **fields)

    def forget(self, dialog: Dialog) -> None:
        """The dialog is over: its requests get 481 from now on, retransmissions the answer they had."""
        self._dialogs.pop(dialog.key, None)
        key = sip.transaction_key(dialog.invite, "INVITE")
        self._later(lambda: self._invites.pop(key, None))

    def _later(self, action: Callable[[], object]) -> None:
        """Runs a clean-up after 64 T1, when no retransmission can come any more."""

        def run() -> None:
            self._expiry.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(GIVE_UP_S, run)
        self._expiry.add(timer)

    # ---- datagrams

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Takes one datagram (asyncio's callback)."""
        source = (addr[0], addr[1])
        if not data.strip(b"\r\n\0"):
            return  # a keep-alive
        try:
            message = SipMessage.parse(data)
            if isinstance(message, SipResponse):
                self._on_response(message)
            else:
                self._on_request(message, source)
        except (ValueError, IndexError, KeyError) as error:
            self.log(
                "sip.malformed", source=f"{source[0]}:{source[1]}", reason=f"{type(error).__name__}: {error}"
            )

    def error_received(self, exc: Exception) -> None:
        """ICMP errors are no news: whatever is unanswered is sent again (asyncio's callback)."""

    def _on_response(self, message: SipResponse) -> None:
        if message.status_code >= 200 and message.via:
            callback = self._expected.pop(message.via[0].branch or "", None)
            if callback is not None:
                callback(message.status_code)

    def _on_request(self, request: SipRequest, source: sip.Address) -> None:
        missing = missing_required_headers(request)
        if missing:
            raise ValueError(f"{request.method} without {', '.join(missing)}")
        sip.stamp_via(request, source)
        if request.method == "ACK":
            self._on_ack(request)
            return
        key = sip.transaction_key(request)
        if key in self._replies:
            again = self._replies[key]
            if again is not None:
                self.send(*again)
            return
        self._replies[key] = None
        self._later(lambda: self._replies.pop(key, None))
        self._dispatch(request, source)

    def _dispatch(self, request: SipRequest, source: sip.Address) -> None:
        unknown = [tag for tag in request.headers.get("require") if tag not in sip.SUPPORTED_EXTENSIONS]
        if unknown and request.method != "CANCEL":
            self._refuse(request, 420, {"Unsupported": ", ".join(unknown)})
        elif request.method == "CANCEL":
            dialog = self._invites.get(sip.transaction_key(request, "INVITE"))
            if dialog is None:
                self._refuse(request, 481)
            else:
                dialog.on_cancel(request, source)
        elif sip.tag_of(request.headers.get_first("to") or ""):
            self._within_dialog(request, source)
        elif request.method == "INVITE":
            self._new_call(request, source)
        elif request.method == "OPTIONS":
            self.log("options.received", source=f"{source[0]}:{source[1]}")
            self._refuse(request, 200, {"Allow": sip.ALLOW, "Accept": "application/sdp"})
        elif request.method in _ANSWERED_WITHIN_DIALOG:
            self._refuse(request, 481)
        else:
            self._refuse(request, 405, {"Allow": sip.ALLOW})

    def _refuse(self, request: SipRequest, code: int, headers: dict[str, str] | None = None) -> None:
        self.reply(request, sip.response(request, code, to_tag=sip.new_tag(), headers=headers))

    def _dialog_of(self, request: SipRequest) -> Dialog | None:
        local_tag = sip.tag_of(request.headers.get_first("to") or "")
        dialog = self._dialogs.get((request.call_id or "", local_tag))
        if dialog is None or dialog.remote_tag != sip.tag_of(request.headers.get_first("from") or ""):
            return None
        return dialog

    def _on_ack(self, request: SipRequest) -> None:
        dialog = self._invites.get(sip.transaction_key(request, "INVITE")) or self._dialog_of(request)
        if dialog is not None:
            dialog.on_ack(request)

    def _within_dialog(self, request: SipRequest, source: sip.Address) -> None:
        dialog = self._dialog_of(request)
        if dialog is None:
            self._refuse(request, 481)
        elif request.method == "BYE":
            dialog.on_bye(request, source)
        elif request.method in {"INVITE", "UPDATE"}:
            dialog.on_reinvite(request, source)
        elif request.method in {"INFO", "OPTIONS"}:
            self._refuse(request, 200)
        else:
            self._refuse(request, 405, {"Allow": sip.ALLOW})

    def _new_call(self, request: SipRequest, source: sip.Address) -> None:
        dialog = Dialog(self, request, source)
        self._invites[sip.transaction_key(request)] = dialog
        self._dialogs[dialog.key] = dialog
        self._on_invite(dialog)
        dialog.respond(100)
