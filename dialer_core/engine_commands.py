"""What the engine does for whoever holds an `EngineHandle`: campaigns, agents, calls, attempts.

It owns the names and arguments of these commands; what they do is the engine's (`control.py`). Those of the desk and of supervisors are
`voice_commands.py`'s, those that the host answers itself `host_commands.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import msgspec

from dialer_core.snapshot import CallView
from dialer_core.vocabulary import AgentId, AttemptId, CampaignId
from dialer_core.voice_commands import CommandGroup


class CampaignCommands(CommandGroup):
    """Campaigns: what may be dialed now."""

    async def start(self, campaign: CampaignId, *, reason: str = "") -> Any:
        """Let it dial. Refused where it is finished or its configuration forbids it."""
        return await self._send("campaigns.start", campaign=campaign, reason=reason)

    async def pause(self, campaign: CampaignId, *, reason: str = "") -> Any:
        """Place nothing new; attempts alive go on."""
        return await self._send("campaigns.pause", campaign=campaign, reason=reason)

    async def stop(self, campaign: CampaignId, *, reason: str = "") -> Any:
        """Place nothing new, and cancel what has not been answered."""
        return await self._send("campaigns.stop", campaign=campaign, reason=reason)

    async def release(self, campaign: CampaignId, *, reason: str = "") -> Any:
        """Let a draft be started from now on."""
        return await self._send("campaigns.release", campaign=campaign, reason=reason)

    async def archive(self, campaign: CampaignId, *, reason: str = "") -> Any:
        """Put away a campaign that is stopped, finished or a draft: it takes no leads and cannot be started."""
        return await self._send("campaigns.archive", campaign=campaign, reason=reason)

    async def reopen(self, campaign: CampaignId, *, reason: str = "") -> Any:
        """Take an archived campaign out again; it is stopped."""
        return await self._send("campaigns.reopen", campaign=campaign, reason=reason)

    async def steer(self, campaign: CampaignId, **what: str | float) -> Any:
        """Set `pacing`, `ratio` or `ceiling_share` until further notice, over restarts; nothing named: all as the file says."""
        return await self._send("campaigns.steer", campaign=campaign, what=what)


class AgentCommands(CommandGroup):
    """Agents: who takes people now."""

    async def login(self, agent: AgentId, *, reason: str = "") -> Any:
        """Call the agent's softphone and keep the leg."""
        return await self._send("agents.login", agent=agent, reason=reason)

    async def ready(self, agent: AgentId, *, reason: str = "") -> Any:
        """Offer people to the agent; ends a pause or wrap-up."""
        return await self._send("agents.ready", agent=agent, reason=reason)

    async def pause(self, agent: AgentId, *, reason: str) -> Any:
        """Offer nobody to the agent. The conversation they have goes on; the interval keeps the reason."""
        return await self._send("agents.pause", agent=agent, reason=reason)

    async def finishing(self, agent: AgentId, *, reason: str = "") -> Any:
        """Say that the agent is about to be done (their disposition form is open, say): pacing then knows better when they are free."""
        return await self._send("agents.finishing", agent=agent, reason=reason)

    async def preview(self, agent: AgentId) -> Any:
        """Return the lead that the agent is shown: lead, account, campaign, seconds_left, attempt; empty: none."""
        return await self._send("agents.preview", agent=agent)

    async def accept(self, agent: AgentId) -> Any:
        """Dial the lead that the agent is shown; return its attempt."""
        return await self._send("agents.accept", agent=agent)

    async def skip(self, agent: AgentId, *, reason: str = "") -> Any:
        """Do not dial the lead that the agent is shown; the next one comes."""
        return await self._send("agents.skip", agent=agent, reason=reason)

    async def next_number(
        self, agent: AgentId, *, disposition: str | None = None, reason: str | None = None
    ) -> Any:
        """Dial the next number of the same person, to this agent alone, by the gate and its caps; a call that is up ends first. Return the attempt.

        `disposition`, where it is given, is what the agent says of the call before.
        """
        args = {"disposition": disposition, "reason": reason}
        given = {key: value for key, value in args.items() if value is not None}
        return await self._send("agents.next_number", agent=agent, **given)

    async def logout(self, agent: AgentId, *, reason: str = "") -> Any:
        """End the agent's leg and log-in."""
        return await self._send("agents.logout", agent=agent, reason=reason)

    async def move(self, agent: AgentId, campaigns: Collection[CampaignId]) -> Any:
        """Let the agent work for these campaigns from the next person on, over restarts; none: for those that the file says."""
        return await self._send("agents.move", agent=agent, campaigns=list(campaigns))


class CallCommands(CommandGroup):
    """Attempts that are alive."""

    async def list(self) -> tuple[CallView, ...]:
        """Return every live attempt."""
        return msgspec.convert(await self._send("calls.list"), tuple[CallView, ...])

    async def hangup(self, attempt: AttemptId) -> Any:
        """End one attempt: CANCEL or BYE."""
        return await self._send("calls.hangup", attempt=attempt)


class AttemptCommands(CommandGroup):
    """What is said of an attempt."""

    async def disposition(
        self,
        disposition: str,
        *,
        agent: AgentId,
        attempt: AttemptId | None = None,
        callback_at: dt.datetime | None = None,
        reason: str | None = None,
    ) -> Any:
        """Store what the agent says it was; without `attempt`, of that agent's present or last one.

        `callback_at` is when the person asked to be called, for `callback`; by default a day later. `reason` is why they do not pay.
        Both words are the campaign's (`/campaigns/{campaign}/dispositions`).
        """
        args: dict[str, Any] = {"agent": agent, "disposition": disposition}
        if attempt:
            args["attempt"] = attempt
        if callback_at is not None:
            args["callback_at"] = callback_at.isoformat()
        if reason is not None:
            args["reason"] = reason
        return await self._send("attempts.disposition", **args)
