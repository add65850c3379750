"""Segments: the language and its mistakes, the SQL against a slow reading of the same rows, shares and quotas of a list, and the upkeep."""

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dialer_core.campaigns import hopper
from dialer_core.campaigns.mix import Mix
from dialer_core.errors import StoreError
from dialer_core.list_settings import HopperSettings, SegmentSettings
from dialer_core.portfolio import segmenting
from dialer_core.segment_language import FIELDS, Kind, SegmentError, kind_of, parse
from dialer_core.store import people, segments
from dialer_core.store.database import Database
from dialer_core.store.leads import READY_AGAIN_UTC, READY_UTC
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, Outcome, new_id
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TRUNK,
    Listed,
    put_contact,
    put_lead,
    put_list_campaign,
    row_of,
    rows,
    settings_of,
)
from tests.campaigns.segment_rows import holds
from tests.campaigns.test_recycle import DAY, MINUTE, OPEN, end
from tests.store.rows import put


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 1: nothing is written"),
        ("dayz_past_due > 3", "column 1: 'dayz_past_due' is no field; did you mean days_past_due"),
        ("zzz > 3", "fields are days_past_due, balance"),
        ("balance = 3", "column 9: '=' is not understood; compare with =="),
        ("balance > 3 & attempts < 2", "column 13: '&' is not understood; write: and"),
        ("balance > 'x'", "column 11: balance is compared with an amount, such as 1500 or 99.50, not with"),
        ("balance > 1.005", "not with '1.005'"),
        ("product > 'auto'", "column 9: product is a text: compare it with ==, != or in, not with >"),
        ("product == auto", "column 12: product is compared with a text in quotes, not with 'auto'"),
        ("due_date < '04/03/2025'", 'such as "2025-03-04"'),
        ("days_since_contact > 1.5", "a whole number of days since"),
        ("(balance > 3", "column 13: expected ')', and found the end"),
        ("balance > 3 attempts < 2", "column 13: expected 'and', 'or' or the end, and found 'attempts'"),
        ("balance 3", "expected one of ==, !=, <, <=, >, >=, in, is after balance, and found '3'"),
        ("product in ()", "column 13: product is compared with a text in quotes"),
        ("product in ('a'", "expected ')', and found the end"),
        ("product is null", "expected 'none', and found 'null'"),
        ("product == 'auto", 'column 12: "\'" is not understood; the quote is not closed'),
        ("__import__('os')", "column 1: '__import__' is no field"),
        ("not " * 50 + "attempts > 1", "more than 40 parts within one another"),
        ("attempts > 1 or " * 200 + "attempts > 1", "longer than 2000 characters"),
    ],
)
def test_a_mistake_is_told_with_its_column(text: str, said: str) -> None:
    """What is wrong, where, and what would be right; nothing of it is ever run."""
    with pytest.raises(SegmentError) as wrong:
        parse(text)
    assert said in str(wrong.value)
    with pytest.raises(ValidationError, match="column"):
        SegmentSettings(where=text)


@pytest.mark.unit
@given(st.text(alphabet="abdnort_ ()<>=!'\"0123456789.,éñ\n", max_size=60))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    """No text makes the parser fail otherwise."""
    with contextlib.suppress(SegmentError):
        parse(text)


TEXTS = {
    "currency": ["MXN", "USD"],
    "product": ["auto", "home", "O'Neil"],
    "portfolio": ["default", "north"],
    "creditor": ["Banco", ""],
    "language": ["es", "en"],
    "region": ["MX-BCN", "MX-SON"],
    "last_outcome": ["busy", "no_answer"],
    "attribute.sucursal": ["Centro", "Norte"],
    "attribute.never": ["x"],
}
NUMBERS = st.sampled_from([0, 1, 2, 3, 30, 31, 60, 90]).map(str)


