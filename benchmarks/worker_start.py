"""How long a node's line workers take to start, and what they cost while nothing is dialed.

The real crew, fork server and pjsua2, from nothing to the last worker's hello, then their memory and CPU at rest.

    python -m benchmarks.worker_start [--workers 150] [--rest 5] [--json]

The goal: 150 workers in 20 s at most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from dialer_core.ipc.channel import Link
from dialer_core.ipc.messages import WorkerEvent, WorkerHello
from dialer_core.log_setup import configure_logging
from dialer_core.settings import DialerSettings, Settings, TrunkSettings
from dialer_core.sip.crew import Crew
from dialer_core.sip.pool import ForkServer, ForkServerSettings, worker_socket_path
from dialer_core.vocabulary import TrunkId, WorkerId

FIRST_PORT = 23_000
LIMIT_S = 120.0
LINES_PER_WORKER = 3.2
"""Four calls a worker, a quarter of them in reserve: what `crew.planned` makes of lines."""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of all threads of a process."""
    return (
        sum(int((t / "schedstat").read_text().split()[0]) for t in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    )


def pss_mb(pid: int) -> float:
    """Return a process' own share of memory."""
    line = next(
        line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
    )
    return int(line.split()[1]) / 1024


async def hello(run_dir: Path, name: WorkerId) -> int:
    """Wait for a worker's hello and return its capacity."""
    heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def take(event: WorkerEvent) -> None:
        if isinstance(event, WorkerHello) and not heard.done():
            heard.set_result(event.capacity)

    while True:
        try:
            link: Link[None, WorkerEvent] = await Link.attach(
                worker_socket_path(run_dir, name), WorkerEvent, take, lambda: None
            )
        except OSError:
            await asyncio.sleep(0.02)
            continue
        try:
            return await heard
        finally:
            link.close()


async def measure(workers: int, rest_s: float) -> dict[str, float]:
    """Start a crew of so many workers and return what it took."""
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        settings = Settings(
            Path(folder) / "config",
            DialerSettings.model_validate(
                {"node": {"run_dir": f"{folder}/run"}, "sip": {"first_port": FIRST_PORT}}
            ),
            {TrunkId("carrier"): TrunkSettings(host="127.0.0.1", lines=int(workers * LINES_PER_WORKER))},
            {},
            {},
        )
        began_s = time.monotonic()
        forks = await ForkServer.start(
            settings.run_dir,
            settings=ForkServerSettings(log_level="error"),
            on_exit=lambda name, code: crew.exited(name, code),  # noqa: PLW0108 - made below
        )
        crew = Crew(settings, forks)
        try:
            await crew.start()
            forked_s = time.monotonic() - began_s
            capacities = await asyncio.wait_for(
                asyncio.gather(*(hello(settings.run_dir, name) for name in crew.members)), LIMIT_S
            )
            ready_s = time.monotonic() - began_s
            pids = list(forks.workers.values())
            before = sum(map(cpu_s, pids))
            await asyncio.sleep(rest_s)
            percent = 100 * (sum(map(cpu_s, pids)) - before) / rest_s
            return {
                "workers": len(pids),
                "calls": sum(capacities),
                "forked_s": round(forked_s, 2),
                "ready_s": round(ready_s, 2),
                "pss_mb_per_worker": round(sum(map(pss_mb, pids)) / len(pids), 1),
                "idle_percent_of_core": round(percent, 2),
            }
        finally:
            await crew.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=150)
    parser.add_argument("--rest", type=float, default=5.0, help="seconds to look at the CPU at rest")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    configure_logging(level="error", log_format="console", process="benchmark")
    result = asyncio.run(measure(options.workers, options.rest))
    if options.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:24} {value:g}")


if __name__ == "__main__":
    main()
