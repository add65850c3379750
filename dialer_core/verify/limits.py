"""I6, I7: nothing waits longer than its limit, and trunks are not overrun."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from dialer_core.calls.attempt import RING_MARGIN_S, STATE_LIMIT_S, WAIT_MARGIN_S
from dialer_core.verify.carrier import CARRIER_SIDE
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail
from dialer_core.vocabulary import AttemptState

MARGIN_S = 3.0
"""What a busy loop may be late by."""
SECOND_NS = 1_000_000_000
_RING_DEFAULT_S = 28.0
_WAIT_DEFAULT_S = 2.0
_S = AttemptState
_CALLING = frozenset({_S.DIALING, _S.RINGING, _S.EARLY_MEDIA})


def _ring_limit_s(subject: Subject, attempt: Row) -> float:
    return float(subject.campaign_setting(attempt, "ring_limit_s") or _RING_DEFAULT_S) + RING_MARGIN_S


def _wait_limit_s(subject: Subject, attempt: Row) -> float:
    pack = subject.pack_of(attempt)
    return (pack.abandonment.limit_s if pack else _WAIT_DEFAULT_S) + WAIT_MARGIN_S


def still_alive(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I6: a live attempt has been in its state no longer than the state's limit."""
    if not attempt.live:
        return
    state = AttemptState(attempt.state)
    if state in _CALLING:
        limit_s = _ring_limit_s(subject, attempt)
    elif state is _S.WAITING:
        limit_s = _wait_limit_s(subject, attempt)
    else:
        limit_s = STATE_LIMIT_S.get(state, 0.0)
    since = max([attempt.committed_at_utc, *(event.at_utc for event in trail.events)])
    age_s = (subject.now - since).total_seconds()
    if age_s > limit_s + MARGIN_S:
        yield Violation(
            Invariant.I6,
            "attempt",
            attempt.id,
            f"has been {state} for {age_s:.0f} s, and the limit is {limit_s:.0f} s",
        )


