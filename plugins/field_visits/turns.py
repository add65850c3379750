"""One at a time at the visits, of every node and command: a visit is read, changed and written by nobody else meanwhile.

It owns the turn, a value in the plugin's store that lapses by itself. What is done in it is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
from types import TracebackType
from typing import Any, Final

from dialer_core.plugin_api import DialerError, EngineHandle

KEY: Final = "turn"
HOLD: Final = dt.timedelta(seconds=15)
"""For so long one that died keeps others waiting."""
WAIT: Final = HOLD + dt.timedelta(seconds=5)
CLOCKS_APART: Final = dt.timedelta(hours=1)
"""A turn that ends later than that was taken when somebody's clock was wrong."""
_PAUSE_S: Final = 0.05


class BusyError(DialerError):
    """Somebody else is at the visits, for too long; HTTP answers 500, so that a telephone tells it again later."""


class Turn:
    """`async with turn:` waits for one's turn, and ends it.

    Parameters
    ----------
    engine
        As the plugin.
    """

    def __init__(self, engine: EngineHandle) -> None:
        self._engine = engine
        self._here = asyncio.Lock()
        self._mine: dict[str, Any] = {}

    async def __aenter__(self) -> None:
        await self._here.acquire()
        try:
            async with asyncio.timeout(WAIT.total_seconds()):
                while not await self._take():  # noqa: ASYNC110 - who has it may be another process
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            self._here.release()
            raise BusyError("somebody else is at the visits: try again in a moment") from None
        except BaseException:
            self._here.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(DialerError):  # it lapses by itself
                await self._engine.store.swap(KEY, self._mine, {"until": ""})
        finally:
            self._here.release()

    async def _take(self) -> bool:
        now = self._engine.now()
        held = await self._engine.store.get(KEY)
        if held and held["until"] and now < dt.datetime.fromisoformat(held["until"]) <= now + CLOCKS_APART:
            return False
        self._mine = {"by": secrets.token_hex(8), "until": (now + HOLD).isoformat()}
        return await self._engine.store.swap(KEY, held, self._mine)
