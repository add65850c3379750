"""The pjsua2 endpoint of a worker: signalling only, no sound device, no RTP socket, no thread that calls back.

It owns the library's life, its SIP transports, accounts by identity, and the measures that keep it from leaking or aborting (each of
them measured; see docs/adr/0002-line-worker.md). It owns no leg: `worker.py` does.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from pathlib import Path
from typing import Any

import structlog

from dialer_core.errors import StartError
from dialer_core.ipc.messages import Place, Probe, SipIdentity
from dialer_core.sip import sdes, source_filter
from dialer_core.sip.call_handle import CallHandle, clean_phrase, uses_tcp
from dialer_core.sip.headers import SipText, is_header, q850_cause
from dialer_core.sip.leg import Offer
from dialer_core.sip.notices import FinalSeen, ProbeAnswered
from dialer_core.sip.orphan import dialog_of
from dialer_core.sip.pjsua import PjLibrary, pj
from dialer_core.sip.worker_config import WorkerConfig
from dialer_core.vocabulary import SrtpUse

_log = structlog.get_logger(__name__)

TRANSACTION_LIMIT_MS = 12_000
"""How long pjsip waits for an answer to BYE, CANCEL or INVITE; until then the call keeps its slot. RFC 3261 has 32 s, which a worker of four
slots cannot afford towards a dead trunk; it is above any `progress_limit_s` in use."""
_ACCOUNTS_MAX = 6
"""pjsua2 aborts at its ninth account; at most four can be in calls."""
_SPARE_BRIDGE_PORTS = 8
_WORD = re.compile(r"[A-Za-z0-9.+-]{8,128}")
_SOURCE = re.compile(r" from \w+ ([\d.]+:\d+)")
_WATCH_LEVEL, _QUIET_LEVEL = 4, 1
_SRTP = {
    SrtpUse.OFF: pj.PJMEDIA_SRTP_DISABLED,
    SrtpUse.OPTIONAL: pj.PJMEDIA_SRTP_OPTIONAL,
    SrtpUse.REQUIRED: pj.PJMEDIA_SRTP_MANDATORY,
}
_Key = tuple[str, str, str, SrtpUse]
"""What makes accounts differ: user, password, proxy, encryption."""


class PlaceRefusedError(Exception):
    """pjsua2 would not send this INVITE; the text has no personal data."""


class _WireWatch(pj.LogWriter):  # type: ignore[misc] # pjsua2 has no annotations
    """Reads pjsip's own trace where pjsua2 tells nothing. Nothing of it is kept or written anywhere.

    It finds final answers to INVITEs after our hang-up, and the Call-ID of an OPTIONS we send.
    """

    def __init__(self, found: list[FinalSeen | ProbeAnswered]) -> None:
        super().__init__()
        self._found = found
        self.options_call_id = ""

    def write(self, entry: Any) -> None:
        head, _, raw = entry.msg.partition("\n")
        if head.startswith("RX ") and "/INVITE/" in head:
            message = SipText.parse(raw)
            if message.status >= 200:
                source = _SOURCE.search(head)
                self._found.append(
                    FinalSeen(
                        time.monotonic_ns(),
                        call_id=message.first("call-id"),
                        code=message.status,
                        q850=q850_cause(message),
                        reason=clean_phrase(message.phrase),
                        dialog=dialog_of(message, source.group(1) if source else "", acknowledged=False)
                        if message.status < 300
                        else None,
                    )
                )
        elif head.startswith("TX ") and " OPTIONS/" in head:
            self.options_call_id = SipText.parse(raw).first("call-id")


class _Account(pj.Account):  # type: ignore[misc]
    """An account: credentials and outbound proxy for calls out; whoever calls in is offered, where calls are taken, or refused."""

    def __init__(
        self,
        refused: list[Any],
        expected: list[Offer],
        offered: list[CallHandle],
        found: list[FinalSeen | ProbeAnswered],
    ) -> None:
        super().__init__()
        self._expected = expected
        self._offered = offered
        self.key: _Key = ("", "", "", SrtpUse.OFF)
        self.calls = 0
        self.used_ns = 0
        self._refused = refused
        self._found = found

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        """Take the call for the loop to offer, or refuse it."""
        if self._expected:
            self.calls += 1
            self._offered.append(CallHandle(self, self._expected.pop(0), came_in=prm))
            return
        # Refused after this callback, not inside it: pjsip frees what it kept of an INVITE without a description twice then, and aborts.
        self._refused.append(pj.Call(self, prm.callId))

    def onIncomingSubscribe(self, prm: Any) -> None:  # noqa: N802
        """Refuse: pjsua2 would accept presence subscriptions by itself."""
        prm.code = pj.PJSIP_SC_BAD_EVENT

    def onSendRequest(self, prm: Any) -> None:  # noqa: N802
        """Tell the answer to an OPTIONS. None, or no transport, is not told: the worker's own limit says so."""
        state = prm.e.body.tsxState
        if state.type == pj.PJSIP_EVENT_RX_MSG:
            message = SipText.parse(state.src.rdata.wholeMsg)
            self._found.append(ProbeAnswered(time.monotonic_ns(), message.first("call-id"), message.status))


