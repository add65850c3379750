"""The fork server and the supervisor's hold on its workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialer_core.errors import StartError
from dialer_core.ipc.messages import LegAnswered, LegEnded, LegSent, StrayAnswered, WorkerHello
from dialer_core.sip.pool import ForkServer, worker_socket_path
from dialer_core.vocabulary import EndedBy, WorkerId
from tests.descriptors import no_descriptors
from tests.polling import wait_until, wait_until_async
from tests.sip.harness import Engine, attached, free_port, sipp
from tests.skips import requires_program

pytestmark = pytest.mark.sip


class _Pool:
    """A fork server, and who has gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gone: list[tuple[WorkerId, int | None]] = []
        self.server: ForkServer
        self._engines: list[Engine] = []

    async def spawn(self, worker_id: str, *, port: int = 0, successor: bool = False) -> Engine:
        await self.server.spawn(
            WorkerId(worker_id), sip_host="127.0.0.1", sip_port=port or free_port(), media_host="127.0.0.1", successor=successor,
        )  # fmt: skip
        path = worker_socket_path(self.folder, WorkerId(worker_id))
        engine = await wait_until_async(lambda: attached(path), 10.0, f"{worker_id} to listen")
        self._engines.append(engine)
        engine.expect(WorkerHello)
        return engine

    def close(self) -> None:
        for engine in self._engines:
            engine.close()


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[_Pool]:
    """A running fork server; everything it started is ended afterwards."""
    running = _Pool(tmp_path / "run")
    running.server = await ForkServer.start(
        running.folder, on_exit=lambda worker_id, code: running.gone.append((worker_id, code))
    )
    yield running
    await running.server.stop()
    running.close()


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


async def test_workers_are_forked_and_end_when_told(pool: _Pool) -> None:
    """Each worker listens under its own name; SIGTERM and SIGKILL end it, and each end is told once with its code."""
    engines = [await pool.spawn(name) for name in ("customers-0", "customers-1", "agents-0")]
    assert [engine.of(WorkerHello)[0].worker for engine in engines] == [
        "customers-0",
        "customers-1",
        "agents-0",
    ]
    assert {engine.of(WorkerHello)[0].pid for engine in engines} == set(pool.server.workers.values())
    assert _title(pool.server.workers[WorkerId("agents-0")]) == "line-agents-0"
    with pytest.raises(StartError, match="customers-0 runs already"):
        await pool.server.spawn(
            WorkerId("customers-0"), sip_host="127.0.0.1", sip_port=1, media_host="127.0.0.1"
        )
    pool.server.kill(WorkerId("customers-0"))
    pool.server.terminate(WorkerId("customers-1"))
    await wait_until_async(lambda: len(pool.gone) == 2, 10.0, "two workers to end")
    assert dict(pool.gone) == {"customers-0": -signal.SIGKILL, "customers-1": 0}
    assert list(pool.server.workers) == ["agents-0"]
    assert [path.name for path in pool.folder.glob("*.sock")] == ["worker-agents-0.sock"]
    assert (await pool.spawn("customers-0")).state().legs == ()


async def test_the_fork_server_has_one_thread(pool: _Pool) -> None:
    """Nothing the fork server imports starts a thread, so that forking it is safe."""
    assert pool.server.pid is not None
    await pool.spawn("customers-0")
    assert _threads(pool.server.pid) == 1


async def test_a_worker_that_cannot_start_is_told_as_gone(pool: _Pool) -> None:
    """A taken SIP port ends the worker with status 1, told like any other end."""
    first = await pool.spawn("customers-0")
    await pool.server.spawn(
        WorkerId("customers-1"),
        sip_host="127.0.0.1",
        sip_port=first.of(WorkerHello)[0].sip_port,
        media_host="127.0.0.1",
    )
    await wait_until_async(lambda: pool.gone == [("customers-1", 1)], 10.0, "the second worker's end")


@requires_program("sipp")
async def test_a_killed_worker_takes_only_its_own_calls(pool: _Pool, tmp_path: Path) -> None:
    """SIGKILL in mid-call: the end is told, the other worker's call goes on, and a replacement with a new boot places calls."""
    victim, other = await pool.spawn("customers-0"), await pool.spawn("customers-1")
    with sipp("answer", tmp_path, calls=3) as far:
        cut, kept = victim.place(far.port), other.place(far.port)
        victim.expect(LegAnswered, cut)
        other.expect(LegAnswered, kept)
        pool.server.kill(WorkerId("customers-0"))
        await wait_until_async(lambda: pool.gone == [("customers-0", -signal.SIGKILL)], 10.0, "the end")
        again = await pool.spawn("customers-0")
        assert again.of(WorkerHello)[0].boot != victim.of(WorkerHello)[0].boot
        assert again.state().legs == ()
        fresh = again.place(far.port)
        again.expect(LegAnswered, fresh)
        assert [leg.leg_id for leg in other.state().legs] == [kept]
        for engine, leg in ((again, fresh), (other, kept)):
            engine.hang_up(leg)
            assert engine.end_of(leg).by is EndedBy.US


