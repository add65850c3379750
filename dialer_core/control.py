"""What can be asked of the running engine: every `HostCommand` by name, and the status it answers.

It owns the mapping from command names to the engine's parts and the building of `Snapshot`. It decides nothing itself.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import structlog

from dialer_core.agents.state import Agent
from dialer_core.call_loop import CallLoop
from dialer_core.calls.flow_work import Prepared
from dialer_core.campaigns import dispositions
from dialer_core.campaigns.run import SHELF, CampaignCue
from dialer_core.command_arguments import ACTOR, Args, Command, InvalidError, UnknownError, agent_of, text_of
from dialer_core.compliance.detection_quality import Quality
from dialer_core.errors import CommandRefusedError
from dialer_core.ipc.messages import HostCommand, HostReply, MediaHealth
from dialer_core.snapshot import (
    AgentView,
    CallView,
    CampaignView,
    MediaView,
    ShownView,
    Snapshot,
    TrunkView,
    WorkerView,
)
from dialer_core.steering import steering_commands
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AgentState,
    AttemptId,
    AttemptState,
    CampaignId,
    LegId,
    Outcome,
)
from dialer_core.voice_control import voice_commands

log = structlog.get_logger(__name__)

_LONGEST_CALLBACK = dt.timedelta(days=366)

_DIALING = (
    AttemptState.COMMITTED,
    AttemptState.PLACING,
    AttemptState.DIALING,
    AttemptState.RINGING,
    AttemptState.EARLY_MEDIA,
)

_TALKING = (AttemptState.BRIDGED, AttemptState.BRIDGING, AttemptState.TRANSFERRING, AttemptState.TRANSFERRED)


class Control:
    """Answers commands for one engine."""

    def __init__(self, engine: CallLoop) -> None:
        self._engine = engine
        self._commands: dict[str, Command] = {
            "status": lambda _args: msgspec.to_builtins(self.snapshot()),
            "calls.list": lambda _args: msgspec.to_builtins(self.calls()),
            "calls.hangup": self._hangup,
            "campaigns.start": lambda args: engine.dialing.start(self._campaign(args)),
            "campaigns.pause": lambda args: engine.dialing.pause(
                self._campaign(args), text_of(args, "reason", "")
            ),
            "campaigns.stop": lambda args: engine.dialing.stop(
                self._campaign(args), text_of(args, "reason", "")
            ),
            **{f"campaigns.{cue}": partial(self._shelve, cue) for cue in SHELF},
            "agents.login": lambda args: engine.login(agent_of(engine, args)),
            "agents.ready": lambda args: engine.roster.ready(agent_of(engine, args)),
            "agents.pause": lambda args: engine.roster.pause(
                agent_of(engine, args), text_of(args, "reason", "")
            ),
            "agents.finishing": lambda args: engine.roster.finishing(agent_of(engine, args)),
            "agents.preview": lambda args: engine.previews.view(agent_of(engine, args)),
            "agents.accept": lambda args: engine.previews.accept(agent_of(engine, args)),
            "agents.skip": lambda args: engine.previews.skip(
                agent_of(engine, args), text_of(args, "reason", "")
            ),
            "agents.next_number": self._next_number,
            "agents.logout": lambda args: engine.roster.logout(agent_of(engine, args)),
            "attempts.disposition": self._dispose,
            "flows.ready": lambda _args: engine.host_is(there=True),
            "flows.prepared": self._flow_prepared,
            **voice_commands(engine),
            **steering_commands(engine),
            "engine.drain": lambda _args: engine.drain(),
        }

    def answer(self, command: HostCommand, reply: Callable[[HostReply], None]) -> None:
        """Carry a command out and reply once: at once, or when the store has what the command wrote. Every failure is a reply."""
        handler = self._commands.get(command.name, partial(_no_such_command, command.name))
        try:
            result = handler({**command.args, ACTOR: command.actor})
        except Exception as error:  # noqa: BLE001 - the call loop must outlive a mistake in a command; it is logged there
            reply(self._failure(command, error))
        else:
            if isinstance(result, asyncio.Future):
                result.add_done_callback(lambda done: reply(self._outcome(command, done)))
            else:
                reply(HostReply(request_id=command.request_id, result=result))
        if command.name not in ("status", "calls.list", "flows.prepared", "agents.told"):
            log.info("command", command=command.name, actor=command.actor)

    def _outcome(self, command: HostCommand, done: asyncio.Future[Any]) -> HostReply:
        if done.cancelled():
            return HostReply(request_id=command.request_id, error="the engine is stopping", kind="refused")
        if (error := done.exception()) is not None:
            return self._failure(command, error)
        return HostReply(request_id=command.request_id, result=done.result())

    @staticmethod
    def _failure(command: HostCommand, error: BaseException) -> HostReply:
        kinds = {UnknownError: "unknown", InvalidError: "invalid"}
        if isinstance(error, (UnknownError, InvalidError, CommandRefusedError)):
            kind = error.kind if isinstance(error, CommandRefusedError) else kinds[type(error)]
            return HostReply(request_id=command.request_id, error=str(error.args[0]), kind=kind)
        log.error("command_failed", command=command.name, error=type(error).__name__, exc_info=error)
        return HostReply(
            request_id=command.request_id,
            error="the engine failed on this command; see its log",
            kind="internal",
        )

    def _campaign(self, args: Args) -> CampaignId:
        name = CampaignId(text_of(args, "campaign"))
        if name not in self._engine.dialing.campaigns:
            known = ", ".join(sorted(self._engine.dialing.campaigns)) or "none"
            raise UnknownError(f"no campaign {name!r}; known are: {known}")
        return name

    def _hangup(self, args: dict[str, Any]) -> None:
        attempt = self._engine.machine.attempts.get(AttemptId(text_of(args, "attempt")))
        leg_id = LegId(text_of(args, "attempt"))
        if attempt is None and self._engine.inbound.owns(
            leg_id
        ):  # a call that came in has its leg's id alone
            self._engine.inbound.hang_up(leg_id)
            return
        if attempt is None:
            raise UnknownError("no live call has this id")
        self._engine.flow.release(attempt, Outcome.CANCELLED)

    def _flow_prepared(self, args: dict[str, Any]) -> bool:
        try:
            told = msgspec.convert({key: value for key, value in args.items() if key != ACTOR}, Prepared)
        except msgspec.ValidationError as error:
            raise InvalidError(f"this prepares no call: {error}") from None
        return self._engine.flow_calls.prepared(told)

    def _shelve(self, cue: CampaignCue, args: Args) -> None:
        self._engine.dialing.shelve(self._campaign(args), cue, text_of(args, "reason", ""))

    def _next_number(self, args: dict[str, Any]) -> asyncio.Future[dict[str, str]]:
        agent_id = agent_of(self._engine, args)
        said = self._said(args) if args.get("disposition") else None
        return self._engine.previews.next_number(agent_id, said)

    def _dispose(self, args: dict[str, Any]) -> asyncio.Future[dict[str, str]]:
        agent = self._engine.roster[agent_of(self._engine, args)]
        write = self._said(args)
        attempt_id = args.get("attempt") or agent.last_attempt_id
        if agent.state is AgentState.WRAP_UP and attempt_id == agent.last_attempt_id:
            self._engine.roster.wrap_up_over(agent)
        return self._engine.runtime.journal.submit(write)

    def _said(self, args: dict[str, Any]) -> Callable[[Tx], dict[str, str]]:
        """Return the unit that stores what an agent says of a conversation, its words checked."""
        agent_id = agent_of(self._engine, args)
        agent = self._engine.roster[agent_id]
        disposition = text_of(args, "disposition")
        attempt_id = AttemptId(args["attempt"]) if args.get("attempt") else agent.last_attempt_id
        call = self._engine.inbound.last_of.get(agent_id) if attempt_id is None else None
        campaigns = self._engine.settings.campaigns
        if not any(disposition in dispositions.words_of(its) for its in (None, *campaigns.values())):
            raise InvalidError(f"{disposition!r} is no disposition of any campaign")
        if attempt_id is None and call is None:
            raise CommandRefusedError(f"agent {agent_id} has had no conversation since the engine started")
        now_utc = self._engine.runtime.clock.utc()
        reason = str(args["reason"]) if args.get("reason") else None
        if attempt_id == agent.last_attempt_id:  # a word that does not exist must not end the wrap-up
            its = campaigns.get(agent.campaign_id) if agent.campaign_id else None
            dispositions.check(its, disposition, reason)
        callback_at = _callback_time(args, now_utc)
        if attempt_id is None and call is not None:
            dispositions.check(campaigns.get(call.campaign_id), disposition, reason)
            leg_id, campaign_id, caller = call.leg_id, call.campaign_id, call.caller

            def write_of_call(tx: Tx) -> dict[str, str]:
                lead = dispositions.apply_to_call(
                    tx, leg_id=leg_id, campaign_id=campaign_id, caller=caller, disposition=disposition, agent_id=agent_id,
                    now=now_utc, callback_at=callback_at, reason=reason, campaigns=campaigns,
                )  # fmt: skip
                return {"call": leg_id, "disposition": disposition, "lead": lead or ""}

            return write_of_call
        assert attempt_id is not None  # noqa: S101 - looked at above

        def write(tx: Tx) -> dict[str, str]:
            lead_state = dispositions.apply(
                tx,
                attempt_id=attempt_id,
                disposition=disposition,
                agent_id=agent_id,
                now=now_utc,
                callback_at=callback_at,
                reason=reason,
                campaigns=campaigns,
            )
            return {"attempt": attempt_id, "disposition": disposition, "lead": lead_state}

        return write

    # --- status --------------------------------------------------------------------------------------------------------------------

    def calls(self) -> tuple[CallView, ...]:
        """Every live attempt, the oldest first."""
        now_ns = self._engine.runtime.clock.mono_ns()
        return tuple(
            CallView(
                attempt_id=a.id, campaign=a.campaign_id, state=a.state, trunk=a.trunk, agent=a.agent_id,
                seconds=round((now_ns - a.committed_ns) / 1e9, 3),
            )
            for a in sorted(self._engine.machine.attempts.values(), key=lambda a: a.committed_ns)
        )  # fmt: skip

    def snapshot(self) -> Snapshot:
        """Everything a status page needs, from memory."""
        engine = self._engine
        now_ns = engine.runtime.clock.mono_ns()
        return Snapshot(
            node=engine.runtime.node,
            at_utc=engine.runtime.clock.utc().isoformat(),
            uptime_s=round((now_ns - engine.started_ns) / 1e9, 1),
            draining=engine.dialing.draining,
            store_healthy=engine.runtime.journal.healthy,
            media_attached=engine.media_ready,
            loop_lag_ms_p50=round(engine.lag.p50_ms(), 2),
            media=_media_view(engine.media.last_health),
            loop_lag_ms_p99=round(engine.lag.p99_ms(), 2),
            loop_lag_ms_max=round(engine.lag.max_ms(), 2),
            command_to_wire_ms_p95=round(engine.workers.command_to_wire.quantile_ms(0.95), 2),
            brake=engine.lag.brake(),
            held=engine.dialing.held_reason(),
            store_backlog=engine.runtime.journal.backlog,
            campaigns=tuple(self._campaign_view(name) for name in engine.dialing.campaigns),
            agents=tuple(self._agent_view(agent, now_ns) for agent in engine.roster.all()),
            trunks=tuple(
                TrunkView(
                    id=trunk.id, state=trunk.state, reason=trunk.reason, lines=trunk.settings.lines, lines_used=trunk.lines_used,
                    calls_per_second=trunk.settings.calls_per_second,
                )
                for trunk in engine.trunks.all()
            ),
            workers=tuple(
                WorkerView(id=worker.id, attached=worker.ready, slots_used=worker.slots_used, capacity=worker.capacity, rss_mb=worker.rss_mb,
                           draining=worker.draining)
                for worker in sorted(engine.workers.workers.values(), key=lambda worker: worker.id)
            ),
        )  # fmt: skip

    def _agent_view(self, agent: Agent, now_ns: int) -> AgentView:
        desk = self._engine.desk
        talk, shown = desk.talks.get(agent.id), self._engine.previews.view(agent.id)
        return AgentView(
            id=agent.id, name=agent.settings.name, state=agent.state, reason=agent.reason, leg_up=agent.leg_up,
            seconds_in_state=round((now_ns - agent.since_ns) / 1e9, 1), attempt_id=agent.attempt_id, last_attempt_id=agent.last_attempt_id,
            campaign=agent.campaign_id, campaigns=tuple(sorted(agent.works_for)),
            conversations=agent.conversations,
            wrap_up_s=self._engine.roster.wrap_up_s(agent) if agent.state is AgentState.WRAP_UP else None,
            talk=talk.state if talk else "", muted=talk is not None and talk.muted,
            third=talk.third.name if talk and talk.third else "", supervised=desk.mode_of(agent) or "",
            recording=desk.recordings.of(talk) if talk else "",
            after=agent.after_call or "", after_reason=agent.after_reason if agent.after_call else "",
            shown=msgspec.convert(shown, ShownView) if shown else None,
        )  # fmt: skip

    def _campaign_view(self, name: CampaignId) -> CampaignView:
        campaign = self._engine.dialing.campaigns[name]
        states = [
            attempt.state for attempt in self._engine.machine.attempts.values() if attempt.campaign_id == name
        ]
        return CampaignView(
            id=name,
            state=campaign.state,
            reason=campaign.reason,
            pacing=campaign.settings.pacing,
            detection=campaign.settings.detection,
            attempts=campaign.attempts,
            dialing=sum(state in _DIALING for state in states),
            listening=states.count(AttemptState.LISTENING) + states.count(AttemptState.LEAVING_MESSAGE),
            waiting=states.count(AttemptState.WAITING) + states.count(AttemptState.ABANDONING),
            talking=sum(state in _TALKING for state in states),
            live_answers=campaign.live_answers,
            abandoned=campaign.abandoned,
            outcomes=dict(campaign.outcomes),
            **_quality(campaign.quality),
            ledger_live=campaign.ledger_live,
            ledger_abandoned=campaign.ledger_abandoned,
            abandonment_ceiling=campaign.ceiling,
            last_decision=campaign.last_decision,
            ceiling_share=campaign.settings.ceiling_share,
            ratio=campaign.settings.ratio,
            steered=campaign.settings is not self._engine.settings.campaigns[name],
        )


def _no_such_command(name: str, _args: dict[str, Any]) -> None:
    raise UnknownError(f"there is no command {name!r}")


def _quality(found: Quality | None) -> dict[str, Any]:
    if found is None:
        return {}
    lost = found.people_lost
    return {
        "people_lost": lost.estimate,
        "people_lost_low": lost.low,
        "people_lost_high": lost.high,
        "machines_passed": found.machines_passed.estimate,
        "machines_passed_low": found.machines_passed.low,
        "machines_passed_high": found.machines_passed.high,
    }


def _media_view(health: MediaHealth | None) -> MediaView | None:
    if health is None:
        return None
    return MediaView(**{name: getattr(health, name) for name in MediaView.__struct_fields__})


def _callback_time(args: dict[str, Any], now: dt.datetime) -> dt.datetime | None:
    """Return when somebody asked to be called, if they did."""
    if not args.get("callback_at"):
        return None
    try:
        at = dt.datetime.fromisoformat(str(args["callback_at"]))
    except ValueError:
        raise InvalidError("callback_at is no time; write YYYY-MM-DDTHH:MM-06:00") from None
    if at.tzinfo is None:
        raise InvalidError("callback_at has no offset; write YYYY-MM-DDTHH:MM-06:00")
    if not now < at < now + _LONGEST_CALLBACK:
        raise InvalidError("callback_at lies in the past, or more than a year ahead")
    return at.astimezone(dt.UTC)
