"""Prompts to legs: beginning one, cutting it off, and telling the engine of its end. The frames themselves are `prompts.py`'s."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dialer_core.ipc.messages import PromptFinished, SourcedEvent
from dialer_core.media.leg import Leg
from dialer_core.media.prompts import Player, Prompt

_log = structlog.get_logger(__name__)


class Playback:
    """What may be played, and who hears of its end.

    Parameters
    ----------
    prompts
        By id.
    emit
        Takes each event.
    """

    def __init__(self, prompts: dict[str, Prompt], emit: Callable[[SourcedEvent], None]) -> None:
        self._prompts = prompts
        self._emit = emit

    def begin(
        self, leg: Leg, prompts: tuple[str, ...], play_id: str | None, now_ns: int, *, repeat: bool = False
    ) -> bool:
        """Play prompts one after another (over and over) instead of what is playing; return False, and log, when one is unknown.

        Nobody is told of the end of a `play_id` None.
        """
        unknown = [prompt for prompt in prompts if prompt not in self._prompts]
        if unknown:
            _log.error("prompt_unknown", leg_id=leg.leg_id, prompts=unknown, known=sorted(self._prompts))
            return False
        self.cut(leg, now_ns)
        leg.play(Player(tuple(self._prompts[prompt] for prompt in prompts), play_id, repeat=repeat))
        return True

    def cut(self, leg: Leg, now_ns: int) -> None:
        """Stop what is playing to a leg, if anything is."""
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
