"""What a relayed packet costs the media plane, and what it adds in time: real processes, real UDP on loopback.

    python -m benchmarks.media_relay [--pairs 200] [--seconds 10] [--idle | --listen] [--srtp]

The far ends are one process of plain sockets, apart from the plane; each leg sends a packet every 20 ms, the phases spread evenly.
CPU is the plane's own, user and system, from /proc. The delay is from just before the far end's send to just after its receive, so it
holds both ends' scheduling too; a second line gives the same through one bare loopback socket, the least that can be measured here.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from importlib import resources
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess as Process
from pathlib import Path
from typing import TypeVar

import soundfile
from pylibsrtp import Error, Policy, Session

from amd.g711 import encode_pcmu
from dialer_core.ipc.channel import FrameBuffer, encode_frame
from dialer_core.ipc.messages import (
    Bridge,
    ConnectLeg,
    LegOpened,
    LegsBridged,
    Listen,
    MediaEvent,
    MediaHealth,
    Message,
    OpenLeg,
    SourcedEvent,
    SrtpKeys,
)
from dialer_core.vocabulary import DetectionMode, LegId, LegKind

HEADER = struct.Struct("!BBHIIq")
FRAME_NS = 20_000_000
KEY = bytes(range(30))
"""Of every direction: what tells streams apart under one key is their SSRC."""
KEYS = SrtpKeys(suite="AES_CM_128_HMAC_SHA1_80", send=KEY, receive=KEY)
E = TypeVar("E", bound=SourcedEvent)


def far_ends(ports: list[int], pipe: Connection, srtp: bool) -> None:  # noqa: FBT001
    """Bind a socket per leg, tell their ports, then talk to `ports` until told to stop; report delays in microseconds."""
    voice = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
    ear = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND))
    sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in ports]
    poll = select.epoll()
    for one in sockets:
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        poll.register(one, select.EPOLLIN)
    by_fd = {one.fileno(): one for one in sockets}
    pipe.send([one.getsockname()[1] for one in sockets])
    pipe.recv()
    begin_ns, sent, delays, received = time.monotonic_ns() + FRAME_NS, 0, [], 0
    count = len(ports)
    targets = [("127.0.0.1", port) for port in ports]
    clip = resources.files("dialer_core.sim") / "clips" / "voicemail_allison_es.flac"
    with resources.as_file(clip) as path:
        speech = encode_pcmu(soundfile.read(path, dtype="int16")[0]).tobytes()
    frames = [speech[at : at + 152] for at in range(0, len(speech) - 160, 160)]
    while not pipe.poll():
        due = (time.monotonic_ns() - begin_ns) * count // FRAME_NS
        while sent < due:
            i, n = sent % count, sent // count
            data = (
                HEADER.pack(0x80, 0, n & 0xFFFF, n * 160, i, time.monotonic_ns())
                + frames[(n + 7 * i) % len(frames)]
            )
            sockets[i].sendto(voice.protect(data) if srtp else data, targets[i])
            sent += 1
        for fd, _ in poll.poll(0.001):
            data = by_fd[fd].recv(2048)
            if srtp:
                try:
                    data = ear.unprotect(data)
                except Error:
                    continue  # an RTCP report to a neighbour
            stamp = HEADER.unpack_from(data)[5]
            received += 1
            if stamp != -1 and data[1] & 0x7F == 0:  # neither silence nor an RTCP report to a neighbour
                delays.append((time.monotonic_ns() - stamp) / 1000)
    pipe.send((sent, received, delays))


def bare_loopback_us(count: int = 2000) -> list[float]:
    """Delay through one socket pair without a relay."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        delays = []
        for _ in range(count):
            stamp = time.monotonic_ns()
            one.sendto(bytes(172), other.getsockname())
            other.recv(2048)
            delays.append((time.monotonic_ns() - stamp) / 1000)
        return delays


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def describe(name: str, delays: list[float]) -> None:
    """Print the spread of some delays."""
    cuts = statistics.quantiles(delays, n=1000)
    print(
        f"{name}: median {cuts[499]:.0f} us, p95 {cuts[949]:.0f}, p99 {cuts[989]:.0f}, p99.9 {cuts[998]:.0f}, max {max(delays):.0f}"
    )


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--idle", action="store_true", help="legs without a bridge: what pacing silence costs"
    )
    parser.add_argument(
        "--listen",
        action="store_true",
        help="legs without a bridge, each heard by the detector, speech all the time",
    )
    parser.add_argument("--srtp", action="store_true", help="every leg encrypted, in both directions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mr") as folder:
        path = Path(folder) / "m"
        command = [
            sys.executable,
            "-m",
            "dialer_core.media.plane",
            "--socket",
            str(path),
            "--ports",
            "23000-24999",
        ]
        plane = subprocess.Popen([*command, "--log-level", "warning"])
        try:
            run(plane.pid, path, options)
        finally:
            plane.terminate()
            plane.wait(10)


