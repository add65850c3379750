"""`dialer verify`: which row of a store breaks which invariant.

It owns the checks, a module for each group, and their order. They are written against the rows and the
design, not against the code that makes the rows: a check that called the gate or the engine would agree with
their mistakes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from dialer_core.compliance.rules import RulePack
from dialer_core.settings import TrunkSettings
from dialer_core.store.database import Database
from dialer_core.verify import (
    answers,
    audit,
    callers,
    calls,
    deliveries,
    flows,
    law,
    leads,
    limits,
    lists,
    log,
    messages,
    people,
    portfolio,
    talks,
    timing,
)
from dialer_core.verify.carrier import read_carrier_log
from dialer_core.verify.report import Check, Invariant, Report, Violation
from dialer_core.verify.subject import Subject

CHECKS: tuple[Check, ...] = (
    *calls.CHECKS,
    *answers.CHECKS,
    *limits.CHECKS,
    *timing.CHECKS,
    *law.CHECKS,
    *people.CHECKS,
    *leads.CHECKS,
    *log.CHECKS,
    *audit.CHECKS,
    *talks.CHECKS,
    *callers.CHECKS,
    *deliveries.CHECKS,
    *messages.CHECKS,
    *flows.CHECKS,
    *portfolio.CHECKS,
    *lists.CHECKS,
)

_NEEDS = {
    "packs": "the rule packs of the configuration",
    "trunks": "the trunks of the configuration",
    "carrier_log": "the carrier's log",
    "logs": "log files",
}


def verify_store(
    database: Database,
    *,
    packs: Mapping[str, RulePack] | None = None,
    trunks: Mapping[str, TrunkSettings] | None = None,
    carrier_log: Path | None = None,
    logs: Sequence[Path] = (),
    now: dt.datetime | None = None,
) -> Report:
    """Check a store, and whatever is given beside it, against the invariants.

    Parameters
    ----------
    database
        The store; read in one snapshot, so an engine may be running.
    packs, trunks
        By name, as loaded from the configuration: windows, caps, limits and lines are checked against these.
    carrier_log
        The simulated carrier's log of the same run.
    logs
        The dialer's log files.
    now
        Against which what is still under way is judged; the database's clock by default.

    Returns
    -------
    Report
        What was checked, what was not for want of something, and every violation found.

    Raises
    ------
    StoreError
        The database cannot be read.
    ImportFileError
        A log cannot be read.
    """
    carrier_calls = read_carrier_log(carrier_log) if carrier_log is not None else None
    violations: list[Violation] = []
    with database.read() as tx:
        subject = Subject(
            tx,
            packs=packs,
            trunks=trunks,
            carrier_calls=carrier_calls,
            logs=logs,
            now=now or database.clock.utc(),
        )
        possible = [check for check in CHECKS if subject.given.issuperset(check.needs)]
        each = [check.each for check in possible if check.each is not None]
        for attempt, trail in subject.trails():
            if attempt is None:
                violations += log.strays(trail)
            else:
                for check_one in each:
                    violations += check_one(subject, attempt, trail)
        for check in possible:
            if check.whole is not None:
                violations += check.whole(subject)
        unjudged = sum(subject.pack_of(attempt) is None for attempt in subject.attempts) if packs else 0
    left_out = [
        f"{check.title}: needs {' and '.join(_NEEDS[name] for name in check.needs)}"
        for check in CHECKS
        if check not in possible
    ]
    if unjudged:
        left_out.append(
            f"I11 of {unjudged} attempts: they were allowed by a rule pack or version that was not given"
        )
    return Report([check.title for check in possible], violations, left_out)


__all__ = ["CHECKS", "Check", "Invariant", "Report", "Violation", "verify_store"]
