"""A child and its spare, as real processes: who is given the word, and who is not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from dialer_core import children, supervisor
from dialer_core.children import Child
from dialer_core.liveness import Silence
from dialer_core.settings import DialerSettings, Settings
from dialer_core.supervisor import Supervisor
from tests.polling import wait_until_async

pytestmark = pytest.mark.unit

PROGRAM = """
import argparse, time
from dialer_core import spare
from dialer_core.liveness import Heart
parser = argparse.ArgumentParser()
parser.add_argument("--heartbeat", type=int)
parser.add_argument(spare.OPTION, action="store_true")
options = parser.parse_args()
heart = Heart(options.heartbeat)
if not options.spare or spare.wait_for_the_word(heart):
    while heart.beat(7):
        time.sleep(0.05)
"""
SILENT = "import time; time.sleep(60)"


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    """Yield one that is not started yet, and end it."""
    child = Child("media", ["-c", PROGRAM], spared=True)
    yield child
    for started in (child.current, child.spare):
        if started is not None:
            started.dismiss()
            await started.process.wait()


async def test_a_spare_is_heard_while_it_waits_and_takes_over(child: Child) -> None:
    """It beats before the word, and goes on with the work after it."""
    heard: list[int] = []
    child.on_beat = heard.append
    first = await child.start()
    await wait_until_async(lambda: bool(heard), 20.0, "the first beat")
    assert set(heard) == {7}
    await child.make_spare()
    spare = child.spare
    assert spare is not None
    await wait_until_async(lambda: spare.beats > 0, 20.0, "the spare's heart")
    first.dismiss()
    await first.process.wait()
    heard.clear()
    assert await child.start() is spare
    assert child.from_spare
    assert child.spare is None
    await wait_until_async(lambda: 7 in heard, 20.0, "the spare at work")


async def test_a_spare_asked_for_twice_is_made_once(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers that overlap ask at the same time: one process is started, not one that nobody knows of."""
    made: list[children.Started] = []
    create = Child._create

    async def counted(self: Child, *, spare: bool = False) -> children.Started:
        made.append(await create(self, spare=spare))
        return made[-1]

    monkeypatch.setattr(Child, "_create", counted)
    await asyncio.gather(child.make_spare(), child.make_spare())
    assert made == [child.spare]


async def test_a_spare_that_hangs_is_not_given_the_word(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped, and says nothing: another process is started instead, and it is ended."""
    monkeypatch.setattr(children, "FRESH_S", 0.7)
    await child.make_spare()
    spare = child.spare
    assert spare is not None
    await wait_until_async(lambda: spare.beats > 0, 20.0, "the spare's heart")
    os.kill(spare.process.pid, signal.SIGSTOP)
    silent_from_s = asyncio.get_running_loop().time()
    await wait_until_async(
        lambda: asyncio.get_running_loop().time() > max(spare.heard_s, silent_from_s) + 0.8, 10.0, "silence"
    )
    current = await child.start()
    assert current is not spare
    assert not child.from_spare
    assert await spare.process.wait() == -signal.SIGKILL
    await wait_until_async(lambda: current.beats > 0, 20.0, "the other one's heart")


@pytest.fixture
def watched(tmp_path: Path) -> Supervisor:
    """Return a supervisor that has started nothing by itself."""
    settings = DialerSettings.model_validate({"node": {"run_dir": str(tmp_path)}})
    return Supervisor(Settings(tmp_path, settings, {}, {}, {}))


async def test_what_has_never_been_heard_is_ended(
    child: Child, watched: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A media plane that hangs before it listens, and a spare that hangs before it waits, are killed; from there on it is a death."""
    monkeypatch.setattr(supervisor, "Silence", partial(Silence, first_limit_s=0.5))
    child.arguments = ["-c", SILENT]
    watched._children["media"] = child
    current = await child.start()
    await child.make_spare()
    spare = child.spare
    assert spare is not None
    watching = asyncio.create_task(watched._kill_silent())
    assert await asyncio.wait_for(current.process.wait(), 10) == -signal.SIGKILL
    assert await asyncio.wait_for(spare.process.wait(), 10) == -signal.SIGKILL
    await wait_until_async(lambda: child.spare is None, 10.0, "its place to be free again")
    watching.cancel()


async def test_an_engine_that_sigterm_meets_without_a_handler_has_drained(
    child: Child, watched: Supervisor
) -> None:
    """A second SIGTERM at the very end finds no handler any more, a first one at the very start none yet: nothing has failed."""
    child.name, child.arguments, child.spared = "engine", ["-c", SILENT], False
    await watched._start(child)
    watched._drain()
    await asyncio.wait_for(watched._done.wait(), 10)
    assert watched._exit_code == 0


async def test_an_engine_that_fails_in_its_drain_is_told(child: Child, watched: Supervisor) -> None:
    """Any other end than by our signal is a failure."""
    child.name, child.arguments, child.spared = "engine", ["-c", SILENT], False
    started = await child.start()
    watched._draining = True
    watched._spawn(watched._watch(child, started))
    started.process.kill()
    await asyncio.wait_for(watched._done.wait(), 10)
    assert watched._exit_code == 1
