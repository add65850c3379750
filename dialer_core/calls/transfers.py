"""Customers who were handed to an extension: music while it is called, the bridge when it answers, and what follows when it does not.

It owns which extension has which customer. The attempt's states are its machine's; the extension's leg is `extensions.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.extensions import Extensions
from dialer_core.calls.live_answers import MUSIC
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.referrals import Referrals, succeeded
from dialer_core.ipc.messages import Bridge, Hear, MediaLegSnapshot, Unbridge
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AttemptId, AttemptState, LegId, LegPurpose
from dialer_core.voice_events import AttemptTransferFailed, AttemptTransferred

log = structlog.get_logger(__name__)

S = AttemptState


class Transfers:
    """Attempts that are TRANSFERRING or TRANSFERRED."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        media: MediaPort,
        extensions: Extensions,
        referrals: Referrals,
    ) -> None:
        self._referrals = referrals
        self.on_taken: Callable[[Attempt], None] = lambda _attempt: None
        """Called when the far end has taken a call over by REFER: our legs of it leave."""
        self._runtime = runtime
        self._machine = machine
        self._media = media
        self._extensions = extensions
        self._legs: dict[AttemptId, tuple[str, LegId]] = {}
        """Extension and leg, from the wish to call it."""
        self.on_left: Callable[[LegId], None] = lambda _leg_id: None
        """Called with a leg whose customer has gone, before it is hung up; whoever keeps it says so through `keeps`."""
        self.keeps: Callable[[LegId], bool] = lambda _leg_id: False

    def call(self, attempt: Attempt, extension: str) -> None:
        """Entered TRANSFERRING: music to the customer, and the extension is called."""
        self._media.send(Hear(hears={}, music={attempt.leg_id: MUSIC}))
        settings = self._extensions.settings[extension]
        if settings.hand_over == "refer":
            self._referrals.refer(
                attempt,
                extension,
                settings.sip,
                on_done=lambda code: self._referred(attempt, extension, code),
            )
            return
        leg_id = self._extensions.call(
            extension,
            LegPurpose.TRANSFER,
            attempt.id,
            on_up=lambda: self.answered(attempt),
            on_gone=lambda code: self.gone(attempt, code),
            customer=attempt,
        )
        self._legs[attempt.id] = (extension, leg_id)

    def connect(self, attempt: Attempt, extension: str, leg_id: LegId) -> None:
        """Entered TRANSFERRED: they hear each other."""
        self._legs[attempt.id] = (extension, leg_id)
        self._media.send(Bridge(leg_id=attempt.leg_id, agent_leg_id=leg_id, connect_tone=""))
        told = event_of(
            AttemptTransferred, attempt, self._runtime.clock.mono_ns(), extension=extension, leg_id=leg_id
        )
        self._runtime.journal.append(told)
        self.give_away(attempt, extension, leg_id)

    def give_away(self, attempt: Attempt, extension: str, leg_id: LegId) -> None:
        """Have the far end bring the two legs of a bridge together by itself, where the extension is for that; refused, they stay with us."""
        settings, dialog = self._extensions.settings[extension], self._extensions.dialog_of(leg_id)
        if settings.hand_over != "refer" or dialog is None:
            return
        self._referrals.refer(
            attempt, extension, settings.sip, replaces=dialog,
            on_done=lambda code: self.on_taken(attempt) if succeeded(code) else None,
        )  # fmt: skip

    def _referred(self, attempt: Attempt, extension: str, code: int) -> None:
        """The far end has said how a blind REFER went: it has the customer, or they go back to the agents."""
        if attempt.state is not S.TRANSFERRING:
            return
        if succeeded(code):
            self.on_taken(attempt)
            return
        now_ns = self._runtime.clock.mono_ns()
        self._runtime.journal.append(
            event_of(AttemptTransferFailed, attempt, now_ns, extension=extension, sip_code=code)
        )
        self._machine.feed(attempt, Cue.TRANSFER_FAILED)

    def extension_of(self, attempt: Attempt) -> LegId | None:
        """Return the leg of the extension that a customer talks to."""
        return (
            self._legs[attempt.id][1] if attempt.state is S.TRANSFERRED and attempt.id in self._legs else None
        )

    def left(self, attempt: Attempt) -> None:
        """The attempt is no longer transferred: its extension is hung up, unless it is a supervisor's phone."""
        _, leg_id = self._legs.pop(attempt.id, ("", None))
        if leg_id is None:
            return
        self._media.send(Unbridge(leg_id=attempt.leg_id))
        self.on_left(leg_id)
        if not self.keeps(leg_id):
            self._extensions.hang_up(leg_id)

    def refused(self, attempt: Attempt, leg_id: LegId) -> None:
        """The media plane would not bridge them: the call is over, and leaving its state hangs the extension up.

        Late news of their former agent's leg changes nothing.
        """
        if leg_id == self.extension_of(attempt):
            self._machine.feed(attempt, Cue.TRANSFER_FAILED)

    def leg_lost(self, leg_id: LegId, code: int) -> None:
        """A leg that has a customer is over."""
        for attempt_id, (_, held) in list(self._legs.items()):
            if held == leg_id and (attempt := self._machine.attempts.get(attempt_id)) is not None:
                self.gone(attempt, code)

    def gone(self, attempt: Attempt, code: int) -> None:
        """The extension did not answer, or hung up: back to the agents, or over."""
        extension, leg_id = self._legs.pop(attempt.id, ("", None))
        if leg_id is None:
            return
        if attempt.state is S.TRANSFERRING:
            now_ns = self._runtime.clock.mono_ns()
            told = event_of(AttemptTransferFailed, attempt, now_ns, extension=extension, sip_code=code)
            self._runtime.journal.append(told)
        self._machine.feed(attempt, Cue.TRANSFER_FAILED)

    def adopt(self, attempt: Attempt, extension: str, leg_id: LegId) -> None:
        """Go on with a former engine's: this leg has this customer, or is being called for them."""
        self._legs[attempt.id] = (extension, leg_id)

    def bring_in_line(self, held: Mapping[LegId, MediaLegSnapshot]) -> None:
        """There is a new media plane, or a new engine: bridges and music once more, where they are missing."""
        for attempt_id, (_, leg_id) in list(self._legs.items()):
            attempt = self._machine.attempts.get(attempt_id)
            if attempt is None:
                continue
            leg = held.get(attempt.leg_id)
            if attempt.state is S.TRANSFERRED:
                if leg is None or leg.bridged_to != leg_id:
                    self._media.send(Bridge(leg_id=attempt.leg_id, agent_leg_id=leg_id, connect_tone=""))
            elif self._extensions.dialog_of(leg_id) is not None:  # it answered while there was no engine
                self.answered(attempt)
            elif leg is None or not leg.music:
                self._media.send(Hear(hears={}, music={attempt.leg_id: MUSIC}))

    def answered(self, attempt: Attempt) -> None:
        """The extension has answered: they hear each other, if it still has a customer."""
        held = self._legs.get(attempt.id)
        if held is not None and self._machine.feed(attempt, Cue.TRANSFER_ANSWERED):
            self.connect(attempt, *held)
