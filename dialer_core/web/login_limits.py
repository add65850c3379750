"""How often somebody may try to log in: per user, and per address.

It owns the counts, which live in this process: who restarts the host has the machine anyway. Not the password check.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FREE_TRIES = 5
"""Wrong passwords for one user that cost nothing."""
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 900.0
FORGOTTEN_S = 3600.0
"""After so long without a wrong one, they are forgotten."""
ADDRESS_TRIES, ADDRESS_S = 60, 60.0
"""Tries, right or wrong, from one address in so many seconds: a floor of agents logs in from one."""
MOST_KEPT = 10_000
"""Users and addresses remembered, so that a flood of names fills no memory."""


@dataclass(slots=True)
class _Count:
    tries: int = 0
    at_s: float = 0.0
    free_from_s: float = 0.0


class LoginLimits:
    """Wrong passwords, counted. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, _Count] = OrderedDict()
        self._addresses: OrderedDict[str, _Count] = OrderedDict()

    def wait_s(self, user: str, address: str, now_s: float) -> float:
        """Count a try from an address; return how long to wait before a password of this user is looked at again, 0 for not at all."""
        of_address = _kept(self._addresses, address)
        if now_s - of_address.at_s > ADDRESS_S:
            of_address.tries, of_address.at_s = 0, now_s
        of_address.tries += 1
        if of_address.tries > ADDRESS_TRIES:
            return of_address.at_s + ADDRESS_S - now_s
        return self.held_s(user, now_s)

    def held_s(self, user: str, now_s: float) -> float:
        """Return how long to wait for this user, 0 for not at all; it counts nothing."""
        of_user = self._users.get(user)
        return max(0.0, of_user.free_from_s - now_s) if of_user else 0.0

    def wrong(self, user: str, now_s: float) -> None:
        """Count a wrong password: from the sixth on, each doubles the wait."""
        count = _kept(self._users, user)
        if now_s - count.at_s > FORGOTTEN_S:
            count.tries = 0
        count.tries, count.at_s = count.tries + 1, now_s
        if count.tries >= FREE_TRIES:
            doubled = FIRST_WAIT_S * 2 ** min(count.tries - FREE_TRIES, 10)
            count.free_from_s = now_s + min(LONGEST_WAIT_S, doubled)

    def right(self, user: str) -> None:
        """Forget the wrong ones."""
        self._users.pop(user, None)


def _kept(counts: OrderedDict[str, _Count], key: str) -> _Count:
    count = counts.setdefault(key, _Count())
    counts.move_to_end(key)
    while len(counts) > MOST_KEPT:
        counts.popitem(last=False)
    return count
