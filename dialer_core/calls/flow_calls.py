"""Attempts in a flow: people who answered and are spoken to without an agent, from the first word to the hang-up or to an agent.

It owns which attempts have one, what holds campaigns with a flow back, and what a flow's word does to an attempt. The flow itself is driven by
`flow_talks.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.flow_talks import FlowTalks
from dialer_core.calls.flow_work import Prepared, disposition_of
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.records import CallRecords
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import Event
from dialer_core.flows.language import Flow
from dialer_core.ipc.messages import Await, MediaLegSnapshot, PromptFinished
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    AttemptState,
    CampaignId,
    Disposition,
    LegId,
    Outcome,
)

log = structlog.get_logger(__name__)

MOST_UNPREPARED: Final = 25
"""Attempts that wait for the host: beyond it, campaigns with a flow begin no more."""
NO_HOST: Final = "the host, which prepares what flows say, is not ready"
BEHIND: Final = "the host does not keep up with preparing what flows say"
S = AttemptState
_CAUSES: Final = {
    Cue.LEG_ENDED: "hung_up",
    Cue.REVISED_NOT_LIVE: "not_a_person",
    Cue.FALLBACK_STARTED: "not_ready",
}


class _Dialed:
    """An attempt, as a flow knows it (`flow_work.Party`)."""

    def __init__(self, attempt: Attempt, machine: AttemptMachine) -> None:
        self._attempt = attempt
        self._machine = machine
        self.id: str = attempt.id
        self.leg_id: LegId = attempt.leg_id
        self.account_id: AccountId | None = attempt.account_id
        self.campaign_id: CampaignId = attempt.campaign_id
        self.attempt_id: AttemptId | None = attempt.id

    @property
    def identified(self) -> bool:
        return self._attempt.identified

    @identified.setter
    def identified(self, yes: bool) -> None:
        self._attempt.identified = yes

    @property
    def served(self) -> bool:
        return self._attempt.served

    @served.setter
    def served(self, yes: bool) -> None:
        self._attempt.served = yes

    def here(self) -> bool:
        return self._attempt.state is S.IN_FLOW

    def ids(self) -> dict[str, str]:
        return {"attempt_id": self._attempt.id, "campaign": self._attempt.campaign_id}

    def event(self, kind: type[Event], at_ns: int, /, **data: Any) -> Event:
        return event_of(kind, self._attempt, at_ns, **data)

    def dispose(
        self, disposition: Disposition, now_utc: dt.datetime, callback_at: dt.datetime | None
    ) -> Callable[[Tx], None]:
        return disposition_of(self._attempt.id, disposition, now_utc, callback_at)

    def to_agent(self) -> None:
        self._machine.feed(self._attempt, Cue.WANTS_AGENT)

    def over(self) -> None:
        attempt = self._attempt
        attempt.release_outcome = attempt.release_outcome or (
            Outcome.SELF_SERVED if attempt.served else Outcome.UNIDENTIFIED
        )
        self._machine.feed(attempt, Cue.RELEASE)


class FlowCalls:
    """Every attempt of campaigns with a flow."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: Mapping[CampaignId, CampaignRun],
        flows: Mapping[str, Flow],
        media: MediaPort,
        records: CallRecords,
        talks: FlowTalks,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._flows = flows
        self._media = media
        self._records = records
        self._talks = talks
        self._unprepared: set[AttemptId] = set()
        self._host_there = False
        self._hold()

    # --- before the answer ---------------------------------------------------------------------------------------------

    def flow_of(self, attempt: Attempt) -> Flow | None:
        """Return the flow that speaks to this attempt's person, or None."""
        return self._flows.get(self._campaigns[attempt.campaign_id].settings.flow)

    def expect(self, attempt: Attempt) -> None:
        """A call has been begun: the host, which sees it in the log, prepares what its flow says."""
        flow = self.flow_of(attempt)
        if flow is not None:
            name = self._campaigns[attempt.campaign_id].settings.flow
            self._talks.expect(_Dialed(attempt, self._machine), name, flow)
            self._unprepared.add(attempt.id)
            self._hold()

    def forget(self, attempt: Attempt) -> None:
        """It is over."""
        if self._talks.forget(attempt.id):
            self._unprepared.discard(attempt.id)
            self._hold()

    def host_is(self, *, there: bool) -> None:
        """Say whether a host is there and ready: without one, campaigns with a flow begin nothing."""
        if there != self._host_there:
            self._host_there = there
            self._hold()

    def prepared(self, told: Prepared) -> bool:
        """Take what the host has prepared, for an attempt or for somebody who has called; False where that is over."""
        if not self._talks.prepared(told):
            return False
        attempt_id = AttemptId(told.call)
        if attempt_id in self._unprepared:
            self._unprepared.discard(attempt_id)
            self._hold()
        attempt = self._machine.attempts.get(attempt_id)
        if attempt is not None and attempt.state is S.IN_FLOW and not self._talks.speaks_to(attempt_id):
            self._talks.start(attempt_id)
        return True

    def _hold(self) -> None:
        reason = (
            NO_HOST if not self._host_there else BEHIND if len(self._unprepared) > MOST_UNPREPARED else ""
        )
        for run in self._campaigns.values():
            if run.settings.flow:
                run.held = reason

    # --- the conversation's life ---------------------------------------------------------------------------------------

    def begin(self, attempt: Attempt, *, waits: bool) -> None:
        """Entered IN_FLOW: speak at once, or as soon as it is prepared.

        Parameters
        ----------
        attempt
            Whose.
        waits
            The media plane runs a deadline for them already, by the detector's verdict.
        """
        self._records.change(attempt, None, live_answer=True)
        if self._talks.is_prepared(attempt.id):
            self._talks.start(attempt.id)
            return
        log.warning("flow_not_prepared", attempt_id=attempt.id)
        if not waits:
            self._await(attempt)

    def _await(self, attempt: Attempt) -> None:
        """Nobody listens to silence: by the limit of a live answer the abandonment message begins."""
        campaign = self._campaigns[attempt.campaign_id]
        self._media.send(
            Await(
                leg_id=attempt.leg_id,
                agent_wait_s=campaign.agent_wait_s,
                fallback_prompt=campaign.settings.abandonment_prompt,
            )
        )

    def left(self, attempt: Attempt, cue: Cue) -> None:
        """Left IN_FLOW: handed on, ended, or hung up on."""
        self._talks.left(attempt.id, _CAUSES.get(cue, "cut_off"))

    def go_on(self, attempt: Attempt, leg: MediaLegSnapshot | None) -> None:
        """Go on with a new media plane (`leg` None). Where a former engine began it, nobody knows what they were told: it is cut off."""
        if not self._talks.knows(attempt.id):
            attempt.cut_off = True
            attempt.release_outcome = attempt.release_outcome or Outcome.INTERRUPTED
            self._machine.feed(attempt, Cue.RELEASE)
        elif not self._talks.speaks_to(attempt.id):
            self._await(attempt)
        elif leg is None:
            self._talks.say_again(attempt.id)

    def pressed(self, attempt: Attempt, digit: str) -> None:
        """A digit of the person's phone."""
        self._talks.pressed(attempt.id, digit)

    def prompt_finished(self, attempt: Attempt, event: PromptFinished) -> None:
        """A prompt of the flow is over."""
        self._talks.prompt_finished(attempt.id, event)
