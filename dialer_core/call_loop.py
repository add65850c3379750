"""The call loop: every part of the engine, wired. Nothing but calls runs on it.

It owns wiring, recovery at the start, pacing steps, probes and draining. What comes in goes to its owner by `leg_events.py`; what happens to
calls is in `calls/`, agents in `agents/`, pacing in `campaigns/`; commands in `control.py`. It knows no process or socket, so a test can drive
it on virtual time; `engine.py` gives it real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from dialer_core import recording_place
from dialer_core.agents.presence import Presences
from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import Softphones
from dialer_core.agents.state import Agent
from dialer_core.calls import forbidden
from dialer_core.calls.adoption import Adoption
from dialer_core.calls.attempt import RINGING_STATES, Attempt
from dialer_core.calls.call_flow import CallFlow
from dialer_core.calls.deliveries import Deliveries
from dialer_core.calls.desk import Desk
from dialer_core.calls.ending import Ending
from dialer_core.calls.extensions import Extensions
from dialer_core.calls.flow_calls import FlowCalls
from dialer_core.calls.flow_talks import FlowTalks
from dialer_core.calls.inbound import InboundCalls
from dialer_core.calls.live_answers import LiveAnswers
from dialer_core.calls.machine import AttemptMachine
from dialer_core.calls.originate import Originator, signers_of
from dialer_core.calls.records import CallRecords
from dialer_core.calls.referrals import Referrals
from dialer_core.calls.sound import Sound
from dialer_core.calls.talk_adoption import TalkAdoption
from dialer_core.calls.trunk_watch import TrunkWatch
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns import caller_ids, hopper
from dialer_core.campaigns.run import CampaignCue, CampaignRun
from dialer_core.compliance import abandonment
from dialer_core.compliance.rules import RulePack
from dialer_core.dialing import Dialing
from dialer_core.events import CampaignStarted
from dialer_core.ipc.messages import Dialog
from dialer_core.leg_events import LegEvents
from dialer_core.lines import MediaLink, WorkerPool
from dialer_core.list_events import CampaignCallerIds
from dialer_core.loop_lag import LoopLag
from dialer_core.media_presence import MediaPresence
from dialer_core.nodes import Nodes
from dialer_core.previewing import Previews
from dialer_core.recovery import Recovery
from dialer_core.runtime import Runtime
from dialer_core.settings import Settings
from dialer_core.store import agents as agent_rows
from dialer_core.store import campaigns as campaign_rows
from dialer_core.store import events as event_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    CampaignId,
    CampaignState,
    LegKind,
    Outcome,
    TrunkId,
)

log = structlog.get_logger(__name__)

STEP_INTERVAL_S = 0.1
"""Pacing looks at least so often; every change wakes it at once."""
LEDGER_INTERVAL_S = 60.0
"""How often what is older than the ledger's window is taken out of it."""
DRAIN_LIMIT_S = 300.0
"""Conversations may go on for so long after SIGTERM; a second SIGTERM ends them."""


