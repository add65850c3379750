"""The comparison of every verdict and outcome with what the carrier and the softphones really did.

It owns the judgement, as pure functions over the store's rows and the simulator's log. It owns no sound
(`sound.py`) and no invariant (`dialer_core.verify`). Two kinds of mistakes are told apart:

* a **verdict error** is a final verdict that does not fit what was really at the far end: the detector's
mistake; * an **outcome mismatch** is an outcome that does not fit what happened on the wire, given the
verdict: the call loop's mistake,
  of which there may be none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dialer_core.events import StoredEvent
from dialer_core.sim.behaviours import TrueClass
from dialer_core.sim.log_reader import CallRecord, Pair, SimulationLog, hello_to_agent_ms
from dialer_core.vocabulary import LIVE_VERDICTS, Outcome, TalkState, Verdict

LEAST_ATTEMPTS = 180
LEAST_BRIDGED = 25
SHORTEST_HEARD_S = 0.5
"""A conversation that ends sooner may be over before the carrier has heard the agent's tone for certain."""

RIGHT_VERDICTS: Mapping[str, frozenset[Verdict]] = {
    TrueClass.HUMAN: frozenset({Verdict.HUMAN}),
    TrueClass.MACHINE: frozenset({Verdict.MACHINE}),
    TrueClass.FAX: frozenset({Verdict.FAX}),
    TrueClass.SIT: frozenset({Verdict.SIT, Verdict.ANNOUNCEMENT}),
    TrueClass.ANNOUNCEMENT: frozenset({Verdict.SIT, Verdict.ANNOUNCEMENT}),
    TrueClass.NONE: frozenset({Verdict.SILENCE}),
}
"""What a perfect detector says. SIT with an announcement behind it is both."""

OUTCOMES_OF_CODE: Mapping[int, frozenset[Outcome]] = {
    404: frozenset({Outcome.INVALID_NUMBER}),
    480: frozenset({Outcome.NO_ANSWER, Outcome.UNAVAILABLE}),
    486: frozenset({Outcome.BUSY}),
    503: frozenset({Outcome.CONGESTION}),
    603: frozenset({Outcome.DECLINED}),
}
"""Final codes that the simulated carrier sends, and the outcomes that may follow."""

BEFORE_THE_ANSWER = frozenset({Outcome.NO_ANSWER, Outcome.RELEASED, Outcome.CANCELLED})
SPOKEN_TO_BY_FLOW = frozenset({Outcome.SELF_SERVED, Outcome.UNIDENTIFIED})
OF_EARLY_MEDIA = frozenset({Outcome.SIT, Outcome.ANNOUNCEMENT, Outcome.NETWORK_TONE})
OUTCOME_OF_VERDICT: Mapping[str, Outcome] = {
    Verdict.MACHINE: Outcome.MACHINE,
    Verdict.IVR: Outcome.MACHINE,
    Verdict.MUSIC: Outcome.MACHINE,
    Verdict.SCREENING: Outcome.SCREENING,
    Verdict.FAX: Outcome.FAX,
    Verdict.SIT: Outcome.SIT,
    Verdict.ANNOUNCEMENT: Outcome.ANNOUNCEMENT,
    Verdict.BUSY: Outcome.NETWORK_TONE,
    Verdict.REORDER: Outcome.NETWORK_TONE,
    Verdict.RINGBACK: Outcome.NETWORK_TONE,
}

Row = Any
"""A row of the attempt table; its columns are attributes."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """When an attempt and an agent were joined, in monotonic ns."""

    agent_id: str
    """Or an extension."""
    start_ns: int
    end_ns: int


class Spread(msgspec.Struct, frozen=True):
    """Percentiles by nearest rank, in ms; None where nothing was measured."""

    p50: float | None
    p95: float | None


class Promise(msgspec.Struct, frozen=True):
    """One thing that the demonstration promises."""

    text: str
    kept: bool
    seen: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What the dialer says against what happened."""

    attempts: int
    answered: int
    live_answers: int
    bridged: int
    abandoned: int
    machine: int
    verdict_errors: int
    outcome_mismatches: int
    verdict_to_bridge_ms: Spread
    hello_to_agent_ms: Spread
    outcomes: dict[str, int]
    verdicts: dict[str, dict[str, int]]
    """Really there: what the detector said, how often."""
    people_lost: int
    """People whom the detector took for something else."""
    mismatches: list[str]


