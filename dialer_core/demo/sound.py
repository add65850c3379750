"""The sound of every bridged pair, judged from what each side received.

It owns the choice of recordings and intervals. The judgement itself is the simulator's
(`sim/audio_check.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from dialer_core.demo.report import Bridge
from dialer_core.sim.audio_check import Limits, check_conversation, strays
from dialer_core.sim.log_reader import CallRecord, SimulationLog
from dialer_core.sim.playout import Interval
from dialer_core.sim.recording import Recording


class SoundReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the sound of all conversations was."""

    conversations: int
    worst_margin_db: float | None
    """Smallest lead of a partner's tone over every other call's."""
    worst_gap_ms: float | None
    failures: list[str]

    @property
    def ok(self) -> bool:
        """Every conversation was judged, and right both ways."""
        return self.conversations > 0 and not self.failures

    def seen(self) -> str:
        """Return it in words."""
        if self.worst_margin_db is None or self.worst_gap_ms is None:
            return f"{self.conversations} conversations, {len(self.failures)} wrong"
        return (
            f"{self.conversations} conversations, {len(self.failures)} wrong; worst margin {self.worst_margin_db:.0f} dB,"
            f" worst gap {self.worst_gap_ms:.0f} ms"
        )


def judge_sound(
    rows: Sequence[Any],
    bridges: Mapping[str, Sequence[Bridge]],
    log: SimulationLog,
    agent_ports: Mapping[str, int],
) -> SoundReport:
    """Judge every bridged attempt; one that cannot be judged (a recording is missing) is a failure.

    Parameters
    ----------
    rows
        Every attempt.
    bridges
        Bridges by attempt id; an attempt with several agents is judged with each.
    log
        The simulator's log, finished.
    agent_ports
        SIP port of each agent's softphone.
    """
    calls = {call.call_id: call for call in log.customers}
    by_agent: dict[str, list[Bridge]] = {}
    for bridge in sorted((b for mine in bridges.values() for b in mine), key=lambda bridge: bridge.start_ns):
        by_agent.setdefault(bridge.agent_id, []).append(bridge)
    heard_by_leg: dict[str, dict[int, list[Interval]]] = {}
    failures: list[str] = []
    margins: list[float] = []
    gaps: list[float] = []
    conversations = 0
    for row in rows:
        call = calls.get(row.call_id or "")
        for agent_id in dict.fromkeys(bridge.agent_id for bridge in bridges.get(row.id, ())):
            conversations += 1
            mine = [bridge for bridge in bridges[row.id] if bridge.agent_id == agent_id]
            agent = _agent_leg(log.agents, agent_ports.get(agent_id), mine[0].start_ns)
            if call is None or agent is None or agent.tone_hz is None:
                failures.append(
                    f"attempt {row.id} with {agent_id}: a leg is missing from the simulator's log"
                )
                continue
            intervals = _intervals(mine, call)
            if call.tone_hz is not None:
                heard_by_leg.setdefault(agent.call_id, {}).setdefault(call.tone_hz, []).extend(intervals)
            wrong, margin, gap = _judge(log, call, agent, intervals, _between(by_agent[agent_id], mine))
            failures += [f"attempt {row.id} with {agent_id}: {text}" for text in wrong]
            margins += margin
            gaps += gap
    failures += _strays(log, heard_by_leg)
    return SoundReport(
        conversations=conversations,
        worst_margin_db=round(min(margins), 1) if margins else None,
        worst_gap_ms=round(max(gaps), 1) if gaps else None,
        failures=failures,
    )


def during(recording: Recording, interval: Interval) -> Recording:
    """Return the packets that arrived within an interval."""
    first, last = np.searchsorted(recording.arrival_ns, interval)
    begin = int(recording.payload_end[first - 1]) if first else 0
    end = int(recording.payload_end[last - 1]) if last > first else begin
    cut = {f.name: getattr(recording, f.name)[first:last] for f in dataclasses.fields(recording)}
    return dataclasses.replace(
        recording,
        **cut | {"payload": recording.payload[begin:end], "payload_end": cut["payload_end"] - begin},
    )


