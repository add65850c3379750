"""What the tests of the line worker talk with: an engine's end of the socket, a worker process, SIPp at the far end.

No carrier of ours is here: whatever answers SIP is SIPp, or bytes a test wrote itself.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dialer_core.ipc.channel import FrameBuffer, encode_frame
from dialer_core.ipc.messages import (
    DumpState,
    Hangup,
    LegEnded,
    Message,
    Place,
    SipIdentity,
    SourcedEvent,
    WorkerEvent,
    WorkerHealth,
    WorkerHello,
    WorkerState,
)
from dialer_core.vocabulary import LegId, LegKind, new_id
from tests.polling import WaitedTooLongError, wait_until

SCENARIOS = Path(__file__).parent / "scenarios"
ROOT = Path(__file__).resolve().parents[2]
_ports = itertools.cycle(range(22000 + os.getpid() % 40 * 20, 22990, 2))
E = TypeVar("E", bound=SourcedEvent)
IDENTITY = SipIdentity(from_uri="sip:+525500000000@127.0.0.1", display_name="Demo")


def free_port() -> int:
    """Return a port of the tests' range that nobody is bound to, by UDP or TCP."""
    for port in itertools.islice(_ports, 500):
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port in 22000-22999")


class Engine:
    """An engine's connection to a worker; keeps every event in `events`."""

    def __init__(self, path: Path) -> None:
        self.events: list[SourcedEvent] = []
        self.closed = False
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._frames: FrameBuffer[Any] = FrameBuffer(WorkerEvent)

    def send(self, *commands: Message) -> None:
        """Send commands, blocking."""
        self._socket.sendall(b"".join(encode_frame(command) for command in commands))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are perhaps no command."""
        self._socket.sendall(data)

    @property
    def unread_bytes(self) -> int:
        """Bytes sent that the worker has not read yet."""
        return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def pump(self, wait_s: float = 0.0) -> None:
        """Read what has come; wait for something at most `wait_s`."""
        while not self.closed and select.select([self._socket], [], [], wait_s)[0]:
            wait_s = 0.0
            try:
                data = self._socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            self.closed = not data
            self.events.extend(self._frames.feed(data))

    def of(self, kind: type[E], leg_id: str = "") -> list[E]:
        """Return the events of a kind so far, of one leg or of all."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and (not leg_id or getattr(event, "leg_id", "") == leg_id)
        ]

    def expect(self, kind: type[E], leg_id: str = "", timeout_s: float = 5.0, count: int = 1) -> E:
        """Wait for the `count`-th event of a kind and return it."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.of(kind, leg_id)) < count:
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                story = [type(event).__name__ for event in self.events if not isinstance(event, WorkerHealth)]
                raise WaitedTooLongError(
                    f"no {kind.__name__} number {count} in {timeout_s:g} s; came: {story}"
                )
            self.pump(left)
        return found[count - 1]

    def place(self, port: int, **fields: Any) -> LegId:
        """Place a call to 127.0.0.1:`port` and return its leg."""
        leg_id = LegId(new_id())
        order: dict[str, Any] = {
            "to_uri": f"sip:service@127.0.0.1:{port}",
            "identity": IDENTITY,
            "media_host": "127.0.0.1",
            "media_port": 22998,
            **fields,
        }
        self.send(Place(leg_id=leg_id, kind=LegKind.CUSTOMER, **order))
        return leg_id

    def hang_up(self, leg_id: LegId) -> None:
        """Hang up a leg."""
        self.send(Hangup(leg_id=leg_id))

    def state(self) -> WorkerState:
        """Ask for everything the worker holds."""
        count = len(self.of(WorkerState)) + 1
        self.send(DumpState())
        return self.expect(WorkerState, count=count)

    def end_of(self, leg_id: LegId, timeout_s: float = 5.0) -> LegEnded:
        """Wait for the leg's end, and see by an answered DumpState after it that there is no second one."""
        ended = self.expect(LegEnded, leg_id, timeout_s)
        self.state()
        assert self.of(LegEnded, leg_id) == [ended]
        return ended

    def wait_slots(self, used: int, timeout_s: float = 5.0) -> None:
        """Wait until the worker says that so many slots are in use."""

        def told() -> bool:
            self.pump()
            health = self.of(WorkerHealth)
            return bool(health) and health[-1].slots_used == used

        wait_until(told, timeout_s, f"{used} slots in use")

    def close(self) -> None:
        """Go away, as a dying engine does."""
        self._socket.close()


