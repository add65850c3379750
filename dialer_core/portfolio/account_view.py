"""One account as a desk needs it: whose it is, how they can be reached, what was said, agreed and paid, in one line of time.

It owns putting that together from the owner modules, and decides nothing. All of it is personal data: who may see it is the asker's matter,
and what may be said before the person is identified (I19) is what `attributes` marks.
"""

from __future__ import annotations

import datetime as dt
import hashlib

import msgspec

from dialer_core.errors import CommandRefusedError
from dialer_core.store import (
    account_notes,
    attribute_marks,
    call_records,
    callbacks,
    consents,
    contacts,
    documents,
    email_addresses,
    leads,
    messages,
    people,
    promises,
    recordings,
    restrictions,
    strategy_runs,
)
from dialer_core.store.account_notes import AccountNoteRow
from dialer_core.store.call_records import CallRecord
from dialer_core.store.callbacks import CallbackRow
from dialer_core.store.consents import ConsentRow
from dialer_core.store.contacts import PastContact
from dialer_core.store.documents import DocumentRow
from dialer_core.store.email_addresses import EmailRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.people import PersonRow, PhoneRow
from dialer_core.store.promises import PaymentRow, PromiseRow
from dialer_core.store.restrictions import RestrictionRow
from dialer_core.store.strategy_runs import StrategyView
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, MessageState, PersonId, PromiseState, RestrictionScope

MOST_CALLS = 200
"""Of calls and of other contacts, the latest."""
MOST_STRATEGIES = 10


class AccountSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An account in a list."""

    id: AccountId
    portfolio: str
    external_id: str
    person_id: PersonId
    creditor: str
    product: str | None
    currency: str | None
    balance_minor: int | None
    """In the currency's minor unit: cents of a peso."""
    days_past_due: int | None
    due_date: str | None
    status: str


class Attribute(msgspec.Struct, frozen=True):
    """A free attribute of an account."""

    name: str
    value: str
    sensitive: bool
    """It may not be said before the person is identified."""


class ListedLead(msgspec.Struct, frozen=True, kw_only=True):
    """The account's place on a campaign's list."""

    id: str
    campaign: str
    state: str
    attempts: int
    next_at_utc: dt.datetime | None
    """When it is next, where that is known; ready leads are next at once."""
    waiting_for: str | None
    finished_reason: str | None
    blocked_rule: str | None
    blocked_reason: str | None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, on whatever channel."""

    at_utc: dt.datetime
    what: str
    """`call contact payment note document restriction consent message_sent message_received`, `promise_made`, and `promise_` with what
    became of it."""
    id: str
    """Of the row it stands for."""
    channel: str | None = None
    result: str | None = None
    """In one word: outcome or disposition, kind of promise, restriction or document."""
    by: str | None = None
    """Which agent, or where it comes from."""
    amount_minor: int | None = None
    seconds: float | None = None
    """Of conversation."""
    text: str | None = None
    """A note's or a message's words, a document's title."""


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """One account with everything that hangs on it."""

    account: AccountSummary
    attributes: tuple[Attribute, ...]
    person: PersonRow
    phones: tuple[PhoneRow, ...]
    """By rank."""
    emails: tuple[EmailRow, ...]
    """By rank."""
    other_accounts: tuple[AccountSummary, ...]
    """The person's."""
    leads: tuple[ListedLead, ...]
    promise: PromiseRow | None
    """The open one."""
    promises: tuple[PromiseRow, ...]
    payments: tuple[PaymentRow, ...]
    callbacks: tuple[CallbackRow, ...]
    """Open ones."""
    strategies: tuple[StrategyView, ...]
    """Those that run, then the latest."""
    restrictions: tuple[RestrictionRow, ...]
    """In force or to come."""
    consents: tuple[ConsentRow, ...]
    documents: tuple[DocumentRow, ...]
    notes: tuple[AccountNoteRow, ...]
    calls: tuple[CallRecord, ...]
    recordings: dict[str, list[str]]
    """Ids of recordings that can be played, by call."""
    timeline: tuple[Moment, ...]
    """All of it, the latest first."""
    identified: bool = True
    """False: what speaks of the debt is left out, until the agent has made sure to whom they talk."""


def version(found: AccountView) -> str:
    """Return what stands for the account as it is: another one once somebody has changed what an edit would build on or replace."""
    its = (
        found.account,
        found.promise,
        [one.id for one in found.restrictions],
        [one.id for one in found.callbacks],
        [(one.id, one.state) for one in found.promises],
    )
    return hashlib.sha256(msgspec.json.encode(its)).hexdigest()[:20]


