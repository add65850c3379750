"""The line worker: a process that holds a few SIP calls for an engine and outlives it.

It owns its legs, their limits and the event loop. It owns no attempt, agent or sound. Started by the fork server (`pool.py`), or by hand:
`python -m dialer_core.sip.worker WORKER_ID SOCKET SIP_PORT`.

One thread. `poll` wakes for pjsip's own sockets, for the engine and for the next timer of either side, so neither a command nor a packet
waits for a polling interval.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import structlog

from dialer_core.errors import DialerError
from dialer_core.ipc.messages import (
    AllowSources,
    Attend,
    Drain,
    DumpState,
    Hangup,
    LegAnswered,
    LegEnded,
    LegInfoDigit,
    LegNegotiated,
    LegProvisional,
    LegSent,
    Place,
    Probe,
    ProbeResult,
    SourcedEvent,
    WorkerCommand,
    WorkerHealth,
    WorkerHello,
    WorkerState,
)
from dialer_core.log_setup import configure_logging
from dialer_core.sip.call_handle import CallHandle
from dialer_core.sip.endpoint import PlaceRefusedError, SipEndpoint
from dialer_core.sip.engine_link import EngineLink
from dialer_core.sip.leg import Leg, Phase, Signal
from dialer_core.sip.notices import (
    Answered,
    CallNotice,
    Digit,
    Disconnected,
    Fault,
    FinalSeen,
    Negotiated,
    ProbeAnswered,
    Provisional,
    Sent,
)
from dialer_core.sip.worker_config import WorkerConfig
from dialer_core.vocabulary import EndedBy, LegId, new_id

_log = structlog.get_logger(__name__)

HEALTH_INTERVAL_S = 1.0
SHUTDOWN_LIMIT_S = 3.0
"""How long a worker told to go waits for the answers to its BYEs."""
ORPHAN_LIMIT_S = 60.0
"""Without calls, without an engine, and without the process that started it: a worker leaves after this."""
_HANDLED_PER_TURN = 64
"""pjsip events between two looks at the engine's commands."""
_LONGEST_POLL_MS = 1000
_TCP_POLL_MS = 20
"""pjsip's TCP sockets come and go inside the library; while it has some, it is looked at this often."""
_RECENT_ENDS = 64
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class _Probe:
    """An OPTIONS that waits for its answer, by its Call-ID."""

    probe_id: str
    due_ns: int


