"""What the demonstration's broadcast shows beside its bridges: keys that a flow obeyed, a customer handed on, recordings that play.

It owns these three judgements, over the store's events, the simulator's log and the recordings as they were exported. The bridges, also that of
a customer and an extension, are judged with all others (`sound.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialer_core.demo.report import Bridge, Promise
from dialer_core.demo.sound import SoundReport
from dialer_core.events import StoredEvent
from dialer_core.sim.audio_check import HOP, tone_levels_dbfs
from dialer_core.sim.g711 import SAMPLE_RATE_HZ
from dialer_core.sim.log_reader import SimulationLog
from dialer_core.sound_files import read_sound
from dialer_core.vocabulary import Outcome

EVENTS = ("flow.started", "flow.ended", "statement.requested", "attempt.handed_on")
LEAST_TOGETHER_S = 1.0
"""So long a customer and an extension, or a recording and each of its parties, are heard at least."""
CARRIED_DBFS = -30.0
ABSENT_DBFS = -45.0
LENGTH_WITHIN_S = 1.0
"""A recording is as long as the conversation, within this."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One recording, as the API gave it."""

    attempt_id: str
    file: Path


def digits(rows: Sequence[Any], events: Sequence[StoredEvent], log: SimulationLog) -> Promise:
    """Judge the flow: whoever pressed keys at the carrier got what the last one of them asks for.

    Parameters
    ----------
    rows
        Every attempt.
    events
        Those named in `EVENTS`.
    log
        The simulator's log, finished.
    """
    asked = {event.attempt_id for event in events if event.name == "statement.requested"}
    results = {event.attempt_id: event.data["result"] for event in events if event.name == "flow.ended"}
    by_call = {row.call_id: row for row in rows}
    pressed = [(call, keys) for call in log.customers if (keys := call.all("key.pressed"))]
    to_agent = served = 0
    for call, keys in pressed:
        row = by_call.get(call.call_id)
        if row is None:
            continue
        if keys[-1]["key"] == "1":
            to_agent += results.get(row.id) == "to_agent" and row.outcome == Outcome.CONNECTED
        else:
            served += row.id in asked and row.outcome == Outcome.SELF_SERVED
    count = sum(len(keys) for _, keys in pressed)
    return Promise(
        "digit: the broadcast obeys the keys that people press",
        to_agent > 0 and served > 0 and to_agent + served == len(pressed),
        f"{count} keys of {len(pressed)} people; {to_agent} asked for an agent and spoke with her, {served} for a statement",
    )


def transfer(
    events: Sequence[StoredEvent], bridges: Mapping[str, Sequence[Bridge]], extension: str, heard: SoundReport
) -> Promise:
    """Judge the transfer: a customer was handed on after a consultation, and they and the extension heard each other.

    Parameters
    ----------
    events
        Those named in `EVENTS`.
    bridges
        From `report.bridges_of`.
    extension
        To whom customers are handed on.
    heard
        The judgement of every bridge's sound, this one's among them.
    """
    handed = [
        event
        for event in events
        if event.name == "attempt.handed_on"
        and event.data["attended"]
        and event.data["to_extension"] == extension
    ]
    together_s = [
        (bridge.end_ns - bridge.start_ns) / 1e9
        for event in handed
        for bridge in bridges.get(event.attempt_id or "", ())
        if bridge.agent_id == extension
    ]
    wrong = [failure for failure in heard.failures if f"with {extension}:" in failure]
    longest = max(together_s, default=0.0)
    return Promise(
        "transfer: a customer handed on after a consultation hears the other, and nobody else",
        len(together_s) == len(handed) > 0 and longest >= LEAST_TOGETHER_S and not wrong,
        f"{len(handed)} to {extension}, {longest:.1f} s together, {len(wrong)} wrong",
    )


def recordings(
    exported: Sequence[Exported],
    bridges: Mapping[str, Sequence[Bridge]],
    rows: Sequence[Any],
    log: SimulationLog,
    ports: Mapping[str, int],
) -> Promise:
    """Judge the recordings: as long as the talk, the customer's tone left, those of whom they heard right, and neither on the other's side.

    Parameters
    ----------
    exported
        As the API gave them.
    bridges
        From `report.bridges_of`; a recording goes on while its customer is held, and with the extension.
    rows
        Every attempt.
    log
        The simulator's log, finished.
    ports
        SIP port of each softphone.
    """
    customers = {call.call_id: call for call in log.customers}
    calls = {row.id: customers.get(row.call_id) for row in rows}
    tones_hz = {call.port: call.tone_hz for call in log.agents}
    seen, wrong = [], 0
    for one in exported:
        customer, mine = calls.get(one.attempt_id), bridges.get(one.attempt_id, ())
        beside = {bridge.agent_id: tones_hz.get(ports[bridge.agent_id]) for bridge in mine}
        if customer is None or customer.tone_hz is None or not beside or None in beside.values():
            seen.append("one of a call that has no two parties")
            wrong += 1
            continue
        partners = {name: hz for name, hz in beside.items() if hz is not None}
        talk_s = (mine[-1].end_ns - mine[0].start_ns) / 1e9
        said, right = _listen(one.file, customer.tone_hz, partners, talk_s)
        seen.append(said)
        wrong += not right
    return Promise(
        "recording: what was recorded plays, the customer on the left, whom they heard on the right",
        bool(exported) and not wrong,
        "; ".join(seen) or "none was stored",
    )


def _listen(file: Path, customer_hz: int, partners_hz: Mapping[str, int], talk_s: float) -> tuple[str, bool]:
    """Return what is in one recording, and whether that is right."""
    tones = [customer_hz, *partners_hz.values()]
    left, right = (read_sound(file, channel=channel).astype(np.float32) for channel in (1, 2))
    at_left, at_right = (tone_levels_dbfs(side / np.float32(32768), tones) for side in (left, right))
    length_s = len(left) / SAMPLE_RATE_HZ
    carried_s = {"customer": _seconds(at_left[:, 0])} | {
        name: _seconds(at_right[:, column]) for column, name in enumerate(partners_hz, 1)
    }
    apart = len(at_left) > 0 and max(at_left[:, 1:].max(), at_right[:, 0].max()) < ABSENT_DBFS
    kept = apart and min(carried_s.values()) >= LEAST_TOGETHER_S and abs(length_s - talk_s) < LENGTH_WITHIN_S
    heard = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in carried_s.items())
    return f"{length_s:.1f} s: {heard}", kept


def _seconds(levels: NDArray[np.float64]) -> float:
    """Return for how long a tone is carried, in s."""
    return float((levels > CARRIED_DBFS).sum()) * HOP / SAMPLE_RATE_HZ
