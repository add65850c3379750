"""Far ends that run on node: a message centre and mocks of providers' contracts, installed once beside the packages of Python.

It owns their installation (`node_parts/package-lock.json` says which versions) and their processes. What is sent to them is the tests'.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.plugins.message_centre import free_port

PARTS = Path(__file__).parent / "node_parts"
INSTALLED = Path(sys.prefix) / "share" / "marcador-node-parts"
"""Inside the virtual environment, so that it is kept and cleaned with it."""
_LIMIT_S = 60.0
_INSTALL_LIMIT_S = 300


def installed() -> Path:
    """Return the folder of the packages; installs them where they are missing or others than the lock file says."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    wanted = (PARTS / "package-lock.json").read_bytes()
    done = INSTALLED / "installed.json"
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the suite runs in two lanes
        if not done.exists() or done.read_bytes() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PARTS / name, INSTALLED / name)
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=INSTALLED, check=True, timeout=_INSTALL_LIMIT_S,
            )  # fmt: skip
            done.write_bytes(wanted)
    return INSTALLED / "node_modules"


class NodeCentre:
    """A message centre by the npm package `smpp`, which receives, answers and tells of the end."""

    def __init__(self, process: Process, port: int) -> None:
        self.port = port
        self.told: list[dict[str, Any]] = []
        self._process = process

    @property
    def submits(self) -> list[dict[str, Any]]:
        """What was submitted, as it understood it."""
        return [one["submit"] for one in self.told if "submit" in one]

    def deliver(self, **fields: Any) -> None:
        """Let it hand something over; `told` says later with which status that was answered."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"deliver": fields}).encode() + b"\n")

    async def listen(self) -> None:
        """Keep what it tells, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.told.append(json.loads(line))


@asynccontextmanager
async def node_centre() -> AsyncIterator[NodeCentre]:
    """Run a message centre on a free port of loopback."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "node",
        PARTS / "centre.js",
        str(await asyncio.to_thread(installed)),
        str(port),
        stdin=PIPE,
        stdout=PIPE,
    )
    centre = NodeCentre(process, port)
    listening = asyncio.create_task(centre.listen())
    try:
        async with asyncio.timeout(_LIMIT_S):
            while not centre.told:
                if listening.done():
                    raise RuntimeError("the message centre ended before it listened")
                await asyncio.sleep(0.02)
        yield centre
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await listening


@contextmanager
def mocks(*contracts: Path) -> Iterator[list[str]]:
    """Run a mock of each contract, which refuses what the contract does not allow; yield their addresses."""
    program = installed() / "@stoplight" / "prism-cli" / "dist" / "index.js"
    ports = [free_port() for _ in contracts]
    processes = [
        subprocess.Popen(
            ["node", program, "mock", "--errors", "--host", "127.0.0.1", "--port", str(port), contract],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for port, contract in zip(ports, contracts, strict=True)
    ]  # fmt: skip
    try:
        deadline = time.monotonic() + _LIMIT_S
        for process in processes:
            assert process.stdout is not None
            for line in process.stdout:
                if "Prism is listening" in line:
                    break
                assert time.monotonic() < deadline, "the mock does not begin to listen"
            else:
                raise RuntimeError("the mock ended before it listened")
        yield [f"http://127.0.0.1:{port}" for port in ports]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate()