class LineWorker:
    """The loop. `run` returns when the worker has been drained or told to go."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._boot = new_id()
        self._seq = 0
        self._poller = select.poll()
        self._endpoint = SipEndpoint(config)
        self._link = EngineLink(Path(config.socket_path), self._poller, self._hello)
        self._legs: dict[LegId, Leg] = {}
        self._calls: dict[LegId, CallHandle] = {}
        self._probes: dict[str, _Probe] = {}
        self._recent_ends: deque[LegEnded] = deque(maxlen=_RECENT_ENDS)
        self._sip_descriptors: set[int] = set()
        self._draining = False
        self._leave_at_ns = 0
        self._parent = os.getppid()
        self._alone_since_ns = time.monotonic_ns()
        self._health_due_ns = 0
        self._health_slots = -1
        self._longest_turn_ns = 0
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._resident_mb = self._read_resident_mb()
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._poller.register(self._wake_read.fileno(), select.POLLIN)
        self._watch_sip_sockets()

    def run(self) -> None:
        """Serve until drained or told to go by SIGTERM."""
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _log.info("worker_started", worker=self._config.worker_id, capacity=self._endpoint.capacity)
        while not self._finished():
            ready = self._poller.poll(self._poll_ms())
            began_ns = time.monotonic_ns()
            self._turn(ready)
            self._longest_turn_ns = max(self._longest_turn_ns, time.monotonic_ns() - began_ns)
        self._link.close(patience_s=0.5)
        _log.info("worker_stopped", worker=self._config.worker_id)

    # --- one turn of the loop

    def _turn(self, ready: list[tuple[int, int]]) -> None:
        self._drive_pjsip()
        for descriptor, mask in ready:
            if descriptor in self._sip_descriptors:
                continue
            if descriptor == self._wake_read.fileno():
                self._wake_read.recv(64)
                continue
            for command in self._link.handle(descriptor, mask):
                self._execute(command)
                self._settle()
        self._enforce_limits()
        self._tell_health()
        self._link.flush()

    def _drive_pjsip(self) -> None:
        for _ in range(_HANDLED_PER_TURN):
            if not self._endpoint.handle_one():
                break
            self._settle()
        self._settle()

    def _settle(self) -> None:
        """Turn the notices of the last pjsua2 call into events, and drop dead calls before pjsua2 is called again."""
        for leg_id, call in list(self._calls.items()):
            notices, call.notices = call.notices, []
            for notice in notices:
                if (leg := self._legs.get(leg_id)) is not None:
                    self._take(leg, notice)
            if call.dead:
                self._endpoint.release(call)
                del self._calls[leg_id]
        call = None  # type: ignore[assignment] # a loop variable keeps an object alive as well
        self._endpoint.drop_refused()
        while self._endpoint.found:
            found = self._endpoint.found.pop(0)
            if isinstance(found, FinalSeen):
                self._final_seen(found)
            else:
                self._probe_answered(found)
        self._endpoint.watch_finals(any(leg.phase is Phase.RELEASING for leg in self._legs.values()))

    def _poll_ms(self) -> int:
        now_ns = time.monotonic_ns()
        due_ns = self._health_due_ns
        for leg in self._legs.values():
            limit = leg.next_limit()
            due_ns = min(due_ns, limit[0]) if limit else due_ns
        due_ns = min([due_ns, *(probe.due_ns for probe in self._probes.values())])
        wait_ms = min(_LONGEST_POLL_MS, max(0, -(-(due_ns - now_ns) // 1_000_000)))
        pjsip_ms = self._endpoint.ms_to_next_timer()
        if pjsip_ms is not None:
            wait_ms = min(wait_ms, pjsip_ms)
        return min(wait_ms, _TCP_POLL_MS) if self._endpoint.uses_tcp else wait_ms

    def _finished(self) -> bool:
        if self._legs:
            return False
        if self._leave_at_ns:
            return self._endpoint.slots_used == 0 or time.monotonic_ns() >= self._leave_at_ns
        if self._draining:
            return self._endpoint.slots_used == 0
        return False

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        """SIGTERM: end every call and go. Runs between two turns or inside one, so it only marks."""
        self._draining = True
        if not self._leave_at_ns:
            self._leave_at_ns = time.monotonic_ns() + int(SHUTDOWN_LIMIT_S * 1e9)

    # --- commands

    def _execute(self, command: WorkerCommand) -> None:
        match command:
            case Place():
                self._place(command)
            case Attend():
                leg = self._legs.get(command.leg_id)
                if leg is not None:
                    leg.attended = True
            case Hangup():
                leg = self._legs.get(command.leg_id)
                if leg is not None:
                    self._give_up(leg, Signal.HANGUP, code=200, by=EndedBy.US, header=command.reason)
            case Probe():
                self._probe(command)
            case AllowSources():
                try:
                    self._endpoint.allow_sources(command.addresses)
                except ValueError as error:
                    _log.error("sip_sources_refused", worker=self._config.worker_id, error=str(error))
            case Drain():
                self._draining = True
            case DumpState():
                self._send_state()
            case _:
                assert_never(command)

    def _place(self, order: Place) -> None:
        if order.leg_id in self._legs:
            _log.error("leg_placed_twice", worker=self._config.worker_id, leg_id=order.leg_id)
            return
        refusal = ""
        if self._draining:
            refusal = "draining"
        elif self._link.over_mark:
            refusal = "the engine does not read its events"
        elif self._endpoint.slots_used >= self._endpoint.capacity:
            refusal = "no free slot"
        else:
            leg = Leg(order=order, sent_ns=time.monotonic_ns())
            try:
                self._calls[order.leg_id] = self._endpoint.place(order)
            except PlaceRefusedError as error:
                refusal = str(error)
            else:
                self._legs[order.leg_id] = leg
        if refusal:
            self._end(order.leg_id, code=0, by=EndedBy.WORKER, reason=refusal, invite_sent=False)

    def _give_up(self, leg: Leg, cause: Signal, *, code: int, by: EndedBy, header: str = "") -> None:
        """CANCEL or BYE a leg. One that was answered, or that nobody has answered anything to, is over with that."""
        if not leg.apply(cause, time.monotonic_ns()):
            return
        call = self._calls.get(leg.order.leg_id)
        self._endpoint.watch_finals(leg.phase is Phase.RELEASING)
        if call is not None:
            self._endpoint.hang_up(call, header)
        if leg.phase is Phase.ENDED:
            self._end(leg.order.leg_id, code=code, by=by, reason=cause.value)

    def _probe(self, order: Probe) -> None:
        now_ns = time.monotonic_ns()
        try:
            call_id = self._endpoint.probe(order)
        except PlaceRefusedError as error:
            _log.warning("probe_refused", probe_id=order.probe_id, error=str(error))
            self._send(ProbeResult(at_ns=now_ns, seq=self._next_seq(), probe_id=order.probe_id, code=0))
        else:
            due_ns = now_ns + int(order.timeout_s * 1e9)
            self._probes[call_id] = _Probe(probe_id=order.probe_id, due_ns=due_ns)

    # --- what pjsua2 said

    def _take(self, leg: Leg, notice: CallNotice) -> None:
        leg_id = leg.order.leg_id
        match notice:
            case Sent():
                leg.call_id = notice.call_id
                self._send(
                    LegSent(at_ns=notice.at_ns, seq=self._next_seq(), leg_id=leg_id, call_id=notice.call_id)
                )
            case Provisional():
                if (
                    leg.apply(Signal.PROGRESS if notice.code == 100 else Signal.RINGING, notice.at_ns)
                    and notice.code != 100
                ):
                    self._send(
                        LegProvisional(
                            at_ns=notice.at_ns,
                            seq=self._next_seq(),
                            leg_id=leg_id,
                            code=notice.code,
                            early_sdp=notice.early_sdp,
                        )
                    )
            case Negotiated():
                self._take_media(leg, notice)
            case Answered():
                if leg.apply(Signal.ANSWERED, notice.at_ns):
                    leg.dialog = notice.dialog
                    self._send(
                        LegAnswered(
                            at_ns=notice.at_ns, seq=self._next_seq(), leg_id=leg_id, dialog=notice.dialog
                        )
                    )
            case Digit():
                self._send(
                    LegInfoDigit(at_ns=notice.at_ns, seq=self._next_seq(), leg_id=leg_id, digit=notice.digit)
                )
            case Disconnected():
                self._take_disconnect(leg, notice)
            case Fault():
                _log.error("sip_callback_failed", leg_id=leg_id, callback=notice.where, error=notice.error)
            case _:
                assert_never(notice)

    def _take_media(self, leg: Leg, notice: Negotiated) -> None:
        if leg.phase in {Phase.RELEASING, Phase.ENDED}:
            return
        negotiated = LegNegotiated(
            at_ns=notice.at_ns,
            seq=self._next_seq(),
            leg_id=leg.order.leg_id,
            host=notice.host,
            port=notice.port,
            codec=notice.codec,
            dtmf_pt=notice.dtmf_pt,
            ptime_ms=notice.ptime_ms,
            direction=notice.direction,
            rtcp_host=notice.rtcp_host,
            rtcp_port=notice.rtcp_port,
        )
        leg.negotiated = negotiated
        self._send(negotiated)

    def _take_disconnect(self, leg: Leg, notice: Disconnected) -> None:
        unsent = not leg.call_id
        if leg.apply(Signal.DISCONNECTED, notice.at_ns):
            self._end(
                leg.order.leg_id,
                code=notice.code,
                by=EndedBy.WORKER if unsent else EndedBy.FAR if notice.by_far else EndedBy.LIMIT,
                q850=notice.q850,
                reason=notice.reason,
                retry_after_s=notice.retry_after_s,
                invite_sent=not unsent,
            )

    def _final_seen(self, found: FinalSeen) -> None:
        leg = next((leg for leg in self._legs.values() if leg.call_id == found.call_id), None)
        if leg is not None and leg.phase is Phase.RELEASING and leg.apply(Signal.FINAL_SEEN, found.at_ns):
            self._end(
                leg.order.leg_id,
                code=found.code,
                by=leg.ended_by,
                q850=found.q850,
                reason=found.reason,
                crossed=200 <= found.code < 300,
            )

    def _probe_answered(self, found: ProbeAnswered) -> None:
        probe = self._probes.pop(found.call_id, None)
        if probe is not None:
            self._send(
                ProbeResult(at_ns=found.at_ns, seq=self._next_seq(), probe_id=probe.probe_id, code=found.code)
            )

    # --- limits

    def _enforce_limits(self) -> None:
        now_ns = time.monotonic_ns()
        for leg in list(self._legs.values()):
            if self._leave_at_ns:
                self._give_up(leg, Signal.HANGUP, code=200, by=EndedBy.US)
                self._settle()
            limit = leg.next_limit()
            if limit is None or limit[0] > now_ns:
                continue
            match limit[1]:
                case Signal.RELEASE_LIMIT:
                    leg.apply(Signal.RELEASE_LIMIT, now_ns)
                    reason = "no final answer after CANCEL"
                    self._end(leg.order.leg_id, code=487, by=leg.ended_by, reason=reason)
                case Signal.PROGRESS_LIMIT:
                    self._give_up(leg, Signal.PROGRESS_LIMIT, code=408, by=EndedBy.LIMIT)
                case Signal.RING_LIMIT:
                    self._give_up(leg, Signal.RING_LIMIT, code=487, by=EndedBy.LIMIT)
                case Signal.MEDIA_LIMIT:
                    self._give_up(leg, Signal.MEDIA_LIMIT, code=488, by=EndedBy.LIMIT)
                case _:
                    self._give_up(leg, Signal.UNATTENDED_LIMIT, code=200, by=EndedBy.LIMIT)
            self._settle()
        for call_id, probe in list(self._probes.items()):
            if probe.due_ns <= now_ns:
                del self._probes[call_id]
                self._send(ProbeResult(at_ns=now_ns, seq=self._next_seq(), probe_id=probe.probe_id, code=0))
        if self._endpoint.sip_sockets_changed:
            self._watch_sip_sockets()
        self._leave_when_orphaned(now_ns)

    def _leave_when_orphaned(self, now_ns: int) -> None:
        if self._link.attached or self._legs or os.getppid() == self._parent:
            self._alone_since_ns = now_ns
        elif now_ns - self._alone_since_ns > ORPHAN_LIMIT_S * 1e9:
            _log.warning("worker_orphaned", worker=self._config.worker_id)
            self._on_terminate(signal.SIGTERM, None)

    # --- events

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
        ended = LegEnded(
            at_ns=time.monotonic_ns(),
            seq=self._next_seq(),
            leg_id=leg_id,
            code=code,
            by=by,
            q850=q850,
            reason=reason,
            retry_after_s=retry_after_s,
            invite_sent=invite_sent,
            crossed=crossed,
        )
        self._legs.pop(leg_id, None)
        self._recent_ends.append(ended)
        self._send(ended)

    def _send(self, event: SourcedEvent) -> None:
        self._link.send(event)

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _hello(self) -> WorkerHello:
        return WorkerHello(
            at_ns=time.monotonic_ns(),
            worker=self._config.worker_id,
            pid=os.getpid(),
            capacity=self._endpoint.capacity,
            sip_host=self._config.sip_host,
            sip_port=self._config.sip_port,
            boot=self._boot,
        )

    def _send_state(self) -> None:
        self._send(
            WorkerState(
                at_ns=time.monotonic_ns(),
                seq=self._next_seq(),
                legs=tuple(leg.snapshot() for leg in self._legs.values()),
                recent_ends=tuple(self._recent_ends),
            )
        )

    def _tell_health(self) -> None:
        now_ns = time.monotonic_ns()
        slots_used = self._endpoint.slots_used
        if now_ns < self._health_due_ns and slots_used == self._health_slots:
            return
        if now_ns >= self._health_due_ns:
            self._endpoint.sweep_bridge()
            self._resident_mb = self._read_resident_mb()
            self._health_due_ns = now_ns + int(HEALTH_INTERVAL_S * 1e9)
        self._health_slots = slots_used
        if self._link.attached and not self._link.over_mark:
            self._send(
                WorkerHealth(
                    at_ns=now_ns,
                    seq=self._next_seq(),
                    slots_used=slots_used,
                    capacity=self._endpoint.capacity,
                    lag_ms=self._longest_turn_ns / 1e6,
                    rss_mb=self._resident_mb,
                    bridge_ports=self._endpoint.bridge_ports,
                )
            )
            self._longest_turn_ns = 0

    def _read_resident_mb(self) -> float:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES / 1e6

    def _watch_sip_sockets(self) -> None:
        current = set(self._endpoint.sip_descriptors())
        for gone in self._sip_descriptors - current:
            self._poller.unregister(gone)
        for descriptor in current:
            self._poller.register(descriptor, select.POLLIN)
        self._sip_descriptors = current


def serve(config: WorkerConfig) -> int:
    """Be a worker until the end; return the exit status. Leave by `os._exit` with it: pjsua2 must not be torn down by the interpreter."""
    try:
        LineWorker(config).run()
    except DialerError as error:
        _log.error("worker_cannot_start", worker=config.worker_id, error=str(error))
        return 1
    return 0


def main(arguments: list[str]) -> int:
    """Start one worker by hand."""
    if len(arguments) != 3 or not arguments[2].isdigit():
        sys.stderr.write(
            "usage: python -m dialer_core.sip.worker WORKER_ID SOCKET SIP_PORT   (on 127.0.0.1)\n"
        )
        return 2
    configure_logging(level="info", log_format="console", process="worker")
    worker_id, path, port = arguments
    config = WorkerConfig(
        worker_id=worker_id,
        socket_path=path,
        sip_host="127.0.0.1",
        sip_port=int(port),
        media_host="127.0.0.1",
    )
    return serve(config)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
