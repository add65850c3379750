"""Every figure of the summary, worked out by hand for two small days, by every key and filter; counted up or not, the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError
from dialer_core.portfolio import payments
from dialer_core.portfolio.payments import NewPayment
from dialer_core.report_settings import ReportSettings
from dialer_core.reports.asked import Asked
from dialer_core.reports.breakdown import best_hours, breakdown
from dialer_core.reports.cdr import cdr
from dialer_core.reports.figures import FIGURES
from dialer_core.reports.phones import phones
from dialer_core.reports.summary import summary
from dialer_core.store import rollups
from dialer_core.store.database import Database, open_database
from tests.reports.floor import DAY, MONDAY, write

pytestmark = pytest.mark.db

NOW = MONDAY + 6 * DAY
PRICED = ReportSettings(minute_price=0.60, attempt_price=0.05, agent_hour_price=100.0)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """Yield a store with the two days in it, on Sunday's clock."""
    found = open_database(migrated_url, node="node1", boot_id="boot-1", clock=VirtualClock(NOW))
    with found.write() as tx:
        write(tx)
    yield found
    found.dispose()


def rows(database: Database, **asked: Any) -> list[dict[str, Any]]:
    """Return the summary's rows, by name; and the same must come from the attempts themselves, and from what has been counted up."""
    with database.read() as tx:
        fresh = summary(tx, Asked(**asked), NOW)
        assert summary(tx, Asked(**asked, raw=True), NOW).rows == fresh.rows
    rollups.roll_up(database)
    with database.read() as tx:
        counted = summary(tx, Asked(**asked), NOW)
    assert counted == fresh
    return list(counted.records())


def test_all_of_it(database: Database) -> None:
    """One row of everything."""
    [found] = rows(database, settings=PRICED)
    line_s = 62 + 22 + 7 + 4 + 102 + 42
    cost = round(100 * (0.60 * line_s / 60 + 0.05 * 8 + 100.0 * 7))
    assert found == {
        "attempts": 8, "live_answers": 6, "answer_rate": 0.75, "abandoned": 1, "abandonment_rate": round(1 / 6, 6),
        "contacts": 4, "contact_rate": 0.5, "right_party": 3, "right_party_rate": 0.75,
        "promises": 3, "promise_rate": 1.0, "promised": 135_000, "kept": 1, "broken": 2, "kept_rate": round(1 / 3, 6),
        "payments": 1, "recovered": 105_000, "recovery_rate": round(105 / (105 + 495), 6), "resolved": 1, "days_to_resolve": 0.8,
        "ring_s": 80.0, "line_s": float(line_s), "talk_s": 225.0, "agent_s": 7 * 3600.0,
        "cost": cost, "cost_per_contact": round(cost / 4), "cost_per_promise": round(cost / 3),
    }  # fmt: skip
    assert list(found) == [figure.name for figure in FIGURES]


def test_by_campaign(database: Database) -> None:
    """Each campaign's own attempts, promises and accounts; agents' time shared by talk; a campaign's own words count as what they stand under."""
    autumn, spring = rows(database, by=("campaign",))
    told = ("campaign", "attempts", "contacts", "right_party", "promises", "kept", "recovered", "cost")
    assert [autumn[name] for name in told] == ["autumn", 2, 1, 1, 0, 0, 5_000, None]
    assert [spring[name] for name in told] == ["spring", 6, 3, 2, 3, 1, 100_000, None]
    assert autumn["agent_s"] == pytest.approx(7 * 3600 * 100 / 225, abs=0.1)
    assert autumn["recovery_rate"] == round(5 / (5 + 195), 6)


def test_by_agent_and_day(database: Database) -> None:
    """An agent's day: their attempts, promises and time; attempts of nobody stand under an empty name, and days are Mexico City's."""
    found = {(one["agent"], one["day"]): one for one in rows(database, by=("agent", "day"))}
    assert found["ana", "2026-03-02"]["talk_s"] == 160.0
    assert (found["ana", "2026-03-02"]["agent_s"], found["ana", "2026-03-03"]["agent_s"]) == (4 * 3600, 3600)
    assert (found["luis", "2026-03-03"]["kept"], found["luis", "2026-03-03"]["recovered"]) == (1, 100_000)
    assert (found["", "2026-03-02"]["attempts"], found["", "2026-03-02"]["abandoned"]) == (3, 1)
    assert found["ana", "2026-03-02"]["resolved"] is None


def test_by_segment(database: Database) -> None:
    """Attempts by the segment that their lead was in when it was dialed, promises and payments by the one it is in; as a filter too."""
    from sqlalchemy import update

    from tests.store.rows import TABLES

    with database.write() as tx:
        for name in ("attempt", "lead"):
            theirs = TABLES[name].c.campaign_id == "autumn"
            tx.execute(update(TABLES[name]).where(theirs).values(segment="late"))
    others, late = rows(database, by=("segment",))
    told = ("segment", "attempts", "contacts", "promises", "recovered")
    assert [others[name] for name in told] == ["", 6, 3, 3, 100_000]
    assert [late[name] for name in told] == ["late", 2, 1, 0, 5_000]
    [only] = rows(database, only={"segment": ("late",)})
    assert (only["attempts"], only["promises"], only["recovered"]) == (2, 0, 5_000)
    with database.read() as tx:
        assert len(list(cdr(tx, Asked(only={"segment": ("late",)})))) == 2


