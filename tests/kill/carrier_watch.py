"""What the far ends say while it happens: their log, read on from where it was, as one record per call.

Owns the reading. It judges nothing, and shares no code with the simulator's own reader or with `dialer verify`: the log is evidence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class WireCall:
    """One call as its far end saw it; times are monotonic nanoseconds, 0 where it has not happened."""

    call_id: str
    side: str
    port: int
    number: str
    attempt: str
    """The dialer's id of the attempt, from the INVITE's header; empty for an agent's leg."""
    hz: int
    invited_ns: int
    ringing_ns: int = 0
    early_ns: int = 0
    final_ns: int = 0
    """Any final response to the INVITE."""
    answered_ns: int = 0
    acked_ns: int = 0
    agent_heard_ns: int = 0
    message_ns: int = 0
    spoke_ns: int = 0
    """When the customer's own tone began."""
    tone_hz: int = 0
    bye_ns: int = 0
    bye_received: bool = False
    bye_reason: str = ""
    cancel_ns: int = 0
    over_ns: int = 0
    closing: dict[str, Any] = field(default_factory=dict)
    """The closing line."""

    def up_at(self, at_ns: int) -> bool:
        """Say whether it was answered and not over at an instant."""
        return 0 < self.answered_ns <= at_ns and not self.over_by(at_ns)

    def over_by(self, at_ns: int) -> bool:
        """Say whether it was over at an instant."""
        ends = [
            t
            for t in (self.bye_ns, self.cancel_ns, self.over_ns, 0 if self.answered_ns else self.final_ns)
            if t
        ]
        return bool(ends) and min(ends) <= at_ns


class CarrierWatch:
    """Every call of a growing log. `poll` takes in what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: dict[str, WireCall] = {}
        self.errors: list[str] = []
        self.lates: list[tuple[int, int]] = []
        """From when to when the far ends themselves stood still."""
        self._offset = 0
        self._rest = b""

    def poll(self) -> list[dict[str, Any]]:
        """Read on; returns the new lines."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        *whole, self._rest = data.split(b"\n")
        lines = [json.loads(line) for line in whole]
        for line in lines:
            self._take(line)
        return lines

    def stood_still(self, from_ns: int, until_ns: int) -> bool:
        """Say whether the far ends themselves stood still at any time in between."""
        return any(begin_ns <= until_ns and end_ns >= from_ns for begin_ns, end_ns in self.lates)

    @property
    def customers(self) -> list[WireCall]:
        """The carrier's calls, in the order of their INVITEs."""
        return [call for call in self.calls.values() if call.side == "carrier"]

    @property
    def agents(self) -> list[WireCall]:
        """The softphones' calls."""
        return [call for call in self.calls.values() if call.side == "softphone"]

    def _take(self, line: dict[str, Any]) -> None:
        kind, at_ns = line["kind"], int(line["at_mono_ns"])
        if kind == "sim.late":
            self.lates.append((int(line["from_ns"]), at_ns))
        if kind == "sim.error":
            self.errors.append(str(line.get("error")))
        call_id = line.get("call_id")
        if call_id is None:
            return
        if kind == "invite.received" and call_id not in self.calls:
            self.calls[call_id] = WireCall(
                call_id, line["side"], line["port"], line["called_number"], line.get("attempt") or "", line.get("hz") or 0, at_ns
            )  # fmt: skip
            return
        call = self.calls.get(call_id)
        if call is not None:
            self._go_on(call, line, at_ns)

    def _go_on(self, call: WireCall, line: dict[str, Any], at_ns: int) -> None:
        match line["kind"]:
            case "response.sent" if line["method"] == "INVITE":
                self._response(call, int(line["code"]), at_ns)
            case "ack.received":
                call.acked_ns = call.acked_ns or at_ns
            case "agent.heard":
                call.agent_heard_ns = call.agent_heard_ns or at_ns
            case "message.heard":
                call.message_ns = call.message_ns or at_ns
            case "speaking.started":
                call.spoke_ns, call.tone_hz = call.spoke_ns or int(line["at_ns"]), int(line["hz"])
            case "cancel.received":
                call.cancel_ns = call.cancel_ns or at_ns
            case "bye.received" | "bye.sent" as kind if not call.bye_ns:
                call.bye_ns, call.bye_received = at_ns, kind == "bye.received"
                call.bye_reason = str(line.get("reason", ""))
            case "call.ended":
                call.over_ns, call.closing = int(line["ended_ns"]), line
            case _:
                pass

    @staticmethod
    def _response(call: WireCall, code: int, at_ns: int) -> None:
        if code == 180:
            call.ringing_ns = call.ringing_ns or at_ns
        elif code == 183:
            call.early_ns = call.early_ns or at_ns
        elif code >= 200:
            call.final_ns = call.final_ns or at_ns
            if code == 200:
                call.answered_ns = call.answered_ns or at_ns
