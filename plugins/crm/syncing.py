"""When accounts are read and what has happened is written out, and that one process at a time does it, on however many nodes.

It owns the clockwork of both directions. What each does is `incoming.py`'s and `outgoing.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from dialer_core.plugin_api import DialerError, EngineHandle
from plugins.crm.back_off import BackOff
from plugins.crm.connector import Connector, CrmError
from plugins.crm.incoming import Incoming
from plugins.crm.opening import open_connection
from plugins.crm.outgoing import Teller
from plugins.crm.settings import CrmSettings

log = structlog.get_logger(__name__)

HOLD_S: Final = 15.0
"""For so long a process that died keeps others from its work."""
_LOOK_S: Final = 1.0
_CLOCKS_APART: Final = dt.timedelta(hours=1)
"""No two nodes' clocks are: a turn that ends later was taken when somebody's clock was wrong."""


class Syncing:
    """Both directions of every connection.

    Parameters
    ----------
    engine
        The plugin's handle.
    its
        The settings.
    """

    def __init__(self, engine: EngineHandle, its: CrmSettings) -> None:
        self._engine = engine
        self._its = its
        self._holder = secrets.token_hex(8)

    async def run(self) -> None:
        """Sync, until cancelled."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            opened = {
                name: await stack.enter_async_context(self.connection(name)) for name in self._its.connections
            }
            for name, accounts in self._its.accounts.items():
                reader = Incoming(self._engine, name, accounts, opened[accounts.connection])
                every = dt.timedelta(minutes=accounts.every_minutes)
                group.create_task(self._read(name, reader, every), name=f"crm-in-{name}")
            for name, connector in opened.items():
                if any(one.connection == name for one in self._its.out.values()):
                    teller = Teller(self._engine, name, self._its, connector)
                    with contextlib.suppress(DialerError):  # the store is away: asked again below
                        await (
                            teller.cursor()
                        )  # from here on nothing is missed, also while it waits for its turn
                    group.create_task(self._tell(name, teller), name=f"crm-out-{name}")

    @contextlib.asynccontextmanager
    async def connection(self, name: str) -> AsyncIterator[Connector]:
        """Yield a connection by its name, and close it."""
        connector = open_connection(self._engine, name, self._its.connections[name])
        try:
            yield connector
        finally:
            await connector.close()

    @contextlib.asynccontextmanager
    async def turn(self, what: str) -> AsyncIterator[bool]:
        """Yield whether this process may do something now, that no other does meanwhile."""
        key = f"turn/{what}"
        if not await self._hold(key, HOLD_S):
            yield False
            return
        keeping = asyncio.create_task(self._keep(key), name=f"crm-turn-{what}")
        try:
            yield True
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with contextlib.suppress(DialerError):  # it lapses by itself
                await self._hold(key, 0.0)

    async def _hold(self, key: str, seconds: float) -> bool:
        """Take a turn, or keep it, for so long; False: another has it, and lives. Nodes go by one database, each by its own clock."""
        held = await self._engine.store.get(key)
        now = self._engine.now()
        until = dt.datetime.fromisoformat(held["until"]) if held is not None else now
        if held is not None and held["by"] != self._holder and now < until <= now + _CLOCKS_APART:
            return False
        mine = {"by": self._holder, "until": (now + dt.timedelta(seconds=seconds)).isoformat()}
        return held == mine or await self._engine.store.swap(key, held, mine)

    async def _keep(self, key: str) -> None:
        while True:
            await asyncio.sleep(HOLD_S / 3)
            with contextlib.suppress(DialerError):
                await self._hold(key, HOLD_S)

    async def _read(self, name: str, reader: Incoming, every: dt.timedelta) -> None:
        next_at = f"next/{name}"

        async def due() -> bool:
            at = await self._engine.store.get(next_at)
            now = self._engine.now()  # one further off than that was written when the clock was wrong
            return at is None or not now < dt.datetime.fromisoformat(at) <= now + every

        async def work() -> None:
            found = await reader.pull()
            await self._engine.store.put(next_at, (self._engine.now() + every).isoformat())
            if found.new or found.updated or found.rejected:
                log.info(
                    "crm_accounts_read",
                    accounts=name,
                    read=found.read,
                    new=found.new,
                    updated=found.updated,
                    rejected=found.rejected,
                )

        await self._again_and_again(f"in-{name}", _LOOK_S, due, work)

    async def _tell(self, name: str, teller: Teller) -> None:
        async def due() -> bool:
            return await teller.waits()

        async def work() -> None:
            done = await teller.push()
            if done.written or done.dead:
                log.info(
                    "crm_told", connection=name, events=done.events, written=done.written, dead=done.dead
                )

        await self._again_and_again(f"out-{name}", self._its.out_every_s, due, work)

    async def _again_and_again(
        self,
        what: str,
        every_s: float,
        due: Callable[[], Awaitable[bool]],
        work: Callable[[], Awaitable[None]],
    ) -> None:
        waits = BackOff(self._its.most_wait_s)
        while True:
            wait_s = every_s
            try:
                if await due():
                    async with self.turn(what) as mine:
                        if mine:
                            await work()
                waits.over()
            except CrmError as error:
                wait_s = waits.next_s(error)
                log.warning(
                    "crm_sync_stopped",
                    what=what,
                    tries=waits.tries,
                    again_in_s=round(wait_s, 1),
                    reason=str(error),
                )
            except DialerError as error:  # the store is away, say
                log.warning("crm_sync_failed", what=what, error=str(error))
            except Exception as error:  # noqa: BLE001 - foreign records: what one of them breaks here must not end the others' work
                wait_s = waits.next_s()
                at = traceback.extract_tb(error.__traceback__)[-1]
                broke = f"{type(error).__name__} in {at.name}:{at.lineno}"  # and not what it quotes
                log.error("crm_sync_broke", what=what, error=broke)  # noqa: TRY400
            await asyncio.sleep(wait_s)