def spread(values: Iterable[float]) -> Spread:
    """Return the median and the 95th percentile (nearest rank), rounded to 0.1 ms."""
    ordered = sorted(values)
    if not ordered:
        return Spread(None, None)

    def rank(share: float) -> float:
        return round(ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)], 1)

    return Spread(rank(0.50), rank(0.95))


BRIDGE_EVENTS = (
    *("attempt.bridged", "attempt.unbridged", "attempt.transferred", "attempt.ended", "talk.state_changed"),
)


def bridges_of(events: Iterable[StoredEvent]) -> dict[str, list[Bridge]]:
    """Return when every attempt was joined to whom, from `BRIDGE_EVENTS`: an agent, but for holds and consultations, or an extension."""
    open_since: dict[str, tuple[str, int]] = {}
    found: dict[str, list[Bridge]] = {}
    for event in sorted(events, key=lambda event: event.at_mono_ns):
        attempt = event.attempt_id or ""
        beside = _beside(event)
        if attempt in open_since and open_since[attempt][0] != beside:
            who, start_ns = open_since.pop(attempt)
            found.setdefault(attempt, []).append(Bridge(who, start_ns, event.at_mono_ns))
        if beside:
            open_since.setdefault(attempt, (beside, event.at_mono_ns))
    return found


def _beside(event: StoredEvent) -> str:
    """Return with whom an attempt is alone from this event on; empty: with nobody."""
    if event.name == "attempt.bridged":
        return str(event.data["agent_id"])
    if event.name == "attempt.transferred":
        return str(event.data["extension"])
    together = event.name == "talk.state_changed" and event.data["state"] == TalkState.TOGETHER
    return str(event.data["agent_id"]) if together else ""


def verdict_error(row: Row, call: CallRecord) -> str | None:
    """Return what was really there where the final verdict says something else, or None.

    Who hangs up within 300 ms of answering gives no detector anything to hear.
    """
    if row.verdict is None or row.answered_mono_ns is None or call.behaviour == "hangs_up":
        return None
    right = RIGHT_VERDICTS[call.true_class or TrueClass.NONE]
    return None if row.verdict in right else str(call.true_class)


def outcome_mismatch(row: Row, call: CallRecord | None, talked_s: float) -> str | None:
    """Return what does not fit between an attempt and its call at the carrier, or None.

    Parameters
    ----------
    row
        The attempt.
    call
        The carrier's call with its Call-ID; None where there is none.
    talked_s
        How long the attempt was bridged, in all.
    """
    outcome = Outcome(row.outcome) if row.outcome else None
    if outcome is None:
        return "has no outcome"
    if call is None:
        return None if row.sent_mono_ns is None else "was sent, and the carrier has no INVITE of it"
    if call.answered_ns is not None and not call.first("cancel.received"):
        return _answered_mismatch(row, call, outcome, talked_s)
    if call.first("cancel.received"):
        allowed = BEFORE_THE_ANSWER | (OF_EARLY_MEDIA if call.first("sound.started") else frozenset())
        return None if outcome in allowed else f"was cancelled before an answer, and its outcome is {outcome}"
    code = int(call.field("call.ended", "final_code") or 0)
    allowed = OUTCOMES_OF_CODE.get(code, frozenset())
    return None if outcome in allowed else f"ended with {code}, and its outcome is {outcome}"


def _answered_mismatch(row: Row, call: CallRecord, outcome: Outcome, talked_s: float) -> str | None:
    heard_agent = call.first("agent.heard") is not None
    heard_message = call.first("message.heard") is not None
    near = call.field("call.ended", "ended_by") == "near"
    if row.answered_mono_ns is None:
        return f"was answered at the carrier, and the dialer knows of no answer ({outcome})"
    if outcome is Outcome.CONNECTED:
        return (
            None if heard_agent or talked_s < SHORTEST_HEARD_S else "is connected, and nobody heard an agent"
        )
    if outcome in SPOKEN_TO_BY_FLOW:
        return None if heard_message and not heard_agent else f"is {outcome}, and heard no flow, or an agent"
    if heard_agent:
        return f"heard an agent, and its outcome is {outcome}"
    if outcome is Outcome.ABANDONED:
        return None if heard_message or near else "is abandoned, and no message was heard"
    if outcome is Outcome.CALLER_HUNG_UP:
        return None if near else "says that they hung up, and they did not"
    if row.verdict is not None and row.verdict not in LIVE_VERDICTS:
        right = OUTCOME_OF_VERDICT[row.verdict]
        return None if outcome is right else f"was heard as {row.verdict}, and its outcome is {outcome}"
    return f"was answered, its verdict is {row.verdict}, and its outcome is {outcome}"


