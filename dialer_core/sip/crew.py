"""The line workers of a node: how many there are, who is started, replaced, renewed or let go.

It owns the plan (from the capacity that the first worker tells), ids and ports, back-off, the memory watch, growth and shrinking. It makes no process
itself (`pool.py`) and knows no call: which worker takes one is the engine's choice (`lines.py`).

A worker is let go by draining: it takes nothing new and leaves when its last call has ended, so nothing here ends a call.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from dialer_core.errors import StartError
from dialer_core.ipc.channel import Link
from dialer_core.ipc.messages import WorkerCommand, WorkerEvent, WorkerHello
from dialer_core.settings import Settings
from dialer_core.sip.pool import ForkServer, worker_socket_path
from dialer_core.vocabulary import WorkerId

log = structlog.get_logger(__name__)

CUSTOMERS, AGENTS, INBOUND = "customers", "agents", "inbound"
"""The kinds of workers, and the first word of their ids: what kills a customers' worker takes no agent's leg along. Those of `inbound` take calls
from the edge, and place none."""
SPARE_LINES: Final = 0.25
"""Extra slots: one lives on for up to 12 s (32 after an unanswered CANCEL) after a BYE that nobody answers."""
GROWTH_MAX: Final = 2.0
"""Customers' workers at most, as a multiple of the plan: what a carrier that answers no BYE at all can make us add."""
GROW_AFTER_S: Final = 3.0
"""The engine must have been short of slots for so long: a worker that is being replaced is no reason to grow."""
SHRINK_AFTER_S: Final = 120.0
"""Without any want for so long, one worker beyond the plan is let go, and the next after as long again."""
HELLO_LIMIT_S: Final = 15.0
LISTEN_LIMIT_S: Final = 15.0
"""From a worker's fork to its socket in the run folder: one without it cannot be heard by the engine, and hangs."""
WATCH_INTERVAL_S: Final = 1.0
RENEWED_AT_ONCE: Final = 0.1
"""Share of the workers that may be on their way out at once."""
RENEWED_AFTER_S: Final = 600.0
"""No worker is renewed earlier: where a limit is below what every worker needs, they must not replace each other for ever."""
RESTART_FIRST_S: Final = 0.2
RESTART_MAX_S: Final = 10.0
STEADY_S: Final = 30.0
"""Whoever lived so long starts again at once when it dies; who did not waits longer each time."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")


def backoff_s(short_lives: int) -> float:
    """Return how long to wait before the next start of what has died so often in a row without living `STEADY_S`."""
    return float(min(RESTART_MAX_S, RESTART_FIRST_S * 2**short_lives))


def planned(lines: int, agents: int, capacity: int) -> tuple[int, int]:
    """Return how many customers' and agents' workers lines and agents need.

    Examples
    --------
    >>> planned(480, 40, 4), planned(480, 40, 32)
    ((150, 13), (19, 2))
    """
    customers = max(1, math.ceil(lines * (1 + SPARE_LINES) / capacity))
    return customers, math.ceil(agents * (1 + SPARE_LINES) / capacity)


@dataclass(slots=True)
class Member:
    """One worker that should be there."""

    id: WorkerId
    kind: str
    port: int
    started_s: float = 0.0
    short_lives: int = 0
    leaving: bool = False
    """Told to take nothing new: nobody replaces it when it has gone."""


@dataclass(slots=True)
class Crew:
    """All line workers of a node.

    Parameters
    ----------
    settings
        Lines, agents, SIP address and ports, start rate, memory limit.
    forks
        What makes them; its `on_exit` must be `exited`.
    """

    settings: Settings
    forks: ForkServer
    members: dict[WorkerId, Member] = field(default_factory=dict)
    capacity: int = 0
    """Calls of one worker, as pjsua2 says."""
    wanted: int = 0
    """Workers that the engine could use on top, as it said last."""
    stopping: bool = False
    _planned: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _wanted_since_s: float | None = None
    _content_since_s: float = 0.0

    async def start(self) -> None:
        """Start one worker, read how many calls this pjsua2 takes, then as many as lines and agents need.

        Raises
        ------
        StartError
            The first worker does not come up.
        """
        began_s = self._now_s()
        first = self._enlist(CUSTOMERS)
        await self._spawn(first)
        self.capacity = await self._read_capacity(first)
        lines = sum(trunk.lines for trunk in self.settings.trunks.values())
        phones = len(self.settings.agents) + len(self.settings.dialer.extensions)
        self._planned, agents = planned(lines, phones, self.capacity)
        edge = self.settings.dialer.edge
        inbound = edge.inbound_workers if edge.enabled else 0
        await self._add([CUSTOMERS] * (self._planned - 1) + [AGENTS] * agents + [INBOUND] * inbound)
        log.info(
            "workers_started",
            workers=len(self.members),
            capacity=self.capacity,
            took_s=round(self._now_s() - began_s, 2),
        )

    async def watch(self) -> None:
        """Look after memory and number until cancelled."""
        self._content_since_s = self._now_s()
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            self._end_unheard(self._now_s())
            try:
                await self._renew_large()
                await self._fit(self._now_s())
            except (StartError, OSError) as error:
                log.error("worker_not_added", error=str(error))  # noqa: TRY400 - the text says it all

    def exited(self, name: WorkerId, code: int | None) -> None:
        """Take the news that a worker has gone; another takes its place unless it was let go."""
        member = self.members.get(name)
        if self.stopping or member is None:
            return
        if member.leaving:
            del self.members[name]
            log.info("worker_left", worker=name, code=code)
            return
        lived_s = self._now_s() - member.started_s
        member.short_lives = 0 if lived_s > STEADY_S else member.short_lives + 1
        log.error(
            "worker_died", worker=name, code=code, lived_s=round(lived_s, 1), short_lives=member.short_lives
        )
        self._in_background(self._replace(member))

    async def renew(self, name: WorkerId) -> None:
        """Start another in a worker's place, then let it go when its calls have ended.

        Raises
        ------
        StartError
            The other one could not be started: the old one stays.
        """
        member = self.members[name]
        fresh = self._enlist(member.kind)
        await self._spawn_new(fresh)
        self._let_go(member)
        log.info("worker_renewed", worker=name, by=fresh.id)

    async def stop(self) -> None:
        """End every worker and the fork server."""
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        await self.forks.stop()

    # --- starting

    async def _add(self, kinds: list[str]) -> None:
        """Start workers, no more of them in a second than the settings say."""
        gap_s = 1.0 / self.settings.dialer.sip.start_rate_per_s
        due_s = self._now_s()
        for kind in kinds:
            if self.stopping:
                return
            await self._spawn_new(self._enlist(kind))
            due_s = max(
                due_s + gap_s, self._now_s() - 1.0
            )  # what was late is caught up with, for a second's worth
            await asyncio.sleep(max(0.0, due_s - self._now_s()))

    def _enlist(self, kind: str) -> Member:
        """Give a new worker the first free id of its kind and the first free port."""
        number = next(n for n in range(len(self.members) + 1) if f"{kind}-{n}" not in self.members)
        taken = {member.port for member in self.members.values()}
        dialer = self.settings.dialer
        first = dialer.edge.inbound_first_port if kind == INBOUND else dialer.sip.first_port
        port = next(port for port in range(first, first + len(taken) + 1) if port not in taken)
        member = Member(WorkerId(f"{kind}-{number}"), kind, port)
        self.members[member.id] = member
        return member

    async def _spawn_new(self, member: Member) -> None:
        """Start one that has just been enlisted; where that fails it is struck off: nobody would ever start it again."""
        try:
            await self._spawn(member)
        except (StartError, OSError):
            del self.members[member.id]
            raise

    async def _spawn(self, member: Member, *, successor: bool = False) -> None:
        dialer = self.settings.dialer
        member.started_s = self._now_s()
        await self.forks.spawn(
            member.id,
            sip_host=dialer.sip.bind,
            sip_port=member.port,
            media_host=dialer.media.public_address or dialer.media.bind,
            successor=successor,
        )

    async def _read_capacity(self, member: Member) -> int:
        """Attach for a moment, as an engine would, and take the capacity from its hello."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[int] = loop.create_future()

        def on_message(event: WorkerEvent) -> None:
            if isinstance(event, WorkerHello) and not heard.done():
                heard.set_result(event.capacity)

        deadline = loop.time() + HELLO_LIMIT_S
        while loop.time() < deadline:
            if member.id not in self.forks.workers:
                raise StartError(
                    f"line worker {member.id} ended at once: is SIP port {member.port} in use? (sip.first_port in dialer.toml)"
                )
            try:
                link: Link[WorkerCommand, WorkerEvent] = await Link.attach(
                    worker_socket_path(self.settings.run_dir, member.id),
                    WorkerEvent,
                    on_message,
                    lambda: None,
                )
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                return await asyncio.wait_for(heard, max(0.1, deadline - loop.time()))
            except TimeoutError:
                break
            finally:
                link.close()
        raise StartError(f"line worker {member.id} did not say hello within {HELLO_LIMIT_S:g} s")

    async def _replace(self, member: Member) -> None:
        while True:
            await asyncio.sleep(backoff_s(member.short_lives))
            if self.stopping or member.leaving:
                break
            try:
                await self._spawn(member, successor=True)
            except (
                StartError,
                OSError,
            ) as error:  # an OSError: no descriptor or process for a new fork server
                member.short_lives += 1
                log.error("worker_not_replaced", worker=member.id, error=str(error))  # noqa: TRY400 - the text says it all
            else:
                return
        if member.leaving:
            self.members.pop(member.id, None)

    # --- watching

    def _end_unheard(self, now_s: float) -> None:
        """Kill who has never come to listen; from there on it is a death. Whoever listens is heard by the engine."""
        for name in list(self.forks.workers):
            member = self.members.get(name)
            late = member is not None and now_s - member.started_s > LISTEN_LIMIT_S
            if late and not worker_socket_path(self.settings.run_dir, name).exists():
                log.error("worker_never_listened", worker=name, limit_s=LISTEN_LIMIT_S)
                self.forks.kill(name)

    async def _renew_large(self) -> None:
        """Renew whoever has grown over the memory limit, the largest first, a few at a time."""
        limit_mb = self.settings.dialer.sip.worker_memory_mb
        sizes = {
            name: size
            for name, pid in self.forks.workers.items()
            if (member := self.members.get(name)) is not None
            and not member.leaving
            and self._now_s() - member.started_s >= RENEWED_AFTER_S
            and (size := resident_mb(pid)) > limit_mb
        }
        leaving = sum(member.leaving for member in self.members.values())
        room = max(1, int(RENEWED_AT_ONCE * len(self.members))) - leaving
        for name in sorted(sizes, key=lambda name: -sizes[name])[: max(0, room)]:
            log.warning("worker_over_memory_limit", worker=name, rss_mb=round(sizes[name]), limit_mb=limit_mb)
            await self.renew(name)

    async def _fit(self, now_s: float) -> None:
        """Add what the engine has wanted for a while; let go what nobody has wanted for long."""
        customers = [
            member for member in self.members.values() if member.kind == CUSTOMERS and not member.leaving
        ]
        if not self.wanted or any(member.id not in self.forks.workers for member in customers):
            self._wanted_since_s = None
        elif self._wanted_since_s is None:
            self._wanted_since_s = now_s
        if self.wanted:
            self._content_since_s = now_s
        room = int(GROWTH_MAX * self._planned) - len(customers)
        if self._wanted_since_s is not None and now_s - self._wanted_since_s >= GROW_AFTER_S and room > 0:
            more = min(self.wanted, room)
            log.warning(
                "workers_added", more=more, reason="slots are held by calls that the far end does not let go"
            )
            self._wanted_since_s = None
            await self._add([CUSTOMERS] * more)
        elif len(customers) > self._planned and now_s - self._content_since_s >= SHRINK_AFTER_S:
            self._content_since_s = now_s
            running = [member for member in customers if member.id in self.forks.workers]
            if running:
                self._let_go(max(running, key=lambda member: member.started_s))

    def _let_go(self, member: Member) -> None:
        member.leaving = True
        self.forks.drain(member.id)
        log.info("worker_draining", worker=member.id)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


def resident_mb(pid: int) -> float:
    """Return a process' resident memory; 0 where it has gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES / 1e6
    except OSError:
        return 0.0
