"""The pass over the ready leads takes out those the gate refuses, and only those, and a claim then meets none of them."""

import pytest

from dialer_core.campaigns import hopper, screening
from dialer_core.store import events
from dialer_core.store.database import Database
from dialer_core.store.leads import READY_UTC
from dialer_core.vocabulary import LeadState, Outcome
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TABLES,
    TRUNK,
    put_contact,
    put_lead,
    put_list_campaign,
    put_restriction,
    row_of,
    settings_of,
)
from tests.campaigns.test_callbacks import ASKED, ask_for_callback, claimed
from tests.campaigns.test_recycle import HOUR, OPEN, dial, end
from tests.compliance.packs_for_tests import cap, pack_of

pytestmark = pytest.mark.db

SETTINGS = settings_of()
PACK = pack_of(caps=[cap("day", "person", 1, local_days=1)])


def claim_all(database: Database) -> hopper.Claim:
    """Claim as many as there are."""
    with database.write() as tx:
        return hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=SETTINGS, pack=PACK, trunks=[TRUNK] * 20, node="node1", boot_id="boot-1", now=NOON
        )  # fmt: skip


def test_refused_leads_are_taken_out(database: Database) -> None:
    """Who is restricted or was called today is taken out with the same word as at a claim, told once; the others stay, two of one person too."""
    with database.write() as tx:
        put_list_campaign(tx)
        free = [put_lead(tx, [f"+5255111100{index:02d}"]) for index in range(5)]
        listed = put_lead(tx, ["+525511110010"])
        put_restriction(tx, "do_not_call", "number", "+525511110010")
        called = put_lead(tx, ["+525511110011"])
        put_contact(tx, called, NOON)
        twin = put_lead(tx, [], person=free[0].person)
    found = screening.screen(database, CAMPAIGN, SETTINGS, PACK, now=NOON)
    assert (found.looked_at, found.refused) == (8, 2)
    with database.read() as tx:
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "do_not_call"
        waiting = row_of(tx, "lead", called.lead)
        assert (waiting["state"], waiting["blocked_rule"]) == (LeadState.DIALABLE, "day")
        assert waiting["next_at_utc"] > NOON
        assert (
            row_of(tx, "lead", twin.lead)["blocked_rule"] is None
        )  # both of a person may be dialed, if not at once
        assert {one.data["rule"] for one in events.tail(tx, {}, ["lead.blocked"])} == {"do_not_call", "day"}
    assert screening.screen(database, CAMPAIGN, SETTINGS, PACK, now=NOON).refused == 0
    assert {one.lead_id for one in claim_all(database).attempts} == {one.lead for one in free}


def test_a_due_call_back_is_not_taken_out(database: Database) -> None:
    """Who asked to be called again today stays on the list when their hour has come, although the day's attempts are used up; who did not ask is
    taken out by the same limit.
    """  # noqa: D205 - one claim
    limited, at = settings_of(attempts={"per_day": 1}), ASKED + HOUR
    with database.write() as tx:
        put_list_campaign(tx)
        due = put_lead(tx, ["+525511110001"])
        ask_for_callback(tx)
        tired = put_lead(tx, ["+525511110004"])
        end(tx, dial(tx).attempt_id, Outcome.BUSY)
        leads = TABLES["lead"]
        tx.execute(leads.update().values(next_at_utc=READY_UTC))
    found = screening.screen(database, CAMPAIGN, limited, OPEN, now=at)
    assert (found.looked_at, found.refused) == (2, 1)
    with database.read() as tx:
        assert row_of(tx, "lead", tired.lead)["blocked_rule"] == "attempts_per_day"
        assert row_of(tx, "lead", due.lead)["blocked_rule"] is None
    with database.write() as tx:
        assert [one.lead_id for one in claimed(tx, at, 5)] == [due.lead]
