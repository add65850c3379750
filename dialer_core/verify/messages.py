"""I11, I12, I15: messages were allowed, stand in the ledger as what became of them, and none went under a restriction."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject
from dialer_core.vocabulary import ContactSettlement, MessageState, RestrictionScope

LONGEST_SUBMISSION = dt.timedelta(minutes=15)
"""By then every host has given up on an answer, or another has noticed that it died."""
EFFECTIVE_S = 1.0
_ANSWERS_WITHIN = dt.timedelta(hours=24, minutes=1)
_EVIDENCE = ("rule_pack", "version", "zones", "windows", "counts")
_SENT = frozenset({MessageState.SUBMITTING, MessageState.UNCERTAIN, MessageState.HELD, MessageState.ACCEPTED, MessageState.DELIVERED})  # fmt: skip
_VOID = ContactSettlement.VOID.value


def allowed(subject: Subject) -> Iterator[Violation]:
    """I11: every message that went to the wire says by which rules it was allowed, and has a contact of its own in the ledger."""
    contacts = {one.id: one for one in subject.contacts}
    taken: set[str] = set()
    for message in subject.messages:
        if message.state not in _SENT:
            continue
        missing = [key for key in _EVIDENCE if not (message.evidence or {}).get(key)]
        if missing:
            yield _broken(Invariant.I11, message, f"its evidence does not say {missing[0]}")
        contact = contacts.get(message.contact_id)
        if contact is None or message.contact_id in taken:
            yield _broken(Invariant.I11, message, "has no contact of its own in the ledger")
            continue
        taken.add(message.contact_id)
        same = (contact.person_id, contact.account_id, contact.channel, contact.address)
        if same != (message.person_id, message.account_id, message.channel, message.address):
            yield _broken(
                Invariant.I11,
                message,
                f"contact {contact.id} is of another person, account, channel or address",
            )
        if contact.settlement == _VOID:
            yield _broken(
                Invariant.I11, message, f"is {message.state}, perhaps read, and contact {contact.id} is void"
            )


def submitted(subject: Subject) -> Iterator[Violation]:
    """I15: none is being submitted longer than anybody waits for its answer, and an accepted one has the provider's id."""
    for message in subject.messages:
        if message.state == MessageState.SUBMITTING and (
            message.submitted_at_utc is None or subject.now - message.submitted_at_utc > LONGEST_SUBMISSION
        ):
            yield _broken(
                Invariant.I15, message, "has been submitting longer than anybody waits for an answer"
            )
        if message.state == MessageState.ACCEPTED and not message.provider_id:
            yield _broken(Invariant.I15, message, "is accepted without the provider's id")


def answers_answer(subject: Subject) -> Iterator[Violation]:
    """I11: a message that was let out as an answer, past hours and caps, answers something that was written there within a day before."""
    wrote: dict[tuple[str, str], list[dt.datetime]] = {}
    for heard in subject.received:
        wrote.setdefault((heard.channel, heard.address), []).append(heard.created_at_utc)
    for message in subject.messages:
        if message.purpose != "answer" or message.state not in _SENT or message.submitted_at_utc is None:
            continue
        times = wrote.get((message.channel, message.address), ())
        if not any(dt.timedelta() <= message.submitted_at_utc - at <= _ANSWERS_WITHIN for at in times):
            yield _broken(Invariant.I11, message, "went out as an answer, and nobody had written")


def debts_after_identity(subject: Subject) -> Iterator[Violation]:
    """I19: a flow's message that tells of the debt was written after `identity.verified` of its chat."""
    verified: set[str] = set()
    for event in subject.chat_events:
        if event.name == "identity.verified":
            verified.add(event.data["chat_id"])
        elif event.data["sensitive"] and event.data["chat_id"] not in verified:
            text = f"tells of the debt in chat {event.data['chat_id']} before the person was identified"
            yield Violation(Invariant.I19, "message", event.data["message_id"], text)


def restrictions_obeyed(subject: Subject) -> Iterator[Violation]:
    """I12: no message went to the wire a second after a restriction on its person, account, number or phone."""
    for message in subject.messages:
        if message.submitted_at_utc is None:
            continue
        for restriction in _on(subject, message):
            begun = restriction.from_utc + dt.timedelta(seconds=EFFECTIVE_S) < message.submitted_at_utc
            over = restriction.until_utc is not None and restriction.until_utc <= message.submitted_at_utc
            # a restriction may be dated back: its id tells when it was written
            written = dt.datetime.fromtimestamp(
                (uuid.UUID(restriction.id).int >> 80) / 1000 + EFFECTIVE_S, dt.UTC
            )
            if begun and not over and not restriction.hours and written < message.submitted_at_utc:
                yield _broken(
                    Invariant.I12,
                    message,
                    f"was sent although restriction {restriction.id} ({restriction.kind}) was in force",
                )
                break


def _on(subject: Subject, message: Row) -> Iterator[Row]:
    for scope, value in (
        (RestrictionScope.PERSON, message.person_id),
        (RestrictionScope.ACCOUNT, message.account_id),
        (RestrictionScope.NUMBER, message.address),
        (RestrictionScope.PHONE, message.phone_id),
    ):
        for restriction in subject.restrictions_on.get((scope.value, value), ()):
            if restriction.channel in {None, message.channel}:
                yield restriction


def _broken(invariant: Invariant, message: Row, text: str) -> Violation:
    return Violation(invariant, "message", message.id, text)


CHECKS = (
    Check(Invariant.I11, "every message sent has evidence and a contact in the ledger", whole=allowed),
    Check(Invariant.I11, "every answer answers something", whole=answers_answer),
    Check(Invariant.I19, "no flow writes of a debt before identity", whole=debts_after_identity),
    Check(Invariant.I12, "no message is sent under a restriction", whole=restrictions_obeyed),
    Check(Invariant.I15, "no submission is left without its answer", whole=submitted),
)
