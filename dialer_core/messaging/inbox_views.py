"""What an agent's desk is shown of the inbox: how much waits, which chats are theirs, and one of them in one line of time.

It owns putting that together, and what of it may be on a screen when: of a chat that waits, nothing that says who writes; of their own, before the
person is known, what was written at this address and who it may be; what is owed and what was written elsewhere, after that (I19).
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Callable, Mapping

import msgspec

from dialer_core.agent_settings import AgentSettings
from dialer_core.messaging.chats import lacking
from dialer_core.store import chats, leads, messages, people
from dialer_core.store.chats import ChatRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AgentId, CampaignId, Channel, ChatState, MessageState, PersonId

MOST_WRITTEN = 100
"""Texts of one conversation, the latest."""

Asked = Callable[[ChatRow], Mapping[str, int]]
"""Which skills a chat asks for."""


class InboxCount(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's inbox comes to, for a badge."""

    waiting: int = 0
    own: int = 0
    unread: int = 0
    """Texts in their own that they have not seen."""
    mark: int = 0
    """Another one when anything in it has changed."""


class InboxChat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat in a list."""

    id: str
    channel: Channel
    state: ChatState
    campaign: str | None
    flow: str
    """By which it can be answered again; empty: none."""
    since_utc: dt.datetime
    """When they last wrote, or it last changed hands."""
    unread: int
    name: str = ""
    """Whom they may be; only of the agent's own."""
    last: str = ""
    """What was written last; only of the agent's own."""


class InboxView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's inbox."""

    own: tuple[InboxChat, ...]
    waiting: tuple[InboxChat, ...]
    """Those they have the skills for, the longest waiting first."""
    most: int
    """How many they may have at a time."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One text of a conversation."""

    id: str
    at_utc: dt.datetime
    ours: bool
    channel: Channel
    text: str
    subject: str = ""
    state: MessageState
    by: str = ""
    """Who wrote it, of ours: `user:ana`, `flow respuestas`."""
    letters: tuple[str, ...] = ()
    """Titles of what went with it."""


class ChatTalk(msgspec.Struct, frozen=True, kw_only=True):
    """One chat as its agent sees it."""

    chat: InboxChat
    address: str
    can_answer: bool
    """False: it is about no account on any list: nobody's address, or of somebody with whom we have nothing to do any more."""
    identified: bool
    person: str = ""
    external_id: str = ""
    balance_minor: int | None = None
    """Once it is known who writes; in the currency's minor unit."""
    currency: str | None = None
    days_past_due: int | None = None
    written: tuple[Written, ...] = ()
    """The oldest first: at this address, and of every channel once it is known who writes."""


def counts(tx: Tx, agents: Mapping[AgentId, AgentSettings], asked: Asked) -> dict[AgentId, InboxCount]:
    """Return what each agent's inbox comes to."""
    waiting = chats.in_state(tx, ChatState.WAITING)
    own = chats.in_state(tx, ChatState.WITH_AGENT, limit=50 * max(1, len(agents)))
    unread = chats.unread(tx, [one.id for one in own])
    by_need: dict[tuple[tuple[str, int], ...], list[ChatRow]] = {}
    for one in waiting:  # agents are many, and what campaigns ask for is little
        by_need.setdefault(tuple(sorted(asked(one).items())), []).append(one)
    found = {}
    for agent_id, agent in agents.items():
        may = [
            one for need, group in by_need.items() if not lacking(agent.skills, dict(need)) for one in group
        ]
        theirs = [one for one in own if one.agent_id == agent_id]
        if not may and not theirs:
            continue
        told = [(one.id, one.waits_since_utc, unread.get(one.id, 0)) for one in (*may, *theirs)]
        found[agent_id] = InboxCount(
            waiting=len(may), own=len(theirs), unread=sum(unread.get(one.id, 0) for one in theirs),
            mark=zlib.crc32(msgspec.json.encode(told)),
        )  # fmt: skip
    return found


def view(tx: Tx, agent_id: AgentId, agent: AgentSettings, asked: Asked) -> InboxView:
    """Return an agent's inbox."""
    own = chats.in_state(tx, ChatState.WITH_AGENT, agent_id=agent_id)
    waiting = [one for one in chats.in_state(tx, ChatState.WAITING) if not lacking(agent.skills, asked(one))]
    unread = chats.unread(tx, [one.id for one in (*own, *waiting)])
    names = people.persons(tx, [one.person_id for one in own if one.person_id])
    return InboxView(
        own=tuple(
            _listed(
                one, unread,
                name=names[one.person_id].name or "" if one.person_id in names else "",
                last=next((text.body[:120] for text in messages.at_address(tx, one.channel, one.address, 1)), ""),
            )
            for one in own
        ),
        waiting=tuple(_listed(one, unread) for one in waiting),
        most=agent.chats,
    )  # fmt: skip


def talk(tx: Tx, chat: ChatRow) -> ChatTalk:
    """Return a chat with what was written."""
    known, person_id = chat.identified_at_utc is not None, chat.person_id
    person = people.persons(tx, [person_id]).get(person_id) if person_id else None
    its = about(tx, chat)
    account = people.account(tx, its[0]) if its else None
    here = messages.at_address(tx, chat.channel, chat.address, MOST_WRITTEN)
    if known and person_id:
        every = {
            one.id: one for one in (*messages.conversation(tx, PersonId(person_id), MOST_WRITTEN), *here)
        }
        here = sorted(every.values(), key=lambda one: (one.created_at_utc, one.id))[-MOST_WRITTEN:]
    owed = account if known and account else {}
    return ChatTalk(
        chat=_listed(chat, chats.unread(tx, [chat.id]), name=(person.name or "") if person else ""),
        address=chat.address,
        can_answer=its is not None,
        identified=known,
        person=(person.name or "") if person else "",
        external_id=account["external_id"] if account else "",
        balance_minor=owed.get("balance_minor"),
        currency=owed.get("currency"),
        days_past_due=owed.get("days_past_due"),
        written=tuple(map(_written, here)),
    )


def about(tx: Tx, chat: ChatRow) -> tuple[AccountId, CampaignId] | None:
    """Return the account that a chat is about, and by whose rules it is answered: what we last wrote about, else the first of theirs on a list."""
    if chat.account_id and chat.campaign_id:
        return AccountId(chat.account_id), CampaignId(chat.campaign_id)
    for one in people.accounts_of_person(tx, PersonId(chat.person_id)) if chat.person_id else ():
        for lead in leads.of_account(tx, AccountId(one["id"])):
            return AccountId(one["id"]), CampaignId(lead.campaign_id)
    return None


def _listed(chat: ChatRow, unread: Mapping[str, int], *, name: str = "", last: str = "") -> InboxChat:
    return InboxChat(
        id=chat.id, channel=chat.channel, state=chat.state, campaign=chat.campaign_id, flow=chat.flow,
        since_utc=chat.waits_since_utc, unread=unread.get(chat.id, 0), name=name, last=last,
    )  # fmt: skip


def _written(one: MessageRow) -> Written:
    came = one.state is MessageState.RECEIVED
    return Written(
        id=one.id, at_utc=one.submitted_at_utc or one.created_at_utc, ours=not came, channel=one.channel, text=one.body,
        subject=one.subject, state=one.state, by="" if came else one.source,
        letters=tuple(letter["title"] for letter in one.letters or ()),
    )  # fmt: skip
