"""Queueing a message: to which address, in which language, with what in it, checked before it is queued.

It owns the choice of the address and the rule that what reveals a debt goes only to who agreed to the channel (I19). Whether it may be
sent now is the gate's question, asked when its time has come (`outbox.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from dialer_core.errors import CommandRefusedError
from dialer_core.message_events import MessageQueued
from dialer_core.messaging import document_links, fields, outbox
from dialer_core.messaging.document_links import DocumentLinks
from dialer_core.messaging.templates import Template
from dialer_core.messaging.wording import LONGEST
from dialer_core.store import consents, email_addresses, kept_caller_ids, messages, people
from dialer_core.store import document_links as link_rows
from dialer_core.store.contacts import ANSWER
from dialer_core.store.document_links import LinkRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.people import PhoneRow
from dialer_core.store.promises import DueInstalment
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    CampaignId,
    Channel,
    MessageId,
    MessageState,
    PersonId,
    PhoneId,
    UncertainPolicy,
    new_id,
)

BY_PHONE = frozenset({Channel.SMS, Channel.WHATSAPP})
"""Channels whose addresses are the person's numbers."""
_NO_TEXTS = frozenset({"fixed", "landline", "fixed_line"})
"""Kinds of number that take no messages."""
_FAILURES = 3
"""A number that failed so often in a row is not written to."""
LATEST = dt.timedelta(days=90)
ANSWERS_WITHIN = dt.timedelta(hours=24)
"""What an agent writes by hand within this of what a person wrote there is an answer to it: past hours and caps."""


class MessageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks to be sent about an account."""

    campaign_id: CampaignId
    """Whose rules it goes by."""
    account_id: AccountId
    template: str = ""
    given: Mapping[str, str] = {}
    """What the template's `[given]` names."""
    body: str = ""
    """Written by hand, within a conversation, instead of a template."""
    channel: Channel | None = None
    """By hand only: a template has its own."""
    address: str = ""
    """A certain one of theirs; by default the best of their numbers."""
    language: str = ""
    """By default the person's."""
    not_before: dt.datetime | None = None
    valid_hours: float = 0
    """By default the template's."""
    request_key: str | None = None
    """The asker's own name of this request: asked for twice, it is queued once."""
    reminds: DueInstalment | None = None
    """The promised payment that it is about: once that is paid or changed, the message is taken back."""


def queue(
    tx: Tx,
    request: MessageRequest,
    template: Template | None,
    now: dt.datetime,
    *,
    source: str,
    callback_number: str = "",
    pool: str = "",
    session_hours: float | None = None,
    links: DocumentLinks | None = None,
) -> MessageId:
    """Write a message into the outbox; return its id, or that of the one queued before under the same `request_key`.

    The arguments, and what is refused, are `compose`'s.
    """
    if request.request_key and (known := messages.requested(tx, request.request_key)):
        return known
    message, link = _composed(
        tx, request, template, now, source=source, callback_number=callback_number, pool=pool, session_hours=session_hours, links=links
    )  # fmt: skip
    messages.add(tx, [message])
    if link is not None:
        link_rows.add(tx, link)
    outbox.tell(tx, MessageQueued, message, template=message.template or "")
    return message.id


def compose(
    tx: Tx,
    request: MessageRequest,
    template: Template | None,
    now: dt.datetime,
    *,
    source: str,
    callback_number: str = "",
    pool: str = "",
    session_hours: float | None = None,
    links: DocumentLinks | None = None,
) -> MessageRow:
    """Return a message as it would be queued: to whom, and what it says.

    Parameters
    ----------
    tx
        A transaction; a read is enough.
    request, template
        What is asked, and the template it names; None: written by hand.
    now
        When.
    source
        Who asks.
    callback_number
        The campaign's number, which a text may name.
    pool
        The campaign's pool of caller IDs, if any: whoever is called from a number of it is told that one.
    session_hours
        Where the channel takes free text only so long after the person wrote: how long.
    links
        Signs links to documents; None: this host has no `[links]`.

    Raises
    ------
    CommandRefusedError
        There is no such account or address, a field is missing, or it reveals a debt to somebody who did not agree to the channel.
    """
    return _composed(
        tx, request, template, now, source=source, callback_number=callback_number, pool=pool, session_hours=session_hours, links=links
    )[0]  # fmt: skip


