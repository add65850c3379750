"""The metrics: which there are, what each event adds, and what the engine's status says at a scrape.

It owns a registry of its own, so that nothing of another library is exported by accident. Labels are ids of
campaigns, trunks, agents' states and plugins: never a number or a name (I17).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector

from dialer_core.plugin_api import (
    AgentState,
    AttemptAbandoned,
    AttemptAnswered,
    AttemptBridged,
    AttemptCommitted,
    AttemptEnded,
    AttemptFaulted,
    AttemptVerdictGiven,
    AttemptVerdictRevised,
    CommandRefusedError,
    EngineHandle,
    EngineRestarted,
    Event,
    LeadBlocked,
    MediaLost,
    MediaView,
    NotRunningError,
    PluginFailed,
    Snapshot,
    WorkerLost,
)

__all__ = ["CONTENT_TYPE", "Metrics"]

BRIDGE_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
RING_BUCKETS_S = (1, 2, 4, 6, 8, 10, 15, 20, 25, 30, 45)
TALK_BUCKETS_S = (5, 15, 30, 60, 120, 300, 600, 1200, 3600)


class Metrics:
    """Everything counted since the host started."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._status = _StatusCollector()
        registry.register(self._status)
        by_campaign = ("campaign",)
        self._attempts = Counter("marcador_attempts", "Attempts committed", by_campaign, registry=registry)
        self._outcomes = Counter(
            "marcador_attempts_ended",
            "Attempts ended, by outcome",
            ("campaign", "outcome"),
            registry=registry,
        )
        self._abandoned = Counter(
            "marcador_abandoned", "Live answers abandoned", by_campaign, registry=registry
        )
        self._bridged = Counter(
            "marcador_bridged", "People bridged to an agent", by_campaign, registry=registry
        )
        self._verdicts = Counter(
            "marcador_verdicts",
            "Final and provisional verdicts, by label",
            ("campaign", "label"),
            registry=registry,
        )
        self._revised = Counter(
            "marcador_verdicts_revised", "Verdicts revised", by_campaign, registry=registry
        )
        self._blocked = Counter(
            "marcador_leads_blocked", "Leads the gate refused", ("campaign", "rule"), registry=registry
        )
        self._lost = Counter(
            "marcador_processes_lost", "Processes of ours that died", ("process",), registry=registry
        )
        self._faults = Counter(
            "marcador_attempts_faulted", "Bug cells of state tables hit", registry=registry
        )
        self._plugin_failures = Counter(
            "marcador_plugin_failures",
            "Hook calls of plugins that failed",
            ("plugin", "hook"),
            registry=registry,
        )
        self._to_bridge = Histogram(
            "marcador_verdict_to_bridge_seconds",
            "From a live verdict to the bridge",
            by_campaign,
            buckets=BRIDGE_BUCKETS_S,
            registry=registry,
        )
        self._ring = Histogram(
            "marcador_ring_seconds",
            "From the INVITE to the answer",
            by_campaign,
            buckets=RING_BUCKETS_S,
            registry=registry,
        )
        self._talk = Histogram(
            "marcador_talk_seconds", "Conversations", by_campaign, buckets=TALK_BUCKETS_S, registry=registry
        )

    def count(self, event: Event) -> None:
        """Add one event."""
        campaign = event.campaign_id or ""
        match event:
            case AttemptCommitted():
                self._attempts.labels(campaign).inc()
            case AttemptAnswered(ring_ms=ring_ms):
                self._ring.labels(campaign).observe(ring_ms / 1000)
            case AttemptVerdictGiven(label=label):
                self._verdicts.labels(campaign, label).inc()
            case AttemptVerdictRevised():
                self._revised.labels(campaign).inc()
            case AttemptBridged(verdict_to_bridge_ms=elapsed_ms):
                self._bridged.labels(campaign).inc()
                self._to_bridge.labels(campaign).observe(elapsed_ms / 1000)
            case AttemptAbandoned():
                self._abandoned.labels(campaign).inc()
            case AttemptEnded(outcome=outcome, talk_ms=talk_ms):
                self._outcomes.labels(campaign, outcome).inc()
                if talk_ms:
                    self._talk.labels(campaign).observe(talk_ms / 1000)
            case AttemptFaulted():
                self._faults.inc()
            case LeadBlocked(rule=rule):
                self._blocked.labels(campaign, rule).inc()
            case PluginFailed(plugin=plugin, hook=hook):
                self._plugin_failures.labels(plugin, hook).inc()
            case WorkerLost():
                self._lost.labels("worker").inc()
            case MediaLost():
                self._lost.labels("media").inc()
            case EngineRestarted():
                self._lost.labels("engine").inc()
            case _:
                pass

    async def scrape(self, engine: EngineHandle) -> bytes:
        """Return the text for Prometheus; `marcador_engine_up` is 0, and no gauge is there, without an engine."""
        try:
            self._status.snapshot = await engine.status()
        except (NotRunningError, CommandRefusedError):
            self._status.snapshot = None
        return generate_latest(self._registry)


