"""Why a lead is not dialed: in words and by time, over a real store."""

import datetime as dt
from typing import Any

import pytest

from dialer_core.campaigns import hopper
from dialer_core.campaigns.why import LeadAnswer, why
from dialer_core.errors import CommandRefusedError
from dialer_core.store import campaigns
from dialer_core.store.database import Database
from dialer_core.store.leads import READY_UTC
from dialer_core.vocabulary import CampaignId, CampaignState, LeadId, new_id
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TRUNK,
    Listed,
    put_lead,
    put_list_campaign,
    put_restriction,
    rows,
    settings_of,
)
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.db

MX = packaged("mx")
SATURDAY = dt.datetime(2025, 3, 8, 18, 0, tzinfo=dt.UTC)
MONDAY_OPENS = dt.datetime(2025, 3, 10, 13, 0, tzinfo=dt.UTC)
"""07:00 in Mexico City."""


def ask(database: Database, lead_id: LeadId, at: dt.datetime = NOON) -> LeadAnswer:
    """Ask why, which changes nothing."""
    with database.read() as tx:
        before = {table: rows(tx, table) for table in ("lead", "contact", "attempt", "event")}
        answer = why(tx, lead_id, settings=settings_of(), pack=MX, now=at)
        assert {table: rows(tx, table) for table in before} == before
    return answer


def put(database: Database, numbers: list[str], **lead: Any) -> Listed:
    """Store a lead."""
    with database.write() as tx:
        return put_lead(tx, numbers, **lead)


@pytest.fixture(autouse=True)
def _campaign(database: Database) -> None:
    with database.write() as tx:
        put_list_campaign(tx)


def test_a_lead_that_is_ready(database: Database) -> None:
    """Nothing stands in the way: it may be dialed now, in its turn."""
    answer = ask(database, put(database, ["+525512345678"]).lead)
    assert (answer.state, answer.dialable_from) == ("dialable", NOON)
    assert (
        answer.words()
        == "ready: its turn comes by priority; can be dialed from Tuesday 2025-03-04 12:00 America/Mexico_City"
    )


def test_a_weekend(database: Database) -> None:
    """On a Saturday: blocked by `mx` in words, and from Monday 07:00 there."""
    answer = ask(database, put(database, ["+525512345678"]).lead, SATURDAY)
    assert answer.dialable_from == MONDAY_OPENS
    assert [one.rule for one in answer.numbers] == ["weekday"]
    assert answer.words() == (
        "can be dialed from Monday 2025-03-10 07:00 America/Mexico_City; "
        "blocked now: closed that day (Saturday 12:00 in America/Mexico_City, no contact on Saturdays by mx)"
    )


def test_a_rest_that_ends_out_of_hours(database: Database) -> None:
    """A lead that rests until Saturday is asked about for then, and answers Monday."""
    listed = put(database, ["+525512345678"], next_at_utc=SATURDAY, last_outcome="no_answer")
    answer = ask(database, listed.lead)
    assert answer.dialable_from == MONDAY_OPENS
    assert "rests until 2025-03-08 18:00 UTC (after no_answer)" in answer.words()


def test_the_best_of_several_numbers_counts(database: Database) -> None:
    """One number restricted for good and one not: the lead can be dialed now, and each number's answer is there."""
    listed = put(database, ["+525500000001", "+525500000002"])
    with database.write() as tx:
        put_restriction(tx, "do_not_call", "number", "+525500000001")
    answer = ask(database, listed.lead)
    assert [(one.rank, one.rule) for one in answer.numbers] == [(0, "do_not_call"), (1, "")]
    assert answer.dialable_from == NOON
    assert "blocked" not in answer.words()


@pytest.mark.parametrize(
    ("lead", "words"),
    [
        ({"state": "finished", "finished_reason": "promise"}, "finished: promise"),
        ({"state": "waiting", "waiting_for": "zone"}, "waits for: zone"),
        ({"state": "in_attempt"}, "is being called now"),
    ],
)
def test_leads_that_are_not_dialable(database: Database, lead: dict[str, str], words: str) -> None:
    """Finished, waiting and under way are told by their own reason, without a time."""
    answer = ask(database, put(database, ["+525512345678"], **lead).lead)
    assert (answer.reason, answer.dialable_from) == (words, None)


def test_the_answer_is_what_the_claim_does(database: Database) -> None:
    """Refused at a claim, the lead's next time is the one that the answer names."""
    listed = put(database, ["+526641234567"], zones="America/Tijuana", next_at_utc=READY_UTC)
    answer = ask(database, listed.lead, SATURDAY)
    with database.write() as tx:
        hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=MX, trunks=[TRUNK], node="n", boot_id="b", now=SATURDAY
        )  # fmt: skip
        [lead] = rows(tx, "lead")
    assert lead["next_at_utc"] == answer.dialable_from
    assert lead["blocked_reason"] == answer.numbers[0].reason


@pytest.mark.parametrize("state", ["paused", "draft", "archived", "stopped"])
def test_a_campaign_that_does_not_dial_is_said(database: Database, state: str) -> None:
    """A lead that is ready is not dialed where its campaign stands still; who is finished is that, whatever the campaign does."""
    ready, done = (
        put(database, ["+525512345678"]),
        put(database, ["+525512345679"], state="finished", finished_reason="paid"),
    )
    with database.write() as tx:
        campaigns.set_state(tx, CampaignId(CAMPAIGN), CampaignState(state))
    assert ask(database, ready.lead).words().endswith(f"; its campaign is {state}")
    assert ask(database, done.lead).words() == "finished: paid"


def test_a_closed_campaign_opens_when_both_it_and_the_law_do(database: Database) -> None:
    """On Saturday, open by its own word on Sundays and from 10:00 on Tuesdays: the gate's Sunday and Monday are passed over."""
    lead = put(database, ["+525512345678"]).lead
    settings = settings_of(
        schedule={"zone": "America/Mexico_City", "hours": ["sun 09:00-18:00", "tue 10:00-18:00"]}
    )
    with database.read() as tx:
        said = why(tx, lead, settings=settings, pack=MX, now=SATURDAY)
    assert said.dialable_from == dt.datetime(2025, 3, 11, 16, 0, tzinfo=dt.UTC)
    assert said.words() == (
        "can be dialed from Tuesday 2025-03-11 10:00 America/Mexico_City; blocked now: the campaign is closed"
        " (its schedule: from Sunday 2025-03-09 09:00 America/Mexico_City)"
    )


def test_no_such_lead(database: Database) -> None:
    """An id that no lead has is told."""
    with pytest.raises(CommandRefusedError, match="there is no lead"):
        ask(database, LeadId(new_id()))
