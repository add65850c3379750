"""What the tests of the media plane talk with: its process, an engine's end of the socket, and far ends that are plain UDP sockets.

The far ends read and write RTP by themselves: nothing of `dialer_core.media` is imported here, so that both ends are never the
same code.
"""

from __future__ import annotations

import itertools
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from dialer_core.ipc.channel import FrameBuffer, encode_frame
from dialer_core.ipc.messages import (
    Bridge,
    CloseLeg,
    ConnectLeg,
    DumpState,
    LegClosed,
    LegOpened,
    LegsBridged,
    MediaEvent,
    MediaHello,
    MediaLegSnapshot,
    MediaState,
    Message,
    OpenLeg,
    SourcedEvent,
)
from dialer_core.vocabulary import LegId, LegKind, new_id
from tests.polling import wait_until

ROOT = Path(__file__).resolve().parents[2]
FIRST_PORT = 23000 + os.getpid() % 4 * 250
PLANE_PORTS = f"{FIRST_PORT}-{FIRST_PORT + 149}"
_far_ports = itertools.cycle(range(FIRST_PORT + 150, FIRST_PORT + 250, 2))
HEADER = struct.Struct("!BBHII")
PCMU, PCMA = 0, 8
CODECS = {PCMU: "PCMU", PCMA: "PCMA"}
SILENCE = {PCMU: b"\xff" * 160, PCMA: b"\xd5" * 160}
E = TypeVar("E", bound=SourcedEvent)


class Received(NamedTuple):
    """One RTP packet as a far end got it."""

    at_ns: int
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @property
    def data(self) -> bytes:
        """The datagram."""
        second = self.payload_type | (0x80 if self.marker else 0)
        return HEADER.pack(0x80, second, self.sequence, self.timestamp, self.ssrc) + self.payload


def tagged(number: int, whose: int = 0) -> bytes:
    """Return a frame that no other frame is like, never silence: 160 octets."""
    return bytes((whose & 0x7F, number >> 14 & 0x7F, number >> 7 & 0x7F, number & 0x7F)) * 40


