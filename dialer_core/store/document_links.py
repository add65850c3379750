"""The document_link table: links to documents that messages carry, one a message, each with when it ends and what it asks.

It owns the rows. How a link is signed, and whether it still opens, is `messaging/document_links.py`'s.
"""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import Table, insert, select, update

from dialer_core.store.message_models import DocumentLink
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, MessageId, PersonId

_TABLE: Table = DocumentLink.__table__  # type: ignore[assignment]


class LinkRow(msgspec.Struct, frozen=True, kw_only=True):
    """One link: of which message, about what, and until when."""

    message_id: MessageId
    account_id: AccountId
    person_id: PersonId
    """Whose account it was when it was sent."""
    document_id: str | None
    """A document of the account; None: `letter` of the message."""
    letter: str | None
    field: str
    """What they are asked for, by its last `digits`; empty: nothing."""
    digits: int
    question: str
    """As they are asked, in the message's language; empty: the page's own words."""
    until_utc: dt.datetime
    wrong: int = 0
    """Wrong answers."""
    opened: int = 0
    ended_because: str | None = None
    """Why it was ended before its time: `command`, `wrong_answers`."""


_FIELDS = LinkRow.__struct_fields__


def add(tx: Tx, row: LinkRow) -> None:
    """Write a new link."""
    tx.execute(insert(_TABLE), msgspec.structs.asdict(row))


def get(tx: Tx, message_id: str, *, keep: bool = False) -> LinkRow | None:
    """Return the link of a message, or None; `keep`: nobody else changes it until this transaction ends."""
    query = select(*(_TABLE.c[name] for name in _FIELDS)).where(_TABLE.c.message_id == message_id)
    row = tx.execute(query.with_for_update() if keep else query).mappings().first()
    return LinkRow(**row) if row is not None else None


def put(tx: Tx, row: LinkRow) -> None:
    """Write what has become of a link."""
    tx.execute(
        update(_TABLE)
        .where(_TABLE.c.message_id == row.message_id)
        .values(wrong=row.wrong, opened=row.opened, ended_because=row.ended_because)
    )
