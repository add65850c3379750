"""One call of pjsua2: its callbacks turned into notices, its SDP pointed at the media plane.

It owns the reading of what pjsua2 reports. It decides nothing: callbacks append to `notices` and return, the worker's loop reads them
and drops the object in the turn that reported the disconnect (a later `~Call` would hang up whoever has its slot by then).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import time
from collections.abc import Callable
from typing import Any

from dialer_core.ipc.messages import Dialog, Place
from dialer_core.sip import sdes, sdp
from dialer_core.sip.headers import SipText, q850_cause, retry_after_s, split_list, tag_of, uri_of, user_of
from dialer_core.sip.leg import Offer
from dialer_core.sip.notices import (
    Answered,
    CallNotice,
    ConnectedLine,
    Digit,
    Disconnected,
    Fault,
    Negotiated,
    Provisional,
    Referred,
    Sent,
)
from dialer_core.sip.orphan import dialog_of
from dialer_core.sip.pjsua import pj
from dialer_core.vocabulary import SrtpUse

_LONG_NUMBER = re.compile(r"\+?\d[\d .-]{4,}\d")
_NO_MEDIA = 488
_UNUSABLE_ANSWER = frozenset({406, 415, _NO_MEDIA})
"""How pjsip names, in its BYE, an answer without a description, with an unreadable one, with one it cannot use."""
_DEPARTURES = ((pj.PJSIP_EVENT_TX_MSG, pj.PJSIP_EVENT_RX_MSG), (pj.PJSIP_EVENT_RX_MSG,))
"""Events of the INVITE's transaction that show it has left: by UDP, by TCP."""
_INFO_METHOD = 1
"""`PJSUA_DTMF_METHOD_SIP_INFO`."""


def _reported(callback: Callable[[CallHandle, Any], None]) -> Callable[[CallHandle, Any], None]:
    """Turn an exception of a callback into a `Fault`: it cannot be raised through C++."""

    @functools.wraps(callback)
    def guarded(self: CallHandle, prm: Any) -> None:
        try:
            callback(self, prm)
        except Exception as error:  # noqa: BLE001 - any of ours; told to the loop, which logs it
            self.notices.append(Fault(time.monotonic_ns(), callback.__name__, type(error).__name__))

    return guarded


