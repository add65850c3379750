"""The legs, and what each command, each datagram and each passing 20 ms does to them. It reports through one `emit`.

It owns no loop and no framing: `plane.py` calls it when a datagram, a command or a tick is due. Numbers of packets are `rtp.py`'s and
`relay.py`'s, one leg's sound is `leg.py`'s, verdicts and waits are `answers.py`'s.
"""

from __future__ import annotations

import random
import select
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from dialer_core.clock import Clock
from dialer_core.ipc.messages import (
    Await,
    Bridge,
    BridgeRefused,
    CloseLeg,
    ConnectLeg,
    DumpState,
    Hear,
    LegClosed,
    LegDigit,
    LegOpened,
    LegRtpBack,
    LegRtpLost,
    LegsBridged,
    Listen,
    MediaCommand,
    MediaHealth,
    MediaLegSnapshot,
    MediaState,
    OpenLeg,
    Play,
    Record,
    SendDigits,
    SourcedEvent,
    Unbridge,
)
from dialer_core.media.answers import Answers
from dialer_core.media.far_end import is_reachable
from dialer_core.media.hearing import Hearing
from dialer_core.media.leg import Leg
from dialer_core.media.listener import Listener
from dialer_core.media.mixer import Rings
from dialer_core.media.playback import Playback
from dialer_core.media.prompts import Prompt
from dialer_core.media.recording import Recordings
from dialer_core.media.sockets import PortPool
from dialer_core.media.speech import Speech
from dialer_core.media.spool import Spool
from dialer_core.media.traffic import Traffic
from dialer_core.media.waiting import WaitState
from dialer_core.vocabulary import LegId, LegKind

_log = structlog.get_logger(__name__)

RTP_LOST_NS: Final = 2_000_000_000
"""A far end that should send and has sent nothing for so long is reported."""
REPORT_INTERVAL_NS: Final = 5_000_000_000
"""RTCP's mean interval; each is drawn from half to one and a half of it (RFC 3550, 6.3.1)."""
_RECENT_ENDS: Final = 256
"""Customers' legs that are told to a new engine after they were closed."""
_DATAGRAM_BYTES: Final = 2048
_CNAME: Final = "media@marcador"


