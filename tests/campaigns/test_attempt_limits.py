"""How often a lead is tried by its campaign's own word: growing pauses, parts of a day, days, and in all."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper, recycle, why
from dialer_core.campaigns.attempt_limits import Tried, zone_of
from dialer_core.campaigns.hopper import Claim
from dialer_core.list_settings import AttemptLimits
from dialer_core.store.database import Database
from dialer_core.store.leads import ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, LeadId, Outcome, PersonId, PhoneId
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, put_lead, put_list_campaign, row_of, settings_of
from tests.campaigns.test_recycle import DAY, HOUR, OPEN, end

QUICK = {"no_answer": {"after_minutes": 1, "max_attempts": 100}}


def claimed(tx: Tx, settings: CampaignSettings, at: dt.datetime) -> Claim:
    """Claim the one lead that there is, if it may be."""
    return hopper.claim(
        tx, campaign_id=CAMPAIGN, settings=settings, pack=OPEN, trunks=[TRUNK], node="n", boot_id="b", now=at
    )


@pytest.mark.db
def test_one_attempt_in_each_part_of_the_day(database: Database) -> None:
    """The second attempt waits for the next part of the person's day, the third for the next day, and `why` says so."""
    settings = settings_of(attempts={"per_day_part": 1, "per_day": 2}, recycle=QUICK)
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])  # noon of NOON is 12:00 in Mexico City
        [one] = claimed(tx, settings, NOON - HOUR).attempts
        end(tx, one.attempt_id, Outcome.NO_ANSWER, NOON - HOUR, settings=settings)
        assert claimed(tx, settings, NOON - HOUR / 2).attempts == []
        lead = row_of(tx, "lead", listed.lead)
        assert (lead["blocked_rule"], lead["next_at_utc"]) == ("attempts_per_day_part", NOON)
        [two] = claimed(tx, settings, NOON).attempts
        end(tx, two.attempt_id, Outcome.NO_ANSWER, NOON, settings=settings)
        said = why.why(tx, listed.lead, settings=settings, pack=OPEN, now=NOON + HOUR)
        assert said.reason == "2 attempts today, at most 2 by the campaign"
        assert said.dialable_from == NOON + 12 * HOUR  # midnight there
        assert claimed(tx, settings, NOON + 6 * HOUR).attempts == []
        assert len(claimed(tx, settings, NOON + 12 * HOUR).attempts) == 1


@pytest.mark.db
def test_in_all(database: Database) -> None:
    """After the campaign's most attempts the lead is finished, whatever they came to; one below the limit is not."""
    settings = settings_of(attempts={"most": 2}, recycle=QUICK)
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        for day, state in enumerate(("dialable", "finished")):
            [one] = claimed(tx, settings, NOON + day * DAY).attempts
            end(tx, one.attempt_id, Outcome.NO_ANSWER, NOON + day * DAY, settings=settings)
            assert row_of(tx, "lead", listed.lead)["state"] == state
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "max_attempts"


@pytest.mark.db
def test_a_pause_grows(database: Database) -> None:
    """With growth 2 the pause doubles each time the outcome comes again, up to the longest."""
    rule = {"after_minutes": 60, "growth": 2, "longest_minutes": 200, "max_attempts": 100}
    settings = settings_of(recycle={"no_answer": rule})
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        at = NOON
        for minutes in (60, 120, 200, 200):
            [one] = claimed(tx, settings, at).attempts
            end(tx, one.attempt_id, Outcome.NO_ANSWER, at, settings=settings)
            found = row_of(tx, "lead", listed.lead)["next_at_utc"]
            assert found == at + dt.timedelta(minutes=minutes)
            at = found


@pytest.mark.unit
@given(st.floats(0, 10_000), st.floats(1, 10), st.floats(1, 20_000), st.integers(0, 99))
def test_a_growing_pause_is_bounded(after: float, growth: float, longest: float, before: int) -> None:
    """It never shrinks with the attempts, and is never beyond the longest, or the first where that is longer."""
    rule = settings_of(
        recycle={"busy": {"after_minutes": after, "growth": growth, "longest_minutes": longest}}
    ).recycle[Outcome.BUSY]
    found = recycle._pause_minutes(rule, before)
    assert rule.after_minutes <= found <= max(longest, after) + 1e-6
    assert found <= recycle._pause_minutes(rule, before + 1) + 1e-6


PARTS = ("07:00-12:00", "12:00-17:00", "17:00-24:00")


@pytest.mark.unit
@given(
    st.sampled_from(["America/Mexico_City", "America/Tijuana", "Europe/London", "America/Santiago"]),
    st.integers(0, 365 * 96),
    st.lists(st.integers(0, 40 * 4), max_size=8),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_limits_agree_with_a_slow_reading(
    zone: str, quarter: int, ago: list[int], per_day: int, per_part: int
) -> None:
    """Rest or not, and until when, over a year with its daylight changes: as one who tries every quarter hour says."""
    now = dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + quarter * dt.timedelta(minutes=15)
    times = [now - (1 + quarters) * dt.timedelta(minutes=15) for quarters in ago]
    phone = PhoneRow(PhoneId("f"), PersonId("p"), "+52", "mobile", 0, (zone,), None, 0, None)
    lead = ReadyLead(
        LeadId("l"), CampaignId("c"), AccountId("a"), PersonId("p"), len(times) or 1, None, "es", None
    )
    limits = AttemptLimits(per_day=per_day, per_day_part=per_part, day_parts=PARTS)
    local = zone_of([phone])

    def open_at(at: dt.datetime) -> bool:
        wall = at.astimezone(local)
        walls = [one.astimezone(local) for one in times]
        today = [one for one in walls if one.date() == wall.date()]
        for span in PARTS:
            if span[:5] <= wall.strftime("%H:%M") < span[6:]:
                within = [one for one in today if span[:5] <= one.strftime("%H:%M") < span[6:]]
                return len(today) < per_day and len(within) < per_part
        return len(today) < per_day

    found = Tried(limits, {lead.id: times}).block(lead, [phone], now)
    assert (found is None) == open_at(now)
    if found is not None:
        assert found.next_at_utc is not None
        at = now
        while not open_at(at):
            at += dt.timedelta(minutes=15)
        # it may be asked again once, at the border of a part, but never rests longer than it must
        assert now < found.next_at_utc <= at.replace(second=0)


@pytest.mark.unit
@pytest.mark.parametrize("span", ["7-12", "12:00-07:00", "07:00", "25:00-26:00", "07:0-12:00", "a:b-c:d"])
def test_a_wrong_part_of_the_day_is_refused(span: str) -> None:
    """With what would be right."""
    with pytest.raises(ValidationError, match="07:00-12:00"):
        AttemptLimits(day_parts=(span,))
