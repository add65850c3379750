"""Call-backs come first, at their hour and at the number they were asked for; numbers that are answered at an hour come first at it."""

import datetime as dt

import pytest
from sqlalchemy import insert

from dialer_core.campaigns import dispositions, hopper, preview, why
from dialer_core.store import callbacks, leads
from dialer_core.store.database import Database
from dialer_core.store.portfolio_models import Promise
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, Outcome, new_id
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TABLES,
    TRUNK,
    put_lead,
    put_list_campaign,
    put_restriction,
    row_of,
    rows,
    settings_of,
)
from tests.campaigns.test_recycle import ANA, DAY, HOUR, OPEN, dial, end

pytestmark = pytest.mark.db

TABLE, PHONE = TABLES["attempt"], TABLES["phone"]
ASKED = NOON + 3 * HOUR


def claimed(tx: Tx, at: dt.datetime, count: int = 1) -> list[hopper.ClaimedAttempt]:
    """Claim so many."""
    return hopper.claim(
        tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=OPEN, trunks=[TRUNK] * count, node="n", boot_id="b", now=at, present=[ANA]
    ).attempts  # fmt: skip


def ask_for_callback(tx: Tx, at: dt.datetime = ASKED) -> hopper.ClaimedAttempt:
    """Talk with the only lead there is, at its second number, and be asked to call again."""
    one = dial(tx)
    dispositions_before_end(tx, one, at)
    return one


def dispositions_before_end(tx: Tx, one: hopper.ClaimedAttempt, at: dt.datetime) -> None:
    """Say during the conversation that they want to be called, and end it."""
    tx.execute(TABLE.update().where(TABLE.c.id == one.attempt_id).values(agent_id="ana"))
    dispositions.apply(
        tx, attempt_id=one.attempt_id, disposition="callback", agent_id=ANA, now=NOON, callback_at=at
    )
    end(tx, one.attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)


def test_a_callback_comes_first_until_they_were_reached(database: Database) -> None:
    """At its time, and not before, a call-back is dialed ahead of leads of any priority, at the number they spoke at; it is made when they talk."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001", "+525500000002"])
        tx.execute(
            PHONE.update().where(PHONE.c.id == listed.phones[0]).values(failures=2)
        )  # dead: the second is dialed
        one = ask_for_callback(tx)
        assert one.number == "+525500000002"
        tx.execute(PHONE.update().values(failures=0))
        other = put_lead(tx, ["+525500000003"], priority=100.0)
        third = put_lead(tx, ["+525500000004"], priority=99.0)
        assert [found.lead_id for found in claimed(tx, ASKED - HOUR)] == [other.lead]
        first, second = claimed(tx, ASKED, 2)
        assert (first.lead_id, first.number, second.lead_id) == (listed.lead, "+525500000002", third.lead)
        end(tx, first.attempt_id, Outcome.BUSY, ASKED)
        [row] = rows(tx, "callback")
        again_at = row["due_at_utc"]
        assert (row["state"], row["agent_id"], row["open_from_utc"] - again_at) == (
            "open",
            "ana",
            dispositions.PERSONAL_FOR,
        )
        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == row["open_from_utc"]
        assert again_at > ASKED
        [again] = claimed(tx, again_at)
        assert (again.lead_id, again.for_agent) == (listed.lead, "ana")
        end(tx, again.attempt_id, Outcome.CONNECTED, again_at, live_answer=True, talked=True)
        assert rows(tx, "callback")[0]["state"] == "made"


def test_an_agent_gets_one_callback_at_a_time(database: Database) -> None:
    """Two of the same agent's are due and lines are free for both: one is made, the other when they are free again, or anybody's."""
    with database.write() as tx:
        put_list_campaign(tx)
        for number in ("+525500000001", "+525500000002"):
            put_lead(tx, [number])
            dispositions_before_end(tx, dial(tx), ASKED)
        [one] = claimed(tx, ASKED, 2)
        end(tx, one.attempt_id, Outcome.CANCELLED, ASKED)
        assert len(claimed(tx, ASKED + dispositions.PERSONAL_FOR + HOUR, 2)) == 2


def test_who_took_the_promise_is_asked_for(database: Database) -> None:
    """A person whose account has a promise, kept or not, is dialed for whoever took the last one; anybody may have them."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        account = row_of(tx, "lead", listed.lead)["account_id"]
        for index, agent in enumerate(("eva", "ana", None)):
            promise = {
                "id": new_id(), "account_id": account, "person_id": listed.person, "agent_id": agent, "kind": "promise", "state": "broken",
                "currency": "MXN", "total_minor": 100, "grace_days": 1, "made_at_utc": NOON - (9 - index) * DAY,
            }  # fmt: skip
            tx.execute(insert(Promise), promise)
        [one] = claimed(tx, NOON)
        assert (one.for_agent, one.open_from_utc) == ("ana", None)


def test_a_callback_that_may_not_be_made_waits(database: Database) -> None:
    """The gate decides about call-backs as about any call: refused for good, the lead is finished and the call-back is not made."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        ask_for_callback(tx)
        put_restriction(tx, "do_not_call", "person", listed.person)
        assert claimed(tx, ASKED) == []
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "do_not_call"
        assert rows(tx, "callback")[0]["state"] == "open"
        assert claimed(tx, ASKED + DAY) == []


def test_a_later_word_takes_a_callback_away(database: Database) -> None:
    """An agent who corrects `callback` to `refuses` leaves nobody to be called back."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525500000001"])
        one = ask_for_callback(tx)
        dispositions.apply(tx, attempt_id=one.attempt_id, disposition="refuses", agent_id=ANA, now=NOON)
        assert rows(tx, "callback")[0]["state"] == "cancelled"
        assert claimed(tx, ASKED) == []


