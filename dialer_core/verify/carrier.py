"""The carrier's log: what was really on the wire, as the simulated carrier wrote it down, one JSON object a line.

It owns the reading. It shares no code with the simulator's own reader: the log is evidence, and a second pair
of eyes reads it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from dialer_core.errors import ImportFileError

CARRIER_SIDE = "carrier"


class CarrierCall(msgspec.Struct):
    """One call as the far end saw it; `side` is `carrier` (a customer's) or `softphone` (an agent's)."""

    call_id: str
    side: str
    called_number: str = ""
    invited_ns: list[int] = []
    """When each INVITE of it came (two where the first was challenged)."""
    answered: bool = False
    ended_ns: int | None = None
    ended_by: str = ""


def read_carrier_log(path: Path) -> list[CarrierCall]:
    """Read the calls of a log, in the order of their INVITEs. A last line that is not whole yet is left out.

    Raises
    ------
    ImportFileError
        The file cannot be read, or a line is not a JSON object; names the line.
    """
    calls: dict[str, CarrierCall] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    break
                _take(calls, _parse(path, number, line))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ImportFileError(
            f"{path}: cannot be read: {reason}; give the log that the carrier wrote"
        ) from error
    return list(calls.values())


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "kind" not in event:
        raise ImportFileError(
            f"{path}:{number}: is not a line of a carrier's log; each is a JSON object with at_mono_ns and kind"
        )
    return event


def _take(calls: dict[str, CarrierCall], event: dict[str, Any]) -> None:
    call_id = event.get("call_id")
    if not call_id:
        return
    match event["kind"]:
        case "invite.received":
            call = calls.setdefault(call_id, CarrierCall(call_id, event.get("side", CARRIER_SIDE)))
            call.called_number = str(event.get("called_number", ""))
            call.invited_ns.append(int(event["at_mono_ns"]))
        case "call.ended" if call_id in calls:
            call = calls[call_id]
            call.ended_ns = int(event.get("ended_ns") or event["at_mono_ns"])
            call.ended_by = str(event.get("ended_by", ""))
            call.answered = bool(event.get("answered", False))
        case _:
            pass
