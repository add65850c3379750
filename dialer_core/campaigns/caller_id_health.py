"""Whether a number that we call from is blocked or labelled: each number of a pool held against the others of its pool.

It owns the rule, which is arithmetic over counts. Nothing changes a person's number because of it, and nothing stops calling by itself: the operator
is told, looks into it with the carrier, and lets the number rest (`resting` in `caller_ids.toml`): whoever is called from it then waits.

The rule, per number and sign (blocked more often, answered less often, hung up sooner): Fisher's exact test (1934), one-sided, of the number's counts
against those of all others of the pool together, at `LEVEL` divided by the number of comparisons (Bonferroni), so that a pool of any size alarms
falsely in 1 % of its looks at most; and the difference must matter (`WORTH`). A pool of one number has nothing to be held against: there only
`MOST_BLOCKED` counts.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Sequence

import msgspec

from dialer_core.list_settings import CallerIdPool
from dialer_core.store import caller_id_totals
from dialer_core.store.caller_id_totals import Totals
from dialer_core.store.tx import Tx

LOOKED_BACK = dt.timedelta(days=7)
LEVEL = 0.01
FEWEST = 30
"""Attempts (or answers, for what is counted of them) from a number before anything is said of it."""
WORTH = 0.05
"""Smallest difference of shares that is told."""
MOST_BLOCKED = 0.2
"""A share of refusals that needs no comparison: its lower bound (one-sided 99 %) lies over this."""
_Z = 2.3263


class Sign(enum.StrEnum):
    """What speaks against a number."""

    BLOCKED = "blocked"
    """Calls from it are refused as unwanted."""
    ANSWERED_LESS = "answered_less"
    """Fewer people answer it."""
    SHORT_CALLS = "short_calls"
    """More people hang up at once."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a pool now."""

    pool: str
    number: str
    attempts: int
    answered: int
    short: int
    blocked: int
    resting: bool
    signs: tuple[Sign, ...] = ()
    """Empty: nothing speaks against it, or there is too little to say."""


def tail(hits: int, of: int, other_hits: int, of_others: int) -> float:
    """Return the chance of so many hits or more in the first group, were both alike: the hypergeometric tail (Fisher, 1934).

    Examples
    --------
    >>> round(tail(3, 4, 1, 4), 4)
    0.2429
    """
    both, every = hits + other_hits, of + of_others

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    whole = log_choose(every, both)
    most = min(of, both)
    parts = [
        math.exp(log_choose(of, k) + log_choose(of_others, both - k) - whole)
        for k in range(hits, most + 1)
        if 0 <= both - k <= of_others
    ]
    return min(1.0, math.fsum(parts))


def _surely_over(hits: int, of: int, share: float) -> bool:
    """Say whether the lower end of Wilson's interval (1927) of a share lies over another."""
    p, n = hits / of, float(of)
    low = (p + _Z * _Z / (2 * n) - _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))) / (
        1 + _Z * _Z / n
    )
    return low > share


def judge(totals: Sequence[Totals]) -> dict[str, tuple[Sign, ...]]:
    """Return what speaks against each number of one pool."""
    level = LEVEL / max(1, len(Sign) * len(totals))
    return {one.number: tuple(_signs(one, totals, level)) for one in totals}


def _signs(one: Totals, totals: Sequence[Totals], level: float) -> list[Sign]:
    others = [other for other in totals if other.number != one.number]

    def differs(hits: int, of: int, other_hits: int, of_others: int) -> bool:
        if of < FEWEST or of_others < FEWEST or hits / of - other_hits / of_others < WORTH:
            return False
        return tail(hits, of, other_hits, of_others) < level

    attempts, answered = sum(o.attempts for o in others), sum(o.answered for o in others)
    blocked, short = sum(o.blocked for o in others), sum(o.short for o in others)
    found = []
    alone = one.attempts >= FEWEST and _surely_over(one.blocked, one.attempts, MOST_BLOCKED)
    if alone or differs(one.blocked, one.attempts, blocked, attempts):
        found.append(Sign.BLOCKED)
    if differs(one.attempts - one.answered, one.attempts, attempts - answered, attempts):
        found.append(Sign.ANSWERED_LESS)
    if differs(one.short, one.answered, short, answered):
        found.append(Sign.SHORT_CALLS)
    return found


def look(tx: Tx, name: str, pool: CallerIdPool, now: dt.datetime) -> list[Health]:
    """Return how each number of a pool is, by the attempts of the last days; numbers without any are there too."""
    totals = caller_id_totals.of(tx, pool.numbers, now - LOOKED_BACK)
    signs, counted = judge(totals), {one.number: one for one in totals}
    nothing = {"attempts": 0, "answered": 0, "short": 0, "blocked": 0}
    return [
        Health(
            pool=name, resting=number in pool.resting, signs=signs.get(number, ()),
            **({"number": number, **nothing} if number not in counted else msgspec.structs.asdict(counted[number])),
        )
        for number in pool.numbers
    ]  # fmt: skip
