"""The clockwork: a running plugin reads and tells by itself, one process at a time, and goes on after a CRM and a process were away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import plugins.crm as plugin
from dialer_core.store.database import Database
from plugins.crm.back_off import BackOff
from plugins.crm.connector import AwayError
from plugins.crm.outgoing import Teller
from plugins.crm.syncing import HOLD_S, Syncing
from tests.plugins.crm.far_end import RestCrm, serving
from tests.plugins.crm.floor import Floor, toml
from tests.plugins.crm.test_rest import MAPPING, record
from tests.polling import wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


@pytest.fixture
async def crm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RestCrm]:
    """A CRM with three accounts."""
    monkeypatch.setenv("CRM_TOKEN", "the-token")
    far_end = RestCrm()
    far_end.records = [record(number) for number in range(3)]
    async with serving(far_end):
        yield far_end


@pytest.fixture
def floor(database: Database, tmp_path: Path, crm: RestCrm) -> Floor:
    """The plugin, which looks five times a second."""
    return Floor(database, tmp_path, "out_every_s = 0.2\nmost_wait_s = 1\n" + toml(MAPPING, url=crm.url))


async def test_it_runs_by_itself(floor: Floor, crm: RestCrm) -> None:
    """Started as a plugin it reads the accounts, and tells a promise once the CRM, which was away first, is there; stopped, it is still."""
    crm.trouble = [(503, {}, {})]
    await plugin.dialer_startup(floor.engine)
    try:

        async def there() -> bool:
            return len(await floor.engine.accounts.find(["A-0", "A-1", "A-2"])) == 3

        await wait_until_async(there, 20, "accounts to come in")
        crm.trouble = [(503, {}, {}), "half"]
        promise = floor.promise(await floor.account("A-1"))
        await wait_until_async(lambda: f"/promises/{promise}" in crm.told, 20, "the promise to be told")
    finally:
        await plugin.dialer_shutdown()
    assert plugin._running == []


async def test_a_wrong_file_is_told_and_nothing_runs(floor: Floor) -> None:
    """Without a mapping nothing is synced, and a secret that is missing ends it with a word in the log."""
    floor.file.write_text("")
    await plugin.dialer_startup(floor.engine)
    assert plugin._running == []
    await plugin.dialer_shutdown()


async def test_one_process_at_a_time(floor: Floor) -> None:
    """What one process does no other does meanwhile; one that died is waited for no longer than its turn lasts; one that ends gives it back."""
    first, second = (Syncing(floor.engine, floor.its) for _ in range(2))
    async with first.turn("out-crm") as mine:
        assert mine
        async with second.turn("out-crm") as theirs:
            assert not theirs
        async with second.turn("in-cartera") as other:
            assert other
    async with second.turn("out-crm") as theirs:
        assert theirs
    assert await first._hold("turn/dead", HOLD_S)  # and it is killed
    assert not await second._hold("turn/dead", HOLD_S)
    floor.clock.set_elapsed_s(HOLD_S + 1)
    assert await second._hold("turn/dead", HOLD_S)
    assert not await first._hold("turn/dead", HOLD_S)


def test_waits_grow_and_end() -> None:
    """Each wait is up to twice the one before, never over the longest, and as long as the CRM asks within that."""
    waits = BackOff(10.0)
    taken = [waits.next_s() for _ in range(9)]
    assert all(0.25 * 2**place <= one <= 0.5 * 2**place for place, one in enumerate(taken[:5]))
    assert max(taken) <= 10.0
    assert waits.next_s(AwayError("", 3.0)) == 3.0
    assert waits.next_s(AwayError("", 300.0)) == 10.0
    waits.over()
    assert waits.next_s() <= 0.5


async def test_cancelled_while_it_waits_it_loses_nothing(floor: Floor, crm: RestCrm) -> None:
    """Stopped between a try and the next, the cursor stands before what was not taken; the next start tells it."""
    await floor.pull()
    await floor.push()
    promise = floor.promise(await floor.account("A-1"))
    crm.trouble = [(503, {}, {})] * 1000
    waits = asyncio.Event()

    async def sleep(_: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    async with floor.connection() as connector:
        task = asyncio.create_task(Teller(floor.engine, "crm", floor.its, connector, sleep=sleep).push())
        await waits.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    crm.trouble = []
    assert (await floor.push()).written == 1
    assert f"/promises/{promise}" in crm.told
