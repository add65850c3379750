"""The crew of line workers: how many, started how fast, replaced when they die, renewed when they grow, more when slots are held."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dialer_core.errors import StartError
from dialer_core.ipc.messages import LegAnswered, LegEnded, WorkerHealth, WorkerHello
from dialer_core.settings import AgentSettings, DialerSettings, Settings, TrunkSettings
from dialer_core.sip import crew as crew_module
from dialer_core.sip.crew import (
    AGENTS,
    CUSTOMERS,
    LISTEN_LIMIT_S,
    RENEWED_AFTER_S,
    Crew,
    Member,
    backoff_s,
    planned,
)
from dialer_core.sip.pool import ForkServer, worker_socket_path
from dialer_core.vocabulary import AgentId, EndedBy, TrunkId, WorkerId
from tests.polling import wait_until_async
from tests.sip.harness import Engine, attached, sipp
from tests.skips import requires_program

FIRST_PORT = 23_000 + os.getpid() % 40 * 20
"""Beside the harness' own range: a crew takes a row of ports."""


def make_settings(folder: Path, *, lines: int, agents: int, **sip: Any) -> Settings:
    """Settings with one trunk of so many lines, and so many agents."""
    return Settings(
        folder / "config",
        DialerSettings.model_validate(
            {"node": {"run_dir": str(folder / "run")}, "sip": {"first_port": FIRST_PORT, **sip}}
        ),
        {TrunkId("carrier"): TrunkSettings(host="127.0.0.1", lines=lines)},
        {AgentId(f"a{n}"): AgentSettings(sip=f"sip:a{n}@127.0.0.1:5060") for n in range(agents)},
        {},
    )


class FakeForks:
    """A fork server that makes nothing: who should run, and when it was asked for."""

    def __init__(self) -> None:
        self.workers: dict[WorkerId, int] = {}
        self.ports: dict[WorkerId, int] = {}
        self.asked_s: list[float] = []
        self.drained: list[WorkerId] = []
        self.killed: list[WorkerId] = []

    async def spawn(self, worker_id: WorkerId, *, sip_port: int, **_more: str) -> int:
        """Note it."""
        self.asked_s.append(asyncio.get_running_loop().time())
        self.workers[worker_id] = -1
        self.ports[worker_id] = sip_port
        return -1

    def kill(self, worker_id: WorkerId) -> None:
        """Note it."""
        self.killed.append(worker_id)

    def drain(self, worker_id: WorkerId) -> None:
        """Note it."""
        self.drained.append(worker_id)

    async def stop(self) -> None:
        """Nothing runs."""


def fake_crew(
    folder: Path, *, capacity: int, lines: int = 40, agents: int = 3, **sip: Any
) -> tuple[Crew, FakeForks]:
    """A crew whose first worker will say this capacity."""
    forks = FakeForks()

    class OfCapacity(Crew):
        async def _read_capacity(self, _member: Member) -> int:
            return capacity

    return OfCapacity(make_settings(folder, lines=lines, agents=agents, **sip), forks), forks  # type: ignore[arg-type]


