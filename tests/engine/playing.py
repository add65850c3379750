"""Prompts and keys of the fake far ends: what plays, when it is over, and what the person presses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dialer_core.ipc.messages import LegDigit, Play, PromptFinished
from dialer_core.vocabulary import LegKind

if TYPE_CHECKING:
    from tests.engine.fakes import FakeCarrier
    from tests.engine.held import HeldCall

MESSAGE_S = 4.0
"""Length of the abandonment message."""


def play_prompts(carrier: FakeCarrier, call: HeldCall, play: Play) -> None:
    """Play prompts to a leg, or stop what plays; say when they are over."""
    leg_id = call.place.leg_id
    sound = carrier.opened.get(leg_id)
    if sound is None:
        return
    if play.ends_wait and not sound.fallback_ns:
        sound.wait_until_ns = 0
        if call.fallback_timer is not None:
            call.fallback_timer.cancel()
    if sound.playing:
        carrier.tell_media(
            PromptFinished(at_ns=carrier.now_ns(), leg_id=leg_id, play_id=sound.play_id, cut=True)
        )
    sound.playing = False
    if not play.prompts:
        return
    carrier.played.append((carrier.now_ns(), play.prompts))
    if sound.fallback_ns:
        refused = PromptFinished(at_ns=carrier.now_ns(), leg_id=leg_id, play_id=play.play_id, cut=True)
        carrier.tell_media(refused)
        return
    sound.play_id, sound.playing = play.play_id, True

    def finish() -> None:
        if carrier.opened.get(leg_id) is sound and sound.playing and sound.play_id == play.play_id:
            sound.playing = False
            carrier.tell_media(PromptFinished(at_ns=carrier.now_ns(), leg_id=leg_id, play_id=play.play_id))

    carrier.loop.call_later(MESSAGE_S, finish)


def press(carrier: FakeCarrier, digits: str) -> None:
    """Press digits on the one phone that is in a call."""
    (leg_id,) = (leg_id for leg_id, call in carrier.calls.items() if call.place.kind is LegKind.CUSTOMER)
    for digit in digits:
        carrier.tell_media(LegDigit(at_ns=carrier.now_ns(), leg_id=leg_id, digit=digit))
