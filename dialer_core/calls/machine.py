"""The machine of attempts: looks cells up, watches over every state's limit, and faults one attempt without hurting the others.

It owns the live attempts and their timers. What a change does is not its own: whoever wires it is told of each change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from dialer_core.calls.attempt import (
    LATE,
    RING_MARGIN_S,
    RINGING_STATES,
    STATE_LIMIT_S,
    WAIT_MARGIN_S,
    Attempt,
    Cue,
)
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import AttemptFaulted, Event
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AttemptId, AttemptState, CampaignId, LegId, Outcome

log = structlog.get_logger(__name__)

S = AttemptState


class AttemptMachine:
    """Every live attempt, and the one way to move it.

    Parameters
    ----------
    runtime
        Clock, timers and journal.
    campaigns
        For the limits that are a campaign's.
    """

    def __init__(self, runtime: Runtime, campaigns: dict[CampaignId, CampaignRun]) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._overdue: dict[AttemptId, asyncio.TimerHandle] = {}
        self._changed: Callable[[Attempt, AttemptState, Cue], None] = lambda _attempt, _before, _cue: None
        self.attempts: dict[AttemptId, Attempt] = {}
        self.by_leg: dict[LegId, Attempt] = {}
        self.late = 0
        """Cues that came too late: legitimate races, counted."""

    def on_change(self, changed: Callable[[Attempt, AttemptState, Cue], None]) -> None:
        """Set what is told of every change: the attempt (already in its new state), the state before, and the cue."""
        self._changed = changed

    def add(self, attempt: Attempt) -> None:
        """Take a committed attempt in."""
        attempt.entered_ns = attempt.committed_ns = self._runtime.clock.mono_ns()
        self.attempts[attempt.id] = attempt
        self.by_leg[attempt.leg_id] = attempt
        self._watch(attempt)

    def adopt(self, attempt: Attempt) -> None:
        """Take in an attempt that a former engine began: its state's limit runs from `entered_ns`."""
        self.attempts[attempt.id] = attempt
        self.by_leg[attempt.leg_id] = attempt
        self._watch(attempt)

    def remove(self, attempt: Attempt) -> None:
        """Let an ended attempt go."""
        del self.attempts[attempt.id]
        self.by_leg.pop(attempt.leg_id, None)
        if timer := self._overdue.pop(attempt.id, None):
            timer.cancel()

    def feed(self, attempt: Attempt, cue: Cue) -> bool:
        """Apply a cue; returns whether the state changed. What that change does, `changed` was told to do."""
        cell = attempt.next_state(cue)
        if not isinstance(cell, AttemptState):
            if cell is LATE:
                self.late += 1
                log.debug("cue_late", attempt_id=attempt.id, state=attempt.state, cue=cue)
            else:
                self._fault(attempt, cue)
            return False
        before, attempt.state = attempt.state, cell
        attempt.entered_ns = self._runtime.clock.mono_ns()
        self._watch(attempt)
        if cue is Cue.OVERDUE:
            log.error("attempt_overdue", attempt_id=attempt.id, state=before)
            attempt.release_outcome = attempt.release_outcome or (
                Outcome.INTERRUPTED if before is S.RELEASING else Outcome.INTERNAL
            )
        self._changed(attempt, before, cue)
        return True

    def _fault(self, attempt: Attempt, cue: Cue) -> None:
        """A bug cell: this attempt ends as `internal`, the loop goes on."""
        log.error("attempt_faulted", attempt_id=attempt.id, state=attempt.state, cue=cue)
        event = AttemptFaulted(
            attempt_id=attempt.id,
            campaign_id=attempt.campaign_id,
            account_id=attempt.account_id,
            state=attempt.state,
            event=cue,
        )
        self._runtime.journal.append(event)
        attempt.release_outcome = Outcome.INTERNAL
        if attempt.next_state(Cue.RELEASE) is S.RELEASING:
            self.feed(attempt, Cue.RELEASE)

    def _watch(self, attempt: Attempt) -> None:
        """Run the limit of the state just entered (I6)."""
        if timer := self._overdue.pop(attempt.id, None):
            timer.cancel()
        if attempt.state is S.ENDED:
            return
        campaign = self._campaigns[attempt.campaign_id]
        if attempt.state is S.WAITING:
            limit_s = campaign.agent_wait_s + WAIT_MARGIN_S
        elif attempt.state in RINGING_STATES:
            limit_s = STATE_LIMIT_S.get(attempt.state, campaign.settings.ring_limit_s + RING_MARGIN_S)
        elif attempt.state is S.BRIDGING and attempt.bridging_limit_s:
            limit_s = attempt.bridging_limit_s
        else:
            limit_s = STATE_LIMIT_S[attempt.state]
        spent_s = (self._runtime.clock.mono_ns() - attempt.entered_ns) / 1e9
        self._overdue[attempt.id] = self._runtime.later(limit_s - spent_s, lambda: self._overstayed(attempt))

    def _overstayed(self, attempt: Attempt) -> None:
        self.feed(attempt, Cue.OVERDUE)


def event_of(kind: type[Event], attempt: Attempt, at_ns: int, /, **data: Any) -> Event:
    """Return an event about an attempt."""
    return kind(
        attempt_id=attempt.id,
        campaign_id=attempt.campaign_id,
        account_id=attempt.account_id,
        at_mono_ns=at_ns,
        **data,
    )