@requires_program("sipp")
async def test_workers_outlive_a_lost_fork_server(pool: _Pool, tmp_path: Path) -> None:
    """The fork server killed: calls go on, a new one is made for the next worker, and the old workers are still watched."""
    engine = await pool.spawn("customers-0")
    with sipp("answer", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        assert pool.server.pid is not None
        os.kill(pool.server.pid, signal.SIGKILL)
        await wait_until_async(lambda: pool.server.pid is None, 5.0, "the loss to be noticed")
        await pool.spawn("customers-1")
        assert [snapshot.leg_id for snapshot in engine.state().legs] == [leg]
        pool.server.terminate(WorkerId("customers-0"))
        assert engine.expect(LegEnded, leg).by is EndedBy.US
        await wait_until_async(lambda: pool.gone == [("customers-0", None)], 10.0, "the old worker's end")
        far.finish()


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from dialer_core.sip.pool import ForkServer
async def main():
    server = await ForkServer.start(Path(sys.argv[1]), on_exit=print)
    pid = await server.spawn("customers-0", sip_host="127.0.0.1", sip_port=int(sys.argv[2]), media_host="127.0.0.1")
    print(server.pid, pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """A supervisor killed outright: the fork server ends its workers, and itself."""
    arguments = [sys.executable, "-c", SUPERVISOR, str(tmp_path / "run"), str(free_port())]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        assert all(_runs(pid) for pid in pids)
        supervisor.kill()
    wait_until(lambda: not any(_runs(pid) for pid in pids), 10.0, "fork server and worker to end")


@requires_program("sipp")
async def test_no_worker_is_made_that_could_not_be_watched(pool: _Pool) -> None:
    """Without a descriptor for it the spawn fails, and nothing is forked; with the last one it is forked, and watched by it."""
    name = WorkerId("w1")
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        await pool.server.spawn(name, sip_host="127.0.0.1", sip_port=free_port(), media_host="127.0.0.1")
    assert pool.server.workers == {}
    engine = await pool.spawn("w1")
    assert pool.gone == []
    pool.server.kill(name)
    await wait_until_async(lambda: pool.gone == [(name, -signal.SIGKILL)], 10.0, "its end")
    engine.close()


async def test_two_workers_never_draw_the_same_call_id(pool: _Pool, tmp_path: Path) -> None:
    """Call-IDs are the legs' own ids, and the tags of two forked workers differ."""
    first, second = await pool.spawn("customers-0"), await pool.spawn("customers-1")
    with sipp("answer", tmp_path, calls=2) as far:
        legs = [(engine, engine.place(far.port)) for engine in (first, second)]
        dialogs = [engine.expect(LegAnswered, leg).dialog for engine, leg in legs]
        for engine, leg in legs:
            assert engine.of(LegSent, leg)[0].call_id == leg
            engine.hang_up(leg)
            engine.end_of(leg)
        far.finish()
    assert dialogs[0].local_tag != dialogs[1].local_tag


async def test_a_successor_tells_who_picked_up_for_the_dead(pool: _Pool) -> None:
    """A 200 for a call that its predecessor placed is told once, with what ends it; its own calls' answers are none of that."""
    port = free_port()
    engine = await pool.spawn("customers-0", port=port, successor=True)
    answer = (
        f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKold\r\nFrom: <sip:+52@a>;tag=l\r\n"
        "To: <sip:b@c>;tag=r\r\nCall-ID: of-the-dead\r\nCSeq: 77 INVITE\r\nContact: <sip:b@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind(("127.0.0.1", 0))
        for _ in range(2):  # it is sent again, as nobody acknowledges it
            carrier.sendto(answer.encode(), ("127.0.0.1", port))
        told = engine.expect(StrayAnswered).dialog
        host, own_port = carrier.getsockname()
    assert (told.call_id, told.remote_target, told.local_cseq) == ("of-the-dead", "sip:b@127.0.0.1:9", 77)
    assert (told.destination, told.acknowledged) == (f"{host}:{own_port}", False)
    engine.state()
    assert len(engine.of(StrayAnswered)) == 1


@requires_program("sipp")
async def test_a_successors_own_calls_are_no_strays(pool: _Pool, tmp_path: Path) -> None:
    """What it placed itself is answered as ever."""
    engine = await pool.spawn("customers-0", successor=True)
    with sipp("answer", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        engine.hang_up(leg)
        engine.end_of(leg)
        far.finish()
    assert engine.of(StrayAnswered) == []
