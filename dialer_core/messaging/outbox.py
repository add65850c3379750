"""The outbox: how a message is queued, claimed through the gate, and what follows from each answer of the provider.

It owns the table of a message's states (`TRANSITIONS`, below), the retries and what becomes of the contact in the ledger. A message is
committed as `submitting` before it goes to the wire, with the gate's evidence (I11, I15); what nobody can say of it afterwards is
asked of the provider, or settled by its template's policy. It owns no connection and no clock: `sending.py` does.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

import msgspec

from dialer_core.compliance import gate, zones
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.event_base import Event
from dialer_core.message_events import (
    MessageAccepted,
    MessageCancelled,
    MessageDelivered,
    MessageFailed,
    MessageHeld,
)
from dialer_core.messaging.channel import Accepted, Answer, NotAccepted, Receipt, Unknown
from dialer_core.store import contacts, email_addresses, message_parts, messages, people, promises
from dialer_core.store.messages import Early, MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountStatus,
    CampaignId,
    Channel,
    ContactSettlement,
    MessageState,
    UncertainPolicy,
)


class Cue(enum.StrEnum):
    """What happens to a message that we send."""

    CLAIMED = "claimed"
    """The gate allows it, and it is about to go."""
    ACCEPTED = "accepted"
    """The provider has it."""
    DELAYED = "delayed"
    """The provider did not take it now: once more, later."""
    REFUSED = "refused"
    """The provider never takes it, or has not taken it too often."""
    LOST = "lost"
    """No answer, or we died before it came."""
    UNDECIDED = "undecided"
    """The provider cannot say what became of it either, and it is not to be sent twice."""
    DELIVERED = "delivered"
    """Its receipt says that it arrived."""
    UNDELIVERED = "undelivered"
    """Its receipt says that it will not."""
    TAKEN_BACK = "taken_back"
    """Forbidden for good, too late, no longer wanted."""
    RELEASED = "released"
    """A person says: send it again."""


_S = MessageState
TRANSITIONS: Final = MappingProxyType(
    {
        (_S.QUEUED, Cue.CLAIMED): _S.SUBMITTING,
        (_S.QUEUED, Cue.TAKEN_BACK): _S.CANCELLED,
        (_S.SUBMITTING, Cue.ACCEPTED): _S.ACCEPTED,
        (_S.SUBMITTING, Cue.DELAYED): _S.QUEUED,
        (_S.SUBMITTING, Cue.REFUSED): _S.FAILED,
        (_S.SUBMITTING, Cue.LOST): _S.UNCERTAIN,
        (
            _S.UNCERTAIN,
            Cue.ACCEPTED,
        ): _S.ACCEPTED,  # as the provider says when asked, or its answer came at last
        (_S.UNCERTAIN, Cue.DELAYED): _S.QUEUED,  # it never had it, or its template may be sent twice
        (_S.UNCERTAIN, Cue.REFUSED): _S.FAILED,
        (_S.UNCERTAIN, Cue.UNDECIDED): _S.HELD,
        (_S.HELD, Cue.ACCEPTED): _S.ACCEPTED,
        (_S.HELD, Cue.RELEASED): _S.QUEUED,
        (_S.HELD, Cue.TAKEN_BACK): _S.CANCELLED,
        (_S.ACCEPTED, Cue.DELIVERED): _S.DELIVERED,
        (_S.ACCEPTED, Cue.UNDELIVERED): _S.FAILED,
        (_S.FAILED, Cue.DELIVERED): _S.DELIVERED,  # some providers give up too early
    }
)
"""State and cue to the next state. What is not here comes too late, or twice, and changes nothing."""

MOST_TRIES = 6
FIRST_PAUSE = dt.timedelta(seconds=30)
LONGEST_PAUSE = dt.timedelta(hours=1)
ASK_PAUSE = dt.timedelta(seconds=15)
"""Between two questions to the provider about a message that may have been sent."""
ASK_LIMIT = dt.timedelta(minutes=10)
"""So long after it was submitted the provider is asked no more: its template's policy decides."""
GATE_PAUSE = dt.timedelta(minutes=1)
"""The gate is not asked again sooner."""
EARLY_KEPT = dt.timedelta(days=2)
"""How long a receipt waits for the answer it belongs to."""

COLLECTION = "collection"
"""The purpose of messages that ask for money: none of a debt that is paid or withdrawn."""

PackOf = Callable[[CampaignId], RulePack | None]
"""A campaign's rule pack; None: there is none, and the gate refuses."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the gate and the claim need to know of whom a message is for."""

    zones: tuple[str, ...]
    region: str | None
    phone_kind: str
    closed: bool
    """The account is paid or withdrawn, and the message is about collecting it."""
    settled: bool
    """What it reminds of is paid, or was agreed anew."""


