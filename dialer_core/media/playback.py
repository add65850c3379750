"""Prompts to legs: beginning one, cutting it off, and telling the engine of its end. The frames themselves are `prompts.py`'s."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dialer_core.ipc.messages import PromptFinished, SourcedEvent
from dialer_core.media.leg import Leg
from dialer_core.media.prompts import Player, Prompt
from dialer_core.media.speech import Speech, is_speech
from dialer_core.vocabulary import LegId

_log = structlog.get_logger(__name__)


class Playback:
    """What may be played, and who hears of its end.

    Parameters
    ----------
    prompts
        By id.
    emit
        Takes each event.
    speech
        What is rendered for single calls.
    """

    def __init__(
        self,
        prompts: dict[str, Prompt],
        emit: Callable[[SourcedEvent], None],
        speech: Speech | None = None,
    ) -> None:
        self._prompts = prompts
        self._emit = emit
        self._speech = speech if speech is not None else Speech(None)
        self._reading: dict[LegId, tuple[Leg, tuple[str, ...], str]] = {}
        """Legs whose prompts are still being read, with the play's id."""

    def begin(
        self, leg: Leg, prompts: tuple[str, ...], play_id: str | None, now_ns: int, *, repeat: bool = False
    ) -> bool:
        """Play prompts one after another (over and over) instead of what is playing; return False, and log, when one is unknown.

        Nobody is told of the end of a `play_id` None.
        """
        found = [self._prompts.get(prompt) or self._speech.get(prompt) for prompt in prompts]
        unknown = [
            prompt
            for prompt, one in zip(prompts, found, strict=True)
            if one is None and not is_speech(prompt)
        ]
        if unknown:
            _log.error("prompt_unknown", leg_id=leg.leg_id, prompts=unknown, known=sorted(self._prompts))
            return False
        self.cut(leg, now_ns)
        there = tuple(one for one in found if one is not None)
        if len(there) == len(prompts):
            leg.play(Player(there, play_id, repeat=repeat))
            return True
        missing = [prompt for prompt, one in zip(prompts, found, strict=True) if one is None]
        asked = [self._speech.ask(prompt) for prompt in missing]
        if play_id is None or not all(asked):
            return False
        self._reading[leg.leg_id] = leg, prompts, play_id
        return True

    def arrived(self, now_ns: int) -> None:
        """Begin what has been read meanwhile."""
        if not self._reading:
            return
        failed = set(self._speech.arrived())
        for leg_id, (leg, prompts, play_id) in list(self._reading.items()):
            if failed.intersection(prompts):
                del self._reading[leg_id]
                self.refused(leg, play_id, now_ns, cut=True)
            elif all(prompt in self._prompts or self._speech.get(prompt) for prompt in prompts):
                del self._reading[leg_id]
                self.begin(leg, prompts, play_id, now_ns)

    def cut(self, leg: Leg, now_ns: int) -> None:
        """Stop what is playing to a leg, or about to, if anything is."""
        if (waiting := self._reading.pop(leg.leg_id, None)) is not None:
            self._tell(leg, waiting[2], now_ns, cut=True)
        player = leg.play(None)
        if player is not None:
            self._tell(leg, player.play_id, now_ns, cut=True)

    def ended(self, leg: Leg, player: Player, now_ns: int) -> None:
        """Its last frame has been heard."""
        self._tell(leg, player.play_id, now_ns)

    def refused(self, leg: Leg, play_id: str, now_ns: int, *, cut: bool) -> None:
        """It was never begun, and nothing more of it will come."""
        self._tell(leg, play_id, now_ns, cut=cut)

    def _tell(self, leg: Leg, play_id: str | None, now_ns: int, *, cut: bool = False) -> None:
        if play_id is not None:
            self._emit(PromptFinished(at_ns=now_ns, leg_id=leg.leg_id, play_id=play_id, cut=cut))
