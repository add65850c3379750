"""A worker's legs: placing them, following what pjsua2 says of them, enforcing their limits, ending each exactly once.

It owns the legs and their call objects. It owns no socket and no loop: `worker.py` calls it after every call into pjsua2.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import assert_never

import structlog

from dialer_core.ipc.messages import (
    Answer,
    Dialog,
    Expect,
    LegAnswered,
    LegConnectedLine,
    LegEnded,
    LegIncoming,
    LegInfoDigit,
    LegNegotiated,
    LegProvisional,
    LegReferred,
    LegSent,
    LegSnapshot,
    Place,
    Refer,
    SendInfoDigits,
    SourcedEvent,
    StrayAnswered,
    WorkerState,
)
from dialer_core.sip.call_handle import CallHandle
from dialer_core.sip.endpoint import PlaceRefusedError, SipEndpoint
from dialer_core.sip.headers import SipText, refer_target, uri_of, user_of
from dialer_core.sip.leg import Leg, Offer, Phase, Signal
from dialer_core.sip.notices import (
    Answered,
    CallNotice,
    ConnectedLine,
    Digit,
    Disconnected,
    Fault,
    FinalSeen,
    Negotiated,
    Provisional,
    Referred,
    Sent,
)
from dialer_core.sip.sdes import read_crypto
from dialer_core.vocabulary import EndedBy, LegId, SrtpUse

_log = structlog.get_logger(__name__)

LIMIT_CODES = {
    Signal.PROGRESS_LIMIT: 408,
    Signal.RING_LIMIT: 487,
    Signal.RELEASE_LIMIT: 487,
    Signal.MEDIA_LIMIT: 488,
    Signal.UNATTENDED_LIMIT: 200,
}
"""The code with which a leg ends at each of its limits."""
_NO_MEDIA_CODES = frozenset({406, 415, 488, 606})
_RECENT_ENDS = 256
"""Legs that ended are told again to a new engine: more than end in the seconds in which there is none."""
TRUNK_HEADER = "x-marcador-trunk"
"""Set by the edge, which alone can reach us, in each call that comes in."""


class Switchboard:
    """The legs of one endpoint.

    Parameters
    ----------
    endpoint
        Where calls are made.
    send
        Takes each event.
    strays_until_ns
        Until then 200s may come for calls that a dead predecessor on our port has placed.
    """

    def __init__(
        self, endpoint: SipEndpoint, send: Callable[[SourcedEvent], None], *, strays_until_ns: int = 0
    ) -> None:
        self._endpoint = endpoint
        self._strays_until_ns = strays_until_ns
        self._placed: set[str] = set()
        self._strays: set[str] = set()
        self._send = send
        self._legs: dict[LegId, Leg] = {}
        self._calls: dict[LegId, CallHandle] = {}
        self._recent_ends: deque[LegSnapshot] = deque(maxlen=_RECENT_ENDS)

    @property
    def empty(self) -> bool:
        """Whether no leg is left; pjsua2 may still hold slots."""
        return not self._legs

    def state(self) -> WorkerState:
        """Return every leg, and the last that ended."""
        return WorkerState(
            at_ns=time.monotonic_ns(),
            legs=tuple(leg.snapshot() for leg in self._legs.values()),
            recent_ends=tuple(self._recent_ends),
        )

    # --- commands; `settle` must follow each

    def place(self, order: Place, refusal: str = "") -> None:
        """Send an INVITE, unless there is a reason not to: `refusal`, no free slot, an address that cannot be called."""
        if order.leg_id in self._legs:
            _log.error("leg_placed_twice", leg_id=order.leg_id)
            return
        if not refusal and self._endpoint.slots_used >= self._endpoint.capacity:
            refusal = "no free slot"
        if not refusal:
            leg = Leg(order=order, sent_ns=time.monotonic_ns())
            try:
                self._calls[order.leg_id] = self._endpoint.place(order)
            except PlaceRefusedError as error:
                refusal = str(error)
            else:
                self._legs[order.leg_id] = leg
                if leg.sent_ns < self._strays_until_ns:
                    self._placed.add(order.leg_id)
        if refusal:
            self._end(order.leg_id, code=0, by=EndedBy.WORKER, reason=refusal, invite_sent=False)

    def expect(self, order: Expect) -> None:
        """Take calls by these legs from now on, and by no others."""
        used = self._legs.keys() | {ended.leg_id for ended in self._recent_ends}
        offers = [
            Offer(leg_id=leg.leg_id, media_host=leg.media_host, media_port=leg.media_port, srtp=leg.srtp)
            for leg in order.legs
            if leg.leg_id not in used  # it has come in while this was on its way
        ]
        self._endpoint.expect(offers)

    def answer(self, order: Answer) -> None:
        """Answer a call that came in, once; nothing if it is over."""
        leg, call = self._legs.get(order.leg_id), self._calls.get(order.leg_id)
        if leg is None or call is None or not leg.incoming or leg.accepted or leg.phase is not Phase.EARLY:
            return
        leg.accepted = True
        self._endpoint.answer(call)

    def attend(self, leg_id: LegId) -> None:
        """Stop a leg's unattended limit."""
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.attended = True

    def send_digits(self, order: SendInfoDigits) -> None:
        """Send digits by INFO; nothing if the leg is not up."""
        leg, call = self._legs.get(order.leg_id), self._calls.get(order.leg_id)
        if leg is not None and call is not None and leg.phase is Phase.CONFIRMED:
            self._endpoint.send_info_digits(call, order.digits)

    def refer(self, order: Refer) -> None:
        """Ask the far end to call somebody in our place; a leg that is not up, or a REFER that does not leave, is told as code 0."""
        leg, call = self._legs.get(order.leg_id), self._calls.get(order.leg_id)
        up = leg is not None and call is not None and leg.phase is Phase.CONFIRMED
        if (
            not up
            or call is None
            or not self._endpoint.refer(call, refer_target(order.to_uri, order.replaces))
        ):
            self._send(LegReferred(at_ns=time.monotonic_ns(), leg_id=order.leg_id, code=0, final=True))

    def hang_up(self, leg_id: LegId, header: str = "", reject_code: int = 480) -> None:
        """CANCEL, BYE or refuse a leg by command; nothing if it is over or never was."""
        leg = self._legs.get(leg_id)
        if leg is None:
            return
        code = reject_code if leg.incoming and leg.phase is Phase.EARLY else 200
        self._give_up(leg, Signal.HANGUP, code=code, by=EndedBy.US, header=header)

    def hang_up_all(self) -> None:
        """End every leg, as if each had been told to."""
        for leg_id in list(self._legs):
            self.hang_up(leg_id)
            self.settle()

    # --- after every call into pjsua2

    def settle(self) -> None:
        """Turn the notices of the last pjsua2 call into events, and drop dead calls before pjsua2 is called again."""
        offered, self._endpoint.offered[:] = self._endpoint.offered[:], []
        while offered:
            self._offer(offered.pop(0))
        for leg_id, call in list(self._calls.items()):
            for notice in call.take_notices():
                if (leg := self._legs.get(leg_id)) is not None:
                    self._take(leg, notice)
            if call.dead:
                self._endpoint.release(call)
                del self._calls[leg_id]
        call = None  # type: ignore[assignment] # a loop variable keeps an object alive as well
        self._endpoint.drop_refused()
        self._watch_finals()

    def final_seen(self, found: FinalSeen) -> None:
        """Take a final answer to an INVITE seen on the wire: the end of a leg we had given up."""
        leg = next((leg for leg in self._legs.values() if leg.call_id == found.call_id), None)
        if leg is None and found.dialog is not None and found.at_ns < self._strays_until_ns:
            self._stray(found.dialog, found.at_ns)
        if leg is not None and leg.apply(Signal.FINAL_SEEN, found.at_ns):
            self._end(
                leg.order.leg_id,
                code=found.code,
                by=leg.ended_by,
                q850=found.q850,
                reason=found.reason,
                crossed=200 <= found.code < 300,
            )
            self._watch_finals()

    # --- limits

    def next_due_ns(self) -> int | None:
        """Return when the next limit of any leg passes."""
        return min((limit[0] for leg in self._legs.values() if (limit := leg.next_limit())), default=None)

    def enforce_limits(self, now_ns: int) -> None:
        """End what has reached its limit."""
        for leg in list(self._legs.values()):
            limit = leg.next_limit()
            if limit is None or limit[0] > now_ns:
                continue
            _, signal = limit
            if signal is Signal.RELEASE_LIMIT:
                leg.apply(signal, now_ns)
                reason = "no final answer after CANCEL"
                self._end(leg.order.leg_id, code=LIMIT_CODES[signal], by=leg.ended_by, reason=reason)
            else:
                self._give_up(leg, signal, code=LIMIT_CODES[signal], by=EndedBy.LIMIT)
            self.settle()

    def _give_up(self, leg: Leg, cause: Signal, *, code: int, by: EndedBy, header: str = "") -> None:
        """CANCEL or BYE a leg. One that was answered, or that nobody has answered anything to, is over with that."""
        if not leg.apply(cause, time.monotonic_ns()):
            return
        self._watch_finals()
        call = self._calls.get(leg.order.leg_id)
        if call is not None:
            refusing = leg.incoming and leg.phase is Phase.RELEASING
            self._endpoint.hang_up(call, header, code if refusing and code >= 300 else 0)
            if refusing:  # the last word is ours: there is no answer of theirs to wait for
                leg.apply(Signal.FINAL_SEEN, time.monotonic_ns())
        if leg.phase is Phase.ENDED:
            self._end(leg.order.leg_id, code=code, by=by, reason=cause.value)

    def _watch_finals(self) -> None:
        strays = bool(self._strays_until_ns) and time.monotonic_ns() < self._strays_until_ns
        self._endpoint.watch_finals(
            strays or any(leg.phase is Phase.RELEASING for leg in self._legs.values())
        )

    def _stray(self, dialog: Dialog, at_ns: int) -> None:
        """Say once that somebody picked up a call that no process holds any more."""
        if dialog.call_id not in self._placed | self._strays:
            self._strays.add(dialog.call_id)
            _log.warning("stray_answer", call_id=dialog.call_id)
            self._send(StrayAnswered(at_ns=at_ns, dialog=dialog))

    # --- what pjsua2 said

    def _offer(self, call: CallHandle) -> None:
        """Take a call that came in for a leg, and tell the engine."""
        invite, offer = call.invite, call.order
        if invite is None or not isinstance(offer, Offer):
            return
        now_ns, call_id = time.monotonic_ns(), invite.first("call-id")
        leg = Leg(order=offer, sent_ns=now_ns, phase=Phase.EARLY, call_id=call_id, progressed=True)
        self._legs[offer.leg_id], self._calls[offer.leg_id] = leg, call
        number = user_of(invite.start_line.split(" ")[1])
        trunk = invite.first(TRUNK_HEADER)
        leg.arrival = LegIncoming(
            at_ns=now_ns,
            leg_id=offer.leg_id,
            call_id=call_id,
            number=number,
            caller=_caller(invite),
            trunk=trunk,
            encrypted=any(line.key for line in read_crypto(invite.body)),
        )
        self._send(leg.arrival)

    def _take(self, leg: Leg, notice: CallNotice) -> None:
        leg_id, at_ns = leg.order.leg_id, notice.at_ns
        match notice:
            case Sent():
                leg.call_id, leg.left_ns = notice.call_id, at_ns
                self._send(LegSent(at_ns=at_ns, leg_id=leg_id, call_id=notice.call_id))
            case Provisional():
                signal = Signal.PROGRESS if notice.code == 100 else Signal.RINGING
                if leg.apply(signal, at_ns) and signal is Signal.RINGING:
                    leg.ringing_ns, leg.ringing_code = leg.ringing_ns or at_ns, notice.code
                    leg.early_sdp = leg.early_sdp or notice.early_sdp
                    if leg.phase is Phase.EARLY:
                        leg.dialog = notice.pending
                    event = LegProvisional(
                        at_ns=at_ns,
                        leg_id=leg_id,
                        code=notice.code,
                        early_sdp=notice.early_sdp,
                        pending=notice.pending,
                    )
                    self._send(event)
            case Negotiated():
                self._take_media(leg, notice)
            case Answered():
                if leg.apply(Signal.ANSWERED, at_ns):
                    leg.dialog = notice.dialog
                    if self._must_stay_silent(leg):
                        return
                    self._send(LegAnswered(at_ns=at_ns, leg_id=leg_id, dialog=notice.dialog))
            case Digit():
                self._send(LegInfoDigit(at_ns=at_ns, leg_id=leg_id, digit=notice.digit))
            case Referred():
                self._send(LegReferred(at_ns=at_ns, leg_id=leg_id, code=notice.code, final=notice.final))
            case ConnectedLine():
                self._send(LegConnectedLine(at_ns=at_ns, leg_id=leg_id, user=notice.user))
            case Disconnected():
                self._take_disconnect(leg, notice)
            case Fault():
                _log.error("sip_callback_failed", leg_id=leg_id, callback=notice.where, error=notice.error)
            case _:
                assert_never(notice)

    def _must_stay_silent(self, leg: Leg) -> bool:
        """Whether encrypted sound was required and the answer has brought none: nobody may be spoken to. Ends the leg as one without media."""
        if leg.order.srtp is not SrtpUse.REQUIRED or leg.incoming or leg.negotiated is not None:
            return False
        call = self._calls.get(leg.order.leg_id)
        if call is not None and not call.dead:  # pjsua2 has not given it up itself, which it would tell next
            signal = Signal.MEDIA_LIMIT
            self._give_up(leg, signal, code=LIMIT_CODES[signal], by=EndedBy.LIMIT)
        return True

    def _take_media(self, leg: Leg, notice: Negotiated) -> None:
        if leg.phase is Phase.RELEASING:
            return
        leg.negotiated = LegNegotiated(
            at_ns=notice.at_ns,
            leg_id=leg.order.leg_id,
            host=notice.host,
            port=notice.port,
            codec=notice.codec,
            dtmf_pt=notice.dtmf_pt,
            ptime_ms=notice.ptime_ms,
            direction=notice.direction,
            rtcp_host=notice.rtcp_host,
            rtcp_port=notice.rtcp_port,
            srtp=notice.srtp,
        )
        self._send(leg.negotiated)

    def _take_disconnect(self, leg: Leg, notice: Disconnected) -> None:
        if not leg.apply(Signal.DISCONNECTED, notice.at_ns):
            return
        sent = bool(leg.call_id)
        by = EndedBy.FAR if notice.by_far else EndedBy.LIMIT
        self._end(
            leg.order.leg_id,
            code=notice.code,
            by=by if sent else EndedBy.WORKER,
            q850=notice.q850,
            reason=notice.reason,
            retry_after_s=notice.retry_after_s,
            invite_sent=sent,
        )

    def _end(
        self,
        leg_id: LegId,
        *,
        code: int,
        by: EndedBy,
        q850: int = 0,
        reason: str = "",
        retry_after_s: int = 0,
        invite_sent: bool = True,
        crossed: bool = False,
    ) -> None:
        leg = self._legs.pop(leg_id, None)
        if leg is not None and leg.order.srtp is SrtpUse.REQUIRED and code in _NO_MEDIA_CODES:
            reason = f"encrypted sound required: {reason}"
        ended = LegEnded(
            at_ns=time.monotonic_ns(),
            leg_id=leg_id,
            code=code,
            by=by,
            q850=q850,
            reason=reason,
            retry_after_s=retry_after_s,
            invite_sent=invite_sent,
            crossed=crossed,
        )
        if leg is not None:
            self._recent_ends.append(leg.snapshot(ended))
        self._send(ended)


def _caller(invite: SipText) -> str:
    """Return who calls, as the trunk asserts it (RFC 3325), or else as the caller says."""
    return user_of(uri_of(invite.first("p-asserted-identity") or invite.first("from")))
