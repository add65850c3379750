"""The start of an engine after another one: what the journal, the workers and the media plane say, brought together in one moment.

It owns the collecting, and the order in which agents, attempts and sound are taken over. What becomes of an attempt is `calls/adoption.py`'s, of an
agent `agents/`'s. Until it is done nothing is dialed and nothing that comes in is acted on: what a source said before its state is in that
state, what it says after is kept and handled when everybody is in place.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import Softphones
from dialer_core.agents.state import Agent, AgentCue
from dialer_core.calls import left_behind
from dialer_core.calls.adoption import Adoption, Found
from dialer_core.calls.attempt import Attempt
from dialer_core.calls.inbound import InboundCalls
from dialer_core.calls.machine import AttemptMachine
from dialer_core.calls.talk_adoption import TalkAdoption
from dialer_core.calls.trunks import WINDOW_NS, Trunks
from dialer_core.dialing import Dialing
from dialer_core.events import EngineRestarted, StoredEvent
from dialer_core.ipc.messages import Dialog, LegSnapshot, MediaLegSnapshot, WorkerState
from dialer_core.lines import MediaLink, WorkerPool
from dialer_core.nodes import end_lost
from dialer_core.runtime import Runtime
from dialer_core.store import agents as agent_rows
from dialer_core.store import attempts as attempt_rows
from dialer_core.store import events as event_rows
from dialer_core.store import legs as leg_rows
from dialer_core.store import people
from dialer_core.store.models import AgentInterval, Leg
from dialer_core.store.models import Attempt as AttemptRow
from dialer_core.store.people import PersonRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    AttemptId,
    CampaignId,
    LegId,
    LegKind,
    TrunkId,
    WorkerId,
)

log = structlog.get_logger(__name__)

STATES_LIMIT_S = 2.0
"""Workers and media plane answer at once; one that hangs does not keep the others' calls waiting for longer."""
SESSION_LIMIT_S = 120.0
"""A node that was away for longer, with every process of it, logs its agents out: nobody was there to be talked to."""
_TALK_STATES = (AgentState.RESERVED, AgentState.TALKING)


@dataclass(slots=True)
class _Journalled:
    """What the journal says was going on."""

    attempts: list[AttemptRow] = field(default_factory=list)
    people: dict[str, PersonRow] = field(default_factory=dict)
    """Of these attempts."""
    legs: dict[LegId, Leg] = field(default_factory=dict)
    intervals: list[AgentInterval] = field(default_factory=list)
    campaign_of: dict[str, CampaignId] = field(default_factory=dict)
    """Campaigns of the attempts that intervals name."""
    sent: list[tuple[TrunkId, int]] = field(default_factory=list)
    last: StoredEvent | None = None
    left: left_behind.LeftBehind = field(default_factory=left_behind.LeftBehind)
    ended: int = 0
    """Attempts that nobody could go on with, ended at once: of another boot, or of a campaign that is no more."""


