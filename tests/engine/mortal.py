"""An engine that can be killed in the middle of anything, on virtual time.

Owns the line between an engine and the rest of the world: after `kill`, no timer of it runs, nothing it says arrives, and what it had not
committed yet is lost, as with a real process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from dialer_core.events import Event
from dialer_core.store.journal import Journal


class Life:
    """Whether one engine lives. Its surroundings are made from it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal, commit_s: float) -> None:
        self.alive = True
        self.loop = MortalLoop(self, loop)
        self.journal = MortalJournal(self, loop, journal, commit_s)

    def guarded(self, action: Callable[..., Any]) -> Callable[..., None]:
        """Return an action that happens only while it lives."""

        def act(*arguments: Any) -> None:
            if self.alive:
                action(*arguments)

        return act


class MortalLoop:
    """The event loop as one engine sees it: its timers die with it."""

    def __init__(self, life: Life, loop: asyncio.AbstractEventLoop) -> None:
        self._life = life
        self._loop = loop

    def call_later(self, delay_s: float, action: Callable[..., Any], *arguments: Any) -> asyncio.TimerHandle:
        """Do something later, if it still lives."""
        return self._loop.call_later(delay_s, self._life.guarded(action), *arguments)

    def call_soon(self, action: Callable[..., Any], *arguments: Any) -> asyncio.Handle:
        """Do something in the next turn, if it still lives."""
        return self._loop.call_soon(self._life.guarded(action), *arguments)


class MortalJournal:
    """A journal whose group commits take a moment; what waits for its commit when the engine dies is lost."""

    def __init__(
        self, life: Life, loop: asyncio.AbstractEventLoop, journal: Journal, commit_s: float
    ) -> None:
        self._life = life
        self._loop = loop
        self._journal = journal
        self.commit_s = commit_s
        """How long a commit takes; 0: at once."""
        self._waiting: list[tuple[Any, tuple[Event, ...], asyncio.Future[Any]]] = []

    def __getattr__(self, name: str) -> Any:
        """Answer everything else as the real one."""
        return getattr(self._journal, name)

    def submit(self, work: Any, *events: Event) -> asyncio.Future[Any]:
        """Queue a unit."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._life.alive:
            self._waiting.append((work, events, future))
            if self.commit_s:
                if len(self._waiting) == 1:
                    self._loop.call_later(self.commit_s, self._commit)
            else:
                self._commit()
        return future

    def append(self, *events: Event) -> asyncio.Future[Any]:
        """Queue events."""
        return self.submit(lambda _tx: None, *events)

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for work, events, future in waiting:
            if not self._life.alive:
                return
            done = self._journal.submit(work, *events)
            if done.done():
                _hand_on(future, done)
            else:
                done.add_done_callback(partial(_hand_on, future))


def _hand_on(future: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
    if (error := done.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
