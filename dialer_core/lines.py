"""The engine's side of the line workers and the media plane: who is attached, how many calls each can take, and sending to them.

It owns links, slots and attaching again. What the events mean is `call_flow.py`'s and `softphones.py`'s: they are handed on, in order.
`MediaPort` and `WorkerPort` are the seam that lets a test drive the real engine on virtual time without processes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog

from dialer_core.ipc.channel import Link
from dialer_core.ipc.messages import (
    AllowSources,
    DumpState,
    LegEnded,
    MediaCommand,
    MediaEvent,
    MediaHealth,
    MediaHello,
    MediaState,
    Place,
    WorkerCommand,
    WorkerEvent,
    WorkerHealth,
    WorkerHello,
    WorkerState,
)
from dialer_core.liveness import HELLO_LIMIT_S, LOOK_INTERVAL_S, Silence
from dialer_core.loop_lag import Latencies
from dialer_core.sip.crew import AGENTS, CUSTOMERS, INBOUND
from dialer_core.vocabulary import LegKind, WorkerId

log = structlog.get_logger(__name__)

ATTACH_INTERVAL_S = 0.2
MEDIA_ATTACH_INTERVAL_S = 0.02
"""The same while there is no media plane: nobody hears anything meanwhile."""
WORKER_SOCKETS = "worker-*.sock"
MEDIA_SOCKET = "media.sock"
AGENT_WORKER_PREFIX = f"{AGENTS}-"
CUSTOMER_WORKER_PREFIX = f"{CUSTOMERS}-"
INBOUND_WORKER_PREFIX = f"{INBOUND}-"
TIMED_COMMANDS = 1000
"""The last customers' INVITEs of which the way from command to wire is known."""


class WorkerPort(Protocol):
    """What can be told to one worker."""

    @property
    def over_mark(self) -> bool:
        """It has so much unread that nothing new should be given to it."""

    def send(self, message: WorkerCommand) -> None:
        """Queue a command; never blocks."""

    def close(self) -> None:
        """Let go of it."""


class MediaPort(Protocol):
    """What can be told to the media plane."""

    attached: bool
    """It is there; while it is not, what is sent is lost."""

    @property
    def over_mark(self) -> bool:
        """It has so much unread that no new call should be begun."""

    def send(self, message: MediaCommand) -> None:
        """Queue a command; never blocks; dropped while it is away (the engine is told that it is)."""


@dataclass(slots=True)
class Worker:
    """One attached worker."""

    id: WorkerId
    port: WorkerPort
    capacity: int = 0
    slots_used: int = 0
    placing: int = 0
    """Placed since the last health report, so perhaps not yet in `slots_used`."""
    rss_mb: float = 0.0
    boot: str = ""
    ready: bool = False
    draining: bool = False
    """It takes nothing new, and goes when its calls have ended."""
    chosen: int = 0
    """When it was chosen last, as a count of choices."""

    @property
    def free(self) -> int:
        """Calls it can surely take."""
        if not self.ready or self.draining or self.port.over_mark:
            return 0
        return max(0, self.capacity - self.slots_used - self.placing)