class CallLoop:
    """The call loop's parts, wired.

    Parameters
    ----------
    runtime
        Clock, journal, loop.
    settings
        The configuration, checked.
    packs
        Rule packs by name.
    passwords
        Digest password per trunk.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings, packs: dict[str, RulePack], passwords: dict[TrunkId, str]
    ) -> None:
        self.runtime = runtime
        self.settings = settings
        self.started_ns = runtime.clock.mono_ns()
        self.lag = LoopLag()
        self.stopped = asyncio.Event()
        self._wake_pending = False
        self._hurried = False
        campaigns = {
            name: CampaignRun(
                id=name,
                settings=campaign,
                pack=packs[campaign.rule_pack],
                caller_ids=settings.caller_ids.get(campaign.caller_ids),
            )
            for name, campaign in settings.campaigns.items()
        }
        sip_host = settings.dialer.sip.public_address or settings.dialer.sip.bind
        self.trunks = Trunks(settings.trunks)
        self.machine = AttemptMachine(runtime, campaigns)
        self.workers = WorkerPool(
            lambda name, event: self.legs.on_worker(name, event),  # noqa: PLW0108 - made below, as the others
            lambda name: self.legs.on_worker_lost(name),  # noqa: PLW0108
            self.wake,
        )
        self.workers.on_state(lambda name, state: self.legs.on_worker_state(name, state))  # noqa: PLW0108
        self.media = MediaLink(
            lambda event: self.legs.on_media(event),  # noqa: PLW0108
            lambda state: self.legs.on_media_attached(state),  # noqa: PLW0108
            lambda: self.presence.lost(),  # noqa: PLW0108
        )
        self.roster = Roster(
            runtime, settings.agents, settings.campaigns, on_free=self.wake, on_logged_out=self._on_logged_out
        )
        self.softphones = Softphones(
            runtime,
            self.roster,
            self.workers,
            self.media,
            sip_host=sip_host,
            on_agent_lost=self._on_agent_lost,
        )
        self.watch = TrunkWatch(runtime, self.trunks, self.workers, on_change=self.wake)
        originator = Originator(
            runtime,
            campaigns,
            self.trunks,
            self.workers,
            passwords,
            sip_host,
            self.media,
            self.watch,
            signers_of(settings),
        )
        ending = Ending(runtime, campaigns, self.trunks, on_retry=self._on_retry)
        self.dialing = Dialing(
            runtime, campaigns, self.roster, self.trunks, self.workers,
            live=self.machine.attempts.values, begin=lambda attempt: self.flow.begin(attempt),  # noqa: PLW0108 - made below
            release=lambda attempt, outcome: self.flow.release(attempt, outcome),  # noqa: PLW0108 - made below
            brake=self.lag.brake, held=self._held, pacer_of=lambda pool: self.nodes.pacer_of(pool),  # noqa: PLW0108 - made below
        )  # fmt: skip
        self.nodes = Nodes(
            runtime, campaigns, self.trunks, pools=self.dialing.pool_keys, manned=self.dialing.manned
        )
        self.previews = Previews(runtime, self.roster, self.machine, self.trunks, self.dialing)
        records = CallRecords(runtime)
        flow_talks = FlowTalks(runtime, self.media)
        self.flow_calls = FlowCalls(
            runtime, self.machine, campaigns, settings.flows, self.media, records, flow_talks
        )
        self.extensions = Extensions(
            runtime, settings.dialer.extensions, self.workers, self.media, sip_host=sip_host
        )
        self.presences = Presences(runtime, self.roster)
        self.deliveries = Deliveries(
            runtime, self.machine, self.roster, self.presences, self.media, self.extensions
        )
        self.answers = LiveAnswers(
            runtime, self.machine, campaigns, self.workers, self.media, self.roster, records, self.dialing,
            self.flow_calls, self.deliveries,
        )  # fmt: skip
        self.flow = CallFlow(
            runtime, self.machine, campaigns, self.trunks, self.workers, self.media, originator, ending,
            self.answers, records, self.dialing, self.flow_calls,
        )  # fmt: skip
        self.inbound = InboundCalls(
            runtime, campaigns, settings.trunks, self.workers, self.media, self.roster, settings.flows, flow_talks,
            free=lambda: self.media_ready and not self.dialing.draining,
        )  # fmt: skip
        referrals = Referrals(runtime, self.machine, self.workers)
        self.desk = Desk(
            runtime, self.machine, campaigns, self.workers, self.media, self.roster, self.answers, self.extensions,
            referrals, may_record=recording_place.wanted(settings),
        )  # fmt: skip
        self.desk.listen_to(self.flow, self.inbound, self.softphones)
        self.flow.on_referred, self.flow.on_over = referrals.heard, referrals.over
        self.deliveries.on_bridged = self.desk.transfers.give_away
        self.deliveries.on_over = self.desk.transfers.on_taken = self._over
        self.flow.on_idle = self.wake
        self.roster.expected = self._expected
        self.answers.on_bad_agent_leg = self._on_bad_agent_leg
        self.inbound.on_bad_agent_leg = self.softphones.restart
        self.answers.on_reserved = self.inbound.queue.dialed_took
        self.inbound.queue.spare = self.dialing.spare
        for pool in self.dialing.pools:
            pool.owed = self.inbound.queue.owed
        self.sound = Sound(
            runtime, self.machine, campaigns, self.media, self.roster, self.answers, self.flow_calls
        )
        adoption = Adoption(
            runtime, self.machine, campaigns, self.trunks, self.workers, self.roster, self.softphones, self.flow, self.answers, records
        )  # fmt: skip
        talks = TalkAdoption(
            self.roster, self.machine, self.extensions, self.deliveries, self.desk, self.inbound
        )
        self.recovery = Recovery(
            runtime, self.roster, self.softphones, self.machine, self.trunks, self.workers, self.media, self.dialing, adoption,
            self.inbound, talks, on_done=self._recovered,
        )  # fmt: skip
        self.presence = MediaPresence(
            runtime, self.machine, self.media, self.roster, self.dialing, self.flow, self.softphones, self.inbound, self.sound, self.desk,
            knows=lambda leg_id: self.legs.knows(leg_id), wake=self.wake,  # noqa: PLW0108 - made below
        )  # fmt: skip
        self.legs = LegEvents(
            runtime, self.workers, self.watch, self.softphones, self.extensions, self.inbound, self.flow, self.desk.recordings,
            self.recovery, self.presence, wake=self.wake,
        )  # fmt: skip

    @property
    def media_ready(self) -> bool:
        """The media plane is attached."""
        return self.media.attached

    def workers_wanted(self) -> int:
        """Return how many more customers' workers the free lines would need."""
        return self.workers.wanted(sum(trunk.lines_free for trunk in self.trunks.all()))

    def _expected(self) -> frozenset[AgentId]:
        """Agents whose own call-back is being dialed."""
        return frozenset(
            attempt.for_agent
            for attempt in self.machine.attempts.values()
            if attempt.personal and attempt.for_agent is not None and not attempt.live
        )

    def _held(self) -> str:
        if lapsed := self.nodes.held():
            return lapsed
        return "the media plane does not read its commands" if self.media.over_mark else self.flow.held()

    # --- life ----------------------------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Load campaigns and agents, and what a former engine left. It is taken over when workers and media plane have said what they hold."""
        now_utc = self.runtime.clock.utc()
        campaigns = self.dialing.campaigns

        def write(
            tx: Tx,
        ) -> tuple[dict[CampaignId, CampaignState], dict[CampaignId, tuple[int, int]], set[CampaignId]]:
            campaign_rows.sync(
                tx, {name: run.settings.model_dump(mode="json") for name, run in campaigns.items()}
            )
            for name, run in campaigns.items():
                if run.caller_ids is not None:
                    shown = caller_ids.digests(run.caller_ids)
                    tx.emit(CampaignCallerIds(campaign_id=name, pool=run.settings.caller_ids, digests=shown))
            agent_rows.sync(tx, self.settings.agents)
            self.recovery.read(tx)
            ledgers = {
                name: abandonment.tightest(tx, name, run.pack, now_utc) for name, run in campaigns.items()
            }
            started = {name for name in campaigns if event_rows.happened(tx, CampaignStarted.name, name)}
            return campaign_rows.states(tx), ledgers, started

        states, ledgers, started = await self.runtime.journal.submit(write)
        for name, run in campaigns.items():
            run.ledger_live, run.ledger_abandoned = ledgers[name]
            run.state = states[name]
            if run.state is CampaignState.PAUSED or (run.state is CampaignState.STOPPED and name in started):
                run.reason = (
                    f"{run.state} before the engine started"  # a supervisor's word outlives a restart
                )
            elif run.settings.start and run.apply(CampaignCue.START):
                self.dialing.store_state(run, CampaignStarted(campaign_id=name))
        await self.nodes.begin()
        self.recovery.begin()

    def _recovered(self) -> None:
        """Everything a former engine left is taken over: legs nobody knows are ended, the media plane is brought in line."""
        for name, state in self.recovery.states.items():
            self.legs.end_strays(name, state)
        self.presences.begin()
        if self.media.state is not None:
            self.legs.on_media_attached(self.media.state)
        else:
            self.presence.lost(since_ms=self.recovery.down_ms)
        self.wake()

    def log_in_unasked(self) -> None:
        """Log in whoever is `auto_ready`: at the start, and after a restart without anybody asking."""
        for agent in self.roster.all():
            its = agent.settings  # whose source tells when they are there is logged in by it
            if its.auto_ready and not its.state_from and agent.state is AgentState.LOGGED_OUT:
                self.login(agent.id)

    async def run(self) -> None:
        """Run until `stopped`: pacing steps, trunk probes, loop lag. One of these that fails ends the engine: the supervisor starts another."""
        tasks = [
            asyncio.create_task(work)
            for work in (
                self.stopped.wait(),
                self._steps(),
                self.watch.run(),
                self._ledgers(),
                forbidden.watch(self.runtime, self.machine, self.flow),
                self.lag.run(),
                self.nodes.run(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _steps(self) -> None:
        while True:
            await asyncio.sleep(STEP_INTERVAL_S)
            self._step()

    async def _ledgers(self) -> None:
        while True:
            await asyncio.sleep(LEDGER_INTERVAL_S)
            if not self.runtime.journal.behind:
                self.dialing.refresh_ledgers()

    def wake(self) -> None:
        """Look again in this turn of the loop, once, however many changes ask for it."""
        if not self._wake_pending:
            self._wake_pending = True
            self.runtime.loop.call_soon(self._woken)

    def _woken(self) -> None:
        self._wake_pending = False
        self._step()

    def _step(self) -> None:
        if self.recovery.pending:
            return
        for part in (
            self.answers.serve_waiting,
            self.inbound.queue.serve,
            self.inbound.prepare,
            self.dialing.step,
            self.previews.step,
            self.softphones.call_waiting,
            self.softphones.leave_draining,
            self._finish_drain,
        ):
            try:
                part()
            except Exception as error:  # no part that fails may end calls, or keep the others waiting
                log.exception("step_failed", part=part.__name__, error=type(error).__name__)

    # --- drain ---------------------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Place nothing more, cancel what is not answered, let conversations end, then log everybody out and stop. Twice: end them now."""
        if self.dialing.draining:
            self._hurried = True
            for attempt in list(self.machine.attempts.values()):
                self.flow.release(attempt, Outcome.CANCELLED)
            self.inbound.end_all()
            self.wake()
            return
        log.info("draining", live=len(self.machine.attempts))
        self.dialing.drain()
        for attempt in list(self.machine.attempts.values()):
            if attempt.state in RINGING_STATES:
                self.flow.release(attempt, Outcome.CANCELLED)
        self.runtime.later(DRAIN_LIMIT_S, self.drain)
        self.wake()

    def _finish_drain(self) -> None:
        if (
            not self.dialing.draining
            or self.machine.attempts
            or self.inbound
            or (not self._hurried and any(run.claiming for run in self.dialing.campaigns.values()))
        ):
            return
        self.extensions.end_all()
        for agent in self.roster.all():
            if agent.state not in (AgentState.LOGGED_OUT, AgentState.RESERVED, AgentState.TALKING):
                self.roster.logout(agent.id)
        self.nodes.give_up()
        self.stopped.set()

    # --- what comes in -------------------------------------------------------------------------------------------------------------

    def host_is(self, *, there: bool) -> None:
        """Say whether a host is there that prepares flows; campaigns with one need it."""
        self.flow_calls.host_is(there=there)
        self.wake()

    def login(self, name: AgentId) -> None:
        """Log an agent in and call their softphone."""
        agent = self.roster.login(name)
        agent.redial_attempt = 0
        if agent.in_pbx:
            self.roster.arrived(agent)
        elif agent.per_conversation or (self.media_ready and self.workers.choose(LegKind.AGENT) is not None):
            self.softphones.call(agent)

    def _on_agent_lost(self, agent: Agent) -> None:
        self.desk.agent_lost(agent)
        self.answers.agent_lost(agent)
        self.inbound.agent_lost(agent)

    def _on_bad_agent_leg(self, agent: Agent) -> None:
        (self.deliveries.bad_leg if agent.in_pbx else self.softphones.restart)(agent)

    def _over(self, attempt: Attempt) -> None:
        """A PBX has ended a conversation, or has the call now."""
        self.flow.release(attempt, Outcome.CONNECTED)

    def _on_logged_out(self, agent: Agent) -> None:
        self.softphones.hang_up(agent)

    def _on_retry(self, claimed: hopper.ClaimedAttempt, failed: Attempt) -> None:
        again = replace(claimed, for_agent=failed.for_agent, previewed=failed.previewed)
        self.dialing.adopt(again, failed.pool)

    def on_orphan(self, end: Callable[[Dialog], None]) -> None:
        """Set what ends the dialogs of a dead worker."""
        self.flow.on_orphan = self.softphones.on_orphan = self.inbound.on_orphan = end
        self.recovery.on_orphan = self.extensions.on_orphan = end
