"""Attempts counted up give the same totals as the attempts themselves, whatever changes and whoever counts."""

import datetime as dt
import random

import pytest
from sqlalchemy import insert

from dialer_core.clock import VirtualClock
from dialer_core.store import attempts, people, rollups
from dialer_core.store.database import Database, open_database
from dialer_core.store.rollup_models import RollupChange
from dialer_core.vocabulary import AccountId, CampaignId, Outcome
from tests.store.rows import CAMPAIGN, NOON, new_attempt, put_campaign, put_debtor

pytestmark = pytest.mark.db

HOUR = dt.timedelta(hours=1)
OUTCOMES = [Outcome.NO_ANSWER, Outcome.BUSY, Outcome.CONNECTED, Outcome.MACHINE]
EVERY_FILTER = [
    {},
    {"only": {"campaign_id": ["autumn"]}},
    {"only": {"agent_id": ["ana", ""], "outcome": ["connected"]}},
    {"only": {"portfolio": ["default"]}},
    {"since": NOON + 2 * HOUR, "until": NOON + 5 * HOUR},
    {"until": NOON + HOUR},
    {"since": NOON + 30 * HOUR},
]


@pytest.fixture
def clock() -> VirtualClock:
    """Return the clock that the store goes by: it begins at `NOON`."""
    return VirtualClock(NOON)


@pytest.fixture
def database(migrated_url: str, clock: VirtualClock) -> Database:
    """Return an empty store on that clock."""
    return open_database(migrated_url, node="node1", boot_id="boot-1", clock=clock)


def dial(database: Database, draw: random.Random, count: int) -> list[str]:
    """Write attempts over the next six hours, most of them ended; return the ids of those that were."""
    ended = []
    with database.write() as tx:
        for _ in range(count):
            debtor = put_debtor(tx, f"+52{draw.randrange(10**9, 10**10)}")
            at = NOON + HOUR * draw.uniform(0, 6)
            campaign = CampaignId(draw.choice([CAMPAIGN, "autumn"]))
            new = new_attempt(debtor, committed_at_utc=at, campaign_id=campaign)
            attempts.insert(tx, new)
            if draw.random() < 0.9:
                outcome = draw.choice(OUTCOMES)
                times = {"sent_mono_ns": 10**9, "answered_mono_ns": None, "bridged_mono_ns": None}
                if outcome is Outcome.CONNECTED:
                    times |= {
                        "answered_mono_ns": 5 * 10**9,
                        "bridged_mono_ns": 6 * 10**9,
                        "live_answer": True,
                        "agent_id": "ana",
                    }
                attempts.end(
                    tx, new.id, outcome=outcome, at_utc=at, at_mono_ns=draw.randrange(7 * 10**9, 10**11), **times
                )  # fmt: skip
                ended.append(new.id)
    return ended


def same(database: Database) -> list[rollups.Totals]:
    """Check every filter and grouping against the attempts themselves; return the totals by every dimension."""
    with database.read() as tx:
        for by in ((), ("campaign_id",), ("hour", "outcome"), rollups.DIMENSIONS):
            for one in EVERY_FILTER:
                assert rollups.totals(tx, by, **one) == rollups.totals(tx, by, **one, raw=True)
        return rollups.totals(tx, rollups.DIMENSIONS)


def test_rollups_equal_the_attempts(database: Database, clock: VirtualClock) -> None:
    """Totals are the same before anything is counted up, after some hours are, after all are, and after attempts of those have changed."""
    draw = random.Random(6)
    with database.write() as tx:
        put_campaign(tx)
        put_campaign(tx, "autumn")
    ended = dial(database, draw, 60)
    assert sum(one.attempts for one in same(database)) == 60
    clock.set_elapsed_s(4.5 * 3600)
    assert rollups.roll_up(database) == 2
    same(database)
    clock.set_elapsed_s(32 * 3600)
    assert rollups.roll_up(database) == 4
    before = same(database)
    with database.write() as tx:
        for attempt_id in draw.sample(ended, 20):
            attempts.update(tx, attempt_id, disposition="promise", reason="no_work")
    assert same(database) != before
    with database.read() as tx:
        live = [one.id for one in attempts.live(tx)]
    with database.write() as tx:
        for attempt_id in live:
            attempts.end(tx, attempt_id, outcome=Outcome.INTERRUPTED, at_utc=clock.utc(), at_mono_ns=None)
    after = same(database)
    assert 0 < rollups.roll_up(database) <= 6
    assert same(database) == after
    assert rollups.roll_up(database) == 0
    [total] = totals_of(database)
    assert (total.attempts, total.talks > 0, total.talk_ms > 0, total.ring_ms > 0) == (60, True, True, True)
    database.dispose()