class SipEndpoint:
    """pjsua2, driven by `handle_one`.

    Raises
    ------
    StartError
        The SIP port is taken, or pjsua2 does not start.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.found: list[FinalSeen | ProbeAnswered] = []
        """What came outside of calls; the loop takes it out."""
        self.sip_sockets_changed = False
        self._sip_descriptors: list[int] = []
        self.expected: list[Offer] = []
        """Legs for calls that may come in; none: they are refused."""
        self.offered: list[CallHandle] = []
        """Calls that came in; the loop takes them out."""
        self._config = config
        self._library = PjLibrary()
        self._library.set_log_level(0)
        self._watching = False
        self._refused: list[Any] = []
        self._accounts: list[_Account] = []
        self._sources: tuple[str, ...] = source_filter.LOOPBACK
        self._tcp = False
        self._writer = _WireWatch(self.found)
        try:
            self._start()
        except pj.Error as error:
            raise StartError(
                f"worker {config.worker_id}: pjsua2 does not start on {config.sip_host}:{config.sip_port}"
                f" ({error.reason}); is the port taken? choose another first SIP port"
            ) from error
        self.capacity = self._library.slots_max()

    def _start(self) -> None:
        self._endpoint = pj.Endpoint()
        self._endpoint.libCreate()
        settings = pj.EpConfig()
        agent = settings.uaConfig
        agent.threadCnt, agent.mainThreadOnly = 0, True
        agent.maxCalls = 32  # more than the build allows is cut down to what it allows
        if self._config.outbound_proxy:
            agent.outboundProxies.append(self._config.outbound_proxy)
        agent.userAgent, agent.natTypeInSdp = self._config.user_agent, 0
        log = settings.logConfig
        log.level, log.consoleLevel, log.msgLogging, log.decor = _QUIET_LEVEL, _WATCH_LEVEL, 1, 0
        log.writer = self._writer
        media = settings.medConfig
        media.threadCnt, media.hasIoqueue, media.noVad, media.ecTailLen = 0, False, True, 0
        media.clockRate = media.sndClockRate = 8000
        media.audioFramePtime = 20
        if not self._library.keep_transport():
            _log.warning("sip_settings_unknown", worker=self._config.worker_id)
        self._endpoint.libInit(settings)
        self._library.set_transaction_limit(TRANSACTION_LIMIT_MS)
        self._endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, self._transport_config())
        self._filter_sockets(discard=True)
        self._endpoint.libStart()
        self._library.set_log_level(_QUIET_LEVEL)
        self._library.disconnect_sound_device()
        for codec in self._endpoint.codecEnum2():
            wanted = codec.codecId.startswith(("PCMU/8000", "PCMA/8000"))
            self._endpoint.codecSetPriority(codec.codecId, 128 if wanted else 0)
        self._account_for(SipIdentity(from_uri=""))

    def _transport_config(self) -> Any:
        transport = pj.TransportConfig()
        transport.port, transport.boundAddress = self._config.sip_port, self._config.sip_host
        transport.publicAddress = self._config.public_host
        return transport

    # --- the loop's side

    def handle_one(self) -> bool:
        """Let pjsip do what is due, at most one packet; return whether it did something. Callbacks run in here."""
        return bool(self._endpoint.libHandleEvents(0))

    def drop_refused(self) -> None:
        """Refuse the calls that came in uncalled for, and drop their objects; in the turn in which they came."""
        for call in self._refused:
            answer = pj.CallOpParam()
            answer.statusCode = pj.PJSIP_SC_TEMPORARILY_UNAVAILABLE
            with contextlib.suppress(pj.Error):  # it was cancelled in this very moment
                call.hangup(answer)
        self._refused.clear()

    def ms_to_next_timer(self) -> int | None:
        """Return the milliseconds to pjsip's next timer."""
        return self._library.ms_to_next_timer()

    @property
    def slots_used(self) -> int:
        """Calls pjsua2 still holds."""
        return self._library.slots_used()

    @property
    def uses_tcp(self) -> bool:
        """Whether some trunk is spoken to by TCP."""
        return self._tcp

    @property
    def bridge_ports(self) -> int:
        """Ports of the unused conference bridge; near 1 + calls, or something leaks."""
        return int(self._endpoint.mediaActivePorts())

    def sweep_bridge(self) -> None:
        """Free the bridge ports of ended calls, when there are some."""
        if self.bridge_ports > 1 + self.slots_used + _SPARE_BRIDGE_PORTS:
            self._library.turn_bridge()

    def sip_descriptors(self) -> list[int]:
        """Return the descriptors of pjsip's SIP sockets: those of this process bound to our port."""
        self.sip_sockets_changed = False
        try:
            present = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
        except OSError:  # no descriptor is left for looking: those we know of
            return self._sip_descriptors
        self._sip_descriptors = []
        for descriptor in present:
            try:
                with source_filter.borrowed(descriptor) as candidate:
                    address = candidate.getsockname()
                    if candidate.family == socket.AF_INET and address[1] == self._config.sip_port:
                        self._sip_descriptors.append(descriptor)
            except OSError:
                continue  # not a socket, or the listing's own descriptor
        return self._sip_descriptors

    def watch_finals(self, watch: bool) -> None:  # noqa: FBT001
        """Look (or stop looking) for final answers to INVITEs that were given up."""
        if watch != self._watching:
            self._watching = watch
            self._library.set_log_level(_WATCH_LEVEL if watch else _QUIET_LEVEL)

    # --- the commands' side

    def place(self, order: Place) -> CallHandle:
        """Send an INVITE.

        Raises
        ------
        PlaceRefusedError
            It cannot be sent; nothing has left.
        """
        bad = next((name for name, value in order.headers.items() if not is_header(name, value)), None)
        if bad is not None:
            raise PlaceRefusedError("a header's name or value cannot go into a message")
        identity = order.identity
        account = self._account_for(identity, order.srtp)
        by_tcp = uses_tcp(order.to_uri, self._config.outbound_proxy or identity.proxy)
        if by_tcp:
            self._need_tcp()
        parameters = pj.CallOpParam(True)
        parameters.opt.audioCount, parameters.opt.videoCount = 1, 0
        if _WORD.fullmatch(order.leg_id):
            # so that a journalled leg names its dialog even if this process dies before it can say so
            parameters.opt.customCallId = order.leg_id
        parameters.txOption.localUri = _name_address(identity.display_name, identity.from_uri)
        parameters.txOption.headers = _header_vector(order.headers)
        call = CallHandle(account, order, by_tcp=by_tcp)
        try:
            call.makeCall(order.to_uri, parameters)
        except pj.Error as error:
            call.dead = True
            raise PlaceRefusedError(clean_phrase(error.reason)) from error
        account.calls += 1
        return call

    def expect(self, offers: list[Offer]) -> None:
        """Take calls that come in by these legs from now on; all of them encrypt alike."""
        self.expected[:] = offers
        first = self._accounts[0]  # whoever calls in meets it
        key = ("", "", "", offers[0].srtp) if offers else first.key
        if key != first.key:
            first.modify(self._account_config(key))
            first.key = key

    def answer(self, call: CallHandle) -> None:
        """Answer a call that came in."""
        parameters = pj.CallOpParam(True)
        parameters.opt.audioCount, parameters.opt.videoCount = 1, 0
        parameters.statusCode = pj.PJSIP_SC_OK
        try:
            call.answer(parameters)
        except pj.Error:
            return  # cancelled in this very moment; the notice of that is already there

    def hang_up(self, call: CallHandle, reason: str, reject_code: int = 0) -> None:
        """Send CANCEL, BYE or a refusal; pjsua2 reports the disconnect at once and nothing afterwards."""
        parameters = pj.CallOpParam()
        if reject_code:
            parameters.statusCode = reject_code
        if reason and is_header("Reason", reason):
            parameters.txOption.headers = _header_vector({"Reason": reason})
        try:
            call.hangup(parameters)
        except pj.Error:
            # it has ended in this very moment; the notice of that is already there
            return

    def send_info_digits(self, call: CallHandle, digits: str) -> None:
        """Send digits by INFO, one request each."""
        parameters = pj.CallSendDtmfParam()
        parameters.method, parameters.digits = pj.PJSUA_DTMF_METHOD_SIP_INFO, digits
        try:
            call.sendDtmf(parameters)
        except pj.Error as error:
            _log.warning(
                "info_digits_not_sent", worker=self._config.worker_id, problem=clean_phrase(error.reason)
            )

    def refer(self, call: CallHandle, target: str) -> bool:
        """Send REFER; return whether it has left."""
        try:
            call.xfer(target, pj.CallOpParam())
        except pj.Error as error:
            _log.warning("refer_not_sent", worker=self._config.worker_id, problem=clean_phrase(error.reason))
            return False
        return True

    def release(self, call: CallHandle) -> None:
        """Forget a dead call's claim on its account."""
        call.account.calls -= 1

    def probe(self, order: Probe) -> str:
        """Send OPTIONS out of any dialog; return its Call-ID, by which `found` will tell the answer.

        Raises
        ------
        PlaceRefusedError
            It cannot be sent.
        """
        if uses_tcp(order.uri, self._config.outbound_proxy or order.proxy):
            self._need_tcp()
        parameters = pj.SendRequestParam()
        parameters.method = "OPTIONS"
        parameters.txOption.targetUri = order.uri
        account = self._account_for(SipIdentity(from_uri="", proxy=order.proxy))
        self._writer.options_call_id = ""
        self._library.set_log_level(_WATCH_LEVEL)  # pjsua2 does not tell the Call-ID, its trace does
        try:
            account.sendRequest(parameters)
        except pj.Error as error:
            raise PlaceRefusedError(clean_phrase(error.reason)) from error
        finally:
            self._library.set_log_level(_WATCH_LEVEL if self._watching else _QUIET_LEVEL)
        return self._writer.options_call_id

    def allow_sources(self, sources: tuple[str, ...], *, keep_earlier: bool = False) -> None:
        """Accept SIP from these alone, or from these too.

        Raises
        ------
        ValueError
            One is not an IPv4 address or network; the earlier filter stays.
        """
        if keep_earlier:
            sources = tuple(dict.fromkeys((*self._sources, *sources)))
        source_filter.build_program(sources)
        self._sources = sources
        self._filter_sockets(discard=False)

    @property
    def _advertised(self) -> str:
        return self._config.public_host or self._config.sip_host

    def _filter_sockets(self, *, discard: bool) -> None:
        program = source_filter.build_program(self._sources)
        for descriptor in self.sip_descriptors():
            source_filter.attach(program, descriptor)
            if discard:
                source_filter.discard_waiting(descriptor)

    def _need_tcp(self) -> None:
        if not self._tcp:
            self._endpoint.transportCreate(pj.PJSIP_TRANSPORT_TCP, self._transport_config())
            self._tcp = True
            self._filter_sockets(discard=False)
            self.sip_sockets_changed = True

    def _account_for(self, identity: SipIdentity, srtp: SrtpUse = SrtpUse.OFF) -> _Account:
        key = (identity.auth_user, identity.password, identity.proxy, srtp)
        account = next((known for known in self._accounts if known.key == key), None)
        if account is None:
            settings = self._account_config(key)
            if len(self._accounts) < _ACCOUNTS_MAX:
                account = _Account(self._refused, self.expected, self.offered, self.found)
                account.create(settings, not self._accounts)
                self._accounts.append(account)
            else:
                account = min(
                    (known for known in self._accounts[1:] if not known.calls),
                    key=lambda known: known.used_ns,
                )
                account.modify(settings)
            account.key = key
        account.used_ns = time.monotonic_ns()
        return account

    def _account_config(self, key: _Key) -> Any:
        user, password, proxy, srtp = key
        settings = pj.AccountConfig()
        settings.idUri = f"sip:dialer@{self._advertised}"
        if user:
            settings.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
        if proxy:
            settings.sipConfig.proxies.append(proxy)
        calls = settings.callConfig
        calls.timerUse, calls.timerMinSESec, calls.timerSessExpiresSec = pj.PJSUA_SIP_TIMER_OPTIONAL, 90, 1800
        calls.prackUse = pj.PJSUA_100REL_OPTIONAL
        settings.natConfig.sipOutboundUse = 0
        media = settings.mediaConfig
        media.useLoopMedTp, media.lockCodecEnabled = True, False
        # pjsip makes the keys and agrees on them; the edge's TLS, which it cannot see, is what may protect them on their way
        media.srtpUse, media.srtpSecureSignaling = _SRTP[srtp], 0
        for suite in sdes.SUITES:
            crypto = pj.SrtpCrypto()
            crypto.name = suite
            media.srtpOpt.cryptos.append(crypto)
        media.srtpOpt.keyings.append(pj.PJMEDIA_SRTP_KEYING_SDES)
        # nothing is bound: the loop transport names these in descriptions that no call object rewrites
        media.transportConfig.boundAddress = self._config.media_host
        media.transportConfig.port, media.transportConfig.portRange = 28_000, 100
        return settings


def _header_vector(headers: dict[str, str]) -> Any:
    vector = pj.SipHeaderVector()
    for name, value in headers.items():
        header = pj.SipHeader()
        header.hName, header.hValue = name, value
        vector.append(header)
    return vector


def _name_address(display_name: str, uri: str) -> str:
    if not display_name:
        return f"<{uri}>"
    quoted = (
        "".join(char for char in display_name if char.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{quoted}" <{uri}>'
