"""Judges a finished run: every bridge that the dialer says it made, and every agent's leg as a whole.

Owns the way from a dialer's list of bridges to `audio_check`: which recordings, tones and times belong to a bridge. A dialer
knows Call-IDs and the times of its bridges; everything else comes from the simulator's log and recordings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dialer_core.sim.audio_check import ConversationCheck, Limits, Stray, check_conversation, strays
from dialer_core.sim.log_reader import SimLogError, SimulationLog, hello_to_agent_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dialer_core.sim.log_reader import CallRecord
    from dialer_core.sim.playout import Interval


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge as the dialer tells it: the two legs' SIP Call-IDs, and from when to when (monotonic ns)."""

    customer_call_id: str
    agent_call_id: str
    bridged_ns: int
    ended_ns: int | None = None
    """None: until the first of the two hung up."""


@dataclass(frozen=True, slots=True)
class BridgeCheck:
    """A pair's bridges and what is to be said of their sound."""

    customer: CallRecord
    agent: CallRecord
    intervals: tuple[Interval, ...]
    sound: ConversationCheck
    hello_to_agent_ms: float | None


@dataclass(frozen=True, slots=True)
class RunCheck:
    """The whole run's sound."""

    bridges: tuple[BridgeCheck, ...]
    strays: tuple[tuple[str, Stray], ...]
    """Tones that an agent's leg (its Call-ID) heard outside every bridge."""

    @property
    def ok(self) -> bool:
        """Every bridge is right and nobody heard a stranger."""
        return all(bridge.sound.ok for bridge in self.bridges) and not self.strays


def check_run(log: SimulationLog, bridges: Iterable[Bridge], limits: Limits | None = None) -> RunCheck:
    """Judges the sound of a run, after the simulator has ended.

    Parameters
    ----------
    log
        `log_reader.load_log(...)` of the finished simulation.
    bridges
        What the dialer says it did; several of one pair are judged together.
    limits
        What is right; None for the defaults.

    Raises
    ------
    SimLogError
        If a Call-ID is not in the log, or its call had no sound.
    """
    load = cache(log.recording_of)
    by_pair: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for bridge in bridges:
        customer, agent = _record(log, bridge.customer_call_id), _record(log, bridge.agent_call_id)
        ends = [end for end in (bridge.ended_ns, customer.over_ns, agent.over_ns) if end is not None]
        if not ends:
            raise SimLogError(f"call {customer.call_id} has no end in the log: has the simulator ended?")
        by_pair[customer.call_id, agent.call_id].append((bridge.bridged_ns, min(ends)))
    checks = []
    allowed: dict[str, dict[int, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    for (customer_id, agent_id), intervals in by_pair.items():
        customer, agent = log.calls[customer_id], log.calls[agent_id]
        if customer.tone_hz is not None:
            allowed[agent_id][customer.tone_hz].extend(intervals)
        sound = check_conversation(
            load(customer_id),
            load(agent_id),
            customer_hz=customer.tone_hz,
            agent_hz=agent.tone_hz or 0,
            tones_hz=log.tones_hz,
            intervals=intervals,
            spoke_ns=customer.spoke_ns,
            limits=limits,
        )
        checks.append(BridgeCheck(customer, agent, tuple(intervals), sound, hello_to_agent_ms(customer)))
    found = [
        (agent.call_id, stray)
        for agent in log.agents
        if agent.field("call.ended", "recording")
        for stray in strays(
            load(agent.call_id), tones_hz=log.tones_hz, allowed=allowed[agent.call_id], limits=limits
        )
    ]
    return RunCheck(tuple(checks), tuple(found))


def _record(log: SimulationLog, call_id: str) -> CallRecord:
    record = log.calls.get(call_id)
    if record is None or not record.field("call.ended", "recording"):
        raise SimLogError(f"call {call_id!r}: not in the simulator's log, or without sound")
    return record