async def in_virtual_time(work: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with sleeps that take no time, on a clock that they move."""
    now_s = 1000.0

    async def sleep(delay_s: float) -> None:
        nonlocal now_s
        now_s += delay_s

    monkeypatch.setattr(crew_module.asyncio, "sleep", sleep)
    monkeypatch.setattr(Crew, "_now_s", staticmethod(lambda: now_s))
    await work()


@pytest.mark.unit
@pytest.mark.parametrize(
    ("capacity", "customers", "agents"), [(4, 13, 1), (8, 7, 1), (32, 2, 1), (1000, 1, 1), (1, 50, 4)]
)
async def test_the_capacity_that_is_read_decides_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capacity: int, customers: int, agents: int
) -> None:
    """A pjsua2 that takes more calls gets fewer, larger workers; each has an id and a port of its own."""
    crew, forks = fake_crew(tmp_path, capacity=capacity)
    await in_virtual_time(crew.start, monkeypatch)
    kinds = [name.partition("-")[0] for name in forks.workers]
    assert (kinds.count(CUSTOMERS), kinds.count(AGENTS)) == (customers, agents)
    assert len(set(forks.ports.values())) == len(forks.ports)
    assert min(forks.ports.values()) == crew.settings.dialer.sip.first_port


@pytest.mark.unit
async def test_workers_start_at_the_rate_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a second are ten a second, whatever their number."""
    crew, forks = fake_crew(tmp_path, capacity=4, start_rate_per_s=10)
    forks.spawn = _stamped(forks, crew)  # type: ignore[method-assign]
    await in_virtual_time(crew.start, monkeypatch)
    assert all(
        later - first >= 0.999 for first, later in zip(forks.asked_s[1:], forks.asked_s[11:], strict=False)
    )
    assert forks.asked_s[-1] - forks.asked_s[0] == pytest.approx((len(forks.asked_s) - 2) / 10, abs=0.2)


def _stamped(forks: FakeForks, crew: Crew) -> Callable[..., Awaitable[int]]:
    async def spawn(worker_id: WorkerId, **_more: Any) -> int:
        forks.asked_s.append(crew._now_s())
        forks.workers[worker_id] = -1
        return -1

    return spawn


@pytest.mark.unit
def test_a_worker_that_dies_again_and_again_waits_longer_and_is_forgiven() -> None:
    """The pause doubles up to its limit; the plan keeps a quarter of its slots in reserve."""
    assert [backoff_s(n) for n in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert planned(1, 0, 4) == (1, 0)


@pytest.mark.unit
async def test_the_back_off_decays_with_a_steady_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short lives add up, one long life takes them all back."""
    crew, _ = fake_crew(tmp_path, capacity=4)
    now_s = 0.0
    monkeypatch.setattr(Crew, "_now_s", staticmethod(lambda: now_s))
    monkeypatch.setattr(Crew, "_in_background", lambda _self, work: work.close())
    member = crew._enlist(CUSTOMERS)
    for lived_s, lives in ((1.0, 1), (1.0, 2), (29.0, 3), (31.0, 0), (1.0, 1)):
        member.started_s = now_s
        now_s += lived_s
        crew.exited(member.id, -9)
        assert member.short_lives == lives


@pytest.mark.unit
async def test_slots_that_the_far_end_holds_are_made_up_for_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short of slots for some seconds: workers are added, to twice the plan at most; with nothing wanted for long, one after the other is let go."""
    crew, forks = fake_crew(tmp_path, capacity=4, lines=32, agents=0)  # ten workers

    async def story() -> None:
        await crew.start()
        assert len(crew.members) == 10
        crew.wanted = 4
        await crew._fit(0.0)
        assert len(crew.members) == 10
        await crew._fit(3.5)
        assert len(crew.members) == 14
        crew.wanted = 200
        await crew._fit(4.0)
        await crew._fit(8.0)
        assert len(crew.members) == 20
        crew.wanted = 0
        await crew._fit(9.0)
        await crew._fit(100.0)
        assert not forks.drained
        await crew._fit(130.0)
        assert len(forks.drained) == 1
        for look in range(40):
            await crew._fit(131.0 + look * 121.0)
            for name in forks.drained:
                forks.workers.pop(name, None)
                crew.exited(name, 0)
        assert len(crew.members) == 10

    await in_virtual_time(story, monkeypatch)


@pytest.mark.unit
async def test_a_worker_that_is_being_replaced_is_no_reason_to_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has died and is not back yet: what the engine misses is on its way."""
    crew, forks = fake_crew(tmp_path, capacity=4, lines=32, agents=0)

    async def story() -> None:
        await crew.start()
        gone, pid = forks.workers.popitem()
        crew.wanted = 1
        await crew._fit(0.0)
        await crew._fit(60.0)
        assert len(crew.members) == 10
        forks.workers[gone] = pid

    await in_virtual_time(story, monkeypatch)


@pytest.mark.unit
async def test_a_worker_that_never_comes_to_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can notice it: the engine hears who listens. One with its socket is left alone, and so is one that has just been made."""
    crew, forks = fake_crew(tmp_path, capacity=4, lines=8, agents=0)
    await in_virtual_time(crew.start, monkeypatch)
    silent, *others = forks.workers
    crew.settings.run_dir.mkdir()
    for name in others:
        worker_socket_path(crew.settings.run_dir, name).touch()
    now_s = crew._now_s()
    crew.members[silent].started_s = now_s
    crew._end_unheard(now_s + LISTEN_LIMIT_S - 0.1)
    assert forks.killed == []
    crew._end_unheard(now_s + LISTEN_LIMIT_S + 0.1)
    assert forks.killed == [silent]


@pytest.mark.unit
@pytest.mark.parametrize("failure", [StartError("no process"), OSError(24, "Too many open files")])
async def test_a_worker_that_could_not_be_started_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """Growing fails once: nothing is left of it that blocks the next growth for ever, or that counts as a worker when some are let go."""
    crew, forks = fake_crew(tmp_path, capacity=4, lines=32, agents=0)
    spawn = forks.spawn

    async def refuse(_worker_id: WorkerId, **_more: Any) -> int:
        raise failure

    async def story() -> None:
        await crew.start()
        crew.wanted = 1
        await crew._fit(0.0)
        forks.spawn = refuse  # type: ignore[method-assign]
        with pytest.raises(type(failure)):
            await crew._fit(3.5)
        assert crew.members.keys() == forks.workers.keys()
        forks.spawn = spawn  # type: ignore[method-assign]
        await crew._fit(4.0)
        await crew._fit(8.0)
        assert len(forks.workers) == 11

    await in_virtual_time(story, monkeypatch)


@pytest.mark.unit
async def test_a_worker_is_replaced_however_its_start_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing could be forked, then there was no descriptor for a new fork server: tried again, until it runs."""
    crew, forks = fake_crew(tmp_path, capacity=4, lines=32, agents=0)
    failures = [StartError("no process"), OSError(24, "Too many open files")]
    spawn = forks.spawn

    async def sometimes(worker_id: WorkerId, **more: Any) -> int:
        if failures:
            raise failures.pop()
        return await spawn(worker_id, **more)

    async def story() -> None:
        await crew.start()
        gone, _ = forks.workers.popitem()
        forks.spawn = sometimes  # type: ignore[method-assign]
        await crew._replace(crew.members[gone])
        assert gone in forks.workers

    await in_virtual_time(story, monkeypatch)


# --- real workers -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    """A running crew of two customers' workers and one for agents."""
    settings = make_settings(tmp_path, lines=6, agents=2)
    forks = await ForkServer.start(settings.run_dir, on_exit=lambda name, code: running.exited(name, code))  # noqa: PLW0108 - made below
    running = Crew(settings, forks)
    await running.start()
    yield running
    await running.stop()


async def engine_at(crew: Crew, name: str) -> Engine:
    """Attach to a worker as an engine."""
    path = worker_socket_path(crew.settings.run_dir, WorkerId(name))
    return await wait_until_async(lambda: attached(path), 10.0, f"{name} to listen")


@pytest.mark.sip
@requires_program("sipp")
async def test_a_worker_that_has_grown_is_renewed_without_losing_its_call(crew: Crew, tmp_path: Path) -> None:
    """Another takes its place at once; the old one says that it drains, refuses new calls, keeps the one it has, and leaves when that ends."""
    assert sorted(crew.members) == ["agents-0", "customers-0", "customers-1"]
    old = await engine_at(crew, "customers-0")
    with sipp("answer", tmp_path) as far:
        leg = old.place(far.port)
        old.expect(LegAnswered, leg)
        await crew.renew(WorkerId("customers-0"))
        fresh = await engine_at(crew, "customers-2")
        assert fresh.state().legs == ()
        await asyncio.to_thread(lambda: old.expect(WorkerHealth, count=len(old.of(WorkerHealth)) + 1))
        refused = old.place(far.port)
        end = old.end_of(refused)
        assert (end.by, end.invite_sent, end.reason) == (EndedBy.WORKER, False, "draining")
        assert old.of(WorkerHealth)[-1].draining
        assert [snapshot.leg_id for snapshot in old.state().legs] == [leg]
        old.hang_up(leg)
        assert old.expect(LegEnded, leg).by is EndedBy.US
        await wait_until_async(lambda: "customers-0" not in crew.members, 10.0, "the old worker to leave")
        far.finish()
    assert sorted(crew.members) == ["agents-0", "customers-1", "customers-2"]
    old.close()
    fresh.close()


@pytest.mark.sip
async def test_only_what_is_over_the_limit_is_renewed_and_a_dead_one_is_replaced(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory watch takes the largest first, few at once; a killed worker comes back under its id and port."""
    pids = dict(crew.forks.workers)
    large = pids[WorkerId("customers-1")]
    monkeypatch.setattr(crew_module, "resident_mb", lambda pid: 900.0 if pid == large else 50.0)
    await crew._renew_large()
    assert len(crew.members) == 3, "renewed although it has only just been started"
    for member in crew.members.values():
        member.started_s -= RENEWED_AFTER_S
    await crew._renew_large()
    await wait_until_async(lambda: "customers-1" not in crew.members, 10.0, "the large worker to leave")
    assert sorted(crew.members) == ["agents-0", "customers-0", "customers-2"]
    port = crew.members[WorkerId("agents-0")].port
    os.kill(pids[WorkerId("agents-0")], signal.SIGKILL)
    await wait_until_async(
        lambda: (
            crew.forks.workers.get(WorkerId("agents-0"), pids[WorkerId("agents-0")])
            != pids[WorkerId("agents-0")]
        ),
        10.0,
        "the agents' worker to be replaced",
    )
    again = await engine_at(crew, "agents-0")
    assert again.expect(WorkerHello).sip_port == port
    again.close()
