"""How many leads can be dialed in each hour of today, over a real store."""

import datetime as dt

import pytest

from dialer_core.campaigns.forecast import SAMPLE, forecast
from dialer_core.campaigns.why import why
from dialer_core.store import callbacks, leads
from dialer_core.store.database import Database
from dialer_core.vocabulary import Outcome
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TABLES,
    put_contact,
    put_lead,
    put_list_campaign,
    put_restriction,
    settings_of,
)
from tests.campaigns.test_attempt_limits import QUICK, claimed
from tests.campaigns.test_recycle import end
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.db

HOUR = dt.timedelta(hours=1)


def test_the_hours_left_of_today(database: Database) -> None:
    """At noon of a Tuesday by `mx`: who is free counts until 22:00, who rests from then on, who is locked or restricted not at all."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525512345601"])
        put_lead(tx, ["+526641234502"], zones="America/Tijuana")
        put_lead(tx, ["+525512345603"], next_at_utc=NOON + 3 * HOUR + HOUR / 4)
        capped = put_lead(tx, ["+525512345604"])
        put_restriction(tx, "do_not_call", "number", put_lead(tx, ["+525512345605"]).numbers[0])
        for minutes in (10, 20, 30):
            put_contact(tx, capped, NOON - minutes * dt.timedelta(minutes=1))
        put_lead(tx, ["+525512345606"], state="finished", finished_reason="promise")
    with database.read() as tx:
        found = forecast(tx, CAMPAIGN, settings=settings_of(), pack=packaged("mx"), now=NOON)
    assert (found.zone, found.leads, found.asked) == ("America/Mexico_City", 5, 5)
    assert [hour.at for hour in found.hours] == [NOON + step * HOUR for step in range(12)]
    # 12:00 to 23:00 in Mexico City; Tijuana is two hours behind, so it is open until midnight here
    assert [hour.dialable for hour in found.hours] == [2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 1, 1]
    assert found.held_now == {"resting": 1, "person_per_day": 1, "do_not_call": 1}


def test_limits_and_schedule_hold_as_the_claim_holds_them(database: Database) -> None:
    """By the campaign's word from 14:00 to 17:00, one attempt a day part: who was tried at 11:30 comes at 16:00, who asked for a call at 14:00."""
    settings = settings_of(
        schedule={"zone": "America/Mexico_City", "hours": ["mon-fri 14:00-17:00"]},
        attempts={"per_day_part": 1, "day_parts": ["07:00-16:00", "16:00-22:00"], "most": 5},
    )
    with database.write() as tx:
        put_list_campaign(tx)
        _, most, asking = (put_lead(tx, [f"+52551234560{n}"]) for n in (2, 3, 4))
        for _ in range(3):
            [one] = claimed(tx, settings_of(recycle=QUICK), NOON - HOUR / 2).attempts
            end(tx, one.attempt_id, Outcome.NO_ANSWER, NOON - HOUR / 2, settings=settings_of(recycle=QUICK))
        tx.execute(TABLES["lead"].update().where(TABLES["lead"].c.id == most.lead).values(attempts=5))
        callbacks.add(tx, lead_id=asking.lead, campaign_id=CAMPAIGN, due_at_utc=NOON - HOUR)
        put_lead(tx, ["+525512345601"])
    with database.read() as tx:
        found = forecast(tx, CAMPAIGN, settings=settings, pack=packaged("mx"), now=NOON)
        at_three = forecast(tx, CAMPAIGN, settings=settings, pack=packaged("mx"), now=NOON + 3 * HOUR)
        first = [
            why(tx, lead.id, settings=settings, pack=packaged("mx"), now=NOON).dialable_from
            for lead, _ in leads.sample_dialable(tx, CAMPAIGN, SAMPLE)[0]
        ]
    # 12:00 to 23:00: the free one and the one called back from 14:00, the one tried this morning from 16:00
    assert [hour.dialable for hour in found.hours] == [0, 0, 2, 2, 3, 0, 0, 0, 0, 0, 0, 0]
    assert found.held_now == {"schedule": 4}
    assert at_three.held_now == {"attempts_per_day_part": 1, "max_attempts": 1}
    assert sorted(map(str, first)) == sorted(
        map(str, [NOON + 2 * HOUR, NOON + 4 * HOUR, None, NOON + 2 * HOUR])
    )


def test_an_empty_list(database: Database) -> None:
    """Nothing to dial is nothing in every hour, and no division by it."""
    with database.write() as tx:
        put_list_campaign(tx)
    with database.read() as tx:
        found = forecast(tx, CAMPAIGN, settings=settings_of(), pack=packaged("mx"), now=NOON)
    assert found.leads == 0
    assert {hour.dialable for hour in found.hours} == {0}


def test_a_long_list_is_asked_by_chance(database: Database) -> None:
    """Of 400 leads about 100 are taken where 100 are wanted, and the whole is told; below that, all."""
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(400):
            put_lead(tx, [f"+5255{number:08d}"])
    with database.read() as tx:
        some, total = leads.sample_dialable(tx, CAMPAIGN, 100)
        everyone, _ = leads.sample_dialable(tx, CAMPAIGN, SAMPLE)
    assert total == len(everyone) == 400
    assert 50 <= len(some) <= 150  # 100, with a binomial spread of 9