def test_a_day_is_the_zones(database: Database) -> None:
    """The same instants are other days elsewhere: Monday noon in Mexico City is Tuesday in Sydney."""
    [first, *_] = rows(database, by=("day",), settings=ReportSettings(zone="Australia/Sydney"))
    assert (first["day"], first["attempts"]) == ("2026-03-03", 7)


def test_by_hour_and_month(database: Database) -> None:
    """Hours have attempts and promises, and no payments, which have none; months have both."""
    hours = {one["hour"]: one for one in rows(database, by=("hour",))}
    assert {hour: one["attempts"] for hour, one in hours.items() if one["attempts"]} == {
        "12": 4,
        "13": 3,
        "14": 1,
    }
    assert (hours["12"]["promises"], hours["12"]["recovered"]) == (3, None)
    [march] = rows(database, by=("month",))
    assert (march["month"], march["attempts"], march["recovered"]) == ("2026-03", 8, 105_000)


def test_filters(database: Database) -> None:
    """By days (both inclusive), campaign, product and agent; a payment counts once, however many lists have its account."""
    monday = dt.date(2026, 3, 2)
    [found] = rows(database, since=monday, until=monday)
    assert (found["attempts"], found["promises"], found["kept"], found["recovered"]) == (7, 3, 0, 0)
    [found] = rows(database, since=monday + dt.timedelta(days=1))
    assert (found["attempts"], found["promises"], found["kept"], found["recovered"]) == (1, 0, 1, 105_000)
    [found] = rows(database, only={"campaign": ("autumn",)})
    assert (found["attempts"], found["recovered"]) == (2, 5_000)
    [found] = rows(database, only={"product": ("tarjeta",)})
    assert (found["attempts"], found["promised"]) == (1, 30_000)
    [found] = rows(database, only={"agent": ("luis",)})
    assert (found["attempts"], found["contacts"], found["kept"], found["agent_s"]) == (2, 1, 1, 7200)
    [found] = rows(database, only={"campaign": ("spring", "autumn")})
    assert found["recovered"] == 105_000


def test_amounts_of_two_currencies_are_not_added_up(database: Database) -> None:
    """Where there are several, one is to be named, and the other's amounts are left out."""
    with database.write() as tx:
        account = write_another(tx)
        payments.receive(tx, [NewPayment(account, "U1", 900, "USD", "2026-03-03")], source="bank", now=MONDAY)
    with database.read() as tx:
        with pytest.raises(CommandRefusedError, match="MXN, USD: name one"):
            summary(tx, Asked(), NOW)
        [found] = summary(tx, Asked(currency="USD"), NOW).records()
    assert (found["recovered"], found["promised"]) == (900, 0)


def write_another(tx: Any) -> Any:
    """Write somebody who owes dollars; return the account."""
    from dialer_core.store import people
    from tests.store.rows import put_debtor

    debtor = put_debtor(tx, "+525510000099")
    people.update_account(tx, debtor.account, {"balance_minor": 5_000, "currency": "USD"})
    return debtor.account


def test_words_are_counted(database: Database) -> None:
    """Outcomes, dispositions and reasons with their shares, the most frequent first, by campaign where that is asked."""
    with database.read() as tx:
        assert breakdown(tx, Asked(), "reason").rows == [
            ("illness", 2, round(2 / 3, 6)),
            ("unwilling", 1, round(1 / 3, 6)),
        ]
        assert breakdown(tx, Asked(), "outcome").rows[0] == ("connected", 5, 0.625)
        told = breakdown(tx, Asked(by=("campaign",)), "disposition").rows
    assert ("autumn", "refuses", 1, 1.0) in told
    assert ("spring", "cuelga", 1, 0.25) in told


def test_the_best_hour_is_no_lucky_call(database: Database) -> None:
    """Hours are ranked by what their share is at least: two contacts of three come before one of one."""
    with database.read() as tx:
        found = list(best_hours(tx, Asked()).records())
    assert [(one["weekday"], one["hour"], one["contacts"], one["attempts"]) for one in found] == [
        ("mon", "12", 2, 3), ("tue", "12", 1, 1), ("mon", "13", 1, 3), ("mon", "14", 0, 1),
    ]  # fmt: skip
    assert found[0]["at_least"] == pytest.approx(0.2077, abs=1e-4)  # Wilson's interval for 2 of 3


def test_phones_and_their_faults(database: Database) -> None:
    """What was learned of the numbers, by portfolio and kind."""
    from dialer_core.store import people
    from tests.campaigns.lists import rows as rows_of

    with database.write() as tx:
        first, second, *_ = rows_of(tx, "phone")
        people.update_phone(tx, first["id"], {"failures": 2, "tries": 3, "answers": 0, "consent": False})
        people.update_phone(tx, second["id"], {"tries": 1, "answers": 1, "zones": ""})
        [found] = phones(tx, Asked()).records()
        assert phones(tx, Asked(only={"portfolio": ("other",)})).rows == []
    assert found == {
        "portfolio": "default", "kind": "mobile", "phones": 6, "tried": 2, "answered": 1, "answered_rate": 0.5, "faulty": 1, "dead": 1,
        "without_zone": 1, "refused": 1,
    }  # fmt: skip


def test_an_empty_store_has_a_row_of_nothing(migrated_url: str) -> None:
    """No attempts: counts are zero and rates are empty, not an error."""
    empty = open_database(migrated_url, clock=VirtualClock(NOW))
    with empty.read() as tx:
        [found] = summary(tx, Asked(), NOW).records()
    empty.dispose()
    assert (found["attempts"], found["answer_rate"], found["recovered"], found["kept_rate"]) == (
        0,
        None,
        0,
        None,
    )
