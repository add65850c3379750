"""An engine at full size for `benchmarks.web`, as a process: the real call loop, journal, store and socket, in real time.

    python -m benchmarks.web_engine --config DIR

Workers, media plane and far ends are those of the engine's tests (`tests/engine/fakes.py`), in the same process: what they cost is counted to
the engine, on the careful side. It owns nothing else of the dialer; the host beside it is the product's own.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from dialer_core.call_loop import CallLoop
from dialer_core.clock import SystemClock
from dialer_core.compliance.packs import load_packs
from dialer_core.control import Control
from dialer_core.ipc.channel import ENGINE_SOCKET, Link, listen_unix
from dialer_core.ipc.messages import EngineToHost, EventsCommitted, HostCommand
from dialer_core.log_setup import configure_logging
from dialer_core.runtime import Runtime
from dialer_core.settings import load_settings
from dialer_core.store.database import open_database
from dialer_core.store.journal import Journal
from dialer_core.store.reader import Reader
from dialer_core.vocabulary import WorkerId
from tests.engine.fakes import Behaviour, FakeCarrier
from tests.engine.leads import add_leads
from tests.engine.virtual import Floor

LEADS = 6000
PER_WORKER = 4


class RealFloor(Floor):
    """A floor of the engine's tests on the real clock and loop, from files."""

    def __init__(self, directory: Path) -> None:
        self.settings = load_settings(directory)
        self.clock = SystemClock()  # type: ignore[assignment]
        self.loop = asyncio.get_running_loop()  # type: ignore[assignment]
        self.database = open_database(self.settings.store_url, node="node1", clock=self.clock, boot_id="b")
        self.database.migrate()
        self.journal = Journal(self.database, node="node1", boot_id="b", clock=self.clock)
        self.packs = load_packs(directory / "compliance")
        self.carrier = FakeCarrier(self)
        lines = sum(trunk.lines for trunk in self.settings.trunks.values())
        self.worker_names = [WorkerId(f"customers-{index}") for index in range(lines // PER_WORKER)]
        self.worker_names += [
            WorkerId(f"agents-{index}") for index in range(len(self.settings.agents) // PER_WORKER + 1)
        ]
        self.life = cast("Any", SimpleNamespace(alive=True))
        self.media_up, self.workers_up = True, set(self.worker_names)
        self._running = None

    async def start_again(self) -> None:
        """Make the call loop, attach everything, and wait until it has taken over."""
        runtime = Runtime(
            node="node1", boot_id="b", clock=self.clock, journal=self.journal, reader=Reader(self.database), loop=self.loop,
        )  # fmt: skip
        self.engine = CallLoop(runtime, self.settings, self.packs, {})
        await self.engine.recover()
        self.attach_media()
        for name in sorted(self.workers_up):
            self.attach_worker(name)
        self.engine.recovery.scanned()
        await self.engine.recovery.done.wait()
        self._running = self.loop.create_task(self.engine.run())


async def serve(directory: Path) -> None:
    """Dial until killed."""
    floor = RealFloor(directory)
    floor.carrier.default = Behaviour(final_s=8.0, talk_s=60.0)
    add_leads(floor, [f"{index % 100:02}" for index in range(LEADS)])
    await floor.start()
    control = Control(floor.engine)
    hosts: set[Link[EngineToHost, HostCommand]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link: Link[EngineToHost, HostCommand] = Link(
            reader,
            writer,
            HostCommand,
            lambda command: control.answer(command, link.send),
            lambda: hosts.discard(link),
        )
        hosts.add(link)

    def committed(seq: int) -> None:
        for link in hosts:
            link.send(EventsCommitted(seq=seq))

    floor.journal.on_committed(committed)
    path = floor.settings.run_dir / ENGINE_SOCKET
    await asyncio.start_unix_server(connected, sock=listen_unix(path))
    await asyncio.Event().wait()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web_engine")
    parser.add_argument("--config", type=Path, required=True)
    configure_logging(level="error", log_format="json", process="engine")
    asyncio.run(serve(parser.parse_args().config))


if __name__ == "__main__":
    main()
