"""Agent pools: what a pool's pacer sees, what it has learned, and what it decides.

A pool is the agents with the same eligible campaigns. It owns the pacer, its snapshot and its events, and keeps what was learned in the
store across restarts. It places nothing (`dialing.py`); the rules are in `pacing`, the sentence about a decision in `pacing_words.py`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.calls.attempt import RINGING_STATES, Attempt
from dialer_core.campaigns import propensity
from dialer_core.campaigns.allocation import Allocation
from dialer_core.campaigns.claim_writing import ClaimedAttempt
from dialer_core.campaigns.run import CampaignRun
from dialer_core.events import PacingDecided
from dialer_core.pacing_words import decision_words
from dialer_core.runtime import Runtime
from dialer_core.store import pacing_state
from dialer_core.vocabulary import AgentState, AttemptState, CampaignId
from pacing import Decision, EventKind, Pacer, PacerConfig, PacingInputError, Snapshot
from pacing.learned import PRIOR_ANSWER_RATE

log = structlog.get_logger(__name__)

MIN_RING_S: Final = 15.0
"""No attempt is released before, what the rules of most countries ask of a ring; a rule pack may ask for more."""
RING_STEP_S: Final = 0.5
LOOK_INTERVAL_S: Final = 1.0
"""A campaign's list is looked ahead in so often at most: between, what is claimed is taken off what was seen."""
UNLEARNED_MAX: Final = 4096
"""What a pool whose campaigns rest keeps for its pacer."""
SEGMENT: Final = ""
"""What is learned is kept per segment of leads; until leads have segments there is the one."""


def make_pools(
    runtime: Runtime,
    roster: Roster,
    live: Callable[[], Iterable[Attempt]],
    campaigns: Mapping[CampaignId, CampaignRun],
) -> list[Pool]:
    """Return one pool for each set of eligible campaigns that agents have, and one of its own for each campaign that needs none."""
    keys = dict.fromkeys(tuple(sorted(agent.campaigns)) for agent in roster.all())
    pools = [Pool(names, runtime, roster, live, campaigns) for names in keys]
    agentless = [name for name, run in campaigns.items() if run.agentless]
    return pools + [Pool((name,), runtime, roster, live, campaigns, agentless=True) for name in agentless]


def ring_min_s(campaign: CampaignRun) -> float:
    """Return how long a campaign's call must ring before it may be let go."""
    return max(MIN_RING_S, campaign.pack.ring_min_s)


def may_abandon(campaign: CampaignRun) -> bool:
    """Say whether the campaign's ledger has room for one more abandoned call; the first one is let happen once."""
    return campaign.ledger_abandoned + 1 <= max(campaign.paced_ceiling * campaign.ledger_live, 1.0)


