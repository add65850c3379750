"""Flows driven over calls, whoever they are with: prompts played, keys and time-outs fed, what is agreed to stored before it is confirmed.

It owns the drive of `flows/interpreter.py` from the first word to the last, and its events. Who is spoken to is a `Party`: an attempt
(`flow_calls.py`) or somebody who has called (`inbound_flows.py`). What is said was rendered by the host (`flow_speech.py`), which hands it over
in two stages: what anybody may hear, and, when the person is identified, what tells of the debt. Once handed over, the host may die.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from dialer_core.calls.flow_work import Party, Prepared, Terms, unit_of, written_in_time
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
from dialer_core.ipc.messages import Play, PromptFinished
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
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
"""So long somebody who is in a flow may wait for what it says next, or for the store; then its last words are said."""


@dataclass(slots=True)
class _Going:
    """One person's flow, from its preparation on."""

    party: Party
    name: str
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


class FlowTalks:
    """Every flow that is prepared for somebody, or speaks to them."""

    def __init__(self, runtime: Runtime, media: MediaPort) -> None:
        self._runtime = runtime
        self._media = media
        self._going: dict[str, _Going] = {}

    def expect(self, party: Party, name: str, flow: Flow) -> None:
        """Keep a place for what the host will prepare of a flow."""
        self._going[party.id] = _Going(party, name, flow)

    def forget(self, party_id: str) -> bool:
        """It is over; returns whether it was known."""
        going = self._going.pop(party_id, None)
        if going is not None:
            self._stop(going)
        return going is not None

    def knows(self, party_id: str) -> bool:
        """Whether a flow is prepared for them, or speaks to them."""
        return party_id in self._going

    def is_prepared(self, party_id: str) -> bool:
        """Whether what anybody may hear is there."""
        return party_id in self._going and self._going[party_id].prepared

    def speaks_to(self, party_id: str) -> bool:
        """Whether it has begun."""
        return party_id in self._going and self._going[party_id].conversation is not None

    def prepared(self, told: Prepared) -> bool:
        """Take what the host has prepared; False where the call is over. Whoever waits to begin is begun by their own side."""
        going = self._going.get(told.call)
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
        conversation = going.conversation
        if conversation is not None:
            conversation.values.update(told.values)
            if told.debt and going.looking_up == conversation.turn:
                self._feed(going, interpreter.Cue.DONE)
            elif going.waits and going.speaking is not None:
                self._stop_timers(going)  # it was waited for: from here on it may last as long as it does
                self._say(going, going.speaking)
        return True

    # --- the conversation's life ---------------------------------------------------------------------------------------

    def start(self, party_id: str) -> None:
        """Say the first of it."""
        going = self._going[party_id]
        conversation = going.conversation = Conversation(going.flow, going.language, going.values)
        going.began_ns = self._now_ns()
        self._tell(going, FlowStarted, language=conversation.language)
        going.limit = self._runtime.later(
            going.flow.limit_s, partial(self._feed, going, interpreter.Cue.LIMIT)
        )
        log.info("flow_started", **going.party.ids())
        self._feed(going, interpreter.Cue.BEGIN)

    def left(self, party_id: str, cause: str) -> None:
        """They are not in it any more: handed on, ended, or hung up on."""
        going = self._going.get(party_id)
        if going is None:
            return
        self._stop(going)
        conversation = going.conversation
        if conversation is None:
            return
        result = going.result or cause
        seconds = (self._now_ns() - going.began_ns) / 1e9
        self._tell(
            going, FlowEnded, step=conversation.step, result=result, steps=conversation.steps, seconds=round(seconds, 1),
            identified=conversation.identified, keys_ignored=conversation.ignored,
        )  # fmt: skip
        log.info(
            "flow_ended", result=result, step=conversation.step, steps=conversation.steps, **going.party.ids()
        )

    def say_again(self, party_id: str) -> None:
        """Say once more what was being said when the media plane died."""
        going = self._going[party_id]
        conversation = going.conversation
        if going.speaking is not None and conversation is not None and conversation.phase is Phase.SPEAKING:
            self._say(going, going.speaking)

    # --- what comes in -------------------------------------------------------------------------------------------------

    def pressed(self, party_id: str, digit: str) -> None:
        """A digit of the person's phone. Which one is nobody's business but the flow's."""
        going = self._going.get(party_id)
        if going is not None and going.conversation is not None:
            self._feed(going, interpreter.Cue.KEY, digit)

    def prompt_finished(self, party_id: str, event: PromptFinished) -> None:
        """A prompt of ours is over, or could not be played; of one that was replaced nothing more is wanted."""
        going = self._going.get(party_id)
        speaking = going.speaking if going is not None else None
        if going is None or speaking is None or event.play_id != f"{PLAY_ID}{speaking.turn}":
            return
        going.speaking = None
        if event.cut:
            log.error("flow_prompt_not_played", step=speaking.step, **going.party.ids())
            self._feed(going, interpreter.Cue.LIMIT)
        else:
            going.party.served |= isinstance(going.flow.steps[speaking.step], PaymentInfo)
            self._feed(going, interpreter.Cue.SPOKEN)

    def _feed(self, going: _Going, cue: interpreter.Cue, key: str = "") -> None:
        conversation = going.conversation
        if conversation is None or not going.party.here():
            return
        before = conversation.turn
        actions = conversation.apply(cue, key)
        if conversation.turn != before:
            self._stop_timers(going)
        for action in actions:
            self._do(going, action)

    def _do(self, going: _Going, action: Action) -> None:
        party = going.party
        match action:
            case Entered(step=step, sensitive=sensitive):
                self._tell(going, FlowStepEntered, step=step, sensitive=sensitive)
            case Identified(step=step, by=by):
                party.identified = True
                self._runtime.journal.append(party.event(IdentityVerified, self._now_ns(), by=by, step=step))
            case Quiet():
                if going.speaking is not None:
                    going.speaking = None
                    self._media.send(Play(leg_id=party.leg_id, prompts=()))
            case Speak():
                self._say(going, action)
            case Listen(timeout_s=timeout_s):
                self._later(going, timeout_s, interpreter.Cue.TIMEOUT)
            case DoWork():
                self._work(going, action)
            case HandOver():
                going.result = "to_agent"
                party.to_agent()
            case Finish(done=done, disposition=disposition):
                going.result = "finished"
                party.served |= done
                if disposition is not None:
                    self._runtime.store(party.dispose(disposition, self._runtime.clock.utc(), None))
                party.over()
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
            play_id = f"{PLAY_ID}{speak.turn}"
            self._media.send(Play(leg_id=going.party.leg_id, prompts=said, play_id=play_id, ends_wait=True))
        elif (
            going.debt or not going.party.identified
        ):  # everything is there, and this is not: a field has no value
            log.error("flow_step_unsaid", step=speak.step, **going.party.ids())
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

    def _stop(self, going: _Going) -> None:
        self._stop_timers(going)
        if going.limit is not None:
            going.limit.cancel()

    # --- what they agree to --------------------------------------------------------------------------------------------

    def _work(self, going: _Going, work: DoWork) -> None:
        if work.work is Work.LOOKUP:
            going.looking_up = work.turn
            self._tell(going, FlowLookupAsked, step=work.step)
            self._later(going, PREPARE_LIMIT_S, interpreter.Cue.FAILED)
            return
        step, party = going.flow.steps[work.step], going.party
        unit = unit_of(
            work.work, step, going.offered, party, going.name, self._runtime.clock.utc(), self._now_ns()
        )
        if unit is None:
            log.error("flow_promise_without_terms", step=work.step, **party.ids())
            self._runtime.loop.call_soon(self._feed, going, interpreter.Cue.FAILED)
            return
        write, events = unit
        if work.work is Work.OPT_OUT:  # that is what they want, however late
            self._later(going, PREPARE_LIMIT_S, interpreter.Cue.FAILED)
        else:
            write, give_up = written_in_time(write, partial(self._is_at, going, work.turn))
            going.timers.append(self._runtime.later(PREPARE_LIMIT_S, partial(self._give_up, going, give_up)))
        self._runtime.journal.submit(write, *events).add_done_callback(partial(self._stored, going, work))

    def _give_up(self, going: _Going, give_up: Callable[[], bool]) -> None:
        """The store has taken too long: tell them it failed, unless it is being written in this very moment: then that decides."""
        if give_up():
            self._feed(going, interpreter.Cue.FAILED)

    def _stored(self, going: _Going, work: DoWork, done: asyncio.Future[None]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed:
            kind = "cancelled" if done.cancelled() else type(done.exception()).__name__
            log.error("flow_work_not_stored", work=work.work, error=kind, **going.party.ids())
        else:
            going.party.served = True
        if self._is_at(going, work.turn):
            self._feed(going, interpreter.Cue.FAILED if failed else interpreter.Cue.DONE)

    @staticmethod
    def _is_at(going: _Going, turn: int) -> bool:
        """Whether nothing has happened to the conversation since; the journal's thread asks too."""
        return going.conversation is not None and going.conversation.turn == turn

    def _tell(self, going: _Going, kind: type[Event], **data: Any) -> None:
        self._runtime.journal.append(going.party.event(kind, self._now_ns(), flow=going.name, **data))

    def _now_ns(self) -> int:
        return self._runtime.clock.mono_ns()
