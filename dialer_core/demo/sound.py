"""The sound of every bridged pair, judged from what each side received.

It owns the choice of recordings and intervals. The judgement itself is the simulator's
(`sim/audio_check.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dialer_core.demo.report import Bridge
from dialer_core.sim.audio_check import check_conversation
from dialer_core.sim.log_reader import CallRecord, SimulationLog


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
            wrong, margin, gap = _judge(log, call, agent, mine)
            failures += [f"attempt {row.id} with {agent_id}: {text}" for text in wrong]
            margins += margin
            gaps += gap
    return SoundReport(
        conversations=conversations,
        worst_margin_db=round(min(margins), 1) if margins else None,
        worst_gap_ms=round(max(gaps), 1) if gaps else None,
        failures=failures,
    )


def _agent_leg(agents: Sequence[CallRecord], port: int | None, at_ns: int) -> CallRecord | None:
    """Return the leg on the agent's softphone that was up at that time."""
    for agent in agents:
        up = agent.port == port and agent.answered_ns is not None and agent.answered_ns <= at_ns
        if up and (agent.over_ns is None or agent.over_ns >= at_ns):
            return agent
    return None


def _judge(
    log: SimulationLog, customer: CallRecord | None, agent: CallRecord | None, bridges: Sequence[Bridge]
) -> tuple[list[str], list[float], list[float]]:
    """Return what is wrong, and the margins and gaps that were measured."""
    if customer is None or agent is None or agent.tone_hz is None:
        return ["a leg is missing from the simulator's log"], [], []
    # the far end knows best when it was over: the bridge ends in a process of its own, a little later
    over_ns = customer.over_ns or bridges[-1].end_ns
    intervals = [
        (bridge.start_ns, min(bridge.end_ns, over_ns)) for bridge in bridges if bridge.start_ns < over_ns
    ]
    if not intervals:
        return [], [], []
    try:
        heard = check_conversation(
            log.recording_of(customer.call_id),
            log.recording_of(agent.call_id),
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
