"""A caller ID alarms when it is received worse than the others of its pool, seldom by chance; and one that rests is not rotated round."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from dialer_core.campaigns.caller_id_health import LEVEL, Sign, judge, tail
from dialer_core.campaigns.caller_ids import best
from dialer_core.list_settings import CallerIdPool
from dialer_core.store.caller_id_totals import Totals
from dialer_core.vocabulary import PersonId

pytestmark = pytest.mark.unit


def totals(name: str, attempts: int = 400, answered: int = 120, short: int = 12, blocked: int = 4) -> Totals:
    """Return one number's week."""
    return Totals(number=name, attempts=attempts, answered=answered, short=short, blocked=blocked)


def test_the_tail_is_fishers() -> None:
    """Held against scipy's own over random tables."""
    random = np.random.default_rng(1)
    for of, of_others in random.integers(5, 400, (40, 2)):
        hits, others = int(random.integers(0, of + 1)), int(random.integers(0, of_others + 1))
        table = [[hits, int(of) - hits], [others, int(of_others) - others]]
        wanted = fisher_exact(table, alternative="greater").pvalue
        assert tail(hits, int(of), others, int(of_others)) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_what_is_worse_alarms_by_its_own_sign() -> None:
    """Blocked, answered less, hung up at once: each by itself; the others of the pool stay silent."""
    good = [totals(f"+5255{n}") for n in range(4)]
    for bad, sign in (
        (totals("+bad", blocked=60), Sign.BLOCKED),
        (totals("+bad", answered=60, short=6), Sign.ANSWERED_LESS),
        (totals("+bad", short=45), Sign.SHORT_CALLS),
    ):
        found = judge([*good, bad])
        assert found.pop("+bad") == (sign,)
        assert set(found.values()) == {()}


def test_too_little_says_nothing() -> None:
    """Twenty attempts, all refused, beside a healthy number: no word before there are thirty; alone in its pool a number needs no comparison."""
    assert judge([totals("+a"), totals("+b", attempts=20, answered=0, short=0, blocked=20)])["+b"] == ()
    assert judge([totals("+a", attempts=60, answered=10, short=1, blocked=30)])["+a"] == (Sign.BLOCKED,)
    assert judge([]) == {}


def test_numbers_that_are_alike_seldom_alarm() -> None:
    """A thousand looks at pools of ten numbers with one chance for all: at most the level's share alarms, by more than chance allows never."""
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(1000):
        answered = random.binomial(200, 0.25, 10)
        pool = [
            totals(str(n), 200, int(a), int(random.binomial(a, 0.1)), int(random.binomial(200 - a, 0.02)))
            for n, a in enumerate(answered)
        ]
        alarms += any(judge(pool).values())
    assert alarms <= 1000 * LEVEL + 3 * (1000 * LEVEL) ** 0.5


def test_who_is_new_gets_no_number_that_rests() -> None:
    """Unless all of them do: then the person waits, and is given none."""
    pool = CallerIdPool(numbers=("+525511111111", "+525522222222"), resting=("+525511111111",))
    assert {best(pool, PersonId(str(n)), "+525533333333") for n in range(20)} == {"+525522222222"}
    with pytest.raises(ValueError, match="is not among numbers"):
        CallerIdPool(numbers=("+525511111111",), resting=("+525522222222",))
