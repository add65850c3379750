"""Why nothing is dialable: a long list says at once what holds its leads, before all were looked at."""

import datetime as dt

import pytest

from dialer_core.campaigns import hopper
from dialer_core.campaigns.hopper import MAX_EXAMINED, Claim
from dialer_core.store.database import Database
from tests.campaigns.lists import CAMPAIGN, TRUNK, put_lead, put_list_campaign, settings_of
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.db

SATURDAY = dt.datetime(2025, 3, 8, 18, 0, tzinfo=dt.UTC)
MONDAY_OPENS = dt.datetime(2025, 3, 10, 13, 0, tzinfo=dt.UTC)


def claim(database: Database) -> Claim:
    """Claim one lead on a Saturday."""
    with database.write() as tx:
        return hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=packaged("mx"), trunks=[TRUNK], node="n", boot_id="b",
            now=SATURDAY,
        )  # fmt: skip


def test_a_long_list_says_at_once_why(database: Database) -> None:
    """The first claim of a list that is longer than a claim looks at tells the rule and from when; the last one tells of all."""
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(MAX_EXAMINED + 20):
            put_lead(tx, [f"+5255{number:08d}"])
    first = claim(database)
    assert (first.attempts, first.empty) == ([], None)
    assert first.so_far is not None
    assert first.so_far.reasons == {"weekday": MAX_EXAMINED}
    assert (first.so_far.next_at, first.so_far.complete) == (MONDAY_OPENS, False)
    assert first.so_far.words() == (
        f"nothing dialable now: at least {MAX_EXAMINED} weekday; next at 2025-03-10 13:00:00 UTC"
    )
    last = claim(database)
    assert last.so_far is None
    assert last.empty is not None
    assert last.empty.reasons == {"weekday": MAX_EXAMINED + 20}
