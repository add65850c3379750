"""What agents do on the call: hold, mute, digits, a third, transfers, a message left by hand.

It owns the conversations between bridge and end. Attempts' and agents' states are moved by their own machines; who hears whom is worked out
in `conversation.py` and ordered here. Extensions' legs are `extensions.py`'s, supervisors `supervision.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import Softphones
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.call_flow import CallFlow
from dialer_core.calls.conversation import Talk, TalkCell, TalkCue, Third, caller_talk, hearing, talk_of
from dialer_core.calls.extensions import Extensions
from dialer_core.calls.inbound import InboundCalls
from dialer_core.calls.live_answers import MUSIC, LiveAnswers
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.calls.recordings import CallRecordings
from dialer_core.calls.referrals import Referrals
from dialer_core.calls.supervision import Supervision
from dialer_core.calls.transfers import Transfers
from dialer_core.campaigns.run import CampaignRun
from dialer_core.errors import CommandRefusedError
from dialer_core.ipc.messages import Hear, LegNegotiated, MediaLegSnapshot, SendDigits, SendInfoDigits
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import (
    CONSULTED,
    AgentId,
    AgentState,
    CampaignId,
    LegId,
    LegPurpose,
    Outcome,
    RecordSwitch,
    SupervisionMode,
    TalkState,
    WorkerId,
)
from dialer_core.voice_events import AttemptHandedOn, TalkDigitsSent, TalkStateChanged

log = structlog.get_logger(__name__)

DIGITS: Final = frozenset("0123456789*#ABCD")
MOST_DIGITS: Final = 64


class Desk:
    """The conversations of all agents."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: Mapping[CampaignId, CampaignRun],
        workers: WorkerPool,
        media: MediaPort,
        roster: Roster,
        answers: LiveAnswers,
        extensions: Extensions,
        referrals: Referrals,
        *,
        may_record: bool,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._workers = workers
        self._media = media
        self._roster = roster
        self._answers = answers
        self._extensions = extensions
        self.talks: dict[AgentId, Talk] = {}
        self.recordings = CallRecordings(runtime, campaigns, media, possible=may_record)
        self.transfers = Transfers(runtime, machine, media, extensions, referrals)
        self.supervision = Supervision(
            runtime, roster, extensions, on_change=self.apply, on_lost=self.transfers.leg_lost
        )
        self.go_on: Callable[[Mapping[LegId, MediaLegSnapshot]], None] = lambda _held: None
        """Goes on with a former engine's conversations, by what the media plane holds."""
        self._hang_up_caller: Callable[[LegId], None] = lambda _leg_id: None
        self.transfers.on_left = self.supervision.gave_back
        self.transfers.keeps = self.supervision.is_supervisor

    def listen_to(self, flow: CallFlow, inbound: InboundCalls, softphones: Softphones) -> None:
        """Have bridges, partings and digits told."""
        self._answers.on_bridged = lambda agent, attempt: self.begun(talk_of(agent, attempt))
        self._hang_up_caller = inbound.hang_up
        self._answers.on_parted = inbound.on_parted = self.ended
        inbound.on_bridged = lambda agent, call: self.begun(caller_talk(agent, call))
        flow.on_transfer_left = self.transfers.left
        self._answers.on_transfer_refused = self.transfers.refused
        flow.on_digit = self.customer_pressed
        flow.on_key = lambda attempt, key: self.key_pressed(attempt.agent_id, key)
        inbound.on_key = lambda agent, key: self.key_pressed(agent.id, key)
        softphones.on_digit = self.pressed
        softphones.on_hung_up = self.hung_up
        self._answers.when_up = inbound.when_up = softphones.when_up

    # --- the conversation's life -------------------------------------------------------------------------------------------

    def begun(self, talk: Talk) -> None:
        """An agent and a customer have been bridged."""
        before = self.talks.get(talk.agent.id)
        if before is None or before.customer != talk.customer:
            self.talks[talk.agent.id] = talk
            self.recordings.begun(talk)
        if self._is_more_than_a_bridge(talk.agent):
            self.apply(talk.agent)

    def ended(self, agent: Agent) -> None:
        """Agent and customer have been parted: whoever was with them goes too."""
        talk = self.talks.pop(agent.id, None)
        if talk is not None:
            self._let_go(talk)
        if self.supervision.of(agent):
            self.apply(agent)

    def hung_up(self, agent: Agent) -> bool:
        """An agent who is called per conversation has hung up: their conversation ends; returns whether they had one."""
        talk = self.talks.get(agent.id)
        if talk is None:
            return False
        if talk.attempt is not None:
            talk.attempt.release_outcome = talk.attempt.release_outcome or Outcome.CONNECTED
            self._machine.feed(talk.attempt, Cue.RELEASE)
        else:
            self._hang_up_caller(talk.customer)
        return True

    def agent_lost(self, agent: Agent) -> None:
        """An agent's leg is gone: they may have been somebody's third."""
        for talk in self.talks.values():
            if talk.third is not None and talk.third.agent is agent:
                talk.third = None  # their state is changed by whoever saw the loss
                self._feed(talk, TalkCue.THIRD_LOST)
                return

    def reopen(self, held: Mapping[LegId, MediaLegSnapshot]) -> int:
        """Open again the extensions' legs that a new media plane does not hold; return how many."""
        return self._extensions.bring_in_line(held)

    def end_all(self) -> None:
        """End every extension's leg: there has been no media plane for too long."""
        self._extensions.end_all()

    def bring_in_line(self, held: Mapping[LegId, MediaLegSnapshot]) -> None:
        """There is a new media plane, or a new engine, which is this one: tell it again who hears whom."""
        self.transfers.bring_in_line(held)
        self.recordings.bring_in_line()
        self.go_on(held)
        for agent in self._roster.all():
            sound = held.get(agent.leg_id) if agent.leg_id is not None else None
            if self._is_more_than_a_bridge(agent) or (sound is not None and sound.hears is not None):
                self.apply(agent)

    def _is_more_than_a_bridge(self, agent: Agent) -> bool:
        talk = self.talks.get(agent.id)
        told = talk is not None and (talk.state is not TalkState.TOGETHER or talk.muted)
        return told or bool(self.supervision.of(agent))

    def apply(self, agent: Agent) -> None:
        """Order who hears whom around an agent."""
        if agent.leg_id is None:
            if watching := self.supervision.of(agent):  # they may have come from another agent's conversation
                self._media.send(Hear(hears={leg_id: () for leg_id, _ in watching}))
            return
        around = next(
            (talk for talk in self.talks.values() if talk.third is not None and talk.third.agent is agent),
            None,
        )
        if around is not None and around.agent.leg_id is not None:  # they are in somebody else's conversation
            agent = around.agent
        talk = self.talks.get(agent.id)
        third = talk.third.agent if talk is not None and talk.third is not None else None
        thirds = self.supervision.of(third) if third is not None else ()
        told = hearing(agent.leg_id or LegId(""), talk, self.supervision.of(agent), thirds)
        self._media.send(Hear(hears=told.hears, music=dict.fromkeys(told.music, MUSIC)))

    # --- commands ----------------------------------------------------------------------------------------------------------

    def hold(self, agent_id: AgentId) -> None:
        """Play music to the customer; the agent hears nobody."""
        self._command(agent_id, TalkCue.HOLD)

    def resume(self, agent_id: AgentId) -> None:
        """Take the customer back from hold."""
        self._command(agent_id, TalkCue.RESUME)

    def mute(self, agent_id: AgentId, *, muted: bool) -> None:
        """Let nobody hear the agent, or everybody again."""
        talk = self._talk(agent_id)
        talk.muted = muted
        self._changed(talk)

    def send_digits(self, agent_id: AgentId, digits: str) -> None:
        """Send digits to the customer, or to the third the agent speaks to alone."""
        if not digits or len(digits) > MOST_DIGITS or not DIGITS.issuperset(digits):
            msg = f"digits must be 1 to {MOST_DIGITS} of 0-9 * # A-D"
            raise CommandRefusedError(msg, "invalid")
        talk = self._talk(agent_id)
        alone = talk.state in (TalkState.CALLING, TalkState.CONSULTING) and talk.third is not None
        leg_id = talk.third.leg_id if alone and talk.third is not None else talk.customer
        attempt = None if alone else talk.attempt
        method = self._send_digits(
            leg_id, digits, attempt.negotiated if attempt else None, attempt.worker if attempt else None
        )
        told = TalkDigitsSent(
            agent_id=agent_id, leg_id=leg_id, count=len(digits), method=method, campaign_id=talk.campaign_id,
            attempt_id=talk.attempt.id if talk.attempt else None, at_mono_ns=self._runtime.clock.mono_ns(),
        )  # fmt: skip
        self._runtime.journal.append(told)

    def pressed(self, agent: Agent, digit: str) -> None:
        """The agent's softphone has sent a digit by INFO, which no packet carries on: send it to whom they speak."""
        talk = self.talks.get(agent.id)
        if talk is not None and talk.attempt is not None and talk.state is not TalkState.HELD:
            attempt = talk.attempt
            self._send_digits(talk.customer, digit, attempt.negotiated, attempt.worker)

    def customer_pressed(self, attempt: Attempt, digit: str) -> None:
        """The customer's phone has sent a digit by INFO: the agent, or the extension, hears it as a press."""
        talk = self.talks.get(attempt.agent_id) if attempt.agent_id else None
        leg_id = talk.agent.leg_id if talk is not None else self.transfers.extension_of(attempt)
        if leg_id is not None:
            self._media.send(SendDigits(leg_id=leg_id, digits=digit))

    def _send_digits(
        self, leg_id: LegId, digits: str, negotiated: LegNegotiated | None, worker: WorkerId | None
    ) -> str:
        if negotiated is not None and negotiated.dtmf_pt < 0 and worker is not None:
            self._workers.send(worker, SendInfoDigits(leg_id=leg_id, digits=digits))
            return "info"
        self._media.send(SendDigits(leg_id=leg_id, digits=digits))
        return "rfc4733"

    def leave_message(self, agent_id: AgentId) -> None:
        """Leave the campaign's message with the machine that the agent hears, and free the agent."""
        talk, attempt = self._with_attempt(agent_id)
        if not self._campaigns[attempt.campaign_id].message:
            msg = (
                f"campaign {attempt.campaign_id} leaves no message: none is set, or its rule pack allows none"
            )
            raise CommandRefusedError(msg)
        self._let_go(talk)
        if self._machine.feed(attempt, Cue.LEAVE_MESSAGE):
            self._answers.machines.speak_now(attempt)

    def consult(self, agent_id: AgentId, *, extension: str = "", agent: str = "") -> None:
        """Put the customer on hold and call a third."""
        talk = self._talk(agent_id)
        self._cell(talk, TalkCue.CONSULT)
        if extension:
            self._known(extension)
            leg_id = self._extensions.call(
                extension,
                LegPurpose.THIRD,
                agent_id,
                on_up=partial(self.third_up, agent_id),
                on_gone=partial(self._third_gone, talk),
                customer=talk.attempt,
            )
            talk.third = Third(leg_id, extension=extension)
            self._feed(talk, TalkCue.CONSULT)
            return
        other = self._free_agent(agent, but=agent_id)
        third = talk.third = Third(other.leg_id or LegId(""), agent=other)
        attempt_id = talk.attempt.id if talk.attempt else None
        self._roster.apply(other, AgentCue.RESERVE, CONSULTED, attempt=attempt_id, campaign=talk.campaign_id)

        def up(leg_id: LegId) -> None:
            if talk.third is third:
                third.leg_id = leg_id
                self._roster.apply(other, AgentCue.BRIDGED, CONSULTED)
                self._feed(talk, TalkCue.THIRD_ANSWERED)

        self._feed(talk, TalkCue.CONSULT)
        self._answers.when_up(other, up)

    def join(self, agent_id: AgentId) -> None:
        """Bring customer, agent and third together."""
        self._command(agent_id, TalkCue.JOIN)

    def dismiss(self, agent_id: AgentId) -> None:
        """Let the third go, and take the customer back."""
        talk = self._talk(agent_id)
        self._cell(talk, TalkCue.DISMISS)
        self._let_go(talk)
        self._feed(talk, TalkCue.DISMISS)

    def transfer(self, agent_id: AgentId, *, extension: str = "", agent: str = "") -> None:
        """Hand the customer on and leave: to a free agent, to an extension, or (neither named) to the third just consulted."""
        talk, attempt = self._with_attempt(agent_id)
        if not extension and not agent:
            self._complete(talk, attempt)
        elif extension:
            self._known(extension)
            self._let_go(talk)
            self._tell_handed_on(talk, attempt, extension=extension)
            del self.talks[talk.agent.id]
            if self._machine.feed(attempt, Cue.TRANSFER):
                self.transfers.call(attempt, extension)
        else:
            other = self._free_agent(agent, but=agent_id)
            self._let_go(talk)
            self._hand_on(talk, attempt, other, attended=False)

    def record(self, agent_id: AgentId, switch: RecordSwitch, actor: str) -> None:
        """Begin, pause, go on with, end or discard the recording of an agent's conversation."""
        self.recordings.switch(self._talk(agent_id), switch, actor)

    def card_field(self, agent_id: AgentId, actor: str, *, focused: bool) -> None:
        """Pause the recording while the agent's cursor is in a field for a card's number."""
        self.recordings.card_field(self._talk(agent_id), actor, focused=focused)

    def key_pressed(self, agent_id: AgentId | None, key: str) -> None:
        """The customer of an agent has pressed a key, by whatever way it came."""
        talk = self.talks.get(agent_id) if agent_id else None
        if talk is not None:
            self.recordings.pressed(talk, key)

    def take_over(self, supervisor: str, actor: str) -> None:
        """Give an agent's customer to the supervisor who is with them, and account for it."""
        watch = self.supervision.with_a_talk(supervisor)
        talk, attempt = self._with_attempt(watch.agent.id)
        self._let_go(talk)
        self._tell_handed_on(talk, attempt, extension=supervisor, attended=True)
        del self.talks[talk.agent.id]
        watch.took_over = True
        taken = {"supervisor": supervisor, "attempt": attempt.id}
        self._runtime.store(
            lambda tx: tx.audit("agent.taken_over", f"agent {talk.agent.id}", actor=actor, **taken)
        )
        if self._machine.feed(attempt, Cue.TRANSFER_ANSWERED):
            self.transfers.connect(attempt, supervisor, watch.leg_id)

    def release(self, agent: Agent) -> None:
        """Take an agent out of their conversation at once (a supervisor's word): the customer waits for the next one."""
        talk = self.talks.get(agent.id)
        if talk is not None and talk.attempt is not None:
            self._answers.agent_lost(agent)
            self._roster.apply(agent, AgentCue.CALL_ENDED)

    # --- what follows ------------------------------------------------------------------------------------------------------

    def _complete(self, talk: Talk, attempt: Attempt) -> None:
        third = talk.third
        if third is None or talk.state not in (TalkState.CONSULTING, TalkState.THREE_WAY):
            msg = f"agent {talk.agent.id} has consulted nobody: name an agent or an extension to transfer to"
            raise CommandRefusedError(msg)
        talk.third = None
        if third.agent is not None:
            self._hand_on(talk, attempt, third.agent, attended=True)
            return
        self._tell_handed_on(talk, attempt, extension=third.extension, attended=True)
        del self.talks[talk.agent.id]
        if self._machine.feed(attempt, Cue.TRANSFER_ANSWERED):
            self.transfers.connect(attempt, third.extension, third.leg_id)

    def _hand_on(self, talk: Talk, attempt: Attempt, other: Agent, *, attended: bool) -> None:
        self._tell_handed_on(talk, attempt, to=other.id, attended=attended)
        del self.talks[talk.agent.id]
        attempt.bridging_limit_s = self._answers.bridging_limit_s(other)
        if self._machine.feed(attempt, Cue.HANDED_ON):
            self._answers.hand_on(attempt, other)

    def _tell_handed_on(
        self,
        talk: Talk,
        attempt: Attempt,
        *,
        to: AgentId | None = None,
        extension: str = "",
        attended: bool = False,
    ) -> None:
        told = event_of(
            AttemptHandedOn, attempt, self._runtime.clock.mono_ns(), agent_id=talk.agent.id, to_agent=to,
            to_extension=extension, attended=attended,
        )  # fmt: skip
        self._runtime.journal.append(told)

    def third_up(self, agent_id: AgentId) -> None:
        """Whom an agent has called has answered."""
        if (talk := self.talks.get(agent_id)) is not None:
            self._feed(talk, TalkCue.THIRD_ANSWERED)

    def third_gone(self, agent_id: AgentId, leg_id: LegId, code: int) -> None:
        """A third that a former engine's agent had called is over, whatever has become of it since."""
        talk = self.talks.get(agent_id)
        if talk is not None and talk.third is not None and talk.third.leg_id == leg_id:
            self._third_gone(talk, code)
        else:
            self.transfers.leg_lost(leg_id, code)

    def _third_gone(self, talk: Talk, code: int) -> None:
        third = talk.third
        if third is not None:
            talk.third = None
            self._feed(talk, TalkCue.THIRD_LOST)
        elif talk.attempt is not None:  # it has become the customer's own since
            self.transfers.gone(talk.attempt, code)

    def _let_go(self, talk: Talk) -> None:
        """End the third's part in it."""
        third, talk.third = talk.third, None
        if third is None:
            return
        if third.agent is not None:
            self.apply(third.agent)  # before they are free: what they heard of this conversation ends here
            self._roster.apply(third.agent, AgentCue.CALL_ENDED)
        else:
            self._extensions.hang_up(third.leg_id)

    def _command(self, agent_id: AgentId, cue: TalkCue) -> None:
        talk = self._talk(agent_id)
        self._cell(talk, cue)
        self._feed(talk, cue)

    @staticmethod
    def _cell(talk: Talk, cue: TalkCue) -> None:
        if talk.next_state(cue) is TalkCell.REFUSED:
            msg = f"agent {talk.agent.id}'s conversation is {talk.state}: cannot {cue} now"
            raise CommandRefusedError(msg)

    def _feed(self, talk: Talk, cue: TalkCue) -> None:
        cell = talk.next_state(cue)
        if not isinstance(cell, TalkState):
            return
        talk.state = cell
        self._changed(talk)

    def _changed(self, talk: Talk) -> None:
        if self.talks.get(talk.agent.id) is not talk:
            return
        told = TalkStateChanged(
            agent_id=talk.agent.id, leg_id=talk.customer, state=talk.state, muted=talk.muted,
            third=talk.third.name if talk.third else "", campaign_id=talk.campaign_id,
            attempt_id=talk.attempt.id if talk.attempt else None, at_mono_ns=self._runtime.clock.mono_ns(),
        )  # fmt: skip
        self._runtime.journal.append(told)
        self.apply(talk.agent)

    # --- what is asked for exists ------------------------------------------------------------------------------------------

    def _talk(self, agent_id: AgentId) -> Talk:
        agent = self._roster[agent_id]
        talk = self.talks.get(agent_id)
        if talk is None or agent.state is not AgentState.TALKING:
            msg = f"agent {agent_id} is {agent.state}: there is no conversation"
            raise CommandRefusedError(msg)
        return talk

    def _with_attempt(self, agent_id: AgentId) -> tuple[Talk, Attempt]:
        talk = self._talk(agent_id)
        if talk.attempt is None:
            msg = f"agent {agent_id} talks to somebody who called in: such a call cannot be handed on"
            raise CommandRefusedError(msg)
        return talk, talk.attempt

    def _known(self, extension: str) -> None:
        settings = self._extensions.settings
        if extension not in settings:
            msg = f"no extension {extension!r} in dialer.toml; known are: {', '.join(sorted(settings)) or 'none'}"
            raise CommandRefusedError(msg)

    def _free_agent(self, name: str, *, but: AgentId) -> Agent:
        other = self._roster[AgentId(name)]
        if other.in_pbx and other.offered:
            msg = (
                f"agent {other.id} is a PBX's: consult or transfer to the extension {other.settings.queue!r}"
            )
            raise CommandRefusedError(msg)
        if other.id == but or not other.offered:
            msg = f"agent {other.id} is {other.state}: not free to take a customer"
            raise CommandRefusedError(msg)
        return other

    def mode_of(self, agent: Agent) -> SupervisionMode | None:
        """Return how somebody is with this agent, if anybody is: the closest where they are several."""
        modes = [mode for _, mode in self.supervision.of(agent)]
        return max(modes, key=list(SupervisionMode).index, default=None)
