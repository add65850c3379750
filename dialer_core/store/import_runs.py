"""The import_run table: which files were imported when, and with what result; and the lock that keeps two imports apart.

It owns the rows. It does not own what an import does.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Table, func, insert, select, text

from dialer_core.store.models import ImportRun
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, new_id

_TABLE: Table = ImportRun.__table__  # type: ignore[assignment]
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


def take_turn(tx: Tx, what: str) -> None:
    """Let one transaction of this kind of import run at a time, so that two imports of one account do not both insert it.

    SQLite has one writer at a time, which is the same.
    """
    if tx.dialect == "postgresql":
        tx.execute(_LOCK, {"key": f"import/{what}"})


def add(
    tx: Tx,
    kind: str,
    *,
    campaign_id: CampaignId | None,
    file_sha256: str,
    accepted: int,
    updated: int,
    rejected: int,
    at_utc: dt.datetime,
) -> None:
    """Write that an import ended, and account for it."""
    run_id = new_id()
    tx.audit("import.ended", f"import_run {run_id}", kind=kind, file_sha256=file_sha256, accepted=accepted)
    tx.execute(
        insert(_TABLE),
        {
            "id": run_id,
            "kind": kind,
            "campaign_id": campaign_id,
            "file_sha256": file_sha256,
            "accepted": accepted,
            "updated": updated,
            "rejected": rejected,
            "at_utc": at_utc,
        },
    )


def last_ended(tx: Tx) -> dt.datetime | None:
    """Return when the last import of any kind ended, or None."""
    found: dt.datetime | None = tx.scalar(select(func.max(_TABLE.c.at_utc)))
    return found
