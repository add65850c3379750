"""The audit table: what was done that must be accounted for, by whom, in one chain over all nodes.

Each entry's digest is SHA-256 over the digest before it and its own columns, so that an entry changed, removed or slipped in breaks the
chain from there on; `dialer verify` walks it. What is cut off at its end is not seen by the chain itself: keep the last digest elsewhere.

It owns the rows. What is audited is said where it is done, by `Tx.audit`; it is written just before the commit, so that nothing waits
long for its turn in the chain.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any

from sqlalchemy import Table, insert, select, text

from dialer_core.store.portfolio_models import AuditEntry
from dialer_core.store.tx import Tx

_TABLE: Table = AuditEntry.__table__  # type: ignore[assignment]
_LAST = select(_TABLE.c.seq, _TABLE.c.digest).order_by(_TABLE.c.seq.desc()).limit(1)
_INSERT = insert(_TABLE)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('audit', 0))")
FIRST = "0" * 64
"""The digest before the first entry's."""


def insert_pending(tx: Tx) -> None:
    """Write what the transaction was told to audit at the end of the chain. SQLite has one writer; PostgreSQL's wait for one another."""
    if not tx.audited or tx.stamp is None:
        return
    if tx.dialect == "postgresql":
        tx.execute(_LOCK)
    last = tx.execute(_LAST).first()
    seq, before = (0, FIRST) if last is None else (last.seq, last.digest)
    rows: list[dict[str, Any]] = []
    at_utc = tx.utc()
    for seq, item in enumerate(tx.audited, seq + 1):  # noqa: B020 - it goes on from the last one
        data = json.dumps(item.data, sort_keys=True, separators=(",", ":"))
        row: dict[str, Any] = {
            "seq": seq, "at_utc": at_utc, "node": tx.stamp.node, "actor": item.actor or tx.stamp.source,
            "action": item.action, "subject": item.subject, "data": data,
        }  # fmt: skip
        before = digest(before, **row)
        rows.append(row | {"digest": before})
    tx.execute(_INSERT, rows)
    tx.audited.clear()


def digest(
    before: str, *, seq: int, at_utc: dt.datetime, node: str, actor: str, action: str, subject: str, data: str
) -> str:
    """Return the digest of an entry, as hexadecimal text: over a JSON list of the one before and the entry's columns, times in UTC."""
    when = at_utc.astimezone(dt.UTC).isoformat(timespec="microseconds")
    told = json.dumps([before, seq, when, node, actor, action, subject, data], separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()