def _values(field: str) -> st.SearchStrategy[str]:
    match kind_of(field):
        case Kind.TEXT:
            return st.sampled_from(TEXTS[field]).map(lambda text: f'"{text}"')
        case Kind.DATE:
            return st.sampled_from(["'2025-03-04'", "'2025-01-01'", "'2025-12-31'"])
        case Kind.MONEY:
            return st.sampled_from(["0", "100", "99.99", "1500.50"])
        case _:
            return NUMBERS


def _comparisons(field: str) -> st.SearchStrategy[str]:
    signs = ["==", "!="] if kind_of(field) is Kind.TEXT else ["==", "!=", "<", "<=", ">", ">="]
    return st.one_of(
        st.tuples(st.sampled_from(signs), _values(field)).map(lambda pair: f"{field} {pair[0]} {pair[1]}"),
        st.lists(_values(field), min_size=1, max_size=3).map(lambda some: f"{field} in ({', '.join(some)})"),
        st.sampled_from([f"{field} is none", f"{field} is not none"]),
    )


ATOMS = st.sampled_from([*FIELDS, "attribute.sucursal", "attribute.never"]).flatmap(_comparisons)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: " and ".join(f"({one})" for one in some)),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: " or ".join(f"({one})" for one in some)),
    ),
    max_leaves=5,
)


def put_everybody(tx: Tx) -> dict[str, dict[str, Any]]:
    """Store forty leads of every kind; return what a slow reader knows of each, by lead."""
    found = {}
    choices = itertools.cycle(range(7))
    for number in range(40):
        turn = next(choices)
        listed = put_lead(
            tx,
            [f"+52550000{number:04d}"],
            region=[None, "MX-BCN", "MX-SON"][number % 3],
            language=["es", "en"][number % 2],
            priority=float([0, 1, 30][number % 3]),
            attempts=[0, 1, 3][turn % 3],
            last_outcome=[None, "busy", "no_answer"][turn % 3],
        )
        account = {
            "days_past_due": [None, 0, 30, 31, 60, 90, 2][turn],
            "balance_minor": [None, 0, 10_000, 9_999, 150_050][number % 5],
            "currency": [None, "MXN", "USD"][number % 3],
            "product": [None, "auto", "home", "O'Neil"][number % 4],
            "portfolio": ["default", "north"][number % 2],
            "creditor": ["Banco", ""][turn % 2],
            "due_date": [None, "2025-03-04", "2025-01-01"][turn % 3],
            "attributes": [{}, {"sucursal": "Centro"}, {"sucursal": "Norte", "más": 'a"b'}][number % 3],
        }
        people.update_account(tx, listed.account, account)
        history = _put_history(tx, listed, number, turn)
        row = row_of(tx, "lead", listed.lead)
        balance = account["balance_minor"]
        found[listed.lead] = {
            **{
                name: account[name]
                for name in ("days_past_due", "currency", "product", "portfolio", "creditor", "due_date")
            },
            "balance": None if balance is None else balance / 100,
            "attribute.sucursal": account["attributes"].get("sucursal"),  # type: ignore[attr-defined]
            "language": ["es", "en"][number % 2],
            "region": [None, "MX-BCN", "MX-SON"][number % 3],
            **{name: row[name] for name in ("priority", "attempts", "last_outcome")},
            **history,
        }
    return found


def _put_history(tx: Tx, listed: Listed, number: int, turn: int) -> dict[str, Any]:
    contacts = [NOON - dt.timedelta(days=days) for days in ([], [1], [2, 30], [31, 60, 90])[number % 4]]
    for at in contacts:
        put_contact(tx, listed, at, conversation=at == contacts[0])
    put_contact(tx, listed, NOON, settlement="void")
    paid = [(NOON - dt.timedelta(days=days)).date() for days in ([], [3], [0, 31])[turn % 3]]
    for nth, day in enumerate(paid):
        put(
            tx, "payment", id=new_id(), account_id=listed.account, external_id=f"P{nth}", amount_minor=100, currency="MXN",
            paid_on=day.isoformat(), source="t", received_at_utc=NOON,
        )  # fmt: skip
    states = ([], ["kept"], ["broken", "broken", "open"])[number % 3]
    for state in states:
        put(
            tx, "promise", id=new_id(), account_id=listed.account, person_id=listed.person, kind="agreement", state=state,
            currency="MXN", total_minor=1, grace_days=1, made_at_utc=NOON,
        )  # fmt: skip
    return {
        "contacts": len(contacts),
        "conversations": min(len(contacts), 1),
        "days_since_contact": max(contacts, default=None),
        "payments": len(paid),
        "days_since_payment": max(paid, default=None),
        "promises_kept": states.count("kept"),
        "promises_broken": states.count("broken"),
    }


