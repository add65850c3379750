"""The plugin `agent_state_http`: what is pushed is told, kept for an engine that comes later, and let go when nobody pushes any more."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import pytest
from pydantic import ValidationError

import plugins.agent_state_http as plugin
from dialer_core.plugin_api import AgentReport, AgentStates, NotRunningError, Presence, ReportsTaken
from plugins.agent_state_http import Push, PushedState, PushedStates, PushSettings

pytestmark = pytest.mark.unit


class Engine(AgentStates):
    """An engine that knows `ana`; away where the test says so."""

    def __init__(self) -> None:
        self.told: list[tuple[list[AgentReport], float]] = []
        self.away = False

    async def tell(self, reports: Sequence[AgentReport], *, stale_after_s: float) -> ReportsTaken:
        """Note it."""
        if self.away:
            raise NotRunningError("the engine is not attached")
        self.told.append((list(reports), stale_after_s))
        return ReportsTaken(
            changed=len(reports), unknown=tuple(one.agent for one in reports if one.agent != "ana")
        )


def state(agent: str, to: str, sequence: int) -> PushedState:
    """Return one pushed state."""
    return PushedState(agent=agent, state=Presence(to), sequence=sequence)


async def until(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110 - what another task has noted
            await asyncio.sleep(0.01)


async def test_what_is_pushed_is_told_again_until_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, then again and again with the time that is left, the newest word of each agent, none of strangers; then nothing more."""
    monkeypatch.setattr(plugin, "AGAIN_S", 0.02)
    monkeypatch.setattr(plugin, "LEAST_S", 1.8)
    engine = Engine()
    pushed = PushedStates(PushSettings(stale_after_s=2.0), engine)
    await pushed.take([state("ana", "available", 2), state("eva", "busy", 1)])
    await pushed.take([state("ana", "busy", 1)])
    running = asyncio.create_task(pushed.run(engine))
    engine.away = True
    await asyncio.sleep(0)
    engine.away = False
    await until(lambda: len(engine.told) >= 4)
    await asyncio.sleep(0.3)  # what was pushed is older than may be told now
    count = len(engine.told)
    await asyncio.sleep(0.1)
    assert len(engine.told) == count
    running.cancel()
    again, left_s = engine.told[-1]
    assert [(one.agent, one.state, one.order) for one in again] == [("ana", Presence.AVAILABLE, 2)]
    assert 1.8 <= left_s < 2.0


def test_a_push_needs_an_order() -> None:
    """A sequence or a time with its offset, one of them; states are the four words."""
    at = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=-6)))
    assert PushedState(agent="ana", state=Presence.BUSY, at=at).report().order == 1795359600_000_000
    for wrong in (
        {"agent": "ana", "state": "busy"},
        {"agent": "ana", "state": "busy", "sequence": 1, "at": at},
        {"agent": "ana", "state": "talking", "sequence": 1},
        {"agent": "ana", "state": "busy", "at": "2026-11-22T09:00:00"},
        {"agent": "", "state": "busy", "sequence": 1},
    ):
        with pytest.raises(ValidationError):
            Push.model_validate({"states": [wrong]})
