"""Reads a finished simulation back: its calls with what they really were, who heard whom, and how long people waited.

Owns the reading of the event log (`event_log.py` lists its kinds) into `CallRecord`s and pairs. Judges no
sound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dialer_core.sim.recording import Recording, load_recording, recording_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LogEvent = dict[str, Any]


class SimLogError(ValueError):
    """The file is no event log of the simulator."""


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One leg as the far end saw it."""

    call_id: str
    side: str
    """"carrier" (a customer) or "softphone" (an agent)."""
    port: int
    """The SIP port that took the call."""
    events: tuple[LogEvent, ...]
    """Its lines, in order."""

    def first(self, kind: str) -> LogEvent | None:
        """The first line of a kind, or None."""
        return next((event for event in self.events if event["kind"] == kind), None)

    def all(self, kind: str) -> tuple[LogEvent, ...]:
        """Every line of a kind."""
        return tuple(event for event in self.events if event["kind"] == kind)

    def field(self, kind: str, name: str) -> Any:
        """A field of the first line of a kind; None when there is no such line or field."""
        return (self.first(kind) or {}).get(name)

    @property
    def called_number(self) -> str:
        """The user part of the request URI."""
        return str(self.field("invite.received", "called_number"))

    @property
    def behaviour(self) -> str | None:
        """The row of the table (carrier only)."""
        return _text(self.field("invite.received", "behaviour"))

    @property
    def true_class(self) -> str | None:
        """What was really there (carrier only)."""
        return _text(self.field("invite.received", "true_class"))

    @property
    def expected_outcome(self) -> str | None:
        """What a perfect dialer would have found (carrier only)."""
        return _text(self.field("invite.received", "expected_outcome"))

    @property
    def invited_ns(self) -> int:
        """When the INVITE came."""
        return int(self.events[0]["at_mono_ns"])

    @property
    def answered_ns(self) -> int | None:
        """When the 200 was sent, or None."""
        for event in self.all("response.sent"):
            if event["code"] == 200 and event["method"] == "INVITE":
                return int(event["at_mono_ns"])
        return None

    @property
    def over_ns(self) -> int | None:
        """When the call was over at this end: BYE or CANCEL received, BYE or a final code sent."""
        return _whole(self.field("call.ended", "ended_ns"))

    @property
    def tone_hz(self) -> int | None:
        """The tone that this end sent: an agent's all the time, a customer's once they spoke."""
        return _whole(self.field("invite.received", "hz") or self.field("speaking.started", "hz"))

    @property
    def spoke_ns(self) -> int | None:
        """When a customer's own tone began."""
        return _whole(self.field("speaking.started", "at_ns"))

    @property
    def hello_ended_ns(self) -> int | None:
        """The end of the last sample of a person's greeting."""
        return _whole(self.field("hello.ended", "at_ns"))


@dataclass(frozen=True, slots=True)
class SimulationLog:
    """A whole log. `header` is its first line, `footer` its last (None: the simulator did not end cleanly)."""

    header: LogEvent
    footer: LogEvent | None
    calls: Mapping[str, CallRecord]
    """By Call-ID, in the order of their INVITEs."""
    others: tuple[LogEvent, ...]
    """Lines of no call: OPTIONS, malformed datagrams."""

    @property
    def customers(self) -> tuple[CallRecord, ...]:
        """The carrier's calls."""
        return tuple(call for call in self.calls.values() if call.side == "carrier")

    @property
    def agents(self) -> tuple[CallRecord, ...]:
        """The softphones' calls."""
        return tuple(call for call in self.calls.values() if call.side == "softphone")

    @property
    def tones_hz(self) -> tuple[int, ...]:
        """Every frequency that anybody may have sent."""
        return (*self.header["agent_tones_hz"], *self.header["customer_tones_hz"])

    def recording_of(self, call_id: str) -> Recording:
        """What the call received (FileNotFoundError: it had no sound)."""
        return load_recording(Path(self.header["recordings"]) / recording_name(call_id))


def load_log(path: Path) -> SimulationLog:
    """Reads a log; one that is still being written is read as far as it goes.

    Raises
    ------
    SimLogError
        If a line is no JSON object, or the first is not `sim.started`.
    """
    events: list[LogEvent] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                break  # still being written
            try:
                events.append(json.loads(line))
            except ValueError as error:
                raise SimLogError(f"{path}:{number}: no JSON object: {error}") from error
    if not events or events[0].get("kind") != "sim.started":
        raise SimLogError(f"{path}: no log of the simulator (its first line is not sim.started)")
    by_call: dict[str, list[LogEvent]] = {}
    others = []
    for event in events[1:]:
        if "call_id" in event:
            by_call.setdefault(event["call_id"], []).append(event)
        elif event["kind"] != "sim.stopped":
            others.append(event)
    return SimulationLog(
        header=events[0],
        footer=events[-1] if events[-1]["kind"] == "sim.stopped" else None,
        calls={
            call_id: CallRecord(call_id, lines[0]["side"], lines[0]["port"], tuple(lines))
            for call_id, lines in by_call.items()
        },
        others=tuple(others),
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """A customer and the agent whom they heard."""

    customer: CallRecord
    agent: CallRecord
    heard_ns: int
    """The first audible sample of the agent at the customer."""


def pair_calls(log: SimulationLog) -> tuple[Pair, ...]:
    """Who heard whom, by the agents' tones alone: for a comparison with whom the dialer says it bridged.

    A customer who heard several agents is in several pairs.
    """
    pairs = []
    for customer in log.customers:
        for event in customer.all("agent.heard"):
            heard_ns = int(event["first_audible_ns"])
            agent = _agent_at(log.agents, event["hz"], heard_ns)
            if agent is not None:
                pairs.append(Pair(customer, agent, heard_ns))
    return tuple(pairs)


def _agent_at(agents: Sequence[CallRecord], hz: int, at_ns: int) -> CallRecord | None:
    """The agent's leg that was up with this tone at that time."""
    for agent in agents:
        answered_ns, over_ns = agent.answered_ns, agent.over_ns
        began = agent.tone_hz == hz and answered_ns is not None and answered_ns <= at_ns
        if began and (over_ns is None or at_ns <= over_ns):
            return agent
    return None


def hello_to_agent_ms(customer: CallRecord) -> float | None:
    """From the end of a person's greeting to the first audible sample of an agent, in ms.

    None when they heard no agent, or had said nothing before; negative when the agent came while they still
    spoke.
    """
    heard_ns, hello_ns = _whole(customer.field("agent.heard", "first_audible_ns")), customer.hello_ended_ns
    if heard_ns is None or hello_ns is None:
        return None
    return (heard_ns - hello_ns) / 1e6
