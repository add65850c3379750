"""The legs, and what each command, each verdict and each passing 20 ms does to them. It reports through one `emit`.

It owns no loop and no framing: `plane.py` calls it when a datagram, a command or a tick is due. Numbers of packets are `rtp.py`'s and
`relay.py`'s, one leg's sound is `leg.py`'s, the race for a live answer `waiting.py`'s.
"""

from __future__ import annotations

import random
import select
from collections.abc import Callable
from typing import Final

import structlog

from amd import Label, MarkKind
from dialer_core.clock import Clock
from dialer_core.ipc.messages import (
    Await,
    Bridge,
    BridgeRefused,
    CloseLeg,
    ConnectLeg,
    DumpState,
    FallbackStarted,
    LegBeep,
    LegClosed,
    LegDigit,
    LegOpened,
    LegRtpBack,
    LegRtpLost,
    LegsBridged,
    LegVerdict,
    Listen,
    MediaCommand,
    MediaHealth,
    MediaLegSnapshot,
    MediaState,
    OpenLeg,
    Play,
    PromptFinished,
    SourcedEvent,
    Unbridge,
    VerdictRevised,
)
from dialer_core.media.leg import Leg, is_reachable
from dialer_core.media.listener import Heard, Listener
from dialer_core.media.prompts import Player, Prompt
from dialer_core.media.sockets import PortPool
from dialer_core.media.waiting import WaitEvent, WaitState
from dialer_core.vocabulary import LIVE_VERDICTS, DetectionMode, LegId, LegKind, Verdict

_log = structlog.get_logger(__name__)