class Exchange:
    """All legs of a media plane.

    Parameters
    ----------
    epoll
        Where the legs' sockets are registered; `receive` is to be called with those that are ready.
    pool
        RTP ports to hand out.
    advertise
        The address that SDP names, told in `LegOpened`.
    prompts
        By id.
    emit
        Takes each event.
    listener
        What hears the legs; by default one that knows no recordings and keeps no clips.
    spool
        Where recordings go; None: nothing is recorded.
    speech
        What is rendered for single calls; by default there is none.
    """

    def __init__(
        self,
        epoll: select.epoll,
        pool: PortPool,
        advertise: str,
        prompts: dict[str, Prompt],
        emit: Callable[[SourcedEvent], None],
        clock: Clock,
        listener: Listener | None = None,
        spool: Spool | None = None,
        speech: Speech | None = None,
    ) -> None:
        self._epoll = epoll
        self._pool = pool
        self._advertise = advertise
        self._emit = emit
        self._clock = clock
        self._legs: dict[LegId, Leg] = {}
        self._recent_ends: deque[MediaLegSnapshot] = deque(maxlen=_RECENT_ENDS)
        self._rtp: dict[int, Leg] = {}
        self._rtcp: dict[int, Leg] = {}
        self._playback = Playback(prompts, emit, speech)
        self._answers = Answers(self._playback, emit, listener)
        rings = Rings()
        self._hearing = Hearing(self._legs, rings, self._playback)
        self._recordings = Recordings(rings, self._hearing.people_heard_by, emit, spool)
        self._random = random.Random()
        self._ignored = 0
        self._traffic = Traffic()
        self._handlers: dict[type, Callable[..., None]] = {
            OpenLeg: self._open,
            ConnectLeg: self._connect,
            Listen: self._listen,
            Bridge: self._bridge,
            Unbridge: self._unbridge,
            Hear: self._hearing.order,
            SendDigits: self._send_digits,
            Record: self._record,
            Await: self._await,
            Play: self._play,
            CloseLeg: self._close,
            DumpState: self._dump,
        }

    # --- what the loop brings ------------------------------------------------------------------------------------------

    def receive(self, fd: int) -> bool:
        """Read one datagram of a ready socket; return False when the socket is no leg's."""
        leg = self._rtp.get(fd)
        if leg is not None:
            try:
                data, source = leg.sockets.rtp.recvfrom(_DATAGRAM_BYTES)
            except OSError:
                return True  # nothing there after all (a bad checksum), or an ICMP answer to what we sent
            now_ns = self._clock.mono_ns()
            digit = leg.receive(data, source, now_ns)
            if digit is not None and leg.digit_limit.allows(now_ns):
                self._emit(LegDigit(at_ns=now_ns, leg_id=leg.leg_id, digit=digit))
            return True
        leg = self._rtcp.get(fd)
        if leg is None:
            return False
        try:
            data, source = leg.sockets.rtcp.recvfrom(_DATAGRAM_BYTES)
        except OSError:
            return True
        leg.receive_report(data, source, self._clock.mono_ns())
        return True

    def apply(self, command: MediaCommand) -> None:
        """Do what the engine asks."""
        self._handlers[type(command)](command, self._clock.mono_ns())

    def pace(self, due_ns: int, now_ns: int) -> None:
        """Let every leg send what is due by the schedule (`due_ns`)."""
        try:
            self._hearing.mix(due_ns, self._recordings)
        except Exception:  # noqa: BLE001 - who is mixed hears silence; all others' sound goes on
            _log.exception("mixing_fault")
        for leg in list(self._legs.values()):
            try:
                finished = leg.tick(due_ns)
            except Exception:  # noqa: BLE001 - a fault of ours in one leg ends that leg; the others' sound goes on
                _log.exception("leg_fault", leg_id=leg.leg_id)
                self._remove(leg, now_ns)
                continue
            if finished is not None:
                self._playback.ended(leg, finished, now_ns)

    def judge(self, now_ns: int) -> None:
        """Hear the last 20 ms of every listened leg, and see whose wait is over."""
        self._answers.judge(now_ns)
        self._playback.arrived(now_ns)

    def health(self, now_ns: int, tick_lag_ms: float, rss_mb: float) -> MediaHealth:
        """Return how much there is to do."""
        return MediaHealth(
            at_ns=now_ns,
            legs=len(self._legs),
            listening=self._answers.listening,
            bridged_pairs=sum(leg.partner is not None for leg in self._legs.values()) // 2,
            tick_lag_ms=tick_lag_ms,
            rss_mb=rss_mb,
            **self._traffic.with_legs(self._legs.values()),
        )

    def close(self) -> None:
        """Close every leg, with its BYE and its `LegClosed`."""
        for leg in list(self._legs.values()):
            self._remove(leg, self._clock.mono_ns())

    # --- commands ------------------------------------------------------------------------------------------------------

    def _leg_of(
        self, command: ConnectLeg | Listen | Unbridge | SendDigits | Record | Await | Play | CloseLeg
    ) -> Leg | None:
        leg = self._legs.get(command.leg_id)
        if leg is None:
            self._ignored += 1
            _log.info(
                "command_for_unknown_leg",
                command=type(command).__name__,
                leg_id=command.leg_id,
                ignored_so_far=self._ignored,
            )
        return leg

    def _open(self, command: OpenLeg, now_ns: int) -> None:
        leg = self._legs.get(command.leg_id)
        error = ""
        if leg is None:
            try:
                sockets = self._pool.open(command.port)
            except OSError as failure:
                sockets, error = None, str(failure)
            if sockets is not None:
                leg = Leg(command.leg_id, command.kind, sockets, now_ns)
                self._legs[leg.leg_id] = leg
                self._rtp[sockets.rtp.fileno()] = leg
                self._rtcp[sockets.rtcp.fileno()] = leg
                self._epoll.register(sockets.rtp, select.EPOLLIN)
                self._epoll.register(sockets.rtcp, select.EPOLLIN)
            elif not error:
                error = f"port {command.port} is taken" if command.port else "no port pair is free"
        port = leg.sockets.port if leg is not None else 0
        if error:
            _log.error("leg_not_opened", leg_id=command.leg_id, problem=error)
        self._emit(
            LegOpened(at_ns=now_ns, leg_id=command.leg_id, host=self._advertise, port=port, error=error)
        )

    def _connect(self, command: ConnectLeg, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is None:
            return
        if not is_reachable(command):
            _log.error(
                "connect_refused",
                leg_id=leg.leg_id,
                host=command.host,
                port=command.port,
                codec=command.codec,
            )
            return
        leg.connect(command, now_ns)
        if not leg.next_report_ns:
            leg.next_report_ns = (
                now_ns + self._report_pause_ns() // 2
            )  # the first comes sooner (RFC 3550, 6.2)

    def _listen(self, command: Listen, _now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is not None:
            self._answers.listen(leg, command)

    def _bridge(self, command: Bridge, now_ns: int) -> None:
        leg, agent = self._legs.get(command.leg_id), self._legs.get(command.agent_leg_id)
        reason = ""
        if leg is None or agent is None or leg is agent:
            reason = "gone"
        elif leg.waiting.state is WaitState.FALLBACK:
            reason = "fallback"
        elif leg.partner is not agent and (leg.partner is not None or agent.partner is not None):
            reason = "busy"
        if reason or leg is None or agent is None:
            self._emit(
                BridgeRefused(
                    at_ns=now_ns, leg_id=command.leg_id, agent_leg_id=command.agent_leg_id, reason=reason
                )
            )
            return
        if leg.partner is None:
            self._answers.bridged(leg)
            for one in (leg, agent):
                self._hearing.part(one, now_ns)
            self._playback.cut(leg, now_ns)
            self._playback.cut(agent, now_ns)
            leg.join(agent)
            agent.join(leg)
            leg.bridged_ns = agent.bridged_ns = now_ns
            if command.connect_tone:
                self._playback.begin(agent, (command.connect_tone,), None, now_ns)
            if command.announcement:
                self._playback.begin(leg, (command.announcement,), None, now_ns)
            if leg.expected_since_ns is not None:
                leg.expected_since_ns = now_ns
        self._emit(LegsBridged(at_ns=now_ns, leg_id=leg.leg_id, agent_leg_id=agent.leg_id))

    def _unbridge(self, command: Unbridge, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is not None:
            self._separate(leg, now_ns)

    def _await(self, command: Await, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is None:
            return
        self._separate(leg, now_ns)  # from the agent who was lost, should the engine not have said so yet
        self._answers.wait(leg, command, now_ns)

    def _play(self, command: Play, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is None:
            return
        if command.ends_wait:
            self._answers.taken(leg)
        free = leg.partner is None and leg.waiting.state is not WaitState.FALLBACK
        if free and not command.prompts:
            self._playback.cut(leg, now_ns)
            return
        if not free or not self._playback.begin(leg, command.prompts, command.play_id, now_ns):
            self._playback.refused(leg, command.play_id, now_ns, cut=True)

    def _send_digits(self, command: SendDigits, _now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is not None and not leg.press(command.digits):
            _log.warning("digits_not_sent", leg_id=leg.leg_id, problem="the far end takes no telephone-event")

    def _record(self, command: Record, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is not None:
            self._recordings.order(leg, command, now_ns)

    def _close(self, command: CloseLeg, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is not None:
            self._remove(leg, now_ns)

    def _dump(self, _command: DumpState, now_ns: int) -> None:
        legs = tuple(self._snapshot(leg) for leg in self._legs.values())
        self._emit(MediaState(at_ns=now_ns, legs=legs, recent_ends=tuple(self._recent_ends)))

    def _snapshot(self, leg: Leg) -> MediaLegSnapshot:
        waiting = leg.waiting
        return MediaLegSnapshot(
            leg_id=leg.leg_id,
            kind=leg.kind,
            host=self._advertise,
            port=leg.sockets.port,
            connected=leg.connected,
            bridged_to=leg.partner.leg_id if leg.partner is not None else None,
            bridged_ns=leg.bridged_ns,
            listening=self._answers.hears(leg),
            wait_until_ns=waiting.deadline_ns or 0,
            fallback_ns=waiting.fallback_ns,
            play_id=leg.play_id,
            playing=leg.player is not None,
            verdict=leg.verdict,
            rtp_lost=leg.rtp_lost,
            hears=self._hearing.heard_by(leg),
            music=self._hearing.music_of(leg),
            recording_id=self._recordings.of(leg),
            recording_paused=self._recordings.is_paused(leg),
        )

    # --- what follows --------------------------------------------------------------------------------------------------

    def _separate(self, leg: Leg, now_ns: int) -> None:
        partner = leg.partner
        if partner is None:
            return
        for one in (leg, partner):
            one.part()
            self._hearing.part(one, now_ns)
            self._playback.cut(one, now_ns)
            if one.kind is LegKind.CUSTOMER:
                self._answers.parted(one)

    def _remove(self, leg: Leg, now_ns: int) -> None:
        if leg.kind is LegKind.CUSTOMER:
            self._recent_ends.append(self._snapshot(leg))
        self._recordings.end(leg, now_ns)
        self._separate(leg, now_ns)
        self._hearing.part(leg, now_ns)
        self._playback.cut(leg, now_ns)
        self._answers.forget(leg)
        leg.send_report(now_ns, self._clock.utc().timestamp(), _CNAME, bye=True)
        statistics = leg.totals()
        self._traffic.add(statistics)
        for one, legs in ((leg.sockets.rtp, self._rtp), (leg.sockets.rtcp, self._rtcp)):
            self._epoll.unregister(one)
            del legs[one.fileno()]
        leg.sockets.close()
        del self._legs[leg.leg_id]
        self._emit(LegClosed(at_ns=now_ns, leg_id=leg.leg_id, kind=leg.kind, statistics=statistics))

    def housekeep(self, now_ns: int) -> None:
        """Send the RTCP reports that are due and notice far ends that fell silent: some times a second."""
        for leg in self._legs.values():
            if leg.next_report_ns and now_ns >= leg.next_report_ns:
                leg.send_report(now_ns, self._clock.utc().timestamp(), _CNAME)
                leg.next_report_ns = now_ns + self._report_pause_ns()
            if leg.shut_out_strangers():
                _log.warning("strangers_shut_out", leg_id=leg.leg_id)
            since_ns = leg.expected_since_ns
            if since_ns is None or (leg.kind is LegKind.CUSTOMER and leg.partner is None):
                leg.rtp_lost = False
                continue
            silent_ns = now_ns - max(since_ns, leg.last_heard_ns)
            if silent_ns >= RTP_LOST_NS and not leg.rtp_lost:
                leg.rtp_lost = True
                self._emit(LegRtpLost(at_ns=now_ns, leg_id=leg.leg_id, silent_s=silent_ns / 1e9))
            elif silent_ns < RTP_LOST_NS and leg.rtp_lost:
                leg.rtp_lost = False
                self._emit(LegRtpBack(at_ns=now_ns, leg_id=leg.leg_id))

    def _report_pause_ns(self) -> int:
        return int(REPORT_INTERVAL_NS * self._random.uniform(0.5, 1.5))
