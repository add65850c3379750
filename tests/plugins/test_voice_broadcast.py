"""The counts of a broadcast: each event once, only of calls that a flow spoke to."""

from __future__ import annotations

import pytest

from dialer_core.plugin_api import (
    AttemptBridged,
    AttemptEnded,
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


def test_a_broadcast_is_counted_by_its_events() -> None:
    """Heard, identified, steps, results, outcomes; an event read twice counts once; calls without a flow not at all."""
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
    tally = Tally()
    for _ in range(2):
        for seq, event in enumerate(told, 1):
            tally.count(event, stored(seq, event))
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