class CallHandle(pj.Call):  # type: ignore[misc] # pjsua2 has no annotations
    """The call of one leg.

    Parameters
    ----------
    account
        The account it is placed by; kept alive by the endpoint.
    order
        Whose SDP and codecs are these.
    by_tcp
        Whether its first hop is by TCP.
    came_in
        pjsua2's word of a call that came in (`OnIncomingCallParam`); None for one to be placed.
    """

    def __init__(
        self, account: Any, order: Place | Offer, *, by_tcp: bool = False, came_in: Any = None
    ) -> None:
        if came_in is None:
            super().__init__(account)
        else:
            super().__init__(account, came_in.callId)
        self.account = account
        self.notices: list[CallNotice] = []
        self.dead = False
        """DISCONNECTED has been reported: never touch it again, drop it now."""
        self.order = order
        self._sent = False
        self._by_tcp = by_tcp
        self._was_answered = False
        self.invite = None if came_in is None else SipText.parse(came_in.rdata.wholeMsg)
        """The INVITE, where the far end called."""
        self._invited_from = "" if came_in is None else came_in.rdata.srcAddress
        self._answer: SipText | None = None
        self._answered_from = ""
        self._remote_audio: sdp.AudioDescription | None = None
        self._our_keys: tuple[sdes.Crypto, ...] = ()
        self._their_keys: tuple[sdes.Crypto, ...] = ()
        self._we_answered = False

    def take_notices(self) -> list[CallNotice]:
        """Return what the callbacks have left since the last time, in order.

        Media is told with its keys, which only now are all known: pjsua2 reports media before it shows the answer that brought it.
        """
        notices, self.notices = self.notices, []
        if self.order.srtp is SrtpUse.OFF:
            return notices
        return [self._with_keys(notice) if isinstance(notice, Negotiated) else notice for notice in notices]

    def _with_keys(self, notice: Negotiated) -> Negotiated | Fault:
        """Return media with its keys. Without keys that must be there it is no media: nobody may be spoken to in the clear."""
        try:
            keys = sdes.agreed(ours=self._our_keys, theirs=self._their_keys, we_answered=self._we_answered)
        except ValueError as error:
            return Fault(notice.at_ns, "srtp", str(error))
        if keys is None and self.order.srtp is SrtpUse.REQUIRED:
            return Fault(notice.at_ns, "srtp", "required, and the far end speaks in the clear")
        return dataclasses.replace(notice, srtp=keys)

    def _hear_answer(self, message: SipText | None) -> None:
        """Take the keys of an answer to an offer of ours."""
        if message is not None and message.has_sdp and self.order.srtp is not SrtpUse.OFF:
            self._their_keys, self._we_answered = sdes.read_crypto(message.body), False

    # --- callbacks; the names are pjsua2's

    @_reported
    def onCallState(self, prm: Any) -> None:  # noqa: N802
        """Follow the INVITE session."""
        at_ns = time.monotonic_ns()
        info = self.getInfo()
        received, source = _received(prm.e)
        if received is not None:
            self._notice_departure(pj.PJSIP_EVENT_RX_MSG)
            self._hear_answer(received)
        if info.state == pj.PJSIP_INV_STATE_EARLY and isinstance(self.order, Place):
            early_sdp = received is not None and received.has_sdp
            pending = _pending(received, source, self.order) if received is not None else None
            self.notices.append(Provisional(at_ns, int(info.lastStatusCode), early_sdp, pending))
        elif info.state == pj.PJSIP_INV_STATE_CONNECTING:
            self._was_answered = True
            self._answer, self._answered_from = received, source
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            if self.invite is not None:
                dialog = _dialog_of_incoming(self.invite, received, info, self._invited_from)
            else:
                dialog = _dialog(self._answer, info, self._answered_from)
            self.notices.append(Answered(at_ns, dialog))
            self._answer = None
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.dead = True
            self.notices.append(self._disconnected(at_ns, info, received))

    @_reported
    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802
        """Notice the INVITE's departure and its 100, of which `onCallState` says nothing."""
        state = prm.e.body.tsxState
        if state.tsx.role == pj.PJSIP_ROLE_UAC and state.type == pj.PJSIP_EVENT_RX_MSG:
            self._hear_answer(_received(prm.e)[0])
        if state.tsx.role == pj.PJSIP_ROLE_UAS and state.tsx.state == pj.PJSIP_TSX_STATE_TRYING:
            self._hear_connected_line(state.tsx.method, _received(prm.e)[0])
        if state.tsx.method != "INVITE" or state.tsx.role != pj.PJSIP_ROLE_UAC:
            return
        self._notice_departure(state.type)
        if state.type == pj.PJSIP_EVENT_RX_MSG and state.tsx.statusCode == 100:
            self.notices.append(Provisional(time.monotonic_ns(), 100, early_sdp=False))

    @_reported
    def onCallMediaState(self, _prm: Any) -> None:  # noqa: N802
        """Read the far end's media anew: at 183, at 200, after each re-INVITE; also when nothing has changed."""
        at_ns = time.monotonic_ns()
        try:
            stream = self.getStreamInfo(0)
        except pj.Error:
            self._negotiated_without_stream(at_ns)
            return
        if not stream.remoteRtpAddress:
            return
        host, _, port = stream.remoteRtpAddress.rpartition(":")
        rtcp_host, _, rtcp_port = stream.remoteRtcpAddress.rpartition(":")
        codec = stream.audCodecParam
        self.notices.append(
            Negotiated(
                at_ns,
                host=host.strip("[]"),
                port=int(port),
                codec=stream.codecName.upper(),
                dtmf_pt=int(stream.audTxEventPt),
                ptime_ms=int(codec.info.frameLen * codec.setting.frmPerPkt) or 20,
                direction=int(stream.dir),
                rtcp_host=rtcp_host.strip("[]"),
                rtcp_port=int(rtcp_port or 0),
            )
        )

    @_reported
    def onCallSdpCreated(self, prm: Any) -> None:  # noqa: N802
        """Put the media plane's socket into every offer and answer of ours."""
        prm.sdp.wholeSdp = sdp.rewrite(
            prm.sdp.wholeSdp,
            host=self.order.media_host,
            port=self.order.media_port,
            codecs=self.order.codecs,
        )
        remote = prm.remSdp.wholeSdp
        self._our_keys = sdes.read_crypto(prm.sdp.wholeSdp)
        if remote:
            self._their_keys, self._we_answered = sdes.read_crypto(remote), True
            self._remote_audio = sdp.read_audio(remote)

    @_reported
    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        """Take digits by INFO; those by RFC 4733 go to the media plane's socket."""
        if prm.method == _INFO_METHOD:
            self.notices.append(Digit(time.monotonic_ns(), str(prm.digit)))

    def onCallRedirected(self, _prm: Any) -> int:  # noqa: N802
        """Refuse to follow a redirect, so that a 302 is seen as 302."""
        return int(pj.PJSIP_REDIRECT_REJECT)

    @_reported
    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802
        """Refuse a REFER of the far end: it may not make us call others."""
        prm.statusCode = pj.PJSIP_SC_DECLINE

    @_reported
    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
        """Follow a REFER of ours: its acceptance, the NOTIFYs, the last of them."""
        self.notices.append(Referred(time.monotonic_ns(), int(prm.statusCode), bool(prm.finalNotify)))

    @_reported
    def onCallReplaceRequest(self, prm: Any) -> None:  # noqa: N802
        """Refuse to be replaced."""
        prm.statusCode = pj.PJSIP_SC_DECLINE

    def _hear_connected_line(self, method: str, request: SipText | None) -> None:
        """Take whom the far end says it has connected us to, in a re-INVITE or UPDATE after the answer."""
        if method not in ("INVITE", "UPDATE") or request is None or not self._was_answered:
            return
        if asserted := request.first("p-asserted-identity"):
            self.notices.append(ConnectedLine(time.monotonic_ns(), user_of(uri_of(asserted))))

    def _notice_departure(self, event_type: int) -> None:
        """A datagram has left when pjsip says so; by TCP only an answer shows that there was a connection to leave by."""
        if self._sent or self.invite is not None or event_type not in _DEPARTURES[self._by_tcp]:
            return
        self._sent = True
        self.notices.append(Sent(time.monotonic_ns(), self.getInfo().callIdString))

    def _disconnected(self, at_ns: int, info: Any, received: SipText | None) -> Disconnected:
        """Tell who ended it: after the answer only a BYE is the far end's doing, anything else pjsua2's own."""
        code = int(info.lastStatusCode)
        by_far = not self._was_answered or (received is not None and received.start_line.startswith("BYE "))
        return Disconnected(
            at_ns,
            code=_NO_MEDIA if not by_far and code in _UNUSABLE_ANSWER else code,
            q850=q850_cause(received) if received is not None else 0,
            reason=clean_phrase(info.lastReason),
            retry_after_s=retry_after_s(received) if received is not None else 0,
            by_far=by_far,
        )

    def _negotiated_without_stream(self, at_ns: int) -> None:
        """Report media that pjsua2 has agreed on and made no stream for: both directions inactive."""
        media = self.getInfo().media
        remote = self._remote_audio
        if len(media) == 0 or media[0].status == pj.PJSUA_CALL_MEDIA_NONE or remote is None:
            return
        self.notices.append(
            Negotiated(
                at_ns,
                host=remote.host,
                port=remote.port,
                codec=remote.codecs[0],
                dtmf_pt=remote.dtmf_pt,
                ptime_ms=remote.ptime_ms,
                direction=0,
                rtcp_host=remote.rtcp_host,
                rtcp_port=remote.rtcp_port,
            )
        )


