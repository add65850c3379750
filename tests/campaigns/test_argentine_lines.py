"""Argentine mobiles, which have two numbers, before caps, restrictions and what rings."""

import pytest

from dialer_core.campaigns import hopper
from dialer_core.store import restrictions
from dialer_core.store.database import Database
from dialer_core.vocabulary import Channel, Outcome, RestrictionKind, RestrictionScope
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, put_lead, put_list_campaign, settings_of
from tests.campaigns.test_recycle import end
from tests.compliance.packs_for_tests import cap, pack_of

pytestmark = pytest.mark.db

WITH, WITHOUT = "+5491123456789", "+541123456789"


def claim(database: Database, **parts: object) -> list[hopper.ClaimedAttempt]:
    """Claim what may be dialed."""
    with database.write() as tx:
        return hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=pack_of(**parts), trunks=[TRUNK] * 2, node="n", boot_id="b", now=NOON
        ).attempts  # fmt: skip


@pytest.mark.parametrize("numbers", [(WITH, WITHOUT), (WITHOUT, WITH)])
def test_a_cap_per_number_knows_both(database: Database, numbers: tuple[str, str]) -> None:
    """Two people share a mobile that is written in both ways: a cap of one call a day at a number lets one of them be called."""
    with database.write() as tx:
        put_list_campaign(tx)
        for number in numbers:
            put_lead(tx, [number])
    caps = [cap("number", "address", 1, rolling_days=1)]
    [first] = claim(database, caps=caps)
    with database.write() as tx:
        end(tx, first.attempt_id, Outcome.BUSY, NOON, settings=settings_of(), pack=pack_of(caps=caps))
    assert claim(database, caps=caps) == []


@pytest.mark.parametrize(("dialed", "named"), [(WITH, WITHOUT), (WITHOUT, WITH), (WITH, WITH)])
def test_what_rings_is_cancelled_by_either(database: Database, dialed: str, named: str) -> None:
    """A restriction that names a ringing mobile in the other way has it cancelled."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, [dialed])
    [ringing] = claim(database)
    with database.write() as tx:
        assert restrictions.forbidden_live_attempts(tx, NOON) == []
        restrictions.add(
            tx, RestrictionKind.DO_NOT_CALL, RestrictionScope.NUMBER, named, source="test", from_utc=NOON, channel=Channel.VOICE
        )  # fmt: skip
        assert restrictions.forbidden_live_attempts(tx, NOON) == [ringing.attempt_id]