def claim(
    tx: Tx, channel: Channel, now: dt.datetime, limit: int, *, node: str, pack_of: PackOf
) -> list[MessageRow]:
    """Take messages whose time has come, ask the gate about each, and commit those it allows as `submitting`; return these.

    One that is refused waits for when it may be sent, or is cancelled where that is never or too late; so is one of an account that is
    paid or withdrawn, and a reminder of what is paid or was agreed anew. Contacts are reserved in this transaction.
    """
    due = [one for one in messages.take_due(tx, channel, now, limit) if not _expired(tx, one, now)]
    if not due:
        return []
    people.lock(tx, sorted({str(one.person_id) for one in due}))
    standing = _standing(tx, due)
    claimed: list[MessageRow] = []
    for campaign_id, group in groupby(
        sorted(due, key=lambda one: one.campaign_id or ""), lambda one: one.campaign_id
    ):
        ours = [
            one
            for one in group
            if not (standing[one.id].closed and _take_back(tx, one, now, "account_closed"))
            and not (standing[one.id].settled and _take_back(tx, one, now, "promise_settled"))
        ]
        pack = pack_of(campaign_id) if campaign_id else None
        requests = [_request_of(one, standing[one.id], now) for one in ours]
        facts = Facts.read(tx, requests, pack) if pack else None
        for message, request in zip(ours, requests, strict=True):
            decision = gate.decide(request, pack, facts)
            if isinstance(decision, gate.Refused):
                _wait(tx, message, decision, now)
                continue
            [contact_id] = gate.reserve(tx, [(request, None)])
            if facts is not None and request.purpose != contacts.ANSWER:
                facts.add(request.entry())
            sent = msgspec.structs.replace(
                message, state=TRANSITIONS[message.state, Cue.CLAIMED], reason=None, node=node, tries=message.tries + 1,
                contact_id=contact_id, evidence=decision, submitted_at_utc=now,
            )  # fmt: skip
            messages.put(tx, sent)
            claimed.append(sent)
    return claimed


def settle(tx: Tx, answers: Sequence[tuple[MessageRow, Answer]], now: dt.datetime) -> None:
    """Store what the provider answered to messages that were submitted. A receipt that came before its answer is heeded now."""
    current = messages.get(tx, [message.id for message, _ in answers], keep=True)
    accepted: dict[Channel, list[str]] = {}
    for message, answer in answers:
        if (known := current.get(message.id)) is None:
            continue
        match answer:
            case Accepted():
                if _accept(tx, known, answer):
                    accepted.setdefault(known.channel, []).extend(answer.part_ids or [answer.provider_id])
            case NotAccepted():
                _delay_or_fail(tx, known, answer, now)
            case Unknown():
                _move(tx, known, Cue.LOST, reason=answer.code[:64], next_at_utc=now)
    for channel, provider_ids in accepted.items():
        receive_early(tx, channel, provider_ids, now)


def receive_early(tx: Tx, channel: Channel, provider_ids: Collection[str], now: dt.datetime) -> None:
    """Heed the receipts that came before the answers with these ids."""
    early = messages.take_early(tx, channel, provider_ids)
    told = [Receipt(provider_id=one.provider_id, delivered=one.delivered, code=one.reason) for one in early]
    receive(tx, channel, sorted(told, key=lambda one: one.delivered), now)


def receive(tx: Tx, channel: Channel, receipts: Iterable[Receipt], now: dt.datetime) -> None:
    """Store what receipts say. One told twice changes nothing; one of a message whose answer has not come yet is kept."""
    told = _of_wholes(tx, channel, list(receipts))
    known = messages.of_provider(tx, channel, {one.provider_id for one in told})
    unknown = [
        Early(channel, one.provider_id, one.delivered, one.code)
        for one in told
        if one.provider_id not in known
    ]
    messages.keep_early(tx, unknown, now)
    for receipt in told:
        if (message := known.get(receipt.provider_id)) is None:
            continue
        cue = Cue.DELIVERED if receipt.delivered else Cue.UNDELIVERED
        changes: dict[str, Any] = {
            "settled_at_utc": now,
            "reason": None if receipt.delivered else (receipt.code or "undelivered")[:64],
        }
        if receipt.cost_micro is not None:
            changes |= {"cost_micro": receipt.cost_micro, "cost_currency": receipt.cost_currency}
        moved = _move(tx, message, cue, **changes)
        if moved is None:
            continue
        known[receipt.provider_id] = moved
        if receipt.delivered:
            _settle_contact(tx, moved, ContactSettlement.COUNTED, "delivered")
            tell(tx, MessageDelivered, moved)
        else:
            _settle_contact(tx, moved, ContactSettlement.VOID, "undelivered")
            if channel is Channel.EMAIL:
                email_addresses.came_back(tx, moved.address)
            _tell_failed(tx, moved)


