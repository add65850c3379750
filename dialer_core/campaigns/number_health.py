"""Which of a person's numbers may be tried and in which order, and what an outcome says about a number.

It owns the health of numbers, learned from outcomes. It does not own when a lead is next (`recycle.py`) nor whether a number may be
called (`compliance/gate.py`).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dialer_core.store import people
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Outcome, PhoneId

FAULTS = frozenset({Outcome.INVALID_NUMBER, Outcome.SIT, Outcome.FAX})
"""Outcomes that speak against the number itself."""

GOOD_SHARE = 1 / 3
"""Of the tries about this hour; a number that is answered so often comes before its rank."""

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


def answering_first(phones: Sequence[PhoneRow], now: dt.datetime) -> list[PhoneRow]:
    """Return numbers with those first at which a person has answered at this hour often enough; otherwise as they stand."""
    return sorted(phones, key=lambda phone: not _answers_now(phone, now))


def _answers_now(phone: PhoneRow, now: dt.datetime) -> bool:
    if not phone.answers or not phone.hours:
        return False
    hour = _local_hour(phone, now)
    about = [phone.hours.get(str((hour + off) % 24), [0, 0]) for off in (-1, 0, 1)]
    tries, answers = sum(one[0] for one in about), sum(one[1] for one in about)
    return answers > 0 and answers >= GOOD_SHARE * tries


def _local_hour(phone: PhoneRow, at: dt.datetime) -> int:
    zone = zoneinfo.ZoneInfo(phone.zones[0]) if phone.zones else dt.UTC
    return at.astimezone(zone).hour


def learn(tx: Tx, phone: PhoneRow, outcome: Outcome, *, answered: bool, now: dt.datetime) -> PhoneRow:
    """Return a phone as it is after an outcome, and store it. `answered`: a person was there."""
    changes: dict[str, Any] = {"last_outcome": outcome.value}
    if outcome not in SAYS_NOTHING:
        hour = str(_local_hour(phone, now))
        tries, answers = (phone.hours or {}).get(hour, (0, 0))
        changes |= {
            "failures": phone.failures + 1 if outcome in FAULTS else 0,
            "tries": phone.tries + 1,
            "answers": phone.answers + int(answered),
            "hours": {**(phone.hours or {}), hour: [tries + 1, answers + int(answered)]},
        }
        if answered:
            changes["last_answer_utc"] = now
    learned = msgspec.structs.replace(phone, **changes)
    people.set_phone_health(tx, learned)
    return learned
