"""Why nothing is dialable now: counts per reason and when the next lead is, for status and events.

It owns that report. It changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dialer_core.store import leads
from dialer_core.store.leads import Block
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, LeadState

COUNTED = 20_000
"""Leads counted per state at most; beyond, the report says `at least`."""


@dataclass(frozen=True)
class EmptyReport:
    """Why a campaign has nothing to dial. `reasons` counts leads: the gate's rules, `retry_later`, `in_attempt`, `waiting_…`, `finished_…`."""

    reasons: dict[str, int]
    next_at: dt.datetime | None
    """When the next lead is due, in UTC; None where none has a known time."""
    finished: bool
    """There are leads and every one is finished."""
    complete: bool = True
    """False: the counts are `at least`."""

    def words(self) -> str:
        """Say it in one line."""
        if not self.reasons:
            return "the campaign has no leads; import some with 'dialer leads import'"
        least = "" if self.complete else "at least "
        parts = [
            f"{least}{count} {name}" for name, count in sorted(self.reasons.items(), key=lambda one: -one[1])
        ]
        due = f"; next at {self.next_at:%Y-%m-%d %H:%M:%S} UTC" if self.next_at else ""
        return f"{'every lead is finished' if self.finished else 'nothing dialable now'}: {', '.join(parts)}{due}"


def report(tx: Tx, campaign_id: CampaignId, held: str = "") -> EmptyReport | None:
    """Say why a campaign has nothing to dial now; None where some lead is ready after all (another claim holds it).

    `held` names what keeps leads that are ready from being dialed, where something does.
    """
    tally = leads.tally(tx, campaign_id, COUNTED)
    if tally.ready and not held:
        return None
    reasons: dict[str, int] = {held: tally.ready} if tally.ready else {}
    for (state, reason), count in tally.counts.items():
        resting = count - tally.ready if (state, reason) == (LeadState.DIALABLE, "") else count
        if resting > 0:
            reasons[_name(state, reason)] = reasons.get(_name(state, reason), 0) + resting
    unfinished = any(state is not LeadState.FINISHED for state, _ in tally.counts)
    return EmptyReport(reasons, tally.next_at_utc, bool(tally.counts) and not unfinished, tally.complete)


def so_far(refused: Sequence[Block]) -> EmptyReport | None:
    """Say why the leads that were looked at were refused, while there may be more to look at; None where none was."""
    if not refused:
        return None
    reasons = Counter(
        block.rule
        if block.state is LeadState.DIALABLE
        else _name(block.state, block.waiting_for or block.rule)
        for block in refused
    )
    times = [block.next_at_utc for block in refused if block.next_at_utc is not None]
    return EmptyReport(dict(reasons), min(times, default=None), finished=False, complete=False)


def _name(state: LeadState, reason: str) -> str:
    if state is LeadState.DIALABLE:
        return reason or "retry_later"
    return f"{state.value}_{reason}" if reason else state.value