def attached(path: Path) -> Engine | None:
    """Return an engine attached to the worker at `path`, or None while nobody listens."""
    try:
        return Engine(path)
    except OSError:
        return None


def options(port: int, *, source: str = "127.0.0.1", own_port: int = 5060, call_id: str = "options") -> bytes:
    """Return an OPTIONS request to a worker, as some stranger would send it."""
    return (
        f"OPTIONS sip:dialer@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {source}:{own_port};branch=z9hG4bK{call_id}\r\n"
        f"From: <sip:a@{source}>;tag=1\r\nTo: <sip:dialer@127.0.0.1>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n"
        f"Contact: <sip:a@{source}:{own_port}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Worker:
    """A worker process of its own, as started by hand; killed at the end of the `with` block."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mw-"))
        self.socket_path = self.folder / "w.sock"
        self.sip_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.engine: Engine
        self.last_log = ""
        self._engines: list[Engine] = []

    def start(self) -> None:
        """Start it and attach as its engine."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dialer_core.sip.worker",
                    "customers-0",
                    str(self.socket_path),
                    str(self.sip_port),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self.attach()

    def attach(self) -> Engine:
        """Attach a (further) engine, once the worker listens."""

        def connected() -> Engine | None:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended: {self.log()}")
            return attached(self.socket_path)

        self.engine = wait_until(connected, 10.0, "the worker's socket")
        self._engines.append(self.engine)
        self.engine.expect(WorkerHello)
        return self.engine

    def log(self) -> str:
        """Return everything the process wrote."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stderr.write(self.log())  # shown by pytest where a test fails
        self._end()

    def _end(self) -> None:
        for engine in self._engines:
            engine.close()
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.last_log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)


class Sipp:
    """A running SIPp. `finish` says whether every call followed the scenario to its end."""

    def __init__(
        self,
        scenario: str,
        port: int,
        folder: Path,
        calls: int,
        transport: str,
        remote: int,
        values: dict[str, str],
    ) -> None:
        self.port = port
        self.remote = remote
        self.messages = folder / f"{scenario}-{port}.messages"
        self._errors = folder / f"{scenario}-{port}.errors"
        text = (SCENARIOS / f"{scenario}.xml").read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        path = folder / f"{scenario}-{port}.xml"
        path.write_text(text, encoding="utf-8")
        self.process = subprocess.Popen(
            [
                *(
                    "sipp",
                    "-sf",
                    str(path),
                    "-m",
                    str(calls),
                    "-i",
                    "127.0.0.1",
                    "-p",
                    str(port),
                    "-t",
                    transport,
                ),
                *(
                    "-nostdin",
                    "-trace_msg",
                    "-message_file",
                    str(self.messages),
                    "-message_overwrite",
                    "false",
                ),
                *(
                    "-trace_err",
                    "-error_file",
                    str(self._errors),
                    "-timeout",
                    "60s",
                    "-recv_timeout",
                    "20000",
                ),
                *([f"127.0.0.1:{remote}"] if remote else []),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def trace(self) -> str:
        """Return the messages SIPp sent and received."""
        return self.messages.read_text(encoding="utf-8", errors="replace") if self.messages.exists() else ""

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def finish(self, timeout_s: float = 10.0) -> None:
        """Wait for SIPp's own verdict."""
        status = self.process.wait(timeout_s)
        errors = self._errors.read_text(errors="replace") if self._errors.exists() else ""
        assert status == 0, f"SIPp ended with {status}: {errors}\n{self.trace()[-4000:]}"

    def stop(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def sipp(
    scenario: str, folder: Path, *, calls: int = 1, remote: int = 0, tcp: bool = False, **values: str
) -> Iterator[Sipp]:
    """Run SIPp for `calls` calls; it is bound when this returns.

    With `remote` it calls that port, else it is called. `values` fill the scenario's `@name@`.
    """
    port = free_port()
    running = Sipp(scenario, port, folder, calls, "t1" if tcp else "u1", remote, values)
    try:
        wait_until(lambda: running.ended or _is_bound(port, tcp=tcp), 5.0, "SIPp to listen")
        if running.ended and not running.remote:
            running.finish()
        yield running
    finally:
        running.stop()


def _is_bound(port: int, *, tcp: bool) -> bool:
    table = Path("/proc/net/tcp" if tcp else "/proc/net/udp").read_text(encoding="ascii")
    return any(line.split()[1].endswith(f":{port:04X}") for line in table.splitlines()[1:])