RTP_LOST_NS: Final = 2_000_000_000
"""A far end that should send and has sent nothing for so long is reported."""
REPORT_INTERVAL_NS: Final = 5_000_000_000
"""RTCP's mean interval; each is drawn from half to one and a half of it (RFC 3550, 6.3.1)."""
FALLBACK_PLAY_ID: Final = "fallback"
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
    """

    def __init__(
        self,
        epoll: select.epoll,
        pool: PortPool,
        advertise: str,
        prompts: dict[str, Prompt],
        emit: Callable[[SourcedEvent], None],
        clock: Clock,
    ) -> None:
        self._epoll = epoll
        self._pool = pool
        self._advertise = advertise
        self._prompts = prompts
        self._emit = emit
        self._clock = clock
        self._legs: dict[LegId, Leg] = {}
        self._rtp: dict[int, Leg] = {}
        self._rtcp: dict[int, Leg] = {}
        self._waiting: dict[LegId, Leg] = {}
        self._listener = Listener()
        self._routed: dict[LegId, Listen] = {}
        """Listened legs whose live verdict starts the deadline by itself."""
        self._random = random.Random()
        self._ignored = 0
        self._handlers: dict[type, Callable[..., None]] = {
            OpenLeg: self._open,
            ConnectLeg: self._connect,
            Listen: self._listen,
            Bridge: self._bridge,
            Unbridge: self._unbridge,
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
            if digit is not None:
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

    def tick(self, due_ns: int, now_ns: int) -> None:
        """Pass over all legs. Sending follows the schedule (`due_ns`), judgements the clock (`now_ns`)."""
        for leg in self._legs.values():
            finished = leg.tick(due_ns)
            if finished is not None and finished.play_id is not None:
                self._emit(PromptFinished(at_ns=now_ns, leg_id=leg.leg_id, play_id=finished.play_id))
        if len(self._listener):
            for heard in self._listener.tick(now_ns):
                self._report(heard, now_ns)
        for leg in [leg for leg in self._waiting.values() if now_ns >= (leg.waiting.deadline_ns or 0)]:
            self._fall_back(leg, now_ns)

    def health(self, now_ns: int, tick_lag_ms: float, rss_mb: float) -> MediaHealth:
        """Return how much there is to do."""
        return MediaHealth(
            at_ns=now_ns,
            legs=len(self._legs),
            listening=len(self._listener),
            bridged_pairs=sum(leg.partner is not None for leg in self._legs.values()) // 2,
            tick_lag_ms=tick_lag_ms,
            rss_mb=rss_mb,
        )

    def close(self) -> None:
        """Close every leg, with its BYE and its `LegClosed`."""
        for leg in list(self._legs.values()):
            self._remove(leg, self._clock.mono_ns())

    # --- commands ------------------------------------------------------------------------------------------------------

    def _leg_of(self, command: ConnectLeg | Listen | Unbridge | Await | Play | CloseLeg) -> Leg | None:
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

    def _listen(self, command: Listen, now_ns: int) -> None:  # noqa: ARG002 - every handler is called alike
        leg = self._leg_of(command)
        if leg is None or command.mode is DetectionMode.OFF:
            return
        self._listener.listen(leg, command.mode, early=command.early, limit_s=command.limit_s)
        if command.mode is not DetectionMode.MONITOR and not command.early:
            self._routed[leg.leg_id] = command

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
            self._advance(leg, WaitEvent.BRIDGE)
            self._cut(leg, now_ns)
            self._cut(agent, now_ns)
            leg.join(agent)
            agent.join(leg)
            if command.connect_tone:
                tone = self._player((command.connect_tone,), None, agent)
                agent.play(tone)
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
        deadline_ns = now_ns + int(command.agent_wait_s * 1e9)
        if self._advance(leg, WaitEvent.AWAIT, deadline_ns):
            leg.waiting.fallback_prompt = command.fallback_prompt

    def _play(self, command: Play, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is None:
            return
        player = None
        if leg.partner is None and leg.waiting.state is not WaitState.FALLBACK:
            player = self._player(command.prompts, command.play_id, leg)
        if player is None:
            self._emit(PromptFinished(at_ns=now_ns, leg_id=leg.leg_id, play_id=command.play_id, cut=True))
            return
        self._cut(leg, now_ns)
        leg.play(player)

    def _close(self, command: CloseLeg, now_ns: int) -> None:
        leg = self._leg_of(command)
        if leg is not None:
            self._remove(leg, now_ns)

    def _dump(self, command: DumpState, now_ns: int) -> None:  # noqa: ARG002 - every handler is called alike
        legs = tuple(
            MediaLegSnapshot(
                leg_id=leg.leg_id,
                kind=leg.kind,
                host=self._advertise,
                port=leg.sockets.port,
                connected=leg.connected,
                bridged_to=leg.partner.leg_id if leg.partner is not None else None,
                listening=leg.leg_id in self._listener,
                fallback=leg.waiting.state is WaitState.FALLBACK,
                verdict=leg.verdict,
            )
            for leg in self._legs.values()
        )
        self._emit(MediaState(at_ns=now_ns, legs=legs))

    # --- what follows --------------------------------------------------------------------------------------------------

    def _advance(self, leg: Leg, event: WaitEvent, deadline_ns: int | None = None) -> bool:
        try:
            moved = leg.waiting.apply(event, deadline_ns)
        except ValueError as error:
            _log.error("wait_state_bug", leg_id=leg.leg_id, problem=str(error))
            moved = False
        if leg.waiting.state is WaitState.WAITING:
            self._waiting[leg.leg_id] = leg
        else:
            self._waiting.pop(leg.leg_id, None)
        return moved

    def _fall_back(self, leg: Leg, now_ns: int) -> None:
        if not self._advance(leg, WaitEvent.DEADLINE):
            return
        self._cut(leg, now_ns)
        self._emit(FallbackStarted(at_ns=now_ns, leg_id=leg.leg_id))
        prompt = leg.waiting.fallback_prompt
        leg.play(self._player((prompt,), FALLBACK_PLAY_ID, leg) if prompt else None)
        if leg.player is None:
            self._emit(PromptFinished(at_ns=now_ns, leg_id=leg.leg_id, play_id=FALLBACK_PLAY_ID))

    def _player(self, prompts: tuple[str, ...], play_id: str | None, leg: Leg) -> Player | None:
        unknown = [prompt for prompt in prompts if prompt not in self._prompts]
        if unknown:
            _log.error("prompt_unknown", leg_id=leg.leg_id, prompts=unknown, known=sorted(self._prompts))
            return None
        return Player(tuple(self._prompts[prompt] for prompt in prompts), play_id)

    def _cut(self, leg: Leg, now_ns: int) -> None:
        cut = leg.play(None)
        if cut is not None and cut.play_id is not None:
            self._emit(PromptFinished(at_ns=now_ns, leg_id=leg.leg_id, play_id=cut.play_id, cut=True))

    def _separate(self, leg: Leg, now_ns: int) -> None:
        partner = leg.partner
        if partner is None:
            return
        for one in (leg, partner):
            one.part()
            self._cut(one, now_ns)
            if one.kind is LegKind.CUSTOMER:
                self._advance(one, WaitEvent.UNBRIDGE)

    def _remove(self, leg: Leg, now_ns: int) -> None:
        self._separate(leg, now_ns)
        self._cut(leg, now_ns)
        self._listener.forget(leg)
        self._routed.pop(leg.leg_id, None)
        self._waiting.pop(leg.leg_id, None)
        leg.send_report(now_ns, self._clock.utc().timestamp(), _CNAME, bye=True)
        statistics = leg.totals()
        for one, legs in ((leg.sockets.rtp, self._rtp), (leg.sockets.rtcp, self._rtcp)):
            self._epoll.unregister(one)
            del legs[one.fileno()]
        leg.sockets.close()
        del self._legs[leg.leg_id]
        self._emit(LegClosed(at_ns=now_ns, leg_id=leg.leg_id, statistics=statistics))

    def _report(self, heard: Heard, now_ns: int) -> None:
        leg, mark = heard.leg, heard.mark
        if mark.kind is MarkKind.BEEP:
            self._emit(LegBeep(at_ns=now_ns, leg_id=leg.leg_id, end_ns=heard.beep_end_ns or now_ns))
            return
        if mark.kind is MarkKind.SETTLED or (mark.label is Label.RINGBACK and not heard.early):
            return  # a switchboard that rings on after its answer has decided nothing yet
        label = Verdict(mark.label.word)
        if mark.kind is MarkKind.VERDICT:
            leg.verdict = LegVerdict(
                at_ns=now_ns,
                leg_id=leg.leg_id,
                label=label,
                reason=mark.reason.word,
                confidence=mark.confidence,
                provisional=mark.provisional,
                early=heard.early,
                greeting_end_ns=heard.greeting_end_ns,
            )
            self._emit(leg.verdict)
        else:
            self._emit(
                VerdictRevised(
                    at_ns=now_ns,
                    leg_id=leg.leg_id,
                    label=label,
                    reason=mark.reason.word,
                    confidence=mark.confidence,
                )
            )
        routed = self._routed.get(leg.leg_id)
        if routed is not None and not heard.early and label in LIVE_VERDICTS:
            from_ns = heard.greeting_end_ns or now_ns
            if self._advance(leg, WaitEvent.LIVE, from_ns + int(routed.agent_wait_s * 1e9)):
                leg.waiting.fallback_prompt = routed.fallback_prompt

    def housekeep(self, now_ns: int) -> None:
        """Send the RTCP reports that are due and notice far ends that fell silent: some times a second."""
        for leg in self._legs.values():
            if leg.next_report_ns and now_ns >= leg.next_report_ns:
                leg.send_report(now_ns, self._clock.utc().timestamp(), _CNAME)
                leg.next_report_ns = now_ns + self._report_pause_ns()
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