class FarEnd:
    """A phone at the far end: keeps all it receives, and sends what it is told to, at a pace of its own.

    Sequence and timestamp are given by `frame`: the stream's are `sequence0 + frame` and `timestamp0 + frame * samples`.
    """

    def __init__(self, codec: int = PCMU, *, whose: int = 1) -> None:
        self.codec = codec
        self.whose = whose
        self.ssrc = 0x11110000 + whose
        self.sequence0, self.timestamp0 = 65_500, 0xFFFF_F000
        self.rtp, self.rtcp = _pair()
        self.packets: list[Received] = []
        self.reports: list[tuple[int, bytes]] = []
        """RTCP datagrams and when they came."""
        self.frames_sent = 0
        self.begun_ns = 0
        """When `speak` was last called."""
        self._target: tuple[str, int] | None = None
        self._speech: Callable[[int], bytes | None] | None = None
        self._samples = 160
        self._next_ns = 0
        self._lock = threading.Lock()
        self._wake_r, self._wake_w = os.pipe()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The RTP port."""
        return int(self.rtp.getsockname()[1])

    def aim(self, port: int) -> None:
        """Send to this port of the media plane."""
        self._target = ("127.0.0.1", port)

    def send(
        self,
        frame: int,
        payload: bytes | None = None,
        *,
        payload_type: int | None = None,
        marker: bool = False,
    ) -> None:
        """Send one packet at once."""
        assert self._target is not None
        second = (self.codec if payload_type is None else payload_type) | (0x80 if marker else 0)
        data = HEADER.pack(
            0x80,
            second,
            (self.sequence0 + frame) & 0xFFFF,
            (self.timestamp0 + frame * self._samples) & 0xFFFF_FFFF,
            self.ssrc,
        )
        self.rtp.sendto(data + (tagged(frame, self.whose) if payload is None else payload), self._target)

    def send_raw(self, data: bytes) -> None:
        """Send any bytes from the RTP socket."""
        assert self._target is not None
        self.rtp.sendto(data, self._target)

    def send_event(
        self, frame: int, code: int, timestamp: int, duration: int, *, end: bool, pt: int, marker: bool
    ) -> None:
        """Send one RFC 4733 packet under the sequence number of `frame`."""
        assert self._target is not None
        second = pt | (0x80 if marker else 0)
        head = HEADER.pack(
            0x80, second, (self.sequence0 + frame) & 0xFFFF, timestamp & 0xFFFF_FFFF, self.ssrc
        )
        self.rtp.sendto(head + struct.pack("!BBH", code, 0x8A if end else 0x0A, duration), self._target)

    def speak(self, speech: Callable[[int], bytes | None] | None = None, *, samples: int = 160) -> None:
        """Send a packet of `samples` every `samples / 8` ms from now on: `speech(n)`, tagged frames by default; None sends nothing."""
        with self._lock:
            self._samples = samples
            self._speech = speech or (lambda n: (tagged(n, self.whose) * 2)[:samples])
            self._next_ns = self.begun_ns = time.monotonic_ns()
        os.write(self._wake_w, b"x")

    def perform(self, steps: Sequence[Callable[[], None]]) -> None:
        """Do one step every 20 ms; return when the last is done."""
        begin = self.frames_sent

        def step(n: int) -> None:
            if n - begin < len(steps):
                steps[n - begin]()

        self.speak(step)
        wait_until(
            lambda: self.frames_sent > begin + len(steps), 10, f"{len(steps)} steps at port {self.port}"
        )
        self.hush()

    def hush(self) -> int:
        """Send nothing more; return how many frames were sent in all."""
        with self._lock:
            self._speech = None
        return self.frames_sent

    def since(self, at_ns: int) -> list[Received]:
        """Return what came after a moment."""
        return [packet for packet in self.packets if packet.at_ns > at_ns]

    def wait_for(self, count: int, timeout_s: float = 5.0) -> None:
        """Wait until this many more packets have come."""
        goal = len(self.packets) + count
        wait_until(lambda: len(self.packets) >= goal, timeout_s, f"{count} more packets at port {self.port}")

    def close(self) -> None:
        """End the thread and free the ports."""
        self._ended = True
        os.write(self._wake_w, b"x")
        self._thread.join(2)
        self.rtp.close()
        self.rtcp.close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _run(self) -> None:
        while not self._ended:
            with self._lock:
                pause_s = max(0.0, (self._next_ns - time.monotonic_ns()) / 1e9) if self._speech else 1.0
            sources: list[socket.socket | int] = [self.rtp, self.rtcp, self._wake_r]
            ready, _, _ = select.select(sources, [], [], pause_s)
            if self._wake_r in ready:
                os.read(self._wake_r, 64)
            if self.rtp in ready:
                data = self.rtp.recv(2048)
                first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
                assert first == 0x80
                self.packets.append(
                    Received(
                        time.monotonic_ns(), second & 0x7F, second > 127, sequence, timestamp, ssrc, data[12:]
                    )
                )
            if self.rtcp in ready:
                self.reports.append((time.monotonic_ns(), self.rtcp.recv(2048)))
            with self._lock:
                if self._speech and time.monotonic_ns() >= self._next_ns:
                    payload = self._speech(self.frames_sent)
                    if payload is not None:
                        self.send(self.frames_sent, payload)
                    self.frames_sent += 1
                    self._next_ns += self._samples * 125_000


def _pair() -> tuple[socket.socket, socket.socket]:
    for port in itertools.islice(_far_ports, 50):
        rtp, rtcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        with suppress(OSError):
            rtp.bind(("127.0.0.1", port))
            rtcp.bind(("127.0.0.1", port + 1))
            return rtp, rtcp
        rtp.close()
        rtcp.close()
    raise RuntimeError("no free port pair for a far end")


class Engine:
    """An engine's connection to the media plane; keeps every event in `events`."""

    def __init__(self, path: Path) -> None:
        self.events: list[Any] = []
        self._buffer: FrameBuffer[Any] = FrameBuffer(MediaEvent)
        connection = wait_until(lambda: _attach(path), 20, "the media plane's socket")
        assert connection is not None
        self._socket = connection
        try:
            self.hello = self.wait(MediaHello)
        except BaseException:
            self._socket.close()
            raise

    def send(self, *commands: Message) -> None:
        """Send commands."""
        for command in commands:
            self._socket.setblocking(True)
            self._socket.sendall(encode_frame(command))
            self._socket.setblocking(False)

    def pump(self) -> bool:
        """Take what has come; return False once the other side has closed."""
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not data:
                return False
            self.events.extend(self._buffer.feed(data))

    def all(self, kind: type[E]) -> list[E]:
        """Return all events of a kind so far."""
        self.pump()
        return [event for event in self.events if isinstance(event, kind)]

    def wait(self, kind: type[E], timeout_s: float = 5.0, **fields: Any) -> E:
        """Return the first event of a kind with these fields."""

        def found() -> E | None:
            return next(
                (e for e in self.all(kind) if all(getattr(e, k) == v for k, v in fields.items())), None
            )

        event = wait_until(found, timeout_s, f"{kind.__name__} {fields}")
        assert event is not None
        return event

    def dump(self) -> dict[LegId, MediaLegSnapshot]:
        """Ask for the state; return it by leg."""
        before = len(self.all(MediaState))
        self.send(DumpState())
        wait_until(lambda: len(self.all(MediaState)) > before, 5, "a MediaState")
        return {leg.leg_id: leg for leg in self.all(MediaState)[-1].legs}

    def close(self) -> None:
        """Go away as an engine that died."""
        self._socket.close()


