"""Calls in a flow: people who answered and are spoken to without an agent, from the first word to the hang-up or to an agent.

It owns the drive of `flows/interpreter.py` over calls: prompts played, keys and time-outs fed, what they agree to (`flow_work.py`) stored
before it is confirmed, and the events. What is said was rendered by the host (`flow_speech.py`), which hands it over in two stages: what anybody may
hear when the attempt is committed, and what tells of the debt when the person is identified. Once handed over, the host may die.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.flow_work import Prepared, Terms, disposition_of, in_time, unit_of
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.records import CallRecords
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import Event
from dialer_core.flows import interpreter
from dialer_core.flows.interpreter import (
    Action,
    Conversation,
    DoWork,
    Entered,
    Finish,
    HandOver,
    Identified,
    Listen,
    Phase,
    Quiet,
    Speak,
    Work,
)
from dialer_core.flows.language import Flow, PaymentInfo
from dialer_core.ipc.messages import Await, MediaLegSnapshot, Play, PromptFinished
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import (
    AttemptId,
    AttemptState,
    CampaignId,
    Outcome,
)
from dialer_core.voice_events import (
    FlowEnded,
    FlowLookupAsked,
    FlowStarted,
    FlowStepEntered,
    IdentityVerified,
)

log = structlog.get_logger(__name__)

PLAY_ID: Final = "flow:"
PREPARE_LIMIT_S: Final = 4.0
"""So long somebody who is in a flow may wait for what it says next; then its last words are said."""
MOST_UNPREPARED: Final = 25
"""Attempts that wait for the host: beyond it, campaigns with a flow begin no more."""
NO_HOST: Final = "the host, which prepares what flows say, is not ready"
BEHIND: Final = "the host does not keep up with preparing what flows say"
S = AttemptState


@dataclass(slots=True)
class _Going:
    """One attempt's flow, from its preparation on."""

    attempt: Attempt
    flow: Flow
    conversation: Conversation | None = None
    language: str = ""
    values: dict[str, str | int | None] = field(default_factory=dict)
    prompts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    debt_prompts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """As the account was last read: what it does not give any more is not said any more."""
    wrong: tuple[str, ...] = ()
    terms: dict[str, Terms] = field(default_factory=dict)
    offered: Terms | None = None
    """The terms in what was said last: they agree to what they heard."""
    prepared: bool = False
    debt: bool = False
    began_ns: int = 0
    speaking: Speak | None = None
    """What is being said, or waits for its sound."""
    waits: bool = False
    """It waits for its sound."""
    looking_up: int = -1
    """The turn of the last lookup."""
    result: str = ""
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    limit: asyncio.TimerHandle | None = None


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
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._flows = flows
        self._media = media
        self._records = records
        self._going: dict[AttemptId, _Going] = {}
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
            self._going[attempt.id] = _Going(attempt, flow)
            self._unprepared.add(attempt.id)
            self._hold()

    def forget(self, attempt: Attempt) -> None:
        """It is over."""
        if self._going.pop(attempt.id, None) is not None:
            self._unprepared.discard(attempt.id)
            self._hold()

    def host_is(self, *, there: bool) -> None:
        """Say whether a host is there and ready: without one, campaigns with a flow begin nothing."""
        if there != self._host_there:
            self._host_there = there
            self._hold()

    def prepared(self, told: Prepared) -> bool:
        """Take what the host has prepared; False where the attempt is over."""
        going = self._going.get(told.attempt)
        if going is None:
            return False
        going.language = told.language
        going.values.update(told.values)
        if told.debt:
            going.debt_prompts, going.terms = told.prompts, told.terms
        else:
            going.prompts = told.prompts
        going.wrong = told.wrong or going.wrong
        going.prepared, going.debt = True, going.debt or told.debt
        self._unprepared.discard(told.attempt)
        self._hold()
        attempt, conversation = going.attempt, going.conversation
        if attempt.state is S.IN_FLOW and conversation is None:
            self._start(going)
        elif conversation is not None:
            conversation.values.update(told.values)
            if told.debt and going.looking_up == conversation.turn:
                self._feed(going, interpreter.Cue.DONE)
            elif going.waits and going.speaking is not None:
                self._stop_timers(going)  # it was waited for: from here on it may last as long as it does
                self._say(going, going.speaking)
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
        going = self._going.get(attempt.id)
        self._records.change(attempt, None, live_answer=True)
        if going is not None and going.prepared:
            self._start(going)
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

    def _start(self, going: _Going) -> None:
        attempt = going.attempt
        conversation = going.conversation = Conversation(going.flow, going.language, going.values)
        going.began_ns = self._runtime.clock.mono_ns()
        self._tell(going, FlowStarted, language=conversation.language)
        going.limit = self._runtime.later(
            going.flow.limit_s, partial(self._feed, going, interpreter.Cue.LIMIT)
        )
        log.info("flow_started", attempt_id=attempt.id, campaign=attempt.campaign_id)
        self._feed(going, interpreter.Cue.BEGIN)

    def left(self, attempt: Attempt, cue: Cue) -> None:
        """Left IN_FLOW: handed on, ended, or hung up on."""
        going = self._going.get(attempt.id)
        if going is None:
            return
        self._stop_timers(going)
        if going.limit is not None:
            going.limit.cancel()
        conversation = going.conversation
        causes = {
            Cue.LEG_ENDED: "hung_up",
            Cue.REVISED_NOT_LIVE: "not_a_person",
            Cue.FALLBACK_STARTED: "not_ready",
        }
        result = going.result or causes.get(cue, "cut_off")
        if conversation is None:
            return
        seconds = (self._runtime.clock.mono_ns() - going.began_ns) / 1e9
        self._tell(
            going, FlowEnded, step=conversation.step, result=result, steps=conversation.steps, seconds=round(seconds, 1),
            identified=conversation.identified, keys_ignored=conversation.ignored,
        )  # fmt: skip
        log.info(
            "flow_ended",
            attempt_id=attempt.id,
            result=result,
            step=conversation.step,
            steps=conversation.steps,
        )

    def go_on(self, attempt: Attempt, leg: MediaLegSnapshot | None) -> None:
        """Go on with a new media plane (`leg` None). Where a former engine began it, nobody knows what they were told: it is cut off."""
        going = self._going.get(attempt.id)
        if going is None:
            attempt.cut_off = True
            attempt.release_outcome = attempt.release_outcome or Outcome.INTERRUPTED
            self._machine.feed(attempt, Cue.RELEASE)
        elif going.conversation is None:
            self._await(attempt)
        elif leg is None and going.speaking is not None and going.conversation.phase is Phase.SPEAKING:
            self._say(going, going.speaking)

    # --- what comes in -------------------------------------------------------------------------------------------------

    def pressed(self, attempt: Attempt, digit: str) -> None:
        """A digit of the person's phone. Which one is nobody's business but the flow's."""
        going = self._going.get(attempt.id)
        if going is not None and going.conversation is not None and attempt.state is S.IN_FLOW:
            self._feed(going, interpreter.Cue.KEY, digit)

    def prompt_finished(self, attempt: Attempt, event: PromptFinished) -> None:
        """A prompt of ours is over, or could not be played; of one that was replaced nothing more is wanted."""
        going = self._going.get(attempt.id)
        speaking = going.speaking if going is not None else None
        if going is None or speaking is None or event.play_id != f"{PLAY_ID}{speaking.turn}":
            return
        going.speaking = None
        if event.cut:
            log.error("flow_prompt_not_played", attempt_id=attempt.id, step=speaking.step)
            self._feed(going, interpreter.Cue.LIMIT)
        else:
            attempt.served |= isinstance(going.flow.steps[speaking.step], PaymentInfo)
            self._feed(going, interpreter.Cue.SPOKEN)

    def _feed(self, going: _Going, cue: interpreter.Cue, key: str = "") -> None:
        conversation = going.conversation
        if conversation is None or going.attempt.state is not S.IN_FLOW:
            return
        before = conversation.turn
        actions = conversation.apply(cue, key)
        if conversation.turn != before:
            self._stop_timers(going)
        for action in actions:
            self._do(going, action)

    def _do(self, going: _Going, action: Action) -> None:
        attempt = going.attempt
        match action:
            case Entered(step=step, sensitive=sensitive):
                self._tell(going, FlowStepEntered, step=step, sensitive=sensitive)
            case Identified(step=step, by=by):
                attempt.identified = True
                self._runtime.journal.append(
                    event_of(IdentityVerified, attempt, self._now_ns(), by=by, step=step)
                )
            case Quiet():
                if going.speaking is not None:
                    going.speaking = None
                    self._media.send(Play(leg_id=attempt.leg_id, prompts=()))
            case Speak():
                self._say(going, action)
            case Listen(timeout_s=timeout_s):
                self._later(going, timeout_s, interpreter.Cue.TIMEOUT)
            case DoWork():
                self._work(going, action)
            case HandOver():
                going.result = "to_agent"
                self._machine.feed(attempt, Cue.WANTS_AGENT)
            case Finish(done=done, disposition=disposition):
                going.result = "finished"
                served = done or attempt.served
                attempt.release_outcome = attempt.release_outcome or (
                    Outcome.SELF_SERVED if served else Outcome.UNIDENTIFIED
                )
                if disposition is not None:
                    self._runtime.store(disposition_of(attempt, disposition, self._runtime.clock.utc()))
                self._machine.feed(attempt, Cue.RELEASE)
            case _:
                pass

    # --- speaking ------------------------------------------------------------------------------------------------------

    def _say(self, going: _Going, speak: Speak) -> None:
        going.speaking = speak
        prompts = going.debt_prompts.get(speak.step) or going.prompts.get(speak.step)
        going.waits = not prompts
        if prompts:
            going.offered = going.terms.get(speak.step)
            said = (*going.wrong, *prompts) if speak.wrong else prompts
            self._media.send(
                Play(
                    leg_id=going.attempt.leg_id,
                    prompts=said,
                    play_id=f"{PLAY_ID}{speak.turn}",
                    ends_wait=True,
                )
            )
        elif (
            going.debt or not going.attempt.identified
        ):  # everything is there, and this is not: a field has no value
            log.error("flow_step_unsaid", attempt_id=going.attempt.id, step=speak.step)
            going.speaking = None
            self._runtime.loop.call_soon(self._feed, going, interpreter.Cue.LIMIT)
        else:
            self._later(going, PREPARE_LIMIT_S, interpreter.Cue.LIMIT)

    def _later(self, going: _Going, delay_s: float, cue: interpreter.Cue) -> None:
        going.timers.append(self._runtime.later(delay_s, partial(self._feed, going, cue)))

    @staticmethod
    def _stop_timers(going: _Going) -> None:
        for timer in going.timers:
            timer.cancel()
        going.timers.clear()

    # --- what they agree to --------------------------------------------------------------------------------------------

    def _work(self, going: _Going, work: DoWork) -> None:
        if work.work is Work.LOOKUP:
            going.looking_up = work.turn
            self._tell(going, FlowLookupAsked, step=work.step)
            self._later(going, PREPARE_LIMIT_S, interpreter.Cue.FAILED)
            return
        step = going.flow.steps[work.step]
        unit = unit_of(
            work.work, step, going.offered, going.attempt, self._name(going.attempt),
            self._runtime.clock.utc(), self._now_ns(),
        )  # fmt: skip
        if unit is None:
            log.error("flow_promise_without_terms", attempt_id=going.attempt.id, step=work.step)
            self._runtime.loop.call_soon(self._feed, going, interpreter.Cue.FAILED)
            return
        self._later(going, PREPARE_LIMIT_S, interpreter.Cue.FAILED)
        write, events = unit
        if work.work is not Work.OPT_OUT:  # that is what they want, however late
            write = in_time(write, partial(self._is_at, going, work.turn))
        self._runtime.journal.submit(write, *events).add_done_callback(partial(self._stored, going, work))

    def _stored(self, going: _Going, work: DoWork, done: asyncio.Future[None]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed:
            kind = "cancelled" if done.cancelled() else type(done.exception()).__name__
            log.error("flow_work_not_stored", attempt_id=going.attempt.id, work=work.work, error=kind)
        else:
            going.attempt.served = True
        if self._is_at(going, work.turn):
            self._feed(going, interpreter.Cue.FAILED if failed else interpreter.Cue.DONE)

    @staticmethod
    def _is_at(going: _Going, turn: int) -> bool:
        """Whether nothing has happened to the conversation since; the journal's thread asks too."""
        return going.conversation is not None and going.conversation.turn == turn

    def _tell(self, going: _Going, kind: type[Event], **data: object) -> None:
        attempt = going.attempt
        self._runtime.journal.append(
            event_of(kind, attempt, self._now_ns(), flow=self._name(attempt), **data)
        )

    def _name(self, attempt: Attempt) -> str:
        return self._campaigns[attempt.campaign_id].settings.flow

    def _now_ns(self) -> int:
        return self._runtime.clock.mono_ns()
