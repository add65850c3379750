"""What people write: whose it is, what it is about, and whether it asks us to stop.

It owns that. Who answers is the desk's and the flows', which hear of it by event.
"""

from __future__ import annotations

import datetime as dt

from dialer_core.compliance.phone_numbers import NumberError, normalise
from dialer_core.line_names import same_line
from dialer_core.message_events import MessageReceived, OptOutReceived
from dialer_core.messaging import opt_out, outbox
from dialer_core.messaging.channel import Inbound
from dialer_core.messaging.composing import BY_PHONE
from dialer_core.messaging.wording import LONGEST
from dialer_core.store import consents, email_addresses, messages, people, restrictions
from dialer_core.store.messages import MessageRow
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    Channel,
    MessageId,
    MessageState,
    PersonId,
    PhoneId,
    RestrictionKind,
    RestrictionScope,
    new_id,
)


def receive(tx: Tx, channel: Channel, one: Inbound, now: dt.datetime) -> MessageRow | None:
    """Store what a person wrote, and heed an opt-out in the same transaction; None where the provider told of it before.

    It is of whoever we last wrote to at this address; else of the one person who has it. An address of several people, or of nobody,
    is nobody's: an opt-out from there holds for the address all the same.
    """
    one = Inbound(
        provider_id=_storable(one.provider_id),
        sender=_storable(one.sender),
        text=_storable(one.text),
        subject=_storable(one.subject),
        in_reply_to=one.in_reply_to,
    )
    sender, before, owners = _whose(tx, channel, _address(channel, one.sender))
    before = _answered(tx, channel, one) or before
    person_id: PersonId | None = None
    phone_id: PhoneId | None = None
    if before is not None:
        person_id, phone_id = before.person_id, before.phone_id
    elif len(owners) == 1:
        person_id, phone_id = owners[0].person_id, owners[0].id
    elif channel is Channel.EMAIL:
        theirs = {found.person_id for found in email_addresses.with_address(tx, sender)}
        person_id = theirs.pop() if len(theirs) == 1 else None
    if channel is Channel.EMAIL:
        email_addresses.arrived(tx, sender)
    message = MessageRow(
        id=MessageId(new_id()), channel=channel, state=MessageState.RECEIVED, person_id=person_id,
        account_id=before.account_id if before else None, campaign_id=before.campaign_id if before else None,
        phone_id=phone_id, address=sender[:128], purpose="answer", template=None, language="", subject=one.subject[:998],
        body=one.text[:LONGEST], source=f"channel {channel.value}", next_at_utc=now, provider_id=one.provider_id[:128],
        created_at_utc=now,
    )  # fmt: skip
    if not messages.add_received(tx, message):
        return None
    outbox.tell(tx, MessageReceived, message, known=person_id is not None)
    if opt_out.asked_in(one.subject, one.text):
        stop(tx, message, now)
        outbox.tell(tx, OptOutReceived, message)
    return message


def _whose(tx: Tx, channel: Channel, sender: str) -> tuple[str, MessageRow | None, list[PhoneRow]]:
    """Return the address as ours are kept, our last message to it, and else the phones that have it."""
    forms = same_line(sender) if channel in BY_PHONE else (sender,)
    for form in forms:
        if (before := messages.last_to(tx, channel, form)) is not None:
            return form, before, []
    for form in forms:
        if owners := people.phones_with_number(tx, form):
            return form, None, owners
    return sender, None, []


def _answered(tx: Tx, channel: Channel, one: Inbound) -> MessageRow | None:
    """Return the message of ours that it says it answers, where that is known."""
    known = messages.of_provider(tx, channel, one.in_reply_to) if one.in_reply_to else {}
    return next((known[name] for name in one.in_reply_to if name in known), None)


def _address(channel: Channel, sender: str) -> str:
    """Return an address as ours are kept: WhatsApp names a Mexican by the old `521`, and who opts out by that name is the person we write to."""
    if channel is Channel.EMAIL:
        return email_addresses.normalised(sender) or sender
    if channel not in BY_PHONE:
        return sender
    for text in (sender, f"+{sender.lstrip('+')}"):  # messengers leave out the plus
        try:
            return normalise(text)
        except NumberError:
            continue
    return sender  # a short code, a name


def _storable(text: str) -> str:
    """Return a text without what no database holds, a NUL and halves of characters: one of them must not cost the others of its request."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def stop(tx: Tx, message: MessageRow, now: dt.datetime) -> None:
    """Restrict the address, and the person where they are known; take back what waits to go there."""
    source = f"message {message.id}"
    scopes: list[tuple[RestrictionScope, str]] = [(RestrictionScope.NUMBER, message.address)]
    if message.person_id is not None:
        scopes.append((RestrictionScope.PERSON, message.person_id))
        consents.record(
            tx,
            message.person_id,
            message.channel,
            granted=False,
            source=source,
            at_utc=now,
            phone_id=message.phone_id,
        )
    for scope, value in scopes:
        restrictions.add(
            tx,
            RestrictionKind.REFUSED_CHANNEL,
            scope,
            value,
            source=source,
            from_utc=now,
            channel=message.channel,
        )
    outbox.cancel(
        tx, messages.waiting(tx, channel=message.channel, address=message.address), "opted_out", now
    )
