"""What is done about an answer that is no person's: hung up on, answered where an assistant asks, left a message, or drawn for evidence.

It owns the choice and the way through screening and message. What a verdict is told to is `live_answers.py`'s, which also takes over
whoever is connected anyway. Whether a message is allowed at all is the rule pack's (`[voicemail]`).
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.outcome import outcome_of_verdict
from dialer_core.calls.records import CallRecords
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import AttemptMessageStarted, AttemptSampled, AttemptScreened
from dialer_core.ipc.messages import LegBeep, LegQuiet, LegVerdict, MediaLegSnapshot, Play, PromptFinished
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.store import detection_samples
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    SPEAKING_MACHINES,
    AttemptId,
    AttemptState,
    CampaignId,
    Outcome,
    Verdict,
)

log = structlog.get_logger(__name__)

SCREENING_PLAY_ID: Final = "screening"
MESSAGE_PLAY_ID: Final = "message"
_BEEP_REASON: Final = "beep"
S = AttemptState


class Connector(Protocol):
    """What takes over an attempt that is connected or heard again (`LiveAnswers`)."""

    def route_as_person(self, attempt: Attempt) -> None:
        """From now on this is a live answer."""

    def listen(self, attempt: Attempt, *, early: bool) -> None:
        """Have the detector listen, anew."""


def draw_of(attempt_id: AttemptId) -> float:
    """Return an attempt's number in [0, 1), the same each time it is asked for: chosen for evidence is who lies under the share.

    It is a digest of the attempt's id, half of which is random and all of which is made before the call, so that nobody can
    choose it and everybody can check it.
    """
    digest = hashlib.blake2b(attempt_id.encode(), digest_size=8, person=b"marcador-sample").digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53


class Machines:
    """Answered calls whose verdict is no person's, from it to their end.

    Parameters
    ----------
    connector
        Takes over who is connected to an agent after all.
    """

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: dict[CampaignId, CampaignRun],
        media: MediaPort,
        roster: Roster,
        records: CallRecords,
        connector: Connector,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._media = media
        self._roster = roster
        self._records = records
        self._connector = connector

    def take(self, attempt: Attempt, event: LegVerdict) -> None:
        """Do what the campaign does about this verdict."""
        if attempt.state is not S.LISTENING:
            self._machine.feed(attempt, Cue.NOT_LIVE)
            return
        campaign = self._campaigns[attempt.campaign_id]
        if (
            event.label is Verdict.SCREENING
            and campaign.settings.machines.screening_answer
            and not attempt.screened
        ):
            self._answer_screening(attempt, event, campaign.settings.machines.screening_answer)
        elif self._sampled(attempt, event.label, campaign.settings.machines.sample):
            attempt.sampled = True
            self._connector.route_as_person(attempt)
        elif event.label is Verdict.MACHINE and campaign.message:
            self._machine.feed(attempt, Cue.LEAVE_MESSAGE)
            if event.reason == _BEEP_REASON:
                self._speak(attempt, event.at_ns, _BEEP_REASON)
            else:
                self._runtime.later(campaign.settings.machines.message_wait_s, lambda: self._waited(attempt))
        else:
            live = event.label in (
                Verdict.SILENCE,
                Verdict.UNKNOWN,
            )  # nobody came to the phone after our answer
            self._release(attempt, Outcome.SCREENING if live else outcome_of_verdict(event.label))

    def _release(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.release_outcome = attempt.release_outcome or outcome
        cue = Cue.NOT_LIVE if attempt.state is S.LISTENING else Cue.RELEASE
        self._machine.feed(attempt, cue)

    # --- a phone's assistant -------------------------------------------------------------------------------------------

    def _answer_screening(self, attempt: Attempt, event: LegVerdict, prompt: str) -> None:
        attempt.screened = True
        self._machine.feed(attempt, Cue.SCREENED)
        self._media.send(Play(leg_id=attempt.leg_id, prompts=(prompt,), play_id=SCREENING_PLAY_ID))
        self._records.change(attempt, event_of(AttemptScreened, attempt, event.at_ns))

    # --- a message -----------------------------------------------------------------------------------------------------

    def heard_end(self, attempt: Attempt, event: LegBeep | LegQuiet) -> None:
        """A recording beep has ended, or the greeting is over and none came: speak, if that is what this attempt waits for."""
        self._speak(attempt, event.at_ns, _BEEP_REASON if isinstance(event, LegBeep) else "quiet")

    def _speak(self, attempt: Attempt, at_ns: int, after: str) -> None:
        if attempt.state is not S.LEAVING_MESSAGE or attempt.message_ns:
            return
        attempt.message_ns = at_ns
        prompt = self._campaigns[attempt.campaign_id].message
        self._media.send(Play(leg_id=attempt.leg_id, prompts=(prompt,), play_id=MESSAGE_PLAY_ID))
        told = event_of(AttemptMessageStarted, attempt, at_ns, after=after, prompt=prompt)
        self._records.change(attempt, told)

    def speak_now(self, attempt: Attempt) -> None:
        """An agent has heard a machine and its beep: speak."""
        self._speak(attempt, self._runtime.clock.mono_ns(), "agent")

    def go_on(self, attempt: Attempt, leg: MediaLegSnapshot | None) -> None:
        """Go on with a message under a new engine, or with a new media plane (`leg` None): a message cut in two is none."""
        if leg is None:
            self._release(attempt, Outcome.MACHINE)
        elif leg.play_id == MESSAGE_PLAY_ID:
            attempt.message_ns = attempt.message_ns or self._runtime.clock.mono_ns()
            if not leg.playing:
                self._release(attempt, Outcome.MESSAGE_LEFT)
        elif not attempt.message_ns:
            wait_s = self._campaigns[attempt.campaign_id].settings.machines.message_wait_s
            self._runtime.later(wait_s, lambda: self._waited(attempt))

    def _waited(self, attempt: Attempt) -> None:
        """Neither beep nor quiet in time: a greeting without an end, or music."""
        if attempt.state is S.LEAVING_MESSAGE and not attempt.message_ns:
            self._release(attempt, Outcome.MACHINE)

    def prompt_finished(self, attempt: Attempt, event: PromptFinished) -> None:
        """One of our prompts has been played, or could not be."""
        if event.play_id == SCREENING_PLAY_ID:
            if attempt.state is S.LISTENING:
                self._connector.listen(attempt, early=False)
        elif event.play_id == MESSAGE_PLAY_ID:
            self._release(attempt, Outcome.MACHINE if event.cut else Outcome.MESSAGE_LEFT)
        elif not event.cut:
            self._machine.feed(attempt, Cue.PROMPT_FINISHED)

    # --- evidence ------------------------------------------------------------------------------------------------------

    def _sampled(self, attempt: Attempt, label: Verdict, share: float) -> bool:
        """Draw: return whether this machine is connected to find out whether it is one. Only while an agent is free: nobody is abandoned by it."""
        if not share or label not in SPEAKING_MACHINES or self._campaigns[attempt.campaign_id].settings.flow:
            return False
        draw, free = draw_of(attempt.id), self._roster.offer(attempt.campaign_id) is not None
        connected = draw < share and free
        sample = detection_samples.Sample(
            attempt_id=attempt.id, campaign_id=attempt.campaign_id, label=label, share=share, draw=draw, agent_free=free,
            connected=connected, at_utc=self._runtime.clock.utc(),
        )  # fmt: skip

        def write(tx: Tx) -> None:
            detection_samples.insert(tx, sample)

        events = []
        if draw < share:
            now_ns = self._runtime.clock.mono_ns()
            events.append(
                event_of(
                    AttemptSampled, attempt, now_ns, label=label, share=share, draw=draw, connected=connected
                )
            )
        self._runtime.store(write, *events)
        return connected
