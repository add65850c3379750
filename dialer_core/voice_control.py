"""Commands of what happens on the line: what agents do with their conversation, and supervisors with agents.

It owns the mapping from their names to `calls/desk.py` and `calls/supervision.py`, and decides nothing.
"""

from __future__ import annotations

import enum
from typing import Any, TypeVar

import msgspec

from dialer_core.call_loop import CallLoop
from dialer_core.command_arguments import ACTOR, Args, Command, InvalidError, agent_of, seconds_of, text_of
from dialer_core.vocabulary import AgentState, AttemptId, RecordSwitch, SupervisionMode

E = TypeVar("E", bound=enum.StrEnum)


def voice_commands(engine: CallLoop) -> dict[str, Command]:
    """Return the commands by name."""
    desk, roster, supervision = engine.desk, engine.roster, engine.desk.supervision

    def force(args: Args) -> None:
        """Bring an agent to a state; with `now`, out of their conversation, whose customer goes to the next agent."""
        name, state = agent_of(engine, args), _member(AgentState, args, "state")
        if args.get("now") and state is not AgentState.READY:
            desk.release(roster[name])
        reason, actor = text_of(args, "reason", "supervisor"), text_of(args, ACTOR, "")
        roster.force(name, state, reason)
        said = {"state": state.value, "reason": reason, "now": bool(args.get("now"))}
        engine.runtime.store(lambda tx: tx.audit("agent.forced", f"agent {name}", actor=actor, **said))

    def told_states(args: Args) -> dict[str, Any]:
        """Take what a source of agents' states says."""
        reports = args.get("reports")
        if not isinstance(reports, list):
            raise InvalidError("reports is missing; it must be a list")
        taken = engine.presences.heard(_source(args), seconds_of(args, "stale_after_s"), reports)
        found: dict[str, Any] = msgspec.to_builtins(taken)
        return found

    return {
        "agents.told": told_states,
        "calls.connected": lambda args: engine.deliveries.told(
            AttemptId(text_of(args, "attempt")), text_of(args, "agent", ""), _source(args)
        ),
        "agents.hold": lambda args: desk.hold(agent_of(engine, args)),
        "agents.resume": lambda args: desk.resume(agent_of(engine, args)),
        "agents.mute": lambda args: desk.mute(agent_of(engine, args), muted=True),
        "agents.unmute": lambda args: desk.mute(agent_of(engine, args), muted=False),
        "agents.digits": lambda args: desk.send_digits(agent_of(engine, args), text_of(args, "digits")),
        "agents.leave_message": lambda args: desk.leave_message(agent_of(engine, args)),
        "agents.consult": lambda args: desk.consult(agent_of(engine, args), **_target(args, needed=True)),
        "agents.dismiss": lambda args: desk.dismiss(agent_of(engine, args)),
        "agents.join": lambda args: desk.join(agent_of(engine, args)),
        "agents.transfer": lambda args: desk.transfer(agent_of(engine, args), **_target(args, needed=False)),
        "agents.extend_wrap_up": lambda args: roster.extend_wrap_up(
            agent_of(engine, args), seconds_of(args, "seconds")
        ),
        "agents.record": lambda args: desk.record(
            agent_of(engine, args), _member(RecordSwitch, args, "switch"), text_of(args, ACTOR, "")
        ),
        "agents.card_field": lambda args: desk.card_field(
            agent_of(engine, args), text_of(args, ACTOR, ""), focused=bool(args.get("focused"))
        ),
        "agents.force": force,
        "agents.supervise": lambda args: supervision.supervise(
            text_of(args, "supervisor"), agent_of(engine, args), _member(SupervisionMode, args, "mode"),
            text_of(args, ACTOR, ""),
        ),
        "supervisors.stop": lambda args: supervision.stop(text_of(args, "supervisor")),
        "supervisors.take_over": lambda args: desk.take_over(text_of(args, "supervisor"), text_of(args, ACTOR, "")),
    }  # fmt: skip


def _source(args: Args) -> str:
    """Return the plugin that gives a command; a plugin speaks for itself alone."""
    actor = text_of(args, ACTOR, "")
    return actor.removeprefix("plugin:") if actor.startswith("plugin:") else ""


def _target(args: Args, *, needed: bool) -> dict[str, str]:
    found = {"extension": text_of(args, "to_extension", ""), "agent": text_of(args, "to_agent", "")}
    if all(found.values()) or (needed and not any(found.values())):
        raise InvalidError("name one of to_agent and to_extension")
    return found


def _member(kind: type[E], args: Args, key: str) -> E:
    text = text_of(args, key)
    try:
        return kind(text)
    except ValueError:
        raise InvalidError(f"{key} {text!r} is not known; allowed are: {', '.join(kind)}") from None
