"""What every viewer sees, put together once: the engine's status read while somebody looks, and told as changes.

It owns what is told and the differences. One who reads slowly misses steps, never the latest state, and holds no more than one message of memory.
It owns no route and no alert (`alerts.py`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from dialer_core.plugin_api import (
    AgentView,
    CallerIdHealthChanged,
    CommandRefusedError,
    EngineHandle,
    NotRunningError,
    PacingDecided,
    SharedReading,
    Snapshot,
    Still,
)
from plugins.status_page.alerts import Alert, Thresholds, alerts, caller_ids

EVERY_S = PACE_S = 0.5
"""How often the engine is asked, while somebody looks: an update is seen within a second."""
JITTER_S = 0.4
"""A time in state that differs by less is the same one."""

KEPT = "thresholds"
"""Where in the plugin's own values they are."""
State = dict[str, Any]
"""What a viewer knows: `system`, `alerts`, `limits`, and by id `campaigns`, `agents`, `trunks`."""
PARTS = ("campaigns", "agents", "trunks")


class Board(SharedReading):
    """The board. `engine` is set before the first viewer comes."""

    def __init__(self) -> None:
        super().__init__(EVERY_S, PACE_S)
        self.engine: EngineHandle | None = None
        self.limits = Thresholds()
        self._recalled = False
        self._state: State = {}
        self._version = 0
        self._patch = b""
        """From the version before to the present one."""
        self._decisions: dict[str, PacingDecided] = {}
        self._caller_ids: dict[tuple[str, int], CallerIdHealthChanged] = {}

    def happened(self, event: PacingDecided | CallerIdHealthChanged) -> None:
        """Keep a pool's last decision, and what was last told of a number that we call from."""
        if isinstance(event, PacingDecided):
            self._decisions[event.pool] = event
        else:
            self._caller_ids[event.pool, event.position] = event

    async def recall(self) -> None:
        """Take the thresholds that supervisors have set, once; those of an older version that fit no more are left."""
        if self._recalled or self.engine is None:
            return
        self._recalled = True
        if (kept := await self.engine.store.get(KEPT)) is not None:
            try:
                self.limits = Thresholds.model_validate(kept)
            except ValueError:
                self.limits = Thresholds()

    async def set_limits(self, limits: Thresholds) -> None:
        """Keep other thresholds, and judge by them at once."""
        assert self.engine is not None  # noqa: S101 - set where the routes are made
        await self.engine.store.put(KEPT, limits.model_dump())
        self.limits, self._recalled = limits, True
        self.hurry()

    def begin(self) -> None:
        """Tell the first viewer everything."""
        self._state = {}

    def watch(self, still: Still) -> AsyncIterator[bytes]:
        """Yield server-sent events: `state` with everything, then `change` with what differs from the one before."""
        seen = -1

        def news() -> bytes:
            nonlocal seen
            if not self._state or seen == self._version:
                return b""
            patch = self._patch if seen == self._version - 1 else b""
            seen = self._version
            return patch or _event("state", self._state)

        return self.follow(news, still)

    async def look(self) -> None:
        """Ask the engine, and tell what has changed."""
        try:
            assert self.engine is not None  # noqa: S101 - set where the routes are made
            now = await self.engine.status()
        except (NotRunningError, CommandRefusedError) as away:
            self._tell({**self._state, "system": {"up": False, "why": str(away)}, "alerts": []})
        else:
            found = [*alerts(now, self.limits), *caller_ids(self._caller_ids.values())]
            self._tell(_state(now, self._state, self._decisions, self.limits, found))

    def _tell(self, state: State) -> None:
        change = difference(self._state, state)
        if not change:
            return
        self._patch = _event("change", change) if self._state else b""
        self._state = state
        self._version += 1
        self.tell()


def difference(before: State, after: State) -> State:
    """Return what a viewer who knows `before` must be told to know `after`: things changed by id, and ids that are gone."""
    change: State = {
        name: after[name] for name in ("system", "alerts", "limits") if before.get(name) != after.get(name)
    }
    for name in PARTS:
        known, now = before.get(name, {}), after.get(name, {})
        changed = {key: value for key, value in now.items() if known.get(key) != value}
        if changed:
            change[name] = changed
        if gone := [key for key in known if key not in now]:
            change.setdefault("gone", {})[name] = gone
    return change


def _state(
    now: Snapshot, before: State, decisions: dict[str, PacingDecided], limits: Thresholds, found: list[Alert]
) -> State:
    at_s = time.time()
    return {
        "system": {
            "up": True, "node": now.node, "store": now.store_healthy, "media": now.media_attached, "draining": now.draining,
            "lag_ms": round(now.loop_lag_ms_p99), "held": now.held, "brake": now.brake,
        },
        "alerts": [alert._asdict() for alert in found[:MOST_ALERTS]],
        "limits": limits.model_dump(),
        "campaigns": {
            one.id: msgspec.to_builtins(one) | {"decision": _decision(one.id, decisions)} for one in now.campaigns
        },
        "agents": {one.id: _agent(one, at_s, before.get("agents", {}).get(one.id)) for one in now.agents},
        "trunks": {one.id: msgspec.to_builtins(one) for one in now.trunks},
    }  # fmt: skip


MOST_ALERTS = 30


def _agent(view: AgentView, at_s: float, before: dict[str, Any] | None) -> dict[str, Any]:
    """Return an agent with the time since when, not for how long: nothing changes while they do the same."""
    told: dict[str, Any] = msgspec.to_builtins(view)
    since_s = round(at_s - told.pop("seconds_in_state"), 1)
    if before is not None and before["state"] == view.state and abs(before["since"] - since_s) < JITTER_S:
        since_s = before["since"]
    return told | {"since": since_s}


def _decision(campaign: str, decisions: dict[str, PacingDecided]) -> dict[str, Any] | None:
    """Return the last pacing decision that was made for a campaign, for a page to put in words."""
    for pool, told in _of_pools(campaign, decisions):
        del pool
        return {
            "idle": told.idle, "talking": told.talking, "wrapping": told.wrapping, "ringing": told.ringing,
            "place": told.place, "binding": told.binding, "reason": told.reason, "alpha": told.alpha, "risk": told.p_marginal,
        }  # fmt: skip
    return None


def _of_pools(campaign: str, decisions: dict[str, PacingDecided]) -> Iterable[tuple[str, PacingDecided]]:
    named = [(pool, told) for pool, told in decisions.items() if campaign in pool.split("+")]
    return named or [(pool, told) for pool, told in decisions.items() if not pool]


def _event(name: str, value: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))
