"""What every part of the engine is handed: the clock, the journal, the reader, timers, and who we are.

It owns nothing but the bundle. Timers run on the event loop, so a test's virtual loop moves them together with the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from dialer_core.clock import Clock
from dialer_core.events import Event
from dialer_core.store.journal import Journal
from dialer_core.store.reader import Reader
from dialer_core.store.tx import Tx

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The engine's surroundings."""

    node: str
    boot_id: str
    clock: Clock
    journal: Journal
    reader: Reader
    loop: asyncio.AbstractEventLoop

    def store(self, work: Callable[[Tx], object], *events: Event) -> asyncio.Future[object]:
        """Submit a unit to the journal; one that fails is logged, and changes nothing else."""
        future = self.journal.submit(work, *events)
        future.add_done_callback(_log_failure)
        return future

    def later(self, delay_s: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Run `action` on the loop after `delay_s` seconds, unless the handle is cancelled."""
        return self.loop.call_later(max(0.0, delay_s), action)


def _log_failure(future: asyncio.Future[object]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("unit_not_stored", error=type(error).__name__, exc_info=error)