def was_in_time(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I6: an ended attempt was in no phase longer than its states' limits together."""
    # an assistant that was answered is listened to twice, and a machine may have been waited for and spoken to
    more_s = STATE_LIMIT_S[_S.LISTENING] if trail.first("attempt.screened") else 0.0
    if attempt.verdict == "machine" and (subject.campaign_setting(attempt, "machines") or {}).get("message"):
        more_s += STATE_LIMIT_S[_S.LEAVING_MESSAGE]
    if attempt.live or attempt.outcome == "interrupted" or attempt.ended_mono_ns is None:
        return
    releasing_s = STATE_LIMIT_S[_S.RELEASING]
    ended_ns = attempt.ended_mono_ns
    committed_ns = subject.committed_mono_ns.get(attempt.id)
    flow, flow_end = trail.first("flow.started"), trail.first("flow.ended")
    flow_ns = flow.at_mono_ns if flow is not None else None
    handled_ns = min(
        filter(None, (attempt.bridged_mono_ns, attempt.abandoned_mono_ns, flow_ns)), default=ended_ns
    )
    phases = (
        (
            "unsent",
            committed_ns,
            attempt.sent_mono_ns or ended_ns,
            STATE_LIMIT_S[_S.COMMITTED] + STATE_LIMIT_S[_S.PLACING],
        ),
        (
            "unanswered",
            attempt.sent_mono_ns,
            attempt.answered_mono_ns or ended_ns,
            _ring_limit_s(subject, attempt),
        ),
        (
            "without an agent, a flow, a message or its end",
            attempt.answered_mono_ns,
            handled_ns,
            STATE_LIMIT_S[_S.LISTENING]
            + _wait_limit_s(subject, attempt)
            + STATE_LIMIT_S[_S.BRIDGING]
            + more_s,
        ),
        (
            "in its flow",
            flow_ns,
            flow_end.at_mono_ns if flow_end is not None else ended_ns,
            STATE_LIMIT_S[_S.IN_FLOW],
        ),
        ("in its message", attempt.abandoned_mono_ns, ended_ns, STATE_LIMIT_S[_S.ABANDONING]),
        ("in conversation", attempt.bridged_mono_ns, ended_ns, STATE_LIMIT_S[_S.BRIDGED]),
    )
    for what, from_ns, to_ns, limit_s in phases:
        if from_ns is not None and to_ns - from_ns > (limit_s + releasing_s + MARGIN_S) * SECOND_NS:
            lasted_s = (to_ns - from_ns) / SECOND_NS
            yield Violation(
                Invariant.I6,
                "attempt",
                attempt.id,
                f"was {what} for {lasted_s:.0f} s, and the limit is {limit_s:.0f} s",
            )


def legs_of_ended(subject: Subject) -> Iterator[Violation]:
    """I6: no customer's leg outlives its attempt."""
    for leg in subject.legs:
        if leg.live and leg.attempt_id is not None and not subject.attempts_by_id[leg.attempt_id].live:
            yield Violation(
                Invariant.I6, "leg", leg.id, f"is live although attempt {leg.attempt_id} has ended"
            )


def trunk_lines(subject: Subject) -> Iterator[Violation]:
    """I7: the attempts that hold a line of a trunk are never more than its lines."""
    for (trunk, _), attempts in _by_trunk(subject).items():
        settings = subject.trunks.get(trunk)
        if settings is None:
            continue
        # the end of one and the INVITE of the next may fall on the same nanosecond: ends first
        steps = sorted(
            [(attempt.sent_mono_ns, 1, attempt) for attempt in attempts]
            + [
                (attempt.ended_mono_ns, 0, attempt)
                for attempt in attempts
                if attempt.ended_mono_ns is not None
            ],
            key=lambda step: step[:2],
        )
        held = 0
        for _, begins, attempt in steps:
            held += 1 if begins else -1
            if begins and held > settings.lines:
                yield Violation(
                    Invariant.I7,
                    "attempt",
                    attempt.id,
                    f"took line {held} of trunk {trunk}, which has {settings.lines}",
                )


def trunk_rate(subject: Subject) -> Iterator[Violation]:
    """I7: no second saw more INVITEs to a trunk than its calls per second, by the workers' stamps."""
    for (trunk, _), attempts in _by_trunk(subject).items():
        settings = subject.trunks.get(trunk)
        if settings is not None:
            yield from _too_fast(trunk, settings.calls_per_second, [(a.sent_mono_ns, a.id) for a in attempts])


def wire_rate(subject: Subject) -> Iterator[Violation]:
    """I7: the same, by the carrier's."""
    trunk_of = {attempt.call_id: attempt for attempt in subject.attempts if attempt.call_id}
    invites: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for call in subject.carrier_calls:
        attempt = trunk_of.get(call.call_id)
        if call.side == CARRIER_SIDE and attempt is not None:
            invites[attempt.trunk].append((call.invited_ns[0], attempt.id))
    for trunk, found in invites.items():
        settings = subject.trunks.get(trunk)
        if settings is not None:
            yield from _too_fast(trunk, settings.calls_per_second, found)


def _too_fast(trunk: str, per_second: float, sent: Sequence[tuple[int, str]]) -> Iterator[Violation]:
    ordered = sorted(sent)
    limit = max(1, int(per_second))
    for (first_ns, _), (last_ns, attempt_id) in zip(ordered, ordered[limit:], strict=False):
        if last_ns - first_ns < SECOND_NS:
            yield Violation(
                Invariant.I7,
                "attempt",
                attempt_id,
                f"was call {limit + 1} to trunk {trunk} in a second, which takes {per_second:g}",
            )


def _by_trunk(subject: Subject) -> dict[tuple[str, str], list[Row]]:
    """Return the attempts sent, by trunk and boot: monotonic times of two boots are never compared."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for attempt in subject.attempts:
        cut_off_elsewhere = not attempt.live and attempt.ended_mono_ns is None
        if attempt.sent_mono_ns is not None and not cut_off_elsewhere:
            found[attempt.trunk, attempt.boot_id].append(attempt)
    return found


CHECKS = (
    Check(Invariant.I6, "no live attempt overstays its state", each=still_alive),
    Check(Invariant.I6, "no ended attempt overstayed a phase", each=was_in_time),
    Check(Invariant.I6, "no leg outlives its attempt", whole=legs_of_ended),
    Check(Invariant.I7, "no trunk carries more calls than its lines", whole=trunk_lines, needs=("trunks",)),
    Check(
        Invariant.I7,
        "no trunk takes more calls in a second than its rate",
        whole=trunk_rate,
        needs=("trunks",),
    ),
    Check(Invariant.I7, "nor does the wire", whole=wire_rate, needs=("carrier_log", "trunks")),
)
