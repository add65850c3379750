"""The claim over a real store: order, numbers, gate, what is written with it, what stays behind, and many claimers at once."""

import datetime as dt
import threading
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper, recycle
from dialer_core.campaigns.hopper import Claim, ClaimedAttempt
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.store import attempts, events, leads
from dialer_core.store.database import Database, open_database
from dialer_core.store.leads import READY_UTC
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId, CampaignId, LeadState, Outcome, TrunkId
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
    rows,
    settings_of,
)
from tests.compliance.packs_for_tests import cap, pack_of, packaged

pytestmark = pytest.mark.db

MX = packaged("mx")
OPEN = pack_of()
SECOND = TrunkId("second")
HOUR = dt.timedelta(hours=1)
SETTINGS = settings_of()
PHONE = TABLES["phone"]


def claim(tx: Tx, count: int = 10, *, pack: RulePack = OPEN, at: dt.datetime = NOON, **changes: Any) -> Claim:
    """Claim up to so many leads at noon."""
    fields = {
        "campaign_id": CAMPAIGN,
        "settings": SETTINGS,
        "trunks": [TRUNK] * count,
        "node": "node1",
        "boot_id": "boot-1",
    }
    return hopper.claim(tx, pack=pack, now=at, **(fields | changes))


def end(
    tx: Tx,
    one: ClaimedAttempt,
    outcome: Outcome,
    *,
    at: dt.datetime = NOON,
    settings: CampaignSettings = SETTINGS,
) -> None:
    """End and settle an attempt, as the engine does."""
    attempts.end(tx, one.attempt_id, outcome=outcome, at_utc=at, at_mono_ns=1)
    recycle.settle(
        tx, attempt_id=one.attempt_id, outcome=outcome, live_answer=False, abandoned=False, talked=False, settings=settings, pack=OPEN, now=at
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _campaign(database: Database) -> None:
    with database.write() as tx:
        put_list_campaign(tx)


def told(tx: Tx, name: str) -> list[Any]:
    """Return the events of a name."""
    return events.tail(tx, {}, [name])


def test_a_claim_writes_all_that_an_invite_needs(database: Database) -> None:
    """Attempt (live, committed, evidence), contact (reserved, linked), lead (in attempt) and event stand in one commit (I1, I11)."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"], language="en")
    with database.write("engine") as tx:
        found = claim(tx)
    [one] = found.attempts
    assert (one.lead_id, one.account_id, one.person_id) == (listed.lead, listed.account, listed.person)
    assert (one.phone_id, one.number, one.trunk) == (listed.phones[0], "+525512345678", TRUNK)
    assert (one.campaign_id, one.retry_of, one.language) == (CAMPAIGN, None, "en")
    with database.read() as tx:
        [attempt], [contact], [lead] = rows(tx, "attempt"), rows(tx, "contact"), rows(tx, "lead")
        [event] = told(tx, "attempt.committed")
    assert (attempt["id"], attempt["live"], attempt["state"]) == (one.attempt_id, True, "committed")
    assert attempt["evidence"]["rule_pack"] == "case"
    assert (attempt["node"], attempt["boot_id"], attempt["committed_at_utc"]) == ("node1", "boot-1", NOON)
    assert (contact["attempt_id"], contact["settlement"]) == (one.attempt_id, "reserved")
    assert (lead["state"], lead["attempts"]) == ("in_attempt", 1)
    assert (event.attempt_id, event.campaign_id, event.account_id) == (
        one.attempt_id,
        CAMPAIGN,
        listed.account,
    )
    assert event.data["trunk"] == TRUNK


def test_nothing_is_claimed_when_the_transaction_fails(database: Database) -> None:
    """A transaction that is not committed leaves lead, ledger and log as they were."""
    with database.write() as tx:
        put_lead(tx, ["+525512345678"])

    def fail() -> None:
        with database.write("engine") as tx:
            assert claim(tx).attempts
            raise RuntimeError("the machine died here")

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as tx:
        assert rows(tx, "attempt") == rows(tx, "contact") == rows(tx, "event") == []
        assert rows(tx, "lead")[0]["state"] == "dialable"


def test_the_order_is_priority_then_the_untried_then_import(database: Database) -> None:
    """Higher priority first; among equals those tried less often, then those imported first."""
    with database.write() as tx:
        third = put_lead(tx, ["+525500000003"], attempts=2)
        fourth = put_lead(tx, ["+525500000004"], priority=-1.0)
        first = put_lead(tx, ["+525500000001"], priority=9.5)
        second = put_lead(tx, ["+525500000002"])
        fifth = put_lead(tx, ["+525500000005"], priority=-1.0)
        order = [one.lead_id for one in claim(tx).attempts]
    assert order == [first.lead, second.lead, third.lead, fourth.lead, fifth.lead]


def test_attempt_i_goes_over_trunk_i(database: Database) -> None:
    """A claim takes no more leads than lines, each over its own trunk."""
    with database.write() as tx:
        for digit in range(4):
            put_lead(tx, [f"+52550000000{digit}"])
        found = claim(tx, trunks=[TRUNK, SECOND, TRUNK])
    assert [one.trunk for one in found.attempts] == [TRUNK, SECOND, TRUNK]
    assert found.empty is None


def test_leads_become_due(database: Database) -> None:
    """A lead is left alone until its time and is claimed from then on; the empty report names the time."""
    with database.write() as tx:
        put_lead(tx, ["+525512345678"], next_at_utc=NOON + HOUR)
        before = claim(tx)
        assert before.attempts == []
        assert before.empty is not None
        assert before.empty.next_at == NOON + HOUR
        assert before.empty.reasons == {"retry_later": 1}
        assert not hopper.has_work(tx, CAMPAIGN, NOON)
        assert hopper.has_work(tx, CAMPAIGN, NOON + HOUR)
        assert len(claim(tx, at=NOON + HOUR).attempts) == 1


def test_other_campaigns_leads_are_left(database: Database) -> None:
    """A claim takes its own campaign's leads only."""
    with database.write() as tx:
        put_list_campaign(tx, "autumn")
        put_lead(tx, ["+525512345678"], campaign="autumn")
        assert claim(tx).attempts == []
        assert len(claim(tx, campaign_id=CampaignId("autumn")).attempts) == 1


def test_a_refused_lead_waits_until_it_is_allowed(database: Database) -> None:
    """At 22:30 in Tijuana a lead is set to tomorrow 07:00 there, with rule and reason; its neighbour in Cancun's morning is not asked."""
    night = dt.datetime(2025, 3, 5, 6, 30, tzinfo=dt.UTC)
    with database.write() as tx:
        listed = put_lead(tx, ["+526641234567"], zones="America/Tijuana")
        found = claim(tx, pack=MX, at=night)
        lead = row_of(tx, "lead", listed.lead)
        [event] = told(tx, "lead.blocked")
    assert found.attempts == []
    assert (lead["state"], lead["next_at_utc"]) == ("dialable", dt.datetime(2025, 3, 5, 15, 0, tzinfo=dt.UTC))
    assert lead["blocked_rule"] == "window"
    assert lead["blocked_reason"] == "22:30 in America/Tijuana, allowed 07:00-22:00 by mx"
    assert event.data["lead_id"] == listed.lead
    assert event.data["rule"] == "window"
    assert event.data["allowed_from_utc"] == "2025-03-05T15:00:00+00:00"
    assert found.empty is not None
    assert found.empty.reasons == {"window": 1}
    assert "1 window; next at 2025-03-05 15:00:00 UTC" in found.empty.words()


def test_the_same_refusal_is_told_once(database: Database) -> None:
    """A lead refused by the same rule evening after evening makes one event; another rule makes another; a dial clears it."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"])
        for day in (5, 6, 7):
            claim(tx, pack=MX, at=dt.datetime(2025, 3, day, 5, 0, tzinfo=dt.UTC))
        assert [event.data["rule"] for event in told(tx, "lead.blocked")] == ["window"]
        claim(tx, pack=MX, at=dt.datetime(2025, 3, 8, 18, 0, tzinfo=dt.UTC))
        assert [event.data["rule"] for event in told(tx, "lead.blocked")] == ["window", "weekday"]
        monday = dt.datetime(2025, 3, 10, 18, 0, tzinfo=dt.UTC)
        assert len(claim(tx, pack=MX, at=monday).attempts) == 1
        lead = row_of(tx, "lead", listed.lead)
    assert (lead["blocked_rule"], lead["blocked_reason"]) == (None, None)


def test_another_number_in_another_zone_is_tried(database: Database) -> None:
    """Out of hours at the first number's zone, the person's second number is dialed."""
    evening = dt.datetime(2025, 3, 5, 4, 30, tzinfo=dt.UTC)  # 22:30 in Mexico City, 20:30 in Tijuana
    with database.write() as tx:
        listed = put_lead(
            tx, ["+525512345678", "+526641234567"], zones=["America/Mexico_City", "America/Tijuana"]
        )
        [one] = claim(tx, pack=MX, at=evening).attempts
    assert one.number == listed.numbers[1]


def test_where_they_live_narrows_the_hours(database: Database) -> None:
    """A Mexico City number of somebody in Baja California is called only when Tijuana may be called, too."""
    morning = dt.datetime(2025, 3, 4, 13, 30, tzinfo=dt.UTC)  # 07:30 in Mexico City, 05:30 in Tijuana
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"], region="MX-BCN")
        assert claim(tx, pack=MX, at=morning).attempts == []
        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == dt.datetime(2025, 3, 4, 15, 0, tzinfo=dt.UTC)


def test_where_they_live_stands_in_for_an_unknown_zone(database: Database) -> None:
    """A number of unknown zone is called by the hours of where its person lives."""
    with database.write() as tx:
        put_lead(tx, ["+525512345678"], zones="", region="MX-SON")
        [one] = claim(tx, pack=MX).attempts
        assert "America/Hermosillo" in row_of(tx, "attempt", one.attempt_id)["evidence"]["zones"]


def test_an_unknown_zone_waits_for_one(database: Database) -> None:
    """A lead whose zone nobody knows waits for a zone, by name, and is not looked at again (I18)."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"], zones="")
        found = claim(tx, pack=MX)
        lead = row_of(tx, "lead", listed.lead)
    assert (lead["state"], lead["waiting_for"], lead["blocked_rule"]) == ("waiting", "zone", "zone_unknown")
    assert found.empty is not None
    assert found.empty.reasons == {"waiting_zone": 1}


