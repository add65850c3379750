"""The gate over a real store: what it refuses and why, what it proves, what it reserves, and that it fails closed."""

import datetime as dt
import threading
from typing import Any

import pytest
import structlog.testing

from dialer_core.compliance import gate, windows
from dialer_core.compliance.facts import REMINDER, ContactRequest
from dialer_core.compliance.gate import Allowed, Refused, may_contact
from dialer_core.compliance.rules import RulePack
from dialer_core.portfolio import promises
from dialer_core.store import people
from dialer_core.store.database import Database
from dialer_core.vocabulary import Channel, PhoneId, PromiseKind
from tests.campaigns.lists import (
    CAMPAIGN,
    MEXICO_CITY,
    NOON,
    Listed,
    put_contact,
    put_lead,
    put_list_campaign,
    put_restriction,
    rows,
)
from tests.compliance.packs_for_tests import cap, pack_of, packaged

pytestmark = pytest.mark.db

MX = packaged("mx")
DAY = dt.timedelta(days=1)


def request_of(listed: Listed, **changes: Any) -> ContactRequest:
    """Return a call to a lead's first number at noon."""
    fields: dict[str, Any] = {
        "person_id": listed.person,
        "account_id": listed.account,
        "channel": Channel.VOICE,
        "address": listed.numbers[0],
        "phone_id": listed.phones[0],
        "zones": (MEXICO_CITY,),
        "purpose": "collection",
        "campaign_id": CAMPAIGN,
        "at": NOON,
    }
    return ContactRequest(**(fields | changes))


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead of a stored campaign."""
    with database.write() as tx:
        put_list_campaign(tx)
        return put_lead(tx, ["+525512345678"])


def refusal(database: Database, request: ContactRequest, pack: RulePack | None = MX) -> Refused:
    """Ask, and expect a refusal that leaves no trace in the ledger."""
    with database.write() as tx:
        before = len(rows(tx, "contact"))
        decision = may_contact(tx, request, pack)
        assert len(rows(tx, "contact")) == before
    assert isinstance(decision, Refused)
    return decision


def test_an_allowed_contact_is_reserved_with_its_evidence(database: Database, listed: Listed) -> None:
    """The contact is in the ledger as reserved, and the evidence says pack, version, zone, window, counts and what was checked (I11)."""
    with database.write() as tx:
        decision = may_contact(tx, request_of(listed), MX)
        assert isinstance(decision, Allowed)
        [contact] = rows(tx, "contact")
    assert contact["id"] == decision.reservation
    assert contact["settlement"] == "reserved"
    assert contact["at_utc"] == NOON
    assert contact["address"] == "+525512345678"
    evidence = decision.evidence
    assert (evidence["rule_pack"], evidence["version"], evidence["verified"]) == ("mx", MX.version, False)
    assert evidence["zones"] == {MEXICO_CITY: "Tue 2025-03-04 12:00:00-0600"}
    assert evidence["windows"] == {MEXICO_CITY: "07:00-22:00"}
    assert evidence["counts"]["account_7_in_7"] == [0, 7]
    assert evidence["restrictions"] == {"checked": ["person", "account", "number", "phone"], "in_force": 0}
    assert "5512345678" not in str(evidence)


def test_a_refusal_out_of_hours_says_until_when(database: Database, listed: Listed) -> None:
    """At 22:14 in Tijuana `mx` refuses in words and names tomorrow 07:00 there."""
    at = dt.datetime(2025, 3, 5, 6, 14, tzinfo=dt.UTC)
    found = refusal(database, request_of(listed, zones=("America/Tijuana",), at=at))
    assert found.rule == "window"
    assert found.version == MX.version
    assert found.reason == "22:14 in America/Tijuana, allowed 07:00-22:00 by mx"
    assert found.allowed_from == dt.datetime(2025, 3, 5, 15, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("kind", "scope", "which"),
    [
        ("do_not_call", "number", lambda listed: listed.numbers[0]),
        ("attorney", "person", lambda listed: listed.person),
        ("dispute", "account", lambda listed: listed.account),
        ("wrong_number", "phone", lambda listed: listed.phones[0]),
    ],
)
def test_restrictions_of_every_scope(
    database: Database, listed: Listed, kind: str, scope: str, which: Any
) -> None:
    """A restriction on the number, person, account or phone refuses for good under its kind's name (I12)."""
    with database.write() as tx:
        put_restriction(tx, kind, scope, which(listed))
    found = refusal(database, request_of(listed))
    assert found.rule == kind
    assert found.allowed_from is None
    assert "for good" in found.reason


