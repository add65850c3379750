"""An engine in a process of its own, on the real clock and a real database, that can be stopped and let go on: `python -m tests.engine.stoppable`.

Owns that process: the real call loop, journal and leases; workers, media plane and far ends are `fakes.py`'s. Every call that a worker is asked
for is a line of its standard output: its monotonic time in nanoseconds, and the attempt's id.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from dialer_core import nodes
from dialer_core.clock import SystemClock, read_boot_id
from dialer_core.ipc.messages import Place
from dialer_core.store import database, leases
from dialer_core.store.database import open_database
from dialer_core.store.journal import Journal
from dialer_core.vocabulary import LegKind, WorkerId
from tests.engine.fakes import FakeCarrier
from tests.engine.held import Behaviour
from tests.engine.virtual import Floor

TTL = dt.timedelta(seconds=3)
RENEW_S = 0.4
IDLE_LIMIT_MS = 1_500
"""As in a real node, less than leases last."""
TAKEN_FOR_GONE = 3
"""What the process ends with when others have ended its calls."""


class TellingCarrier(FakeCarrier):
    """Says every customer's call as it is asked for."""

    def to_worker(self, worker: WorkerId, command: object) -> None:
        """Take a command for a worker."""
        if isinstance(command, Place) and command.kind is LegKind.CUSTOMER:
            sys.stdout.write(f"{self.now_ns()} {command.owner}\n")
            sys.stdout.flush()
        super().to_worker(worker, command)


class RealFloor(Floor):
    """The floor of a node among others: its time passes by itself, and its store is shared."""

    def __init__(self, folder: Path, url: str, node: str) -> None:
        super().__init__(
            folder,
            agents=0,
            staff={f"{node}-{n}": {"sip": f"sip:{node}{n}@127.0.0.1:5080", "auto_ready": True} for n in range(2)},
            campaign={"pacing": "ratio", "ratio": 2.0, "wrap_up_s": 0.0},
        )  # fmt: skip
        self.close()
        self.node, self.clock, self.loop = node, SystemClock(), asyncio.new_event_loop()  # type: ignore[assignment]
        asyncio.set_event_loop(self.loop)
        self.database = open_database(url, node=node)
        self.boot_id = read_boot_id()
        self.journal = Journal(self.database, node=node, boot_id=self.boot_id, clock=self.clock)
        self.carrier = TellingCarrier(self)
        self.carrier.default = Behaviour(progress_s=0.01, final_s=0.05, verdict_s=0.05, talk_s=0.2)

    async def work(self) -> None:
        """Dial until somebody ends this process, or takes it for gone."""
        await self.start()
        assert self._running is not None
        await self._running


def main() -> int:
    """Be a node."""
    parser = argparse.ArgumentParser()
    parser.add_argument("node")
    parser.add_argument("url")
    given = parser.parse_args()
    structlog.configure(
        [structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    leases.TTL, nodes.RENEW_S, database.WRITING_IDLE_LIMIT_MS = TTL, RENEW_S, IDLE_LIMIT_MS  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        floor = RealFloor(Path(folder), given.url, given.node)
        try:
            floor.loop.run_until_complete(floor.work())
        except nodes.ExpelledError as error:
            sys.stderr.write(f"{error}\n")
            return TAKEN_FOR_GONE
        finally:
            floor.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