class Engine:
    """The engine's end of the socket, as much of it as is needed here."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 10
        while self._socket.connect_ex(str(path)):
            if time.monotonic() > deadline:
                raise SystemExit("the media plane did not start")
            time.sleep(0.05)
        self._buffer: FrameBuffer[MediaEvent] = FrameBuffer(MediaEvent)
        self.events: list[SourcedEvent] = []

    def send(self, command: Message) -> None:
        """Send a command."""
        self._socket.sendall(encode_frame(command))

    def wait(self, kind: type[E], count: int) -> list[E]:
        """Return all events of a kind, once there are `count`."""
        while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
            self.events.extend(self._buffer.feed(self._socket.recv(65536)))
        return found

    def health(self) -> list[MediaHealth]:
        """Return the health reports that have come."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.events.extend(self._buffer.feed(self._socket.recv(65536)))
        return [event for event in self.events if isinstance(event, MediaHealth)]


def set_up(engine: Engine, options: argparse.Namespace) -> tuple[int, Process, Connection]:
    """Open, connect and bridge (or listen to) the legs; return their number, the far ends' process and the pipe to it."""
    legs = [LegId(f"leg{n}") for n in range(2 * options.pairs)]
    for n, leg in enumerate(legs):
        engine.send(OpenLeg(leg_id=leg, kind=(LegKind.CUSTOMER, LegKind.AGENT)[n % 2]))
    ports = {event.leg_id: event.port for event in engine.wait(LegOpened, len(legs))}
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    talkers = context.Process(target=far_ends, args=([ports[leg] for leg in legs], theirs, options.srtp))
    talkers.start()
    for leg, port in zip(legs, ours.recv(), strict=True):
        engine.send(
            ConnectLeg(
                leg_id=leg,
                host="127.0.0.1",
                port=port,
                codec="PCMU",
                srtp=KEYS if options.srtp else None,
            )
        )
    if options.listen:
        for leg in legs:
            engine.send(Listen(leg_id=leg, mode=DetectionMode.MONITOR, limit_s=60))
    elif not options.idle:
        for customer, agent in zip(legs[::2], legs[1::2], strict=True):
            engine.send(Bridge(leg_id=customer, agent_leg_id=agent, connect_tone=""))
        engine.wait(LegsBridged, options.pairs)
    return len(legs), talkers, ours


def run(pid: int, path: Path, options: argparse.Namespace) -> None:
    """Let the legs talk; print what it cost."""
    engine = Engine(path)
    legs, talkers, pipe = set_up(engine, options)
    if not options.idle:
        pipe.send("talk")
    time.sleep(1)
    engine.health()
    engine.events.clear()
    before, begin = cpu_s(pid), time.monotonic()
    time.sleep(options.seconds)
    share = (cpu_s(pid) - before) / (time.monotonic() - begin)
    health = engine.health()
    if options.idle:
        pipe.send("talk")
    pipe.send("stop")
    sent, received, delays = pipe.recv()
    talkers.join()
    packets_s = legs * 50
    what = f"{options.pairs} bridged pairs"
    if options.idle:
        what = "silence to all"
    elif options.listen:
        what = f"{max(report.listening for report in health)} listened to"
    lag_ms = max(report.tick_lag_ms for report in health)
    if options.srtp:
        what += " by SRTP"
    print(f"{legs} legs, {what}, {packets_s} packets/s; load average {os.getloadavg()[0]:.1f}")
    print(
        f"CPU {share:.3f} of a core: {share / packets_s * 1e6:.1f} us a packet; worst tick lag {lag_ms:.1f} ms"
    )
    if delays:
        print(f"sent {sent}, received {received}, relayed of them {len(delays)}")
        describe("delay through the relay", delays)
        describe("bare loopback", bare_loopback_us())


if __name__ == "__main__":
    main()
