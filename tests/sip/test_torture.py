"""The 49 messages of RFC 4475 thrown at a worker."""

from __future__ import annotations

import asyncio
import csv
import itertools
import socket
from pathlib import Path

import pytest

from dialer_core.ipc.messages import LegAnswered, LegEnded
from dialer_core.sip.pool import ForkServer, worker_socket_path
from dialer_core.vocabulary import WorkerId
from tests.polling import wait_until_async
from tests.sip.harness import Engine, attached, free_port, options, sipp
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), pytest.mark.needs_shared]


class _Supervisor:
    """Replaces workers that end, as the supervisor does, and remembers that it had to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost: list[tuple[WorkerId, int | None]] = []
        self.ports: dict[WorkerId, int] = {}
        self.server: ForkServer
        self.stopping = False
        self._tasks: set[asyncio.Task[Engine]] = set()
        self.engines: dict[WorkerId, Engine] = {}

    async def spawn(self, worker_id: WorkerId) -> Engine:
        port = self.ports.setdefault(worker_id, free_port())
        await self.server.spawn(worker_id, sip_host="127.0.0.1", sip_port=port, media_host="127.0.0.1")
        path = worker_socket_path(self.folder, worker_id)
        self.engines[worker_id] = await wait_until_async(
            lambda: attached(path), 10.0, f"{worker_id} to listen"
        )
        return self.engines[worker_id]

    def gone(self, worker_id: WorkerId, code: int | None) -> None:
        self.lost.append((worker_id, code))
        self.engines.pop(worker_id).close()
        if self.stopping:
            return
        task = asyncio.get_running_loop().create_task(self.spawn(worker_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _answer(stranger: socket.socket) -> bytes:
    """Return the next datagram, or nothing after a moment in which none came."""
    try:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(stranger, 65536), 0.1)
    except TimeoutError:
        return b""


async def test_the_worker_survives_or_is_replaced(shared_data: Path, tmp_path: Path) -> None:
    """After each message the worker answers OPTIONS, itself or its replacement; a call in another worker goes on."""
    supervisor = _Supervisor(tmp_path / "run")
    supervisor.server = await ForkServer.start(supervisor.folder, on_exit=supervisor.gone)
    victim, bystander = WorkerId("customers-0"), WorkerId("customers-1")
    await supervisor.spawn(victim)
    engine = await supervisor.spawn(bystander)
    with sipp("answer", tmp_path) as far, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.setblocking(False)
        leg = engine.place(far.port, unattended_limit_s=100.0)
        engine.expect(LegAnswered, leg)
        own_port = stranger.getsockname()[1]
        serial = itertools.count()
        sent = 0
        with (shared_data / "rfc4475" / "index.csv").open(encoding="utf-8") as index:
            names = [row["name"].removesuffix(".dat") for row in csv.DictReader(index)]
        for name in names:
            stranger.sendto(
                (shared_data / "rfc4475" / "msgs" / f"{name}.dat").read_bytes(),
                ("127.0.0.1", supervisor.ports[victim]),
            )
            sent += 1

            async def alive() -> bool:
                port = supervisor.ports[victim]
                call_id = f"options-{next(serial)}"
                stranger.sendto(options(port, own_port=own_port, call_id=call_id), ("127.0.0.1", port))
                while data := await _answer(stranger):
                    if b"\r\nCall-ID: options-" in data and data.startswith(b"SIP/2.0 200"):
                        return True
                return False

            await wait_until_async(alive, 10.0, f"an answer to OPTIONS after {name}")
        assert sent == 49
        assert not engine.of(LegEnded)
        assert [snapshot.leg_id for snapshot in engine.state().legs] == [leg]
        engine.hang_up(leg)
        assert engine.end_of(leg).code == 200
        far.finish()
    supervisor.stopping = True
    for running in list(supervisor.engines.values()):
        running.close()
    await supervisor.server.stop()