def _dialog_of_incoming(invite: SipText, ack: SipText | None, info: Any, source: str) -> Dialog:
    """Return what a BYE of another process would need, from the INVITE and the ACK of a call that came in."""
    local = ack.first("to") if ack is not None else info.localUri
    return Dialog(
        call_id=info.callIdString,
        local_uri=uri_of(invite.first("to")),
        local_tag=tag_of(local),
        remote_uri=uri_of(invite.first("from")),
        remote_tag=tag_of(invite.first("from")),
        remote_target=uri_of(invite.first("contact")),
        route_set=tuple(part for value in invite.values("record-route") for part in split_list(value)),
        destination=source,
    )


def uses_tcp(uri: str, proxy: str) -> bool:
    """Tell whether a request to `uri` goes by TCP: its first hop, the proxy if there is one, says so."""
    return "transport=tcp" in (proxy or uri).lower()


def clean_phrase(phrase: str) -> str:
    """Return a far end's reason phrase fit for an event: one short line, long numbers masked."""
    return _LONG_NUMBER.sub("#", "".join(char if char.isprintable() else " " for char in phrase))[:80]


def _received(event: Any) -> tuple[SipText | None, str]:
    """Return the message of the far end that caused a state change, and where it came from."""
    if event.type == pj.PJSIP_EVENT_RX_MSG:  # an ACK belongs to no transaction
        rdata = event.body.rxMsg.rdata
        return (SipText.parse(rdata.wholeMsg) if rdata.wholeMsg else None), rdata.srcAddress
    if event.type != pj.PJSIP_EVENT_TSX_STATE or event.body.tsxState.type != pj.PJSIP_EVENT_RX_MSG:
        return None, ""
    rdata = event.body.tsxState.src.rdata
    raw = rdata.wholeMsg
    return (SipText.parse(raw), rdata.srcAddress) if raw else (None, "")


def _pending(received: SipText, source: str, order: Place) -> Dialog:
    """Return what a CANCEL of another process would need, from a provisional answer to our INVITE."""
    via = [
        part
        for part in received.first("via").split(";")
        if not part.lstrip().startswith(("received=", "rport="))
    ]
    local, remote = received.first("from"), received.first("to")
    return Dialog(
        call_id=received.first("call-id"),
        local_uri=uri_of(local),
        local_tag=tag_of(local),
        remote_uri=uri_of(remote),
        remote_tag="",
        remote_target=order.to_uri,
        route_set=(f"<{order.identity.proxy}>",) if order.identity.proxy else (),
        local_cseq=received.cseq[0],
        destination=source,
        via=";".join(via),
    )


def _dialog(answer: SipText | None, info: Any, destination: str) -> Dialog:
    """Return what a BYE of another process would need, from the 200 of a call we placed."""
    if answer is None:
        return Dialog(
            call_id=info.callIdString,
            local_uri=uri_of(info.localUri),
            local_tag=tag_of(info.localUri),
            remote_uri=uri_of(info.remoteUri),
            remote_tag=tag_of(info.remoteUri),
            remote_target=uri_of(info.remoteContact),
        )
    return dialog_of(answer, destination)
