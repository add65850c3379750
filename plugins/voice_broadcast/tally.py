"""The counts of a broadcast, made of events alone, read from the log and each counted once.

Nothing personal is in them: no number, no name, no key that was pressed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pydantic import BaseModel, Field

from dialer_core.plugin_api import (
    AttemptBridged,
    AttemptEnded,
    EngineHandle,
    Event,
    FlowEnded,
    FlowStarted,
    FlowStepEntered,
    IdentityVerified,
    OptOutReceived,
    PromiseMade,
    StatementRequested,
)

_PAGE: Final = 2000
_OURS: Final = frozenset(
    {
        AttemptBridged.name, AttemptEnded.name, FlowEnded.name, FlowStarted.name, FlowStepEntered.name, IdentityVerified.name,
        OptOutReceived.name, PromiseMade.name, StatementRequested.name,
    }
)  # fmt: skip
"""What is counted."""


class Broadcast(BaseModel):
    """One campaign's flow so far."""

    calls: int = 0
    """Attempts that have ended."""
    heard: int = 0
    """People to whom it spoke."""
    identified: int = 0
    to_agent: int = 0
    """They asked for an agent."""
    connected: int = 0
    """They got one."""
    promised: int = 0
    opted_out: int = 0
    statements: int = 0
    seconds: float = 0.0
    """Spoken with, in all."""
    steps: dict[str, int] = Field(default_factory=dict)
    """How often each step was taken."""
    results: dict[str, int] = Field(default_factory=dict)
    """How flows ended."""
    outcomes: dict[str, int] = Field(default_factory=dict)


class Tally:
    """Every campaign's counts."""

    def __init__(self) -> None:
        self.broadcasts: dict[str, Broadcast] = {}
        self._cursor = ""
        self._reading = asyncio.Lock()
        self._in_flow: set[str] = set()
        """Attempts whose flow has begun and that have not ended."""

    async def read_on(self, engine: EngineHandle) -> None:
        """Count what the log holds since it was read last."""
        async with self._reading:
            while True:
                page, self._cursor = await engine.read_events(self._cursor, names=_OURS, limit=_PAGE)
                for stored in page:
                    if (event := engine.typed(stored)) is not None:
                        self._count(event)
                if len(page) < _PAGE:
                    return

    def _count(self, event: Event) -> None:
        campaign, attempt = event.campaign_id or "", str(event.attempt_id or "")
        if not isinstance(event, FlowStarted) and attempt not in self._in_flow:
            return
        its = self.broadcasts.setdefault(campaign, Broadcast())
        match event:
            case FlowStarted():
                self._in_flow.add(attempt)
                its.heard += 1
            case FlowStepEntered(step=step):
                its.steps[step] = its.steps.get(step, 0) + 1
            case FlowEnded(result=result, seconds=seconds):
                its.results[result] = its.results.get(result, 0) + 1
                its.seconds = round(its.seconds + seconds, 1)
                its.to_agent += result == "to_agent"
            case IdentityVerified():
                its.identified += 1
            case PromiseMade():
                its.promised += 1
            case OptOutReceived():
                its.opted_out += 1
            case StatementRequested():
                its.statements += 1
            case AttemptBridged():
                its.connected += 1
            case AttemptEnded(outcome=outcome):
                self._in_flow.discard(attempt)
                its.calls += 1
                its.outcomes[outcome] = its.outcomes.get(outcome, 0) + 1
            case _:
                pass
