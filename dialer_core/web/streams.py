"""What every stream of server-sent events needs: who may open how many, the right to stay, a ping that keeps it open, a reading that all share.

It owns these. What a stream tells is its route's.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dialer_core.log_setup import place_of
from dialer_core.web.problems import Problem

log = structlog.get_logger(__name__)

PING_S = 15.0
"""A comment line this often keeps proxies from closing an idle stream."""
ASK_AGAIN_S = 20.0
"""How often it is asked whether whoever listens still may."""
EACH = 20
"""Streams of one kind that one user or token may have open: a wall of televisions, and no more."""
EVENT_STREAM = "text/event-stream"

Still = Callable[[], Awaitable[bool]]
"""`request.state.still`: whether whoever asked still may."""


class StreamRight:
    """The right to an open stream: held since its request was let in, until it is asked for again and is gone."""

    def __init__(self, still: Still) -> None:
        self._still = still
        self._asked_s = time.monotonic()

    async def holds(self) -> bool:
        """Say whether the stream may go on; it is really asked for every `ASK_AGAIN_S`."""
        if time.monotonic() - self._asked_s <= ASK_AGAIN_S:
            return True
        self._asked_s = time.monotonic()
        return await self._still()


class Seats:
    """How many streams of one kind may be open at once: in all, and to each user or token.

    Parameters
    ----------
    most, each
        In all, and of one.
    """

    def __init__(self, most: int, each: int = EACH) -> None:
        self.most = most
        self.each = each
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> Seat:
        """Return a seat, to be left; raises `Problem` (503, or 429 for one who has too many)."""
        if self._taken[who] >= self.each:
            raise Problem(429, "too_many", f"one user may have {self.each} of these streams open; close one")
        if self._taken.total() >= self.most:
            raise Problem(503, "busy", f"{self.most} streams are open, the most there may be; close one")
        self._taken[who] += 1
        return Seat(self, who)

    def leave(self, who: str) -> None:
        """Give a seat back."""
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]


class Seat:
    """One open stream's."""

    def __init__(self, seats: Seats, who: str) -> None:
        self._seats: Seats | None = seats
        self._who = who

    def leave(self) -> None:
        """Give it back, once."""
        if self._seats is not None:
            self._seats.leave(self._who)
            self._seats = None


class EventStream(StreamingResponse):
    """A stream of server-sent events as an answer; its seat is free again when it ends, however it does."""

    def __init__(self, content: AsyncIterator[bytes], seat: Seat) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=EVENT_STREAM, headers=headers)
        self._seat = seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until it ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._seat.leave()


class SharedReading(abc.ABC):
    """Something read for all viewers at once, while there are any: `look` reads it and calls `tell` where it has changed.

    Parameters
    ----------
    every_s
        How often it is read where nobody says `hurry`.
    pace_s
        Shortest time between two readings.
    """

    def __init__(self, every_s: float, pace_s: float) -> None:
        self.viewers = 0
        self._every_s = every_s
        self._pace_s = pace_s
        self._more = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False

    @abc.abstractmethod
    async def look(self) -> None:
        """Read it, once; for each kind of reading to say how."""

    def begin(self) -> None:  # noqa: B027 - a reading that keeps nothing has nothing to forget
        """Forget what was read before: viewers come after there were none."""

    def tell(self) -> None:
        """Let every viewer see whether there is something for them."""
        self._more.set()
        self._more = asyncio.Event()

    def hurry(self) -> None:
        """Read it at once."""
        self._hurry.set()

    def close(self) -> None:
        """End the reading; viewers' streams end with it."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        self.tell()

    async def follow(self, news: Callable[[], bytes], still: Still) -> AsyncIterator[bytes]:
        """Yield what one viewer is told, as long as they may look.

        Parameters
        ----------
        news
            Returns what they do not know yet; nothing where there is none. It is asked after each reading, so one who reads slowly misses
            steps and never the latest state.
        still
            Whether they may.
        """
        self.viewers += 1
        try:
            if self._reading is None or self._reading.done():
                self.begin()
                self._reading = asyncio.create_task(self._read(), name=f"reading-{type(self).__name__}")
            right = StreamRight(still)
            yield b": marcador\n\n"
            while not self._closed:
                more = self._more
                if message := news():
                    yield message
                    continue
                try:
                    await asyncio.wait_for(more.wait(), PING_S)
                except TimeoutError:
                    yield b": ping\n\n"
                if not await right.holds():
                    return
        finally:
            self.viewers -= 1

    async def _read(self) -> None:
        wrong = ""
        while self.viewers:
            self._hurry.clear()
            began_s = time.monotonic()
            try:
                await self.look()
                wrong = ""
            except Exception as error:  # noqa: BLE001 - the store is away, say: screens that heard pings alone would never be told that it is back
                if (told := place_of(error)) != wrong:
                    log.warning("screens_not_read", reading=type(self).__name__, error=told)
                wrong = told
            await asyncio.sleep(self._pace_s)
            left_s = self._every_s - (time.monotonic() - began_s)
            if left_s > 0:
                try:
                    await asyncio.wait_for(self._hurry.wait(), left_s)
                except TimeoutError:
                    continue
