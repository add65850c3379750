"""The person, phone and account tables: who is called, where, and about which debt.

It owns the rows. It does not own which zones a number has (`compliance/zones.py`) nor what an outcome says about a number
(`campaigns/recycle.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, bindparam, select, update

from dialer_core.store import bulk, rollups
from dialer_core.store.models import Account, Person, Phone
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, PersonId, PhoneId

_PERSON: Table = Person.__table__  # type: ignore[assignment]
_PHONE: Table = Phone.__table__  # type: ignore[assignment]
_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]

_PHONES_OF = Prepared(
    select(_PHONE)
    .where(_PHONE.c.person_id.in_(bindparam("persons", expanding=True)))
    .order_by(_PHONE.c.rank, _PHONE.c.id)
)
_SET_HEALTH = Prepared(
    update(_PHONE)
    .where(_PHONE.c.id == bindparam("key"))
    .values(
        failures=bindparam("new_failures"),
        last_outcome=bindparam("new_outcome"),
        tries=bindparam("new_tries"),
        answers=bindparam("new_answers"),
        last_answer_utc=bindparam("answered_at"),
        hours=bindparam("new_hours"),
    )
)
_LOCK = Prepared(
    select(_PERSON.c.id)
    .where(_PERSON.c.id.in_(bindparam("persons", expanding=True)))
    .order_by(_PERSON.c.id)
    .with_for_update(key_share=True)
)
_KEEP_ACCOUNTS = Prepared(
    select(_ACCOUNT.c.id)
    .where(_ACCOUNT.c.id.in_(bindparam("accounts", expanding=True)))
    .order_by(_ACCOUNT.c.id)
    .with_for_update(key_share=True)
)


_PERSONS = Prepared(select(_PERSON).where(_PERSON.c.id.in_(bindparam("keys", expanding=True))))
_PERSONS_BY_EXTERNAL_ID = Prepared(
    select(_PERSON).where(_PERSON.c.external_id.in_(bindparam("keys", expanding=True)))
)
_ACCOUNTS_BY_EXTERNAL_ID = Prepared(
    select(_ACCOUNT).where(
        _ACCOUNT.c.portfolio == bindparam("of_portfolio"),
        _ACCOUNT.c.external_id.in_(bindparam("keys", expanding=True)),
    )
)
PERSON_COLUMNS = ("id", "external_id", "name", "language", "region", "created_at_utc")
PHONE_COLUMNS = ("id", "person_id", "e164", "kind", "rank", "zones", "failures")
ACCOUNT_COLUMNS = (
    "id", "person_id", "portfolio", "external_id", "creditor", "product", "currency", "balance_minor", "days_past_due", "due_date",
    "attributes", "created_at_utc", "status",
)  # fmt: skip
"""What is written of new people, phones and accounts, in this order."""


class PhoneRow(msgspec.Struct, frozen=True):
    """One number of one person."""

    id: PhoneId
    person_id: PersonId
    e164: str
    kind: str
    rank: int
    zones: tuple[str, ...]
    consent: bool | None
    failures: int
    last_outcome: str | None
    tries: int = 0
    answers: int = 0
    last_answer_utc: dt.datetime | None = None
    hours: dict[str, list[int]] | None = None
    """By the number's local hour: tries and answers."""


class PersonRow(msgspec.Struct, frozen=True):
    """Somebody who may be spoken to."""

    id: PersonId
    external_id: str | None
    name: str
    language: str
    region: str | None


def lock(tx: Tx, person_ids: Sequence[str]) -> None:
    """Wait for and keep these people until the transaction's end, so that nobody else counts or reserves their contacts meanwhile.

    SQLite has one writer at a time, which is the same.
    """
    if tx.dialect == "postgresql":
        tx.execute(_LOCK, {"persons": list(person_ids)})


def phones_of(tx: Tx, person_ids: Collection[str]) -> dict[str, list[PhoneRow]]:
    """Return the phones of some people, each person's in order of rank."""
    found: dict[str, list[PhoneRow]] = {person_id: [] for person_id in person_ids}
    for row in tx.execute(_PHONES_OF, {"persons": list(found)}):
        found[row.person_id].append(
            PhoneRow(
                row.id,
                row.person_id,
                row.e164,
                row.kind,
                row.rank,
                tuple(row.zones.split()),
                row.consent,
                row.failures,
                row.last_outcome,
                row.tries,
                row.answers,
                row.last_answer_utc,
                row.hours,
            )
        )
    return found


def phones_with_number(tx: Tx, e164: str) -> list[PhoneRow]:
    """Return everybody's phone that has this number."""
    owners = tx.scalars(select(_PHONE.c.person_id).where(_PHONE.c.e164 == e164))
    return [
        phone for phones in phones_of(tx, list(owners)).values() for phone in phones if phone.e164 == e164
    ]


