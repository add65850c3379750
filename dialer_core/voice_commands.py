"""The groups of commands that `EngineHandle` has for what happens on the line. See `plugin_api.py`, from which everybody imports them.

It owns their names and arguments; the base, which sends them, is here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from dialer_core.vocabulary import AgentId, AttemptId, Presence


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says of one agent."""

    agent: str
    """Their id, or what the telephone system calls them (`member` in `agents.toml`)."""
    state: Presence
    order: int
    """Grows with every word of this source on this agent: a sequence, or the time in microseconds. What is not newer is late."""
    reason: str = ""
    """Of a pause, in the source's words."""


class ReportsTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of reports."""

    changed: int = 0
    late: int = 0
    """Not newer than what was known: ignored."""
    unknown: tuple[str, ...] = ()
    """Nobody of `agents.toml` who has this source is called that; ten at most."""


class CommandPort(Protocol):
    """Where commands go: the link to the engine."""

    async def command(self, name: str, args: dict[str, Any], *, actor: str) -> Any:
        """Return the engine's result; raise `NotRunningError` or `CommandRefusedError`."""


class CommandGroup:
    """A group of commands, sent as one actor."""

    def __init__(self, port: CommandPort, actor: str) -> None:
        self._port = port
        self._actor = actor

    async def _send(self, command: str, /, **args: Any) -> Any:
        return await self._port.command(command, args, actor=self._actor)


class DeskCommands(CommandGroup):
    """What an agent does with the conversation they have."""

    async def hold(self, agent: AgentId) -> Any:
        """Play music to the customer; the agent hears nobody."""
        return await self._send("agents.hold", agent=agent)

    async def resume(self, agent: AgentId) -> Any:
        """Take the customer back from hold."""
        return await self._send("agents.resume", agent=agent)

    async def mute(self, agent: AgentId, *, muted: bool = True) -> Any:
        """Let nobody hear the agent, or everybody again."""
        return await self._send("agents.mute" if muted else "agents.unmute", agent=agent)

    async def digits(self, agent: AgentId, digits: str) -> Any:
        """Send digits to the customer, or to the third the agent speaks to alone."""
        return await self._send("agents.digits", agent=agent, digits=digits)

    async def leave_message(self, agent: AgentId) -> Any:
        """Leave the campaign's message with the machine that the agent hears, and free the agent."""
        return await self._send("agents.leave_message", agent=agent)

    async def consult(self, agent: AgentId, *, to_agent: str = "", to_extension: str = "") -> Any:
        """Put the customer on hold and call a third."""
        return await self._send("agents.consult", agent=agent, to_agent=to_agent, to_extension=to_extension)

    async def dismiss(self, agent: AgentId) -> Any:
        """Let the third go, and take the customer back."""
        return await self._send("agents.dismiss", agent=agent)

    async def join(self, agent: AgentId) -> Any:
        """Bring customer, agent and third together."""
        return await self._send("agents.join", agent=agent)

    async def transfer(self, agent: AgentId, *, to_agent: str = "", to_extension: str = "") -> Any:
        """Hand the customer on and leave; neither named: to the third just consulted."""
        return await self._send("agents.transfer", agent=agent, to_agent=to_agent, to_extension=to_extension)

    async def record(self, agent: AgentId, switch: str) -> Any:
        """Begin (`on`), pause, go on with, end (`off`) or discard the recording of the agent's conversation."""
        return await self._send("agents.record", agent=agent, switch=switch)

    async def card_field(self, agent: AgentId, *, focused: bool) -> Any:
        """Say that the agent's cursor is in a field for a card's number, or has left it: the recording pauses, and goes on."""
        return await self._send("agents.card_field", agent=agent, focused=focused)

    async def extend_wrap_up(self, agent: AgentId, seconds: float) -> Any:
        """Let the agent's wrap-up go on for so long from now."""
        return await self._send("agents.extend_wrap_up", agent=agent, seconds=seconds)


class SupervisionCommands(CommandGroup):
    """What a supervisor does with agents."""

    async def supervise(self, supervisor: str, agent: AgentId, mode: str) -> Any:
        """Be with an agent from a supervisor's phone: listen, whisper or barge; again: switch."""
        return await self._send("agents.supervise", supervisor=supervisor, agent=agent, mode=mode)

    async def stop(self, supervisor: str) -> Any:
        """Hang the supervisor's phone up."""
        return await self._send("supervisors.stop", supervisor=supervisor)

    async def take_over(self, supervisor: str) -> Any:
        """Give the customer of the agent they are with to the supervisor."""
        return await self._send("supervisors.take_over", supervisor=supervisor)

    async def force(
        self, agent: AgentId, state: str, *, reason: str = "supervisor", now: bool = False
    ) -> Any:
        """Make an agent ready, paused or logged out; with `now` also out of a conversation, whose customer goes to the next agent."""
        return await self._send("agents.force", agent=agent, state=state, reason=reason, now=now)


class AgentStates(CommandGroup):
    """What a source of agents' states says; a plugin speaks for itself alone: for agents whose `state_from` names it."""

    async def tell(self, reports: Sequence[AgentReport], *, stale_after_s: float) -> ReportsTaken:
        """Say how agents are. It is believed for `stale_after_s`: say something, nothing new too, well before that is over."""
        args = {"reports": msgspec.to_builtins(list(reports)), "stale_after_s": stale_after_s}
        return msgspec.convert(await self._send("agents.told", **args), ReportsTaken)

    async def connected(self, attempt: AttemptId, agent: str = "") -> Any:
        """Say that an agent of the queue has the call that was delivered there; which, by their id or as the source calls them."""
        return await self._send("calls.connected", attempt=attempt, agent=agent)
