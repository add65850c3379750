"""When to place how many calls: each pool's decision, its share to each campaign, trunk lines taken, leads claimed.

It owns the campaigns' running state. What a pool's pacer sees, learned and decided is in `pools.py`; which lead comes next, and whether it
may be contacted, is the hopper's and the gate's, in the claim's transaction.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.state import Agent
from dialer_core.calls.attempt import RINGING_STATES, Attempt
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns import hopper, schedule
from dialer_core.campaigns.emptiness import EmptyReport, report
from dialer_core.campaigns.run import SHELF, CampaignCue, CampaignRun, possible
from dialer_core.compliance import abandonment, detection_quality
from dialer_core.compliance.detection_quality import Quality
from dialer_core.errors import CommandRefusedError
from dialer_core.events import (
    CampaignEmpty,
    CampaignPaused,
    CampaignStarted,
    CampaignStopped,
    Event,
)
from dialer_core.lines import WorkerPool
from dialer_core.pools import Pool, make_pools
from dialer_core.runtime import Runtime
from dialer_core.store import campaigns as campaign_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AttemptId,
    AttemptState,
    CampaignId,
    CampaignState,
    LegId,
    Outcome,
    PacingMode,
    TrunkId,
)
from pacing import EventKind

log = structlog.get_logger(__name__)

EMPTY_RETRY_S = 2.0
"""An empty hopper is asked again after so long at most: leads may have been imported meanwhile."""
CLAIM_FAILED_RETRY_S = 1.0
SAVE_INTERVAL_S = 60.0
"""How often what the pacers learned is stored."""
QUALITY_INTERVAL_S = 300.0
"""How often a campaign's detection is estimated anew: it changes slowly, and all its calls are counted."""