def test_empty_store_is_marked(database: Database, clock: VirtualClock) -> None:
    """Where nobody was dialed, nothing is counted and totals are none; what is dialed later is counted from its first hour on."""
    assert rollups.roll_up(database) == 0
    assert totals_of(database) == []
    with database.write() as tx:
        put_campaign(tx)
        put_campaign(tx, "autumn")
    dial(database, random.Random(1), 10)
    clock.set_elapsed_s(12 * 3600)
    assert rollups.roll_up(database) > 0
    assert sum(one.attempts for one in same(database)) == 10
    database.dispose()


def test_count_overtaken_is_thrown_away(
    database: Database, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count whose snapshot is older than another node's is not stored: the attempts changed between the two would be lost."""
    with database.write() as tx:
        put_campaign(tx)
        put_campaign(tx, "autumn")
    ended = dial(database, random.Random(2), 40)
    clock.set_elapsed_s(32 * 3600)
    rollups.roll_up(database)
    with database.write() as tx:
        attempts.update(tx, ended[0], disposition="promise")
    count, overtaken = rollups._from_attempts, []

    def other_first(*args: object) -> object:
        query = count(*args)
        if not overtaken:
            overtaken.append(True)
            with database.write() as tx:
                attempts.update(tx, ended[0], disposition="wrong_number")
            rollups.roll_up(database)
        return query

    monkeypatch.setattr(rollups, "_from_attempts", other_first)
    assert rollups._roll_up_some(database) == 0
    monkeypatch.setattr(rollups, "_from_attempts", count)
    same(database)
    rollups.roll_up(database)
    same(database)
    database.dispose()


def test_an_account_of_another_product_is_counted_anew(database: Database, clock: VirtualClock) -> None:
    """Reports by product are those of the accounts as they are: hours counted up before an account changed are counted again."""
    with database.write() as tx:
        put_campaign(tx)
        put_campaign(tx, "autumn")
    ended = dial(database, random.Random(3), 30)
    clock.set_elapsed_s(32 * 3600)
    rollups.roll_up(database)
    before = same(database)
    with database.write() as tx:
        changed = attempts.get(tx, ended[0])
        assert changed is not None
        people.update_account(tx, AccountId(changed.account_id), {"product": "mortgage"})
    after = same(database)
    assert sum(one.attempts for one in after if one.product == "mortgage") == 1
    assert after != before
    assert rollups.roll_up(database) == 1
    assert same(database) == after
    database.dispose()


def test_any_number_of_hours_may_wait_to_be_counted_again(database: Database, clock: VirtualClock) -> None:
    """Totals are right while more scattered hours have changed than a database adds up in one statement."""
    with database.write() as tx:
        put_campaign(tx)
        put_campaign(tx, "autumn")
    dial(database, random.Random(4), 30)
    clock.set_elapsed_s(2000 * 3600)
    rollups.roll_up(database)
    with database.write() as tx:
        first = rollups.hour_of(NOON)
        hours = range(first, first + 1020, 2)
        tx.execute(insert(RollupChange.__table__), [{"hour": hour} for hour in hours])
    with database.read() as tx:
        by_outcome = rollups.totals(tx, ("outcome",))
        assert by_outcome == rollups.totals(tx, ("outcome",), raw=True)
    assert sum(one.attempts for one in totals_of(database)) == 30
    database.dispose()


def totals_of(database: Database) -> list[rollups.Totals]:
    """Return the one total of all attempts, if there are any."""
    with database.read() as tx:
        return rollups.totals(tx, ())