def test_a_lead_restricted_for_good_is_finished(database: Database) -> None:
    """Do-not-call on the only number finishes the lead with that reason and tells it; the second number would be dialed (I12)."""
    with database.write() as tx:
        only = put_lead(tx, ["+525500000001"])
        both = put_lead(tx, ["+525500000002", "+525500000003"])
        put_restriction(tx, "do_not_call", "number", "+525500000001")
        put_restriction(tx, "do_not_call", "number", "+525500000002")
        found = claim(tx)
        lead = row_of(tx, "lead", only.lead)
        [finished] = told(tx, "lead.finished")
    assert [(one.lead_id, one.number) for one in found.attempts] == [(both.lead, "+525500000003")]
    assert (lead["state"], lead["finished_reason"]) == ("finished", "do_not_call")
    assert finished.data == {"lead_id": only.lead, "reason": "do_not_call"}


def test_the_cap_is_counted_within_one_claim(database: Database) -> None:
    """Two accounts of two people who share a number: a cap of one per number lets one of them through in the same claim."""
    pack = pack_of(caps=[cap("number", "address", 1, rolling_days=1)])
    with database.write() as tx:
        first = put_lead(tx, ["+525512345678"])
        put_lead(tx, ["+525512345678"])
        found = claim(tx, pack=pack)
        assert [one.lead_id for one in found.attempts] == [first.lead]
        # once the call is over, the cap stands in the way and not the live attempt
        end(tx, found.attempts[0], Outcome.NO_ANSWER)
        found = claim(tx, pack=pack, at=NOON + dt.timedelta(minutes=5))
        assert found.attempts == []
        assert found.empty is not None
        assert found.empty.reasons == {"number": 1, "retry_later": 1}


