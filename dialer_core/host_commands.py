"""What the host itself does for whoever holds an `EngineHandle`: messages, chats and strategies.

It owns the acting name that goes with each command. The rules are `messaging/messenger.py`'s and `portfolio/strategies.py`'s; commands that
the engine answers are groups of their own (`voice_commands.py`, `plugin_api.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from dialer_core.errors import CommandRefusedError
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.inbox import Inbox
from dialer_core.messaging.inbox_views import ChatTalk, InboxCount, InboxView
from dialer_core.messaging.messenger import ChannelView, MessageOption, Messenger
from dialer_core.portfolio.strategies import Strategies, StrategyRequest
from dialer_core.store.chats import ChatRow
from dialer_core.store.email_addresses import EmailRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.strategy_runs import Begun, StrategyView
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    CampaignId,
    ChatState,
    MessageId,
    MessageState,
    PersonId,
)


class MessageCommands:
    """Messages over other channels than the telephone: queued here, sent through the gate and a plugin's channel."""

    def __init__(self, messenger: Messenger | None, actor: str) -> None:
        self._messenger = messenger
        self._actor = actor

    @property
    def _its(self) -> Messenger:
        if self._messenger is None:
            raise CommandRefusedError("this process sends no messages")
        return self._messenger

    async def queue(self, request: MessageRequest) -> MessageId:
        """Queue a message; return its id. Refused where it cannot be sent as asked: nothing is queued then."""
        return await self._its.queue(request, actor=self._actor)

    async def options(
        self, account: AccountId, campaign: CampaignId, *, language: str = ""
    ) -> tuple[MessageOption, ...]:
        """Return every template as it would be sent about an account, and what the gate says of it now."""
        return await self._its.options(account, campaign, language=language)

    async def conversation(self, person: PersonId) -> list[MessageRow]:
        """Return what was written to and by a person, over all channels, the oldest first."""
        return await self._its.conversation(person)

    async def end_link(self, message: MessageId) -> None:
        """End the link to a document that a message carried; refused where it carried none."""
        await self._its.end_link(message, actor=self._actor)

    async def add_email(self, person: PersonId, address: str) -> list[EmailRow]:
        """Give a person an e-mail address; return all of theirs. Refused where it is none, or there is no such person."""
        return await self._its.add_email(person, address, actor=self._actor)

    async def in_state(self, state: MessageState) -> list[MessageRow]:
        """Return messages in a state, the newest first."""
        return await self._its.in_state(state)

    async def channels(self) -> tuple[ChannelView, ...]:
        """Return every channel with what waits in it."""
        return await self._its.channels()

    async def release(self, message: MessageId) -> None:
        """Send a held message again."""
        await self._its.release(message, actor=self._actor)

    async def cancel(self, message: MessageId, *, reason: str = "command") -> None:
        """Take back a message that has not been sent."""
        await self._its.cancel(message, actor=self._actor, reason=reason)


class ChatCommands:
    """The agents' inbox: chats that wait for a person, and what agents do with theirs."""

    def __init__(self, messenger: Messenger | None, actor: str) -> None:
        self._messenger = messenger
        self._actor = actor

    @property
    def _its(self) -> Inbox:
        if self._messenger is None:
            raise CommandRefusedError("this process has no inbox")
        return self._messenger.inbox

    async def in_state(self, state: ChatState, *, agent: AgentId | None = None) -> list[ChatRow]:
        """Return chats in a state, those that wait longest first; with an agent, theirs, or those waiting that they may take."""
        return await self._its.chats(state, agent_id=agent)

    async def take(self, chat: str, agent: AgentId) -> ChatRow:
        """Give a chat to an agent; refused where they lack a skill or have as many as they may."""
        return await self._its.take(chat, agent, actor=self._actor)

    async def put_back(self, chat: str, *, of: AgentId | None = None) -> ChatRow:
        """Let somebody else take an agent's chat; `of`: only if it is this one's."""
        return await self._its.move(chat, "put_back", actor=self._actor, agent_id=of)

    async def to_bot(self, chat: str, *, of: AgentId | None = None) -> ChatRow:
        """Give a chat to its flow again, from the beginning: nobody is identified there."""
        return await self._its.move(chat, "to_bot", actor=self._actor, agent_id=of)

    async def close(self, chat: str, *, of: AgentId | None = None) -> ChatRow:
        """Close a chat: the next text begins another."""
        return await self._its.move(chat, "closed", actor=self._actor, agent_id=of)

    async def inbox(self, agent: AgentId) -> InboxView:
        """Return an agent's chats, and those that wait and that they may take."""
        return await self._its.view(agent)

    async def counts(self) -> dict[AgentId, InboxCount]:
        """Return what each agent's inbox comes to; agents who have nothing to do with any chat are left out."""
        return await self._its.counts()

    async def talk(self, chat: str, agent: AgentId) -> ChatTalk:
        """Return one of an agent's chats with what was written; of the debt nothing before the person is known."""
        return await self._its.talk(chat, agent)

    async def seen(self, chat: str, agent: AgentId) -> None:
        """Note that an agent has all of their chat before them."""
        await self._its.seen(chat, agent)

    async def identify(self, chat: str, agent: AgentId) -> None:
        """Note that an agent has made sure that it is the chat's person who writes."""
        await self._its.identify(chat, agent, actor=self._actor)

    async def reply(self, chat: str, agent: AgentId, text: str, key: str) -> MessageId:
        """Queue an agent's answer in their chat; return its id. `key` names it: sent again, it is queued once."""
        if self._messenger is None:
            raise CommandRefusedError("this process has no inbox")
        request = await self._messenger.inbox.reply(chat, agent, text, key)
        return await self._messenger.queue(request, actor=self._actor)


class StrategyCommands:
    """Strategies of accounts: begun, stopped and shown. Their steps are done by this host, or by another node's."""

    def __init__(self, strategies: Strategies | None, actor: str) -> None:
        self._strategies = strategies
        self._actor = actor

    @property
    def _its(self) -> Strategies:
        if self._strategies is None:
            raise CommandRefusedError("this process runs no strategies")
        return self._strategies

    @property
    def actions(self) -> dict[str, str]:
        """What a step can be, and whose it is."""
        return self._its.actions

    async def start(self, request: StrategyRequest) -> str:
        """Begin a strategy in place of the one of its name that runs for the account; return the run's id."""
        return await self._its.start(request, actor=self._actor)

    async def start_many(self, requests: Sequence[StrategyRequest]) -> list[str | CommandRefusedError]:
        """Begin many; return each one's run or refusal, in order."""
        return await self._its.start_many(requests, actor=self._actor)

    async def stop(self, account: AccountId, *, strategy: str = "", reason: str = "") -> int:
        """Stop what runs for an account, or only the strategy of this name; return how many stopped."""
        return await self._its.stop(account, strategy=strategy, actor=self._actor, reason=reason)

    async def begun(self, since: dt.datetime) -> list[Begun]:
        """Return, of every account, the strategies that run and those that were begun since then."""
        return await self._its.begun(since)

    async def of(self, account: AccountId) -> list[StrategyView]:
        """Return an account's strategies, those that run first."""
        return await self._its.of(account)
