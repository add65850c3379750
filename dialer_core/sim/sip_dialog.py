"""One call at the called side of SIP: its states, its responses, its retransmissions.

Owns the dialog's state machine (the table below), the retransmission of final responses until the ACK (RFC
3261 13.3.1.4 and 17.2.1) and of the BYE until its answer, and the lines that this leaves in the event log.
What the call says, and when it rings, answers and hangs up, is decided by who holds the dialog (`carrier.py`,
`softphone.py`), through `DialogUser`. Sockets and transactions are `sip_endpoint.py`'s.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from dialer_core.sim import sip_messages as sip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiosipua.message import SipRequest, SipResponse

T1_S, T2_S = 0.5, 4.0
GIVE_UP_S = 64 * T1_S


class State(StrEnum):
    """Where a dialog stands."""

    PROCEEDING = "proceeding"
    """No final response yet."""
    REJECTED = "rejected"
    """A final response other than 2xx is out; its ACK is awaited."""
    ANSWERED = "answered"
    """A 2xx is out; its ACK is awaited."""
    CONFIRMED = "confirmed"
    LEAVING = "leaving"
    """Our BYE is out; its answer is awaited."""
    ENDED = "ended"


class Event(StrEnum):
    """What can happen to a dialog."""

    ACK = "ack"
    CANCEL = "cancel"
    BYE = "bye"
    REINVITE = "reinvite"
    BYE_ANSWERED = "bye_answered"
    GIVE_UP = "give_up"
    """64 T1 without the ACK, or without the answer to our BYE."""
    ANSWER = "answer"
    REJECT = "reject"
    HANG_UP = "hang_up"


LATE = "late"
"""A legitimate race: answered as SIP asks, and nothing changes."""
BUG = "bug"
"""Asked for by our own side in a state where it makes no sense: an error of the simulator."""

_S, _E = State, Event
TRANSITIONS: Mapping[State, Mapping[Event, State | str]] = {
    _S.PROCEEDING: {
        _E.ACK: LATE, _E.CANCEL: _S.REJECTED, _E.BYE: _S.REJECTED, _E.REINVITE: LATE, _E.BYE_ANSWERED: BUG,
        _E.GIVE_UP: BUG, _E.ANSWER: _S.ANSWERED, _E.REJECT: _S.REJECTED, _E.HANG_UP: BUG,
    },
    _S.REJECTED: {
        _E.ACK: _S.ENDED, _E.CANCEL: LATE, _E.BYE: LATE, _E.REINVITE: LATE, _E.BYE_ANSWERED: BUG,
        _E.GIVE_UP: _S.ENDED, _E.ANSWER: BUG, _E.REJECT: BUG, _E.HANG_UP: BUG,
    },
    _S.ANSWERED: {
        _E.ACK: _S.CONFIRMED, _E.CANCEL: LATE, _E.BYE: _S.ENDED, _E.REINVITE: LATE, _E.BYE_ANSWERED: BUG,
        _E.GIVE_UP: _S.LEAVING, _E.ANSWER: BUG, _E.REJECT: BUG, _E.HANG_UP: _S.LEAVING,
    },
    _S.CONFIRMED: {
        _E.ACK: LATE, _E.CANCEL: LATE, _E.BYE: _S.ENDED, _E.REINVITE: _S.CONFIRMED, _E.BYE_ANSWERED: BUG,
        _E.GIVE_UP: LATE, _E.ANSWER: BUG, _E.REJECT: BUG, _E.HANG_UP: _S.LEAVING,
    },
    _S.LEAVING: {
        _E.ACK: LATE, _E.CANCEL: LATE, _E.BYE: LATE, _E.REINVITE: LATE, _E.BYE_ANSWERED: _S.ENDED,
        _E.GIVE_UP: _S.ENDED, _E.ANSWER: BUG, _E.REJECT: BUG, _E.HANG_UP: LATE,
    },
    _S.ENDED: {
        _E.ACK: LATE, _E.CANCEL: LATE, _E.BYE: LATE, _E.REINVITE: LATE, _E.BYE_ANSWERED: LATE,
        _E.GIVE_UP: LATE, _E.ANSWER: BUG, _E.REJECT: BUG, _E.HANG_UP: LATE,
    },
}  # fmt: skip


class DialogBugError(Exception):
    """Our own side asked for something that the dialog's state does not allow."""


class DialogUser(Protocol):
    """Who holds a dialog and decides what it does."""

    def offered(self, offer: sip.Offer) -> str:
        """A new offer within the dialog: takes it, and returns the answer's SDP (UnusableSdpError: 488)."""

    def current_sdp(self) -> str:
        """Our SDP as it stands, for a re-INVITE without an offer."""

    def late_answer(self, answer: sip.Offer) -> None:
        """The ACK brought the answer to our own offer."""