@pytest.mark.db
def test_the_sql_agrees_with_a_slow_reading(database: Database) -> None:
    """Any expression names the same leads on both databases as when each row is asked in Python."""
    with database.write() as tx:
        put_list_campaign(tx)
        known = put_everybody(tx)
    seen: Counter[str] = Counter()

    @given(EXPRESSIONS)
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def agrees(text: str) -> None:
        node = parse(text)
        with database.read() as tx:
            found = {one.lead_id for one in segments.preview(tx, CAMPAIGN, node, NOON, 100)}
            counted = segments.count(tx, CAMPAIGN, node, NOON)
        expected = {lead for lead, row in known.items() if holds(node, row, NOON)}
        assert found == expected, text
        assert sum(counted.values()) == len(expected)
        seen["some" if 0 < len(expected) < len(known) else "all or none"] += 1

    agrees()
    assert seen["some"] > 30


@pytest.mark.db
def test_leads_are_put_into_the_first_segment_that_names_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the order of the mix, the rest by itself, finished ones and campaigns without a mix not at all; again, nothing moves."""
    monkeypatch.setattr(segmenting, "_LOOKED_AT", 7)
    monkeypatch.setattr(segmenting, "_WRITTEN", 3)
    known = {
        "old": SegmentSettings(where="days_past_due >= 60"),
        "any": SegmentSettings(where="days_past_due >= 30"),
    }
    campaigns = {
        CAMPAIGN: settings_of(hopper={"mix": [{"segment": "old"}, {"segment": "any"}]}),
        CampaignId("plain"): settings_of(),
    }
    with database.write() as tx:
        for name in campaigns:
            put_list_campaign(tx, name)
        listed = [put_lead(tx, [f"+5255000000{n:02d}"]) for n in range(20)]
        for n, one in enumerate(listed):
            people.update_account(tx, one.account, {"days_past_due": [0, 30, 60, None][n % 4]})
        plain = put_lead(tx, ["+525500000099"], campaign="plain")
        done = put_lead(tx, ["+525500000098"], state="finished", finished_reason="paid")
    assert asyncio.run(segmenting.put_all(database, campaigns, known)) == 20
    with database.read() as tx:
        assert [row_of(tx, "lead", one.lead)["segment"] for one in listed] == ["", "any", "old", ""] * 5
        assert row_of(tx, "lead", plain.lead)["segment"] is None
        assert row_of(tx, "lead", done.lead)["segment"] is None
        assert segments.counts(tx, CAMPAIGN) == {"": 10, "any": 5, "old": 5}
    assert asyncio.run(segmenting.put_all(database, campaigns, known)) == 0
    with database.write() as tx:
        people.update_account(tx, listed[0].account, {"days_past_due": 61})
    assert asyncio.run(segmenting.put_all(database, campaigns, known)) == 1


def claim_some(tx: Tx, mix: Mix, count: int, at: dt.datetime = NOON) -> hopper.Claim:
    """Claim by shares."""
    return hopper.claim(
        tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=OPEN, trunks=[TRUNK] * count, node="n", boot_id="b", now=at, mix=mix
    )  # fmt: skip


def segments_of(tx: Tx, claim: hopper.Claim) -> list[str]:
    """Return the segments of what was claimed, in order."""
    return [str(row_of(tx, "lead", one.lead_id)["segment"]) for one in claim.attempts]


@pytest.mark.db
def test_segments_get_their_shares_and_leave_what_they_cannot_use(database: Database) -> None:
    """Three to one to one while all have leads, one claim or several; when one has run out, the others share what is left."""
    mix = Mix(HopperSettings.model_validate({"mix": [{"segment": "a", "share": 3}, {"segment": "b"}]}))
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(30):
            segment = "a" if number < 9 else ("b" if number < 25 else "")
            put_lead(tx, [f"+5255000000{number:02d}"], segment=segment, priority=float(number % 5))
        dialed = [segments_of(tx, claim_some(tx, mix, count)) for count in (5, 1, 1, 1, 1, 1)]
        assert Counter(itertools.chain(*dialed)) == {"a": 6, "b": 2, "": 2}
        rest = segments_of(tx, claim_some(tx, mix, 20))
        assert Counter(rest) == {"a": 3, "b": 14, "": 3}
        evidence = {(row["segment"], row["lead_id"]) for row in rows(tx, "attempt")}
        assert evidence == {(row["segment"], row["id"]) for row in rows(tx, "lead")}


@pytest.mark.db
def test_new_and_recycled_leads_get_their_shares(database: Database) -> None:
    """Three new ones for each that was tried before, although every recycled lead has the higher priority; each part by priority."""
    mix = Mix(HopperSettings(new_share=0.75))
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(8):
            put_lead(tx, [f"+5255000000{number:02d}"], priority=float(number))
        again = [
            put_lead(tx, [f"+5255000001{n:02d}"], attempts=1, priority=50.0 + n, next_at_utc=NOON - DAY)
            for n in range(8)
        ]
        claim = claim_some(tx, mix, 8)
        tried = [row_of(tx, "lead", one.lead_id)["attempts"] - 1 for one in claim.attempts]
        assert Counter(tried) == {0: 6, 1: 2}
        assert [one.lead_id for one in claim.attempts if one.lead_id in {a.lead for a in again}] == [
            again[7].lead,
            again[6].lead,
        ]
        left = [row["next_at_utc"] for row in rows(tx, "lead") if row["state"] == "dialable"]
        assert Counter(left) == {READY_UTC: 2, READY_AGAIN_UTC: 6}
        assert len(claim_some(tx, mix, 8).attempts) == 8
        assert claim_some(tx, mix, 1).empty is not None


@pytest.mark.db
def test_without_shares_any_more_everybody_is_ready_in_one_order(database: Database) -> None:
    """A campaign whose file loses its shares dials what stood apart as it dials all others."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525500000001"], priority=1.0)
        apart = put_lead(tx, ["+525500000002"], priority=2.0, attempts=1, next_at_utc=READY_AGAIN_UTC)
        claim = hopper.claim(
            tx,
            campaign_id=CAMPAIGN,
            settings=settings_of(),
            pack=OPEN,
            trunks=[TRUNK],
            node="n",
            boot_id="b",
            now=NOON,
        )
        assert [one.lead_id for one in claim.attempts] == [apart.lead]


