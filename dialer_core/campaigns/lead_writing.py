"""Writing a batch of lead rows: insert what is new, change what differs, leave alone what is the same.

It owns the comparison with what the store holds, by the customer's own ids, and the do-not-call check at import. It reads no files.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dialer_core.campaigns.lead_columns import LeadRow, PhoneCell
from dialer_core.campaigns.number_health import NO_USABLE_NUMBER
from dialer_core.compliance import zones
from dialer_core.portfolio.payments import WAITS as PAYMENT
from dialer_core.portfolio.promises import WAITS as PROMISE
from dialer_core.store import (
    account_leads,
    email_addresses,
    import_runs,
    leads,
    people,
    promises,
    restrictions,
)
from dialer_core.store.email_addresses import EmailRow
from dialer_core.store.models import Lead
from dialer_core.store.people import PersonRow, PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AccountStatus,
    CampaignId,
    Channel,
    LeadId,
    LeadState,
    PersonId,
    PhoneId,
    RestrictionKind,
    RestrictionScope,
    new_ids,
)

ZONE = "zone"
"""What a lead waits for whose numbers' time zones are unknown."""

_REOPENED_BY_A_NUMBER = frozenset({NO_USABLE_NUMBER, *(kind.value for kind in RestrictionKind)})
"""Reasons for which a lead was finished that a new number may take away."""


@dataclass(slots=True)
class BatchResult:
    """What became of a batch's rows."""

    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    zone_unknown: int = 0
    restricted: int = 0


@dataclass(slots=True)
class _Known:
    """What the store holds about a batch's rows."""

    persons: dict[str, PersonRow]
    persons_by_external_id: dict[str, PersonRow]
    accounts: dict[tuple[str, str], dict[str, Any]]
    phones: dict[str, list[PhoneRow]]
    emails: dict[str, list[EmailRow]]
    """Of nobody, where the rows name none."""
    leads: dict[str, Lead]
    forbidden: set[str]
    """Numbers not to be called, ever."""
    promised: Collection[str]
    """Accounts with an open promise."""
    paused: Mapping[str, dt.datetime]
    """Accounts that have just paid something, and until when nobody is called about them."""


@dataclass(slots=True)
class _Writes:
    """Rows to insert, in the order of their keys and with the columns of their owner modules."""

    ids: Iterator[str]
    """Enough for all of them."""
    persons: list[tuple[Any, ...]] = field(default_factory=list)
    phones: list[tuple[Any, ...]] = field(default_factory=list)
    emails: list[tuple[Any, ...]] = field(default_factory=list)
    accounts: list[tuple[Any, ...]] = field(default_factory=list)
    leads: list[tuple[Any, ...]] = field(default_factory=list)
    person_changes: list[tuple[PersonId, dict[str, Any]]] = field(default_factory=list)
    phone_changes: list[tuple[PhoneId, dict[str, Any]]] = field(default_factory=list)
    account_changes: list[tuple[AccountId, dict[str, Any]]] = field(default_factory=list)
    lead_changes: list[tuple[LeadId, dict[str, Any]]] = field(default_factory=list)
    new_persons: set[str] = field(default_factory=set)
    new_phones: set[str] = field(default_factory=set)
    """Changes may name people of this batch, so they come after the inserts."""

    @property
    def nothing(self) -> bool:
        """There is nothing to write."""
        return not (
            self.persons
            or self.phones
            or self.emails
            or self.accounts
            or self.leads
            or self.person_changes
            or self.phone_changes
            or self.account_changes
            or self.lead_changes
        )


@dataclass(slots=True)
class Plan:
    """What is to be written of a batch, and what will have become of its rows then."""

    writes: _Writes
    result: BatchResult
    of_news: bool
    """The store knew nobody and nothing of it: where that is no longer so, one of the store's own guards refuses it, and nothing is lost."""