class Recovery:
    """From an engine's start to the moment at which it is in charge of everything there is."""

    def __init__(
        self,
        runtime: Runtime,
        roster: Roster,
        softphones: Softphones,
        machine: AttemptMachine,
        trunks: Trunks,
        workers: WorkerPool,
        media: MediaLink,
        dialing: Dialing,
        adoption: Adoption,
        inbound: InboundCalls,
        talks: TalkAdoption,
        *,
        on_done: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._roster = roster
        self._softphones = softphones
        self._machine = machine
        self._trunks = trunks
        self._workers = workers
        self._media = media
        self._dialing = dialing
        self._adoption = adoption
        self._inbound = inbound
        self._talks = talks
        self._on_done = on_done
        self.states: dict[WorkerId, WorkerState] = {}
        self._held: list[tuple[WorkerId | None, Callable[[], None]]] = []
        self._scanned = False
        self._journalled = _Journalled()
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of a leg that no worker holds any more."""
        self.pending = False
        """There is something to take over, and it has not been yet."""
        self.done = asyncio.Event()
        self.down_ms = 0
        """How long there was no engine, counted from the former one's last word in the log."""

    # --- what the journal says -----------------------------------------------------------------------------------------

    def read(self, tx: Tx) -> None:
        """Read what was going on, and end in this unit what nobody can go on with."""
        node, boot_id, clock = self._runtime.node, self._runtime.boot_id, self._runtime.clock
        found = self._journalled
        live = attempt_rows.live(tx, node)
        known = [row for row in live if self._can_go_on(row)]
        lost = [row for row in live if row not in known]
        now_utc = clock.utc()
        end_lost(tx, self._runtime, self._dialing.campaigns, lost, now_utc)
        found.ended, found.attempts = len(lost), known
        found.people = people.persons(tx, {row.person_id for row in known})
        found.legs = {LegId(leg.id): leg for leg in leg_rows.live(tx, node)}
        found.left = left_behind.read(tx, found.legs)
        found.intervals = agent_rows.open_intervals(tx, node)
        for interval in found.intervals:
            row_of = attempt_rows.get(tx, AttemptId(interval.attempt_id)) if interval.attempt_id else None
            if row_of is not None:
                found.campaign_of[row_of.id] = CampaignId(row_of.campaign_id)
        slowest = min((trunk.settings.calls_per_second for trunk in self._trunks.all()), default=1.0)
        window_ns = int(WINDOW_NS / min(1.0, slowest))
        found.sent = attempt_rows.sent_since(tx, node, boot_id, clock.mono_ns() - window_ns)
        found.last = event_rows.last(tx, node, "engine")
        self._count_down()
        self.pending = bool(known or found.legs or found.intervals)
        if lost and not self.pending:
            tx.emit(
                EngineRestarted(adopted=0, interrupted=len(lost), ended=0, agents=0, down_ms=self.down_ms)
            )

    def _can_go_on(self, row: AttemptRow) -> bool:
        trunks = {trunk.id for trunk in self._trunks.all()}
        return (
            row.boot_id == self._runtime.boot_id
            and CampaignId(row.campaign_id) in self._dialing.campaigns
            and TrunkId(row.trunk) in trunks
        )

    def _count_down(self) -> None:
        last = self._journalled.last
        if last is not None:
            down = self._runtime.clock.utc() - dt.datetime.fromisoformat(last.at_utc)
            self.down_ms = max(0, int(down.total_seconds() * 1000))

    # --- what the others say ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Wait for the others' states, or for their limit."""
        if self.pending:
            self._runtime.later(STATES_LIMIT_S, self._overdue)
        else:
            self.done.set()

    def scanned(self) -> None:
        """Whatever is there has been attached: what is not has died."""
        self._scanned = True
        self.look()

    def worker_state(self, name: WorkerId, state: WorkerState) -> None:
        """Take a worker's state."""
        self.states[name] = state
        self.look()

    def worker_lost(self, name: WorkerId) -> None:
        """It died now: its legs are nowhere."""
        self.states.pop(name, None)
        self._held = [(source, event) for source, event in self._held if source != name]
        self.look()

    def hold(self, source: WorkerId | None, event: Callable[[], None]) -> None:
        """Keep an event of a worker, or of the media plane (None), for later; what came before its state is in that state."""
        known = source in self.states if source is not None else self._media.state is not None
        if known:
            self._held.append((source, event))

    def look(self) -> None:
        """Take over, once everybody has said what they hold."""
        if not self.pending or not self._scanned:
            return
        silent = [name for name in self._workers.workers if name not in self.states]
        if not silent and (self._media.link is None or self._media.state is not None):
            self._take_over()

    def _overdue(self) -> None:
        if self.pending:
            silent = sorted(name for name in self._workers.workers if name not in self.states)
            log.error("states_overdue", workers=silent, media=self._media.state is not None)
            self._take_over()

    # --- the moment --------------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        found = self._journalled
        self._count_down()
        for trunk, sent_ns in found.sent:
            self._trunks[trunk].resume(sent_ns)
        agents = self._take_agents()
        outside = (*self._legs(LegKind.EXTENSION), *self._ends(LegKind.EXTENSION))
        self._talks.look(outside, found.legs)
        taken = self._take_attempts()
        self._talks.customers(taken, found.left)
        self._take_inbound()
        self._talks.company(found.left)
        for attempt, what in taken:
            self._catch_up(attempt, what)
        self._settle_agents()
        for attempt, what in taken:
            self._adoption.settle(attempt, what)
        lost = sum(what.leg is None for _, what in taken)
        ended = sum(what.leg is not None and what.leg.ended is not None for _, what in taken)
        self._end_orphans({what.leg_row.id for _, what in taken if what.leg_row is not None})
        left_behind.tell_supervision(self._runtime, found.left, self._talks.supervisors)
        told = EngineRestarted(
            adopted=len(taken) - lost - ended,
            interrupted=lost + found.ended,
            ended=ended,
            agents=agents,
            down_ms=self.down_ms,
        )
        self._runtime.journal.append(told)
        log.info("recovered", **told.data())
        self.pending = False
        self._on_done()
        held, self._held = self._held, []
        for _, event in held:
            event()
        self._journalled, self.states = _Journalled(), {}
        self.done.set()

    def _take_agents(self) -> int:
        """Agents are logged in as they were; their softphones' legs are where a worker has them."""
        found = self._journalled
        live = {leg.owner: (name, leg) for name, leg in self._legs(LegKind.AGENT)}
        kept = bool(live) or self.down_ms < SESSION_LIMIT_S * 1000
        gone: set[AgentId] = set()
        for interval in found.intervals:
            agent = self._roster.agents.get(AgentId(interval.agent_id))
            if agent is None or interval.boot_id != self._runtime.boot_id or not kept:
                gone.add(AgentId(interval.agent_id))
                continue
            self._roster.adopt(agent, interval, found.campaign_of.get(interval.attempt_id or ""))
            if agent.id in live:
                name, leg = live[agent.id]
                stored = found.legs.pop(leg.leg_id, None) is not None
                self._softphones.adopt(agent, name, leg, stored=stored)
        if gone:
            last = found.last
            self._runtime.store(lambda tx: agent_rows.close_left_open(tx, gone, last))
        return len(found.intervals) - len(gone)

    def _take_attempts(self) -> list[tuple[Attempt, Found]]:
        found = self._journalled
        leg_rows_of = {leg.attempt_id: leg for leg in found.legs.values() if leg.attempt_id}
        ended = {leg.owner: (name, leg) for name, leg in self._ends(LegKind.CUSTOMER)}
        live = ended | {leg.owner: (name, leg) for name, leg in self._legs(LegKind.CUSTOMER)}
        sounds = self._sounds()
        taken = []
        for row in found.attempts:
            name, leg = live.get(row.id, (None, None))
            leg_row = leg_rows_of.get(row.id)
            sound = sounds.get(leg.leg_id if leg is not None else LegId(row.id))
            extension = self._talks.extension_of(row, sound)
            what = Found(
                row=row,
                leg_row=leg_row,
                worker=name,
                leg=leg,
                sound=sound,
                extension=extension,
                person=found.people.get(row.person_id),
            )
            taken.append((self._adoption.take(what, self._pool_of), what))
        return taken

    def _take_inbound(self) -> None:
        """Calls that came in go on too; one that ended meanwhile is told of."""
        sounds, journalled = self._sounds(), self._journalled.legs
        for name, leg in (*self._legs(LegKind.CUSTOMER), *self._ends(LegKind.CUSTOMER)):
            if leg.arrival is not None:
                sound = sounds.get(leg.leg_id)
                agent = self._softphones.agent_of(sound.bridged_to) if sound is not None else None
                stored = journalled.pop(leg.leg_id, None) is not None
                self._inbound.adopt(name, leg, sound, agent, stored=stored)

    def _pool_of(self, campaign: CampaignId, agent: Agent | None) -> str:
        """Return the pool of an attempt that this engine did not place: its agent's, or the first that dials its campaign."""
        members = tuple(sorted(agent.campaigns)) if agent is not None else None
        pools = [pool for pool in self._dialing.pools if campaign in pool.campaigns]
        mine = [pool for pool in pools if pool.campaigns == members]
        return next((pool.key for pool in mine or pools), "")

    def _settle_agents(self) -> None:
        """Whoever was reserved or talked, and whose attempt is over or with another agent, is free, or in wrap-up."""
        ended = {leg.owner for _, leg in self._ends(LegKind.AGENT)}
        sounds = self._sounds()
        for agent in list(self._roster.all()):
            if agent.state is AgentState.LOGGED_OUT:
                continue
            in_talk = agent.state in _TALK_STATES
            if agent.in_pbx:
                pass  # no leg of theirs stands between conversations
            elif agent.per_conversation and not in_talk:
                self._softphones.hang_up(agent)  # what was left of a conversation that is over
            elif agent.per_conversation and not agent.leg_up and agent.state is AgentState.RESERVED:
                pass  # it was being called for somebody who waits again: let go below
            elif not agent.leg_up and agent.state is not AgentState.PAUSED:
                log.warning("agent_leg_gone", agent_id=agent.id, seen_to_end=agent.id in ended)
                self._softphones.gone(agent)
            attempt = self._machine.attempts.get(agent.attempt_id) if agent.attempt_id else None
            together = (attempt is not None and attempt.agent_id == agent.id) or self._inbound.talks_with(
                agent
            )
            if agent.state is AgentState.TALKING and self._talks.is_third(agent, sounds):
                continue
            if agent.state in _TALK_STATES and not together:
                cue = AgentCue.UNRESERVE if agent.state is AgentState.RESERVED else AgentCue.CALL_ENDED
                self._roster.apply(agent, cue)

    def _end_orphans(self, of_attempts: set[str]) -> None:
        """Legs of the journal that no worker holds and no attempt answers for: agents' whose worker died, and what was ending."""
        seen = {leg.leg_id for _, leg in (*self._legs(), *self._ends())}
        now_utc = self._runtime.clock.utc()
        for leg_id, leg in self._journalled.legs.items():
            if leg.id in of_attempts:
                continue
            if leg.dialog is not None and leg_id not in seen:
                self.on_orphan(msgspec.convert(leg.dialog, Dialog))
            self._runtime.store(partial(leg_rows.end, leg_id=leg_id, at_utc=now_utc))
        left_behind.tell_calls(self._runtime, self._journalled.left, self._journalled.legs)

    def _legs(self, *kinds: LegKind) -> Iterable[tuple[WorkerId, LegSnapshot]]:
        for name, state in self.states.items():
            for leg in state.legs:
                if not kinds or leg.kind in kinds:
                    yield name, leg

    def _ends(self, *kinds: LegKind) -> Iterable[tuple[WorkerId, LegSnapshot]]:
        for name, state in self.states.items():
            for leg in state.recent_ends:
                if not kinds or leg.kind in kinds:
                    yield name, leg

    def _sounds(self) -> dict[LegId, MediaLegSnapshot]:
        state = self._media.state
        return {leg.leg_id: leg for leg in (*state.recent_ends, *state.legs)} if state else {}

    def _catch_up(self, attempt: Attempt, what: Found) -> None:
        """One that cannot be taken over must not keep the others from it."""
        try:
            self._adoption.catch_up(attempt, what)
        except Exception as error:
            log.exception("attempt_not_taken_over", attempt_id=attempt.id, error=type(error).__name__)
