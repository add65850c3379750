"""The judgement of the demonstration's broadcast: what holds is kept, and each way of not holding is seen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from dialer_core.demo.broadcast import Exported, digits, recordings, transfer
from dialer_core.demo.report import Bridge
from dialer_core.demo.sound import SoundReport
from dialer_core.events import StoredEvent
from dialer_core.sim.log_reader import CallRecord, SimulationLog
from dialer_core.vocabulary import Outcome

pytestmark = pytest.mark.unit

CUSTOMER_HZ, AGENT_HZ, LEGAL_HZ = 700, 2300, 2500
PORTS = {"fernanda": 5070, "legal": 5071}
TALK = {"a1": [Bridge("fernanda", 0, 2_000_000_000), Bridge("legal", 3_000_000_000, 5_000_000_000)]}


def event(name: str, attempt: str, **data: Any) -> StoredEvent:
    """A stored event of an attempt."""
    return StoredEvent(
        node="n", source="engine", seq=1, id="", boot_id="", at_utc="", at_mono_ns=1, name=name,
        campaign_id=None, account_id=None, attempt_id=attempt, data=data,
    )  # fmt: skip


def customer(attempt: str, *keys: str) -> CallRecord:
    """A person at the carrier who pressed keys and then spoke."""
    head = {"call_id": attempt, "at_mono_ns": 1}
    lines = [head | {"kind": "key.pressed", "key": key} for key in keys]
    return CallRecord(
        attempt, "carrier", 5060, (*lines, head | {"kind": "speaking.started", "hz": CUSTOMER_HZ})
    )


def log_of(*calls: CallRecord) -> SimulationLog:
    """A log with these customers, and the two softphones."""
    phones = [
        CallRecord(
            f"leg-{port}", "softphone", port, ({"kind": "invite.received", "hz": hz, "at_mono_ns": 1},)
        )
        for port, hz in ((5070, AGENT_HZ), (5071, LEGAL_HZ))
    ]
    header = {"agent_tones_hz": [AGENT_HZ, LEGAL_HZ], "customer_tones_hz": [CUSTOMER_HZ], "recordings": "."}
    return SimulationLog(header, None, {one.call_id: one for one in (*calls, *phones)}, ())


def row(attempt: str, outcome: Outcome) -> Any:
    """An attempt, whose call has its name."""
    return SimpleNamespace(id=attempt, call_id=attempt, outcome=outcome)


ROWS = [row("a1", Outcome.CONNECTED), row("a2", Outcome.SELF_SERVED)]
OBEYED = [event("flow.ended", "a1", result="to_agent"), event("statement.requested", "a2")]
PRESSED = log_of(customer("a1", "1", "1"), customer("a2", "1", "2"))


def test_a_flow_that_obeys_is_kept() -> None:
    """One asked for an agent and got one, one for a statement and got it."""
    found = digits(ROWS, OBEYED, PRESSED)
    assert found.kept
    assert found.seen.startswith("4 keys of 2 people")


@pytest.mark.parametrize(
    ("rows", "events", "log"),
    [
        (ROWS, OBEYED[1:], PRESSED),
        (ROWS, OBEYED[:1], PRESSED),
        ([row("a1", Outcome.ABANDONED), ROWS[1]], OBEYED, PRESSED),
        ([ROWS[0], row("a2", Outcome.UNIDENTIFIED)], OBEYED, PRESSED),
        (ROWS, OBEYED, log_of(customer("a1"), customer("a2"))),
    ],
)
def test_a_key_without_its_effect_is_broken(
    rows: list[Any], events: list[StoredEvent], log: SimulationLog
) -> None:
    """No way to an agent, no statement, nobody there, unidentified, or no key at all."""
    assert not digits(rows, events, log).kept


def _heard(*failures: str) -> SoundReport:
    return SoundReport(conversations=1, worst_margin_db=40.0, worst_gap_ms=0.0, failures=list(failures))


HANDED = [event("attempt.handed_on", "a1", attended=True, to_extension="legal")]


def test_a_transfer_is_kept_when_the_two_heard_each_other() -> None:
    """Handed on after a consultation, two seconds together, nothing wrong with the sound."""
    assert transfer(HANDED, TALK, "legal", _heard("attempt a2 with ana: …")).kept


@pytest.mark.parametrize(
    ("events", "bridges", "heard"),
    [
        ([], TALK, _heard()),
        ([event("attempt.handed_on", "a1", attended=False, to_extension="legal")], TALK, _heard()),
        (HANDED, {"a1": TALK["a1"][:1]}, _heard()),
        (HANDED, {"a1": [Bridge("legal", 0, 500_000_000)]}, _heard()),
        (HANDED, TALK, _heard("attempt a1 with legal: at the agent the partner is gone for 900 ms")),
    ],
)
def test_a_transfer_that_failed_is_broken(
    events: list[StoredEvent], bridges: Any, heard: SoundReport
) -> None:
    """Nobody handed on, blind, never bridged, too short, or wrong sound."""
    assert not transfer(events, bridges, "legal", heard).kept


def _tones(*spans: tuple[int, float, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Five seconds of a channel: each tone from one second to another."""
    t_s = np.arange(5 * 8000) / 8000
    return sum(
        (0.25 * np.sin(2 * np.pi * hz * t_s) * ((t_s >= begin) & (t_s < end)) for hz, begin, end in spans),
        np.zeros(len(t_s)),
    )


LEFT, RIGHT = ((CUSTOMER_HZ, 0.5, 5.0),), ((AGENT_HZ, 0.0, 2.0), (LEGAL_HZ, 3.0, 5.0))


@pytest.mark.parametrize(
    ("left", "right", "length_s", "kept"),
    [
        (LEFT, RIGHT, 5.0, True),
        (RIGHT, LEFT, 5.0, False),
        (LEFT, RIGHT[:1], 5.0, False),
        ((*LEFT, (AGENT_HZ, 1.0, 2.0)), RIGHT, 5.0, False),
        ((), RIGHT, 5.0, False),
        (LEFT, RIGHT, 3.5, False),
    ],
    ids=["right", "sides swapped", "extension missing", "agent on the left too", "no customer", "cut short"],
)
def test_a_recording_is_judged_by_what_plays(
    tmp_path: Path, left: Any, right: Any, length_s: float, *, kept: bool
) -> None:
    """As long as the talk, each party on their side and on no other; anything else is broken."""
    sound = np.stack([_tones(*left), _tones(*right)], axis=1)[: int(length_s * 8000)]
    file = tmp_path / "one.flac"
    soundfile.write(file, sound, 8000)
    found = recordings([Exported("a1", file)], TALK, ROWS[:1], log_of(customer("a1", "1")), PORTS)
    assert found.kept is kept, found.seen


def test_no_recording_is_broken() -> None:
    """Nothing exported shows nothing."""
    assert not recordings([], TALK, ROWS, PRESSED, PORTS).kept
