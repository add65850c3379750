"""The screens at full size: 300 agents at work on 1,500 lines, and people who look on. Real host, real call loop, real browser.

    python -m benchmarks.web [--agents 300] [--lines 1500] [--viewers 10 1000] [--seconds 20] [--json]

A line for each number of viewers: `update_ms_p95` from giving a command that changes an agent's state to each viewer's having been told of it;
`host_core_share` of one core, all of the host; `engine_loop_lag_ms_p99` as the engine says, and `idle_lag_ms_p99` the same with nobody
looking, which tells the engine's own work from the screens'. Thirty agents stay paused, and are the ones commanded. `page_kb` is all that the
status page loads, uncompressed, and `first_paint_ms` Chromium's on loopback with nothing in its cache. `refused` is how one stream more than
the most is answered. What the far ends cost is in `benchmarks/web_engine.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.floor import cpu_ns
from dialer_core.http.access import digest_of, new_token
from dialer_core.ipc.channel import ENGINE_SOCKET
from dialer_core.settings import load_settings
from dialer_core.store import access as rows
from dialer_core.store.access import UserView
from dialer_core.store.database import Database, open_database
from dialer_core.web import passwords
from dialer_core.web.streams import EACH
from tests.host.running import free_port
from tests.polling import WaitedTooLongError, wait_until, wait_until_async

PACK = Path(__file__).parent.parent / "dialer_core" / "config_defaults" / "compliance" / "demo.toml"
WARM_UP_S = 30.0
COMMANDS = 30
TOLD_LIMIT_S = 20.0
PAGE_LIMIT_MS = 120_000


@dataclass(frozen=True, slots=True)
class Result:
    """One number of viewers."""

    viewers: int
    agents: int
    lines: int
    calls: int
    """Alive when it was measured."""
    update_ms_p50: float
    update_ms_p95: float
    updates_missed: int
    """Of commands times viewers, how many were not told within 20 s."""
    host_core_share: float
    engine_loop_lag_ms_p99: float
    idle_lag_ms_p99: float
    page_kb: float
    first_paint_ms: float
    refused: int
    """Status of a stream more than one user may have."""


def write_config(directory: Path, agents: int, lines: int, port: int) -> None:
    """Write a configuration of this size."""
    (directory / "campaigns").mkdir(parents=True)
    (directory / "compliance").mkdir()
    (directory / "compliance" / "demo.toml").write_bytes(PACK.read_bytes())
    (directory / "dialer.toml").write_text(
        f'[http]\nport = {port}\n[node]\nstate_dir = "state"\nrun_dir = "run"\n[plugins]\nenabled = ["status_page", "agent_desk"]\n'
        '[log]\nlevel = "error"\n'
    )
    (directory / "trunks.toml").write_text(
        f'[trunks.carrier]\nhost = "127.0.0.1"\nlines = {lines}\ncalls_per_second = 50\n'
    )
    (directory / "agents.toml").write_text(
        "".join(
            f'[agents.a{n}]\nsip = "sip:a{n}@127.0.0.1:{5000 + n}"\nname = "Agente {n}"\n'
            for n in range(agents)
        )
    )
    (directory / "campaigns" / "demo.toml").write_text(
        'creditor = "Banco"\nrule_pack = "demo"\ntrunks = ["carrier"]\npacing = "predictive"\ndetection = "fast"\nwrap_up_s = 5\n'
    )


class Hall:
    """Engine and host as processes, and the store that both use."""

    def __init__(self, folder: Path, agents: int, lines: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "config"
        write_config(self.config, agents, lines, self.port)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("engine", "benchmarks.web_engine")
        settings = load_settings(self.config)
        self.wait("engine", (settings.run_dir / ENGINE_SOCKET).exists, 120, "its socket")
        self.start("host", "dialer_core.host")
        self.wait("host", settings.token_file.exists, 60, "its token")
        self.token = settings.token_file.read_text().strip()
        self.database: Database = open_database(settings.store_url)
        self.wait("host", lambda: self.status() is not None, 120, "an answer")

    def start(self, name: str, module: str) -> None:
        """Start one of them."""
        command = [sys.executable, "-m", module, "--config", str(self.config)]
        with (self.config.parent / f"{name}.log").open("wb") as out:
            self._processes[name] = subprocess.Popen(command, stdout=out, stderr=out)

    def wait(self, name: str, there: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait for something of a process; where it ends before, or is too late, say so with its last lines."""
        process = self._processes[name]
        with contextlib.suppress(WaitedTooLongError):
            wait_until(lambda: there() or process.poll() is not None, limit_s, what)
        if process.poll() is None and there():
            return
        became = (
            f"waited {limit_s:g} s for"
            if process.poll() is None
            else f"ended with status {process.returncode} before"
        )
        last = (
            (self.config.parent / f"{name}.log")
            .read_text(encoding="utf-8", errors="replace")
            .splitlines()[-15:]
        )
        self.end()
        raise SystemExit(
            "\n".join([f"benchmarks.web: the {name} {became} {what}; its last lines:", *(last or ["(none)"])])
        )

    def status(self) -> dict[str, Any] | None:
        """Return the engine's status, or None while nobody answers."""
        try:
            answer = httpx2.get(f"{self.url}/api/v1/status", headers=self.bearer(self.token), trust_env=False)
        except httpx2.TransportError:
            return None
        return answer.json() if answer.status_code == httpx2.codes.OK else None

    @staticmethod
    def bearer(token: str) -> dict[str, str]:
        """Return the header of a token."""
        return {"Authorization": f"Bearer {token}"}

    def tokens(self, count: int) -> list[str]:
        """Make tokens of programs that look on."""
        made = [new_token() for _ in range(count)]
        with self.database.write() as tx:
            for token in made:
                rows.add_token(tx, f"t{digest_of(token)[:12]}", digest_of(token), ["read"], tx.utc())
        return made

    def host_cpu_ns(self) -> int:
        """Return the CPU time of the host."""
        return cpu_ns(self._processes["host"].pid)

    def close(self) -> None:
        """End both."""
        self.database.dispose()
        self.end()

    def end(self) -> None:
        """End the processes."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


class Viewer:
    """One open status stream, read as it comes: when each agent was seen to begin a pause."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self.paused_s: dict[str, float] = {}
        self.open = asyncio.Event()

    async def look(self, client: httpx2.AsyncClient, token: str) -> None:
        """Read until cancelled."""
        headers = Hall.bearer(token) | {"Accept": "text/event-stream"}
        async with client.stream("GET", "/status/stream", headers=headers, timeout=None) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                self.open.set()
                if line.startswith("data:") and self._reason in line:
                    now_s = time.monotonic()
                    for name, told in json.loads(line[5:]).get("agents", {}).items():
                        if told["reason"] == self._reason:
                            self.paused_s.setdefault(name, now_s)