class _StatusCollector(Collector):
    """Gauges out of the engine's last status."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None

    def collect(self) -> Iterable[Metric]:
        """Return the gauges of one scrape."""
        yield GaugeMetricFamily(
            "marcador_engine_up", "The engine answers", value=float(self.snapshot is not None)
        )
        if self.snapshot is not None:
            yield from _gauges(self.snapshot)


def _family(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values:
        family.add_metric((key,), value)
    return family


def _media_gauges(media: MediaView) -> Iterator[Metric]:
    yield GaugeMetricFamily("marcador_media_legs", "Legs with a socket", value=media.legs)
    yield GaugeMetricFamily("marcador_media_listening", "Legs that the detector hears", value=media.listening)
    yield GaugeMetricFamily(
        "marcador_media_tick_lag_seconds", "How late the worst 20 ms began", value=media.tick_lag_ms / 1000
    )
    for name, text in (
        ("rx_packets", "RTP packets received"),
        ("rx_lost", "RTP packets that far ends sent and we never got"),
        ("rx_overrun", "RTP packets the kernel threw away because they were not read in time"),
        ("tx_packets", "RTP packets sent"),
        ("tx_failed", "RTP packets the kernel would not take"),
    ):
        yield CounterMetricFamily(f"marcador_media_{name}", text, value=getattr(media, name))


def _gauges(now: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("marcador_store_healthy", "Commits succeed", value=float(now.store_healthy))
    yield GaugeMetricFamily(
        "marcador_media_attached", "The media plane is attached", value=float(now.media_attached)
    )
    yield GaugeMetricFamily("marcador_draining", "Nothing new is placed", value=float(now.draining))
    yield GaugeMetricFamily(
        "marcador_loop_lag_p99_seconds", "Lag of the engine's loop", value=now.loop_lag_ms_p99 / 1000
    )
    yield GaugeMetricFamily(
        "marcador_loop_lag_p50_seconds", "Median lag of the engine's loop", value=now.loop_lag_ms_p50 / 1000
    )
    yield GaugeMetricFamily(
        "marcador_loop_lag_max_seconds", "Worst lag of the engine's loop", value=now.loop_lag_ms_max / 1000
    )
    yield GaugeMetricFamily(
        "marcador_command_to_wire_p95_seconds",
        "From the engine's command to the INVITE on the wire",
        value=now.command_to_wire_ms_p95 / 1000,
    )
    if now.media is not None:
        yield from _media_gauges(now.media)
    yield GaugeMetricFamily("marcador_brake", "The pacing brake is on", value=float(bool(now.brake)))
    yield GaugeMetricFamily(
        "marcador_held", "Nothing new is placed: something does not keep up", value=float(bool(now.held))
    )
    yield GaugeMetricFamily("marcador_store_backlog", "Writes that wait", value=now.store_backlog)
    yield GaugeMetricFamily("marcador_uptime_seconds", "Since the engine started", value=now.uptime_s)
    states = {state.value: 0 for state in AgentState}
    for agent in now.agents:
        states[agent.state] = states.get(agent.state, 0) + 1
    yield _family("marcador_agents", "Agents, by state", "state", states.items())
    for phase in ("dialing", "listening", "waiting", "talking"):
        yield _family(
            f"marcador_{phase}",
            f"Attempts {phase} now",
            "campaign",
            ((c.id, getattr(c, phase)) for c in now.campaigns),
        )
    yield _family(
        "marcador_campaign_running",
        "The campaign dials",
        "campaign",
        ((c.id, c.state == "running") for c in now.campaigns),
    )
    known = [c for c in now.campaigns if c.people_lost is not None]
    for bound, value in (("", "people_lost"), ("_low", "people_lost_low"), ("_high", "people_lost_high")):
        yield _family(
            f"marcador_people_lost{bound}_ratio",
            "Estimated share of people taken for machines, with the ends of its 95 % interval",
            "campaign",
            ((c.id, getattr(c, value)) for c in known),
        )
    yield _family(
        "marcador_trunk_up", "The trunk answers", "trunk", ((t.id, t.state == "up") for t in now.trunks)
    )
    yield _family(
        "marcador_trunk_lines", "Lines of the trunk", "trunk", ((t.id, t.lines) for t in now.trunks)
    )
    yield _family(
        "marcador_trunk_lines_used", "Lines in use", "trunk", ((t.id, t.lines_used) for t in now.trunks)
    )
    attached = sum(worker.attached for worker in now.workers)
    yield GaugeMetricFamily("marcador_workers_attached", "Line workers attached", value=attached)
    used = sum(worker.slots_used for worker in now.workers)
    yield GaugeMetricFamily("marcador_worker_slots_used", "Slots of line workers in use", value=used)
    capacity = sum(worker.capacity for worker in now.workers if worker.attached)
    yield GaugeMetricFamily("marcador_worker_slots", "Slots of the line workers attached", value=capacity)
