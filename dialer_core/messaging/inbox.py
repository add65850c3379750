"""The agents' inbox: chats that wait for a person, and what agents do with theirs, each with its audit entry.

It owns the way of these commands into the store, whose skills are asked, and that an agent at their desk moves and answers their own chats only.
What may follow what is `chats.py`'s, what a desk is shown `inbox_views.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from dialer_core.agent_settings import AgentSettings
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError
from dialer_core.messaging import chats, inbox_views
from dialer_core.messaging.bots import Bots
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.inbox_views import ChatTalk, InboxCount, InboxView
from dialer_core.store import chats as chat_rows
from dialer_core.store import off_loop
from dialer_core.store.chats import ChatRow
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, CampaignId, ChatState
from dialer_core.voice_events import IdentityVerified

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
        own = agent_id if state is ChatState.WITH_AGENT else None
        found = await self._read(lambda tx: chat_rows.in_state(tx, state, agent_id=own))
        if state is not ChatState.WAITING or agent_id is None:
            return found
        skills = self._agent(agent_id).skills
        return [one for one in found if not chats.lacking(skills, self._asked(one))]

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

    async def move(self, chat_id: str, cue: str, *, actor: str, agent_id: AgentId | None = None) -> ChatRow:
        """Put a chat back (`put_back`), give it to its flow again, from its beginning (`to_bot`), or close it (`closed`).

        With an agent: only if it is theirs.

        Raises
        ------
        CommandRefusedError
            There is no such chat, or that cannot happen to it now.
        """

        def write(tx: Tx) -> ChatRow:
            now = self._clock.utc()
            chat = chats.known(tx, chat_id) if agent_id is None else _theirs(tx, chat_id, agent_id)
            if cue == "to_bot":
                moved = self._bots.resume(tx, chat, now)
            elif cue in ("put_back", "closed"):
                moved = chats.move(tx, chat, cue, now, agent_id=None)
            else:
                raise CommandRefusedError(f"a chat cannot be {cue}", "invalid")
            tx.audit(f"chat.{cue}", f"chat {chat_id}", actor=actor)
            return moved

        return await self._write(write)

    async def view(self, agent_id: AgentId) -> InboxView:
        """Return an agent's chats, and those that wait and that they may take.

        Raises
        ------
        CommandRefusedError
            There is no such agent.
        """
        agent = self._agent(agent_id)
        return await self._read(lambda tx: inbox_views.view(tx, agent_id, agent, self._asked))

    async def counts(self) -> dict[AgentId, InboxCount]:
        """Return what each agent's inbox comes to, for all of them in one reading; agents who have nothing to do with any chat are left out."""
        return await self._read(lambda tx: inbox_views.counts(tx, self._agents, self._asked))

    async def talk(self, chat_id: str, agent_id: AgentId) -> ChatTalk:
        """Return one of an agent's chats with what was written; of the debt nothing before the person is known (I19).

        Raises
        ------
        CommandRefusedError
            There is no such chat, or it is not theirs.
        """
        return await self._read(lambda tx: inbox_views.talk(tx, _theirs(tx, chat_id, agent_id, keep=False)))

    async def seen(self, chat_id: str, agent_id: AgentId) -> None:
        """Note that an agent has all of their chat before them; refused where it is not theirs."""

        def write(tx: Tx) -> None:
            chat_rows.put(tx, replace(_theirs(tx, chat_id, agent_id), seen_at_utc=self._clock.utc()))

        await self._write(write)

    async def identify(self, chat_id: str, agent_id: AgentId, *, actor: str) -> None:
        """Note that an agent has made sure that it is the chat's person who writes; refused where it is not theirs, or is nobody's."""

        def write(tx: Tx) -> None:
            chat = _theirs(tx, chat_id, agent_id)
            if chat.person_id is None:
                raise CommandRefusedError("nobody is known to write from this address")
            chat_rows.put(tx, replace(chat, identified_at_utc=self._clock.utc()))
            tx.audit("identity.verified", f"chat {chat_id}", actor=actor)
            tx.emit(
                IdentityVerified(
                    campaign_id=chat.campaign_id, account_id=chat.account_id, chat_id=chat_id, by="agent", step=agent_id
                )
            )  # fmt: skip

        await self._write(write)

    async def reply(self, chat_id: str, agent_id: AgentId, text: str, key: str) -> MessageRequest:
        """Return what an agent's answer comes to as a message; `key` names it, so that one sent again is queued once.

        Raises
        ------
        CommandRefusedError
            The chat is not theirs any more, or what was written is about no account.
        """

        def ask(tx: Tx) -> MessageRequest:
            chat = _theirs(tx, chat_id, agent_id, keep=False)
            its = inbox_views.about(tx, chat)
            if its is None:
                raise CommandRefusedError(
                    "this address is of nobody on any list: call them, or close the chat"
                )
            return MessageRequest(
                campaign_id=its[1], account_id=its[0], body=text, channel=chat.channel, address=chat.address, request_key=f"chat:{key}",
            )  # fmt: skip

        return await self._read(ask)

    def _agent(self, agent_id: AgentId) -> AgentSettings:
        agent = self._agents.get(agent_id)
        if agent is None:
            raise CommandRefusedError(f"there is no agent {agent_id}", "unknown")
        return agent

    def _asked(self, chat: ChatRow) -> Mapping[str, int]:
        campaign = self._campaigns.get(CampaignId(chat.campaign_id or ""))
        return campaign.routing.skills if campaign else {}

    async def _read(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.read(self._database, work)

    async def _write(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.write(self._database, work, self._on_written)


def _theirs(tx: Tx, chat_id: str, agent_id: AgentId, *, keep: bool = True) -> ChatRow:
    chat = chats.known(tx, chat_id, keep=keep)
    if chat.state is not ChatState.WITH_AGENT or chat.agent_id != agent_id:
        raise CommandRefusedError("this chat is not with this agent any more: look at the inbox")
    return chat
