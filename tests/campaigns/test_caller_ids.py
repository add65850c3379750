"""The number a person is called from: of their area, spread evenly, and kept for as long as the pool has it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dialer_core.campaigns import caller_ids, hopper
from dialer_core.list_settings import CallerIdPool
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Outcome, PersonId
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TRUNK,
    put_lead,
    put_list_campaign,
    row_of,
    rows,
    settings_of,
)
from tests.campaigns.test_recycle import DAY, OPEN, end

POOL = CallerIdPool(numbers=("+525511110001", "+525511110002", "+523311110001", "+12125550100"))
SETTINGS = settings_of(caller_ids="mx")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("callee", "among"),
    [
        ("+525598765432", {"+525511110001", "+525511110002"}),
        ("+523398765432", {"+523311110001"}),
        ("+12129876543", {"+12125550100"}),
        ("+526641234567", set(POOL.numbers)),  # no number of Tijuana: any
        ("+442071234567", set(POOL.numbers)),
    ],
)
def test_a_number_of_their_area_comes_first(callee: str, among: set[str]) -> None:
    """The one that shares the most digits, four at least; where none does, any; without `by_area`, any."""
    people = [PersonId(f"p{number}") for number in range(400)]
    found = Counter(caller_ids.best(POOL, person, callee) for person in people)
    assert set(found) == among
    assert max(found.values()) < 2 * len(people) / len(among)  # spread evenly: twice its share is not seen
    anywhere = POOL.model_copy(update={"by_area": False})
    assert {caller_ids.best(anywhere, person, callee) for person in people} == set(POOL.numbers)


@pytest.mark.unit
@given(st.sampled_from(POOL.numbers), st.integers(0, 1000))
def test_taking_a_number_out_moves_only_whom_it_called(removed: str, number: int) -> None:
    """Whoever had another number would get the same one again."""
    person, callee = PersonId(f"p{number}"), "+442071234567"
    before = caller_ids.best(POOL, person, callee)
    left = CallerIdPool(numbers=tuple(one for one in POOL.numbers if one != removed))
    assert before == removed or caller_ids.best(left, person, callee) == before


def dialed_from(tx: Tx, pool: CallerIdPool, day: int) -> str | None:
    """Dial the one lead on a day, without an answer; return the number that was shown."""
    at = NOON + day * DAY
    [one] = hopper.claim(
        tx, campaign_id=CAMPAIGN, settings=SETTINGS, pack=OPEN, trunks=[TRUNK], node="n", boot_id="b", now=at, caller_ids=pool
    ).attempts  # fmt: skip
    assert row_of(tx, "attempt", one.attempt_id)["caller_id"] == one.caller_id
    end(tx, one.attempt_id, Outcome.TRUNK_FAILED, at)
    again = hopper.reclaim(
        tx, ended_attempt_id=one.attempt_id, trunk=TRUNK, settings=SETTINGS, pack=OPEN, node="n", boot_id="b", now=at,
        caller_ids=pool,
    )  # fmt: skip
    assert isinstance(again, hopper.ClaimedAttempt)
    assert again.caller_id == one.caller_id
    end(tx, again.attempt_id, Outcome.NO_ANSWER, at)
    return one.caller_id


@pytest.mark.db
def test_a_person_keeps_their_number(database: Database) -> None:
    """At every number of theirs, over failover and days, though the pool grows; only when it is taken out another is chosen, and kept."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525500000001", "+523300000001"])
        first = dialed_from(tx, POOL, 0)
        assert first in {"+525511110001", "+525511110002"}
        grown = CallerIdPool(numbers=(*POOL.numbers, "+525500001234"))  # nearer still
        assert [dialed_from(tx, grown, day) for day in (1, 2)] == [first, first]
        without = CallerIdPool(numbers=tuple(one for one in grown.numbers if one != first))
        second = dialed_from(tx, without, 3)
        assert second != first
        assert dialed_from(tx, grown, 4) == second
        [kept] = rows(tx, "kept_caller_id")
        assert (kept["pool"], kept["number"]) == ("mx", second)


@pytest.mark.unit
@pytest.mark.parametrize("numbers", [[], ["5512345678"], ["+525511110001", "+525511110001"]])
def test_a_wrong_pool_is_refused(numbers: list[str]) -> None:
    """Empty, not in E.164, or the same number twice."""
    with pytest.raises(ValidationError):
        CallerIdPool.model_validate({"numbers": numbers})