def test_people_and_numbers_with_a_live_attempt_are_passed_over(database: Database) -> None:
    """A second account of a person being called, and another person's same number, wait half a minute and are no error (I3)."""
    with database.write() as tx:
        first = put_lead(tx, ["+525500000001"])
        again = put_lead(tx, ["+525500000009"], person=first.person)
        shared = put_lead(tx, ["+525500000001"])
        other = put_lead(tx, ["+525500000002"])
        found = claim(tx)
        assert {one.lead_id for one in found.attempts} == {first.lead, other.lead}
        for listed in (again, shared):
            lead = row_of(tx, "lead", listed.lead)
            assert (lead["state"], lead["blocked_rule"]) == ("dialable", "live_attempt")
            assert NOON < lead["next_at_utc"] <= NOON + dt.timedelta(minutes=1)
        assert told(tx, "lead.blocked") == []


def test_a_lead_without_a_usable_number_is_finished(database: Database) -> None:
    """Numbers that failed too often or whose consent was withdrawn are not dialed; with none left the lead is finished."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525500000001", "+525500000002"])
        tx.execute(PHONE.update().where(PHONE.c.id == listed.phones[0]).values(failures=9))
        tx.execute(PHONE.update().where(PHONE.c.id == listed.phones[1]).values(consent=False))
        assert claim(tx).attempts == []
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "no_usable_number"


def test_the_next_number_after_no_answer_and_round_again(database: Database) -> None:
    """No answer moves on to the next number, and after the last to the first; busy stays with its number."""
    with database.write() as tx:
        put_lead(tx, ["+525500000001", "+525500000002", "+525500000003"])
        dialed = []
        at = NOON
        for outcome in (
            Outcome.NO_ANSWER,
            Outcome.BUSY,
            Outcome.NO_ANSWER,
            Outcome.NO_ANSWER,
            Outcome.MACHINE,
        ):
            [one] = claim(tx, at=at).attempts
            dialed.append(int(one.number[-1]))
            end(tx, one, outcome, at=at)
            at += 5 * HOUR
    assert dialed == [1, 2, 2, 3, 1]


def test_a_claim_looks_at_so_many_and_no_more(database: Database) -> None:
    """A list full of blocked leads costs bounded claims: each looks at `MAX_EXAMINED`, and only the last says that it is empty."""
    night = dt.datetime(2025, 3, 5, 6, 30, tzinfo=dt.UTC)
    with database.write() as tx:
        for number in range(hopper.MAX_EXAMINED + 30):
            put_lead(tx, [f"+5255{number:08d}"])
        first = claim(tx, pack=MX, at=night)
        assert (first.attempts, first.empty) == ([], None)
        assert sum(row["blocked_rule"] == "window" for row in rows(tx, "lead")) == hopper.MAX_EXAMINED
        second = claim(tx, pack=MX, at=night)
        assert second.empty is not None
        assert second.empty.reasons == {"window": hopper.MAX_EXAMINED + 30}


def test_what_an_empty_hopper_says(database: Database) -> None:
    """No leads, leads under way, and every lead finished are told apart."""
    with database.write() as tx:
        none = claim(tx).empty
        assert none is not None
        assert (none.reasons, none.finished, none.next_at) == ({}, False, None)
        assert "no leads" in none.words()
        put_lead(tx, ["+525500000001"], state="finished", finished_reason="connected")
        put_lead(tx, ["+525500000002"])
        [one] = claim(tx).attempts
        busy = claim(tx).empty
        assert busy is not None
        assert (busy.reasons, busy.finished) == ({"finished_connected": 1, "in_attempt": 1}, False)
        end(tx, one, Outcome.CONNECTED)
        over = claim(tx).empty
        assert over is not None
        assert (over.reasons, over.finished) == ({"finished_connected": 2}, True)


def test_failover_is_a_new_attempt_at_the_same_number(database: Database) -> None:
    """After a trunk fault: another attempt, `retry_of` the first, over the other trunk, its own evidence and contact (I1)."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"])
        [failed] = claim(tx).attempts
        end(tx, failed, Outcome.TRUNK_FAILED)
        again = reclaim(tx, failed)
        assert isinstance(again, ClaimedAttempt)
        lead = row_of(tx, "lead", listed.lead)
        contacts = {row["attempt_id"]: row["settlement"] for row in rows(tx, "contact")}
    assert (again.retry_of, again.trunk, again.number) == (failed.attempt_id, SECOND, failed.number)
    assert again.attempt_id != failed.attempt_id
    assert contacts == {failed.attempt_id: "void", again.attempt_id: "reserved"}
    assert (lead["state"], lead["attempts"]) == ("in_attempt", 1)