@contextlib.asynccontextmanager
async def looking(hall: Hall, count: int) -> AsyncIterator[list[Viewer]]:
    """Open streams, so many of each token as one may have."""
    tokens = hall.tokens(max(1, -(-count // EACH)))
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    viewers = [Viewer(f"bench {count}") for _ in range(count)]
    async with httpx2.AsyncClient(base_url=hall.url, trust_env=False, limits=limits, timeout=60) as client:
        tasks = [
            asyncio.create_task(viewer.look(client, tokens[n // EACH])) for n, viewer in enumerate(viewers)
        ]
        async with asyncio.timeout(120):
            await asyncio.gather(*(viewer.open.wait() for viewer in viewers))
        try:
            yield viewers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def measure(hall: Hall, count: int, seconds: float) -> dict[str, Any]:
    """Measure with so many viewers."""
    async with looking(hall, count) as viewers:
        async with httpx2.AsyncClient(base_url=hall.url, headers=hall.bearer(hall.token), trust_env=False, timeout=30) as client:  # fmt: skip
            before_ns, began_s = hall.host_cpu_ns(), time.monotonic()
            await asyncio.sleep(seconds)  # the screens alone: a command has its own cost
            share = (hall.host_cpu_ns() - before_ns) / 1e9 / (time.monotonic() - began_s)
            lag = (await client.get("/api/v1/status")).json()
            paused = [one["id"] for one in lag["agents"] if one["state"] == "paused"][-COMMANDS:]
            given_s = {}
            for name in paused:
                at_s = time.monotonic()
                answer = await client.post(f"/api/v1/agents/{name}/pause", json={"reason": f"bench {count}"})
                if answer.status_code == httpx2.codes.OK:
                    given_s[name] = at_s
                await asyncio.sleep(0.13)
            with contextlib.suppress(WaitedTooLongError):
                await wait_until_async(
                    lambda: all(name in viewer.paused_s for viewer in viewers for name in given_s),
                    TOLD_LIMIT_S,
                    "everybody to be told",
                )
            seen = [viewer.paused_s.get(name) for viewer in viewers for name in given_s]
            took = [
                1000 * (viewer.paused_s[name] - at_s)
                for viewer in viewers
                for name, at_s in given_s.items()
                if name in viewer.paused_s
            ]
        one = hall.tokens(1)[0]
        async with httpx2.AsyncClient(base_url=hall.url, headers=hall.bearer(one), trust_env=False, timeout=30) as last:  # fmt: skip
            refused = await _one_too_many(last)
    return {
        "calls": sum(c["dialing"] + c["listening"] + c["waiting"] + c["talking"] for c in lag["campaigns"]),
        "update_ms_p50": round(statistics.median(took), 1),
        "update_ms_p95": round(float(np.percentile(took, 95)), 1),
        "updates_missed": seen.count(None),
        "host_core_share": round(share, 4),
        "engine_loop_lag_ms_p99": lag["loop_lag_ms_p99"],
        "refused": refused,
    }


async def _one_too_many(client: httpx2.AsyncClient) -> int:
    """Open one stream more than one user may have; return how it is answered."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(EACH + 1):
            answer = await stack.enter_async_context(client.stream("GET", "/status/stream"))
            if answer.status_code != httpx2.codes.OK:
                return answer.status_code
    return 200


def page(hall: Hall) -> tuple[float, float]:
    """Return what the status page weighs in kB, and the milliseconds to its first paint, the median of five fresh browsers' pages."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a development tool

    password = passwords.make()
    with hall.database.write() as tx:
        rows.add_user(tx, UserView(id="bench", role="supervisor"), passwords.hashed(password), tx.utc())
    weights, paints = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        first = browser.new_context()
        tab = first.new_page()
        tab.set_default_timeout(PAGE_LIMIT_MS)
        tab.goto(f"{hall.url}/login")
        tab.fill("#user", "bench")
        tab.fill("#password", password)
        tab.keyboard.press("Enter")
        tab.wait_for_selector(".campaign .figure")
        logged_in = first.storage_state()
        first.close()
        for _ in range(5):  # a password's hash is slow on purpose, and is no part of a page
            context = browser.new_context(viewport={"width": 1366, "height": 768}, storage_state=logged_in)
            tab = context.new_page()
            tab.set_default_timeout(PAGE_LIMIT_MS)
            with tab.expect_response("**/floor*") as agents_day:  # the heaviest, and the last
                tab.goto(f"{hall.url}/status")
            agents_day.value.finished()
            tab.wait_for_selector(".campaign .figure")
            told = tab.evaluate(
                "() => [[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
                ".reduce((sum, one) => sum + one.decodedBodySize, 0),"
                " performance.getEntriesByName('first-contentful-paint')[0].startTime]"
            )
            weights.append(told[0] / 1000)
            paints.append(told[1])
            context.close()
        browser.close()
    return round(max(weights), 1), round(statistics.median(paints), 1)


@contextlib.contextmanager
def hall_of(agents: int, lines: int) -> Iterator[Hall]:
    """Run one, at work."""
    with tempfile.TemporaryDirectory(prefix="marcador-web-") as folder:
        hall = Hall(Path(folder), agents, lines)
        try:
            yield hall
        finally:
            hall.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--agents", type=int, default=300)
    parser.add_argument("--lines", type=int, default=1500)
    parser.add_argument("--viewers", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds of dialing before")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with hall_of(options.agents, options.lines) as hall:
        for number in range(max(0, options.agents - COMMANDS)):
            httpx2.post(
                f"{hall.url}/api/v1/agents/a{number}/ready", headers=hall.bearer(hall.token), trust_env=False
            )
        time.sleep(options.warm_up)
        idle = (hall.status() or {})["loop_lag_ms_p99"]
        weight, paint = page(hall)
        for count in options.viewers:
            found = asyncio.run(measure(hall, count, options.seconds))
            result = Result(
                viewers=count, agents=options.agents, lines=options.lines, idle_lag_ms_p99=idle, page_kb=weight,
                first_paint_ms=paint, **found,
            )  # fmt: skip
            print(json.dumps(asdict(result)) if options.json else result, flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
