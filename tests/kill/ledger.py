"""The carrier's calls against the attempts' rows: every INVITE has its row, every row its outcome, no attempt two calls, no lead is lost.

Pure: calls and rows in, faults out. Owns nothing of how either was read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.kill.carrier_watch import WireCall

NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not agree."""

    text: str
    at_ns: int
    """When it came about, as well as can be told; by this a kill is blamed."""
    repeated: bool = False
    """Something was done twice; otherwise something was lost."""


def faults_of(
    calls: Sequence[WireCall], *, rows: Sequence[Any], ends: Mapping[str, int], leads: Sequence[Any]
) -> list[Fault]:
    """Return what does not agree, once everything is over.

    Parameters
    ----------
    calls
        The carrier's, in the order of their INVITEs.
    rows
        Every attempt's row: `id`, `outcome`, `call_id`, `sent_mono_ns`, `ended_mono_ns`.
    ends
        How often the log tells each attempt's end.
    leads
        Every lead's row: `id`, `state`.
    """
    return [
        *_invites(calls, {row.id: row for row in rows}),
        *_rows(rows, ends, {call.call_id for call in calls}),
        *(
            Fault(f"lead {lead.id} is in an attempt, and none is left", NEVER_NS)
            for lead in leads
            if lead.state == "in_attempt"
        ),
        *_at_once(calls),
    ]


def _invites(calls: Sequence[WireCall], rows: Mapping[str, Any]) -> list[Fault]:
    by_attempt: dict[str, list[WireCall]] = defaultdict(list)
    for call in calls:
        by_attempt[call.attempt].append(call)
    found = []
    for attempt_id, its in by_attempt.items():
        row, at_ns = rows.get(attempt_id), its[0].invited_ns
        if row is None:
            found.append(Fault(f"an INVITE names attempt {attempt_id!r}, which is no row", at_ns))
            continue
        if len(its) > 1:
            found.append(
                Fault(f"attempt {attempt_id} was dialed {len(its)} times", its[1].invited_ns, repeated=True)
            )
        if row.call_id != its[0].call_id:
            found.append(
                Fault(f"attempt {attempt_id} was on the wire, and its row has another Call-ID or none", at_ns)
            )
    return found


def _rows(rows: Sequence[Any], ends: Mapping[str, int], seen: set[str]) -> list[Fault]:
    found = []
    for row in rows:
        at_ns = int(row.ended_mono_ns or row.sent_mono_ns or NEVER_NS)
        told = ends.get(row.id, 0)
        if row.outcome is None or told != 1:
            found.append(
                Fault(f"attempt {row.id} has outcome {row.outcome}, and {told} ends are told", at_ns, repeated=told > 1)
            )  # fmt: skip
        if row.sent_mono_ns and row.call_id not in seen:
            found.append(Fault(f"attempt {row.id} is said to be sent, and the carrier never saw it", at_ns))
    return found


def _at_once(calls: Sequence[WireCall]) -> list[Fault]:
    """No number has two calls up at once."""
    found = []
    last: dict[str, WireCall] = {}
    for call in calls:
        before = last.get(call.number)
        if before is not None and not before.over_by(call.invited_ns):
            found.append(
                Fault(
                    f"a number was dialed (attempt {call.attempt}) while its call before (attempt {before.attempt}) was still up",
                    call.invited_ns, repeated=True,
                )
            )  # fmt: skip
        last[call.number] = call
    return found
