"""Going on with the calls of an engine that died: a live attempt made whole again from its row, its worker's word and the media plane's.

It owns what follows from these three. The row says what was committed; what the others know beyond it is fed through the ordinary
handlers, in the order in which it happened, so that it is stored, counted and acted on as ever. While that is done the media plane is told
nothing: `sound.py` compares and orders afterwards. Collecting the three is `recovery.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import Softphones
from dialer_core.agents.state import Agent
from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.call_flow import CallFlow
from dialer_core.calls.live_answers import ACTING_MODES, LiveAnswers
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.machines import MESSAGE_PLAY_ID, SCREENING_PLAY_ID
from dialer_core.calls.outcome import outcome_of_verdict
from dialer_core.calls.records import CallRecords
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import AttemptUnbridged
from dialer_core.ipc.messages import (
    Dialog,
    FallbackStarted,
    Hangup,
    LegAnswered,
    LegProvisional,
    LegSent,
    LegSnapshot,
    MediaLegSnapshot,
    VerdictRevised,
)
from dialer_core.lines import WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.store.models import Attempt as AttemptRow
from dialer_core.store.models import Leg as LegRow
from dialer_core.store.people import PersonRow
from dialer_core.vocabulary import (
    LIVE_VERDICTS,
    AccountId,
    AgentId,
    AgentState,
    AttemptId,
    AttemptState,
    CampaignId,
    LeadId,
    LegId,
    Outcome,
    PersonId,
    PhoneId,
    TrunkId,
    Verdict,
    WorkerId,
)
from dialer_core.voice_events import AttemptDeliveryFailed, AttemptTransferFailed

log = structlog.get_logger(__name__)

_NEVER_NS = (1 << 63) - 1
S = AttemptState


@dataclass(frozen=True, slots=True)
class HeldExtension:
    """An extension's leg in a worker; its `ended` says that it is over."""

    worker: WorkerId
    leg: LegSnapshot


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a live attempt when an engine starts."""

    row: AttemptRow
    leg_row: LegRow | None
    worker: WorkerId | None
    """Who holds the leg, or saw it end; None: nobody does, its worker is dead."""
    leg: LegSnapshot | None
    sound: MediaLegSnapshot | None
    person: PersonRow | None = None
    extension: HeldExtension | None = None
    """Who has the customer, had them at its end, or is being called for them, where that is no softphone of ours."""


class Adoption:
    """Takes attempts over, one by one."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: dict[CampaignId, CampaignRun],
        trunks: Trunks,
        workers: WorkerPool,
        roster: Roster,
        softphones: Softphones,
        flow: CallFlow,
        answers: LiveAnswers,
        records: CallRecords,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._trunks = trunks
        self._workers = workers
        self._roster = roster
        self._softphones = softphones
        self._flow = flow
        self._answers = answers
        self._records = records

    def take(self, found: Found, pool: Callable[[CampaignId, Agent | None], str]) -> Attempt:
        """Make an attempt what its row says it was, with its trunk's line taken. Nothing is told to anybody yet."""
        row, leg, sound = found.row, found.leg, found.sound
        campaign = self._campaigns[CampaignId(row.campaign_id)]
        agent = self._roster.agents.get(AgentId(row.agent_id)) if row.agent_id else None
        state = _state(found, agent)
        attempt = Attempt(
            id=AttemptId(row.id), campaign_id=campaign.id, lead_id=LeadId(row.lead_id), account_id=AccountId(row.account_id),
            person_id=PersonId(row.person_id), phone_id=PhoneId(row.phone_id), number=row.number, trunk=TrunkId(row.trunk),
            pool=pool(campaign.id, agent), leg_id=_leg_id(found), retry_of=AttemptId(row.retry_of) if row.retry_of else None,
            language=found.person.language if found.person else "es", region=found.person.region if found.person else None,
            state=state, worker=found.worker or (WorkerId(row.worker) if row.worker else None), placements=int(bool(leg or found.leg_row)),
            call_id=row.call_id or "", live=row.live_answer, abandoned=row.abandoned, verdict=Verdict(row.verdict) if row.verdict else None,
            ringing_seen=leg is not None and leg.ringing_code == 180, negotiated=leg.negotiated if leg else None, dialog=_dialog(found),
            media_port=(leg.media_port if leg else 0) or (found.leg_row.media_port if found.leg_row else 0) or 0,
            sent_ns=row.sent_mono_ns or 0, ringing_ns=row.ringing_mono_ns or 0, answered_ns=row.answered_mono_ns or 0,
            verdict_ns=row.verdict_mono_ns or 0, greeting_end_ns=row.greeting_end_mono_ns or 0, bridged_ns=row.bridged_mono_ns or 0,
            abandoned_ns=row.abandoned_mono_ns or 0,
        )  # fmt: skip
        attempt.committed_ns = self._mono_of(row.committed_at_utc)
        attempt.entered_ns = self._entered_ns(attempt)
        heard_ns = attempt.greeting_end_ns or attempt.verdict_ns or attempt.answered_ns
        attempt.waiting_since_ns = attempt.verdict_ns or attempt.answered_ns
        attempt.wait_until_ns = (sound.wait_until_ns if sound else 0) or heard_ns + int(
            campaign.agent_wait_s * 1e9
        )
        if attempt.state is S.BRIDGED and agent is not None:
            attempt.agent_id = attempt.last_agent_id = agent.id
            attempt.bridge_began_ns = (sound.bridged_ns if sound else 0) or attempt.bridged_ns
        elif attempt.state in (S.TRANSFERRING, S.TRANSFERRED):
            attempt.last_agent_id = AgentId(row.agent_id) if row.agent_id else None
            until_ns = (
                sound.bridged_ns
                if sound is not None and attempt.state is S.TRANSFERRED
                else self._runtime.clock.mono_ns()
            )
            attempt.talk_ns = max(0, until_ns - attempt.bridged_ns)
        self._trunks[attempt.trunk].take_over(unsent=not attempt.sent_ns)
        campaign.attempts += 1
        campaign.live_answers += attempt.live
        campaign.abandoned += attempt.abandoned
        self._machine.adopt(attempt)
        return attempt

    def _tell_undelivered(self, attempt: Attempt) -> None:
        """A queue was being called for them: its leg is hung up, as a stray."""
        for agent in self._roster.all():
            if agent.in_pbx and agent.state is AgentState.RESERVED and agent.attempt_id == attempt.id:
                told = event_of(
                    AttemptDeliveryFailed, attempt, self._runtime.clock.mono_ns(), extension=agent.settings.queue, leg_id=LegId(""),
                    agent_id=agent.id, sip_code=0, reason="lost",
                )  # fmt: skip
                self._runtime.journal.append(told)

    def catch_up(self, attempt: Attempt, found: Found) -> None:
        """Feed what the row does not say yet. An attempt whose leg nobody holds any more is over."""
        handed_on = (S.TRANSFERRING, S.TRANSFERRED)
        if (
            S(found.row.state) in handed_on and attempt.state not in handed_on
        ):  # its leg is gone, or is hung up as a stray
            now_ns = self._runtime.clock.mono_ns()
            told = event_of(AttemptTransferFailed, attempt, now_ns, extension="", sip_code=0)
            self._runtime.journal.append(told)
        former = self._roster.agents.get(AgentId(found.row.agent_id)) if found.row.agent_id else None
        if S(found.row.state) is S.BRIDGED and attempt.state is S.WAITING and former is not None:  # a PBX's
            now_ns = self._runtime.clock.mono_ns()
            attempt.talk_ns += max(0, now_ns - attempt.bridged_ns)
            self._runtime.journal.append(event_of(AttemptUnbridged, attempt, now_ns, agent_id=former.id))
        self._tell_undelivered(attempt)
        if found.leg is None or found.worker is None:
            if found.sound is not None:  # what they heard, they heard
                self._hearing(attempt, found, found.sound, _NEVER_NS)
            self._flow.leg_lost(attempt)
            return
        self._signalling(attempt, found, found.worker, found.leg)
        ended = found.leg.ended
        if found.extension is not None and found.extension.leg.ended is not None and ended is None:
            self._left_by_extension(attempt)
        if found.sound is not None:
            self._hearing(attempt, found, found.sound, ended.at_ns if ended else _NEVER_NS)
        if attempt.state is S.RELEASING and attempt.release_outcome is None:
            heard = attempt.verdict
            acted = self._campaigns[attempt.campaign_id].settings.detection in ACTING_MODES
            not_live = acted and heard is not None and heard not in LIVE_VERDICTS
            attempt.release_outcome = (
                outcome_of_verdict(heard) if not_live and heard is not None else Outcome.CANCELLED
            )
            if found.sound is not None and found.sound.play_id == MESSAGE_PLAY_ID and not found.sound.playing:
                attempt.release_outcome = Outcome.MESSAGE_LEFT
        if ended is not None:
            self._flow.on_worker(found.worker, ended)
        elif attempt.state is S.RELEASING:
            self._workers.send(found.worker, Hangup(leg_id=attempt.leg_id))

    def _left_by_extension(self, attempt: Attempt) -> None:
        """Whom they talked to has hung up while there was no engine: the call is over."""
        if attempt.state is S.TRANSFERRED:
            self._machine.feed(attempt, Cue.TRANSFER_FAILED)
        elif attempt.state is S.BRIDGED:
            self._flow.release(attempt, Outcome.CONNECTED)

    def settle(self, attempt: Attempt, found: Found) -> None:
        """Part a talk from an agent who is not in it any more: nobody is left talking to silence, or to somebody who has gone on."""
        if attempt.state is not S.BRIDGED:
            return
        agent = self._roster.agents.get(attempt.agent_id) if attempt.agent_id else None
        if agent is None or agent.state is AgentState.LOGGED_OUT:  # gone from the file, or away for too long
            if (
                agent is None and found.row.agent_id
            ):  # nobody the roster knows: what parting tells is told here
                now_ns = self._runtime.clock.mono_ns()
                attempt.talk_ns += max(0, now_ns - attempt.bridged_ns)
                told = event_of(AttemptUnbridged, attempt, now_ns, agent_id=found.row.agent_id)
                self._runtime.journal.append(told)
            self._machine.feed(attempt, Cue.AGENT_LOST)
        elif agent.attempt_id != attempt.id or agent.state not in (AgentState.RESERVED, AgentState.TALKING):
            # It was being ended: the agent's change was written down, and the attempt's own, one unit later, was not.
            if agent.attempt_id != attempt.id:
                attempt.agent_id = None
            self._flow.release(attempt, Outcome.CONNECTED)

    def _signalling(self, attempt: Attempt, found: Found, worker: WorkerId, leg: LegSnapshot) -> None:
        row, flow = found.row, self._flow
        if attempt.state is S.COMMITTED:  # its INVITE had been ordered, and that was not written down yet
            self._machine.feed(attempt, Cue.PLACED)
            self._records.leg_placed(attempt, worker)
        if leg.sent_ns and row.sent_mono_ns is None:
            flow.on_worker(worker, LegSent(at_ns=leg.sent_ns, leg_id=leg.leg_id, call_id=leg.call_id))
        if leg.ringing_ns and (row.ringing_mono_ns is None or (leg.early_sdp and attempt.state is S.RINGING)):
            rings = LegProvisional(
                at_ns=leg.ringing_ns, leg_id=leg.leg_id, code=leg.ringing_code, early_sdp=leg.early_sdp
            )
            flow.on_worker(worker, rings)
        if leg.answered_ns and row.answered_mono_ns is None and leg.dialog is not None:
            flow.on_worker(worker, LegAnswered(at_ns=leg.answered_ns, leg_id=leg.leg_id, dialog=leg.dialog))

    def _hearing(self, attempt: Attempt, found: Found, sound: MediaLegSnapshot, ended_ns: int) -> None:
        """Verdict, message and bridge, as far as they were before the end: the media plane does not know of a hang-up."""
        verdict, leg_id = sound.verdict, attempt.leg_id
        if verdict is not None and verdict.early:
            attempt.early_verdict = verdict.label
        elif verdict is not None and verdict.at_ns <= ended_ns and attempt.answered_ns:
            attempt.screened = sound.play_id == SCREENING_PLAY_ID
            again = attempt.state is S.LISTENING and verdict.at_ns > (found.row.verdict_mono_ns or 0)
            if found.row.verdict is None or again:
                self._answers.verdict(attempt, verdict)
            elif found.row.verdict != verdict.label:
                self._answers.revised(
                    attempt,
                    VerdictRevised(
                        at_ns=verdict.at_ns,
                        leg_id=leg_id,
                        label=verdict.label,
                        reason=verdict.reason,
                        confidence=verdict.confidence,
                    ),
                )
        agent = self._softphones.agent_of(sound.bridged_to)
        if agent is not None and sound.bridged_ns <= ended_ns:
            self._bridged(attempt, agent, sound.bridged_ns)
        elif attempt.state is S.BRIDGED and sound.wait_until_ns and attempt.agent_id is not None:
            self._machine.feed(attempt, Cue.AGENT_LOST)
            attempt.wait_until_ns = sound.wait_until_ns
        if sound.fallback_ns and sound.fallback_ns <= ended_ns and not attempt.abandoned:
            self._answers.abandoned(attempt, FallbackStarted(at_ns=sound.fallback_ns, leg_id=leg_id))

    def _bridged(self, attempt: Attempt, agent: Agent, at_ns: int) -> None:
        if attempt.state is S.WAITING:
            self._answers.resume_bridge(attempt, agent, at_ns)
        elif attempt.state is S.BRIDGED and attempt.agent_id == agent.id:
            attempt.bridge_began_ns = at_ns

    def _mono_of(self, at_utc: dt.datetime) -> int:
        clock = self._runtime.clock
        return clock.mono_ns() - max(0, int((clock.utc() - at_utc).total_seconds() * 1e9))

    def _entered_ns(self, attempt: Attempt) -> int:
        """Return since when it is in its state, as well as is known; where it is not, now: the limit runs anew."""
        state, now_ns = attempt.state, self._runtime.clock.mono_ns()
        if state in (S.DIALING, S.RINGING, S.EARLY_MEDIA):
            return attempt.sent_ns or now_ns
        if state is S.BRIDGED:
            return attempt.bridged_ns or now_ns
        return now_ns


def _state(found: Found, agent: Agent | None) -> AttemptState:
    """Return the row's state, as far as somebody still holds what it needs; else they wait for an agent again.

    A reservation is not in the row: the agent's interval and the media plane say whether it came to a bridge.
    """
    state = S(found.row.state)
    outside = state in (S.TRANSFERRING, S.TRANSFERRED) or (
        state is S.BRIDGED and agent is not None and agent.in_pbx
    )
    return S.WAITING if state is S.BRIDGING or (outside and found.extension is None) else state


def _leg_id(found: Found) -> LegId:
    if found.leg is not None:
        return found.leg.leg_id
    return LegId(found.row.id)


def _dialog(found: Found) -> Dialog | None:
    if found.leg is not None:
        return found.leg.dialog
    if found.leg_row is None or found.leg_row.dialog is None:
        return None
    return msgspec.convert(found.leg_row.dialog, Dialog)
