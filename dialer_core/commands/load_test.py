"""What this machine carries: a real media plane and real line workers, loaded step by step until something gives.

It owns the steps, what counts as carried, and the sentence at the end. The far ends are `sim/talkers.py`, a process of their own that uses
this machine too, so the answer errs on the safe side. Nobody is called, and no configured port is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import resource
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from dialer_core.children import end_with_parent
from dialer_core.demo.world import free_block
from dialer_core.errors import StartError
from dialer_core.ipc.channel import Link
from dialer_core.ipc.messages import (
    Bridge,
    CloseLeg,
    ConnectLeg,
    LegOpened,
    Listen,
    MediaCommand,
    MediaEvent,
    MediaHealth,
    MediaHello,
    OpenLeg,
)
from dialer_core.sip.crew import SPARE_LINES
from dialer_core.sip.pool import ForkServer, ForkServerSettings
from dialer_core.vocabulary import DetectionMode, LegId, LegKind, WorkerId

LINES_PER_PAIR: Final = 4
"""Of so many lines one talks to an agent, and the detector listens to the others."""
FIRST_LINES, MOST_LINES = 40, 2000
PORTS_PER_LINE: Final = 2 * (LINES_PER_PAIR + 1) / LINES_PER_PAIR
SETTLE_S = 1.5
"""The opening of hundreds of sockets is over by then."""
WORST_TICK_MS: Final = 20.0
"""Later than that, and a jitter buffer runs dry: it is heard."""
BUSY: Final = 0.85
"""Share of a core above which the media plane has nothing left for a bad moment."""
SAFE_SHARE: Final = 0.8
"""Of what was carried: the rest is for signalling, the engine, and what else the machine does."""
MEMORY_SHARE: Final = 0.7
"""Of the free memory that line workers may take."""
WORKERS: Final = 8
"""Started to see what each takes."""
START_LIMIT_S: Final = 15.0


class LoadStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step: so many lines, and how they did."""

    lines: int
    carried: bool
    why: str
    """What gave, where it was not carried."""
    media_cpu: float
    """Of a core."""
    far_ends_cpu: float
    """Of a core: what the simulated far ends took from the same machine."""
    worst_tick_ms: float
    lost: int
    """Packets lost in either direction."""


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    lines_safe: int
    limit: str
    words: str
    cores: int
    worker_mb: float
    """Memory of a line worker beyond what all share."""
    worker_calls: int
    lines_by_memory: int
    lines_by_open_files: int
    steps: tuple[LoadStep, ...]


def find_safe_lines(seconds: float, tell: Callable[[LoadStep], None] = lambda _step: None) -> LoadReport:
    """Load this machine for about so long.

    Parameters
    ----------
    seconds
        All steps together take so long.
    tell
        Takes each step as it is done.

    Raises
    ------
    StartError
        A process of ours, or one of the far ends, did not start.
    """
    return asyncio.run(_find(seconds, tell))


