"""All agents: every change of state, its intervals and events, wrap-up by time, and who is offered the next person.

It owns agents' states. It does not own their softphones' legs (`softphones.py`) nor calls; both are told through callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from dialer_core.agent_settings import AgentSettings
from dialer_core.agents import routing
from dialer_core.agents.state import Agent, AgentCell, AgentCue
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.errors import CommandRefusedError
from dialer_core.events import AgentStateChanged
from dialer_core.runtime import Runtime
from dialer_core.store import agents as agent_rows
from dialer_core.store.models import AgentInterval
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AgentLeg, AgentState, AttemptId, CampaignId, PauseReason, new_id
from dialer_core.voice_events import AgentWrapUpExtended
from pacing import EventKind

log = structlog.get_logger(__name__)

_ENDED: Final = {AgentState.TALKING: EventKind.TALK_ENDED, AgentState.WRAP_UP: EventKind.WRAPUP_ENDED}
"""What pacing learns where a state ends,"""
_LEFT: Final = {AgentState.TALKING: EventKind.TALK_LEFT, AgentState.WRAP_UP: EventKind.WRAPUP_LEFT}
"""and where its end comes in sight."""
IN_TALK: Final = (AgentState.RESERVED, AgentState.TALKING)
WRAP_UP_LIMIT_S = 900.0
"""Nobody is in wrap-up for longer, however often it is extended."""


class Roster:
    """The agents of this node.

    Parameters
    ----------
    on_free
        Called when an agent may be offered a person, or pacing should look again.
    on_logged_out
        Called when an agent has logged out: their softphone's leg is to be ended.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: dict[AgentId, AgentSettings],
        campaigns: dict[CampaignId, CampaignSettings],
        *,
        on_free: Callable[[], None],
        on_logged_out: Callable[[Agent], None],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._on_free = on_free
        self._on_logged_out = on_logged_out
        self._wrap_up_timers: dict[AgentId, asyncio.TimerHandle] = {}
        self._longer_s: dict[AgentId, float] = {}
        """Wrap-ups that were extended: how long they last in all."""
        self.on_talk_over: Callable[[Agent], None] = lambda _agent: None
        """Called when an agent is in no conversation any more, nor reserved for one."""
        self.finished_work: list[tuple[frozenset[CampaignId], EventKind, float]] = []
        """Pacing's food: (the agent's campaigns, event kind, seconds) of talks and wrap-ups that ended since it last looked."""
        self._told_entered: Callable[[Agent, AgentState], None] = lambda _agent, _before: None
        self.expected: Callable[[], frozenset[AgentId]] = frozenset
        """Returns the agents whose own call-back is being dialed."""
        self.agents = {
            name: self._made(
                name, agent, frozenset(CampaignId(c) for c in agent.campaigns) or frozenset(campaigns)
            )
            for name, agent in settings.items()
        }

    def _made(self, name: AgentId, settings: AgentSettings, works_for: frozenset[CampaignId]) -> Agent:
        return Agent(
            id=name, settings=settings, campaigns=self._skilled(settings, works_for), works_for=works_for,
            since_ns=self._runtime.clock.mono_ns(), per_conversation=self._leg_of(settings, works_for) is AgentLeg.PER_CONVERSATION,
        )  # fmt: skip

    def _leg_of(self, settings: AgentSettings, works_for: frozenset[CampaignId]) -> AgentLeg:
        """Return how an agent's softphone is called: by their own settings, else nailed up unless all their campaigns say otherwise."""
        if settings.queue:  # there is none
            return AgentLeg.NAILED_UP
        asked = {self._campaigns[campaign].agent_legs for campaign in works_for}
        return settings.leg or (asked.pop() if len(asked) == 1 else AgentLeg.NAILED_UP)

    def _skilled(self, settings: AgentSettings, works_for: frozenset[CampaignId]) -> frozenset[CampaignId]:
        return frozenset(
            campaign
            for campaign in works_for
            if routing.has(settings.skills, self._campaigns[campaign].routing.skills)
        )

    def move(self, name: AgentId, works_for: frozenset[CampaignId]) -> Agent:
        """Let an agent work for these campaigns from the next person on; empty: for those that the file says. Their conversation goes on."""
        agent = self[name]
        agent.works_for = works_for or self.written(name)
        agent.campaigns = self._skilled(agent.settings, agent.works_for)
        log.info("agent_moved", agent_id=agent.id, campaigns=sorted(agent.works_for))
        self._on_free()
        return agent

    def written(self, name: AgentId) -> frozenset[CampaignId]:
        """Return the campaigns that an agent works for by the file."""
        return frozenset(CampaignId(c) for c in self[name].settings.campaigns) or frozenset(self._campaigns)

    def __getitem__(self, name: AgentId) -> Agent:
        """Return an agent; raises `CommandRefusedError` naming the known ones."""
        try:
            return self.agents[name]
        except KeyError:
            known = ", ".join(sorted(self.agents)) or "none"
            msg = f"no agent {name!r} in agents.toml; known are: {known}"
            raise CommandRefusedError(msg) from None

    def all(self) -> Iterable[Agent]:
        """Every agent, in the order of the file."""
        return self.agents.values()

    def on_entered(self, told: Callable[[Agent, AgentState], None]) -> None:
        """Set what is told of every change of state: the agent, already in the new one, and the one before."""
        self._told_entered = told

    def offer(
        self,
        campaign: CampaignId,
        *,
        waited_s: float = 0.0,
        sticky: AgentId | None = None,
        sticky_s: float = 0.0,
        delivers: bool = True,
    ) -> Agent | None:
        """Return the agent to be given one of a campaign's people now, or None: nobody yet.

        Parameters
        ----------
        campaign
            Whose person it is.
        waited_s
            How long they have waited.
        sticky, sticky_s
            The agent they were promised, and how long they may be kept for that one while others are free.
        delivers
            Whether an agent of a PBX will do, to whose queue they would be delivered.
        """
        expected = self.expected()
        free = (
            routing.Candidate(agent.id, agent.settings.skills, agent.idle_since_ns, agent.id in expected)
            for agent in self.agents.values()
            if agent.offered and campaign in agent.works_for and (delivers or not agent.in_pbx)
        )
        promised = self.agents.get(sticky) if sticky is not None else None
        its = self._campaigns[campaign].routing
        asked = routing.Asked(
            skills=its.skills, overflow_skills=its.overflow_skills, overflow_s=its.overflow_s, waited_s=waited_s, sticky=sticky,
            sticky_s=sticky_s, sticky_comes=promised is not None and promised.comes_back,
        )  # fmt: skip
        chosen = routing.choose(free, asked)
        return self.agents[chosen] if chosen is not None else None

    # --- commands (from the API) ---------------------------------------------------------------------------------------

    def login(self, name: AgentId) -> Agent:
        """Log an agent in: paused until the softphone has answered."""
        agent = self[name]
        self._command(agent, AgentCue.LOGIN, PauseReason.CONNECTING)
        agent.wants_ready = agent.settings.auto_ready
        self._remember(agent)
        return agent

    def ready(self, name: AgentId) -> None:
        """Make an agent ready: now, when the softphone is up, or after this conversation."""
        agent = self[name]
        if agent.state is AgentState.PAUSED and not (agent.leg_up or agent.per_conversation or agent.in_pbx):
            agent.wants_ready = True
            self._remember(agent)
            return
        cell = agent.next_state(AgentCue.READY)
        if (
            cell is not AgentCell.REFUSED
        ):  # the last word counts: a pause or log-out asked for before is taken back
            agent.after_call, agent.after_reason = None, ""
        if cell is AgentCell.AFTER:
            self._remember(agent)
            return
        self._command(agent, AgentCue.READY, "")

    def arrived(self, agent: Agent) -> None:
        """Take an agent of a PBX, who has just logged in, as there: no softphone of theirs is called."""
        self.apply(agent, AgentCue.LEG_UP)

    def take_back(self, agent: Agent) -> None:
        """Forget a pause or log-out that was to come after this conversation."""
        agent.after_call, agent.after_reason, agent.wants_ready = None, "", True
        self._remember(agent)
        self._on_free()

    def pause(self, name: AgentId, reason: str) -> None:
        """Pause an agent: now, or after this conversation."""
        agent = self[name]
        agent.wants_ready = False
        self._command(agent, AgentCue.PAUSE, reason or "pause")

    def logout(self, name: AgentId) -> None:
        """Log an agent out: now, or after this conversation."""
        self._command(self[name], AgentCue.LOGOUT, "")

    def finishing(self, name: AgentId) -> None:
        """Take note that an agent is about to be done: their disposition form is open, a promise is being entered.

        It changes nothing but pacing's forecast, and holds until they are free; said again, the first time counts.
        """
        agent = self[name]
        kind = _LEFT.get(agent.state)
        if kind is None:
            msg = f"agent {name} is {agent.state}: only who talks or is in wrap-up can be finishing"
            raise CommandRefusedError(msg)
        if agent.finishing_ns:
            return
        agent.finishing_ns = self._runtime.clock.mono_ns()
        self.finished_work.append((agent.campaigns, kind, (agent.finishing_ns - agent.since_ns) / 1e9))
        log.info("agent_finishing", agent_id=agent.id, state=agent.state)
        self._on_free()

    def _command(self, agent: Agent, cue: AgentCue, reason: str) -> None:
        cell = agent.next_state(cue)
        if cell is AgentCell.REFUSED:
            msg = f"agent {agent.id} is {agent.state}: cannot {cue} now"
            raise CommandRefusedError(msg)
        if cell is AgentCell.AFTER:
            agent.after_call, agent.after_reason = cue, reason
            self._remember(agent)
            self._on_free()
            return
        self.apply(agent, cue, reason)

    def _remember(self, agent: Agent) -> None:
        """Store what was asked for and comes later."""
        agent_id, intent = agent.id, _intent(agent)
        self._runtime.store(lambda tx: agent_rows.remember(tx, agent_id, intent))

    # --- what happens ---------------------------------------------------------------------------------------------------

    def apply(
        self,
        agent: Agent,
        cue: AgentCue,
        reason: str = "",
        *,
        attempt: AttemptId | None = None,
        campaign: CampaignId | None = None,
    ) -> bool:
        """Feed a cue; returns whether it changed anything. Intervals, events, timers and callbacks follow from the change."""
        cell = agent.next_state(cue)
        if not isinstance(cell, AgentState):
            if cell is AgentCell.BUG:
                log.error("agent_cue_is_a_bug", agent_id=agent.id, state=agent.state, cue=cue)
            return False
        state: AgentState = cell
        if cue is AgentCue.LEG_UP and not agent.wants_ready:
            state, reason = AgentState.PAUSED, PauseReason.LOGIN
        if cue is AgentCue.NO_ANSWER:
            agent.wants_ready, reason = False, PauseReason.NO_ANSWER
            if agent.after_call is AgentCue.LOGOUT:
                state, reason = AgentState.LOGGED_OUT, ""
        elif cue is AgentCue.LEG_LOST:
            # Back to what they were when the softphone is up again; a log-out that was promised happens now.
            agent.wants_ready = agent.wants_ready or agent.state is not AgentState.PAUSED
            reason = PauseReason.LEG_LOST
            if agent.after_call is AgentCue.LOGOUT:
                state, reason = AgentState.LOGGED_OUT, ""
            elif agent.after_call is AgentCue.PAUSE:
                agent.wants_ready = False
        elif state is AgentState.READY and agent.after_call is not None:
            state = AgentState.LOGGED_OUT if agent.after_call is AgentCue.LOGOUT else AgentState.PAUSED
            reason = agent.after_reason
        self._enter(agent, state, reason, attempt, campaign)
        return True

    def _enter(
        self,
        agent: Agent,
        state: AgentState,
        reason: str,
        attempt: AttemptId | None,
        campaign: CampaignId | None,
    ) -> None:
        now_ns, now_utc = self._runtime.clock.mono_ns(), self._runtime.clock.utc()
        before, spent_s = agent.state, (now_ns - agent.since_ns) / 1e9
        if before is AgentState.LOGGED_OUT:
            agent.session_id = new_id()
        if timer := self._wrap_up_timers.pop(agent.id, None):
            timer.cancel()
        self._longer_s.pop(agent.id, None)
        if before is AgentState.TALKING:
            agent.conversations += 1
        self._work_over(agent, state, spent_s, now_ns)
        agent.state, agent.reason, agent.since_ns = state, reason, now_ns
        if state in (AgentState.RESERVED, AgentState.TALKING):
            agent.attempt_id = attempt or agent.attempt_id
            agent.campaign_id = campaign or agent.campaign_id
            agent.last_attempt_id = agent.attempt_id
        elif state is not AgentState.WRAP_UP:
            agent.attempt_id = None
        if state is AgentState.READY:
            agent.wants_ready = True
            if before is not AgentState.RESERVED:
                agent.idle_since_ns = now_ns
        if state in (AgentState.PAUSED, AgentState.LOGGED_OUT):
            agent.after_call, agent.after_reason = None, ""
        session, attempt_id, boot_id = agent.session_id, agent.attempt_id, self._runtime.boot_id
        intent = _intent(agent)
        event = AgentStateChanged(
            agent_id=agent.id,
            state=state,
            reason=reason,
            attempt_id=attempt_id,
            campaign_id=agent.campaign_id,
            at_mono_ns=now_ns,
        )

        def write(tx: Tx) -> None:
            if state is AgentState.LOGGED_OUT:
                agent_rows.close_session(tx, agent.id, at_utc=now_utc, at_mono_ns=now_ns, boot_id=boot_id)
            else:
                agent_rows.change_state(
                    tx, agent_id=agent.id, session_id=session, state=state, reason=reason, attempt_id=attempt_id,
                    at_utc=now_utc, at_mono_ns=now_ns, boot_id=boot_id, intent=intent,
                )  # fmt: skip

        self._runtime.store(write, event)
        log.info("agent_state_changed", agent_id=agent.id, state=state, reason=reason)
        if state is AgentState.WRAP_UP:
            self._run_wrap_up(agent)
        if before in IN_TALK and state not in IN_TALK:
            self.on_talk_over(agent)
        if state is AgentState.LOGGED_OUT:
            self._on_logged_out(agent)
        self._told_entered(agent, before)
        self._on_free()

    def _work_over(self, agent: Agent, after: AgentState, spent_s: float, now_ns: int) -> None:
        """Tell pacing what ended with the state the agent leaves."""
        if not agent.finishing_ns:
            if kind := _ENDED.get(agent.state):
                self.finished_work.append((agent.campaigns, kind, spent_s))
        elif after is not AgentState.WRAP_UP:
            since_sign_s = (now_ns - agent.finishing_ns) / 1e9
            self.finished_work.append((agent.campaigns, EventKind.FINISHED, since_sign_s))
            agent.finishing_ns = 0

    def _run_wrap_up(self, agent: Agent) -> None:
        """Let the wrap-up end by itself, counted from its beginning."""
        limit_s = self.wrap_up_s(agent)
        spent_s = (self._runtime.clock.mono_ns() - agent.since_ns) / 1e9
        self._wrap_up_timers[agent.id] = self._runtime.later(
            limit_s - spent_s, lambda: self.wrap_up_over(agent)
        )

    def wrap_up_s(self, agent: Agent) -> float:
        """Return how long this wrap-up lasts in all."""
        limit_s = agent.settings.wrap_up_s
        if limit_s is None:
            campaign = self._campaigns.get(agent.campaign_id) if agent.campaign_id else None
            limit_s = campaign.wrap_up_s if campaign else 0.0
        return max(limit_s, self._longer_s.get(agent.id, 0.0))

    def adopt(self, agent: Agent, interval: AgentInterval, campaign: CampaignId | None) -> None:
        """Go on where a former engine was with an agent: the same log-in, the same state, since the same moment.

        Parameters
        ----------
        agent
            Logged out so far, as far as this engine knows.
        interval
            The open one.
        campaign
            Of its attempt, where it has one.
        """
        agent.state, agent.reason = AgentState(interval.state), interval.reason
        agent.since_ns = agent.idle_since_ns = interval.from_mono_ns
        agent.session_id = interval.session_id
        agent.attempt_id = agent.last_attempt_id = (
            AttemptId(interval.attempt_id) if interval.attempt_id else None
        )
        agent.campaign_id = campaign
        agent.wants_ready = bool(interval.wants_ready)
        agent.after_call = AgentCue(interval.after_call) if interval.after_call else None
        agent.after_reason = interval.after_reason or ""
        agent.told_free = not agent.settings.state_from
        if agent.state is AgentState.WRAP_UP:
            self._run_wrap_up(agent)

    def extend_wrap_up(self, name: AgentId, seconds: float) -> None:
        """Let an agent's wrap-up go on for so long from now, if it would have ended sooner; `WRAP_UP_LIMIT_S` in all at most."""
        agent = self[name]
        timer = self._wrap_up_timers.get(name)
        if agent.state is not AgentState.WRAP_UP or timer is None:
            raise CommandRefusedError(f"agent {name} is {agent.state}: there is no wrap-up to extend")
        spent_s = (self._runtime.clock.mono_ns() - agent.since_ns) / 1e9
        if spent_s + seconds > WRAP_UP_LIMIT_S:
            raise CommandRefusedError(f"a wrap-up lasts {WRAP_UP_LIMIT_S:g} s at most; pause instead")
        if self.wrap_up_s(agent) < spent_s + seconds:
            timer.cancel()
            self._longer_s[name] = spent_s + seconds
            self._run_wrap_up(agent)
            told = AgentWrapUpExtended(agent_id=name, seconds=seconds, attempt_id=agent.attempt_id)
            self._runtime.journal.append(told)

    def force(self, name: AgentId, state: AgentState, reason: str) -> None:
        """Bring an agent who is not in a conversation to a state, by a supervisor's word."""
        agent = self[name]
        if state is AgentState.READY:
            self.ready(name)
        elif state is AgentState.PAUSED:
            self.pause(name, reason)
        elif state is AgentState.LOGGED_OUT:
            self.logout(name)
        else:
            raise CommandRefusedError(f"nobody can be forced to be {state}: ready, paused or logged_out")
        log.info("agent_forced", agent_id=agent.id, state=state)

    def wrap_up_over(self, agent: Agent) -> None:
        """End the after-call work: its time is up, or the disposition is in."""
        self.apply(agent, AgentCue.WRAP_UP_OVER)


def _intent(agent: Agent) -> agent_rows.Intent:
    return agent_rows.Intent(
        wants_ready=agent.wants_ready, after_call=agent.after_call, after_reason=agent.after_reason or None
    )
