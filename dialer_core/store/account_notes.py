"""The account_note table: what people wrote about an account, for whoever speaks to its person next. It owns the rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, insert, select

from dialer_core.errors import CommandRefusedError
from dialer_core.store.portfolio_models import AccountNote
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AttemptId, new_id

_TABLE: Table = AccountNote.__table__  # type: ignore[assignment]
MOST_SHOWN = 200
MOST_CHARACTERS = 4_000


class AccountNoteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One note."""

    id: str
    account_id: AccountId
    attempt_id: AttemptId | None
    author: str
    note: str
    at_utc: dt.datetime


def add(
    tx: Tx,
    account_id: AccountId,
    *,
    author: str,
    note: str,
    at_utc: dt.datetime,
    attempt_id: AttemptId | None = None,
    note_id: str | None = None,
) -> AccountNoteRow:
    """Write a note. It is kept as written: there is no way to change one. Under an id that there is already nothing is written again."""
    if note_id is not None:
        known = tx.execute(select(_TABLE).where(_TABLE.c.id == note_id)).mappings().first()
        if known is not None:
            found = AccountNoteRow(**known)
            if found.account_id != account_id:
                raise CommandRefusedError("there is another account's note under this id")
            return found
    row = AccountNoteRow(
        id=note_id or new_id(),
        account_id=account_id,
        attempt_id=attempt_id,
        author=author[:64],
        note=note,
        at_utc=at_utc,
    )
    tx.execute(insert(_TABLE), msgspec.structs.asdict(row))
    return row


def of(tx: Tx, account_ids: Collection[str]) -> list[AccountNoteRow]:
    """Return the notes of some accounts, the latest first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.account_id.in_(list(account_ids)))
        .order_by(_TABLE.c.at_utc.desc(), _TABLE.c.id.desc())
        .limit(MOST_SHOWN)
    )
    return [AccountNoteRow(**row) for row in tx.execute(query).mappings()]
