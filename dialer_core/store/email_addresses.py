"""The email_address table: where people are written to, and how often a letter came back from there.

It owns the rows. Which one a message goes to is `messaging/composing.py`'s; whether the person agreed to e-mail is `consents.py`'s.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Table, insert, select, update

from dialer_core.store import bulk
from dialer_core.store.message_models import EmailAddress
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import PersonId, new_id

_TABLE: Table = EmailAddress.__table__  # type: ignore[assignment]
LONGEST: Final = 128
_SHAPE: Final = re.compile(
    r"[^\s@<>,;:\"'()\[\]\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,60}[A-Za-z0-9])?\.[A-Za-z]{2,24}"
)


class EmailRow(msgspec.Struct, frozen=True):
    """One address of one person."""

    id: str
    person_id: PersonId
    address: str
    rank: int
    failures: int


COLUMNS: Final = ("id", "person_id", "address", "rank", "failures", "source", "added_at_utc")
"""Of a new row, in `insert_addresses`' order."""
_COLUMNS = tuple(_TABLE.c[name] for name in EmailRow.__struct_fields__)


def _row(found: Row[Any]) -> EmailRow:
    return EmailRow(found.id, PersonId(found.person_id), found.address, found.rank, found.failures)


def normalised(address: str) -> str | None:
    """Return an address as ours are kept, in small letters; None: it is none."""
    plain = address.strip().lower()
    return plain if len(plain) <= LONGEST and _SHAPE.fullmatch(plain) else None


def of_people(tx: Tx, person_ids: Collection[str]) -> dict[str, list[EmailRow]]:
    """Return the addresses of some people, each person's in order of rank."""
    found: dict[str, list[EmailRow]] = {person_id: [] for person_id in person_ids}
    query = select(*_COLUMNS).where(_TABLE.c.person_id.in_(list(found))).order_by(_TABLE.c.rank, _TABLE.c.id)
    for row in tx.execute(query):
        found[row.person_id].append(_row(row))
    return found


def with_address(tx: Tx, address: str) -> list[EmailRow]:
    """Return whose an address is."""
    query = select(*_COLUMNS).where(_TABLE.c.address == address).order_by(_TABLE.c.id)
    return [_row(row) for row in tx.execute(query)]


def add(tx: Tx, person_id: PersonId, address: str, *, source: str, at_utc: dt.datetime) -> bool:
    """Write an address behind those a person has; False: they have it, or it is none."""
    plain = normalised(address)
    known = of_people(tx, [person_id])[person_id]
    if plain is None or any(one.address == plain for one in known):
        return False
    tx.execute(
        insert(_TABLE),
        {"id": new_id(), "person_id": person_id, "address": plain, "rank": len(known), "failures": 0,
         "source": source[:64], "added_at_utc": at_utc},
    )  # fmt: skip
    return True


def insert_addresses(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write new addresses: their `COLUMNS`; each as `normalised` writes it, and none that its person has."""
    bulk.insert_values(tx, _TABLE, COLUMNS, rows)


def came_back(tx: Tx, address: str) -> None:
    """Note that a letter came back from an address, whoever's it is."""
    tx.execute(update(_TABLE).where(_TABLE.c.address == address).values(failures=_TABLE.c.failures + 1))


def arrived(tx: Tx, address: str) -> None:
    """Note that somebody wrote from an address: it works."""
    tx.execute(update(_TABLE).where(_TABLE.c.address == address, _TABLE.c.failures > 0).values(failures=0))
