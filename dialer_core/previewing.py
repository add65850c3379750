"""Calls made for one agent, who waits for them: the lead they are shown in mode preview, and the next number of the person they had on the line.

It owns who is shown what and for how long, and whom such a call is for. What happens to the lead is `campaigns/preview.py`'s and
`campaigns/next_number.py`'s, the call `calls/`'s. The pacer places none of these: one call, one agent.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent
from dialer_core.calls.attempt import RINGING_STATES
from dialer_core.calls.machine import AttemptMachine
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns import hopper, next_number, preview
from dialer_core.campaigns.emptiness import EmptyReport
from dialer_core.campaigns.preview import ShownLead
from dialer_core.campaigns.run import CampaignRun
from dialer_core.dialing import Dialing
from dialer_core.errors import CommandRefusedError
from dialer_core.runtime import Runtime
from dialer_core.store import claims
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    AttemptId,
    LeadId,
    Outcome,
    PacingMode,
    PhoneId,
    TrunkId,
)

log = structlog.get_logger(__name__)

ASK_AGAIN_S = 2.0
"""After an empty hopper, and after a lead that could not be dialed."""
TIME_IS_UP = "time_is_up"
"""Why a lead was skipped that its agent did nothing about."""


@dataclass(slots=True)
class Preview:
    """What one agent is shown."""

    campaign: CampaignRun
    lead: ShownLead | None = None
    """None: it is being chosen."""
    until_ns: int = 0
    dialing: bool = False
    """They have said yes."""
    attempt_id: AttemptId | None = None
    after: AttemptId | None = None
    """The call after which the same person's next number is dialed."""
    answer: asyncio.Future[dict[str, str]] | None = None
    """Whoever asked for that waits for this."""
    said: Callable[[Tx], object] | None = None
    """Writes what the agent says of the call before."""
    tried: set[PhoneId] = field(default_factory=set)