def compare(
    rows: Sequence[Row],
    bridges: Mapping[str, Sequence[Bridge]],
    log: SimulationLog,
    agent_ports: Mapping[str, int],
    pairs: Sequence[Pair],
    in_flows: Collection[str] = (),
) -> Comparison:
    """Compare every attempt with the carrier's log.

    Parameters
    ----------
    rows
        Every attempt.
    bridges
        From `bridges_of`.
    log
        The simulator's log, finished.
    agent_ports
        SIP port of each agent's softphone.
    pairs
        Who really heard whom (`log_reader.pair_calls`).
    in_flows
        Attempts to which a flow spoke: how long they were without an agent says nothing of the dialer.
    """
    calls = {call.call_id: call for call in log.customers}
    confusion: dict[str, Counter[str]] = {}
    mismatches: list[str] = []
    errors = lost = 0
    for row in rows:
        call = calls.pop(row.call_id, None) if row.call_id else None
        mine = bridges.get(row.id, ())
        talked_s = sum(bridge.end_ns - bridge.start_ns for bridge in mine) / 1e9
        if wrong := outcome_mismatch(row, call, talked_s):
            mismatches.append(f"attempt {row.id} ({call.behaviour if call else 'no call'}) {wrong}")
        if call is None:
            continue
        if row.answered_mono_ns is not None and row.verdict is not None and call.behaviour != "hangs_up":
            confusion.setdefault(str(call.true_class), Counter())[row.verdict] += 1
        if verdict_error(row, call):
            errors += 1
            lost += call.true_class == TrueClass.HUMAN and row.verdict not in LIVE_VERDICTS
        heard = [pair.agent.port for pair in pairs if pair.customer.call_id == row.call_id]
        if unexpected := set(heard) - {agent_ports.get(bridge.agent_id) for bridge in mine}:
            mismatches.append(
                f"attempt {row.id} heard the softphone on port {min(unexpected)}, and was not bridged to it"
            )
    mismatches += [f"call {call_id} at the carrier has no attempt" for call_id in calls]
    answered = [row for row in rows if row.answered_mono_ns is not None]
    joined = [row for row in rows if row.bridged_mono_ns is not None]
    straight = [row for row in joined if row.id not in in_flows]
    by_flow = {row.call_id for row in rows if row.id in in_flows}
    greeted = [
        ms
        for call in log.customers
        if call.call_id not in by_flow and (ms := hello_to_agent_ms(call)) is not None
    ]
    return Comparison(
        attempts=len(rows),
        answered=len(answered),
        live_answers=sum(row.live_answer for row in rows),
        bridged=len(joined),
        abandoned=sum(row.abandoned for row in rows),
        machine=sum(row.outcome == Outcome.MACHINE for row in rows),
        verdict_errors=errors,
        outcome_mismatches=len(mismatches),
        verdict_to_bridge_ms=spread(
            (row.bridged_mono_ns - row.verdict_mono_ns) / 1e6
            for row in straight
            if row.verdict_mono_ns is not None
        ),
        hello_to_agent_ms=spread(greeted),
        outcomes=dict(Counter(str(row.outcome) for row in rows).most_common()),
        verdicts={true: dict(counted.most_common()) for true, counted in sorted(confusion.items())},
        people_lost=lost,
        mismatches=mismatches,
    )


def promises(
    comparison: Comparison, *, audio_ok: bool, audio_seen: str, violations: int, exit_status: int
) -> list[Promise]:
    """Return what the demonstration promises, and whether it came true.

    Verdict errors are told, not promised.
    """
    return [
        Promise(
            f"at least {LEAST_ATTEMPTS} attempts",
            comparison.attempts >= LEAST_ATTEMPTS,
            str(comparison.attempts),
        ),
        Promise(
            f"at least {LEAST_BRIDGED} people bridged",
            comparison.bridged >= LEAST_BRIDGED,
            str(comparison.bridged),
        ),
        Promise(
            "every outcome is what really happened",
            comparison.outcome_mismatches == 0,
            f"{comparison.outcome_mismatches} mismatches",
        ),
        Promise("every bridged pair heard each other and nobody else", audio_ok, audio_seen),
        Promise("dialer verify finds nothing", violations == 0, f"{violations} violations"),
        Promise("the dialer drained and stopped by itself", exit_status == 0, f"exit status {exit_status}"),
    ]
