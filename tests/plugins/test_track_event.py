"""Events reach plugins from the log: in order, at each plugin's own pace, whatever another one does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialer_core.event_tail import EventTail
from dialer_core.events import AttemptCommitted, AttemptEnded, Event, PluginFailed, StoredEvent
from dialer_core.hook_runs import HookHungError, Run
from dialer_core.plugin_host import Plugin, PluginState
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import AttemptId, CampaignId, new_id
from tests.plugins.plugin_sets import Running
from tests.polling import wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(30)]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A migrated store."""
    opened = open_database(f"sqlite:///{tmp_path}/s.db", node="here")
    opened.migrate()
    yield opened
    opened.dispose()


@contextlib.asynccontextmanager
async def tracking(running: Running, tail: EventTail) -> AsyncIterator[None]:
    """Deliver events until the block ends."""
    task = asyncio.create_task(running.host.track(tail, "here"))
    await asyncio.sleep(0)
    await tail.end()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _commit(database: Database, tail: EventTail, count: int, source: str = "engine") -> None:
    with database.write(source) as tx:
        for _ in range(count):
            attempt = AttemptId(new_id())
            tx.emit(AttemptCommitted(attempt_id=attempt, campaign_id=CampaignId("c"), trunk="t"))
    tail.wake()


async def test_events_come_typed_and_in_order(database: Database) -> None:
    """Each event is its own class with its row beside it, in the order of the log; nothing from before the start comes."""
    tail = EventTail(database, poll_s=0.05, pace_s=0)
    _commit(database, tail, 3)
    seen: list[tuple[Event, StoredEvent]] = []

    async def collect(event: Event, stored: StoredEvent) -> None:
        seen.append((event, stored))

    running = Running(tail=tail, one={"dialer_track_event": collect})
    async with tracking(running, tail):
        await wait_until_async(lambda: running["one"].state, 1, "the plugin")
        _commit(database, tail, 700)
        await wait_until_async(lambda: len(seen) == 700, 10, "700 events")
    assert [stored.seq for _, stored in seen] == list(range(4, 704))
    assert all(isinstance(event, AttemptCommitted) for event, _ in seen)
    assert seen[0][0].attempt_id == seen[0][1].attempt_id


async def test_a_slow_plugin_delays_nobody(database: Database) -> None:
    """A plugin that waits on its first event holds up only itself, and then gets everything."""
    tail = EventTail(database, poll_s=0.05, pace_s=0)
    release = asyncio.Event()
    fast: list[int] = []
    slow: list[int] = []

    async def quick(stored: StoredEvent) -> None:
        fast.append(stored.seq)

    async def waiting(stored: StoredEvent) -> None:
        await release.wait()
        slow.append(stored.seq)

    running = Running(tail=tail, quick={"dialer_track_event": quick}, waiting={"dialer_track_event": waiting})
    async with tracking(running, tail):
        _commit(database, tail, 50)
        await wait_until_async(lambda: len(fast) == 50, 10, "the quick plugin")
        assert slow == []
        release.set()
        await wait_until_async(lambda: len(slow) == 50, 10, "the slow plugin")
    assert slow == fast


async def test_another_nodes_events_do_not_come(database: Database) -> None:
    """Every node's host tells its own plugins: an event is delivered once in a cluster."""
    other = Database(database._writer, database._reader, node="elsewhere", boot_id="b", clock=database.clock)
    tail = EventTail(database, poll_s=0.05, pace_s=0)
    seen: list[str] = []

    async def collect(stored: StoredEvent) -> None:
        seen.append(stored.node)

    running = Running(tail=tail, one={"dialer_track_event": collect})
    async with tracking(running, tail):
        _commit(other, tail, 5)
        _commit(database, tail, 2)
        await wait_until_async(lambda: len(seen) == 2, 10, "two events")
    assert seen == ["here", "here"]


async def test_a_failure_about_failures_is_not_told_again(database: Database) -> None:
    """A plugin that fails on `plugin.failed` too writes no further event: that would never end. It is disabled in the end."""
    tail = EventTail(database, poll_s=0.05, pace_s=0)

    async def broken() -> None:
        raise ValueError

    running = Running(tail=tail, broken={"dialer_track_event": broken})
    async with tracking(running, tail):
        with database.write() as tx:
            for _ in range(9):
                tx.emit(PluginFailed(plugin="broken", hook="dialer_track_event", error="x"))
        tail.wake()
        await wait_until_async(lambda: running["broken"].state is PluginState.DISABLED, 10, "its end")
    assert running.reported == []


async def test_an_event_of_a_newer_version_is_passed_over(database: Database) -> None:
    """A name or a shape that this version does not know stops nothing."""
    tail = EventTail(database, poll_s=0.05, pace_s=0)
    seen: list[str] = []

    async def collect(stored: StoredEvent) -> None:
        seen.append(stored.name)

    class Strange(AttemptEnded, frozen=True, kw_only=True):
        """From the future."""

    Strange.name = "attempt.teleported"
    running = Running(tail=tail, one={"dialer_track_event": collect})
    async with tracking(running, tail):
        with database.write("engine") as tx:
            tx.emit(Strange(outcome="x", sip_code=0, q850=0, ended_by="far"))
            Strange.name = "attempt.committed"
            tx.emit(Strange(outcome="x", sip_code=0, q850=0, ended_by="far"))
        _commit(database, tail, 1)
        await wait_until_async(lambda: seen, 10, "the known one")
    assert seen == ["attempt.committed"]


@pytest.mark.parametrize("plain", [True, False])
async def test_an_event_that_fails_is_left_out_alone(database: Database, *, plain: bool) -> None:
    """Of many events read at once each is handed over once and in order, also those behind one that fails or takes too long."""
    tail = EventTail(database, poll_s=0.05, pace_s=0)
    seen: list[int] = []

    def take(stored: StoredEvent) -> None:
        seen.append(stored.seq)
        if stored.seq in (3, 4, 7):
            raise ValueError("not this one")

    async def take_later(stored: StoredEvent) -> None:
        if stored.seq == 6:
            await asyncio.sleep(60)
        take(stored)

    running = Running(tail=tail, limit_s=0.5, one={"dialer_track_event": take if plain else take_later})
    async with tracking(running, tail):
        _commit(database, tail, 12)
        await wait_until_async(lambda: 12 in seen, 10, "the last event")
    assert seen == [seq for seq in range(1, 13) if plain or seq != 6]
    assert running["one"].failures == 3 + (not plain)
    assert running["one"].failures_in_a_row == 0
    assert running["one"].state is PluginState.RUNNING


async def test_a_hook_that_comes_back_a_moment_too_late_ends_no_delivery(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread has made the last call when the limit is found to be over: the plugin failed, and others get their events."""
    tail = EventTail(database, poll_s=0.05, pace_s=0)
    seen: list[int] = []
    running = Running(
        tail=tail,
        late={"dialer_track_event": lambda: None},
        other={"dialer_track_event": lambda stored: seen.append(stored.seq)},
    )
    really = running.host._run

    async def run(plugin: Plugin, calls: Run) -> object:
        value = await really(plugin, calls)
        if plugin.name == "late":
            raise HookHungError("did not come back")
        return value

    monkeypatch.setattr(running.host, "_run", run)
    async with tracking(running, tail):
        _commit(database, tail, 3)
        await wait_until_async(lambda: len(seen) == 3, 5, "the other plugin")
        await wait_until_async(lambda: running["late"].failures >= 1, 5, "the failure")
        _commit(database, tail, 3)
        await wait_until_async(lambda: len(seen) >= 6, 5, "the other plugin again")
