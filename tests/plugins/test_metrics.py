"""The metrics plugin: every event counted once, the engine's status as gauges, and nothing private in either."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dialer_core.events import (
    AttemptAbandoned,
    AttemptAnswered,
    AttemptBridged,
    AttemptCommitted,
    AttemptEnded,
    AttemptVerdictGiven,
    Event,
    LeadBlocked,
    PluginFailed,
    WorkerLost,
)
from dialer_core.vocabulary import AgentId, CampaignId
from tests.host.running import RunningHost, running_host
from tests.polling import wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

C = CampaignId("cobranza")
EVENTS: tuple[Event, ...] = (
    *(AttemptCommitted(campaign_id=C, trunk="carrier") for _ in range(3)),
    AttemptAnswered(campaign_id=C, ring_ms=1500),
    AttemptVerdictGiven(
        campaign_id=C, label="human", reason="x", confidence=0.9, provisional=True, decision_ms=900
    ),
    AttemptBridged(campaign_id=C, agent_id=AgentId("ana"), verdict_to_bridge_ms=40.0),
    AttemptAbandoned(campaign_id=C, waited_ms=2000),
    AttemptEnded(campaign_id=C, outcome="connected", sip_code=200, q850=16, ended_by="far", talk_ms=61_000),
    AttemptEnded(campaign_id=C, outcome="abandoned", sip_code=200, q850=16, ended_by="us"),
    LeadBlocked(campaign_id=C, lead_id="l", rule="window", reason="closed"),
    PluginFailed(plugin="crm", hook="dialer_track_event", error="KeyError"),
    WorkerLost(worker="customers-0", legs=2),
)


async def _samples(running: RunningHost, path: str = "/metrics") -> dict[tuple[str, str], float]:
    answer = await running.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (
            sample.name,
            ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_events_are_counted_and_status_is_shown(tmp_path: Path) -> None:
    """Each counter is the number of its events, histograms hold the measured values, gauges are the engine's status."""
    async with running_host(tmp_path, plugins=("metrics",)) as running:
        await running.attached()
        with running.database.write("engine") as tx:
            tx.emit(*EVENTS)
        running.engine.committed(len(EVENTS))

        async def counted() -> bool:
            return (await _samples(running)).get(("marcador_processes_lost_total", "process=worker")) == 1

        await wait_until_async(counted, 10, "the last event to be counted")
        seen = await _samples(running, "/api/v1/metrics")
    for (name, labels), value in {
        ("marcador_attempts_total", "campaign=cobranza"): 3,
        ("marcador_attempts_ended_total", "campaign=cobranza,outcome=connected"): 1,
        ("marcador_attempts_ended_total", "campaign=cobranza,outcome=abandoned"): 1,
        ("marcador_abandoned_total", "campaign=cobranza"): 1,
        ("marcador_bridged_total", "campaign=cobranza"): 1,
        ("marcador_verdicts_total", "campaign=cobranza,label=human"): 1,
        ("marcador_leads_blocked_total", "campaign=cobranza,rule=window"): 1,
        ("marcador_plugin_failures_total", "hook=dialer_track_event,plugin=crm"): 1,
        ("marcador_verdict_to_bridge_seconds_sum", "campaign=cobranza"): 0.04,
        ("marcador_ring_seconds_sum", "campaign=cobranza"): 1.5,
        ("marcador_talk_seconds_count", "campaign=cobranza"): 1,
        ("marcador_engine_up", ""): 1,
        ("marcador_agents", "state=talking"): 1,
        ("marcador_agents", "state=paused"): 1,
        ("marcador_agents", "state=ready"): 0,
        ("marcador_dialing", "campaign=cobranza"): 5,
        ("marcador_talking", "campaign=cobranza"): 3,
        ("marcador_trunk_lines_used", "trunk=carrier"): 8,
        ("marcador_trunk_up", "trunk=carrier"): 1,
        ("marcador_loop_lag_p99_seconds", ""): 0.0035,
        ("marcador_worker_slots", ""): 4,
    }.items():
        assert seen[name, labels] == pytest.approx(value), name


async def test_without_an_engine_the_scrape_says_so(tmp_path: Path) -> None:
    """The counters stay, the gauges are gone, and `marcador_engine_up` is 0: no stale number is shown."""
    async with running_host(tmp_path, plugins=("metrics",)) as running:
        await running.attached()
        await running.engine.stop()

        async def down() -> bool:
            return (await _samples(running))["marcador_engine_up", ""] == 0

        await wait_until_async(down, 10, "the engine to be seen as away")
        assert not any(name == "marcador_agents" for name, _ in await _samples(running))


def test_the_plugin_imports_only_what_a_plugin_may() -> None:
    """The bundled plugins are examples: of the core they import `dialer_core.plugin_api` alone, and their commands `dialer_core.plugin_cli`."""
    for file in (Path(__file__).parents[2] / "plugins").rglob("*.py"):
        imported = set(re.findall(r"^\s*(?:from|import) (dialer_core[\w.]*)", file.read_text(), re.MULTILINE))
        assert imported <= {"dialer_core.plugin_api"} | (
            {"dialer_core.plugin_cli"} if file.name == "commands.py" else set()
        ), file
