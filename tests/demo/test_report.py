"""The demonstration's judgement: each kind of mistake is seen, and what really happened passes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dialer_core.demo import report
from dialer_core.demo.report import (
    Bridge,
    bridges_of,
    compare,
    outcome_mismatch,
    promises,
    spread,
    verdict_error,
)
from dialer_core.events import StoredEvent
from dialer_core.sim.log_reader import CallRecord, Pair, SimulationLog
from dialer_core.vocabulary import Outcome, Verdict

pytestmark = pytest.mark.unit

CALL_ID = "call-1"


def row(**columns: Any) -> Any:
    """An attempt that was connected to an agent."""
    usual = {
        "id": "a1", "call_id": CALL_ID, "outcome": Outcome.CONNECTED, "verdict": Verdict.HUMAN, "live_answer": True,
        "abandoned": False, "sent_mono_ns": 1, "answered_mono_ns": 2, "verdict_mono_ns": 1_000_000, "bridged_mono_ns": 4_000_000,
    }  # fmt: skip
    return SimpleNamespace(**usual | columns)


def call(*kinds: str, true_class: str = "human", behaviour: str = "short_hello", **ended: Any) -> CallRecord:
    """A call at the carrier: its INVITE, these lines, and its end."""
    head = {"call_id": CALL_ID, "side": "carrier", "port": 5060, "at_mono_ns": 1}
    lines = [
        head
        | {"kind": "invite.received", "behaviour": behaviour, "true_class": true_class, "called_number": "1"}
    ]
    for kind in kinds:
        more = {"code": 200, "method": "INVITE"} if kind == "answered" else {"hz": 800, "first_audible_ns": 5}
        lines.append(head | {"kind": "response.sent" if kind == "answered" else kind, **more})
    lines.append(head | {"kind": "call.ended", "ended_ns": 9, "ended_by": "near", "final_code": 200} | ended)
    return CallRecord(CALL_ID, "carrier", 5060, tuple(lines))


TALKED = call("answered", "agent.heard")


@pytest.mark.parametrize(
    ("attempt", "at_carrier"),
    [
        (row(), TALKED),
        (row(outcome=Outcome.BUSY, answered_mono_ns=None), call(final_code=486)),
        (row(outcome=Outcome.NO_ANSWER, answered_mono_ns=None), call(final_code=480)),
        (row(outcome=Outcome.NO_ANSWER, answered_mono_ns=None), call("cancel.received", final_code=487)),
        (row(outcome=Outcome.INVALID_NUMBER, answered_mono_ns=None), call("sound.started", final_code=404)),
        (
            row(outcome=Outcome.SIT, answered_mono_ns=None),
            call("sound.started", "cancel.received", final_code=487),
        ),
        (row(outcome=Outcome.ABANDONED), call("answered", "message.heard")),
        (row(outcome=Outcome.CALLER_HUNG_UP), call("answered")),
        (row(outcome=Outcome.SELF_SERVED), call("answered", "message.heard", ended_by="far")),
        (row(outcome=Outcome.MACHINE, verdict=Verdict.MACHINE), call("answered", ended_by="far")),
        (
            row(outcome=Outcome.MACHINE, verdict=Verdict.MACHINE),
            call("answered", true_class="human", ended_by="far"),
        ),
        (row(outcome=Outcome.NO_ANSWER, answered_mono_ns=None), call("answered", "cancel.received")),
        (row(outcome=Outcome.CANCELLED, sent_mono_ns=None), None),
    ],
)
def test_what_really_happened_passes(attempt: Any, at_carrier: CallRecord | None) -> None:
    """Every true outcome of the simulated carrier is accepted; a detector's mistake is no mismatch of the call loop."""
    assert outcome_mismatch(attempt, at_carrier, talked_s=3.0) is None


@pytest.mark.parametrize(
    ("attempt", "at_carrier", "said"),
    [
        (row(outcome=None), TALKED, "has no outcome"),
        (row(), None, "the carrier has no INVITE"),
        (row(), call("answered"), "nobody heard an agent"),
        (row(outcome=Outcome.CALLER_HUNG_UP), TALKED, "heard an agent"),
        (row(outcome=Outcome.ABANDONED), call("answered", ended_by="far"), "no message was heard"),
        (row(outcome=Outcome.SELF_SERVED), call("answered", ended_by="far"), "heard no flow"),
        (row(outcome=Outcome.CALLER_HUNG_UP), call("answered", ended_by="far"), "they did not"),
        (
            row(outcome=Outcome.FAX, verdict=Verdict.MACHINE),
            call("answered", ended_by="far"),
            "heard as machine",
        ),
        (row(outcome=Outcome.INTERRUPTED, verdict=None), call("answered", ended_by="far"), "was answered"),
        (row(outcome=Outcome.BUSY, answered_mono_ns=None), call(final_code=404), "ended with 404"),
        (row(outcome=Outcome.BUSY, answered_mono_ns=None), call("answered"), "knows of no answer"),
        (row(outcome=Outcome.BUSY, answered_mono_ns=None), call("cancel.received"), "was cancelled"),
        (row(outcome=Outcome.SIT, answered_mono_ns=None), call("cancel.received"), "was cancelled"),
    ],
)
def test_each_kind_of_mismatch_is_told(attempt: Any, at_carrier: CallRecord | None, said: str) -> None:
    """An outcome that does not fit the wire is named with what does not fit."""
    found = outcome_mismatch(attempt, at_carrier, talked_s=3.0)
    assert found is not None
    assert said in found