class WorkerPool:
    """Every attached line worker. Agents' legs live in workers of their own, so that no customer's call can take them down."""

    def __init__(
        self,
        on_event: Callable[[WorkerId, WorkerEvent], None],
        on_lost: Callable[[WorkerId], None],
        on_capacity: Callable[[], None],
    ) -> None:
        self.workers: dict[WorkerId, Worker] = {}
        self._sources: AllowSources | None = None
        self.command_to_wire = Latencies(TIMED_COMMANDS)
        """From the engine's `Place` to the INVITE's departure, customers' calls."""
        self._choices = 0
        self._on_event = on_event
        self._on_lost = on_lost
        self._on_capacity = on_capacity
        self._on_state: Callable[[WorkerId, WorkerState], None] = lambda _name, _state: None

    def on_state(self, callback: Callable[[WorkerId, WorkerState], None]) -> None:
        """Set what is told everything a worker holds, each time it is attached."""
        self._on_state = callback

    def allow(self, sources: AllowSources) -> None:
        """Tell every worker, present and to come, whom SIP may come from."""
        self._sources = sources
        for worker in self.workers.values():
            if worker.ready:
                worker.port.send(sources)

    def add(self, name: WorkerId, port: WorkerPort) -> None:
        """Take a worker in; it counts once it has said hello."""
        self.workers[name] = Worker(id=name, port=port)

    def remove(self, name: WorkerId) -> None:
        """A worker's socket has closed."""
        worker = self.workers.pop(name, None)
        if worker is None:
            return
        if worker.draining and not worker.slots_used:
            log.info("worker_left", worker=name)
        else:
            self._on_lost(name)

    def choose(self, kind: LegKind) -> WorkerId | None:
        """Return the worker with most room for a leg of this kind, of equals the one that has rested longest; None where there is no room."""
        prefix = CUSTOMER_WORKER_PREFIX if kind is LegKind.CUSTOMER else AGENT_WORKER_PREFIX
        candidates = [
            worker for worker in self.workers.values() if worker.free and worker.id.startswith(prefix)
        ]
        best = max(candidates, key=lambda worker: (worker.free, -worker.chosen), default=None)
        if best is None:
            return None
        self._choices += 1
        best.chosen = self._choices
        return best.id

    def wanted(self, lines_free: int) -> int:
        """Return how many more customers' workers it takes so that every free line has a slot: some hold calls that the far end does not let go."""
        customers = [
            worker for worker in self.workers.values() if worker.id.startswith(CUSTOMER_WORKER_PREFIX)
        ]
        capacity = max((worker.capacity for worker in customers), default=0)
        missing = lines_free - sum(worker.free for worker in customers)
        return -(-missing // capacity) if capacity and missing > 0 else 0

    def is_draining(self, name: WorkerId | None) -> bool:
        """Whether a worker wants to leave."""
        return name is not None and (worker := self.workers.get(name)) is not None and worker.draining

    def free_for_customers(self) -> int:
        """Customers' calls that could be placed now."""
        return sum(
            worker.free for worker in self.workers.values() if worker.id.startswith(CUSTOMER_WORKER_PREFIX)
        )

    def send(self, name: WorkerId, message: WorkerCommand) -> None:
        """Send to a worker; nothing where it is gone (its loss has been told)."""
        if (worker := self.workers.get(name)) is not None:
            if isinstance(message, Place):
                worker.placing += 1
            worker.port.send(message)

    def receive(self, name: WorkerId, event: WorkerEvent) -> None:
        """Take one event of a worker."""
        worker = self.workers.get(name)
        if worker is None:
            return
        match event:
            case WorkerHello():
                worker.capacity, worker.boot, worker.ready = event.capacity, event.boot, True
                if self._sources is not None:
                    worker.port.send(self._sources)
                worker.port.send(DumpState())
                log.info("worker_attached", worker=name, capacity=event.capacity, pid=event.pid)
                self._on_capacity()
            case WorkerHealth():
                freed = event.slots_used < worker.slots_used
                worker.draining = event.draining
                worker.slots_used, worker.capacity, worker.rss_mb, worker.placing = (
                    event.slots_used,
                    event.capacity,
                    event.rss_mb,
                    0,
                )
                if freed:
                    self._on_capacity()
            case WorkerState():
                worker.slots_used = max(worker.slots_used, len(event.legs))
                self._on_state(name, event)
            case LegEnded():
                if not event.invite_sent:
                    worker.slots_used = (
                        worker.capacity
                    )  # it was full after all; its next report says how full
                self._on_event(name, event)
                self._on_capacity()
            case _:
                self._on_event(name, event)


class MediaLink:
    """The one media plane, attached or not."""

    def __init__(
        self,
        on_event: Callable[[MediaEvent], None],
        on_attached: Callable[[MediaState], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._on_event = on_event
        self._on_attached = on_attached
        self._on_lost = on_lost
        self.link: Link[MediaCommand, MediaEvent] | None = None
        self.prompts: dict[str, float] = {}
        """Seconds of each prompt that the media plane can play."""
        self.state: MediaState | None = None
        """What it held when it was attached; None while there is none, or it has not said so yet."""
        self.attached = False
        """Set by whoever is told of `state`, when the calls and what it holds agree; from then on commands reach it."""
        self.last_health: MediaHealth | None = None

    @property
    def over_mark(self) -> bool:
        """It has so much unread that no new call should be begun."""
        return self.link is not None and self.link.over_mark

    def send(self, message: MediaCommand) -> None:
        """Queue a command; dropped until it has said what it holds, for what it is told depends on that."""
        if self.link is not None and self.attached:
            self.link.send(message)

    def receive(self, event: MediaEvent) -> None:
        """Take one event."""
        match event:
            case MediaHello():
                self.prompts = {name: event.prompt_seconds.get(name, 0.0) for name in event.prompts}
                if self.link is not None:
                    self.link.send(DumpState())
                log.info("media_attached", pid=event.pid)
            case MediaState():
                self.state = event
                self._on_attached(event)
            case MediaHealth():
                self.last_health = event
            case _:
                self._on_event(event)

    def closed(self) -> None:
        """The socket has closed."""
        self.link = self.state = None
        if self.attached:
            self.attached = False
            self._on_lost()


class Attacher:
    """Keeps the engine attached to every worker socket and the media plane in the run folder, for ever again, and ends what hangs there."""

    def __init__(self, run_dir: Path, pool: WorkerPool, media: MediaLink) -> None:
        self._run_dir = run_dir
        self._pool = pool
        self._media = media
        self._links: dict[WorkerId, Link[WorkerCommand, WorkerEvent]] = {}
        self._silence = Silence(first_limit_s=HELLO_LIMIT_S)
        self.on_scanned: Callable[[], None] = lambda: None
        """Called when everything there is has been attached for the first time."""

    async def run(self) -> None:
        """Attach to whatever appears, until cancelled."""
        loop = asyncio.get_running_loop()
        look_s = workers_s = loop.time()
        while True:
            await self._attach_media()
            if loop.time() >= workers_s:
                workers_s = loop.time() + ATTACH_INTERVAL_S
                await self._attach_workers()
                self._tell_scanned()
            if loop.time() >= look_s:
                look_s = loop.time() + LOOK_INTERVAL_S
                self._end_silent(loop.time())
            await asyncio.sleep(MEDIA_ATTACH_INTERVAL_S if self._media.link is None else ATTACH_INTERVAL_S)

    def _tell_scanned(self) -> None:
        on_scanned, self.on_scanned = self.on_scanned, lambda: None
        on_scanned()

    def _end_silent(self, now_s: float) -> None:
        """Kill who is attached and says nothing, or reads nothing: from here on it is dead, and replaced."""
        links: dict[str, Link[Any, Any]] = dict(self._links.items())
        if self._media.link is not None:
            links[MEDIA_SOCKET] = self._media.link
        counts = {name: -1 if link.over_limit else link.received for name, link in links.items()}
        for name in self._silence.look(now_s, counts):
            link = links[name]
            log.error("peer_hangs", peer=name, pid=link.peer_pid, queued_bytes=link.queued_bytes)
            link.kill_peer()
            link.close()
            if name == MEDIA_SOCKET:
                self._media.closed()
            else:
                self._closed(WorkerId(name))

    async def _attach_media(self) -> None:
        if self._media.link is None:
            with contextlib.suppress(OSError):  # not up yet, or being replaced: looked for again in a moment
                self._media.link = await Link.attach(
                    self._run_dir / MEDIA_SOCKET, MediaEvent, self._media.receive, self._media.closed
                )

    def _worker_sockets(self) -> list[Path]:
        try:
            return list(self._run_dir.glob(WORKER_SOCKETS))
        except OSError as error:  # no descriptor is left for looking: looked again in a moment
            log.error("workers_not_looked_for", error=error.strerror)  # noqa: TRY400 - the text says it all
            return []

    async def _attach_workers(self) -> None:
        for path in self._worker_sockets():
            name = WorkerId(path.stem.removeprefix("worker-"))
            if name in self._links:
                continue
            try:
                link: Link[WorkerCommand, WorkerEvent] = await Link.attach(
                    path, WorkerEvent, partial(self._pool.receive, name), partial(self._closed, name)
                )
            except OSError:
                continue
            self._links[name] = link
            self._pool.add(name, link)

    def _closed(self, name: WorkerId) -> None:
        self._links.pop(name, None)
        self._pool.remove(name)

    def close(self) -> None:
        """Let go of everything."""
        for link in list(self._links.values()):
            link.close()
        if self._media.link is not None:
            self._media.link.close()