def _composed(
    tx: Tx, request: MessageRequest, template: Template | None, now: dt.datetime, *, source: str, callback_number: str, pool: str,
    session_hours: float | None, links: DocumentLinks | None,
) -> tuple[MessageRow, LinkRow | None]:  # fmt: skip
    """Return a message, and the link that it carries."""
    message_id, link = MessageId(new_id()), None
    account = people.account(tx, request.account_id)
    if account is None:
        raise CommandRefusedError(f"there is no account {request.account_id}", "unknown")
    person = people.persons(tx, [account["person_id"]])[account["person_id"]]
    channel = template.channel if template else request.channel
    if channel is None or (template is None and not 0 < len(request.body) <= LONGEST):
        raise CommandRefusedError(
            f"a message has a template, or a channel and a text of 1 to {LONGEST} characters", "invalid"
        )
    phone, address = _address(tx, person.id, channel, request.address)
    if template is not None and template.to_confirmed:
        _require_agreed(tx, person.id, phone.id if phone else None, channel, template.name)
    language = request.language or person.language
    if template is not None:
        if unknown := sorted(request.given.keys() - template.given):
            raise CommandRefusedError(
                f"template {template.name!r} has no field {unknown[0]!r} to be given", "invalid"
            )
        if pool:
            callback_number = kept_caller_ids.of(tx, pool, [person.id]).get(person.id, callback_number)
        known_fields = fields.of_account(
            tx,
            request.account_id,
            person,
            campaign_id=request.campaign_id,
            callback_number=callback_number,
            language=language,
        )
        if template.link is not None:
            if links is None:
                raise CommandRefusedError(
                    f"template {template.name!r} has a link to a document, and dialer.toml has no [links]"
                )
            link = links.made(tx, template.link, account, person, language, now)
            link = msgspec.structs.replace(link, message_id=message_id)
            known_fields[document_links.FIELD] = links.url(link)
        rendered = template.render(known_fields | dict(request.given), language)
        language, subject, body, provider, letters = (
            rendered.language,
            rendered.subject,
            rendered.text,
            rendered.provider,
            rendered.letters or None,
        )
    else:
        subject, body, provider, letters = _subject_of_answer(tx, channel, address), request.body, None, None
    purpose = template.purpose if template else outbox.COLLECTION
    begins = max(now, request.not_before or now)
    if begins - now > LATEST:
        raise CommandRefusedError(f"not_before is more than {LATEST.days} days ahead", "invalid")
    valid = request.valid_hours or (template.valid_hours if template else 24.0)
    latest = begins + dt.timedelta(hours=valid)
    if session_hours is not None and provider is None:
        latest = min(latest, _window_end(tx, person.id, channel, begins, session_hours))
    heard = messages.last_heard(tx, channel, address) if template is None else None
    if heard is not None and begins < heard + ANSWERS_WITHIN:
        purpose, latest = ANSWER, min(latest, heard + ANSWERS_WITHIN)
    message = MessageRow(
        id=message_id, channel=channel, state=MessageState.QUEUED, person_id=person.id, account_id=request.account_id,
        campaign_id=request.campaign_id, phone_id=phone.id if phone else None, address=address,
        purpose=purpose, letters=letters, template=template.name if template else None,
        language=language, subject=subject, body=body, provider_template=provider,
        when_uncertain=template.when_uncertain if template else UncertainPolicy.HOLD,
        request_key=request.request_key, reminds=_reminds(request.reminds), source=source[:64], next_at_utc=begins,
        not_after_utc=latest, created_at_utc=now,
    )  # fmt: skip
    return message, link


def _reminds(one: DueInstalment | None) -> dict[str, Any] | None:
    return (
        {"promise_id": one.promise_id, "position": one.position, "open_minor": one.open_minor}
        if one is not None
        else None
    )


def _subject_of_answer(tx: Tx, channel: Channel, address: str) -> str:
    """Return the subject under which their mail program puts an answer beside what it answers; other channels have none."""
    if channel is not Channel.EMAIL:
        return ""
    last = next(
        (one.subject for one in reversed(messages.at_address(tx, channel, address, 20)) if one.subject), ""
    )
    return last if not last or last.lower().startswith("re:") else f"Re: {last}"[:998]


def takes_messages(phone: PhoneRow) -> bool:
    """Say whether a number is written to at all: a landline is not, nor one that failed again and again."""
    return phone.kind not in _NO_TEXTS and phone.failures < _FAILURES


def _address(tx: Tx, person_id: PersonId, channel: Channel, wanted: str) -> tuple[PhoneRow | None, str]:
    if channel is Channel.EMAIL:
        theirs = [
            one.address
            for one in email_addresses.of_people(tx, [person_id])[person_id]
            if one.failures < _FAILURES and (not wanted or one.address == email_addresses.normalised(wanted))
        ]
        if not theirs:
            which = "that address" if wanted else "an e-mail address that works"
            raise CommandRefusedError(f"the account's person does not have {which}", "invalid")
        return None, theirs[0]
    if channel not in BY_PHONE:
        raise CommandRefusedError(f"no text goes by {channel.value}", "invalid")
    usable = [
        one
        for one in people.phones_of(tx, [person_id])[person_id]
        if takes_messages(one) and (not wanted or one.e164 == wanted)
    ]
    if not usable:
        which = "that number" if wanted else "a number that takes messages"
        raise CommandRefusedError(f"the account's person does not have {which}", "invalid")
    return usable[0], usable[0].e164


def _require_agreed(
    tx: Tx, person_id: PersonId, phone_id: PhoneId | None, channel: Channel, template: str
) -> None:
    said = consents.current(tx, [person_id], channel)
    words = {said.get((person_id, None)), said.get((person_id, phone_id))}
    if False in words or True not in words:
        raise CommandRefusedError(
            f"template {template!r} says something of a debt, and this person has not agreed to be contacted by {channel.value}:"
            " record their consent, or use a template that says nothing of it"
        )


def _window_end(
    tx: Tx, person_id: PersonId, channel: Channel, begins: dt.datetime, hours: float
) -> dt.datetime:
    wrote = messages.last_from(tx, channel, person_id)
    end = wrote + dt.timedelta(hours=hours) if wrote else None
    if end is None or end <= begins:
        raise CommandRefusedError(
            f"by {channel.value} free text may be sent only within {hours:g} hours of their last message: use a template with [provider]"
        )
    return end
