"""The queue of those who have called: who waits for an agent, with music, for how long, and who wants to be called back instead.

It owns the order and the blending with the people that are dialed (`agents/blending.py`). The calls, their legs and bridges are `inbound.py`'s; who
calls, and the call-back, are `callers.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from dialer_core.agents.blending import Blend
from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent
from dialer_core.calls.callers import Callers
from dialer_core.calls.inbound_call import InboundCall
from dialer_core.calls.inbound_flows import InboundFlows
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import CallQueued
from dialer_core.ipc.messages import Hear, Play
from dialer_core.lines import MediaPort
from dialer_core.routing_settings import InboundSettings
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AgentState, CampaignId, LegId

log = structlog.get_logger(__name__)

OFFER_PLAY_ID: Final = "inbound-offer"
IDENTIFY_LIMIT_S: Final = 0.5
"""Nobody waits for longer to be looked up."""
MUSIC_AFTER_S: Final = 0.4
"""Who is served at once hears no scrap of music before."""
PRESS_LIMIT_S: Final = 6.0
"""While nobody is at work: from the end of the offer to the message that ends the call."""


class InboundQueue:
    """Everybody who has called and waits.

    Parameters
    ----------
    give
        Gives a caller to an agent.
    close
        Tells a caller the closing prompt (its id, or nothing) and ends the call.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: Mapping[CampaignId, CampaignRun],
        media: MediaPort,
        roster: Roster,
        callers: Callers,
        flows: InboundFlows,
        *,
        give: Callable[[InboundCall, Agent], None],
        close: Callable[[InboundCall, str], None],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._media = media
        self._roster = roster
        self._callers = callers
        self._flows = flows
        self._give = give
        self._close = close
        self._waiting: dict[LegId, InboundCall] = {}
        self._asking: set[LegId] = set()
        """They have pressed the digit, and their call-back is being written."""
        self.spare: Callable[[Agent], float] = lambda _agent: 1.0
        """Returns how many agents of this one's pool are free beyond those for whom somebody is being dialed."""
        self._blends = {name: Blend(run.settings.inbound.share) for name, run in campaigns.items()}

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_for(self, campaign: CampaignId) -> int:
        """Return how many wait for this campaign's agents."""
        return sum(call.campaign_id == campaign for call in self._waiting.values())

    def owed(self, campaign: CampaignId) -> int:
        """Return how many of the next free agents of a campaign are callers': pacing does not dial for these."""
        return self._blends[campaign].owed(self.waiting_for(campaign))

    # --- coming and going ----------------------------------------------------------------------------------------------

    def join(self, call: InboundCall) -> None:
        """A call is answered, or has lost its agent: it waits from now, or goes on waiting since it first did."""
        now_ns = self._runtime.clock.mono_ns()
        first = not call.queued_ns
        call.queued_ns = call.queued_ns or now_ns
        call.music = call.speaking = False
        self._waiting[call.leg_id] = call
        self.serve()
        if first and call.leg_id in self._waiting:
            told = CallQueued(campaign_id=call.campaign_id, leg_id=call.leg_id, at_mono_ns=now_ns)
            self._runtime.journal.append(told)

    def leave(self, call: InboundCall) -> None:
        """It is over, or has an agent."""
        if self._waiting.pop(call.leg_id, None) is not None and not self.waiting_for(call.campaign_id):
            self._blends[call.campaign_id].emptied()

    def dialed_took(self, agent: Agent) -> None:
        """An agent was given to somebody dialed."""
        for campaign, blend in self._blends.items():
            if campaign in agent.works_for and self.waiting_for(campaign):
                blend.dialed_took()

    # --- serving -------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Give waiting callers to agents, those who wait longest first; keep the others company."""
        for call in sorted(self._waiting.values(), key=lambda call: call.queued_ns):
            waited_s = (self._runtime.clock.mono_ns() - call.queued_ns) / 1e9
            if not call.known and waited_s < IDENTIFY_LIMIT_S:
                continue
            first = self._settings(call).flow_first
            if first and self._flows.is_coming(call, waited_s) and not self._flows.may_take(call):
                continue
            agent = self._agent_for(call, waited_s) if not (first and self._flows.may_take(call)) else None
            if agent is not None:
                self._blends[call.campaign_id].caller_took()
                self.leave(call)
                self._give(call, agent)
            elif self._flows.may_take(call) and self._flow_is_next(call, waited_s):
                self.leave(call)
                self._flows.take(call)
            else:
                self._keep(call, self._settings(call), waited_s)

    def _flow_is_next(self, call: InboundCall, waited_s: float) -> bool:
        its = self._settings(call)
        waits_on = waited_s < its.flow_after_s and self._at_work(call.campaign_id)
        return its.flow_first or not (waits_on or call.speaking)

    def _agent_for(self, call: InboundCall, waited_s: float) -> Agent | None:
        promised = call.caller.agent_id if call.caller is not None else None
        agent = self._roster.offer(
            call.campaign_id,
            waited_s=waited_s,
            sticky=promised,
            sticky_s=self._settings(call).promised_agent_s,
            delivers=False,
        )
        if agent is None:
            return None
        runs = (self._campaigns[name] for name in agent.campaigns)
        dialing = any(run.dialing and not run.empty_said for run in runs)
        now_s = self._runtime.clock.mono_ns() / 1e9
        turn = self._blends[call.campaign_id].may_take(now_s, dialing=dialing)
        return agent if turn and self.spare(agent) >= 1.0 else None

    def _keep(self, call: InboundCall, its: InboundSettings, waited_s: float) -> None:
        if call.speaking:
            return
        if waited_s >= its.max_wait_s and self._at_work(call.campaign_id):
            self._give_up(call)
        elif self._flows.may_take(call) or self._flows.is_coming(call, waited_s):
            if not call.music and waited_s >= MUSIC_AFTER_S:  # the call-back is offered after the flow
                self._play_music(call, its)
        elif self._may_offer(call, its) and (
            waited_s >= MUSIC_AFTER_S or not self._at_work(call.campaign_id)
        ):
            self._offer(call, its)
        elif not self._at_work(call.campaign_id) and not self._may_still_press(call):
            self._give_up(call)
        elif not call.music and waited_s >= MUSIC_AFTER_S:
            self._play_music(call, its)

    def _at_work(self, campaign: CampaignId) -> bool:
        return any(
            campaign in agent.works_for and agent.state is not AgentState.LOGGED_OUT
            for agent in self._roster.all()
        )

    def _give_up(self, call: InboundCall) -> None:
        self.leave(call)
        self._close(call, self._campaigns[call.campaign_id].settings.inbound_prompt)

    def _play_music(self, call: InboundCall, its: InboundSettings) -> None:
        call.music = True
        self._media.send(Hear(hears={}, music={call.leg_id: its.music}))

    # --- the call-back -------------------------------------------------------------------------------------------------

    @staticmethod
    def _may_offer(call: InboundCall, its: InboundSettings) -> bool:
        listed = call.caller is not None and call.caller.lead_id is not None
        return bool(its.callback_offer) and listed and not call.offered_ns

    def _may_still_press(self, call: InboundCall) -> bool:
        since_s = (self._runtime.clock.mono_ns() - call.offered_ns) / 1e9
        return bool(call.offered_ns) and since_s < PRESS_LIMIT_S

    def _offer(self, call: InboundCall, its: InboundSettings) -> None:
        call.speaking, call.music = True, False
        call.offered_ns = self._runtime.clock.mono_ns()
        self._media.send(Hear(hears={call.leg_id: ()}))  # the music ends
        self._media.send(Play(leg_id=call.leg_id, prompts=(its.callback_offer,), play_id=OFFER_PLAY_ID))

    def offer_over(self, leg_id: LegId) -> None:
        """The offer has been told, or was cut off."""
        call = self._waiting.get(leg_id)
        if call is not None and call.speaking:
            call.speaking = False
            call.offered_ns = self._runtime.clock.mono_ns()
            self._keep(call, self._settings(call), (call.offered_ns - call.queued_ns) / 1e9)

    def pressed(self, leg_id: LegId, digit: str) -> None:
        """A caller has pressed a digit."""
        call = self._waiting.get(leg_id)
        if call is None or not call.offered_ns or digit != self._settings(call).callback_digit:
            return
        if leg_id in self._asking:
            return
        self._asking.add(leg_id)

        def then(taken: bool) -> None:  # noqa: FBT001 - what has become of it
            self._asking.discard(leg_id)
            if (
                taken and self._waiting.get(leg_id) is call
            ):  # else they go on waiting: nobody is told what is not so
                self.leave(call)
                self._close(call, self._settings(call).callback_taken)

        self._callers.take_callback(call, then)

    def bring_in_line(self, leg_id: LegId) -> None:
        """There is a new media plane: music once more."""
        call = self._waiting.get(leg_id)
        if call is not None:
            call.music = call.speaking = False

    def _settings(self, call: InboundCall) -> InboundSettings:
        return self._campaigns[call.campaign_id].settings.inbound
