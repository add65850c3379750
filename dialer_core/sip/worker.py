"""The line worker: a process that holds a few SIP calls for an engine and outlives it.

It owns the event loop, and what is not a leg: probes, health, its own coming and going. The legs are `switchboard.py`'s. It owns no attempt,
agent or sound. Started by the fork server (`fork_server.py`), or by hand: `python -m dialer_core.sip.worker WORKER_ID SOCKET SIP_PORT`.

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
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import structlog

from dialer_core.errors import DialerError
from dialer_core.ipc.messages import (
    AllowSources,
    Answer,
    Attend,
    Drain,
    DumpState,
    Expect,
    Hangup,
    Place,
    Probe,
    ProbeResult,
    Refer,
    SendInfoDigits,
    WorkerCommand,
    WorkerHealth,
    WorkerHello,
)
from dialer_core.log_setup import configure_logging
from dialer_core.sip.endpoint import PlaceRefusedError, SipEndpoint
from dialer_core.sip.engine_link import EngineLink
from dialer_core.sip.notices import FinalSeen, ProbeAnswered
from dialer_core.sip.switchboard import Switchboard
from dialer_core.sip.worker_config import WorkerConfig
from dialer_core.vocabulary import new_id

_log = structlog.get_logger(__name__)

HEALTH_INTERVAL_S = 1.0
SHUTDOWN_LIMIT_S = 3.0
"""How long a worker told to go waits for the answers to its BYEs."""
STRAYS_S = 90.0
"""A call that a dead predecessor placed may ring so long before it is answered: above any ring limit that is usual."""
ORPHAN_LIMIT_S = 60.0
"""Without calls, without an engine, and without the process that started it: a worker leaves after this."""
_HANDLED_PER_TURN = 64
"""pjsip events between two looks at the engine's commands."""
_TCP_POLL_MS = 20
"""pjsip's TCP connections come and go inside the library; while it has some, it is looked at this often."""
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class _Probe:
    """An OPTIONS that waits for its answer, by its Call-ID."""

    probe_id: str
    due_ns: int


