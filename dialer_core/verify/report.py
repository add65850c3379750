"""What a verification says: what it checked, what it could not, and which row breaks which invariant.

It owns the shape of checks and of the report, and no check. Texts name ids, states and times, never a phone
number or a name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from dialer_core.verify.subject import Subject, Trail


class Invariant(enum.StrEnum):
    """The invariants of the design that are checked over a store; numbers as there.

    The others cannot be seen in its rows: I13 and I14 are heard (the demo and the end-to-end tests listen), I16 speaks of what is synced.
    """

    I1 = "I1"
    """Every INVITE has an attempt committed before it; an attempt has one Call-ID."""
    I2 = "I2"
    """Every attempt ends in exactly one outcome."""
    I3 = "I3"
    """A lead, a number and a person have one live attempt at most."""
    I4 = "I4"
    """A live answer is bridged or hears the abandonment message within its limit, unless they hang up first."""
    I5 = "I5"
    """An agent has one conversation at most."""
    I6 = "I6"
    """Nothing is in a transient state longer than that state's limit."""
    I7 = "I7"
    """A trunk's lines and calls per second are kept."""
    I8 = "I8"
    """An agent's intervals tile the time logged in."""
    I9 = "I9"
    """What happens to an attempt happens in order, in one clock."""
    I10 = "I10"
    """The abandonment ledger equals its recomputation."""
    I11 = "I11"
    """Every attempt carries the gate's evidence, and a slow recomputation agrees."""
    I12 = "I12"
    """A restriction stops the next contact, one already ringing included."""
    I15 = "I15"
    """A message is committed as submitting before the wire; what nobody can say of it is settled by lookup or policy, never sent twice."""
    I17 = "I17"
    """No phone number or name in the event log or in a log line; the audit log is an unbroken chain."""
    I18 = "I18"
    """Lead states partition the list."""
    I19 = "I19"
    """Nothing of a debt is said before the person is identified."""
    PORTFOLIO = "portfolio"
    """Promises and the payments counted for them agree."""
    COUNTED = "counted"
    """What has been counted up for reports is what the attempts themselves come to."""
    LISTS = "lists"
    """Quotas hold, a person is called from the number kept for them, which was in its pool then, and a strategy does nothing after its stop."""
    LOG = "log"
    """The event log is whole: numbers without gaps, an event for each thing the rows say, and no other."""


class Violation(msgspec.Struct, frozen=True):
    """One row that breaks one invariant."""

    invariant: Invariant
    table: str
    row_id: str
    text: str
    """What is wrong, in words."""

    def __str__(self) -> str:
        return f"{self.invariant} {self.table} {self.row_id}: {self.text}"


class Report(msgspec.Struct, frozen=True):
    """The outcome of a verification."""

    checked: list[str]
    """`I3 no two attempts …`: what held, or did not."""
    violations: list[Violation]
    not_checked: list[str] = []
    """What could not be looked at, and what it needs."""

    @property
    def ok(self) -> bool:
        """Nothing is broken."""
        return not self.violations


WholeCheck = Callable[["Subject"], Iterable[Violation]]
EachCheck = Callable[["Subject", Any, "Trail"], Iterable[Violation]]
"""Given one attempt's row and its trail of events."""


class Check(msgspec.Struct, frozen=True):
    """One claim over a store, and the function that looks for rows against it."""

    invariant: Invariant
    claim: str
    whole: WholeCheck | None = None
    each: EachCheck | None = None
    needs: tuple[str, ...] = ()
    """What must have been given: of `packs`, `trunks`, `carrier_log` and `logs`."""

    @property
    def title(self) -> str:
        """Return invariant and claim."""
        return f"{self.invariant} {self.claim}"
