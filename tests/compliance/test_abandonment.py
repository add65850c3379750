"""The abandonment ledger: counted from the attempts over every window, and the tightest of them."""

import datetime as dt

import pytest

from dialer_core.compliance import abandonment
from dialer_core.compliance.abandonment import WindowTotal
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, new_id
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, put_list_campaign
from tests.compliance.packs_for_tests import pack_of, packaged
from tests.store.rows import put

MX = packaged("mx")


def put_attempts(
    tx: Tx, listed: Listed, at: dt.datetime, *, live: int, abandoned: int, other: int = 0
) -> None:
    """Store ended attempts: so many live answers, of which so many abandoned, and so many others."""
    for number in range(live + other):
        put(
            tx, "attempt", id=new_id(), node="n", boot_id="b", campaign_id=CAMPAIGN, lead_id=listed.lead, account_id=listed.account,
            person_id=listed.person, phone_id=listed.phones[0], number=listed.numbers[0], trunk="t", live=False, state="ended",
            outcome="connected", live_answer=number < live, abandoned=number < abandoned, evidence={}, committed_at_utc=at,
        )  # fmt: skip


@pytest.mark.db
def test_every_window_is_counted_from_the_attempts(database: Database) -> None:
    """A day, thirty days and the campaign's life see the attempts committed in them, and only this campaign's."""
    day = dt.timedelta(days=1)
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525512345678"])
        put_attempts(tx, listed, NOON - dt.timedelta(hours=1), live=50, abandoned=1, other=20)
        put_attempts(tx, listed, NOON - day, live=5, abandoned=1)  # just within the day
        put_attempts(tx, listed, NOON - day - dt.timedelta(seconds=1), live=10, abandoned=3)
        put_attempts(tx, listed, NOON - 31 * day, live=1000, abandoned=0)
        totals = abandonment.totals(tx, CAMPAIGN, MX.abandonment, NOON)
        tight = abandonment.tightest(tx, CAMPAIGN, MX, NOON)
        other = abandonment.tightest(tx, CampaignId("autumn"), MX, NOON)
    assert totals == [
        WindowTotal("24 hours", 55, 2),
        WindowTotal("30 days", 65, 5),
        WindowTotal("campaign", 1065, 5),
    ]
    # 3 % of 55 leaves -0.35, of 65 -3.05, of 1065 +26.95: thirty days are tightest
    assert tight == (65, 5)
    assert other == (0, 0)


@pytest.mark.unit
def test_shares_and_balances() -> None:
    """The share of nothing is none; the balance says how many more, or how many too many."""
    assert WindowTotal("w", 0, 0).share() == 0.0
    assert WindowTotal("w", 200, 5).share() == 0.025
    assert WindowTotal("w", 200, 5).balance(0.03) == pytest.approx(1.0)
    assert WindowTotal("w", 100, 5).balance(0.03) == pytest.approx(-2.0)


@pytest.mark.unit
def test_the_profile_of_mx() -> None:
    """At most 3 % within a day, thirty days and the campaign, two seconds, a message, and a lock of 72 hours."""
    profile = MX.abandonment
    assert (profile.ceiling, profile.limit_s, profile.message_required, profile.lock_hours) == (
        0.03,
        2.0,
        True,
        72,
    )
    assert [window.days for window in profile.windows] == [1, 30, None]
    assert pack_of().abandonment.limit_s == 2.0