class LineWorker:
    """The loop. `run` returns when the worker has been drained or told to go.

    Raises
    ------
    StartError
        The SIP port or the socket is taken.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._boot = new_id()
        self._poller = select.poll()
        self._endpoint = SipEndpoint(config)
        self._link = EngineLink(Path(config.socket_path), self._poller, self._hello)
        strays_until_ns = time.monotonic_ns() + int(STRAYS_S * 1e9) if config.successor else 0
        self._switchboard = Switchboard(self._endpoint, self._link.send, strays_until_ns=strays_until_ns)
        self._probes: dict[str, _Probe] = {}
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
        signal.signal(signal.SIGUSR1, self._on_drain)
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
        for _ in range(_HANDLED_PER_TURN):
            worked = self._endpoint.handle_one()
            self._settle()
            if not worked:
                break
        for descriptor, mask in ready:
            if descriptor == self._wake_read.fileno():
                self._wake_read.recv(64)
            elif descriptor not in self._sip_descriptors:
                for command in self._link.handle(descriptor, mask):
                    self._execute(command)
                    self._settle()
        now_ns = time.monotonic_ns()
        if self._leave_at_ns:
            self._switchboard.hang_up_all()
        self._switchboard.enforce_limits(now_ns)
        self._end_late_probes(now_ns)
        if self._endpoint.sip_sockets_changed:
            self._watch_sip_sockets()
        self._leave_when_orphaned(now_ns)
        self._tell_health(now_ns)
        self._link.flush()

    def _settle(self) -> None:
        """Read what the last call into pjsua2 has brought; must come before the next one."""
        self._switchboard.settle()
        found, self._endpoint.found[:] = self._endpoint.found[:], []
        for item in found:
            if isinstance(item, FinalSeen):
                self._switchboard.final_seen(item)
            else:
                self._probe_answered(item)

    def _poll_ms(self) -> int:
        now_ns = time.monotonic_ns()
        due = [self._health_due_ns, *(probe.due_ns for probe in self._probes.values())]
        if (limit_ns := self._switchboard.next_due_ns()) is not None:
            due.append(limit_ns)
        wait_ms = max(0, -(-(min(due) - now_ns) // 1_000_000))
        if (pjsip_ms := self._endpoint.ms_to_next_timer()) is not None:
            wait_ms = min(wait_ms, pjsip_ms)
        return min(wait_ms, _TCP_POLL_MS) if self._endpoint.uses_tcp else wait_ms

    def _finished(self) -> bool:
        if not self._draining or not self._switchboard.empty:
            return False
        in_time = not self._leave_at_ns or time.monotonic_ns() < self._leave_at_ns
        return self._endpoint.slots_used == 0 or not in_time

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        """SIGTERM: end every call and go. Runs in between of anything, so it only marks."""
        self._draining = True
        if not self._leave_at_ns:
            self._leave_at_ns = time.monotonic_ns() + int(SHUTDOWN_LIMIT_S * 1e9)

    def _on_drain(self, _signal: int, _frame: object) -> None:
        """SIGUSR1: take nothing new, and go when the last call has ended. The next turn, which the signal wakes, tells the engine."""
        self._draining = True
        self._health_slots = -1

    def _leave_when_orphaned(self, now_ns: int) -> None:
        if self._link.attached or not self._switchboard.empty or os.getppid() == self._parent:
            self._alone_since_ns = now_ns
        elif now_ns - self._alone_since_ns > ORPHAN_LIMIT_S * 1e9:
            _log.warning("worker_orphaned", worker=self._config.worker_id)
            self._on_terminate(signal.SIGTERM, None)

    # --- commands

    def _execute(self, command: WorkerCommand) -> None:
        match command:
            case Place():
                unread = "the engine does not read its events" if self._link.over_mark else ""
                self._switchboard.place(command, "draining" if self._draining else unread)
            case Expect():
                self._switchboard.expect(command)
            case Answer():
                self._switchboard.answer(command)
            case Attend():
                self._switchboard.attend(command.leg_id)
            case Hangup():
                self._switchboard.hang_up(command.leg_id, command.reason, command.reject_code)
            case SendInfoDigits():
                self._switchboard.send_digits(command)
            case Refer():
                self._switchboard.refer(command)
            case Probe():
                self._probe(command)
            case AllowSources():
                try:
                    self._endpoint.allow_sources(command.addresses, keep_earlier=not command.complete)
                except ValueError as error:
                    _log.error("sip_sources_refused", worker=self._config.worker_id, error=str(error))
            case Drain():
                self._on_drain(0, None)
            case DumpState():
                self._link.send(self._switchboard.state())
            case _:
                assert_never(command)

    # --- probes

    def _probe(self, order: Probe) -> None:
        now_ns = time.monotonic_ns()
        try:
            call_id = self._endpoint.probe(order)
        except PlaceRefusedError as error:
            _log.warning("probe_refused", probe_id=order.probe_id, error=str(error))
            self._link.send(ProbeResult(at_ns=now_ns, probe_id=order.probe_id, code=0))
        else:
            due_ns = now_ns + int(order.timeout_s * 1e9)
            self._probes[call_id] = _Probe(probe_id=order.probe_id, due_ns=due_ns)

    def _probe_answered(self, found: ProbeAnswered) -> None:
        probe = self._probes.pop(found.call_id, None)
        if probe is not None:
            self._link.send(ProbeResult(at_ns=found.at_ns, probe_id=probe.probe_id, code=found.code))

    def _end_late_probes(self, now_ns: int) -> None:
        for call_id, probe in list(self._probes.items()):
            if probe.due_ns <= now_ns:
                del self._probes[call_id]
                self._link.send(ProbeResult(at_ns=now_ns, probe_id=probe.probe_id, code=0))

    # --- what it says of itself

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

    def _tell_health(self, now_ns: int) -> None:
        slots_used = self._endpoint.slots_used
        if now_ns < self._health_due_ns and slots_used == self._health_slots:
            return
        if now_ns >= self._health_due_ns:
            self._endpoint.sweep_bridge()
            self._resident_mb = self._read_resident_mb()
            self._health_due_ns = now_ns + int(HEALTH_INTERVAL_S * 1e9)
        self._health_slots = slots_used
        if self._link.attached and not self._link.over_mark:
            self._link.send(
                WorkerHealth(
                    at_ns=now_ns,
                    slots_used=slots_used,
                    capacity=self._endpoint.capacity,
                    lag_ms=self._longest_turn_ns / 1e6,
                    rss_mb=self._resident_mb,
                    bridge_ports=self._endpoint.bridge_ports,
                    draining=self._draining,
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
    """Be a worker until the end; return the exit status.

    Leave by `os._exit` with it: pjsua2 must not be torn down by the interpreter.
    """
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
    return serve(
        WorkerConfig(
            worker_id=worker_id,
            socket_path=path,
            sip_host="127.0.0.1",
            sip_port=int(port),
            media_host="127.0.0.1",
        )
    )


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