def write_batch(tx: Tx, rows: Sequence[LeadRow], campaign_id: CampaignId, now: dt.datetime) -> BatchResult:
    """Write rows, each of another account; the transaction is the caller's and short.

    Raises
    ------
    StoreError
        The database failed; nothing of the batch is in.
    """
    import_runs.take_turn(tx, "leads")
    planned = plan(tx, rows, campaign_id, now)
    write(tx, planned)
    return planned.result


def plan(tx: Tx, rows: Sequence[LeadRow], campaign_id: CampaignId, now: dt.datetime) -> Plan:
    """Say what would have to be written of rows, each of another account; nothing is."""
    result = BatchResult()
    known = _look_up(tx, rows, campaign_id, now)
    of_news = not known.accounts and not known.persons
    writes = _Writes(iter(new_ids(sum(3 + len(row.phones) + len(row.emails) for row in rows))))
    for row in rows:
        account = known.accounts.get((row.portfolio, row.external_id))
        person_id, changed = _write_person(row, account, known, writes, now)
        changed |= _write_phones(row, person_id, known, writes)
        changed |= _write_emails(row, person_id, known, writes, now)
        if account is None:
            account_id = AccountId(next(writes.ids))
            writes.accounts.append(_new_account(row, account_id, person_id, now))
        else:
            account_id = account["id"]
            changed |= _update_account(row, account, person_id, writes)
        lead = known.leads.get(account_id)
        if lead is None:
            lead_id = next(writes.ids)
            made = _new_lead(row, account_id, person_id, known, result)
            writes.leads.append(
                (
                    lead_id, campaign_id, account_id, person_id, made.state.value, row.priority or 0.0, made.next_at_utc, made.waiting_for,
                    made.rule, made.reason, made.finished_reason, 0, now,
                )
            )  # fmt: skip
            result.accepted += 1
        elif _update_lead(row, lead, person_id, known, writes, changed=changed) or changed:
            result.updated += 1
        else:
            result.unchanged += 1
    return Plan(writes, result, of_news or writes.nothing)


def write(tx: Tx, planned: Plan) -> None:
    """Write what was planned.

    Raises
    ------
    StoreError
        The database failed, or somebody else wrote one of the same people or accounts meanwhile; nothing of it is in.
    """
    writes = planned.writes
    for person_id, changes in writes.person_changes:
        people.update_person(tx, person_id, changes)
    for phone_id, changes in writes.phone_changes:
        people.update_phone(tx, phone_id, changes)
    people.insert_persons(tx, writes.persons)
    people.insert_phones(tx, writes.phones)
    email_addresses.insert_addresses(tx, writes.emails)
    people.insert_accounts(tx, writes.accounts)
    leads.insert_leads(tx, writes.leads)
    for account_id, changes in writes.account_changes:
        people.update_account(tx, account_id, changes)
    for lead_id, changes in writes.lead_changes:
        leads.update_lead(tx, lead_id, **changes)


def _look_up(tx: Tx, rows: Sequence[LeadRow], campaign_id: CampaignId, now: dt.datetime) -> _Known:
    by_portfolio: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_portfolio[row.portfolio].append(row.external_id)
    accounts = {
        (portfolio, external_id): account
        for portfolio, external_ids in by_portfolio.items()
        for external_id, account in people.accounts_by_external_id(tx, portfolio, external_ids).items()
    }
    by_external_id = people.persons_by_external_id(tx, {row.person_id for row in rows if row.person_id})
    known_ids = {account["person_id"] for account in accounts.values()}
    persons = people.persons(tx, known_ids) if known_ids else {}
    persons |= {person.id: person for person in by_external_id.values()}
    numbers = {phone.e164 for row in rows for phone in row.phones}
    forbidden = {
        one.scope_value
        for one in restrictions.active(tx, {RestrictionScope.NUMBER: numbers}, now)
        if one.until_utc is None and one.channel in {None, Channel.VOICE}
    }
    return _Known(
        persons,
        by_external_id,
        accounts,
        people.phones_of(tx, persons) if persons else {},
        email_addresses.of_people(tx, persons) if persons and any(row.emails for row in rows) else {},
        leads.by_account(tx, campaign_id, [account["id"] for account in accounts.values()])
        if accounts
        else {},
        forbidden,
        promises.open_of(tx, [account["id"] for account in accounts.values()]) if accounts else (),
        account_leads.waits_until(tx, [account["id"] for account in accounts.values()], PAYMENT)
        if accounts
        else {},
    )


