"""The event log as a stream: followers read the table from a cursor on and are woken when there is more.

It owns waking and pace. It owns no copy of any event, no query and no cursor: those are the store's
(`store/events.py`). A reader that is slow or away only falls behind; nothing is dropped, because the log
itself is the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection

import msgspec
import structlog

from dialer_core.errors import StoreError
from dialer_core.events import EVENTS, Event, StoredEvent
from dialer_core.store import events
from dialer_core.store.database import Database

log = structlog.get_logger(__name__)

PAGE = 500
"""Events read at once."""
POLL_S = 1.0
"""How often the log is looked at without a wake-up: other nodes' events, and those of an engine not
attached."""
PACE_S = 0.1
"""Shortest time between two reads of one follower: the group commits of a busy engine are read together."""


def typed(stored: StoredEvent) -> Event | None:
    """Return the event as its own class, or None where this version does not know its name or its shape."""
    kind = EVENTS.get(stored.name)
    if kind is None:
        return None
    fields = {
        **stored.data,
        "campaign_id": stored.campaign_id,
        "account_id": stored.account_id,
        "attempt_id": stored.attempt_id,
        "at_mono_ns": stored.at_mono_ns,
    }
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        log.warning("event_shape_unknown", event_name=stored.name, source=stored.source, seq=stored.seq)
        return None


class EventTail:
    """Follows the log for any number of readers of this process. Reads run in threads, never on the loop."""

    def __init__(self, database: Database, *, poll_s: float = POLL_S, pace_s: float = PACE_S) -> None:
        self._database = database
        self._poll_s = poll_s
        self._pace_s = pace_s
        self._more = asyncio.Event()

    def wake(self) -> None:
        """Tell every follower that there is more to read. Called on the loop."""
        self._more.set()
        self._more = asyncio.Event()

    async def end(self) -> str:
        """Return the cursor of the log's end now."""
        return await asyncio.to_thread(self._end)

    async def read(
        self, cursor: str, *, names: Collection[str] | None = None, limit: int = PAGE
    ) -> events.EventPage:
        """Return at most `limit` events past the cursor, and the cursor to go on with.

        Raises
        ------
        StoreError
            The cursor is none, or the store cannot be read now.
        """
        return await asyncio.to_thread(self._read, cursor, names, limit)

    async def follow(
        self, cursor: str, *, names: Collection[str] | None = None
    ) -> AsyncGenerator[tuple[StoredEvent, str], None]:
        """Yield every event past the cursor, then each new one, each with the cursor behind it.

        A store that cannot be read is waited for: the log says so once, and the events come when it is back.
        """
        positions = events.parse_cursor(cursor)
        async for page in self.pages(cursor, names=names):
            for event in page.events:
                positions[event.node, event.source] = event.seq
                yield event, events.format_cursor(positions)
            positions = events.parse_cursor(page.cursor)

    async def pages(
        self, cursor: str, *, names: Collection[str] | None = None
    ) -> AsyncGenerator[events.EventPage, None]:
        """Yield what `follow` yields, as many at once as are there."""
        away = False
        while True:
            more = self._more
            page = None
            try:
                page = await self.read(cursor, names=names)
                away = False
            except StoreError as error:
                if not away:
                    log.warning("event_log_unreadable", error=str(error))
                away = True
            if page:
                cursor = page.cursor
                yield page
            if page is None or len(page.events) < PAGE:
                await asyncio.sleep(self._pace_s)
                try:
                    await asyncio.wait_for(more.wait(), self._poll_s)
                except TimeoutError:
                    continue

    def _read(self, cursor: str, names: Collection[str] | None, limit: int) -> events.EventPage:
        with self._database.read() as tx:
            return events.page(tx, cursor, names, limit)

    def _end(self) -> str:
        with self._database.read() as tx:
            return events.format_cursor(events.last_positions(tx))