class Dialing:
    """The pacing side of the engine.

    Parameters
    ----------
    live
        The live attempts, as `CallFlow` keeps them.
    begin, release
        `CallFlow`'s: take a committed attempt; end a long-ringing one.
    brake
        Says why the independent brake is on (loop lag); empty while it is not.
    held
        Says why nothing new may be placed at all: a process of ours does not keep up; empty while all do.
    pacer_of
        The node that paces a pool.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: dict[CampaignId, CampaignRun],
        roster: Roster,
        trunks: Trunks,
        workers: WorkerPool,
        *,
        live: Callable[[], Iterable[Attempt]],
        begin: Callable[[Attempt], None],
        release: Callable[[Attempt, Outcome], None],
        brake: Callable[[], str],
        held: Callable[[], str],
        pacer_of: Callable[[str], str],
    ) -> None:
        self._runtime = runtime
        self.campaigns = campaigns
        self._roster = roster
        self._trunks = trunks
        self._workers = workers
        self._live = live
        self._begin = begin
        self.release = release
        self._brake = brake
        self._held = held
        self._pacer_of = pacer_of
        self.media_ready = False
        self.draining = False
        self.pools = make_pools(runtime, roster, live, campaigns)
        self._saved_ns = 0

    def pool_for(self, agent: Agent) -> Pool | None:
        """Make the pool of an agent who was moved, where there is none of their campaigns yet, and return it; None: there is one."""
        wanted = tuple(sorted(agent.campaigns))
        if any(pool.campaigns == wanted and not pool.agentless for pool in self.pools):
            return None
        self.pools.append(Pool(wanted, self._runtime, self._roster, self._live, self.campaigns))
        return self.pools[-1]

    def pool_keys(self) -> list[str]:
        """Return the keys of the pools."""
        return [pool.key for pool in self.pools]

    def manned(self) -> set[str]:
        """Return the keys of the pools with agents logged in, or calls."""
        dialed = {attempt.pool for attempt in self._live()}
        return {pool.key for pool in self.pools if pool.manned or pool.key in dialed}

    # --- commands ---------------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: CampaignId) -> CampaignRun:
        """Return a campaign; raises `CommandRefusedError` naming the known ones."""
        try:
            return self.campaigns[name]
        except KeyError:
            known = ", ".join(sorted(self.campaigns)) or "none"
            msg = f"no campaign {name!r}; known are: {known}"
            raise CommandRefusedError(msg) from None

    def start(self, name: CampaignId) -> None:
        """Let a campaign dial."""
        self._command(name, CampaignCue.START, CampaignStarted(campaign_id=name), "")

    def pause(self, name: CampaignId, reason: str) -> None:
        """Place nothing new; what is alive goes on."""
        told = CampaignPaused(campaign_id=name, reason=reason)
        self._command(name, CampaignCue.PAUSE, told, reason or "paused by command")

    def stop(self, name: CampaignId, reason: str) -> None:
        """Place nothing new, and end what has not been answered."""
        told = CampaignStopped(campaign_id=name, reason=reason)
        self._command(name, CampaignCue.STOP, told, reason or "stopped by command")
        for attempt in [a for a in self._live() if a.campaign_id == name and a.state in RINGING_STATES]:
            self.release(attempt, Outcome.CANCELLED)

    def shelve(self, name: CampaignId, cue: CampaignCue, reason: str) -> None:
        """Release a draft, archive what is over, reopen what was not."""
        self._command(name, cue, SHELF[cue](campaign_id=name, reason=reason), reason)

    def _command(self, name: CampaignId, cue: CampaignCue, event: Event, reason: str) -> None:
        campaign = self[name]
        if not campaign.apply(cue):
            msg = f"campaign {name} is {campaign.state}: cannot {cue} now; it can {possible(campaign.state)}"
            raise CommandRefusedError(msg)
        campaign.reason, campaign.empty_until_ns, campaign.empty_said = reason, 0, ""
        self.store_state(campaign, event)

    def store_state(self, campaign: CampaignRun, *events: Event) -> None:
        """Store a campaign's state with the events that tell of it."""
        state = campaign.state
        self._runtime.store(lambda tx: campaign_rows.set_state(tx, campaign.id, state), *events)

    def drain(self) -> None:
        """Place nothing more, for good."""
        self.draining = True
        self._save_learned()
        for campaign in self.campaigns.values():
            campaign.draining = True

    def refresh_ledgers(self) -> None:
        """Read every campaign's abandonment ledger again: what is older than its window has rolled out of it. Store what was learned."""
        now_utc = self._runtime.clock.utc()
        for campaign in self.campaigns.values():
            self._refresh_ledger(campaign, now_utc)
        if self._runtime.clock.mono_ns() - self._saved_ns > SAVE_INTERVAL_S * 1e9:
            self._save_learned()

    def _refresh_ledger(self, campaign: CampaignRun, now_utc: dt.datetime) -> None:
        """Ask on the reader's thread, once what has been counted until now is committed."""
        if campaign.refreshing:
            return  # the last question is still under way
        campaign.refreshing = True
        abandoned = campaign.abandoned
        now_ns = self._runtime.clock.mono_ns()
        estimate = now_ns >= campaign.quality_due_ns

        def read(tx: Tx) -> tuple[tuple[int, int], Quality | None]:
            ledger = abandonment.tightest(tx, campaign.id, campaign.pack, now_utc)
            return ledger, detection_quality.quality(tx, campaign.id) if estimate else None

        def committed(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                campaign.refreshing = False
                return  # a store that is away is told elsewhere; the counts in memory go on
            live = campaign.live_answers
            self._runtime.reader.ask(read).add_done_callback(lambda answer: refreshed(answer, live))

        def refreshed(done: asyncio.Future[tuple[tuple[int, int], Quality | None]], live: int) -> None:
            campaign.refreshing = False
            if done.cancelled() or done.exception() is not None:
                return
            (stored_live, stored_abandoned), found = done.result()
            # What was counted while the question was under way is not in the answer. Of the few calls counted between the
            # commit and the snapshot an answer is left out, and an abandoned one may be counted twice, until the next refresh: on the careful side.
            campaign.ledger_live = stored_live + campaign.live_answers - live
            campaign.ledger_abandoned = stored_abandoned + campaign.abandoned - abandoned
            if found is not None:
                self._estimated(campaign, found)

        self._runtime.journal.append().add_done_callback(committed)

    def _estimated(self, campaign: CampaignRun, found: Quality) -> None:
        campaign.quality_due_ns = self._runtime.clock.mono_ns() + int(QUALITY_INTERVAL_S * 1e9)
        if found != campaign.quality and found.machine_verdicts + found.passed:
            self._runtime.journal.append(found.event(campaign.id))
        campaign.quality = found

    # --- what pacing learns (calls.call_flow.Observer) ---------------------------------------------------------------------

    def live_answer(self, attempt: Attempt) -> None:
        """Count a live answer."""
        campaign = self.campaigns[attempt.campaign_id]
        campaign.live_answers += 1
        campaign.ledger_live += 1
        self._learn(attempt, EventKind.LIVE_ANSWER, attempt.answered_ns)

    def abandoned(self, attempt: Attempt) -> None:
        """Count an abandoned call."""
        campaign = self.campaigns[attempt.campaign_id]
        campaign.abandoned += 1
        campaign.ledger_abandoned += 1

    def not_live_after_all(self, attempt: Attempt) -> None:
        """Take a live answer back: it was a machine."""
        campaign = self.campaigns[attempt.campaign_id]
        campaign.live_answers -= 1
        campaign.ledger_live -= 1
        if attempt.abandoned_ns:
            campaign.abandoned -= 1
            campaign.ledger_abandoned -= 1

    def attempt_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """Count an outcome."""
        self.campaigns[attempt.campaign_id].outcomes[outcome] += 1
        if not attempt.live and attempt.sent_ns:
            kind = EventKind.RELEASED if outcome is Outcome.RELEASED else EventKind.NOT_LIVE
            self._learn(attempt, kind, attempt.answered_ns or self._runtime.clock.mono_ns())

    def _learn(self, attempt: Attempt, kind: EventKind, until_ns: int) -> None:
        for pool in self.pools:
            if pool.key == attempt.pool:
                pool.learn(kind, (until_ns - attempt.sent_ns) / 1e9 if attempt.sent_ns else 0.0)

    # --- one step -----------------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at every pool once and place what its pacer says. Cheap; called on every change and a few times a second."""
        finished, self._roster.finished_work = self._roster.finished_work, []
        # the pool with the most urgent campaign takes lines first; the order of the others stays
        for pool in sorted(self.pools, key=self._urgency, reverse=True):
            for campaigns, kind, seconds in finished:
                if tuple(sorted(campaigns)) == pool.campaigns:
                    pool.learn(kind, seconds)
            self._step_pool(pool)

    def _urgency(self, pool: Pool) -> int:
        running = [self.campaigns[name] for name in pool.campaigns if self.campaigns[name].dialing]
        return max((campaign.settings.priority for campaign in running), default=0)

    def is_open(self, campaign: CampaignRun) -> bool:
        """Say whether a campaign dials now: running, and within its schedule."""
        if not campaign.placing:
            return False
        if why := schedule.closed(campaign.settings.schedule, self._runtime.clock.utc()):
            campaign.reason = why
            return False
        return True

    def spare(self, agent: Agent) -> float:
        """Return how many of an agent's pool are free beyond those for whom somebody is being dialed."""
        mine = tuple(sorted(agent.campaigns))
        return next((pool.spare() for pool in self.pools if pool.campaigns == mine), 0.0)

    def _step_pool(self, pool: Pool) -> None:
        now_ns = self._runtime.clock.mono_ns()
        if not pool.agentless:
            pool.recall()
        mine = [
            self.campaigns[name]
            for name in pool.campaigns
            if self.campaigns[name].agentless is pool.agentless
        ]
        paced = [campaign for campaign in mine if campaign.settings.pacing is not PacingMode.PREVIEW]
        running = [campaign for campaign in paced if self.is_open(campaign)]
        finished = [campaign for campaign in mine if campaign.state is CampaignState.FINISHED]
        for campaign in finished:
            self._look_again(campaign, now_ns)
        if not running or self.draining or not self.media_ready:
            return
        if held := self.held_reason():
            for campaign in running:
                campaign.reason = held
            return
        if (pacer := self._pacer_of(pool.key)) != self._runtime.node:
            for campaign in running:
                campaign.reason = f"paced by node {pacer}" if pacer else "waiting for the lease of its pool"
            return
        room = {campaign.id: self._room(campaign, now_ns) for campaign in running}
        if pool.agentless:
            for campaign in running if not self._brake() else ():
                self._claim(pool, campaign, room[campaign.id], now_ns)
            return
        decision = pool.decide(running, sum(room.values()), self._brake(), now_ns)
        for attempt in pool.longest_ringing(decision.release, now_ns, self.campaigns):
            self.release(attempt, Outcome.RELEASED)
        weights = {campaign.id: campaign.settings.weight for campaign in running}
        allowed = pool.veto(running, room, decision.place)
        priorities = {campaign.id: campaign.settings.priority for campaign in running}
        for name, count in pool.allocation.split(decision.place, weights, allowed, priorities).items():
            self._claim(pool, self.campaigns[name], count, now_ns)

    def _save_learned(self) -> None:
        self._saved_ns = self._runtime.clock.mono_ns()
        for pool in self.pools:
            pool.save()

    def held_reason(self) -> str:
        """Say why nothing new is placed, whatever the campaign; empty where something may be."""
        if self._runtime.journal.behind:
            return "the database does not take what is written"
        return self._held()

    def _room(self, campaign: CampaignRun, now_ns: int) -> int:
        """Attempts this campaign could place now; sets why none, for people."""
        if now_ns < campaign.empty_until_ns:
            return 0
        trunks = campaign.settings.trunks
        lines = self._trunks.available(trunks, now_ns)
        workers = self._workers.free_for_customers() - sum(
            other.claiming for other in self.campaigns.values()
        )
        workers -= sum(attempt.state is AttemptState.COMMITTED for attempt in self._live())
        room = min(lines, max(0, workers))
        if campaign.settings.max_lines is not None:
            used = campaign.claiming + sum(attempt.campaign_id == campaign.id for attempt in self._live())
            room = min(room, max(0, campaign.settings.max_lines - used))
        if lines == 0:
            campaign.reason = self._trunks.blocked_reason(trunks, now_ns)
        elif room == 0:
            campaign.reason = (
                "all line workers are in use"
                if workers <= 0
                else f"max_lines ({campaign.settings.max_lines}) in use"
            )
        elif not campaign.empty_said:
            campaign.reason = ""
        return room

    # --- claiming ---------------------------------------------------------------------------------------------------------------

    def _claim(self, pool: Pool, campaign: CampaignRun, count: int, now_ns: int) -> None:
        trunks = self._trunks.reserve(campaign.settings.trunks, count, now_ns)
        if not trunks:
            return
        campaign.claiming += len(trunks)
        # Read when the claim is made: the gate must not judge by the time it was asked for.
        clock = self._runtime.clock
        expected = self._roster.expected()
        present = [
            a.id
            for a in self._roster.all()
            if a.offered and campaign.id in a.works_for and a.id not in expected
        ]
        future = self._runtime.journal.submit(
            lambda tx: hopper.claim(
                tx, campaign_id=campaign.id, settings=campaign.settings, pack=campaign.pack, trunks=trunks,
                node=self._runtime.node, boot_id=self._runtime.boot_id, now=clock.utc(),
                present=present, mix=campaign.mix, caller_ids=campaign.caller_ids,
            )
        )  # fmt: skip
        future.add_done_callback(lambda done: self._claimed(pool, campaign, trunks, done))

    def _claimed(
        self,
        pool: Pool,
        campaign: CampaignRun,
        trunks: list[TrunkId],
        done: asyncio.Future[hopper.Claim],
    ) -> None:
        campaign.claiming -= len(trunks)
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            log.error("claim_failed", campaign=campaign.id, error=type(error).__name__, exc_info=error)
            campaign.reason = "leads could not be claimed: see the log"
            campaign.empty_until_ns = self._runtime.clock.mono_ns() + int(CLAIM_FAILED_RETRY_S * 1e9)
            claim = hopper.Claim(attempts=[], empty=None)
        else:
            claim = done.result()
        for trunk in trunks[len(claim.attempts) :]:
            self._trunks[trunk].give_back(unsent=True)
        for claimed in claim.attempts:
            self.adopt(claimed, pool.key)
        pool.look_ahead(campaign, claim.attempts)
        if claim.empty is not None:
            self.empty(campaign, claim.empty)
        elif claim.so_far is not None:
            self._holding(campaign, claim.so_far)
        else:
            campaign.empty_said = ""

    def adopt(self, claimed: hopper.ClaimedAttempt, pool: str) -> None:
        """Take a committed attempt, for which a trunk's line and token are held; unless it must not be dialed any more, it begins."""
        campaign = self.campaigns[claimed.campaign_id]
        attempt = Attempt(
            id=AttemptId(claimed.attempt_id), campaign_id=campaign.id, lead_id=claimed.lead_id, account_id=claimed.account_id,
            person_id=claimed.person_id, phone_id=claimed.phone_id, number=claimed.number, trunk=claimed.trunk, pool=pool,
            leg_id=LegId(claimed.attempt_id), retry_of=claimed.retry_of, language=claimed.language, region=claimed.region,
            for_agent=claimed.for_agent, caller_id=claimed.caller_id, previewed=claimed.previewed, propensity=claimed.propensity,
            personal=claimed.open_from_utc is not None and claimed.open_from_utc > self._runtime.clock.utc(),
        )  # fmt: skip
        campaign.attempts += 1
        self._begin(attempt)
        # paused, stopped or drained meanwhile; or this node's leases lapsed while the database was away, or the process was stopped
        if not campaign.dialing or self.draining or not self.media_ready or self._held():
            self.release(attempt, Outcome.CANCELLED)

    def empty(self, campaign: CampaignRun, why: EmptyReport) -> None:
        """Nothing (more) is dialable: say why once, and ask again when something may have changed."""
        now_ns, now_utc = self._runtime.clock.mono_ns(), self._runtime.clock.utc()
        wait_s = EMPTY_RETRY_S
        if why.next_at is not None:
            wait_s = min(wait_s, max(0.05, (why.next_at - now_utc).total_seconds()))
        campaign.empty_until_ns = now_ns + int(wait_s * 1e9)
        busy = campaign.claiming or any(attempt.campaign_id == campaign.id for attempt in self._live())
        done = why.finished and not busy
        if why.finished and busy:
            return
        said = f"{sorted(why.reasons.items())} {why.next_at} {done}"
        if said == campaign.empty_said:
            return
        campaign.empty_said = said
        campaign.reason = why.words()
        event = CampaignEmpty(
            campaign_id=campaign.id,
            reasons=why.reasons,
            finished=done,
            complete=why.complete,
            next_at_utc=why.next_at.isoformat() if why.next_at else None,
        )
        log.info("campaign_empty", campaign=campaign.id, reasons=why.reasons, finished=done)
        if done and campaign.apply(CampaignCue.LIST_DONE):
            self.store_state(campaign, event)
        else:
            self._runtime.journal.append(event)

    def _holding(self, campaign: CampaignRun, why: EmptyReport) -> None:
        """A long list, and nothing dialable among the leads looked at so far: say at once what holds them, and look on."""
        campaign.reason = why.words()
        if campaign.empty_said:
            return
        campaign.empty_said = "so far"
        self._runtime.journal.append(
            CampaignEmpty(
                campaign_id=campaign.id,
                reasons=why.reasons,
                next_at_utc=why.next_at.isoformat() if why.next_at else None,
                complete=False,
            )
        )

    def _look_again(self, campaign: CampaignRun, now_ns: int) -> None:
        """A finished list may have got new leads: look, without claiming."""
        if now_ns < campaign.empty_until_ns or self.draining:
            return
        campaign.empty_until_ns = now_ns + int(EMPTY_RETRY_S * 1e9)

        def has_leads(tx: Tx) -> bool:
            found = report(tx, campaign.id)
            return found is None or (bool(found.reasons) and not found.finished)

        def looked(done: asyncio.Future[bool]) -> None:
            if done.cancelled() or done.exception() is not None or not done.result():
                return
            if campaign.apply(CampaignCue.LEADS_CAME):
                campaign.empty_until_ns, campaign.empty_said, campaign.reason = 0, "", ""
                self.store_state(campaign, CampaignStarted(campaign_id=campaign.id))

        self._runtime.journal.submit(has_leads).add_done_callback(looked)