def _write_person(
    row: LeadRow, account: dict[str, Any] | None, known: _Known, writes: _Writes, now: dt.datetime
) -> tuple[PersonId, bool]:
    """Return whose account it is, and whether something about them changed."""
    person = known.persons_by_external_id.get(row.person_id) if row.person_id else None
    if person is None and account is not None:
        person = known.persons[account["person_id"]]
        if row.person_id and person.external_id not in {None, row.person_id}:
            person = None  # the account has come to somebody else
    if person is None:
        person = PersonRow(
            PersonId(next(writes.ids)), row.person_id, row.name or "", row.language or "es", row.region
        )
        known.persons[person.id] = person
        known.phones[person.id] = []
        if row.person_id:
            known.persons_by_external_id[row.person_id] = person
        writes.new_persons.add(person.id)
        writes.persons.append(
            (person.id, person.external_id, person.name, person.language, person.region, now)
        )
        return person.id, True
    wanted = {
        "external_id": row.person_id,
        "name": row.name,
        "language": row.language,
        "region": row.region,
    }
    changes = {
        key: value for key, value in wanted.items() if value is not None and value != getattr(person, key)
    }
    if changes and person.id not in writes.new_persons:
        writes.person_changes.append((person.id, changes))
        return person.id, True
    return person.id, False


def _write_phones(row: LeadRow, person_id: PersonId, known: _Known, writes: _Writes) -> bool:
    """Add the row's numbers to the person and say whether something changed. Numbers that the row lacks stay."""
    had = {phone.e164: phone for phone in known.phones[person_id]}
    changed = False
    for cell in row.phones:
        old = had.get(cell.e164)
        if old is None:
            phone = _new_phone(row, cell, person_id, next(writes.ids))
            known.phones[person_id].append(phone)
            writes.new_phones.add(phone.id)
            writes.phones.append(
                (phone.id, person_id, phone.e164, phone.kind, phone.rank, " ".join(phone.zones), 0)
            )
            changed = True
            continue
        changes: dict[str, Any] = {}
        if cell.rank != old.rank:
            changes["rank"] = cell.rank
        if cell.kind not in {"unknown", old.kind}:
            changes["kind"] = cell.kind
        found = _zones_of(row, cell)
        if (row.zone or not old.zones) and found != old.zones:
            changes["zones"] = " ".join(found)
        if changes and old.id not in writes.new_phones:
            writes.phone_changes.append((old.id, changes))
            changed = True
    return changed


def _write_emails(
    row: LeadRow, person_id: PersonId, known: _Known, writes: _Writes, now: dt.datetime
) -> bool:
    """Add the row's e-mail addresses behind those that the person has, and say whether there were new ones. None is taken away."""
    if not row.emails:
        return False
    had = known.emails.setdefault(person_id, [])
    new = [address for address in row.emails if all(one.address != address for one in had)]
    for address in new:
        made = EmailRow(next(writes.ids), person_id, address, len(had), 0)
        had.append(made)
        writes.emails.append((made.id, person_id, address, made.rank, 0, "import", now))
    return bool(new)


def _zones_of(row: LeadRow, cell: PhoneCell) -> tuple[str, ...]:
    stated = (row.zone,) if row.zone else ()
    return zones.combine(zones.zones_of_number(cell.e164), stated)


def _new_phone(row: LeadRow, cell: PhoneCell, person_id: PersonId, phone_id: str) -> PhoneRow:
    return PhoneRow(
        id=PhoneId(phone_id),
        person_id=person_id,
        e164=cell.e164,
        kind=cell.kind,
        rank=cell.rank,
        zones=_zones_of(row, cell),
        consent=None,
        failures=0,
        last_outcome=None,
    )


