"""SIP floods at a worker: from strangers, and from an address it listens to."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from dialer_core.ipc.messages import AllowSources, DumpState, LegAnswered, WorkerHealth, WorkerState
from dialer_core.vocabulary import EndedBy
from tests.sip.harness import Engine, Worker, options, sipp
from tests.skips import requires_program
from tests.soak.floods import sip_garbage

pytestmark = [pytest.mark.sip, requires_program("sipp")]
CALLS = 6
STRANGER = "127.0.0.9"


class Flood:
    """Sends the same few packets as fast as it can, from another thread."""

    def __init__(self, source: str, port: int, packets: list[bytes], pause_s: float) -> None:
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source, port, packets, pause_s))

    def _run(self, source: str, port: int, packets: list[bytes], pause_s: float) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as out:
            out.bind((source, 0))
            while not self._stop.wait(pause_s):
                for packet in packets:
                    out.sendto(packet, ("127.0.0.1", port))
                    self.sent += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _packets(port: int, source: str) -> list[bytes]:
    strays = [options(port, source=source, call_id=f"flood-{n}") for n in range(10)]
    return [*strays, b"\0" * 1200, b"INVITE", b"SIP/2.0 200 OK\r\n\r\n", *strays]


@contextmanager
def _worker() -> Iterator[tuple[Worker, Engine]]:
    with Worker() as worker:
        worker.engine.send(AllowSources(addresses=("127.0.0.1",)))
        yield worker, worker.engine


def _calls(engine: Engine, folder: Path) -> None:
    """Call after call, each answered and ended by us."""
    with sipp("answer", folder, calls=CALLS) as far:
        for _ in range(CALLS):
            leg = engine.place(far.port)
            engine.expect(LegAnswered, leg)
            engine.hang_up(leg)
            assert engine.end_of(leg).by is EndedBy.US
            engine.wait_slots(0)
        far.finish()


def _wakes(pid: int) -> int:
    """How often a process has slept and woken."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_a_flood_from_strangers_costs_a_worker_nothing(tmp_path: Path) -> None:
    """The kernel discards it before the process wakes: calls go on, and the worker sleeps through the packets."""
    with _worker() as (worker, engine):
        port = worker.sip_port
        with Flood(STRANGER, port, _packets(port, STRANGER), 0.002) as flood:
            _calls(engine, tmp_path)
            wakes, sent = _wakes(worker.pid), flood.sent
            engine.expect(WorkerHealth, count=len(engine.of(WorkerHealth)) + 3)
            assert flood.sent - sent > 500
            assert _wakes(worker.pid) - wakes < 50
        assert "flood" not in worker.log()


def test_a_flood_from_a_trunk_slows_and_kills_nothing(tmp_path: Path) -> None:
    """Thousands of requests and rubbish from an address that must be listened to: every call is still placed, answered and ended once."""
    with _worker() as (worker, engine):
        port = worker.sip_port
        with Flood("127.0.0.1", port, _packets(port, "127.0.0.1"), 0.02) as flood:
            _calls(engine, tmp_path)
            engine.expect(WorkerHealth, count=len(engine.of(WorkerHealth)) + 2)
            assert flood.sent > 500
        assert engine.state().legs == ()


def test_garbage_from_a_trunk_ends_no_worker(tmp_path: Path) -> None:
    """Requests whole, cut short, changed and none at all, as fast as it reads them: it lives, and its calls are placed, answered and ended."""
    rng = random.Random(4)
    with _worker() as (worker, engine), socket.socket(type=socket.SOCK_DGRAM) as out:
        out.bind(("127.0.0.1", 0))
        for number in range(4000):
            out.sendto(sip_garbage(rng, worker.sip_port), ("127.0.0.1", worker.sip_port))
            if number % 200 == 0:  # its buffer holds so many: what the kernel throws away would test nothing
                seen = len(engine.of(WorkerState))
                engine.send(DumpState())
                engine.expect(WorkerState, count=seen + 1)
        _calls(engine, tmp_path)
        assert engine.state().legs == ()


def test_a_caller_without_a_description_is_refused() -> None:
    """An INVITE that leaves the offer to us is as good a call as any: 480, and the worker lives (refused inside its callback, pjsip aborted)."""
    with _worker() as (worker, engine), socket.socket(type=socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.settimeout(5.0)
        source = f"127.0.0.1:{caller.getsockname()[1]}"
        for number in range(3):
            caller.sendto(
                (
                    f"INVITE sip:+525512345678@127.0.0.1:{worker.sip_port} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKdelayed{number}\r\n"
                    f"Max-Forwards: 70\r\nFrom: <sip:caller@127.0.0.1>;tag=t{number}\r\nTo: <sip:+525512345678@127.0.0.1>\r\n"
                    f"Call-ID: delayed-{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{source}>\r\nContent-Length: 0\r\n\r\n"
                ).encode(),
                ("127.0.0.1", worker.sip_port),
            )
            answers = {caller.recv(65536).split(b"\r\n")[0]}
            while b"SIP/2.0 480 Temporarily Unavailable" not in answers:
                answers.add(caller.recv(65536).split(b"\r\n")[0])
        engine.wait_slots(0)
        assert engine.state().legs == ()