def _attach(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:  # not there yet, or bound and not listening yet
        connection.close()
        return None
    connection.setblocking(False)
    return connection


class Leg(NamedTuple):
    """An open leg and its far end."""

    leg_id: LegId
    port: int
    far: FarEnd


class PlaneProcess:
    """A media plane process. Use as a context manager; its end must be a clean one."""

    def __init__(self, *arguments: str, ports: str = PLANE_PORTS) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mp"))
        self.socket_path = self._folder / "m"
        self._log = self._folder / "log"
        command = [sys.executable, "-m", "dialer_core.media.plane", "--socket", str(self.socket_path)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--ports", ports, *arguments], cwd=ROOT, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            log = self._log.read_text()
            shutil.rmtree(self._folder)
        assert "Traceback" not in log, log
        assert self.process.returncode == 0, log


class Plane:
    """A media plane with an engine attached, and the legs of one test. Use as a context manager: it closes them."""

    def __init__(self, process: PlaneProcess) -> None:
        self.process = process.process
        self.socket_path = process.socket_path
        self.engine = Engine(self.socket_path)
        self._far_ends: list[FarEnd] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                left = set(self.engine.dump())
                self.engine.send(*(CloseLeg(leg_id=leg_id) for leg_id in left))
                wait_until(
                    lambda: not left - {e.leg_id for e in self.engine.all(LegClosed)}, 5, "the legs' ends"
                )
        finally:
            self.engine.close()
            for far in self._far_ends:
                far.close()

    def far_end(self, codec: int = PCMU, *, whose: int = 1) -> FarEnd:
        """Return a far end that is closed with the plane."""
        far = FarEnd(codec, whose=whose)
        self._far_ends.append(far)
        return far

    def leg(self, kind: LegKind, *, codec: int = PCMU, whose: int = 1, **connect: Any) -> Leg:
        """Open a leg and connect it to a new far end."""
        leg_id = LegId(new_id())
        self.engine.send(OpenLeg(leg_id=leg_id, kind=kind))
        opened = self.engine.wait(LegOpened, leg_id=leg_id)
        assert opened.port, opened.error
        far = self.far_end(codec, whose=whose)
        far.aim(opened.port)
        leg = Leg(leg_id, opened.port, far)
        self.connect(leg, **connect)
        return leg

    def connect(self, leg: Leg, **changes: Any) -> None:
        """Connect a leg to its far end, with other fields than the usual ones."""
        fields: dict[str, Any] = {"host": "127.0.0.1", "port": leg.far.port, "codec": CODECS[leg.far.codec]}
        self.engine.send(ConnectLeg(leg_id=leg.leg_id, **{**fields, **changes}))

    def pair(self, *, codecs: tuple[int, int] = (PCMU, PCMU), **connect: Any) -> tuple[Leg, Leg]:
        """Open a customer's and an agent's leg."""
        return (
            self.leg(LegKind.CUSTOMER, codec=codecs[0], whose=1, **connect),
            self.leg(LegKind.AGENT, codec=codecs[1], whose=2, **connect),
        )

    def bridge(self, customer: Leg, agent: Leg, *, connect_tone: str = "") -> LegsBridged:
        """Bridge two legs and wait for it."""
        before = len(self.engine.all(LegsBridged))
        self.engine.send(Bridge(leg_id=customer.leg_id, agent_leg_id=agent.leg_id, connect_tone=connect_tone))
        wait_until(lambda: len(self.engine.all(LegsBridged)) > before, 5, "LegsBridged")
        return self.engine.all(LegsBridged)[-1]

    def close(self, leg: Leg) -> LegClosed:
        """Close a leg; return its end."""
        self.engine.send(CloseLeg(leg_id=leg.leg_id))
        return self.engine.wait(LegClosed, leg_id=leg.leg_id)


def assert_one_stream(packets: list[Received]) -> None:
    """One SSRC, sequence + 1, timestamps by the payload's length, a marker wherever a timestamp jumps."""
    assert len({packet.ssrc for packet in packets}) == 1
    for before, after in itertools.pairwise(packets):
        where = f"after sequence {before.sequence}"
        assert (after.sequence - before.sequence) & 0xFFFF == 1, f"sequence {where}: {after.sequence}"
        step = (after.timestamp - before.timestamp) & 0xFFFF_FFFF
        if not after.marker:
            assert step == len(before.payload), f"timestamp step {step} {where}"
        assert len(before.payload) <= step < 8000, f"timestamp step {step} {where}"