def test_verdicts_are_judged_by_what_was_there() -> None:
    """A wrong label is an error whoever profits; who hung up at once, or was never judged, is none."""
    assert verdict_error(row(), TALKED) is None
    assert verdict_error(row(verdict=Verdict.MACHINE), TALKED) == "human"
    assert verdict_error(row(), call("answered", true_class="machine")) == "machine"
    assert verdict_error(row(verdict=Verdict.UNKNOWN), TALKED) == "human"
    assert verdict_error(row(verdict=Verdict.ANNOUNCEMENT), call("answered", true_class="sit")) is None
    assert verdict_error(row(verdict=None), TALKED) is None
    assert (
        verdict_error(row(verdict=Verdict.MACHINE), call("answered", true_class="none", behaviour="hangs_up"))
        is None
    )


def _log(*calls: CallRecord) -> SimulationLog:
    header = {"agent_tones_hz": [800], "customer_tones_hz": [700], "recordings": "."}
    return SimulationLog(header, None, {one.call_id: one for one in calls}, ())


def test_the_comparison_counts_and_names() -> None:
    """Totals are those of the rows; a call without an attempt and a wrong agent's voice are mismatches."""
    stray = CallRecord("call-2", "carrier", 5060, TALKED.events)
    wrong_agent = CallRecord("agent-leg", "softphone", 5071, TALKED.events)
    found = compare(
        [
            row(),
            row(
                id="a2",
                call_id=None,
                outcome=Outcome.MACHINE,
                sent_mono_ns=None,
                bridged_mono_ns=None,
                live_answer=False,
            ),
        ],
        {"a1": [Bridge("ana", 0, 3_000_000_000)]},
        _log(TALKED, stray),
        {"ana": 5070},
        [Pair(TALKED, wrong_agent, 5)],
    )
    assert (found.attempts, found.bridged, found.live_answers, found.machine) == (2, 1, 1, 1)
    assert found.verdict_to_bridge_ms.p50 == 3.0
    assert found.outcome_mismatches == 2
    assert "softphone on port 5071" in found.mismatches[0]
    assert "call-2 at the carrier has no attempt" in found.mismatches[1]
    kept = {
        promise.text: promise.kept
        for promise in promises(found, audio_ok=True, audio_seen="", violations=0, exit_status=0)
    }
    assert list(kept.values()) == [False, False, False, True, True, True]


def _event(name: str, at_ns: int, **data: Any) -> StoredEvent:
    return StoredEvent(
        node="n", source="engine", seq=at_ns, id="", boot_id="", at_utc="", at_mono_ns=at_ns, name=name,
        campaign_id=None, account_id=None, attempt_id="a1", data=data,
    )  # fmt: skip


def test_bridges_come_from_the_event_log() -> None:
    """A bridge lasts until it is parted or the attempt ends; a second agent's is its own."""
    found = bridges_of(
        [
            _event("attempt.ended", 90),
            _event("attempt.bridged", 10, agent_id="ana"),
            _event("attempt.unbridged", 20, agent_id="ana"),
            _event("attempt.bridged", 30, agent_id="luis"),
        ]
    )
    assert found == {"a1": [Bridge("ana", 10, 20), Bridge("luis", 30, 90)]}


def test_holds_and_consultations_part_and_a_transfer_joins() -> None:
    """Nobody is heard in a hold or a consultation; after the transfer it is the extension."""
    found = bridges_of(
        [
            _event("attempt.bridged", 10, agent_id="ana"),
            _event("talk.state_changed", 10, agent_id="ana", state="together"),
            _event("talk.state_changed", 20, agent_id="ana", state="held"),
            _event("talk.state_changed", 30, agent_id="ana", state="together"),
            _event("talk.state_changed", 40, agent_id="ana", state="calling"),
            _event("talk.state_changed", 50, agent_id="ana", state="consulting"),
            _event("attempt.transferred", 60, extension="legal"),
            _event("attempt.ended", 90),
        ]
    )
    assert found == {"a1": [Bridge("ana", 10, 20), Bridge("ana", 30, 40), Bridge("legal", 60, 90)]}


def test_waiting_for_a_flow_is_no_waiting_for_an_agent() -> None:
    """The time from the verdict to the bridge leaves out whom a flow spoke to first."""
    found = compare([row()], {"a1": [Bridge("ana", 0, 1)]}, _log(TALKED), {"ana": 5070}, [], {"a1"})
    assert (found.bridged, found.verdict_to_bridge_ms.p50) == (1, None)


def test_percentiles_are_by_nearest_rank() -> None:
    """The value at rank ceil(p n), as a slow sorted count gives it; nothing measured gives nothing."""
    values = [float(value) for value in range(1, 101)]
    assert (spread(values).p50, spread(values).p95) == (50.0, 95.0)
    assert (spread([7.0]).p50, spread([7.0]).p95) == (7.0, 7.0)
    assert spread([]) == report.Spread(None, None)
    assert spread([3.0, 1.0, 2.0]).p50 == 2.0