def _of_wholes(tx: Tx, channel: Channel, receipts: list[Receipt]) -> list[Receipt]:
    """Return receipts of messages: one has arrived when all of its parts have, and has not when one of them has not."""
    parts = message_parts.of(tx, channel, {one.provider_id for one in receipts})
    told: list[Receipt] = []
    for receipt in receipts:
        if (part := parts.get(receipt.provider_id)) is None:
            told.append(receipt)
        elif not receipt.delivered or message_parts.arrived(tx, channel, part[0], receipt.provider_id):
            told.append(msgspec.structs.replace(receipt, provider_id=part[1]))
    return told


def recover(tx: Tx, node: str, now: dt.datetime) -> int:
    """Call uncertain what this node was submitting when it ended, and what any node left so long ago; return how many."""
    left = messages.left_submitting(tx, node, now - ASK_LIMIT)
    for message in left:
        _move(tx, message, Cue.LOST, reason="restarted", next_at_utc=now)
    messages.forget_early(tx, now - EARLY_KEPT)
    return len(left)


def decide_uncertain(tx: Tx, message: MessageRow, answer: Answer | None, now: dt.datetime) -> None:
    """Settle a message that may have been sent, by what the provider says of it, or by its template's policy.

    Parameters
    ----------
    tx
        A write transaction.
    message
        As it was when it was asked about. Where it is `uncertain` no more, somebody else has settled it (another node, meanwhile), and
        nothing changes: it would be sent twice.
    answer
        What the provider says; `Unknown`: it cannot say yet; None: it cannot be asked.
    now
        When.
    """
    current = messages.get(tx, [message.id], keep=True).get(message.id)
    if current is None or current.state is not MessageState.UNCERTAIN:
        return
    message = current
    if isinstance(answer, Accepted | NotAccepted):
        settle(tx, [(message, answer)], now)
    elif (
        answer is not None
        and message.submitted_at_utc is not None
        and now - message.submitted_at_utc < ASK_LIMIT
    ):
        messages.put(tx, msgspec.structs.replace(message, next_at_utc=now + ASK_PAUSE))
    elif message.when_uncertain is UncertainPolicy.RESEND:
        _delay_or_fail(tx, message, NotAccepted(code=message.reason or "uncertain", permanent=False), now)
    else:
        held = _move(tx, message, Cue.UNDECIDED)
        if held is not None:
            tell(tx, MessageHeld, held)


def release(tx: Tx, message: MessageRow, now: dt.datetime) -> bool:
    """Send a held message again, as a person decided; False: it is not held. The gate is asked anew."""
    if TRANSITIONS.get((message.state, Cue.RELEASED)) is None:
        return False
    _settle_contact(tx, message, ContactSettlement.COUNTED, "uncertain")
    return _move(tx, message, Cue.RELEASED, contact_id=None, next_at_utc=now, tries=0) is not None


def cancel(tx: Tx, waiting: Iterable[MessageRow], reason: str, now: dt.datetime) -> int:
    """Take messages back that have not been sent; return how many could be."""
    return sum(_take_back(tx, one, now, reason) for one in waiting)


def tell(tx: Tx, kind: Callable[..., Event], message: MessageRow, **more: Any) -> None:
    """Write an event of a message."""
    tx.emit(
        kind(
            campaign_id=message.campaign_id, account_id=message.account_id,
            message_id=message.id, channel=message.channel.value, **more,
        )
    )  # fmt: skip


def _accept(tx: Tx, message: MessageRow, answer: Accepted) -> bool:
    moved = _move(
        tx, message, Cue.ACCEPTED, provider_id=answer.provider_id, reason=None,
        cost_micro=answer.cost_micro, cost_currency=answer.cost_currency,
    )  # fmt: skip
    if moved is None:
        return False
    if answer.part_ids:
        message_parts.add(tx, moved.channel, moved.id, answer.part_ids)
    tell(tx, MessageAccepted, moved, tries=moved.tries)
    return True


def _delay_or_fail(tx: Tx, message: MessageRow, answer: NotAccepted, now: dt.datetime) -> None:
    """Nothing was sent: the contact is void. Tried again later, unless that is of no use."""
    _settle_contact(tx, message, ContactSettlement.VOID, "not_accepted")
    if answer.permanent or message.tries >= MOST_TRIES:
        failed = _move(tx, message, Cue.REFUSED, reason=answer.code[:64], settled_at_utc=now)
        if failed is not None:
            _tell_failed(tx, failed)
        return
    pause = min(FIRST_PAUSE * 2 ** max(0, message.tries - 1), LONGEST_PAUSE)
    if answer.retry_after_s is not None:
        pause = max(pause, dt.timedelta(seconds=min(answer.retry_after_s, LONGEST_PAUSE.total_seconds())))
    _move(tx, message, Cue.DELAYED, reason=answer.code[:64], contact_id=None, next_at_utc=now + pause)


