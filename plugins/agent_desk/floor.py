"""What agents' screens hear: each its own agent, at once when something happens to them.

It owns the reading of the engine's status while a desk is open, the account of each bridged attempt, and the pace of each screen.
It owns no route, and no person's data: ids only.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dialer_core.plugin_api import (
    PING_S,
    AgentStateChanged,
    AttemptBridged,
    CommandRefusedError,
    EngineHandle,
    NotRunningError,
    Still,
    StreamRight,
)

EVERY_S = 1.0
"""How often the engine is asked without an event; hold, mute and recording have none."""
PACE_S = 0.05
JITTER_S = 0.4
MOST_KEPT = 5000


class Floor:
    """Every open desk. `engine` is set before the first comes."""

    def __init__(self) -> None:
        self.engine: EngineHandle | None = None
        self.desks = 0
        self._agents: dict[str, dict[str, Any]] = {}
        self._accounts: OrderedDict[str, str] = OrderedDict()
        """By attempt."""
        self._away = ""
        self._more = asyncio.Event()
        self._wanted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False

    def happened(self, event: AttemptBridged | AgentStateChanged) -> None:
        """Look at once."""
        if isinstance(event, AttemptBridged) and event.attempt_id and event.account_id:
            self._accounts[event.attempt_id] = event.account_id
            while len(self._accounts) > MOST_KEPT:
                self._accounts.popitem(last=False)
        self._wanted.set()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        self._wake()

    async def follow(self, agent: str, still: Still) -> AsyncIterator[bytes]:
        """Yield server-sent events: `agent` with the agent as they are, whenever that changes."""
        self.desks += 1
        try:
            if self._reading is None or self._reading.done():
                self._agents, self._reading = {}, asyncio.create_task(self._read(), name="desk-floor")
            told: Any = None
            right = StreamRight(still)
            yield b": desk\n\n"
            while not self._closed:
                more = self._more
                now = {"up": False, "why": self._away} if self._away else self._agents.get(agent, told)
                if now is not None and now != told:
                    told = now
                    yield b"event: agent\ndata: %s\n\n" % msgspec.json.encode(now)
                try:
                    await asyncio.wait_for(more.wait(), PING_S)
                except TimeoutError:
                    yield b": ping\n\n"
                if not await right.holds():
                    return
        finally:
            self.desks -= 1

    async def _read(self) -> None:
        """Ask the engine as long as a desk is open."""
        while self.desks:
            self._wanted.clear()
            try:
                assert self.engine is not None  # noqa: S101 - set where the routes are made
                now = await self.engine.status()
            except (NotRunningError, CommandRefusedError) as away:
                self._away = str(away)
            else:
                self._away = ""
                self._agents = {one.id: self._view(msgspec.to_builtins(one)) for one in now.agents}
            self._wake()
            await asyncio.sleep(PACE_S)
            try:
                await asyncio.wait_for(self._wanted.wait(), EVERY_S)
            except TimeoutError:
                continue

    def _view(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return an agent with the time since when, so that nothing changes while they do the same, and with the account they talk about."""
        since_s = round(time.time() - told.pop("seconds_in_state"), 1)
        before = self._agents.get(told["id"])
        if (
            before is not None
            and before["state"] == told["state"]
            and abs(before["since"] - since_s) < JITTER_S
        ):
            since_s = before["since"]
        attempt = told["attempt_id"] or told["last_attempt_id"]
        return told | {"up": True, "since": since_s, "account_id": self._accounts.get(attempt)}

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()