def _new_account(
    row: LeadRow, account_id: AccountId, person_id: PersonId, now: dt.datetime
) -> tuple[Any, ...]:
    said = row.account.get
    return (
        account_id, person_id, row.portfolio, row.external_id, said("creditor", ""), said("product"), said("currency"), said("balance_minor"),
        said("days_past_due"), said("due_date"), row.attributes, now, AccountStatus.OPEN.value,
    )  # fmt: skip


def _update_account(row: LeadRow, account: dict[str, Any], person_id: PersonId, writes: _Writes) -> bool:
    wanted = row.account | {"person_id": person_id, "attributes": account["attributes"] | row.attributes}
    changes = {key: value for key, value in wanted.items() if value != account[key]}
    if changes:
        writes.account_changes.append((account["id"], changes))
    return bool(changes)


class _NewLead(NamedTuple):
    """How a new lead begins."""

    state: LeadState = LeadState.DIALABLE
    next_at_utc: dt.datetime = leads.READY_UTC
    waiting_for: str | None = None
    rule: str | None = None
    reason: str | None = None
    finished_reason: str | None = None


_DIALABLE = _NewLead()
_RESTRICTED = _NewLead(
    LeadState.FINISHED,
    rule=RestrictionKind.DO_NOT_CALL.value,
    reason="every number of this person is restricted for good",
    finished_reason=RestrictionKind.DO_NOT_CALL.value,
)
_WITHOUT_ZONE = _NewLead(
    LeadState.WAITING,
    waiting_for=ZONE,
    rule="zone_unknown",
    reason="no number's time zone is known; import the lead again with a column 'zona'",
)


def _new_lead(
    row: LeadRow, account_id: AccountId, person_id: PersonId, known: _Known, result: BatchResult
) -> _NewLead:
    account = known.accounts.get((row.portfolio, row.external_id))
    if account is not None and account["status"] != AccountStatus.OPEN:
        return _NewLead(LeadState.FINISHED, finished_reason=account["status"])
    if all(phone.e164 in known.forbidden for phone in known.phones[person_id]):
        result.restricted += 1
        return _RESTRICTED
    if account_id in known.promised:
        return _NewLead(LeadState.WAITING, waiting_for=PROMISE)
    if account_id in known.paused:
        return _NewLead(LeadState.WAITING, known.paused[account_id], PAYMENT)
    if not _has_zone(person_id, known, row):
        result.zone_unknown += 1
        return _WITHOUT_ZONE
    return _DIALABLE


def _update_lead(
    row: LeadRow, lead: Lead, person_id: PersonId, known: _Known, writes: _Writes, *, changed: bool
) -> bool:
    changes: dict[str, Any] = {}
    if row.priority is not None and row.priority != lead.priority:
        changes["priority"] = row.priority
    if lead.person_id != person_id:
        changes["person_id"] = person_id
    waits_for_zone = lead.state == LeadState.WAITING and lead.waiting_for == ZONE
    lost_its_numbers = lead.state == LeadState.FINISHED and lead.finished_reason in _REOPENED_BY_A_NUMBER
    account = known.accounts[row.portfolio, row.external_id]
    if account["status"] != AccountStatus.OPEN:
        lost_its_numbers = False  # paid or withdrawn since it was finished
    if lost_its_numbers and changed and lead.account_id in known.promised:
        changes |= {"state": LeadState.WAITING.value, "waiting_for": PROMISE, "finished_reason": None}
    elif changed and ((waits_for_zone and _has_zone(person_id, known, row)) or lost_its_numbers):
        changes |= {
            "state": LeadState.DIALABLE.value,
            "next_at_utc": leads.READY_UTC,
            "waiting_for": None,
            "finished_reason": None,
        }
    if changes:
        writes.lead_changes.append((LeadId(lead.id), changes))
    return bool(changes)


def _has_zone(person_id: PersonId, known: _Known, row: LeadRow) -> bool:
    region = row.region or known.persons[person_id].region
    if region and zones.zones_of_region(region):
        return True
    return any(phone.zones for phone in known.phones[person_id]) or bool(row.zone)
