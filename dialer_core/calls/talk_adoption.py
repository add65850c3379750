"""Going on with the conversations of an engine that died: holds, thirds, transfers, deliveries and supervisors, as media plane and workers have them.

It owns which extension's leg was for whom, and what an agent's conversation was. Who heard whom is taken from the media plane, what a leg was
called for from its worker, with whom a supervisor was from the log: listening to people is accounted for, so where the log does not say it, it ends.
Attempts are `adoption.py`'s, the order of it all is `recovery.py`'s. An extension's leg that nobody here claims is ended as a stray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls.adoption import Found, HeldExtension
from dialer_core.calls.attempt import Attempt
from dialer_core.calls.conversation import Talk, Third, caller_talk, talk_of
from dialer_core.calls.deliveries import Deliveries
from dialer_core.calls.desk import Desk
from dialer_core.calls.extensions import Extensions
from dialer_core.calls.inbound import InboundCalls
from dialer_core.calls.left_behind import LeftBehind
from dialer_core.calls.machine import AttemptMachine
from dialer_core.calls.supervision import Watch
from dialer_core.ipc.messages import LegSnapshot, MediaLegSnapshot
from dialer_core.store.models import Attempt as AttemptRow
from dialer_core.store.models import Leg as LegRow
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    AttemptState,
    LegId,
    LegPurpose,
    SupervisionMode,
    TalkState,
    WorkerId,
)

log = structlog.get_logger(__name__)

S = AttemptState
_ALIVE = frozenset({"calling", "early", "confirmed"})


class TalkAdoption:
    """Takes conversations over, and whoever is in them beside agent and customer."""

    def __init__(
        self,
        roster: Roster,
        machine: AttemptMachine,
        extensions: Extensions,
        deliveries: Deliveries,
        desk: Desk,
        inbound: InboundCalls,
    ) -> None:
        self._roster = roster
        self._machine = machine
        self._extensions = extensions
        self._deliveries = deliveries
        self._desk = desk
        self._inbound = inbound
        self._held: dict[LegId, HeldExtension] = {}
        self._rows: dict[LegId, LegRow] = {}
        self._thirds: dict[AgentId, Third] = {}
        """Extensions that agents had called, until it is known what the media plane holds."""
        desk.go_on = self.take_over

    # --- extensions' legs ---------------------------------------------------------------------------------------------------

    def look(self, legs: Iterable[tuple[WorkerId, LegSnapshot]], rows: dict[LegId, LegRow]) -> None:
        """Take what the workers hold, or saw end, of extensions' legs.

        Parameters
        ----------
        legs
            By worker.
        rows
            The live legs of the journal; those that are taken over are taken out of it.
        """
        known = self._extensions.settings
        usable = ((name, leg) for name, leg in legs if leg.owner in known and leg.purpose is not None)
        self._held = {
            leg.leg_id: HeldExtension(name, leg)
            for name, leg in usable
            if leg.ended is not None or leg.state in _ALIVE
        }
        self._rows = rows

    def extension_of(self, row: AttemptRow, sound: MediaLegSnapshot | None) -> HeldExtension | None:
        """Return the extension that has an attempt's customer, or had them at its end, or is being called for them."""
        state = S(row.state)
        bridged = self._held.get(sound.bridged_to) if sound is not None and sound.bridged_to else None
        if bridged is not None and not (bridged.leg.ended is not None and state is S.TRANSFERRING):
            return bridged
        purpose = LegPurpose.DELIVERY if state is S.BRIDGED else LegPurpose.TRANSFER
        mine = (one for one in self._held.values() if one.leg.about == row.id and one.leg.ended is None)
        return next((one for one in mine if one.leg.purpose is purpose), None)

    def customers(self, taken: Iterable[tuple[Attempt, Found]], left: LeftBehind) -> None:
        """Give the attempts that were with an extension their legs back."""
        for attempt, found in taken:
            held = found.extension
            if held is None or held.leg.ended is not None:
                continue
            name, leg_id = held.leg.owner, held.leg.leg_id
            agent = self._roster.agents.get(attempt.agent_id) if attempt.agent_id else None
            if attempt.state is S.BRIDGED and agent is not None and agent.in_pbx:
                self._adopt(held, lambda: None, self._deliveries.adopt(attempt, agent, name, leg_id))
            elif attempt.state in (S.TRANSFERRING, S.TRANSFERRED):
                self._desk.transfers.adopt(attempt, name, leg_id)
                watch = self._watch(held, left, took_over=True)
                if watch is not None:
                    self._adopt(held, *self._desk.supervision.adopt(watch))
                else:
                    up = partial(self._desk.transfers.answered, attempt)
                    self._adopt(held, up, partial(self._desk.transfers.gone, attempt))

    def company(self, left: LeftBehind) -> None:
        """Take over thirds and supervisors."""
        for held in [one for one in self._held.values() if one.leg.ended is None]:
            leg = held.leg
            watch = self._watch(held, left, took_over=False)
            agent = self._roster.agents.get(AgentId(leg.about))
            if watch is not None:
                self._adopt(held, *self._desk.supervision.adopt(watch))
            elif leg.purpose is LegPurpose.THIRD and agent is not None and agent.state is AgentState.TALKING:
                self._thirds[agent.id] = Third(leg.leg_id, extension=leg.owner)
                gone = partial(self._desk.third_gone, agent.id, leg.leg_id)
                self._adopt(held, partial(self._desk.third_up, agent.id), gone)

    @property
    def supervisors(self) -> frozenset[str]:
        """Those who have been taken over."""
        return frozenset(self._desk.supervision.watches)

    def _watch(self, held: HeldExtension, left: LeftBehind, *, took_over: bool) -> Watch | None:
        leg, told = held.leg, left.supervision.get(held.leg.owner)
        if leg.purpose is not LegPurpose.SUPERVISION or told is None or told.data["mode"] == "none":
            return None
        agent = self._roster.agents.get(AgentId(told.data["agent_id"]))
        if agent is None or leg.owner in self._desk.supervision.watches:
            return None
        mode, actor = SupervisionMode(told.data["mode"]), told.data["actor"]
        return Watch(
            leg.owner, agent, mode, leg.leg_id, actor, up=leg.dialog is not None, took_over=took_over
        )

    def _adopt(self, held: HeldExtension, on_up: Callable[[], None], on_gone: Callable[[int], None]) -> None:
        del self._held[held.leg.leg_id]
        stored = self._rows.pop(held.leg.leg_id, None) is not None
        self._extensions.adopt(held.worker, held.leg, stored=stored, on_up=on_up, on_gone=on_gone)

    # --- conversations ------------------------------------------------------------------------------------------------------

    def is_third(self, agent: Agent, sounds: Mapping[LegId, MediaLegSnapshot]) -> bool:
        """Whether another agent has this one with them, beside their customer."""
        return any(
            self._hears(other, agent, sounds) and self._has_customer(other) for other in self._roster.all()
        )

    def take_over(self, held: Mapping[LegId, MediaLegSnapshot]) -> None:
        """Make conversations what they were: on hold, muted, recorded, with their thirds."""
        talks = [
            talk_of(self._roster[attempt.agent_id], attempt)
            for attempt in self._machine.attempts.values()
            if attempt.state is S.BRIDGED and attempt.agent_id is not None
        ]  # fmt: skip
        talks += [caller_talk(agent, call) for agent, call in self._inbound.talks()]
        for talk in talks:
            if talk.agent.id in self._desk.talks:
                continue
            self._desk.talks[talk.agent.id] = talk
            sound = held.get(talk.customer)
            if sound is not None:
                muted = sound.hears is not None and talk.agent.leg_id not in sound.hears
                talk.muted = muted and not sound.music
                talk.state = TalkState.HELD if sound.music else TalkState.TOGETHER
                self._desk.recordings.take_over(talk, sound.recording_id, paused=sound.recording_paused)
            self._give_third(talk, sound, held)
        for third in self._thirds.values():
            self._extensions.hang_up(third.leg_id)
        self._thirds.clear()
        self._part_left_thirds()

    def _give_third(
        self, talk: Talk, sound: MediaLegSnapshot | None, held: Mapping[LegId, MediaLegSnapshot]
    ) -> None:
        """Where the media plane has died too nobody knows whether the customer was with them: they hear music until the agent brings them in."""
        third = self._thirds.get(talk.agent.id)
        if third is None:
            others = (other for other in self._roster.all() if self._hears(talk.agent, other, held))
            agent = next((other for other in others if other.state is AgentState.TALKING), None)
            third = Third(agent.leg_id or LegId(""), agent=agent) if agent is not None else None
        if third is None:
            return
        up = third.agent is not None or self._extensions.dialog_of(third.leg_id) is not None
        if sound is not None and third.leg_id in (sound.hears or ()):
            talk.state = TalkState.THREE_WAY
        elif sound is None or sound.music:
            talk.state = TalkState.CONSULTING if up else TalkState.CALLING
        else:
            return  # it was being let go
        talk.third = third
        self._thirds.pop(talk.agent.id, None)
        log.info("third_adopted", agent_id=talk.agent.id, leg_id=third.leg_id, state=talk.state)

    def _part_left_thirds(self) -> None:
        """An agent who was another's third, and in whose conversation nobody is any more, is free."""
        claimed = {
            talk.third.agent.id for talk in self._desk.talks.values() if talk.third and talk.third.agent
        }
        for agent in self._roster.all():
            alone = agent.id not in claimed and not self._has_customer(agent)
            if agent.state is AgentState.TALKING and alone:
                self._roster.apply(agent, AgentCue.CALL_ENDED)

    def _has_customer(self, agent: Agent) -> bool:
        attempt = self._machine.attempts.get(agent.attempt_id) if agent.attempt_id else None
        return (attempt is not None and attempt.agent_id == agent.id) or self._inbound.talks_with(agent)

    @staticmethod
    def _hears(agent: Agent, other: Agent, sounds: Mapping[LegId, MediaLegSnapshot]) -> bool:
        sound = sounds.get(agent.leg_id) if agent.leg_id is not None and agent is not other else None
        return sound is not None and other.leg_id is not None and other.leg_id in (sound.hears or ())
