"""Flows for those who call: which callers have one, when it may begin, and what its word does to their call.

It owns these; the flow is driven by `flow_talks.py`, whoever waits is `inbound_queue.py`'s, the call itself `inbound.py`'s. A flow needs to know
whose account it speaks of, so it is for callers whose number is known; the host prepares it when it sees `call.identified`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from dialer_core.calls.flow_talks import FlowTalks
from dialer_core.calls.inbound_call import CallCue, CallState, InboundCall
from dialer_core.campaigns import dispositions
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import Event
from dialer_core.flows.language import Flow
from dialer_core.ipc.messages import Hear, PromptFinished
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AttemptId, CampaignId, Disposition, LegId
from dialer_core.voice_events import FlowEnded

log = structlog.get_logger(__name__)

PREPARING_LIMIT_S: Final = 3.0
"""So long a caller is kept for a flow that the host is still preparing; then they wait for an agent, as if there were none."""


class _CalledIn:
    """Somebody who has called, as a flow knows them (`flow_work.Party`)."""

    def __init__(self, call: InboundCall, flows: InboundFlows) -> None:
        self._call = call
        self._flows = flows
        self.id: str = call.leg_id
        self.leg_id: LegId = call.leg_id
        self.account_id: AccountId | None = call.caller.account_id if call.caller is not None else None
        self.campaign_id: CampaignId = call.campaign_id
        self.attempt_id: AttemptId | None = None

    @property
    def identified(self) -> bool:
        return self._call.identified

    @identified.setter
    def identified(self, yes: bool) -> None:
        self._call.identified = yes

    @property
    def served(self) -> bool:
        return self._call.served

    @served.setter
    def served(self, yes: bool) -> None:
        self._call.served = yes

    def here(self) -> bool:
        return self._call.state is CallState.IN_FLOW

    def ids(self) -> dict[str, str]:
        return {"leg_id": self._call.leg_id, "campaign": self._call.campaign_id}

    def event(self, kind: type[Event], at_ns: int, /, **data: Any) -> Event:
        data["leg_id"] = self.leg_id
        return kind(campaign_id=self.campaign_id, account_id=self.account_id, at_mono_ns=at_ns, **data)

    def dispose(
        self, disposition: Disposition, now_utc: dt.datetime, callback_at: dt.datetime | None
    ) -> Callable[[Tx], None]:
        leg_id, campaign_id, caller = self.leg_id, self.campaign_id, self._call.caller

        def write(tx: Tx) -> None:
            dispositions.apply_to_call(
                tx, leg_id=leg_id, campaign_id=campaign_id, caller=caller, disposition=disposition, agent_id=None,
                now=now_utc, callback_at=callback_at,
            )  # fmt: skip

        return write

    def to_agent(self) -> None:
        self._flows.to_agent(self._call)

    def over(self) -> None:
        self._flows.over(self._call)


class InboundFlows:
    """Every caller of campaigns with a flow for them.

    Parameters
    ----------
    to_agent
        Lets a caller wait for an agent.
    over
        Ends a call whose flow has said its last.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: Mapping[CampaignId, CampaignRun],
        flows: Mapping[str, Flow],
        media: MediaPort,
        talks: FlowTalks,
        *,
        to_agent: Callable[[InboundCall], None],
        over: Callable[[InboundCall], None],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._flows = flows
        self._media = media
        self._talks = talks
        self._to_agent = to_agent
        self.over = over

    def _name(self, call: InboundCall) -> str:
        return self._campaigns[call.campaign_id].settings.inbound.flow

    def expect(self, call: InboundCall) -> None:
        """A caller is known: the host, which sees it in the log, prepares what their flow says."""
        flow = self._flows.get(self._name(call))
        known = call.caller is not None and call.caller.account_id is not None
        if flow is not None and known and not call.flowed:
            self._talks.expect(_CalledIn(call, self), self._name(call), flow)

    def may_take(self, call: InboundCall) -> bool:
        """Whether a caller's flow could begin now."""
        return not call.flowed and self._talks.is_prepared(call.leg_id)

    def is_coming(self, call: InboundCall, waited_s: float) -> bool:
        """Whether it is being prepared, and worth waiting for."""
        return not call.flowed and self._talks.knows(call.leg_id) and waited_s < PREPARING_LIMIT_S

    def take(self, call: InboundCall) -> None:
        """Begin it."""
        if call.apply(CallCue.TO_FLOW):
            call.flowed, call.flow_ns = True, self._runtime.clock.mono_ns()
            self._media.send(Hear(hears={call.leg_id: ()}))  # music ends
            self._talks.start(call.leg_id)

    def to_agent(self, call: InboundCall) -> None:
        """They, or their flow, ask for an agent."""
        self._talks.left(call.leg_id, "to_agent")
        call.queued_ns += (
            self._runtime.clock.mono_ns() - call.flow_ns
        )  # else a long flow would end their wait before it begins
        self._to_agent(call)

    def forget(self, call: InboundCall, cause: str) -> None:
        """The call is over."""
        if call.state is CallState.IN_FLOW:
            self._talks.left(call.leg_id, cause)
        self._talks.forget(call.leg_id)

    def pressed(self, leg_id: LegId, digit: str) -> None:
        """A digit of the caller's phone."""
        self._talks.pressed(leg_id, digit)

    def prompt_finished(self, event: PromptFinished) -> None:
        """A prompt of a flow is over."""
        self._talks.prompt_finished(event.leg_id, event)

    def say_again(self, call: InboundCall) -> None:
        """There is a new media plane."""
        self._talks.say_again(call.leg_id)

    def tell_cut_off(self, call: InboundCall) -> None:
        """A former engine's flow spoke to them: tell its end."""
        told = FlowEnded(
            campaign_id=call.campaign_id, leg_id=call.leg_id, flow=self._name(call), step="", result="cut_off", steps=0, seconds=0.0,
            identified=False, at_mono_ns=self._runtime.clock.mono_ns(),
        )  # fmt: skip
        self._runtime.journal.append(told)
