"""I1, I2, I3: an attempt before its INVITE, one outcome, one live attempt at a time."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterator

from dialer_core.line_names import line_of
from dialer_core.verify.carrier import CARRIER_SIDE
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail
from dialer_core.vocabulary import Outcome

_FOREVER = dt.datetime.max.replace(tzinfo=dt.UTC)
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)


def _broken(invariant: Invariant, attempt: Row, text: str) -> Violation:
    return Violation(invariant, "attempt", attempt.id, text)


def call_ids(subject: Subject) -> Iterator[Violation]:
    """I1: sent means a Call-ID, and no two attempts share one."""
    seen: dict[str, str] = {}
    for attempt in subject.attempts:
        if attempt.sent_mono_ns is not None and not attempt.call_id:
            yield _broken(Invariant.I1, attempt, "was sent without a Call-ID")
        if attempt.call_id:
            first = seen.setdefault(attempt.call_id, attempt.id)
            if first != attempt.id:
                yield _broken(Invariant.I1, attempt, f"has the Call-ID of attempt {first}")


def retries(subject: Subject) -> Iterator[Violation]:
    """I1: a failover is a new attempt at the same number, after the end of the one it retries."""
    for attempt in subject.attempts:
        if attempt.retry_of is None:
            continue
        former = subject.attempts_by_id[attempt.retry_of]
        if (former.lead_id, former.number) != (attempt.lead_id, attempt.number):
            yield _broken(Invariant.I1, attempt, f"retries attempt {former.id} of another lead or number")
        if former.ended_at_utc is None or former.ended_at_utc > attempt.committed_at_utc:
            yield _broken(
                Invariant.I1,
                attempt,
                f"was committed before attempt {former.id}, which it retries, had ended",
            )


def on_the_wire(subject: Subject) -> Iterator[Violation]:
    """I1: every INVITE that the carrier saw belongs to an attempt, committed before, to the number dialed."""
    by_call_id = {attempt.call_id: attempt for attempt in subject.attempts if attempt.call_id}
    agents = {leg.call_id for leg in subject.legs if leg.kind in ("agent", "extension")}
    for call in subject.carrier_calls:
        if call.side != CARRIER_SIDE:
            if call.call_id not in agents:
                yield Violation(Invariant.I1, "leg", call.call_id, "an INVITE to an agent belongs to no leg")
            continue
        attempt = by_call_id.get(call.call_id)
        if attempt is None:
            yield Violation(
                Invariant.I1, "attempt", call.call_id, "an INVITE on the wire belongs to no attempt"
            )
            continue
        committed_ns = subject.committed_mono_ns.get(attempt.id)
        if committed_ns is None or committed_ns > call.invited_ns[0]:
            yield _broken(Invariant.I1, attempt, "its INVITE was on the wire before it was committed")
        if not call.called_number.endswith(attempt.number.removeprefix("+")):
            yield _broken(Invariant.I1, attempt, "its INVITE called another number")


def left_up(subject: Subject) -> Iterator[Violation]:
    """I2: a call whose attempt has ended was ended on the wire too, not left to the carrier."""
    by_call_id = {attempt.call_id: attempt for attempt in subject.attempts if attempt.call_id}
    for call in subject.carrier_calls:
        attempt = by_call_id.get(call.call_id)
        if (
            attempt is not None
            and not attempt.live
            and (call.ended_ns is None or call.ended_by == "shutdown")
        ):
            yield _broken(Invariant.I2, attempt, "has ended, and its call was left up on the wire")


def one_outcome(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I2: live without an outcome, or ended with one, told once."""
    del subject
    parts = {
        "live": not attempt.live,
        "state": attempt.state == "ended",
        "outcome": attempt.outcome is not None,
        "ended_at_utc": attempt.ended_at_utc is not None,
    }
    if len(set(parts.values())) > 1:
        said = ", ".join(f"{column} says {'ended' if ended else 'live'}" for column, ended in parts.items())
        yield _broken(Invariant.I2, attempt, f"has half an end: {said}")
    if attempt.outcome is not None and attempt.outcome not in _OUTCOMES:
        yield _broken(Invariant.I2, attempt, f"ended as {attempt.outcome!r}, which is no outcome")
    told = [event.data.get("outcome") for event in trail.all("attempt.ended")]
    wanted = [attempt.outcome] if attempt.outcome is not None else []
    if told != wanted:
        yield _broken(
            Invariant.I2, attempt, f"its row says {wanted or 'live'} and the log tells the ends {told}"
        )


def live_at_once(subject: Subject) -> Iterator[Violation]:
    """I3: no two attempts of a lead, a number or a person were live at the same time."""
    for column in ("lead_id", "number", "person_id"):
        groups: dict[str, list[Row]] = defaultdict(list)
        for attempt in subject.attempts:
            # the two numbers of a mobile of Argentina ring one telephone
            value = getattr(attempt, column)
            groups[line_of(value) if column == "number" else value].append(attempt)
        for group in groups.values():
            group.sort(key=lambda attempt: (attempt.committed_at_utc, attempt.id))
            for before, after in itertools.pairwise(group):
                if (before.ended_at_utc or _FOREVER) > after.committed_at_utc and not _in_order(
                    subject, before, after
                ):
                    what = column.removesuffix("_id")
                    yield _broken(
                        Invariant.I3,
                        after,
                        f"was live at the same time as attempt {before.id} of the same {what}",
                    )


def _in_order(subject: Subject, before: Row, after: Row) -> bool:
    """Say whether the monotonic clock contradicts an overlap by the wall clock, which may have been set back."""
    committed_ns = subject.committed_mono_ns.get(after.id)
    if before.boot_id != after.boot_id or before.ended_mono_ns is None or committed_ns is None:
        return False
    return bool(before.ended_mono_ns <= committed_ns)


CHECKS = (
    Check(Invariant.I1, "every attempt sent has a Call-ID of its own", whole=call_ids),
    Check(Invariant.I1, "a retry follows the end of what it retries", whole=retries),
    Check(
        Invariant.I1,
        "every INVITE on the wire has an attempt committed before it",
        whole=on_the_wire,
        needs=("carrier_log",),
    ),
    Check(Invariant.I2, "every attempt is live, or has one outcome told once", each=one_outcome),
    Check(Invariant.I2, "no call is left up on the wire", whole=left_up, needs=("carrier_log",)),
    Check(Invariant.I3, "a lead, a number and a person have one live attempt at a time", whole=live_at_once),
)
