"""One plugin's calls of one hook: in its own thread or on the loop, one after another, and what is said of one that overruns.

It owns the thread, the order and the turns. The limits, and what becomes of a plugin that fails, are `plugin_host.py`'s.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

TURN_S = 0.005
"""A plugin's async hook may keep the host's loop for so long over events that it does not wait for, before others have their turn."""


class HookThread:
    """One daemon thread for a plugin's plain functions, one after another. A hung one is left behind."""

    def __init__(self, plugin: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"plugin-{plugin}", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        """Run the function in the thread, after those submitted before."""
        future: Future[Any] = Future()
        self._jobs.put((future, function))
        return future

    def close(self) -> None:
        """End the thread once its jobs are done."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001 - the waiter gets it, whatever it is
                    future.set_exception(error)


class HookLimitError(Exception):
    """A hook ran over its limit and was cancelled."""


class UnfitError(HookLimitError):
    """A hook returned something else than was asked for; its words are ours."""


class HookHungError(HookLimitError):
    """A hook did not come back even so; its plugin cannot be called again."""


class Run:
    """Calls of one hook of one plugin, one after another: what is done, and since when the present one runs."""

    def __init__(self, function: Callable[..., Any], calls: Sequence[dict[str, Any]]) -> None:
        self.function = function
        self.calls = calls
        self.done = 0
        self.begun_s = time.monotonic()

    async def in_loop(self) -> Any:
        """Make the calls of an async function; others have their turn between them."""
        value: Any = None
        turn_s = self.begun_s
        for arguments in self.calls:
            self.begun_s = time.monotonic()
            if self.begun_s - turn_s > TURN_S:
                await asyncio.sleep(0)
                self.begun_s = turn_s = time.monotonic()
            value = await self.function(**arguments)
            self.done += 1
        return value

    def in_thread(self) -> Any:
        """Make the calls of a plain function that are left, up to the first that returns something to wait for: that call is not done."""
        value: Any = None
        while self.done < len(self.calls):
            self.begun_s = time.monotonic()
            value = self.function(**self.calls[self.done])
            if inspect.isawaitable(value):
                break
            self.done += 1
        return value
