"""The agents' inbox: chats that wait for a person, and what agents do with theirs, each with its audit entry.

It owns the way of these commands into the store, and whose skills are asked. What may follow what is `chats.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from dialer_core.agent_settings import AgentSettings
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError
from dialer_core.messaging import chats
from dialer_core.messaging.bots import Bots
from dialer_core.store import chats as chat_rows
from dialer_core.store import off_loop
from dialer_core.store.chats import ChatRow
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, CampaignId, ChatState

T = TypeVar("T")


class Inbox:
    """Chats of one host.

    Parameters
    ----------
    database, bots, clock
        The store, the flows that a chat may be given back to, and the time.
    campaigns, agents
        As configured: what a campaign's chats ask for, and what agents can do.
    on_written
        Called after each commit.
    """

    def __init__(
        self,
        database: Database,
        bots: Bots,
        *,
        campaigns: Mapping[CampaignId, CampaignSettings],
        agents: Mapping[AgentId, AgentSettings],
        clock: Clock,
        on_written: Callable[[], None],
    ) -> None:
        self._database = database
        self._bots = bots
        self._campaigns = campaigns
        self._agents = agents
        self._clock = clock
        self._on_written = on_written

    async def chats(self, state: ChatState, *, agent_id: AgentId | None = None) -> list[ChatRow]:
        """Return chats in a state, those that wait longest first; with an agent, theirs, or those waiting that they may take."""

        def read() -> list[ChatRow]:
            own = agent_id if state is ChatState.WITH_AGENT else None
            with self._database.read() as tx:
                found = chat_rows.in_state(tx, state, agent_id=own)
            if state is not ChatState.WAITING or agent_id is None:
                return found
            skills = self._agent(agent_id).skills
            return [one for one in found if not chats.lacking(skills, self._asked(one))]

        return await asyncio.to_thread(read)

    async def take(self, chat_id: str, agent_id: AgentId, *, actor: str) -> ChatRow:
        """Give a chat to an agent.

        Raises
        ------
        CommandRefusedError
            There is no such chat or agent, somebody has it, the agent lacks a skill, or has as many as they may.
        """
        agent = self._agent(agent_id)

        def write(tx: Tx) -> ChatRow:
            asked = self._asked(chats.known(tx, chat_id))
            taken = chats.take(tx, chat_id, agent_id, agent.skills, asked, agent.chats, self._clock.utc())
            tx.audit("chat.taken", f"chat {chat_id}", actor=actor)
            return taken

        return await self._write(write)

    async def move(self, chat_id: str, cue: str, *, actor: str) -> ChatRow:
        """Put a chat back (`put_back`), give it to its flow again, from its beginning (`to_bot`), or close it (`closed`).

        Raises
        ------
        CommandRefusedError
            There is no such chat, or that cannot happen to it now.
        """

        def write(tx: Tx) -> ChatRow:
            now, chat = self._clock.utc(), chats.known(tx, chat_id)
            if cue == "to_bot":
                moved = self._bots.resume(tx, chat, now)
            elif cue in ("put_back", "closed"):
                moved = chats.move(tx, chat, cue, now, agent_id=None)
            else:
                raise CommandRefusedError(f"a chat cannot be {cue}", "invalid")
            tx.audit(f"chat.{cue}", f"chat {chat_id}", actor=actor)
            return moved

        return await self._write(write)

    def _agent(self, agent_id: AgentId) -> AgentSettings:
        agent = self._agents.get(agent_id)
        if agent is None:
            raise CommandRefusedError(f"there is no agent {agent_id}", "unknown")
        return agent

    def _asked(self, chat: ChatRow) -> Mapping[str, int]:
        campaign = self._campaigns.get(CampaignId(chat.campaign_id or ""))
        return campaign.routing.skills if campaign else {}

    async def _write(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.write(self._database, work, self._on_written)
