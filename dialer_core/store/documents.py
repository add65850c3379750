"""The account_document table: what proves an account (contract, statement, letter), where it lies and its checksum.

It owns the rows. The files themselves are `portfolio/proof.py`'s, or the customer's own archive's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, insert, select

from dialer_core.store.portfolio_models import AccountDocument
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, new_id

_TABLE: Table = AccountDocument.__table__  # type: ignore[assignment]


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A document of an account."""

    id: str
    account_id: AccountId
    kind: str
    title: str
    location: str
    """A file of the state folder (`documents/…`), or an address of the customer's own archive."""
    sha256: str | None
    at_utc: dt.datetime


def add(
    tx: Tx, account_id: AccountId, *, kind: str, title: str, location: str, sha256: str | None, actor: str, at_utc: dt.datetime
) -> DocumentRow:  # fmt: skip
    """Write a document of an account, and account for it."""
    row = DocumentRow(
        id=new_id(),
        account_id=account_id,
        kind=kind,
        title=title,
        location=location,
        sha256=sha256,
        at_utc=at_utc,
    )
    tx.execute(insert(_TABLE), msgspec.structs.asdict(row))
    tx.audit("document.added", f"document {row.id}", actor=actor, account=account_id, sha256=sha256)
    return row


def of(tx: Tx, account_ids: Collection[str]) -> list[DocumentRow]:
    """Return the documents of some accounts, the latest first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.account_id.in_(list(account_ids)))
        .order_by(_TABLE.c.at_utc.desc(), _TABLE.c.id.desc())
    )
    return [DocumentRow(**row) for row in tx.execute(query).mappings()]


def get(tx: Tx, document_id: str) -> DocumentRow | None:
    """Return one document, or None."""
    row = tx.execute(select(_TABLE).where(_TABLE.c.id == document_id)).mappings().first()
    return DocumentRow(**row) if row is not None else None