class Pool:
    """One pool.

    Parameters
    ----------
    campaigns
        Its agents' campaigns, sorted.
    live
        The live attempts of the node.
    all_campaigns
        Every campaign of the node.
    agentless
        Its one campaign has no agents: a flow speaks to its people.
    """

    def __init__(
        self,
        campaigns: tuple[CampaignId, ...],
        runtime: Runtime,
        roster: Roster,
        live: Callable[[], Iterable[Attempt]],
        all_campaigns: Mapping[CampaignId, CampaignRun],
        *,
        agentless: bool = False,
    ) -> None:
        self._campaign = all_campaigns.__getitem__
        self.agentless = agentless
        self.key = ("agentless:" if agentless else "") + "+".join(campaigns)
        self.campaigns = campaigns
        self.allocation = Allocation()
        self.owed: Callable[[CampaignId], int] = lambda _campaign: 0
        """Returns how many of a campaign's next free agents are those who have called: nobody is dialed for these."""
        self.events: deque[tuple[int, float]] = deque(maxlen=UNLEARNED_MAX)
        self._runtime = runtime
        self._roster = roster
        self._live = live
        self._pacer: Pacer | None = None
        self._config: PacerConfig | None = None
        self._learned: Any = None
        self._asked = False
        self._binding = ""
        self._quiet = 0
        self._answered = False
        """A person has answered since this engine began."""
        self._first_placed_ns = 0

    # --- what is learned --------------------------------------------------------------------------------------------------------

    def learn(self, kind: EventKind, seconds: float) -> None:
        """Keep what happened for the pacer's next step."""
        self._answered |= kind is EventKind.LIVE_ANSWER
        self.events.append((int(kind), max(0.0, seconds)))

    def recall(self) -> None:
        """Ask the store, once, for what earlier shifts learned; until it comes the pacer goes by its priors."""
        if self._asked:
            return
        self._asked = True
        now = self._runtime.clock.utc()
        self._runtime.journal.submit(
            lambda tx: pacing_state.best(tx, self.key, SEGMENT, now)
        ).add_done_callback(self._recalled)

    def _recalled(self, done: asyncio.Future[dict[str, Any] | None]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._asked = False  # a store that is away is told elsewhere
        elif (learned := done.result()) is not None:
            self._learned, self._pacer = learned, None

    def save(self) -> None:
        """Store what was learned under this hour."""
        if self._pacer is None:
            return
        state, now = dict(self._pacer.export_state()), self._runtime.clock.utc()
        self._runtime.store(lambda tx: pacing_state.save(tx, self.key, SEGMENT, now, state))

    def _pacer_for(self, running: list[CampaignRun]) -> Pacer:
        """Return the pacer; its mode is that of the heaviest running campaign, its limits are the strictest of all."""
        settings = max(running, key=lambda campaign: campaign.settings.weight).settings
        config = PacerConfig(
            mode=settings.pacing,
            abandonment_ceiling=min(campaign.paced_ceiling for campaign in running),
            agent_wait_s=self._left_of(min(campaign.agent_wait_s for campaign in running)),
            ring_timeout_s=settings.ring_limit_s,
            min_ring_s=min(max(map(ring_min_s, running)), settings.ring_limit_s),
            ratio=settings.ratio,
        )
        if self._pacer is None or self._config != config:
            state = self._pacer.export_state() if self._pacer else self._learned
            try:
                self._pacer = Pacer(config, state)
            except PacingInputError as error:
                # of an older version, or of other settings: what was learned is lost, not the shift
                log.warning("pacing_state_refused", pool=self.key, error=str(error))
                self._pacer = Pacer(config)
            self._config = config
        return self._pacer

    # --- who comes next ------------------------------------------------------------------------------------------------------------

    def look_ahead(self, campaign: CampaignRun, claimed: Sequence[ClaimedAttempt]) -> None:
        """Take what was claimed off what was known to come next; where the list is scored, look again, on the reader's thread."""
        del campaign.coming[: len(claimed)]
        scored = bool(campaign.coming) or any(one.propensity is not None for one in claimed)
        clock = self._runtime.clock
        if not scored or campaign.looking or clock.mono_ns() < campaign.look_again_ns:
            return
        campaign.looking = True
        campaign.look_again_ns = clock.mono_ns() + int(LOOK_INTERVAL_S * 1e9)
        zone = campaign.settings.schedule.zone
        asked = self._runtime.reader.ask(lambda tx: propensity.coming(tx, campaign.id, zone, clock.utc()))
        asked.add_done_callback(lambda done: _seen(campaign, done))

    def _propensities(
        self, running: list[CampaignRun], ringing: list[Attempt]
    ) -> tuple[list[float], list[float]] | None:
        """Return the probability of a live answer of everyone ringing, those being claimed behind them, and of the leads that come next.

        None where nobody says anything of any of them: the pacer goes by what it has learned. That stands in for the silent ones among others, too.
        """
        told: list[float | None] = [attempt.propensity for attempt in ringing]
        coming: list[tuple[int, float, float | None]] = []
        most = max((len(campaign.coming) for campaign in running), default=0)
        for campaign in running:
            held = campaign.coming[: campaign.claiming]
            told += held + [None] * (campaign.claiming - len(held))
            its = campaign.coming[campaign.claiming :] or [None] * most
            coming += [
                (-campaign.settings.priority, (index + 0.5) / campaign.settings.weight, one)
                for index, one in enumerate(its)
            ]
        coming.sort(key=lambda one: one[:2])  # as `Allocation` splits what is placed
        following = [one for _, _, one in coming]
        if all(one is None for one in told + following):
            return None
        usual = self._pacer.answer_rate if self._pacer is not None else PRIOR_ANSWER_RATE
        first, second = (
            [usual if one is None else one for one in some] for some in (told, following or [None])
        )
        return first, second

    # --- one decision -------------------------------------------------------------------------------------------------------------

    def decide(self, running: list[CampaignRun], lines_free: int, brake: str, now_ns: int) -> Decision:
        """Ask the pacer what to do now, and tell it to whoever listens.

        Parameters
        ----------
        running
            The pool's campaigns that dial, at least one.
        lines_free
            Attempts they could place now.
        brake
            Why the independent brake is on; empty while it is not.
        now_ns
            Monotonic nanoseconds.
        """
        pacer = self._pacer_for(running)
        speaks = self._speaking(running)
        brake = brake or self._untried(running, now_ns)
        snapshot = self._snapshot(speaks, running, lines_free, now_ns, brake=bool(brake))
        self.events.clear()
        decision = pacer.step(snapshot)
        if decision.place and not self._first_placed_ns:
            self._first_placed_ns = now_ns
        self._tell(speaks, running, snapshot, decision, brake, now_ns)
        return decision

    def _untried(self, running: list[CampaignRun], now_ns: int) -> str:
        """Say why what earlier shifts learned is not dialed by yet; empty once it may be.

        A restart finds every agent idle at once, the worst moment for an answer rate of another day: one call per agent, until a person
        has answered or the first calls have rung to their end.
        """
        rung_s = (now_ns - self._first_placed_ns) / 1e9 if self._first_placed_ns else 0.0
        if (
            self._learned is None
            or self._answered
            or rung_s > max(one.settings.ring_limit_s for one in running)
        ):
            return ""
        return "restarted: what was learned before has not been borne out yet"

    def veto(
        self, running: list[CampaignRun], room: Mapping[CampaignId, int], place: int
    ) -> dict[CampaignId, int]:
        """Return `room` without the campaigns whose ledger may abandon nobody, where another's may.

        They get their share of what is placed while an agent waits for each call. Where no ledger of the pool has room, the pacer itself
        keeps to one call per idle agent.
        """
        vetoed = {campaign.id for campaign in running if not may_abandon(campaign)}
        if not vetoed or len(vetoed) == len(running):
            return dict(room)
        idle = sum(agent.offered for agent in self._roster.all() if self._mine(agent.campaigns))
        if place + sum(attempt.state is not AttemptState.BRIDGED for attempt in self._placed()) <= idle:
            return dict(room)
        for campaign in running:
            if campaign.id in vetoed:
                campaign.reason = "its abandonment ledger has no room: only one call per idle agent"
        return {name: 0 if name in vetoed else free for name, free in room.items()}

    def _speaking(self, running: list[CampaignRun]) -> CampaignRun:
        """Return the campaign whose ledger is tightest among those that may abandon a call at all, else among all."""
        candidates = [campaign for campaign in running if may_abandon(campaign)] or running
        return min(candidates, key=lambda one: one.paced_ceiling * one.ledger_live - one.ledger_abandoned)

    def _mine(self, campaigns: Iterable[CampaignId]) -> bool:
        return tuple(sorted(campaigns)) == self.campaigns

    @property
    def manned(self) -> bool:
        """Somebody of it is logged in."""
        return any(
            agent.state is not AgentState.LOGGED_OUT and self._mine(agent.campaigns)
            for agent in self._roster.all()
        )

    def _placed(self) -> list[Attempt]:
        return [attempt for attempt in self._live() if attempt.pool == self.key]

    def _snapshot(
        self, speaks: CampaignRun, running: list[CampaignRun], lines_free: int, now_ns: int, *, brake: bool
    ) -> Snapshot:
        def seconds(since_ns: int) -> float:
            return max(0.0, (now_ns - since_ns) / 1e9)

        members = [agent for agent in self._roster.all() if self._mine(agent.campaigns)]
        busy = [agent for agent in members if agent.comes_back]
        at_work = [agent for agent in busy if not agent.finishing_ns]
        placed = self._placed()
        waiting = [a for a in placed if a.state is AttemptState.WAITING]
        claiming = sum(campaign.claiming for campaign in running)
        idle = sum(agent.offered for agent in members)
        ringing = [a for a in placed if a.state in RINGING_STATES]
        propensities = self._propensities(running, ringing)
        owed = sum(self.owed(campaign) for campaign in self.campaigns)
        if owed > idle:  # then the next to be free, by how long they have been at it
            at_work.sort(key=lambda one: (one.state is not AgentState.WRAP_UP, one.since_ns))
            at_work = at_work[owed - idle :]
        return Snapshot(
            now_s=now_ns / 1e9,
            idle=max(0, idle - owed),
            waiting=len(waiting),
            talk_elapsed_s=[seconds(one.since_ns) for one in at_work if one.state is not AgentState.WRAP_UP],
            wrapup_elapsed_s=[seconds(one.since_ns) for one in at_work if one.state is AgentState.WRAP_UP],
            finishing_elapsed_s=[seconds(one.finishing_ns) for one in busy if one.finishing_ns],
            ring_age_s=[seconds(a.sent_ns or a.committed_ns) for a in ringing] + [0.0] * claiming,
            ring_propensity=propensities[0] if propensities else None,
            next_propensity=propensities[1] if propensities else None,
            listening_age_s=[seconds(a.answered_ns) for a in placed if a.state is AttemptState.LISTENING],
            lines_free=lines_free,
            live_total=speaks.ledger_live,
            abandoned_total=speaks.ledger_abandoned,
            # a caller just told of has no deadline yet: the whole wait
            waiting_left_s=[
                (a.wait_until_ns - now_ns) / 1e9 if a.wait_until_ns else speaks.agent_wait_s for a in waiting
            ],
            brake=brake,
            events=list(self.events),
        )

    def _left_of(self, wait_s: float) -> float:
        """Return what a person's wait leaves for finding an agent, where softphones are called per conversation: the slowest one's ringing is off.

        In steps, for a pacer with another limit begins anew.
        """
        rings_s = max(
            (agent.ring_s for agent in self._roster.all() if self._mine(agent.campaigns)), default=0.0
        )
        return max(min(wait_s, RING_STEP_S), wait_s - RING_STEP_S * math.ceil(rings_s / RING_STEP_S))

    def spare(self) -> float:
        """Return how many free agents are left when everybody has got one who is likely to want one soon.

        Those who have answered, and of those who ring the share that has answered so far (all, before anything is known).
        """
        placed = self._placed()
        answered = sum(a.state in (AttemptState.LISTENING, AttemptState.WAITING) for a in placed)
        ringing = sum(a.state in RINGING_STATES for a in placed)
        runs = [self._campaign(name) for name in self.campaigns]
        live, ended = sum(run.live_answers for run in runs), sum(run.outcomes.total() for run in runs)
        idle = sum(agent.offered for agent in self._roster.all() if self._mine(agent.campaigns))
        return idle - answered - ringing * min(1.0, (live + 4) / (ended + 4))

    def longest_ringing(
        self, count: int, now_ns: int, campaigns: Mapping[CampaignId, CampaignRun]
    ) -> list[Attempt]:
        """Return up to `count` attempts that have rung the legal minimum, the oldest first."""
        if not count:
            return []
        ringing = [
            a
            for a in self._placed()
            if a.state in RINGING_STATES
            and a.sent_ns
            and now_ns - (a.ringing_ns or a.sent_ns) >= ring_min_s(campaigns[a.campaign_id]) * 1e9
        ]
        return sorted(ringing, key=lambda attempt: attempt.sent_ns)[:count]

    def _tell(
        self,
        speaks: CampaignRun,
        running: list[CampaignRun],
        snapshot: Snapshot,
        decision: Decision,
        brake: str,
        now_ns: int,
    ) -> None:
        told = PacingDecided(
            at_mono_ns=now_ns, pool=self.key, place=decision.place, release=decision.release, idle=snapshot.idle,
            talking=len(snapshot.talk_elapsed_s), wrapping=len(snapshot.wrapup_elapsed_s),
            finishing=len(snapshot.finishing_elapsed_s), ringing=len(snapshot.ring_age_s),
            listening=len(snapshot.listening_age_s), waiting=snapshot.waiting, lines_free=snapshot.lines_free,
            ledger_live=speaks.ledger_live, ledger_abandoned=speaks.ledger_abandoned, ceiling=speaks.paced_ceiling,
            alpha=_known(decision.alpha), p_marginal=_known(decision.p_marginal), overflow=_known(decision.overflow),
            expected_live_hz=_known(decision.expected_live_hz),
            next_propensity=None if snapshot.next_propensity is None else _known(float(np.mean(snapshot.next_propensity))),
            quiet_steps=self._quiet, binding=decision.binding, reason=brake if snapshot.brake else "",
        )  # fmt: skip
        words = decision_words(told)
        for campaign in running:
            campaign.last_decision = words
        if not decision.place and not decision.release and decision.binding == self._binding:
            self._quiet += 1
            return
        self._binding, self._quiet = decision.binding, 0
        self._runtime.journal.append(told)


def _seen(campaign: CampaignRun, done: asyncio.Future[list[float | None]]) -> None:
    campaign.looking = False
    if not done.cancelled() and done.exception() is None:  # a store that is away is told elsewhere
        campaign.coming = done.result()


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
