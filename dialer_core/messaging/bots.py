"""Flows that answer messages: what a person writes goes through the flow that the template they answer names.

It owns the drive of `flows/interpreter.py` over messages. All that follows from one text is one transaction: where the flow is, what it does
(a promise, an opt-out, a call-back) and what it answers, so that a restart finds either all of it or nothing, and a text that is told twice is heard
once. What waits for nothing in a flow is said at once: an answer is one message. Identity before debt is the flow's (`flows/checks.py`), and
`verify` looks at what was said (I19).
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import structlog

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.errors import CommandRefusedError, DialerError
from dialer_core.flows.interpreter import (
    Action,
    Conversation,
    Cue,
    DoWork,
    Finish,
    HandOver,
    Identified,
    Phase,
    Place,
    Speak,
    Value,
    Work,
)
from dialer_core.flows.language import Ask, Callback, Flow, Promise
from dialer_core.flows.meaning import is_sensitive
from dialer_core.message_events import ChatSaid, MessageQueued, OptOutReceived
from dialer_core.messaging import chats, inbound, outbox
from dialer_core.messaging.bot_texts import together, written
from dialer_core.messaging.templates import BUTTONS, Template
from dialer_core.messaging.wording import LONGEST
from dialer_core.portfolio import flow_values, promises
from dialer_core.store import account_leads, messages, people
from dialer_core.store import chats as rows
from dialer_core.store.chats import ChatRow
from dialer_core.store.contacts import ANSWER
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AccountStatus,
    CampaignId,
    ChatState,
    MessageId,
    MessageState,
    PromiseKind,
    UncertainPolicy,
    new_id,
)
from dialer_core.voice_events import EvidenceRequested, IdentityVerified, StatementRequested

log = structlog.get_logger(__name__)

ANSWER_HOURS: Final = 24.0
"""An answer goes out within this of what it answers, or not at all."""
BEGINS_WITHIN: Final = dt.timedelta(days=7)
"""What they write later than this after a template is no answer to it."""


@dataclass(slots=True)
class _Turn:
    """One text of theirs, being answered."""

    chat: ChatRow
    message: MessageRow
    talk: Conversation
    now: dt.datetime
    said: list[str] = field(default_factory=list)
    step: str = ""
    sensitive: bool = False
    buttons: tuple[tuple[str, str], ...] = ()
    end: str = ""
    """What becomes of the chat: `wants_agent`, `finished`; empty: it goes on."""


class Bots:
    """The flows of one host.

    Parameters
    ----------
    flows
        By name, checked.
    templates, campaigns
        As configured.
    """

    def __init__(
        self,
        flows: Mapping[str, Flow],
        templates: Mapping[str, Template],
        campaigns: Mapping[CampaignId, CampaignSettings],
    ) -> None:
        self._flows = flows
        self._templates = templates
        self._campaigns = campaigns

    def hear(self, tx: Tx, message: MessageRow, now: dt.datetime, *, opted_out: bool) -> None:
        """Answer what a person wrote, or let an agent do it; in the transaction that stores it."""
        chat = rows.open_at(tx, message.channel, message.address)
        if chat is not None and chat.state is ChatState.BOT and chat.expires_at_utc <= now:
            chats.move(tx, chat, "expired", now)
            chat = None
        if opted_out:
            if chat is not None:
                chats.move(tx, chat, "opted_out", now)
            return
        if chat is None:
            chat = self._begin(tx, message, now)
        if chat.state is not ChatState.BOT:
            chats.heard(tx, chat, now)
            return
        self._answer(tx, chat, message, now)

    def resume(self, tx: Tx, chat: ChatRow, now: dt.datetime) -> ChatRow:
        """Give a chat to its flow again, from its beginning: nobody is identified there.

        Raises
        ------
        CommandRefusedError
            It has no flow, or cannot be given back now.
        """
        flow = self._flows.get(chat.flow)
        if flow is None:
            raise CommandRefusedError("no flow answers this chat: its template names none")
        return chats.move(
            tx, chat, "to_bot", now, place=None, agent_id=None, identified_at_utc=None, expires_at_utc=now + dt.timedelta(hours=flow.waits_hours)
        )  # fmt: skip

    def _begin(self, tx: Tx, message: MessageRow, now: dt.datetime) -> ChatRow:
        before = messages.last_to(tx, message.channel, message.address)
        template = self._templates.get(before.template or "") if before else None
        flow = self._flows.get(template.flow) if template else None
        if template is None or flow is None or before is None or now - before.created_at_utc > BEGINS_WITHIN:
            return chats.open_new(tx, message, ChatState.WAITING, now)
        return chats.open_new(tx, message, ChatState.BOT, now, flow=template.flow, hours=flow.waits_hours)

    def _answer(self, tx: Tx, chat: ChatRow, message: MessageRow, now: dt.datetime) -> None:
        flow, values = self._flows.get(chat.flow), self._values(tx, chat, now)
        if flow is None:
            chats.move(tx, chat, "flow_changed", now)
            return
        if values is None:
            chats.move(tx, chat, "account_closed", now)
            return
        person = people.persons(tx, [str(chat.person_id)]).get(str(chat.person_id))
        talk = Conversation(flow, person.language.partition("-")[0] if person else "", values)
        turn = _Turn(chat, message, talk, now)
        if chat.place is None:
            self._first(tx, turn)
        elif not talk.go_on_from(msgspec.convert(chat.place, Place)):
            chats.move(tx, chat, "flow_changed", now)
            return
        else:
            self._go(tx, turn, talk.apply(Cue.KEY, message.body))
        self._reply(tx, turn)
        kept = msgspec.structs.replace(turn.chat, place=msgspec.to_builtins(talk.place()))
        if turn.end:
            chats.move(tx, kept, turn.end, now, step=talk.step)
            if turn.end == "wants_agent" and chat.account_id and chat.campaign_id:
                account_leads.call_now(tx, chat.account_id, chat.campaign_id, now, phone_id=chat.phone_id)
        else:
            chats.heard(tx, kept, now, hours=flow.waits_hours)

    def _first(self, tx: Tx, turn: _Turn) -> None:
        """Begin: what they wrote is heard at the first question, which the template has asked; if it means nothing there, that is asked."""
        talk = turn.talk
        self._go(tx, turn, talk.apply(Cue.BEGIN))
        if talk.phase is not Phase.LISTENING:
            return
        asked, misses = turn.said, talk.misses
        trial = Conversation(turn.talk.flow, talk.language, talk.values)
        trial.go_on_from(talk.place())
        trial.apply(Cue.KEY, turn.message.body)
        if trial.misses > misses and trial.step == talk.step:
            return
        turn.said, turn.step, turn.sensitive = [], "", False
        self._go(tx, turn, talk.apply(Cue.KEY, turn.message.body))
        turn.said = turn.said or asked

    def _go(self, tx: Tx, turn: _Turn, actions: Iterable[Action]) -> None:
        """Do what a cue has come to, and what follows, until an answer is awaited or it is over."""
        queue = deque(actions)
        while queue:
            action = queue.popleft()
            match action:
                case Identified(step=step, by=by):
                    turn.chat = msgspec.structs.replace(turn.chat, identified_at_utc=turn.now)
                    self._tell(tx, turn, IdentityVerified, by=by, step=step)
                case Speak():
                    queue.extend(turn.talk.apply(Cue.SPOKEN if self._say(turn, action) else Cue.LIMIT))
                case DoWork(work=work, step=step):
                    done = self._work(tx, turn, work, step)
                    queue.extend(turn.talk.apply(Cue.DONE if done else Cue.FAILED))
                case HandOver():
                    turn.end = "wants_agent"
                case Finish():
                    turn.end = "finished"
                case _:
                    pass

    def _say(self, turn: _Turn, action: Speak) -> bool:
        talk = turn.talk
        step = talk.flow.steps[action.step]
        values: dict[str, Value] = dict(talk.values)
        if isinstance(step, Promise):
            offered = flow_values.terms_of(step, values)
            if offered is None:
                return False
            values |= {"promise.amount": offered[0], "promise.date": offered[1].isoformat()}
        text = written(step.text[talk.language], values, talk.language)
        if text is None:
            log.warning("bot_step_unsaid", chat_id=turn.chat.id, step=action.step)
            return False
        if action.wrong and (wrong := written(talk.flow.wrong[talk.language], values, talk.language)):
            turn.said.append(wrong)
        turn.said.append(text)
        turn.step, turn.sensitive = action.step, turn.sensitive or is_sensitive(talk.flow, step)
        buttons = step.buttons if isinstance(step, Ask) else {}
        turn.buttons = tuple((key, said[talk.language]) for key, said in buttons.items() if talk.language in said)  # fmt: skip
        return True

    def _work(self, tx: Tx, turn: _Turn, work: Work, name: str) -> bool:
        """Do what a step is for, whole or not at all; return whether it was done."""
        try:
            with tx.savepoint():
                return self._do(tx, turn, work, name)
        except DialerError as error:
            log.warning("bot_work_refused", chat_id=turn.chat.id, work=work, error=type(error).__name__)
            return False

    def _do(self, tx: Tx, turn: _Turn, work: Work, name: str) -> bool:
        chat, step = turn.chat, turn.talk.flow.steps[name]
        if chat.account_id is None or chat.campaign_id is None:
            return False
        match work:
            case Work.LOOKUP:
                values = self._values(tx, chat, turn.now)
                turn.talk.values.update(values or {})
                return values is not None
            case Work.OPT_OUT:
                inbound.stop(tx, turn.message, turn.now)
                outbox.tell(tx, OptOutReceived, turn.message, flow=chat.flow)
            case Work.STATEMENT:
                self._tell(tx, turn, StatementRequested, flow=chat.flow)
            case Work.EVIDENCE:
                self._tell(tx, turn, EvidenceRequested, flow=chat.flow)
            case Work.CALLBACK:
                minutes = step.in_minutes if isinstance(step, Callback) else 0
                due = turn.now + dt.timedelta(minutes=minutes)
                return account_leads.call_now(
                    tx, chat.account_id, chat.campaign_id, due, phone_id=chat.phone_id
                )
            case Work.PROMISE:
                offered = flow_values.terms_of(step, turn.talk.values) if isinstance(step, Promise) else None
                if offered is None:
                    return False
                promises.make(
                    tx, account_id=chat.account_id, instalments=[(offered[1], offered[0])], kind=PromiseKind.AGREEMENT,
                    now=turn.now, campaign_id=chat.campaign_id, actor=f"flow {chat.flow}",
                )  # fmt: skip
        return True

    def _values(self, tx: Tx, chat: ChatRow, now: dt.datetime) -> dict[str, Value] | None:
        """Return every field's value; None: nothing is collected of this account any more, or it is gone."""
        if chat.account_id is None or chat.person_id is None:
            return None
        person = people.persons(tx, [chat.person_id]).get(chat.person_id)
        account = people.account(tx, AccountId(chat.account_id))
        if person is None or account is None or account["status"] != AccountStatus.OPEN.value:
            return None
        campaign = self._campaigns.get(CampaignId(chat.campaign_id or ""))
        phone = people.phone(tx, chat.phone_id) if chat.phone_id else None
        zone = phone.zones[0] if phone is not None and phone.zones else "UTC"
        return flow_values.of_account(
            tx, chat.account_id, person, creditor=campaign.creditor if campaign else None,
            caller_id=campaign.caller_id if campaign else None, today=now.astimezone(ZoneInfo(zone)).date(),
        )  # fmt: skip

    def _reply(self, tx: Tx, turn: _Turn) -> None:
        if not turn.said:
            return
        chat, now = turn.chat, turn.now
        buttons = {BUTTONS: [list(one) for one in turn.buttons]} if turn.buttons else None
        answer = MessageRow(
            id=MessageId(new_id()), channel=chat.channel, state=MessageState.QUEUED, person_id=chat.person_id,
            account_id=chat.account_id, campaign_id=chat.campaign_id, phone_id=chat.phone_id, address=chat.address, purpose=ANSWER,
            provider_template=buttons,
            template=None, language=turn.talk.language, subject="", body=together(turn.said)[:LONGEST],
            when_uncertain=UncertainPolicy.HOLD, source=f"flow {chat.flow}"[:64], next_at_utc=now,
            not_after_utc=now + dt.timedelta(hours=ANSWER_HOURS), created_at_utc=now,
        )  # fmt: skip
        messages.add(tx, [answer])
        outbox.tell(tx, MessageQueued, answer, template="")
        self._tell(
            tx, turn, ChatSaid, message_id=answer.id, flow=chat.flow, step=turn.step, sensitive=turn.sensitive
        )

    @staticmethod
    def _tell(tx: Tx, turn: _Turn, kind: type, **data: object) -> None:
        chat = turn.chat
        tx.emit(kind(campaign_id=chat.campaign_id, account_id=chat.account_id, chat_id=chat.id, **data))
