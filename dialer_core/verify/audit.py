"""I17: the audit log is one unbroken chain: each entry's digest covers the one before it, and no number is missing."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator

from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Subject


def chain(subject: Subject) -> Iterator[Violation]:
    """I17: numbers without a gap, and every digest is that of its columns and of the digest before."""
    before, expected = "0" * 64, 1
    for row in scan.rows(subject.tx, "audit", order_by=("seq",)):
        if row.seq != expected:
            yield _broken(row.seq, f"comes after entry {expected - 1}: what stood between them is missing")
        at = row.at_utc.astimezone(dt.UTC).isoformat(timespec="microseconds")
        told = [before, row.seq, at, row.node, row.actor, row.action, row.subject, row.data]
        if hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest() != row.digest:
            yield _broken(
                row.seq, "was changed, or the entry before it: its digest is not that of its columns"
            )
        before, expected = row.digest, row.seq + 1


def _broken(seq: int, text: str) -> Violation:
    return Violation(Invariant.I17, "audit", str(seq), text)


CHECKS = (Check(Invariant.I17, "audit entries form an unbroken chain", whole=chain),)