def test_restrictions_that_do_not_concern(database: Database, listed: Listed) -> None:
    """Another channel's, another number's, an ended and a future restriction leave the call alone."""
    with database.write() as tx:
        put_restriction(tx, "refused_channel", "person", listed.person, channel="sms")
        put_restriction(tx, "do_not_call", "number", "+525500000000")
        put_restriction(tx, "hardship", "person", listed.person, until_utc=NOON)
        put_restriction(tx, "hardship", "person", listed.person, from_utc=NOON + DAY)
        assert isinstance(may_contact(tx, request_of(listed), MX), Allowed)
        refused = may_contact(tx, request_of(listed, channel=Channel.SMS), MX)
    assert isinstance(refused, Refused)
    assert refused.rule == "refused_channel"


def test_a_restriction_with_an_end_and_the_window_after_it(database: Database, listed: Listed) -> None:
    """Locked until Saturday noon, the person may be called from Monday 07:00: the end is carried to the next window."""
    until = dt.datetime(2025, 3, 8, 18, 0, tzinfo=dt.UTC)
    with database.write() as tx:
        put_restriction(tx, "abandonment_lock", "person", listed.person, until_utc=until)
    found = refusal(database, request_of(listed))
    assert found.rule == "abandonment_lock"
    assert found.allowed_from == dt.datetime(2025, 3, 10, 13, 0, tzinfo=dt.UTC)


def test_the_eighth_call_in_seven_days(database: Database, listed: Listed) -> None:
    """After seven counted calls about the account, `mx` refuses until the first is seven days old and the window is open."""
    with database.write() as tx:
        for days in (6, 5, 4, 3, 2, 1, 0):  # a call a day, at 11:30 in Mexico City
            put_contact(tx, listed, NOON - days * DAY - dt.timedelta(minutes=30))
    found = refusal(database, request_of(listed))
    assert found.rule == "account_7_in_7"
    assert "7 contacts with this account in 7 days, at most 7 by mx" in found.reason
    assert found.allowed_from == NOON + DAY - dt.timedelta(minutes=30)


def test_reserved_counts_and_void_does_not(database: Database, listed: Listed) -> None:
    """A call under way counts like a settled one; one that never reached the number does not."""
    pack = pack_of(caps=[cap("two", "account", 2, rolling_days=1)])
    with database.write() as tx:
        put_contact(tx, listed, NOON - DAY / 4, settlement="void")
        put_contact(tx, listed, NOON - DAY / 4, settlement="reserved")
        assert isinstance(may_contact(tx, request_of(listed), pack), Allowed)
        assert isinstance(may_contact(tx, request_of(listed), pack), Refused)


def test_one_ledger_for_every_channel(database: Database, listed: Listed) -> None:
    """A weekly ceiling over all channels counts a WhatsApp against a call, and a call against an SMS."""
    pack = pack_of(caps=[cap("week", "person", 2, rolling_days=7)])
    with database.write() as tx:
        put_contact(tx, listed, NOON - DAY, channel="whatsapp", account_id=None)
        put_contact(tx, listed, NOON - DAY, channel="voice")
        for channel in (Channel.VOICE, Channel.SMS):
            assert isinstance(may_contact(tx, request_of(listed, channel=channel), pack), Refused)


def test_caps_per_number_count_whoever_was_called(database: Database, listed: Listed) -> None:
    """Two people share a number: a cap per address counts the calls to either."""
    pack = pack_of(caps=[cap("number", "address", 1, rolling_days=1)])
    with database.write() as tx:
        other = put_lead(tx, listed.numbers)
        put_contact(tx, other, NOON - DAY / 2)
        decision = may_contact(tx, request_of(listed), pack)
    assert isinstance(decision, Refused)
    assert decision.rule == "number"