async def _find(seconds: float, tell: Callable[[LoadStep], None]) -> LoadReport:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    try:
        worker_mb, calls = await _measure_workers(folder)
        by_memory = int(_available_mb() * MEMORY_SHARE / worker_mb * calls / (1 + SPARE_LINES))
        by_files = int((resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100) / PORTS_PER_LINE)
        most = max(1, min(MOST_LINES, by_memory, by_files))
        async with AsyncExitStack() as held:
            load = await _Load.start(folder, most, held)
            steps = await _climb(load, most, seconds, tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    carried = max((step.lines for step in steps if step.carried), default=0)
    by_sound = int(carried * SAFE_SHARE)
    first_failed = next(
        (step.why for step in sorted(steps, key=lambda step: step.lines) if not step.carried), ""
    )
    lines, limit = min(
        (by_memory, f"memory: {worker_mb:.1f} MB for each worker of {calls} calls"),
        (by_files, "open files: see ulimit -n"),
        (by_sound, first_failed or f"the test itself: it ends at {carried} lines"),
    )
    return LoadReport(
        lines_safe=lines,
        limit=limit,
        words=f"{lines} lines safe: limit is {limit}",
        cores=os.cpu_count() or 1,
        worker_mb=round(worker_mb, 1),
        worker_calls=calls,
        lines_by_memory=by_memory,
        lines_by_open_files=by_files,
        steps=tuple(steps),
    )


async def _climb(load: _Load, most: int, seconds: float, tell: Callable[[LoadStep], None]) -> list[LoadStep]:
    """Double the lines until they are not carried, then halve the difference while there is time."""
    began_s = time.monotonic()
    count = math.ceil(math.log2(max(2, most / FIRST_LINES))) + 3
    step_s = max(1.0, seconds / count - SETTLE_S)
    steps: list[LoadStep] = []
    good, bad, lines = 0, most + 1, min(FIRST_LINES, most)
    while True:
        step = await load.carry(lines, step_s)
        tell(step)
        steps.append(step)
        if step.carried:
            good = lines
        else:
            bad = lines
        lines = min(2 * good, most) if bad > most else (good + bad) // 2
        out_of_time = time.monotonic() - began_s + SETTLE_S + step_s > seconds
        if lines in (good, bad) or bad - good <= bad / 10 or (out_of_time and good):
            return steps


class _Load:
    """The media plane, its far ends, and the lines between them."""

    def __init__(self, plane: Process, far: Process, far_port: int) -> None:
        self._plane = plane
        self._far = far
        self._far_port = far_port
        self._link: Link[MediaCommand, MediaEvent] | None = None
        self._hello = asyncio.Event()
        self._health: list[MediaHealth] = []
        self._ports: dict[LegId, int] = {}
        self._order: list[LegId] = []
        """Legs, line by line; every `LINES_PER_PAIR` lines are followed by an agent's."""

    @classmethod
    async def start(cls, folder: Path, lines: int, held: AsyncExitStack) -> _Load:
        ports = math.ceil(lines * PORTS_PER_LINE) + 64
        first = free_block(ports, set())
        path = folder / "m.sock"
        plane = await _run(
            ["dialer_core.media.plane", "--socket", str(path), "--ports", f"{first}-{first + ports - 1}", "--log-level", "error"], held
        )  # fmt: skip
        far = await _run(["dialer_core.sim.talkers"], held, piped=True)
        said = await _read_line(far)
        load = cls(plane, far, said["port"])
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError):
                load._link = await Link.attach(path, MediaEvent, load._take, lambda: None)
                held.callback(load._link.close)
                break
            if time.monotonic() > deadline or plane.returncode is not None:
                raise StartError("the media plane did not start; 'dialer doctor' says what is missing")
            await asyncio.sleep(0.05)
        await asyncio.wait_for(load._hello.wait(), START_LIMIT_S)
        return load

    def _take(self, event: MediaEvent) -> None:
        match event:
            case MediaHello():
                self._hello.set()
            case MediaHealth():
                self._health.append(event)
            case LegOpened():
                self._ports[event.leg_id] = event.port
            case _:
                pass

    def _send(self, command: MediaCommand) -> None:
        if self._link is not None:
            self._link.send(command)

    async def carry(self, lines: int, seconds: float) -> LoadStep:
        """Have so many lines, look at them for so long, and judge."""
        await self._resize(lines + lines // LINES_PER_PAIR)
        await self._talk()
        await asyncio.sleep(SETTLE_S)
        told = await self._talk()  # the opening is not looked at
        self._health.clear()
        plane_s, far_s = _cpu_s(self._plane.pid), told["cpu_s"]
        before = await self._next_health()
        await asyncio.sleep(seconds)
        after = await self._next_health()
        plane_s = _cpu_s(self._plane.pid) - plane_s
        told = await self._talk()
        span_s = told["seconds"]
        worst_ms = max(one.tick_lag_ms for one in self._health)
        lost = after.rx_lost + after.rx_overrun - before.rx_lost - before.rx_overrun + int(told["missing"])
        sent_share = told["sent"] / (span_s * 50 * len(self._order))
        media_cpu = plane_s / span_s
        why = ""
        if sent_share < 0.98:
            why = "the simulated far ends: they do not keep up on the same machine"
        elif lost:
            why = f"lost packets: {lost} in {span_s:.0f} s at {lines} lines"
        elif worst_ms > WORST_TICK_MS:
            why = f"late sound: up to {worst_ms:.0f} ms at {lines} lines"
        elif media_cpu > BUSY:
            why = f"the media plane's core: {media_cpu:.0%} busy at {lines} lines"
        return LoadStep(
            lines=lines, carried=not why, why=why, media_cpu=round(media_cpu, 3), far_ends_cpu=round((told["cpu_s"] - far_s) / span_s, 3),
            worst_tick_ms=round(worst_ms, 1), lost=lost,
        )  # fmt: skip

    async def _resize(self, legs: int) -> None:
        while len(self._order) > legs:
            self._send(CloseLeg(leg_id=self._order.pop()))
        new = [LegId(f"load-{number}") for number in range(len(self._order), legs)]
        for leg in new:
            self._ports.pop(leg, None)
        for first in range(0, len(new), 50):
            for leg in new[first : first + 50]:
                self._send(OpenLeg(leg_id=leg, kind=LegKind.CUSTOMER))
            await asyncio.sleep(0.02)
        deadline = time.monotonic() + START_LIMIT_S
        while not all(leg in self._ports for leg in new):
            if time.monotonic() > deadline:
                raise StartError("the media plane does not open its sockets in time")
            await asyncio.sleep(0.02)
        for number, leg in enumerate(new, start=len(self._order)):
            self._send(ConnectLeg(leg_id=leg, host="127.0.0.1", port=self._far_port, codec="PCMU"))
            place = number % (LINES_PER_PAIR + 1)
            if place == LINES_PER_PAIR:
                self._send(Bridge(leg_id=LegId(f"load-{number - 1}"), agent_leg_id=leg, connect_tone=""))
            elif place < LINES_PER_PAIR - 1:
                self._send(Listen(leg_id=leg, mode=DetectionMode.MONITOR))
        self._order += new

    async def _talk(self) -> dict[str, float]:
        assert self._far.stdin is not None  # noqa: S101 - asked for a pipe
        self._far.stdin.write(json.dumps([self._ports[leg] for leg in self._order]).encode() + b"\n")
        return await _read_line(self._far)

    async def _next_health(self) -> MediaHealth:
        have = len(self._health)
        deadline = time.monotonic() + START_LIMIT_S
        while len(self._health) == have:
            if time.monotonic() > deadline:
                raise StartError("the media plane says nothing any more")
            await asyncio.sleep(0.05)
        return self._health[-1]


async def _measure_workers(folder: Path) -> tuple[float, int]:
    """Start a few line workers; return the memory each adds in MB, and how many calls one takes."""
    from dialer_core.ipc.messages import WorkerEvent, WorkerHello  # noqa: PLC0415 - the media plane's names are used above
    from dialer_core.sip.pool import worker_socket_path  # noqa: PLC0415

    settings = ForkServerSettings(log_level="error", log_format="console")
    forks = await ForkServer.start(folder, on_exit=lambda _name, _code: None, settings=settings)
    try:
        first = free_block(2 * WORKERS, set())
        names = [WorkerId(f"load-{number}") for number in range(WORKERS)]
        for number, name in enumerate(names):
            await forks.spawn(name, sip_host="127.0.0.1", sip_port=first + 2 * number, media_host="127.0.0.1")
        capacity: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def take(event: Any) -> None:
            if isinstance(event, WorkerHello) and not capacity.done():
                capacity.set_result(event.capacity)

        async with asyncio.timeout(START_LIMIT_S):
            while True:
                with contextlib.suppress(OSError):
                    link: Link[Any, Any] = await Link.attach(
                        worker_socket_path(folder, names[-1]), WorkerEvent, take, lambda: None
                    )
                    break
                await asyncio.sleep(0.05)
            calls = await capacity
        link.close()
        await asyncio.sleep(0.3)
        return sum(_private_mb(pid) for pid in forks.workers.values()) / WORKERS, calls
    except TimeoutError as error:
        raise StartError("the line workers do not start; 'dialer doctor' says what is missing") from error
    finally:
        await forks.stop()


async def _run(module: list[str], held: AsyncExitStack, *, piped: bool = False) -> Process:
    """Start a module of ours; it ends with `held`."""
    pipe = asyncio.subprocess.PIPE if piped else None
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        stdin=pipe,
        stdout=pipe,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )

    async def end() -> None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5.0)
        except TimeoutError:
            process.kill()
            await process.wait()

    held.push_async_callback(end)
    return process


async def _read_line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - asked for a pipe
    line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
    if not line:
        raise StartError("the simulated far ends ended by themselves")
    read: dict[str, Any] = json.loads(line)
    return read


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kilobytes(path: str, *names: str) -> Iterator[int]:
    for line in Path(path).read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            yield int(rest.split()[0])


def _private_mb(pid: int) -> float:
    return sum(_kilobytes(f"/proc/{pid}/smaps_rollup", "Private_Clean", "Private_Dirty")) / 1000


def _available_mb() -> float:
    return sum(_kilobytes("/proc/meminfo", "MemAvailable")) / 1000
