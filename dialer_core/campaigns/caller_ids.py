"""The number that a person is called from, out of their campaign's pool: chosen once, by area where there is one, and kept.

It owns the choice. A number is never changed because carriers block it: it is kept for as long as the pool has it, and taking it out is the
operator's decision. The rows are `store/kept_caller_ids.py`'s.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping

from dialer_core.list_settings import CallerIdPool
from dialer_core.store import kept_caller_ids
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import PersonId

AREA_DIGITS = 4
"""Leading digits that a number must share with the callee's to be of their area: the country's and an area code's of two or three."""


def choose(
    tx: Tx, name: str, pool: CallerIdPool, callees: Mapping[PersonId, str], now: dt.datetime
) -> dict[PersonId, str]:
    """Return each person's number out of a pool, and keep what is chosen now.

    Parameters
    ----------
    name, pool
        The pool.
    callees
        The number at which each person is called; their rows are locked by the claim.
    """
    kept = kept_caller_ids.of(tx, name, callees)
    found: dict[PersonId, str] = {}
    for person_id, callee in callees.items():
        number = kept.get(person_id)
        if number is None or number not in pool.numbers:
            number = best(pool, person_id, callee)
            kept_caller_ids.keep(tx, name, person_id, number, now, known=person_id in kept)
        found[person_id] = number
    return found


def waiting(tx: Tx, name: str, pool: CallerIdPool, people: Collection[PersonId]) -> frozenset[PersonId]:
    """Return those people who wait for their number: it rests, or the whole pool does. They are called from no other meanwhile."""
    if not pool.resting:
        return frozenset()
    kept = kept_caller_ids.of(tx, name, people)
    all_rest = set(pool.numbers) <= set(pool.resting)
    return frozenset(
        person
        for person in people
        if kept.get(person) in pool.resting or (all_rest and kept.get(person) not in pool.numbers)
    )


def best(pool: CallerIdPool, person_id: PersonId, callee: str) -> str:
    """Return the number of a pool that a person is called from for the first time: of their area, and spread evenly among several."""
    numbers = [number for number in pool.numbers if number not in pool.resting] or list(pool.numbers)
    if pool.by_area:
        shared = {number: _shared(number, callee) for number in numbers}
        longest = max(shared.values())
        if longest >= AREA_DIGITS:
            numbers = [number for number in numbers if shared[number] == longest]
    return max(numbers, key=lambda number: hashlib.blake2b(f"{person_id} {number}".encode()).digest())


def digests(pool: CallerIdPool) -> tuple[str, ...]:
    """Return what the event log says of a pool's numbers."""
    return tuple(hashlib.blake2b(number.encode(), digest_size=8).hexdigest() for number in pool.numbers)


def _shared(number: str, callee: str) -> int:
    count = 0
    for one, other in zip(number[1:], callee[1:], strict=False):
        if one != other:
            break
        count += 1
    return count
