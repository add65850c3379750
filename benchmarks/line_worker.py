"""What a line worker costs and how fast it is: CPU idle, with calls up and per attempt; command to wire, wire to event.

A real worker, SIPp at the far end of the calls, a raw socket where a packet is timed. Beside the resting costs stands the alternative,
measured in the same run: pjsua2 as its examples drive it, `libHandleEvents` polled every 10 ms with the null sound device.

    python -m benchmarks.line_worker [--seconds 10] [--attempts 150]

It takes a minute, wants a machine with nothing else to do, and needs `sipp`.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dialer_core.ipc.messages import LegAnswered, LegEnded, LegProvisional, WorkerHealth
from dialer_core.vocabulary import LegId
from tests.sip.harness import Engine, Worker, free_port, sipp

ATTEMPTS_PER_S = 15.0
TIMED_PACKETS = 200
SETTLE_S = 14.0
"""Longer than pjsip keeps the transactions of the calls before."""

POLLED = """
import os, sys
from dialer_core.sip.pjsua import PjLibrary, pj
PjLibrary().set_log_level(0)
endpoint = pj.Endpoint()
endpoint.libCreate()
settings = pj.EpConfig()
settings.uaConfig.threadCnt = 0
endpoint.libInit(settings)
transport = pj.TransportConfig()
transport.port = int(sys.argv[1])
endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
endpoint.libStart()
endpoint.audDevManager().setNullDev()
print("ready", flush=True)
while True:
    endpoint.libHandleEvents(10)
"""


def cpu_ns(pid: int) -> int:
    """Return the CPU time all threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def percent_of_core(pid: int, seconds: float) -> float:
    """Return what a process uses of one core over the next seconds."""
    before = cpu_ns(pid)
    time.sleep(seconds)
    return (cpu_ns(pid) - before) / seconds / 1e7


def quantiles(name: str, values_ms: list[float]) -> str:
    """Return one line of the report."""
    ordered = sorted(values_ms)
    p50, p95, p99 = (ordered[int(len(ordered) * part)] for part in (0.5, 0.95, 0.99))
    return f"{name:42} p50 {p50:6.2f}   p95 {p95:6.2f}   p99 {p99:6.2f}   max {ordered[-1]:6.2f} ms"


def time_packets(engine: Engine) -> tuple[list[float], list[float]]:
    """Return the milliseconds from Place to the INVITE's arrival, and from a 486's departure to LegEnded."""
    to_wire, to_event = [], []
    with socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", free_port()))
        far.settimeout(5.0)
        for number in range(TIMED_PACKETS):
            time.sleep(0.007 * (number % 7))  # so that the worker is asleep, or not, as it happens
            began = time.perf_counter()
            leg = engine.place(far.getsockname()[1])
            invite, source = far.recvfrom(65_536)
            to_wire.append((time.perf_counter() - began) * 1e3)
            kept = re.findall(rb"^(?:Via|From|Call-ID|CSeq):.*?\r\n", invite, re.MULTILINE)
            (to,) = re.findall(rb"^To:.*?(?=\r\n)", invite, re.MULTILINE)
            busy = [b"SIP/2.0 486 Busy\r\n", *kept, to, b";tag=1\r\nContent-Length: 0\r\n\r\n"]
            began = time.perf_counter()
            far.sendto(b"".join(busy), source)
            engine.expect(LegEnded, leg)
            to_event.append((time.perf_counter() - began) * 1e3)
            far.recvfrom(65_536)  # the ACK
    return to_wire, to_event


def cpu_per_attempt_ms(worker: Worker, scenario: str, attempts: int, hang_up_at: type | None) -> float:
    """Return the worker's CPU time per attempt at a steady 15 attempts per second."""
    engine = worker.engine
    engine.events.clear()
    legs: list[LegId] = []
    hung_up: set[LegId] = set()
    with sipp(
        scenario, Path(tempfile.mkdtemp()), calls=attempts, code="486", phrase="Busy", cause="17"
    ) as far:
        before, began = cpu_ns(worker.pid), time.perf_counter()
        while len(engine.of(LegEnded)) < attempts:
            if len(legs) < attempts and time.perf_counter() - began > len(legs) / ATTEMPTS_PER_S:
                legs.append(engine.place(far.port))
            engine.pump(0.01)
            for leg in set(legs[-8:]) - hung_up:
                if hang_up_at is not None and engine.of(hang_up_at, leg):
                    engine.hang_up(leg)
                    hung_up.add(leg)
        used = cpu_ns(worker.pid) - before
        far.finish()
    return used / attempts / 1e6


def polled_percent(seconds: float) -> float:
    """Return what a polled pjsua2 without a call uses of one core."""
    command = [sys.executable, "-c", POLLED, str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as polled:
        assert polled.stdout is not None  # noqa: S101 - asked for
        polled.stdout.readline()
        percent = percent_of_core(polled.pid, seconds)
        polled.kill()
    return percent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--attempts", type=int, default=150)
    options = parser.parse_args()
    say: Callable[[str], None] = lambda line: print(line, flush=True)  # noqa: E731
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with Worker() as worker:
        engine = worker.engine
        to_wire, to_event = time_packets(engine)
        say(quantiles("Place to INVITE on the wire", to_wire))
        say(quantiles("486 on the wire to LegEnded", to_event))
        time.sleep(SETTLE_S)
        say(f"{'idle':42} {percent_of_core(worker.pid, options.seconds):.3f} % of a core")
        with sipp("answer", Path(tempfile.mkdtemp()), calls=4) as far:
            legs = [engine.place(far.port, unattended_limit_s=1000.0) for _ in range(4)]
            for leg in legs:
                engine.expect(LegAnswered, leg)
            say(f"{'four calls up':42} {percent_of_core(worker.pid, options.seconds):.3f} % of a core")
            for leg in legs:
                engine.hang_up(leg)
                engine.end_of(leg)
            far.finish()
        say(f"{'alternative: polled every 10 ms, idle':42} {polled_percent(options.seconds):.3f} % of a core")
        for name, scenario, hang_up_at in (
            ("answered, our BYE", "answer", LegAnswered),
            ("183 with SDP, 486", "refuse", None),
            ("ringing, CANCEL, 487", "ring", LegProvisional),
        ):
            used_ms = cpu_per_attempt_ms(worker, scenario, options.attempts, hang_up_at)
            say(f"{name:42} {used_ms:.2f} ms of CPU an attempt")
        health = engine.of(WorkerHealth)[-1]
        say(f"afterwards: {health.rss_mb:.1f} MB resident, {health.bridge_ports} bridge ports")


if __name__ == "__main__":
    main()
