"""The counts of a broadcast: each event once, only of calls that a flow spoke to."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import pytest

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
    StoredEvent,
)
from dialer_core.vocabulary import AgentId, AttemptId, CampaignId
from plugins.voice_broadcast.tally import Tally

pytestmark = pytest.mark.unit


def stored(seq: int, event: Event) -> StoredEvent:
    """Return an event's row."""
    return StoredEvent(
        node="n", source="engine", seq=seq, id=str(seq), boot_id="b", at_utc="", at_mono_ns=0, name=event.name,
        campaign_id="c", account_id=None, attempt_id=event.attempt_id, data={},
    )  # fmt: skip


class Log:
    """An event log that grows."""

    def __init__(self, rows: list[tuple[StoredEvent, Event]]) -> None:
        self.rows, self.upto = rows, 0

    async def read_events(
        self, since: str, names: Collection[str] | None = None, limit: int = 500
    ) -> tuple[list[StoredEvent], str]:
        """Return what there is after the cursor."""
        del names, limit
        return [row for row, _ in self.rows[int(since or 0) : self.upto]], str(self.upto)

    def typed(self, stored: StoredEvent) -> Event:
        """Return the event of a row."""
        return next(event for row, event in self.rows if row is stored)


async def test_a_broadcast_is_counted_by_its_events() -> None:
    """Heard, identified, steps, results, outcomes; however often it is asked for, each event counts once; calls without a flow not at all."""
    ids = {"campaign_id": CampaignId("c"), "attempt_id": AttemptId("1")}
    ended = {"sip_code": 200, "q850": 0, "ended_by": "us"}
    told: list[Event] = [
        FlowStarted(**ids, flow="f", language="es"),
        FlowStepEntered(**ids, flow="f", step="hello", sensitive=False),
        IdentityVerified(**ids, by="confirmation"),
        OptOutReceived(**ids, channel="voice", flow="f"),
        FlowEnded(**ids, flow="f", step="bye", result="to_agent", steps=2, seconds=12.5, identified=True),
        AttemptBridged(**ids, agent_id=AgentId("ana"), verdict_to_bridge_ms=1.0),
        AttemptEnded(**ids, outcome="connected", **ended),
        AttemptEnded(campaign_id=CampaignId("c"), attempt_id=AttemptId("2"), outcome="busy", **ended),
    ]
    log = Log([(stored(seq, event), event) for seq, event in enumerate(told, 1)])
    tally = Tally()
    for upto in (3, 3, len(told), len(told)):
        log.upto = upto
        await tally.read_on(cast("EngineHandle", log))
    its = tally.broadcasts["c"]
    assert (its.heard, its.identified, its.opted_out, its.to_agent, its.connected, its.calls) == (
        1,
        1,
        1,
        1,
        1,
        1,
    )
    assert (its.steps, its.results, its.outcomes) == ({"hello": 1}, {"to_agent": 1}, {"connected": 1})
    assert its.seconds == 12.5
