"""The oracle of the kill test can fail: each fault that it is there to find is planted, and found."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kill.carrier_watch import CarrierWatch, WireCall
from tests.kill.cells import Cell, Doing, Victim, every_cell, state_at
from tests.kill.ledger import faults_of

pytestmark = pytest.mark.unit

S = 1_000_000_000


def _call(attempt: str = "a1", **known: Any) -> WireCall:
    given = {
        "call_id": f"c-{attempt}",
        "number": "+525550000001",
        "invited_ns": 1 * S,
        "final_ns": 2 * S,
        "over_ns": 2 * S,
    }
    given |= known
    return WireCall(side="carrier", port=5060, attempt=attempt, hz=0, **given)


def _row(attempt: str = "a1", **known: Any) -> Any:
    given = {
        "call_id": f"c-{attempt}",
        "outcome": "busy",
        "sent_mono_ns": 1 * S,
        "ended_mono_ns": 2 * S,
        "live_answer": False,
    }
    return SimpleNamespace(id=attempt, **(given | known))


def _found(
    calls: list[WireCall], rows: list[Any], ends: dict[str, int] | None = None, leads: list[Any] | None = None
) -> str:
    told = ends if ends is not None else {row.id: 1 for row in rows}
    return "; ".join(fault.text for fault in faults_of(calls, rows=rows, ends=told, leads=leads or []))


def test_a_run_in_order_has_no_fault() -> None:
    """An INVITE with its row, a row that was never sent, and a lead that waits."""
    rows = [_row(), _row("a2", call_id=None, sent_mono_ns=None, outcome="interrupted")]
    assert _found([_call()], rows, leads=[SimpleNamespace(id="l1", state="dialable")]) == ""


@pytest.mark.parametrize(
    ("calls", "rows", "ends", "text"),
    [
        ([_call()], [], {}, "no row"),
        ([_call(), _call(call_id="other", invited_ns=3 * S)], [_row()], None, "dialed 2 times"),
        ([_call()], [_row(call_id=None)], None, "another Call-ID or none"),
        ([_call()], [_row(outcome=None)], {}, "has outcome None"),
        ([_call()], [_row()], {"a1": 2}, "2 ends are told"),
        ([], [_row()], None, "the carrier never saw it"),
        ([_call(over_ns=0, final_ns=0), _call("a2", invited_ns=3 * S)], [_row(), _row("a2")], None, "still up"),
    ],
)  # fmt: skip
def test_each_fault_is_found(
    calls: list[WireCall], rows: list[Any], ends: dict[str, int] | None, text: str
) -> None:
    """An INVITE without a row, an attempt dialed twice, a row without Call-ID, outcome or wire, two ends, two calls at once."""
    assert text in _found(calls, rows, ends)


def test_a_lead_left_in_an_attempt_is_found() -> None:
    """When everything is over no lead is in an attempt."""
    assert "lead l1" in _found([], [], leads=[SimpleNamespace(id="l1", state="in_attempt")])


def test_what_an_attempt_was_doing_is_read_from_the_wire(tmp_path: Path) -> None:
    """From INVITE, 180, 200 and BYE in the far ends' log: sent, ringing, listening, ending, and then over."""
    log = tmp_path / "log.jsonl"
    lines: list[dict[str, Any]] = [
        {"at_mono_ns": 1 * S, "kind": "invite.received", "call_id": "c", "side": "carrier", "port": 1, "called_number": "+52", "attempt": "a1"},
        {"at_mono_ns": 2 * S, "kind": "response.sent", "call_id": "c", "code": 180, "method": "INVITE"},
        {"at_mono_ns": 3 * S, "kind": "response.sent", "call_id": "c", "code": 200, "method": "INVITE"},
        {"at_mono_ns": 5 * S, "kind": "bye.received", "call_id": "c"},
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    log.write_text(text[:200], encoding="utf-8")
    wire = CarrierWatch(log)
    wire.poll()  # the second line is not whole yet
    log.write_text(text, encoding="utf-8")
    wire.poll()
    (call,) = wire.customers
    row = _row(ended_mono_ns=5 * S)
    bridged = [SimpleNamespace(name="attempt.bridged", at_mono_ns=4 * S)]
    seen = [
        state_at(row, call, bridged, int(at_s * S), set()) for at_s in (0.5, 1.5, 2.5, 3.5, 4.5, 5.01, 5.5)
    ]
    assert seen == [
        Doing.COMMITTED,
        Doing.SENT,
        Doing.RINGING,
        Doing.LISTENING,
        Doing.BRIDGED,
        Doing.ENDING,
        None,
    ]
    assert state_at(row, call, bridged, int(5.5 * S), {"a1"}) is Doing.WRAP_UP


def test_every_cell_is_named_once() -> None:
    """Ten states by five processes, each readable from its own name."""
    cells = every_cell()
    assert len(set(cells)) == len(cells) == len(Doing) * len(Victim) == 50
    assert [Cell.parse(str(cell)) for cell in cells] == cells
