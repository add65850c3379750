"""Chats: who answers what a person writes at one address, and how they hand over to one another.

It owns the table of a chat's states (`TRANSITIONS`) and the agents' inbox: who may take one (skills, how many at a time), put it back, give it
to the flow again, close it. What a flow answers is `bots.py`'s. A chat takes no agent out of the pacer's count: an agent who is to write and
not to talk pauses, with `chats` as the reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from dialer_core.errors import CommandRefusedError
from dialer_core.message_events import ChatStateChanged
from dialer_core.store import chats
from dialer_core.store.chats import ChatRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, ChatState, new_id

_S = ChatState
TRANSITIONS: Final = MappingProxyType(
    {
        (_S.BOT, "wants_agent"): _S.WAITING,
        (_S.BOT, "flow_changed"): _S.WAITING,
        (_S.BOT, "account_closed"): _S.WAITING,
        (_S.BOT, "finished"): _S.CLOSED,
        (_S.BOT, "expired"): _S.CLOSED,
        (_S.BOT, "taken"): _S.WITH_AGENT,
        (_S.WAITING, "taken"): _S.WITH_AGENT,
        (_S.WITH_AGENT, "put_back"): _S.WAITING,
        (_S.WITH_AGENT, "to_bot"): _S.BOT,
        (_S.WAITING, "to_bot"): _S.BOT,
        **{(state, cue): _S.CLOSED for state in (_S.BOT, _S.WAITING, _S.WITH_AGENT) for cue in ("closed", "opted_out")},
    }
)  # fmt: skip
"""State and what happens to the next state. What is not here is refused."""
AGENT_HOURS: Final = 24.0


def open_new(tx: Tx, message: MessageRow, state: ChatState, now: dt.datetime, *, flow: str = "", hours: float = AGENT_HOURS) -> ChatRow:  # fmt: skip
    """Begin a chat with what a person wrote; return it."""
    chat = ChatRow(
        id=new_id(), channel=message.channel, address=message.address, person_id=message.person_id,
        account_id=message.account_id, campaign_id=message.campaign_id, phone_id=message.phone_id, state=state, flow=flow,
        began_at_utc=now, waits_since_utc=now, expires_at_utc=now + dt.timedelta(hours=hours),
    )  # fmt: skip
    chats.add(tx, chat)
    _tell(tx, chat, "began" if flow else "no_flow")
    return chat


def heard(
    tx: Tx, chat: ChatRow, now: dt.datetime, *, hours: float = AGENT_HOURS, **changes: object
) -> ChatRow:
    """Note that they have written again."""
    kept = msgspec.structs.replace(
        chat, waits_since_utc=now, expires_at_utc=now + dt.timedelta(hours=hours), **changes
    )
    chats.put(tx, kept)
    return kept


def move(tx: Tx, chat: ChatRow, cue: str, now: dt.datetime, *, step: str = "", **changes: object) -> ChatRow:
    """Put a chat into the state that follows; return it.

    Raises
    ------
    CommandRefusedError
        That cannot happen to it now.
    """
    state = TRANSITIONS.get((chat.state, cue))
    if state is None:
        raise CommandRefusedError(f"the chat is {chat.state.value}: it cannot be {cue.replace('_', ' ')}")
    moved = msgspec.structs.replace(chat, state=state, waits_since_utc=now, **changes)
    chats.put(tx, moved)
    _tell(tx, moved, cue, step)
    return moved


def take(
    tx: Tx, chat_id: str, agent_id: AgentId, skills: Mapping[str, int], asked: Mapping[str, int], most: int, now: dt.datetime
) -> ChatRow:  # fmt: skip
    """Give a chat to an agent.

    Parameters
    ----------
    tx, chat_id, agent_id
        Which, and who takes it.
    skills, asked
        The agent's, and what the chat's campaign asks for.
    most
        Chats that the agent may have at a time.
    now
        When.

    Raises
    ------
    CommandRefusedError
        There is no such chat, somebody has it, or the agent may not have it.
    """
    chat = known(tx, chat_id)
    if chat.state is ChatState.WITH_AGENT and chat.agent_id == agent_id:
        return chat
    if missing := lacking(skills, asked):
        raise CommandRefusedError(f"this chat asks for the skill {missing[0]}")
    if chats.number_with(tx, agent_id) >= most:
        raise CommandRefusedError(f"agent {agent_id} has {most} chats already: close or put back one first")
    return move(tx, chat, "taken", now, agent_id=agent_id)


def lacking(skills: Mapping[str, int], asked: Mapping[str, int]) -> list[str]:
    """Return the skills that are asked for and are not there, or not as well."""
    return sorted(name for name, level in asked.items() if skills.get(name, 0) < level)


def known(tx: Tx, chat_id: str, *, keep: bool = True) -> ChatRow:
    """Return a chat; with `keep` for this transaction, which writes.

    Raises
    ------
    CommandRefusedError
        There is none.
    """
    chat = chats.get(tx, chat_id, keep=keep)
    if chat is None:
        raise CommandRefusedError(f"there is no chat {chat_id}", "unknown")
    return chat


def expire(tx: Tx, now: dt.datetime) -> int:
    """Close the chats of flows in which nobody has answered in time; return how many."""
    late = chats.overdue(tx, now)
    for chat in late:
        move(tx, chat, "expired", now)
    return len(late)


def _tell(tx: Tx, chat: ChatRow, reason: str, step: str = "") -> None:
    tx.emit(
        ChatStateChanged(
            campaign_id=chat.campaign_id, account_id=chat.account_id, chat_id=chat.id, state=chat.state.value, reason=reason,
            channel=chat.channel.value, flow=chat.flow, step=step, agent_id=chat.agent_id,
        )
    )  # fmt: skip