def view(tx: Tx, account_id: AccountId, now: dt.datetime) -> AccountView:
    """Return an account.

    Raises
    ------
    CommandRefusedError
        There is no such account (`unknown`).
    """
    account = people.account(tx, account_id)
    if account is None:
        raise CommandRefusedError("there is no such account", "unknown")
    person_id = PersonId(account["person_id"])
    listed = leads.of_account(tx, account_id)
    lead_ids = [lead.id for lead in listed]
    phones = people.phones_of(tx, [person_id])[person_id]
    calls = call_records.of_leads(tx, lead_ids, MOST_CALLS)
    past = contacts.apart_from_calls(tx, person_id, MOST_CALLS)
    made, paid = promises.of(tx, [account_id]), promises.payments_of(tx, [account_id])
    wrote, proofs = account_notes.of(tx, [account_id]), documents.of(tx, [account_id])
    agreed = consents.of(tx, person_id)
    written = [one for one in messages.conversation(tx, person_id) if one.account_id in {None, account_id}]
    of_messages = {one.contact_id for one in written}
    every = restrictions.of(
        tx,
        {
            RestrictionScope.PERSON: [person_id],
            RestrictionScope.ACCOUNT: [account_id],
            RestrictionScope.PHONE: [phone.id for phone in phones],
            RestrictionScope.NUMBER: [phone.e164 for phone in phones],
        },
    )
    public = attribute_marks.public(tx, account["portfolio"])
    moments = [
        *map(_call, calls),
        *(
            _contact(one)
            for one in past
            if one.account_id in {None, account_id} and one.id not in of_messages
        ),
        *map(_message, written),
        *(moment for one in made for moment in _promise(one)),
        *map(_payment, paid),
        *map(_note, wrote),
        *map(_document, proofs),
        *map(_restriction, every),
        *map(_consent, agreed),
    ]
    return AccountView(
        account=summary(account),
        attributes=tuple(
            Attribute(name, str(value), name not in public) for name, value in account["attributes"].items()
        ),
        person=people.persons(tx, [person_id])[person_id],
        phones=tuple(phones),
        emails=tuple(email_addresses.of_people(tx, [person_id])[person_id]),
        other_accounts=tuple(
            summary(other)
            for other in people.accounts_of_person(tx, person_id)
            if other["id"] != account_id
        ),
        leads=tuple(
            ListedLead(
                id=lead.id, campaign=lead.campaign_id, state=lead.state, attempts=lead.attempts,
                next_at_utc=lead.next_at_utc if lead.next_at_utc > leads.READY_UTC else None, waiting_for=lead.waiting_for,
                finished_reason=lead.finished_reason, blocked_rule=lead.blocked_rule, blocked_reason=lead.blocked_reason,
            )
            for lead in listed
        ),
        promise=next((one for one in made if one.state is PromiseState.OPEN), None),
        promises=tuple(made),
        payments=tuple(paid),
        callbacks=tuple(callbacks.of_leads(tx, lead_ids)),
        strategies=tuple(strategy_runs.of_account(tx, account_id, MOST_STRATEGIES)),
        restrictions=tuple(one for one in every if one.until_utc is None or one.until_utc > now),
        consents=tuple(agreed),
        documents=tuple(proofs),
        notes=tuple(wrote),
        calls=tuple(calls),
        recordings=recordings.of_attempts(tx, [call.id for call in calls]),
        timeline=tuple(sorted(moments, key=lambda one: (one.at_utc, one.id), reverse=True)),
    )  # fmt: skip


def before_identity(found: AccountView) -> AccountView:
    """Return what may be on a screen before it is known who is on the line (I19): who it may be and how they are reached, nothing of the debt."""
    bare = msgspec.structs.replace(
        found.account,
        creditor="",
        product=None,
        currency=None,
        balance_minor=None,
        days_past_due=None,
        due_date=None,
    )
    return msgspec.structs.replace(
        found, account=bare, attributes=tuple(one for one in found.attributes if not one.sensitive), other_accounts=(), promise=None,
        strategies=(), promises=(), payments=(), documents=(), notes=(), calls=(), recordings={}, timeline=(), identified=False,
    )  # fmt: skip


def summary(account: dict[str, object]) -> AccountSummary:
    """Return an account's row as it stands in a list."""
    return AccountSummary(**{name: account[name] for name in AccountSummary.__struct_fields__})  # type: ignore[arg-type]


def _call(one: CallRecord) -> Moment:
    return Moment(
        at_utc=one.started_at_utc, what="call", id=one.id, channel="voice", result=one.disposition or one.outcome, by=one.agent_id,
        seconds=one.talk_s or None, text=one.reason,
    )  # fmt: skip


def _contact(one: PastContact) -> Moment:
    result = one.outcome or ("conversation" if one.conversation else None)
    return Moment(at_utc=one.at_utc, what="contact", id=one.id, channel=one.channel, result=result, by="import" if one.prior else None)  # fmt: skip


def _message(one: MessageRow) -> Moment:
    came = one.state is MessageState.RECEIVED
    return Moment(
        at_utc=one.submitted_at_utc or one.created_at_utc, what="message_received" if came else "message_sent", id=one.id,
        channel=one.channel, result=None if came else one.state, by=None if came else one.source, text=one.body,
    )  # fmt: skip


def _promise(one: PromiseRow) -> list[Moment]:
    told = [
        Moment(at_utc=one.made_at_utc, what="promise_made", id=one.id, result=one.kind, by=one.agent_id, amount_minor=one.total_minor)
    ]  # fmt: skip
    if one.settled_at_utc is not None:
        told.append(
            Moment(at_utc=one.settled_at_utc, what=f"promise_{one.state}", id=one.id, result=one.kind, amount_minor=one.total_minor)
        )  # fmt: skip
    return told


def _payment(one: PaymentRow) -> Moment:
    return Moment(
        at_utc=one.received_at_utc, what="payment", id=one.id, by=one.source, amount_minor=one.amount_minor
    )


def _note(one: AccountNoteRow) -> Moment:
    return Moment(at_utc=one.at_utc, what="note", id=one.id, by=one.author, text=one.note)


def _document(one: DocumentRow) -> Moment:
    return Moment(at_utc=one.at_utc, what="document", id=one.id, result=one.kind, text=one.title)


def _restriction(one: RestrictionRow) -> Moment:
    return Moment(at_utc=one.from_utc, what="restriction", id=one.id, channel=one.channel, result=one.kind, by=one.source)  # fmt: skip


def _consent(one: ConsentRow) -> Moment:
    said = "granted" if one.granted else "revoked"
    return Moment(at_utc=one.at_utc, what="consent", id=one.id, channel=one.channel, result=said, by=one.source)  # fmt: skip