@pytest.mark.db
def test_a_quota_of_the_day_holds_and_is_told(database: Database) -> None:
    """A segment's quota is counted over restarts, ends with the day, and an empty hopper names it."""
    wanted = HopperSettings.model_validate({"mix": [{"segment": "a", "most_per_day": 2}], "rest_share": 0})
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(5):
            put_lead(tx, [f"+5255000000{number:02d}"], segment="a" if number else "")
        first = claim_some(tx, Mix(wanted), 1)
        assert segments_of(tx, first) == ["a"]
        end(tx, first.attempts[0].attempt_id, Outcome.NO_ANSWER)
        again = claim_some(tx, Mix(wanted), 5)  # another engine, or the same one later
        assert segments_of(tx, again) == ["a"]
        assert again.empty is not None
        assert again.empty.reasons["segment_quota"] == 3
        tomorrow = claim_some(tx, Mix(wanted), 5, NOON + DAY)
        assert segments_of(tx, tomorrow) == ["a", "a"]


@pytest.mark.db
def test_a_quota_is_what_was_dialed_by_whom_ever(database: Database) -> None:
    """A claim that was undone uses nothing of a quota, and what another node dialed does."""
    wanted = HopperSettings.model_validate({"mix": [{"segment": "a", "most_per_day": 3}], "rest_share": 0})
    here, there = Mix(wanted), Mix(wanted)
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(6):
            put_lead(tx, [f"+5255000000{number:02d}"], segment="a")
    with contextlib.suppress(StoreError), database.write() as tx:
        assert len(claim_some(tx, here, 2).attempts) == 2
        raise StoreError("away")
    with database.write() as tx:
        assert len(claim_some(tx, here, 1).attempts) == 1
        assert len(claim_some(tx, there, 1, NOON + MINUTE).attempts) == 1
        assert len(claim_some(tx, here, 2, NOON + 10 * MINUTE).attempts) == 1
        assert claim_some(tx, there, 1, NOON + 20 * MINUTE).attempts == []