def test_quiet_on_the_day_of_a_conversation(database: Database, listed: Listed) -> None:
    """After a conversation today, `mx` leaves the account alone until tomorrow's window."""
    with database.write() as tx:
        put_contact(tx, listed, NOON - dt.timedelta(hours=2), conversation=True)
    found = refusal(database, request_of(listed))
    assert found.rule == "account_after_conversation"
    assert found.allowed_from == dt.datetime(2025, 3, 5, 13, 0, tzinfo=dt.UTC)


def test_without_a_pack_or_a_zone_it_is_refused(database: Database, listed: Listed) -> None:
    """A campaign whose pack is not loaded, and a number whose zone is unknown, are refused."""
    assert refusal(database, request_of(listed), None).rule == "rule_pack"
    found = refusal(database, request_of(listed, zones=()), packaged("demo"))
    assert found.rule == "zone_unknown"
    assert found.allowed_from is None


def test_a_fault_of_ours_refuses_and_is_logged(
    database: Database, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception inside the decision is a refusal, tried again later, with ids and no number in the log (I17)."""

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(windows, "closed", fail)
    with structlog.testing.capture_logs() as logs:
        found = refusal(database, request_of(listed))
    assert found.rule == "gate_error"
    assert found.allowed_from == NOON + gate.FAULT_PAUSE
    [entry] = [one for one in logs if one["event"] == "gate_failed"]
    assert entry["person_id"] == listed.person
    assert "5512345678" not in str(entry)


def test_an_unknown_zone_name_is_a_fault_and_refused(database: Database, listed: Listed) -> None:
    """A zone that does not exist cannot be shown to be open: refused, not skipped."""
    assert refusal(database, request_of(listed, zones=("America/Nowhere",))).rule == "gate_error"


def test_messages_without_a_phone_of_ours_are_checked_too(database: Database, listed: Listed) -> None:
    """An e-mail has no phone id: person, account and address are still looked up."""
    request = request_of(listed, channel=Channel.EMAIL, address="someone@example.test", phone_id=None)
    with database.write() as tx:
        decision = may_contact(tx, request, MX)
    assert isinstance(decision, Allowed)
    assert decision.evidence["restrictions"]["checked"] == ["person", "account", "number"]


def test_two_askers_never_share_the_last_one(database: Database, listed: Listed) -> None:
    """Eight transactions at once ask for a person with room for three: three are allowed, on either database."""
    pack = pack_of(caps=[cap("three", "person", 3, rolling_days=7)])
    start = threading.Barrier(8)
    decisions: list[Allowed | Refused] = []

    def ask(number: int) -> None:
        start.wait()
        with database.write(f"asker{number}") as tx:
            decisions.append(may_contact(tx, request_of(listed, phone_id=PhoneId(listed.phones[0])), pack))

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(30)
    assert sum(isinstance(one, Allowed) for one in decisions) == 3
    assert len(decisions) == 8
    with database.read() as tx:
        assert len(rows(tx, "contact")) == 3


@pytest.mark.parametrize("status", ["paid", "withdrawn"])
def test_an_account_that_is_not_open_is_not_contacted(
    database: Database, listed: Listed, status: str
) -> None:
    """Nobody is contacted about an account that is paid or withdrawn, by any channel, whoever put it on whatever list (I12)."""
    with database.write() as tx:
        people.update_account(tx, listed.account, {"status": status})
    for channel in (Channel.VOICE, Channel.SMS):
        answer = refusal(database, request_of(listed, channel=channel))
        assert (answer.rule, answer.allowed_from) == (status, None)


def test_an_open_promise_lets_its_reminders_through_and_nothing_else(
    database: Database, listed: Listed
) -> None:
    """An account with an open promise is not collected; a reminder of that promise may be sent (I12)."""
    with database.write() as tx:
        day = NOON.date() + DAY
        promises.make(
            tx, account_id=listed.account, instalments=[(day, 100)], kind=PromiseKind.AGREEMENT, now=NOON
        )
    assert refusal(database, request_of(listed)).rule == "promise"
    with database.write() as tx:
        reminder = request_of(listed, purpose=REMINDER, channel=Channel.SMS)
        assert isinstance(may_contact(tx, reminder, MX), Allowed)
