"""What agents' screens hear: each its own agent, at once when something happens to them.

It owns what is told of the engine's status and of the inbox while a desk is open, and the account of each bridged attempt.
It owns no route, and no person's data: ids only.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dialer_core.plugin_api import (
    AgentNoted,
    AgentState,
    AgentStateChanged,
    AttemptBridged,
    AttemptCommitted,
    ChatStateChanged,
    CommandRefusedError,
    EngineHandle,
    MessageReceived,
    NotRunningError,
    SharedReading,
    Still,
)

EVERY_S = 1.0
"""How often the engine is asked without an event; hold, mute and recording have none."""
PACE_S = 0.05
JITTER_S = 0.4
NOTHING = {"waiting": 0, "own": 0, "unread": 0, "mark": 0}
"""What an inbox comes to in which there is nothing for an agent."""
MOST_KEPT = 5000
INBOX_EVERY_S = 15.0
"""How often the inbox is read without an event: other nodes' texts, and what was seen, have none here."""


class Floor(SharedReading):
    """Every open desk. `engine` is set before the first comes."""

    def __init__(self) -> None:
        super().__init__(EVERY_S, PACE_S)
        self.engine: EngineHandle | None = None
        self._agents: dict[str, dict[str, Any]] = {}
        self._accounts: OrderedDict[str, str] = OrderedDict()
        """By attempt."""
        self._noted: dict[str, str] = {}
        """The last note to each agent since the host began."""
        self._away = ""
        self._inboxes: dict[str, dict[str, int]] = {}
        self._inbox_read_s = float("-inf")
        self._inbox_changed = True

    def happened(
        self,
        event: AttemptCommitted | AttemptBridged | AgentStateChanged | AgentNoted | MessageReceived | ChatStateChanged,
    ) -> None:  # fmt: skip
        """Note whose attempt it is; of what agents see, look at once, and of a bridge tell its agent without asking the engine first."""
        if isinstance(event, MessageReceived | ChatStateChanged):
            self._inbox_changed = True
            return  # read with the next look, once a second at most: a rush of texts asks the store no oftener
        if isinstance(event, AgentNoted):
            self._noted[event.agent_id] = event.note_id
        if isinstance(event, AttemptCommitted | AttemptBridged) and event.attempt_id and event.account_id:
            self._accounts[event.attempt_id] = event.account_id
            while len(self._accounts) > MOST_KEPT:
                self._accounts.popitem(last=False)
        if isinstance(event, AttemptCommitted):
            return
        if isinstance(event, AttemptBridged) and (before := self._agents.get(event.agent_id)):
            talking = {"state": AgentState.TALKING.value, "since": round(time.time(), 1), "shown": None}
            talk = {
                "attempt_id": event.attempt_id,
                "account_id": event.account_id,
                "campaign": event.campaign_id,
            }
            self._agents[event.agent_id] = before | talking | talk
            self.tell()
        self.hurry()

    def begin(self) -> None:
        """Begin with nobody known."""
        self._agents = {}

    def watch(self, agent: str, still: Still) -> AsyncIterator[bytes]:
        """Yield server-sent events, whenever they change: `agent` with the agent as they are, `inbox` with what theirs comes to."""
        told: Any = None
        inbox: Any = None
        self._inbox_changed = True  # what was seen since it was last read has no event

        def news() -> bytes:
            nonlocal told, inbox
            now = {"up": False, "why": self._away} if self._away else self._agents.get(agent, told)
            if now is not None and now != told:
                told = now
                return b"event: agent\ndata: %s\n\n" % msgspec.json.encode(now)
            counted = self._inboxes.get(agent, NOTHING)
            if counted != inbox:
                inbox = counted
                return b"event: inbox\ndata: %s\n\n" % msgspec.json.encode(counted)
            return b""

        return self.follow(news, still)

    async def look(self) -> None:
        """Ask the engine what everybody does."""
        try:
            assert self.engine is not None  # noqa: S101 - set where the routes are made
            now = await self.engine.status()
        except (NotRunningError, CommandRefusedError) as away:
            self._away = str(away)
        else:
            self._away = ""
            self._agents = {one.id: self._view(msgspec.to_builtins(one)) for one in now.agents}
        self.tell()
        if time.monotonic() - self._inbox_read_s > (EVERY_S if self._inbox_changed else INBOX_EVERY_S):
            await self._count()
            self.tell()

    async def _count(self) -> None:
        """Read what every agent's inbox comes to."""
        assert self.engine is not None  # noqa: S101 - set where the routes are made
        self._inbox_read_s, self._inbox_changed = time.monotonic(), False
        try:
            counted = await self.engine.chats.counts()
        except CommandRefusedError:  # a process without messages
            return
        self._inboxes = {str(agent): msgspec.to_builtins(one) for agent, one in counted.items()}

    def _view(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return an agent with the time since when, so that nothing changes while they do the same, and with the account they talk about."""
        before = self._agents.get(told["id"], {})
        same = before.get("state") == told["state"]
        since_s = _steady(before.get("since") if same else None, time.time() - told.pop("seconds_in_state"))
        if (shown := told["shown"]) is not None:
            earlier = before.get("shown") or {}
            left_s, same = shown.pop("seconds_left"), earlier.get("lead") == shown["lead"]
            until_s = None if left_s is None else time.time() + left_s
            shown["until"] = (
                None if until_s is None else _steady(earlier.get("until") if same else None, until_s)
            )
        attempt = told["attempt_id"] or told["last_attempt_id"]
        told |= {"up": True, "since": since_s, "account_id": self._accounts.get(attempt)}
        return told | {"noted": self._noted.get(told["id"], "")}


def _steady(before_s: float | None, now_s: float) -> float:
    """Return a moment as it was told before, where it is the same one: readings of it differ by how long they took."""
    return before_s if before_s is not None and abs(before_s - now_s) < JITTER_S else round(now_s, 1)