@pytest.mark.db
def test_a_quota_ends_with_the_campaigns_day(database: Database) -> None:
    """Used up in the afternoon of Mexico City, it is still so after midnight in Greenwich, and free on the next morning."""
    wanted = HopperSettings.model_validate({"mix": [{"segment": "a", "most_per_day": 1}], "rest_share": 0})
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(3):
            put_lead(tx, [f"+5255000000{number:02d}"], segment="a")
        mix = Mix(wanted, "America/Mexico_City")
        assert len(claim_some(tx, mix, 3, NOON).attempts) == 1
        for later in (6.5 * 60 * MINUTE, 9 * 60 * MINUTE):  # 18:30 and 21:00, past midnight UTC
            for one in (mix, Mix(wanted, "America/Mexico_City")):
                assert claim_some(tx, one, 3, NOON + later).attempts == []
        assert len(claim_some(tx, mix, 3, NOON + DAY - 4 * 60 * MINUTE).attempts) == 1  # 08:00


@pytest.mark.db
def test_nodes_at_once_keep_a_quota_together(database: Database) -> None:
    """Four engines claim one by one at the same time: 11 of a quota of 11 are dialed, not one more."""
    wanted = HopperSettings.model_validate({"mix": [{"segment": "a", "most_per_day": 11}], "rest_share": 0})
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(30):
            put_lead(tx, [f"+5255000000{number:02d}"], segment="a")

    def node(_: int) -> int:
        mix, found = Mix(wanted), 0
        for _ in range(6):
            with database.write() as tx:
                found += len(claim_some(tx, mix, 1).attempts)
        return found

    with concurrent.futures.ThreadPoolExecutor(4) as nodes:
        assert sum(nodes.map(node, range(4))) == 11


@pytest.mark.db
def test_leads_without_a_segment_yet_do_not_wait(database: Database) -> None:
    """What was imported a moment ago is dialed when nothing else is there, unless only segments are to be dialed."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525500000001"])
        only = Mix(HopperSettings.model_validate({"mix": [{"segment": "a"}], "rest_share": 0}))
        held = claim_some(tx, only, 1)
        assert held.attempts == []
        assert held.empty is not None
        assert held.empty.reasons == {"segment_without_share": 1}
        mix = Mix(HopperSettings.model_validate({"mix": [{"segment": "a"}]}))
        assert len(claim_some(tx, mix, 1).attempts) == 1


@pytest.mark.unit
def test_a_segment_stands_in_a_mix_once() -> None:
    """Twice is a mistake that is told."""
    with pytest.raises(ValidationError, match="stands there twice"):
        HopperSettings.model_validate({"mix": [{"segment": "a"}, {"segment": "a"}]})