def _agent_leg(agents: Sequence[CallRecord], port: int | None, at_ns: int) -> CallRecord | None:
    """Return the leg on the agent's softphone that was up at that time."""
    for agent in agents:
        up = agent.port == port and agent.answered_ns is not None and agent.answered_ns <= at_ns
        if up and (agent.over_ns is None or agent.over_ns >= at_ns):
            return agent
    return None


def _intervals(bridges: Sequence[Bridge], customer: CallRecord) -> list[Interval]:
    """Return when the two were joined; the far end knows best when it was over.

    Of its end we hear a little later.
    """
    over_ns = customer.over_ns or bridges[-1].end_ns
    return [(bridge.start_ns, min(bridge.end_ns, over_ns)) for bridge in bridges if bridge.start_ns < over_ns]


def _between(of_agent: Sequence[Bridge], mine: Sequence[Bridge]) -> Interval:
    """Return the time around a conversation in which the agent had nobody else.

    What the agent hears of the callers before and after is theirs: their speech may hold any frequency for a
    moment.
    """
    before = [bridge.end_ns for bridge in of_agent if bridge.end_ns <= mine[0].start_ns]
    after = [
        bridge.start_ns for bridge in of_agent if bridge.start_ns >= mine[-1].end_ns and bridge not in mine
    ]
    tail_ns = int(Limits().tail_ms * 1e6)
    return (max(before, default=0) + tail_ns, min(after, default=mine[-1].end_ns + 3_600_000_000_000))


def _judge(
    log: SimulationLog,
    customer: CallRecord,
    agent: CallRecord,
    intervals: Sequence[Interval],
    alone: Interval,
) -> tuple[list[str], list[float], list[float]]:
    """Return what is wrong, and the margins and gaps that were measured."""
    if not intervals or agent.tone_hz is None:
        return [], [], []
    try:
        heard = check_conversation(
            log.recording_of(customer.call_id),
            during(log.recording_of(agent.call_id), alone),
            customer_hz=customer.tone_hz,
            agent_hz=agent.tone_hz,
            tones_hz=log.tones_hz,
            intervals=intervals,
            spoke_ns=customer.spoke_ns,
        )
    except FileNotFoundError:
        return ["a recording is missing"], [], []
    wrong, margins, gaps = [], [], []
    for side, check in (("customer", heard.at_customer), ("agent", heard.at_agent)):
        if check.measured:
            margins.append(check.margin_db)
            gaps.append(check.worst_gap_ms)
        if not check.margin_ok:
            wrong.append(f"at the {side} the partner is only {check.margin_db:.1f} dB over the others")
        if not check.gap_ok:
            wrong.append(f"at the {side} the partner is gone for {check.worst_gap_ms:.0f} ms")
        if not check.leak_ok:
            wrong.append(f"at the {side} the partner is heard outside the bridge ({check.leak_db:.1f} dB)")
    return wrong, margins, gaps


def _strays(log: SimulationLog, heard_by_leg: Mapping[str, Mapping[int, Sequence[Interval]]]) -> list[str]:
    """Return every customer's tone that an agent heard at any time without being bridged to that customer."""
    customers_hz = log.header["customer_tones_hz"]
    found = []
    for agent in log.agents:
        try:
            recording = log.recording_of(agent.call_id)
        except FileNotFoundError:  # a leg that never came up heard nothing
            continue
        allowed = heard_by_leg.get(agent.call_id, {})
        found += [
            f"the softphone on port {agent.port} heard {stray.hz} Hz at {stray.level_dbfs:.0f} dBFS without a bridge"
            for stray in strays(recording, tones_hz=customers_hz, allowed=allowed)
        ]
    return found