class Previews:
    """The previews of this node's agents."""

    def __init__(
        self,
        runtime: Runtime,
        roster: Roster,
        machine: AttemptMachine,
        trunks: Trunks,
        dialing: Dialing,
    ) -> None:
        self._runtime = runtime
        self._roster = roster
        self._machine = machine
        self._trunks = trunks
        self._dialing = dialing
        self.shown: dict[AgentId, Preview] = {}
        self._tried: dict[AgentId, tuple[LeadId, set[PhoneId]]] = {}
        """The numbers that agents have gone through of one lead, one after the other."""

    # --- commands ---------------------------------------------------------------------------------------------------------------

    def view(self, name: AgentId) -> dict[str, Any]:
        """Return what an agent is shown now; empty while nothing is."""
        its = self.shown.get(name)
        if its is None or its.lead is None:
            return {}
        left_s = (its.until_ns - self._runtime.clock.mono_ns()) / 1e9
        return {
            "lead": its.lead.lead_id,
            "account": its.lead.account_id,
            "campaign": its.campaign.id,
            "seconds_left": None if its.dialing else round(max(0.0, left_s), 1),
            "attempt": its.attempt_id,
            "then": its.campaign.settings.preview.then,
        }

    def accept(self, name: AgentId) -> asyncio.Future[dict[str, str]]:
        """Dial what an agent is shown; the reply says by which attempt, or why it may not be dialed after all."""
        its, lead = self._of(name)
        campaign = its.campaign
        trunk = self._line_of(campaign)
        its.dialing = True
        clock, runtime = self._runtime.clock, self._runtime

        def write(tx: Tx) -> hopper.ClaimedAttempt | str:
            if not preview.still_shown(tx, lead.lead_id):
                return "something has happened meanwhile: it is not to be called now"
            return hopper.claim_named(
                tx, lead_id=lead.lead_id, trunk=trunk, settings=campaign.settings, pack=campaign.pack, node=runtime.node,
                boot_id=runtime.boot_id, now=clock.utc(), caller_ids=campaign.caller_ids, agent_id=name,
            )  # fmt: skip

        answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._runtime.journal.submit(write).add_done_callback(
            lambda done: self._claimed(name, its, trunk, answer, done)
        )
        return answer

    def _line_of(self, campaign: CampaignRun) -> TrunkId:
        """Take a line for one call; raises `CommandRefusedError` where nothing can be placed."""
        if self._dialing.draining or not self._dialing.media_ready or self._dialing.held_reason():
            raise CommandRefusedError("nothing can be placed now; see the status")
        trunks = self._trunks.reserve(campaign.settings.trunks, 1, self._runtime.clock.mono_ns())
        if not trunks:
            raise CommandRefusedError("no line is free now; try again in a moment")
        return trunks[0]

    def _claimed(
        self,
        name: AgentId,
        its: Preview,
        trunk: TrunkId,
        answer: asyncio.Future[dict[str, str]],
        done: asyncio.Future[hopper.ClaimedAttempt | str],
    ) -> None:
        """The store has answered a claim made for one agent: dial, or say why not."""
        error = None if done.cancelled() else done.exception()
        if isinstance(error, CommandRefusedError):
            found: hopper.ClaimedAttempt | str = str(error.args[0])
        else:
            found = "the database is away" if done.cancelled() or error is not None else done.result()
        if isinstance(found, str):
            self._trunks[trunk].give_back(unsent=True)
            self._refuse(name, answer, found)
            return
        agent = self._roster[name]
        its.attempt_id, its.lead = found.attempt_id, ShownLead(found.lead_id, found.account_id)
        its.tried.add(found.phone_id)
        if its.after is not None and agent.state is AgentState.WRAP_UP:
            self._roster.wrap_up_over(agent)  # nobody else is theirs meanwhile
        self._dialing.adopt(found, self._pool_of(agent))
        if not answer.done():
            answer.set_result({"attempt": found.attempt_id})

    def _refuse(self, name: AgentId, answer: asyncio.Future[dict[str, str]], why: str) -> None:
        self._clear(name)
        if not answer.done():
            answer.set_exception(CommandRefusedError(why))

    def next_number(
        self, name: AgentId, said: Callable[[Tx], object] | None = None
    ) -> asyncio.Future[dict[str, str]]:
        """Dial the next number of the person an agent talks to, or had before this wrap-up, to that agent alone; a call that is up ends first.

        Parameters
        ----------
        name
            The agent.
        said
            Writes their disposition of that call, in the transaction of the claim.
        """
        agent = self._roster[name]
        attempt_id = agent.attempt_id
        if agent.state not in (AgentState.TALKING, AgentState.WRAP_UP) or attempt_id is None:
            raise CommandRefusedError(
                f"agent {name} is {agent.state}: there is no call to a person to go on from"
            )
        if agent.after_call is not None:
            raise CommandRefusedError(
                f"agent {name} has asked for a {agent.after_call}; make them ready first"
            )
        campaign = self._dialing.campaigns.get(agent.campaign_id) if agent.campaign_id else None
        if campaign is None or not self._dialing.is_open(campaign):
            raise CommandRefusedError("the campaign dials nobody now")
        if name in self.shown and self.shown[name].attempt_id != attempt_id:
            raise CommandRefusedError(f"agent {name} waits for another call already")
        attempt = self._machine.attempts.get(attempt_id)
        if attempt is not None and (attempt.agent_id != name or attempt.live is False):
            raise CommandRefusedError(f"agent {name} does not have that person any more")
        answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        its = Preview(campaign, dialing=True, after=attempt_id, answer=answer, said=said)
        self.shown[name], agent.previewing = its, True
        if attempt is not None:
            self._dialing.release(attempt, Outcome.CONNECTED)
        self._look(agent, its, self._runtime.clock.mono_ns())
        return answer

    def _dial_next(self, agent: Agent, its: Preview) -> None:
        """The call before is over, and its end is on its way to the store before this claim."""
        name, campaign, answer, said = agent.id, its.campaign, its.answer, its.said
        assert answer is not None and its.after is not None  # noqa: S101, PT018 - `next_number` has set both
        its.answer = None
        try:
            trunk = self._line_of(campaign)
        except CommandRefusedError as error:
            self._refuse(name, answer, str(error.args[0]))
            return
        clock, runtime, after = self._runtime.clock, self._runtime, its.after
        former = self._tried.get(name)

        def write(tx: Tx) -> hopper.ClaimedAttempt | str:
            if said is not None:
                said(tx)
            ended = claims.tried(tx, after)
            if ended is not None:
                same = former is not None and former[0] == ended.lead_id
                its.tried = (former[1] if same and former is not None else set()) | {ended.phone_id}
            return next_number.claim_next(
                tx, after=after, tried=its.tried, trunk=trunk, settings=campaign.settings, pack=campaign.pack, node=runtime.node,
                boot_id=runtime.boot_id, now=clock.utc(), agent_id=name, caller_ids=campaign.caller_ids,
            )  # fmt: skip

        def claimed(done: asyncio.Future[hopper.ClaimedAttempt | str]) -> None:
            self._claimed(name, its, trunk, answer, done)
            if its.lead is not None:
                self._tried[name] = its.lead.lead_id, its.tried

        self._runtime.journal.submit(write).add_done_callback(claimed)

    def skip(self, name: AgentId, reason: str) -> None:
        """Give back what an agent is shown, and show them the next one."""
        its, lead = self._of(name)
        rest = dt.timedelta(minutes=its.campaign.settings.preview.skip_minutes)
        now, campaign_id = self._runtime.clock.utc(), its.campaign.id
        self._runtime.store(
            lambda tx: preview.skip(
                tx, campaign_id=campaign_id, shown=lead, agent_id=name, reason=reason[:48], now=now, rest=rest
            )
        )
        self._clear(name)

    def _of(self, name: AgentId) -> tuple[Preview, ShownLead]:
        its = self.shown.get(name)
        if its is None or its.lead is None:
            raise CommandRefusedError(f"agent {name} is shown nobody now")
        if its.dialing:
            raise CommandRefusedError(f"agent {name} has said yes already: it is being dialed")
        return its, its.lead

    # --- one step ---------------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at every agent once: what they are shown may be over, and who is free is shown somebody. Cheap."""
        now_ns = self._runtime.clock.mono_ns()
        for name, its in list(self.shown.items()):
            self._look(self._roster[name], its, now_ns)
        if self._dialing.draining or not self._dialing.media_ready or self._dialing.held_reason():
            return
        for campaign in self._dialing.campaigns.values():
            if campaign.settings.pacing is not PacingMode.PREVIEW or not self._dialing.is_open(campaign):
                continue
            for agent in self._roster.all():
                if agent.offered and campaign.id in agent.works_for and now_ns >= campaign.empty_until_ns:
                    self._ask(agent, campaign)

    def _look(self, agent: Agent, its: Preview, now_ns: int) -> None:
        if its.answer is not None and its.after is not None:
            if its.after not in self._machine.attempts:
                self._dial_next(agent, its)
            return
        if its.lead is None or (its.dialing and its.attempt_id is None):
            return  # the store is being asked
        if its.attempt_id is not None:
            self._look_at_call(agent, its)
        elif not agent.reachable or not self._dialing.is_open(its.campaign) or self._dialing.draining:
            self._give_back(its.lead.lead_id)
            self._clear(agent.id)
        elif now_ns >= its.until_ns:
            try:
                if its.campaign.settings.preview.then == "dial":
                    self.accept(agent.id).add_done_callback(lambda done: done.cancelled() or done.exception())
                else:
                    self.skip(agent.id, TIME_IS_UP)
            except CommandRefusedError:  # no line: looked at again in a moment
                its.until_ns = now_ns + int(ASK_AGAIN_S * 1e9)

    def _look_at_call(self, agent: Agent, its: Preview) -> None:
        attempt = self._machine.attempts.get(its.attempt_id) if its.attempt_id else None
        if attempt is None:  # over; unless the next trunk is being tried
            attempt = next(
                (
                    one
                    for one in self._machine.attempts.values()
                    if one.previewed and one.for_agent == agent.id
                ),
                None,
            )
            if attempt is None:
                self._clear(agent.id)
                return
            its.attempt_id = attempt.id
        if attempt.state in RINGING_STATES and agent.state in (AgentState.PAUSED, AgentState.LOGGED_OUT):
            self._dialing.release(attempt, Outcome.CANCELLED)  # whom it was for has gone

    def _ask(self, agent: Agent, campaign: CampaignRun) -> None:
        its = self.shown[agent.id] = Preview(campaign)
        agent.previewing = True
        clock, name = self._runtime.clock, agent.id

        def chosen(done: asyncio.Future[ShownLead | EmptyReport | None]) -> None:
            now_ns = clock.mono_ns()
            found = None if done.cancelled() or done.exception() is not None else done.result()
            if isinstance(found, ShownLead):
                its.lead = found
                its.until_ns = now_ns + int(campaign.settings.preview.limit_s * 1e9)
                campaign.empty_said = campaign.reason = ""
                log.info("lead_shown", agent_id=name, lead_id=found.lead_id, campaign=campaign.id)
                return
            self._clear(name)
            campaign.empty_until_ns = now_ns + int(ASK_AGAIN_S * 1e9)
            if found is not None:
                self._dialing.empty(campaign, found)

        self._runtime.journal.submit(
            lambda tx: preview.show(
                tx, campaign_id=campaign.id, settings=campaign.settings, pack=campaign.pack, agent_id=name, now=clock.utc(),
                mix=campaign.mix,
            )
        ).add_done_callback(chosen)  # fmt: skip

    def _give_back(self, lead_id: LeadId) -> None:
        self._runtime.store(lambda tx: preview.give_back(tx, lead_id))

    def _clear(self, name: AgentId) -> None:
        self.shown.pop(name, None)
        self._roster[name].previewing = False

    def _pool_of(self, agent: Agent) -> str:
        return "+".join(sorted(agent.campaigns))