def _expired(tx: Tx, message: MessageRow, now: dt.datetime) -> bool:
    return bool(
        message.not_after_utc and message.not_after_utc < now and _take_back(tx, message, now, "expired")
    )


def _wait(tx: Tx, message: MessageRow, refusal: gate.Refused, now: dt.datetime) -> None:
    again = refusal.allowed_from
    if again is None or (message.not_after_utc is not None and again > message.not_after_utc):
        _take_back(tx, message, now, refusal.rule)
    else:
        messages.put(
            tx,
            msgspec.structs.replace(
                message, reason=refusal.rule[:64], next_at_utc=max(again, now + GATE_PAUSE)
            ),
        )


def _take_back(tx: Tx, message: MessageRow, now: dt.datetime, reason: str) -> bool:
    moved = _move(tx, message, Cue.TAKEN_BACK, reason=reason[:64], settled_at_utc=now)
    if moved is None:
        return False
    if message.state is MessageState.HELD:  # it may have been sent
        _settle_contact(tx, moved, ContactSettlement.COUNTED, "uncertain")
    tell(tx, MessageCancelled, moved, reason=reason[:64])
    return True


def _tell_failed(tx: Tx, message: MessageRow) -> None:
    tell(tx, MessageFailed, message, reason=message.reason or "")


def _move(tx: Tx, message: MessageRow, cue: Cue, **changes: Any) -> MessageRow | None:
    """Store a message in the state that follows, with other changes; None: the cue comes too late, and nothing is stored."""
    state = TRANSITIONS.get((message.state, cue))
    if state is None:
        return None
    moved = msgspec.structs.replace(message, state=state, **changes)
    messages.put(tx, moved)
    return moved


def _settle_contact(tx: Tx, message: MessageRow, settlement: ContactSettlement, outcome: str) -> None:
    if message.contact_id is not None:
        contacts.settle_message(tx, message.contact_id, settlement, outcome=outcome)


def decide(tx: Tx, message: MessageRow, pack: RulePack | None, now: dt.datetime) -> Refused | None:
    """Return what the gate would say of a message now, for screens: None where it may be sent. Nothing is reserved."""
    standing = _standing(tx, [message])[message.id]
    request = _request_of(message, standing, now)
    said = gate.decide(request, pack, Facts.read(tx, [request], pack) if pack is not None else None)
    return said if isinstance(said, Refused) else None


def _standing(tx: Tx, due: Sequence[MessageRow]) -> dict[str, _Standing]:
    person_ids = {str(one.person_id) for one in due}
    persons, phones = people.persons(tx, person_ids), people.phones_of(tx, person_ids)
    accounts = people.accounts(tx, {str(one.account_id) for one in due if one.account_id})
    still_due = [
        {"promise_id": promise.id, "position": position, "open_minor": one.open_minor}
        for promise in promises.open_of(tx, {str(one.account_id) for one in due if one.reminds}).values()
        for position, one in enumerate(promise.instalments)
        if one.open_minor
    ]
    found: dict[str, _Standing] = {}
    for message in due:
        person = persons[str(message.person_id)]
        numbers = phones[person.id]
        own = next((one for one in numbers if one.id == message.phone_id), None)
        region = zones.zones_of_region(person.region) if person.region else ()
        # an e-mail address is nowhere: wherever any of their numbers is, it must be a good hour
        where = [own.zones] if own else [one.zones for one in numbers]
        status = accounts.get(str(message.account_id), {}).get("status", AccountStatus.OPEN.value)
        found[message.id] = _Standing(
            zones=zones.combine(*where, region),
            region=person.region,
            phone_kind=own.kind if own else "unknown",
            closed=status != AccountStatus.OPEN.value and message.purpose == COLLECTION,
            settled=message.reminds is not None and message.reminds not in still_due,
        )
    return found


def _request_of(message: MessageRow, standing: _Standing, now: dt.datetime) -> ContactRequest:
    if message.person_id is None or message.account_id is None:
        raise ValueError(f"message {message.id} is of nobody and cannot be sent")
    return ContactRequest(
        person_id=message.person_id, account_id=message.account_id, channel=message.channel, address=message.address,
        phone_id=message.phone_id, zones=standing.zones, purpose=message.purpose, campaign_id=message.campaign_id, at=now,
        region=standing.region, phone_kind=standing.phone_kind,
    )  # fmt: skip