def test_a_number_that_is_answered_at_this_hour_comes_first(database: Database) -> None:
    """Outcomes teach a number its hours: answered about this hour it is tried before its rank, and at other hours by its rank."""
    numbers = ["+525500000001", "+525500000002"]
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, numbers)
        tx.execute(PHONE.update().where(PHONE.c.id == listed.phones[0]).values(failures=2))
        one = dial(tx)
        end(tx, one.attempt_id, Outcome.CALLER_HUNG_UP, live_answer=True)
        phone = row_of(tx, "phone", listed.phones[1])
        assert (phone["tries"], phone["answers"], phone["last_answer_utc"], phone["hours"]) == (
            1,
            1,
            NOON,
            {"12": [1, 1]},
        )
        tx.execute(PHONE.update().where(PHONE.c.id == listed.phones[0]).values(failures=0))
        for hours, expected in ((24, numbers[1]), (24 + 5, numbers[0])):
            put = put_lead(tx, [], person=listed.person, priority=hours)
            [found] = claimed(tx, NOON + hours * HOUR)
            assert (found.lead_id, found.number) == (put.lead, expected)
            end(tx, found.attempt_id, Outcome.CANCELLED, NOON + hours * HOUR)


def test_a_personal_callback_waits_for_its_agent(database: Database) -> None:
    """An agent's own call-back is claimed for them while they are there; while they are not, nobody's until its grace is over."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        ask_for_callback(tx)

        def at(when: dt.datetime, *present: str) -> list[hopper.ClaimedAttempt]:
            return hopper.claim(
                tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=OPEN, trunks=[TRUNK], node="n", boot_id="b", now=when,
                present=[AgentId(one) for one in present],
            ).attempts  # fmt: skip

        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == ASKED + dispositions.PERSONAL_FOR
        answer = why.why(tx, listed.lead, settings=settings_of(), pack=OPEN, now=NOON)
        assert answer.reason == f"asked to be called back by ana at {ASKED:%Y-%m-%d %H:%M} UTC"
        assert at(ASKED - HOUR, "ana") == []
        assert at(ASKED, "beto") == []
        [one] = at(ASKED, "beto", "ana")
        assert (one.lead_id, one.for_agent) == (listed.lead, "ana")
        assert one.open_from_utc == ASKED + dispositions.PERSONAL_FOR


def test_a_callback_whose_agent_stays_away_is_anybodys(database: Database) -> None:
    """After its grace a personal call-back is dialed without its agent."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        ask_for_callback(tx)
        late = hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=OPEN, trunks=[TRUNK], node="n", boot_id="b",
            now=ASKED + dispositions.PERSONAL_FOR,
        )  # fmt: skip
        assert [one.lead_id for one in late.attempts] == [listed.lead]
        end(tx, late.attempts[0].attempt_id, Outcome.CONNECTED, ASKED + HOUR, live_answer=True, talked=True)
        assert [row["state"] for row in rows(tx, "callback")] == ["made"]


def test_a_callback_whose_number_was_forbidden_goes_to_another_of_theirs(database: Database) -> None:
    """The call goes there, to the agent they asked for; with none left the lead is finished by the restriction's name, and an event says so."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001", "+525500000002"])
        ask_for_callback(tx)
        named = callbacks.open_of(tx, listed.lead)
        assert named is not None
        numbers = dict(zip(listed.phones, ("+525500000001", "+525500000002"), strict=True))
        asked_at = numbers.pop(str(named.phone_id))
        [other] = numbers.values()
        put_restriction(tx, "do_not_call", "number", asked_at)
    with database.rehearse() as tx:
        [made] = claimed(tx, ASKED)
        assert (made.number, made.for_agent) == (other, ANA)
    with database.write() as tx:
        put_restriction(tx, "do_not_call", "number", other)
        assert claimed(tx, ASKED) == []
        found = leads.get(tx, listed.lead)
        assert found is not None
        assert (found.state, found.finished_reason) == ("finished", "do_not_call")
    with database.read() as tx:
        assert "lead.finished" in [row["name"] for row in rows(tx, "event")]


def test_a_callback_is_shown_and_dialed_as_it_was_asked_for(database: Database) -> None:
    """In a campaign of mode preview, too: it comes before the campaign's own limits, and at the number they named."""
    settings = settings_of(attempts={"per_day": 1}, pacing="preview")
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001", "+525500000002"])
        tx.execute(PHONE.update().where(PHONE.c.id == listed.phones[0]).values(failures=2))
        ask_for_callback(tx)
        tx.execute(PHONE.update().values(failures=0))
        shown = preview.show(tx, campaign_id=CAMPAIGN, settings=settings, pack=OPEN, agent_id=ANA, now=ASKED)
        assert isinstance(shown, preview.ShownLead)
        assert shown.lead_id == listed.lead
        made = hopper.claim_named(
            tx, lead_id=listed.lead, trunk=TRUNK, settings=settings, pack=OPEN, node="n", boot_id="b", now=ASKED, agent_id=ANA
        )  # fmt: skip
        assert isinstance(made, hopper.ClaimedAttempt)
        assert (made.number, made.for_agent, made.previewed) == ("+525500000002", "ana", True)
