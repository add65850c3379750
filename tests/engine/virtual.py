"""The real call loop on virtual time, with fake workers and a fake media plane, for tests of many calls in a moment.

Owns `VirtualLoop` (an event loop whose time jumps to the next timer instead of waiting) and `Floor` (everything wired over a real SQLite
store with an inline journal). What far ends, workers and media plane do is `fakes.py`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import selectors
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from dialer_core.call_loop import CallLoop
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import VirtualClock
from dialer_core.compliance.packs import load_packs
from dialer_core.flows.language import Flow
from dialer_core.ipc.messages import (
    MediaHello,
    WorkerHello,
)
from dialer_core.runtime import Runtime
from dialer_core.settings import AgentSettings, DialerSettings, Settings, TrunkSettings
from dialer_core.store.database import open_database
from dialer_core.store.journal import Journal
from dialer_core.store.reader import Reader
from dialer_core.vocabulary import AgentId, CampaignId, TrunkId, WorkerId
from tests.engine.fakes import Behaviour, FakeCarrier
from tests.engine.mortal import Life

START = dt.datetime(2026, 11, 17, 18, 0, tzinfo=dt.UTC)
"""A Tuesday noon in Mexico City."""


__all__ = ["Behaviour", "Floor"]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: when nothing is ready, its time and the clock jump to the next timer."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(selectors.SelectSelector())
        self._clock = clock
        self._now_s = 0.0
        real_select = self._selector.select

        def select(timeout: float | None = None) -> list[Any]:
            ready = real_select(0)
            if not ready and timeout:
                self._now_s += timeout
                self._clock.set_elapsed_s(self._now_s)
            elif not ready and timeout is None:
                raise RuntimeError("nothing is ready and no timer runs: the test would wait for ever")
            return ready

        self._selector.select = select  # type: ignore[method-assign]

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now_s


class _WorkerPort:
    over_mark = False

    def __init__(self, life: Life, carrier: FakeCarrier, name: WorkerId) -> None:
        self._life = life
        self._carrier = carrier
        self._name = name

    def send(self, message: object) -> None:
        if self._life.alive:
            self._carrier.to_worker(self._name, message)

    def close(self) -> None:
        pass


class _MediaPort:
    @property
    def over_mark(self) -> bool:
        return self._carrier.over_mark

    def __init__(self, life: Life, carrier: FakeCarrier) -> None:
        self._life = life
        self._carrier = carrier

    def send(self, message: object) -> None:
        if self._life.alive:
            self._carrier.send(message)


class Floor:
    """A campaign floor on virtual time.

    Parameters
    ----------
    folder
        For the store and the configuration.
    agents
        How many agents (`a0`, `a1` …), ready as soon as their softphone answers.
    campaign
        Settings over the defaults of `demo`.
    trunks
        Trunks by name; by default one, `carrier`.
    skills
        Each agent's.
    staff
        Agents of other settings, beside those.
    """

    def __init__(
        self,
        folder: Path,
        *,
        agents: int = 2,
        campaign: dict[str, Any] | None = None,
        trunks: dict[str, dict[str, Any]] | None = None,
        workers: int = 10,
        pack: str = "demo",
        extensions: dict[str, dict[str, Any]] | None = None,
        skills: list[dict[str, int]] | None = None,
        flows: dict[str, Flow] | None = None,
        staff: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.clock = VirtualClock(START)
        self.loop = VirtualLoop(self.clock)
        asyncio.set_event_loop(self.loop)
        self.node, self.boot_id = "node1", "boot-1"
        self.folder = folder
        config = folder / "config"
        config.mkdir(exist_ok=True)
        trunk_settings = trunks or {"carrier": {"host": "127.0.0.1", "lines": 20, "calls_per_second": 20}}
        values = {
            "rule_pack": pack, "creditor": "Banco de Prueba", "caller_id": "+525500000000", "detection": "fast",
            "trunks": tuple(trunk_settings), "wrap_up_s": 5.0,
        } | (campaign or {})  # fmt: skip
        self.settings = Settings(
            config,
            DialerSettings(extensions=extensions or {}),
            {TrunkId(name): TrunkSettings(**trunk) for name, trunk in trunk_settings.items()},
            {
                AgentId(f"a{index}"): AgentSettings(
                    sip=f"sip:a{index}@127.0.0.1:5{index:03}",
                    auto_ready=True,
                    skills=skills[index] if skills else {},
                )
                for index in range(agents)
            }
            | {AgentId(name): AgentSettings(**its) for name, its in (staff or {}).items()},
            {CampaignId("demo"): CampaignSettings(**values)},
            flows=flows,
        )
        self.database = open_database(f"sqlite:///{folder / 'floor.db'}", clock=self.clock, boot_id="boot-1")
        self.database.migrate()
        self.journal = Journal(self.database, node="node1", boot_id="boot-1", clock=self.clock, inline=True)
        self.packs = load_packs(Path(__file__).parents[2] / "dialer_core" / "config_defaults" / "compliance")
        self.carrier = FakeCarrier(self)
        self.worker_names = [WorkerId(f"customers-{index}") for index in range(workers)] + [
            WorkerId(f"agents-{index}") for index in range(max(1, (agents + 3) // 4))
        ]
        self.engine: CallLoop
        self.life: Life
        self.commit_s = 0.0
        """How long a commit of the next engine takes."""
        self.media_up = False
        self.workers_up: set[WorkerId] = set()
        self._running: asyncio.Task[None] | None = None

    async def start(self, *, login: bool = True) -> None:
        """Make the call loop, attach fake workers and media plane, log everybody in."""
        self.media_up, self.workers_up = True, set(self.worker_names)
        await self.start_again()
        if login:
            for name, agent in self.settings.agents.items():
                if not agent.state_from:
                    self.engine.login(name)

    async def start_again(self) -> None:
        """Make a call loop, attach whatever lives, and wait until it has taken over."""
        self.life = Life(self.loop, self.journal, self.commit_s)
        runtime = Runtime(
            node=self.node, boot_id=self.boot_id, clock=self.clock, journal=cast("Journal", self.life.journal),
            reader=Reader(self.database, inline=True),
            loop=cast("asyncio.AbstractEventLoop", self.life.loop),
        )  # fmt: skip
        self.engine = CallLoop(runtime, self.settings, self.packs, {})
        self.engine.on_orphan(self.carrier.end_orphan)
        await self.engine.recover()
        if self.media_up:
            self.attach_media()
        for name in sorted(self.workers_up):
            self.attach_worker(name)
        self.engine.recovery.scanned()
        await self.engine.recovery.done.wait()
        self._running = self.loop.create_task(self.engine.run())

    def kill_engine(self) -> None:
        """Let the engine die in the middle of what it does."""
        self.life.alive = False
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def attach_media(self) -> None:
        """Say hello as a media plane."""
        self.media_up = True
        if not self.life.alive:
            return
        self.engine.media.link = _MediaPort(self.life, self.carrier)  # type: ignore[assignment]
        self.engine.media.receive(
            MediaHello(
                at_ns=self.clock.mono_ns(),
                pid=1,
                boot="m",
                prompts=("connect", "abandonment-es", "abandonment-en", "hold"),
            )
        )
        self.carrier.tell_kept(None)

    def lose_media(self) -> None:
        """Let the media plane die, with every leg; commands to it go nowhere until `attach_media`."""
        self.media_up = False
        self.carrier.forget_sound()
        if self.life.alive:
            self.engine.media.closed()

    def attach_worker(self, name: WorkerId) -> None:
        """Say hello as a worker."""
        self.workers_up.add(name)
        if not self.life.alive:
            return
        self.engine.workers.add(name, _WorkerPort(self.life, self.carrier, name))
        self.engine.workers.receive(
            name,
            WorkerHello(
                at_ns=self.clock.mono_ns(),
                worker=name,
                pid=1,
                capacity=4,
                boot="w",
                sip_host="127.0.0.1",
                sip_port=1,
            ),
        )
        self.carrier.tell_kept(name)

    def kill_worker(self, name: WorkerId) -> None:
        """Let a worker die: its legs vanish without a word."""
        self.workers_up.discard(name)
        self.carrier.forget_worker(name)
        if self.life.alive:
            self.engine.workers.remove(name)

    async def until(self, what: Callable[[], bool], limit_s: float = 600.0) -> None:
        """Let virtual time pass until something is true."""
        deadline = self.loop.time() + limit_s
        while not what():
            if self.loop.time() > deadline:
                raise AssertionError(f"not so within {limit_s} virtual seconds")
            await asyncio.sleep(0.01)

    async def pass_s(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def stop(self) -> None:
        """End the call loop as a drain does, at once."""
        self.engine.drain()
        self.engine.drain()
        await asyncio.wait_for(self.engine.stopped.wait(), 60)
        assert self._running is not None
        await self._running
        await asyncio.sleep(
            self.commit_s
        )  # as the real journal, which is closed when everything is committed

    def close(self) -> None:
        """Close store and loop; what a failed test has left running is cancelled first."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.journal.close()
        self.database.dispose()
        self.loop.close()
        asyncio.set_event_loop(None)