def reclaim(tx: Tx, failed: ClaimedAttempt, **changes: Any) -> ClaimedAttempt | Refused:
    """Fail over to the second trunk."""
    fields = {
        "trunk": SECOND,
        "settings": SETTINGS,
        "pack": OPEN,
        "node": "node1",
        "boot_id": "boot-1",
        "now": NOON,
    }
    return hopper.reclaim(tx, ended_attempt_id=failed.attempt_id, **(fields | changes))


def test_failover_asks_the_gate_again(database: Database) -> None:
    """A restriction added meanwhile, or the window's end, refuses the failover; the lead stays dialable later (I12)."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"])
        [failed] = claim(tx).attempts
        end(tx, failed, Outcome.CONGESTION)
        put_restriction(tx, "do_not_call", "number", listed.numbers[0])
        refused = reclaim(tx, failed)
        lead = row_of(tx, "lead", listed.lead)
    assert isinstance(refused, Refused)
    assert refused.rule == "do_not_call"
    assert lead["state"] == LeadState.DIALABLE
    assert lead["next_at_utc"] > NOON


def test_failover_of_a_live_attempt_is_refused(database: Database) -> None:
    """An attempt that has not ended cannot be retried: that would be two live ones."""
    with database.write() as tx:
        put_lead(tx, ["+525512345678"])
        [live] = claim(tx).attempts
        with pytest.raises(hopper.StoreError, match="has ended"):
            reclaim(tx, live)
        with pytest.raises(hopper.StoreError):
            hopper.reclaim(
                tx, ended_attempt_id=AttemptId(live.lead_id), trunk=SECOND, settings=SETTINGS, pack=OPEN, node="n", boot_id="b", now=NOON
            )  # fmt: skip


def test_a_long_list_is_walked_to_its_end(database: Database) -> None:
    """Claims of seven from a list of sixty reach every lead once."""
    with database.write() as tx:
        listed = {put_lead(tx, [f"+52550000{number:04d}"]).lead for number in range(60)}
    claimed: list[str] = []
    for _ in range(9):
        with database.write("engine") as tx:
            claimed += [one.lead_id for one in claim(tx, 7).attempts]
    assert set(claimed) == listed
    assert len(claimed) == 60


def test_many_claimers_never_take_the_same(database: Database) -> None:
    """Six claimers at once empty a list with shared people and shared numbers: no lead twice, one live attempt per person and number (I3)."""
    with database.write() as tx:
        for number in range(40):
            first = put_lead(tx, [f"+52550000{number:04d}"])
            if number % 4 == 0:
                put_lead(tx, [f"+52559999{number:04d}"], person=first.person)
            if number % 5 == 0:
                put_lead(tx, [f"+52550000{number:04d}"])
    start = threading.Barrier(6)
    claimed: list[ClaimedAttempt] = []
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            start.wait()
            for _ in range(12):
                with database.write(f"engine{index}") as tx:
                    found = claim(tx, 3)
                claimed.extend(found.attempts)
        except BaseException as error:
            failures.append(error)
            raise

    workers = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert failures == []
    # 40 people with own numbers; two of them have a second number, and share the first with somebody who may be called instead
    assert 40 <= len(claimed) <= 42
    for ids in (
        {one.lead_id for one in claimed},
        {one.person_id for one in claimed},
        {one.number for one in claimed},
    ):
        assert len(ids) == len(claimed)
    with database.read() as tx:
        assert len(rows(tx, "attempt")) == len(rows(tx, "contact")) == len(claimed)
        left = [lead for lead in rows(tx, "lead") if lead["state"] == "dialable"]
        assert {lead["blocked_rule"] for lead in left} == {"live_attempt"}
        assert all(lead["next_at_utc"] > READY_UTC for lead in left)


def test_prior_contacts_count(database: Database) -> None:
    """Contacts imported from before count for the caps like our own."""
    with database.write() as tx:
        listed = put_lead(tx, ["+525512345678"])
        for days in range(7):
            put_contact(tx, listed, NOON - HOUR - dt.timedelta(days=days), prior=True)
        assert claim(tx, pack=MX).attempts == []
        assert row_of(tx, "lead", listed.lead)["blocked_rule"] == "account_7_in_7"


@pytest.mark.parametrize(
    "statement",
    [leads._READY, leads._DUE, leads._DUE_APART, leads._READY_IN["named"]],
    ids=["ready", "due", "apart", "segment"],
)
def test_a_claim_reads_along_the_index(tmp_path: Path, statement: Any) -> None:
    """However long the list, SQLite finds the next leads by walking the hopper's index: it sorts nothing and scans no table."""
    database = open_database(f"sqlite:///{tmp_path / 'plan.db'}")
    database.migrate()
    with database.read() as tx:
        compiled = statement.compile(tx.connection.engine, compile_kwargs={"render_postcompile": True})
        values = compiled.construct_params(
            {"campaign": CAMPAIGN, "most": 5, "now": NOON, "ready": NOON, "named": "a"}
        )
        bound = tuple(str(values[name]) if name != "most" else 5 for name in compiled.positiontup or ())
        plan = [row[3] for row in tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", bound)]
    database.dispose()
    assert ("ix_lead_segment" if "named" in values else "ix_lead_hopper") in plan[0]
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan), plan