class Wire(Protocol):
    """What a dialog asks of its endpoint."""

    address: sip.Address

    def reply(self, request: SipRequest, reply: SipResponse) -> bytes:
        """Sends a response, and remembers it for retransmitted requests."""

    def send(self, data: bytes, to: sip.Address) -> None:
        """Sends a datagram."""

    def expect_answer(self, branch: str, callback: Callable[[int], None]) -> None:
        """Calls back with the code of the final response to a request of ours."""

    def log(self, kind: str, **fields: Any) -> None:
        """A line of the event log, with the endpoint's side and port."""

    def forget(self, dialog: Dialog) -> None:
        """The dialog is over for good."""


class Dialog:
    """A call that came in.

    `over` is set when the conversation is ended for whatever reason; `acked` when the ACK of a 2xx came.
    """

    def __init__(self, wire: Wire, invite: SipRequest, source: sip.Address) -> None:
        self._wire, self.invite, self.source = wire, invite, source
        self.call_id = invite.call_id or ""
        self.local_tag = sip.new_tag()
        self.remote_tag = sip.tag_of(invite.headers.get_first("from") or "")
        self.called_number = sip.called_number(invite)
        self.from_user = sip.user_of(invite.headers.get_first("from") or "")
        self.state = State.PROCEEDING
        self.user: DialogUser | None = None
        self.over = asyncio.Event()
        self.acked = asyncio.Event()
        self.ended_by = ""
        self.final_code = 0
        self.retransmissions = 0
        self._contact = self._contact_of(invite)
        self._remote_cseq = invite.cseq.seq if invite.cseq else 0
        self._local_cseq = 0
        self._last_reply: SipResponse | None = None
        self._resend: asyncio.TimerHandle | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What requests within the dialog are matched by, with the remote tag."""
        return (self.call_id, self.local_tag)

    def _contact_of(self, request: SipRequest) -> str:
        contacts = request.headers.get("contact")
        return contacts[0] if contacts else request.headers.get_first("from") or ""

    def log(self, kind: str, **fields: Any) -> None:
        """A line of the event log about this call."""
        self._wire.log(kind, call_id=self.call_id, **fields)

    def _apply(self, event: Event) -> State | None:
        """Takes the table's next state; None when the event was late."""
        following = TRANSITIONS[self.state][event]
        if following == BUG:
            raise DialogBugError(f"{event} in state {self.state}")
        if following == LATE:
            return None
        self.state = State(following)
        return self.state

    # ---- what our side does

    def respond(self, code: int, sdp: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """A provisional response to the INVITE; ignored when a final one is already out."""
        if self.state is State.PROCEEDING:
            self._send_response(code, sdp, headers)

    def answer(self, sdp: str) -> None:
        """200, sent again until the ACK comes."""
        if self._apply(Event.ANSWER):
            self.final_code = 200
            self._send_response(200, sdp)
            self._resend_reply(T1_S, GIVE_UP_S)

    def reject(self, code: int, headers: Mapping[str, str] | None = None) -> None:
        """A final response other than 2xx, sent again until the ACK comes."""
        if self._apply(Event.REJECT):
            self._end_invite(code, "rejected", headers)

    def hang_up(self, reason: str) -> None:
        """BYE, sent again until it is answered; ignored when the call is already over."""
        if self._apply(Event.HANG_UP):
            self._send_bye(reason, "near")

    def _send_response(
        self, code: int, sdp: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        host, port = self._wire.address
        tag = self.local_tag if code > 100 else None
        contact = f"<sip:{host}:{port}>" if 100 < code < 300 else None
        self._last_reply = sip.response(
            self.invite, code, to_tag=tag, contact=contact, sdp=sdp, headers=headers
        )
        self.log("response.sent", code=code, method="INVITE")
        self._wire.reply(self.invite, self._last_reply)

    def _end_invite(self, code: int, ended_by: str, headers: Mapping[str, str] | None = None) -> None:
        self.final_code = code
        self._send_response(code, headers=headers)
        self._finish_conversation(ended_by)
        self._resend_reply(T1_S, GIVE_UP_S)

    def _finish_conversation(self, ended_by: str) -> None:
        self.ended_by = self.ended_by or ended_by
        self.over.set()

    # ---- retransmission

    def _resend_reply(self, interval_s: float, left_s: float) -> None:
        def again() -> None:
            if self._last_reply is None:
                return
            if left_s <= 0:
                self._give_up_ack()
                return
            self.retransmissions += 1
            self._wire.send(bytes(self._last_reply), sip.reply_address(self.invite))
            self._resend_reply(min(2 * interval_s, T2_S), left_s - interval_s)

        self._schedule(interval_s, again)

    def _give_up_ack(self) -> None:
        following = self._apply(Event.GIVE_UP)
        if following is State.LEAVING:
            self._send_bye("no_ack", "no_ack")
        elif following is State.ENDED:
            self._forget()

    def _send_bye(self, reason: str, ended_by: str) -> None:
        self._stop_resending()
        self._local_cseq += 1
        request, to = sip.bye(
            self.invite, contact=self._contact, local_tag=self.local_tag, cseq=self._local_cseq,
            own_address=self._wire.address,
        )  # fmt: skip
        address = to or self.source
        data = bytes(request)
        self.log("bye.sent", reason=reason)
        self._wire.expect_answer(request.via[0].branch or "", self._bye_answered)
        self._wire.send(data, address)
        self._finish_conversation(ended_by)
        self._resend_bye(data, address, T1_S, GIVE_UP_S)

    def _resend_bye(self, data: bytes, to: sip.Address, interval_s: float, left_s: float) -> None:
        def again() -> None:
            if left_s <= 0:
                self.log("bye.answered", code=408)
                if self._apply(Event.GIVE_UP) is State.ENDED:
                    self._forget()
                return
            self.retransmissions += 1
            self._wire.send(data, to)
            self._resend_bye(data, to, min(2 * interval_s, T2_S), left_s - interval_s)

        self._schedule(interval_s, again)

    def _bye_answered(self, code: int) -> None:
        self._stop_resending()
        self.log("bye.answered", code=code)
        if self._apply(Event.BYE_ANSWERED) is State.ENDED:
            self._forget()

    def _schedule(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._stop_resending()
        self._resend = asyncio.get_running_loop().call_later(delay_s, callback)

    def _stop_resending(self) -> None:
        if self._resend is not None:
            self._resend.cancel()
            self._resend = None

    def _forget(self) -> None:
        self._stop_resending()
        self._wire.forget(self)

    def abandon_timers(self) -> None:
        """At the end of the process: nothing is sent again."""
        self._stop_resending()

    def lose(self) -> None:
        """The far end loses its network: the call is over for it without a word."""
        self._stop_resending()
        self.state = State.ENDED
        self._finish_conversation("vanished")

    # ---- what the other side does

    def on_ack(self, request: SipRequest) -> None:
        """The ACK of our final response."""
        following = self._apply(Event.ACK)
        if following is None:
            return
        self._stop_resending()
        if following is State.ENDED:
            self._forget()
            return
        self.log("ack.received")
        if request.body and not self.invite.body and self.user is not None:
            try:
                self.user.late_answer(sip.read_sdp(request.text))
            except sip.UnusableSdpError:
                self.hang_up("unusable_sdp")
        self.acked.set()

    def on_cancel(self, request: SipRequest, source: sip.Address) -> None:
        """CANCEL: 200, and 487 to the INVITE if no final response is out."""
        self.log("cancel.received", source=f"{source[0]}:{source[1]}")
        self._wire.reply(request, sip.response(request, 200, to_tag=self.local_tag))
        if self._apply(Event.CANCEL):
            self._end_invite(487, "cancel")

    def on_bye(self, request: SipRequest, source: sip.Address) -> None:
        """BYE: 200; within an early dialog also 487 to the INVITE (RFC 3261 15.1.2)."""
        if not self._in_order(request):
            return
        self.log("bye.received", source=f"{source[0]}:{source[1]}")
        self._wire.reply(request, sip.response(request, 200, to_tag=self.local_tag))
        following = self._apply(Event.BYE)
        if following is State.REJECTED:
            self._end_invite(487, "far")
        elif following is State.ENDED:
            self._finish_conversation("far")
            self._forget()

    def on_reinvite(self, request: SipRequest, source: sip.Address) -> None:
        """re-INVITE or UPDATE: answered with the SDP as it stands after its offer, if it has one."""
        if not self._in_order(request):
            return
        if self.user is None or self._apply(Event.REINVITE) is None:
            self._wire.reply(request, sip.response(request, 491, to_tag=self.local_tag))
            return
        try:
            sdp = self._renegotiated(request, source)
        except sip.UnusableSdpError:
            self._wire.reply(request, sip.response(request, 488, to_tag=self.local_tag))
            return
        self._contact = self._contact_of(request)
        host, port = self._wire.address
        reply = sip.response(request, 200, to_tag=self.local_tag, contact=f"<sip:{host}:{port}>", sdp=sdp)
        self.log("response.sent", code=200, method=request.method)
        self._wire.reply(request, reply)

    def _renegotiated(self, request: SipRequest, source: sip.Address) -> str | None:
        if self.user is None:
            raise sip.UnusableSdpError("no session")
        offer = sip.read_sdp(request.text) if request.body else None
        self.log(
            "reinvite.received", source=f"{source[0]}:{source[1]}", method=request.method,
            direction=offer.direction if offer else None,
            remote_rtp=f"{offer.remote_rtp[0]}:{offer.remote_rtp[1]}" if offer and offer.remote_rtp else None,
        )  # fmt: skip
        if offer is not None:
            return self.user.offered(offer)
        return self.user.current_sdp() if request.method == "INVITE" else None

    def _in_order(self, request: SipRequest) -> bool:
        """A request within the dialog must have a higher CSeq than the one before (RFC 3261 12.2.2)."""
        number = request.cseq.seq if request.cseq else 0
        if number <= self._remote_cseq:
            self._wire.reply(request, sip.response(request, 500, to_tag=self.local_tag))
            return False
        self._remote_cseq = number
        return True
