"""What is done about an answer without asking the engine: verdicts are told, a live one starts its wait, a wait that ends starts the message.

It owns which legs are heard and which wait. The detector's rows are `listener.py`'s, the race's table `waiting.py`'s, routing the engine's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from msgspec.structs import replace

from amd import Label, MarkKind
from dialer_core.ipc.messages import (
    Await,
    FallbackStarted,
    LegBeep,
    LegQuiet,
    LegVerdict,
    Listen,
    SourcedEvent,
    VerdictRevised,
)
from dialer_core.media.leg import Leg
from dialer_core.media.listener import Heard, Listener
from dialer_core.media.playback import Playback
from dialer_core.media.waiting import WaitEvent, WaitState
from dialer_core.vocabulary import LIVE_VERDICTS, DetectionMode, LegId, Verdict

_log = structlog.get_logger(__name__)

FALLBACK_PLAY_ID: Final = "fallback"


class Answers:
    """The answered (and early) customers' legs that are listened to or wait."""

    def __init__(
        self, playback: Playback, emit: Callable[[SourcedEvent], None], listener: Listener | None = None
    ) -> None:
        self._playback = playback
        self._emit = emit
        self._listener = listener if listener is not None else Listener()
        self._waiting: dict[LegId, Leg] = {}
        self._routed: dict[LegId, Listen] = {}
        """Listened legs whose live verdict starts the wait by itself."""

    @property
    def listening(self) -> int:
        """How many legs are heard."""
        return len(self._listener)

    def hears(self, leg: Leg) -> bool:
        """Return whether the detector listens to a leg."""
        return leg.leg_id in self._listener

    def listen(self, leg: Leg, command: Listen) -> None:
        """Begin to listen, at early media or at the answer. Mode `off` needs no listening, mode `monitor` no wait."""
        if command.mode is DetectionMode.OFF:
            return
        self._listener.listen(leg, command)
        if command.mode is not DetectionMode.MONITOR and not command.early:
            self._routed[leg.leg_id] = command

    def wait(self, leg: Leg, command: Await, now_ns: int) -> None:
        """Start a customer's wait anew, by the engine's word."""
        if self._advance(leg, WaitEvent.AWAIT, now_ns + int(command.agent_wait_s * 1e9)):
            leg.waiting.fallback_prompt = command.fallback_prompt

    def taken(self, leg: Leg) -> None:
        """A flow speaks to them: the wait is over."""
        self._advance(leg, WaitEvent.TAKEN)

    def bridged(self, leg: Leg) -> None:
        """An agent is there: the wait is over."""
        self._advance(leg, WaitEvent.BRIDGE)

    def parted(self, leg: Leg) -> None:
        """The agent is gone."""
        self._advance(leg, WaitEvent.UNBRIDGE)

    def forget(self, leg: Leg) -> None:
        """The leg is closed."""
        self._listener.forget(leg)
        self._routed.pop(leg.leg_id, None)
        self._waiting.pop(leg.leg_id, None)

    def judge(self, now_ns: int) -> None:
        """Hear the last 20 ms of every listened leg, and see whose wait is over."""
        if len(self._listener):
            for heard in self._listener.tick(now_ns):
                self._report(heard, now_ns)
        for leg in [leg for leg in self._waiting.values() if now_ns >= (leg.waiting.deadline_ns or 0)]:
            self._fall_back(leg, now_ns)

    def _report(self, heard: Heard, now_ns: int) -> None:
        leg, mark = heard.leg, heard.mark
        if mark is None:
            self._emit(LegQuiet(at_ns=now_ns, leg_id=leg.leg_id))
            return
        if mark.kind is MarkKind.BEEP:
            self._emit(LegBeep(at_ns=now_ns, leg_id=leg.leg_id, end_ns=heard.beep_end_ns or now_ns))
            return
        if mark.kind is MarkKind.SETTLED or (mark.label is Label.RINGBACK and not heard.early):
            return  # a switchboard that rings on after its answer has decided nothing yet
        label = Verdict(mark.label.word)
        if mark.kind is MarkKind.VERDICT:
            leg.verdict = LegVerdict(
                at_ns=now_ns,
                leg_id=leg.leg_id,
                label=label,
                reason=mark.reason.word,
                confidence=mark.confidence,
                provisional=mark.provisional,
                early=heard.early,
                greeting_end_ns=heard.greeting_end_ns,
            )
            self._emit(leg.verdict)
        else:
            if leg.verdict is not None:  # what a new engine is told
                leg.verdict = replace(
                    leg.verdict,
                    label=label,
                    reason=mark.reason.word,
                    confidence=mark.confidence,
                    provisional=False,
                )
            self._emit(
                VerdictRevised(
                    at_ns=now_ns,
                    leg_id=leg.leg_id,
                    label=label,
                    reason=mark.reason.word,
                    confidence=mark.confidence,
                )
            )
        routed = self._routed.get(leg.leg_id)
        if routed is not None and not heard.early and label in LIVE_VERDICTS:
            from_ns = heard.greeting_end_ns or now_ns
            if self._advance(leg, WaitEvent.LIVE, from_ns + int(routed.agent_wait_s * 1e9)):
                leg.waiting.fallback_prompt = routed.fallback_prompt

    def _fall_back(self, leg: Leg, now_ns: int) -> None:
        if not self._advance(leg, WaitEvent.DEADLINE):
            return
        leg.waiting.fallback_ns = now_ns
        self._playback.cut(leg, now_ns)
        self._emit(FallbackStarted(at_ns=now_ns, leg_id=leg.leg_id))
        prompt = leg.waiting.fallback_prompt
        if not prompt or not self._playback.begin(leg, (prompt,), FALLBACK_PLAY_ID, now_ns):
            # No message can be heard: its end is told at once, so that nobody waits for it in silence.
            self._playback.refused(leg, FALLBACK_PLAY_ID, now_ns, cut=False)

    def _advance(self, leg: Leg, event: WaitEvent, deadline_ns: int | None = None) -> bool:
        try:
            moved = leg.waiting.apply(event, deadline_ns)
        except ValueError as error:
            _log.error("wait_state_bug", leg_id=leg.leg_id, problem=str(error))
            moved = False
        if leg.waiting.state is WaitState.WAITING:
            self._waiting[leg.leg_id] = leg
        else:
            self._waiting.pop(leg.leg_id, None)
        return moved