def set_phone_health(tx: Tx, phone: PhoneRow) -> None:
    """Store what has been learned of a number."""
    tx.execute(
        _SET_HEALTH,
        {
            "key": phone.id,
            "new_failures": phone.failures,
            "new_outcome": phone.last_outcome,
            "new_tries": phone.tries,
            "new_answers": phone.answers,
            "answered_at": phone.last_answer_utc,
            "new_hours": phone.hours,
        },
    )


def persons(tx: Tx, person_ids: Collection[str]) -> dict[str, PersonRow]:
    """Return people by id."""
    return _persons(tx, _PERSONS, person_ids)


def persons_by_external_id(tx: Tx, external_ids: Collection[str]) -> dict[str, PersonRow]:
    """Return people by their id in the customer's systems."""
    found = _persons(tx, _PERSONS_BY_EXTERNAL_ID, external_ids)
    return {person.external_id: person for person in found.values() if person.external_id is not None}


def accounts_by_external_id(
    tx: Tx, portfolio: str, external_ids: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return a portfolio's accounts, every column of them, by their id in the customer's systems."""
    asked = {"of_portfolio": portfolio, "keys": list(external_ids)}
    return {row.external_id: row._asdict() for row in tx.execute(_ACCOUNTS_BY_EXTERNAL_ID, asked)}


def accounts(tx: Tx, account_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return accounts, every column of them, by id."""
    query = select(_ACCOUNT).where(_ACCOUNT.c.id.in_(list(account_ids)))
    return {row["id"]: dict(row) for row in tx.execute(query).mappings()}


def keep_accounts(tx: Tx, account_ids: Collection[str]) -> None:
    """Wait for and keep these accounts until the transaction's end, so that what is owed and promised is read and written by one at a time."""
    if tx.dialect == "postgresql" and account_ids:
        tx.execute(_KEEP_ACCOUNTS, {"accounts": list(account_ids)})


def account(tx: Tx, account_id: AccountId) -> dict[str, Any] | None:
    """Return an account, every column of it, or None."""
    return accounts(tx, [account_id]).get(account_id)


def accounts_of_person(tx: Tx, person_id: PersonId) -> list[dict[str, Any]]:
    """Return a person's accounts, every column of them, the first first."""
    query = select(_ACCOUNT).where(_ACCOUNT.c.person_id == person_id).order_by(_ACCOUNT.c.id)
    return [dict(row) for row in tx.execute(query).mappings()]


def phone(tx: Tx, phone_id: str) -> PhoneRow | None:
    """Return one phone, or None."""
    person_id = tx.scalar(select(_PHONE.c.person_id).where(_PHONE.c.id == phone_id))
    if person_id is None:
        return None
    return next(one for one in phones_of(tx, [person_id])[person_id] if one.id == phone_id)


def accounts_by_number(tx: Tx, e164: str, limit: int) -> list[dict[str, Any]]:
    """Return the accounts of everybody who has this number, every column of them."""
    query = (
        select(_ACCOUNT)
        .where(_ACCOUNT.c.person_id.in_(select(_PHONE.c.person_id).where(_PHONE.c.e164 == e164)))
        .order_by(_ACCOUNT.c.id)
        .limit(limit)
    )
    return [dict(row) for row in tx.execute(query).mappings()]


def insert_persons(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write new people: their `PERSON_COLUMNS`."""
    bulk.insert_values(tx, _PERSON, PERSON_COLUMNS, rows)


def insert_phones(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write new phones: their `PHONE_COLUMNS`."""
    bulk.insert_values(tx, _PHONE, PHONE_COLUMNS, rows)


def insert_accounts(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write new accounts: their `ACCOUNT_COLUMNS`."""
    bulk.insert_values(tx, _ACCOUNT, ACCOUNT_COLUMNS, rows)


def update_person(tx: Tx, person_id: PersonId, changes: Mapping[str, Any]) -> None:
    """Change some columns of a person."""
    tx.execute(update(_PERSON).where(_PERSON.c.id == person_id).values(**changes))


def update_phone(tx: Tx, phone_id: PhoneId, changes: Mapping[str, Any]) -> None:
    """Change some columns of a phone."""
    tx.execute(update(_PHONE).where(_PHONE.c.id == phone_id).values(**changes))


def update_account(tx: Tx, account_id: AccountId, changes: Mapping[str, Any]) -> None:
    """Change some columns of an account. Its product is one of what reports add up by: hours counted up with the one before are counted again."""
    if "product" in changes:
        rollups.account_changed(tx, account_id)
    tx.execute(update(_ACCOUNT).where(_ACCOUNT.c.id == account_id).values(**changes))


def _persons(tx: Tx, query: Prepared, keys: Collection[str]) -> dict[str, PersonRow]:
    if not keys:
        return {}
    rows: Iterable[Any] = tx.execute(query, {"keys": list(keys)})
    return {row.id: PersonRow(row.id, row.external_id, row.name, row.language, row.region) for row in rows}
