"""What is asked of the gate, and what the store says about it: contacts and restrictions, read in a few statements for a whole batch.

It owns the request, what is read for it and how that is looked up. It decides nothing (`gate.py`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dialer_core.compliance import caps
from dialer_core.compliance.rules import CapScope, RulePack
from dialer_core.line_names import line_of, same_line
from dialer_core.store import account_standing, consents, contacts, restrictions
from dialer_core.store.contacts import Entry
from dialer_core.store.restrictions import Active
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, Channel, PersonId, PhoneId, RestrictionScope


@dataclass(frozen=True, slots=True)
class ContactRequest:
    """A contact somebody wants to make. `zones` is every zone the person may be in; all must allow it."""

    person_id: PersonId
    account_id: AccountId
    channel: Channel
    address: str
    phone_id: PhoneId | None
    zones: tuple[str, ...]
    purpose: str
    campaign_id: CampaignId | None
    at: dt.datetime
    region: str | None = None
    """Where the person is known to live: rules of that part of the jurisdiction hold, too."""
    phone_kind: str = "unknown"
    consent: bool | None = None
    """What the address itself says of consent; what the person said is read beside it."""

    def entry(self) -> Entry:
        """Return the contact as the ledger will count it."""
        return Entry(self.person_id, self.account_id, self.address, self.channel, self.at)


REMINDER = "promise_reminder"
"""The purpose of a contact about an open promise: the one that such a promise does not stop (I12)."""

_FOR_GOOD = dt.datetime.max.replace(tzinfo=dt.UTC)


class Facts:
    """Contacts and restrictions of some people, and what has been reserved since they were read."""

    def __init__(
        self,
        entries: Sequence[Entry],
        in_force: Sequence[Active],
        said: Mapping[Channel, Mapping[tuple[PersonId, PhoneId | None], bool]] = MappingProxyType({}),
        standing: Mapping[AccountId, str] = MappingProxyType({}),
    ) -> None:
        self._said = said
        self._standing = standing
        self.memo: dict[tuple[Any, ...], Any] = {}
        """What the gate has worked out of calendars for these people: most of a batch ask it of the same zones at the same instant."""
        self._entries: dict[tuple[CapScope, str], list[Entry]] = defaultdict(list)
        self._restrictions: dict[tuple[RestrictionScope, str], list[Active]] = defaultdict(list)
        for entry in entries:
            self.add(entry)
        for one in in_force:
            self._restrictions[one.scope, one.scope_value].append(one)

    @classmethod
    def read(cls, tx: Tx, requests: Sequence[ContactRequest], pack: RulePack) -> Facts:
        """Read what the gate needs for all of these requests. Their people's rows should be locked first."""
        if not requests:
            return cls((), ())
        at = min(request.at for request in requests)
        per = {rule.per for one in pack.every() for rule in one.counting()}
        people = {request.person_id for request in requests}
        scoped: dict[RestrictionScope, set[str]] = defaultdict(set)
        for request in requests:
            for scope, value in _scoped_values(request):
                scoped[scope].add(value)
        return cls(
            contacts.entries_since(
                tx,
                at - caps.horizon(pack),
                persons={request.person_id for request in requests} if CapScope.PERSON in per else (),
                accounts={request.account_id for request in requests} if CapScope.ACCOUNT in per else (),
                addresses={form for one in requests for form in same_line(one.address)}
                if CapScope.ADDRESS in per
                else (),
            ),
            restrictions.active(tx, scoped, at),
            {
                channel: consents.current(tx, people, channel)
                for channel in {request.channel for request in requests}
            },
            account_standing.standing(tx, {request.account_id for request in requests}),
        )

    def add(self, entry: Entry) -> None:
        """Count one more contact."""
        for key in _keys_of(entry):
            self._entries[key].append(entry)

    def entries(self, per: CapScope, request: ContactRequest) -> Sequence[Entry]:
        """Return the contacts with a request's person, account or address that count."""
        values = {
            CapScope.PERSON: request.person_id,
            CapScope.ACCOUNT: request.account_id,
            CapScope.ADDRESS: line_of(request.address),
        }
        return self._entries.get((per, values[per]), ())

    def consent(self, request: ContactRequest) -> bool | None:
        """Return whether the person agreed to be contacted so: any no is a no, else any yes; None: nothing is known."""
        said = self._said.get(request.channel, {})
        words = {request.consent, said.get((request.person_id, None))}
        if request.phone_id is not None:
            words.add(said.get((request.person_id, request.phone_id)))
        return False if False in words else (True if True in words else None)

    def standing(self, request: ContactRequest) -> str:
        """Return why the account is not to be collected now: its status, or that it has an open promise; empty: nothing."""
        found = self._standing.get(request.account_id, "")
        return "" if found == account_standing.PROMISED and request.purpose == REMINDER else found

    def restrictions_on(self, request: ContactRequest) -> list[Active]:
        """Return the restrictions that concern a request, those without an end first, then the longest."""
        found = [
            one
            for key in _scoped_values(request)
            for one in self._restrictions.get(key, ())
            if one.channel is None or one.channel is request.channel
        ]
        return sorted(found, key=lambda one: one.until_utc or _FOR_GOOD, reverse=True)

    @staticmethod
    def scopes_of(request: ContactRequest) -> list[RestrictionScope]:
        """Return the scopes that are looked up for a request."""
        return [scope for scope, _ in _scoped_values(request)]


def _keys_of(entry: Entry) -> list[tuple[CapScope, str]]:
    keys: list[tuple[CapScope, str]] = [
        (CapScope.PERSON, entry.person_id),
        (CapScope.ADDRESS, line_of(entry.address)),
    ]
    if entry.account_id is not None:
        keys.append((CapScope.ACCOUNT, entry.account_id))
    return keys


def _scoped_values(request: ContactRequest) -> list[tuple[RestrictionScope, str]]:
    values = [
        (RestrictionScope.PERSON, request.person_id),
        (RestrictionScope.ACCOUNT, request.account_id),
        *((RestrictionScope.NUMBER, form) for form in same_line(request.address)),
    ]
    if request.phone_id is not None:
        values.append((RestrictionScope.PHONE, request.phone_id))
    return values
