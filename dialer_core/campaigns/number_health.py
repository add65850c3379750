"""Which of a person's numbers may be tried and in which order, and what an outcome says about a number.

It owns the health of numbers, learned from outcomes. It does not own when a lead is next (`recycle.py`) nor whether a number may be
called (`compliance/gate.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dialer_core.store import people
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Outcome, PhoneId

FAULTS = frozenset({Outcome.INVALID_NUMBER, Outcome.SIT, Outcome.FAX})
"""Outcomes that speak against the number itself."""

FAULTS_OF_A_DEAD_NUMBER = 2
"""So many of them in a row, and the number is not dialed again."""

SAYS_NOTHING = frozenset(
    {
        Outcome.CONGESTION,
        Outcome.TRUNK_FAILED,
        Outcome.REDIRECTED,
        Outcome.MEDIA_FAILED,
        Outcome.RELEASED,
        Outcome.CANCELLED,
        Outcome.INTERRUPTED,
        Outcome.INTERNAL,
    }
)
"""Outcomes that say nothing of the number, for or against."""

NO_USABLE_NUMBER = "no_usable_number"
"""Why a lead is finished whose every number is dead or may not be used."""


def usable(phone: PhoneRow) -> bool:
    """Say whether a number may be tried at all."""
    return phone.failures < FAULTS_OF_A_DEAD_NUMBER and phone.consent is not False


def other_usable(phones: Iterable[PhoneRow], than: str) -> bool:
    """Say whether the person has a usable number besides this one."""
    return any(usable(phone) and phone.id != than for phone in phones)


def in_order(phones: Sequence[PhoneRow], last: PhoneId | None, *, move_on: bool) -> list[PhoneRow]:
    """Return the usable numbers in the order to try them.

    Parameters
    ----------
    phones
        The person's numbers by rank.
    last
        The number tried last, if any.
    move_on
        Begin with the number after it, rather than with it.
    """
    ranked = list(phones)
    begin = next((index for index, phone in enumerate(ranked) if phone.id == last), None)
    if begin is not None:
        begin += int(move_on)
        ranked = ranked[begin:] + ranked[:begin]
    return [phone for phone in ranked if usable(phone)]


def learn(tx: Tx, phone: PhoneRow, outcome: Outcome) -> PhoneRow:
    """Return a phone as it is after an outcome, and store it."""
    failures = phone.failures
    if outcome not in SAYS_NOTHING:
        failures = failures + 1 if outcome in FAULTS else 0
    people.set_phone_health(tx, phone.id, failures=failures, last_outcome=outcome.value)
    return msgspec.structs.replace(phone, failures=failures, last_outcome=outcome.value)
