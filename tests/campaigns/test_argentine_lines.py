"""Argentine mobiles, which have two numbers, before caps, restrictions and what rings."""

import datetime as dt

import pytest

from dialer_core.campaigns import hopper
from dialer_core.store import attempts, leads, restrictions
from dialer_core.store.attempts import NewAttempt
from dialer_core.store.database import Database
from dialer_core.store.errors import AlreadyLiveError
from dialer_core.vocabulary import AttemptId, Channel, Outcome, RestrictionKind, RestrictionScope, new_id
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, Listed, put_lead, put_list_campaign, settings_of
from tests.campaigns.test_recycle import end
from tests.compliance.packs_for_tests import cap, pack_of

pytestmark = pytest.mark.db

WITH, WITHOUT = "+5491123456789", "+541123456789"


def attempt_of(listed: Listed, number: str) -> NewAttempt:
    """Return an attempt at a lead's only number."""
    return NewAttempt(
        id=AttemptId(new_id()), node="n", boot_id="b", campaign_id=CAMPAIGN, lead_id=listed.lead, account_id=listed.account,
        person_id=listed.person, phone_id=listed.phones[0], number=number, trunk=TRUNK, committed_at_utc=NOON, evidence={},
    )  # fmt: skip


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


@pytest.mark.parametrize("numbers", [(WITH, WITHOUT), (WITHOUT, WITH)])
def test_one_telephone_rings_once_at_a_time(database: Database, numbers: tuple[str, str]) -> None:
    """Two people share a mobile that is written in both ways: one is called, the other when that call is over (I3)."""
    with database.write() as tx:
        put_list_campaign(tx)
        first = put_lead(tx, [numbers[0]])
        second = put_lead(tx, [numbers[1]])
    [ringing] = claim(database)
    assert ringing.lead_id == first.lead
    with database.read() as tx:
        waiting = leads.get(tx, second.lead)
    assert waiting is not None
    assert (waiting.blocked_rule, waiting.next_at_utc) == ("live_attempt", NOON + dt.timedelta(seconds=30))
    with database.write() as tx:
        end(tx, ringing.attempt_id, Outcome.BUSY, NOON, settings=settings_of(), pack=pack_of())
        leads.update_lead(tx, second.lead, next_at_utc=leads.READY_UTC)
    [ringing] = claim(database)
    assert ringing.lead_id == second.lead


@pytest.mark.parametrize("numbers", [(WITH, WITHOUT), (WITHOUT, WITH), (WITH, WITH)])
def test_the_store_holds_to_it(database: Database, numbers: tuple[str, str]) -> None:
    """Two nodes that looked at the same time: the second is refused by the store itself, and other numbers of the country are not."""
    with database.write() as tx:
        put_list_campaign(tx)
        for number in (numbers[0], "+5491123456780", "+543514567890", "+549112345678"):
            attempts.insert(tx, attempt_of(put_lead(tx, [number]), number))
        other = put_lead(tx, [numbers[1]])
    with pytest.raises(AlreadyLiveError, match="number"), database.write() as tx:
        attempts.insert(tx, attempt_of(other, numbers[1]))


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
