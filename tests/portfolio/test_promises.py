"""Promises stop the calls about an account until they are kept or broken; payments count once and stop what they pay for."""

import datetime as dt

import pytest

from dialer_core.campaigns import dispositions, recycle
from dialer_core.errors import CommandRefusedError
from dialer_core.portfolio import payments, promises
from dialer_core.portfolio.payments import NewPayment
from dialer_core.store import attempts, people, restrictions
from dialer_core.store import promises as promise_rows
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, Disposition, LeadState, Outcome, PromiseKind
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    Listed,
    put_lead,
    put_list_campaign,
    row_of,
    rows,
    settings_of,
)
from tests.campaigns.test_recycle import OPEN, dial

pytestmark = pytest.mark.db

TODAY = NOON.date()
DAY = dt.timedelta(days=1)
ANA = AgentId("ana")


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead that owes 1,000.00."""
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, ["+525500000001"])
        people.update_account(tx, found.account, {"balance_minor": 100_000, "currency": "MXN"})
    return found


def promise(
    tx: Tx, listed: Listed, *amounts: int, kind: PromiseKind = PromiseKind.AGREEMENT, **more: object
) -> promise_rows.PromiseRow:
    """Promise amounts for tomorrow, the day after it, and so on."""
    instalments = [(TODAY + DAY * (1 + nth), amount) for nth, amount in enumerate(amounts)]
    return promises.make(tx, account_id=listed.account, instalments=instalments, kind=kind, now=NOON, **more)  # type: ignore[arg-type]


def pay(tx: Tx, listed: Listed, amount: int, number: str = "P1", at: dt.datetime = NOON) -> int:
    """Receive one payment."""
    one = NewPayment(listed.account, number, amount, "MXN", at.date().isoformat())
    return payments.receive(tx, [one], source="bank", now=at)


def state_of(tx: Tx, listed: Listed) -> tuple[str, str | None, str | None]:
    """Return what the lead's row says of it."""
    row = row_of(tx, "lead", listed.lead)
    return row["state"], row["waiting_for"], row["finished_reason"]


def test_a_promise_stops_calls_until_it_is_kept(database: Database, listed: Listed) -> None:
    """Between the promise and its last instalment nothing is claimed; kept, what is still owed is dialed after the pause (I12)."""
    with database.write() as tx:
        made = promise(tx, listed, 30_000, 20_000)
        assert state_of(tx, listed) == ("waiting", "promise", None)
        pay(tx, listed, 30_000)
        assert state_of(tx, listed) == ("waiting", "promise", None)
        pay(tx, listed, 20_000, "P2", NOON + DAY)
        [stored] = rows(tx, "promise")
        assert (stored["id"], stored["state"]) == (made.id, "kept")
        assert state_of(tx, listed) == ("waiting", "payment", None)
        assert payments.end_pauses(tx, NOON + DAY) == 0
        assert payments.end_pauses(tx, NOON + DAY + payments.PAUSE) == 1
        assert state_of(tx, listed) == ("dialable", None, None)
        assert row_of(tx, "account", listed.account)["balance_minor"] == 50_000
        assert [row["promise_id"] for row in rows(tx, "payment")] == [made.id, made.id]


def test_a_broken_promise_brings_the_lead_back(database: Database, listed: Listed) -> None:
    """A promise is broken the day after its grace, not before, and its lead is dialable again."""
    with database.write() as tx:
        promise(tx, listed, 30_000, 20_000, grace_days=2)
        pay(tx, listed, 29_999)
        assert promises.break_overdue(tx, TODAY + 3 * DAY, NOON) == 0
        assert state_of(tx, listed) == ("waiting", "promise", None)
        assert promises.break_overdue(tx, TODAY + 4 * DAY, NOON) == 1
        assert promises.break_overdue(tx, TODAY + 4 * DAY, NOON) == 0
        assert state_of(tx, listed) == ("dialable", None, None)
        assert rows(tx, "promise")[0]["state"] == "broken"


def test_a_settlement_kept_finishes_the_account(database: Database, listed: Listed) -> None:
    """Paying what a settlement asks for leaves nothing owed, though it is less than the balance was."""
    with database.write() as tx:
        promise(tx, listed, 60_000, kind=PromiseKind.SETTLEMENT)
        pay(tx, listed, 60_000)
        account = row_of(tx, "account", listed.account)
        assert (account["balance_minor"], account["status"]) == (0, "paid")
        assert state_of(tx, listed) == ("finished", None, "paid")


def test_a_payment_behind_a_settlement_in_one_file(database: Database, listed: Listed) -> None:
    """What is paid beyond a settlement is paid too much: the debt that it forgave does not come back."""
    with database.write() as tx:
        promise(tx, listed, 60_000, kind=PromiseKind.SETTLEMENT)
        day = TODAY.isoformat()
        two = [
            NewPayment(listed.account, name, amount, "MXN", day)
            for name, amount in (("P1", 60_000), ("P2", 100))
        ]
        payments.receive(tx, two, source="bank", now=NOON)
        account = row_of(tx, "account", listed.account)
        assert (account["balance_minor"], account["status"]) == (-100, "paid")


def test_a_second_promise_replaces_the_first(database: Database, listed: Listed) -> None:
    """An account has one open promise at most, and payments count for that one."""
    with database.write() as tx:
        first, second = promise(tx, listed, 30_000), promise(tx, listed, 10_000)
        pay(tx, listed, 10_000)
        found = {row["id"]: row["state"] for row in rows(tx, "promise")}
        assert found == {first.id: "replaced", second.id: "kept"}


@pytest.mark.parametrize(
    "said",
    [Disposition.PROMISE, Disposition.RIGHT_PARTY, Disposition.CALLBACK, Disposition.WRONG_NUMBER, None],
)
def test_a_promise_made_while_talking(database: Database, listed: Listed, said: Disposition | None) -> None:
    """A promise written down in a conversation keeps the lead after it, whatever the agent calls it: it is neither dialed nor lost (I12)."""
    with database.write() as tx:
        one = dial(tx)
        promise(tx, listed, 30_000, agent_id=ANA, attempt_id=one.attempt_id)
        assert state_of(tx, listed)[0] == "in_attempt"
        attempts.update(tx, one.attempt_id, agent_id="ana")
        if said is not None:
            dispositions.apply(tx, attempt_id=one.attempt_id, disposition=said, agent_id=ANA, now=NOON)
        attempts.end(tx, one.attempt_id, outcome=Outcome.CONNECTED, at_utc=NOON, at_mono_ns=1)
        state = recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.CONNECTED, live_answer=True, abandoned=False,
            talked=True, settings=settings_of(), pack=OPEN, now=NOON,
        )  # fmt: skip
        assert state is LeadState.WAITING
        assert state_of(tx, listed) == ("waiting", "promise", None)


def test_a_promise_made_elsewhere_stops_what_rings(database: Database, listed: Listed) -> None:
    """Written down without a conversation while a call rings: it is to be cancelled, and its end does not make the lead dialable (I12)."""
    with database.write() as tx:
        one = dial(tx)
        promise(tx, listed, 30_000)
        assert restrictions.forbidden_live_attempts(tx, NOON) == [one.attempt_id]
        attempts.end(tx, one.attempt_id, outcome=Outcome.NO_ANSWER, at_utc=NOON, at_mono_ns=1)
        recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.NO_ANSWER, live_answer=False, abandoned=False,
            talked=False, settings=settings_of(), pack=OPEN, now=NOON,
        )  # fmt: skip
        assert state_of(tx, listed) == ("waiting", "promise", None)


@pytest.mark.parametrize("said", [Disposition.THIRD_PARTY, Disposition.CALLBACK])
@pytest.mark.parametrize(
    ("amount", "left"), [(100_000, ("finished", None, "paid")), (40_000, ("waiting", "payment", None))]
)
def test_a_word_after_a_payment_does_not_bring_calls_back(
    database: Database,
    listed: Listed,
    said: Disposition,
    amount: int,
    left: tuple[str, str | None, str | None],
) -> None:
    """The payment came while they talked: what the agent says in the wrap-up changes nothing of what it has done."""
    with database.write() as tx:
        one = dial(tx)
        attempts.update(tx, one.attempt_id, agent_id="ana")
        pay(tx, listed, amount)
        attempts.end(tx, one.attempt_id, outcome=Outcome.CONNECTED, at_utc=NOON, at_mono_ns=1)
        recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.CONNECTED, live_answer=True, abandoned=False,
            talked=True, settings=settings_of(), pack=OPEN, now=NOON,
        )  # fmt: skip
        at = NOON + DAY if amount == 100_000 and said is Disposition.CALLBACK else None
        dispositions.apply(
            tx, attempt_id=one.attempt_id, disposition=said, agent_id=ANA, now=NOON, callback_at=at
        )
        assert state_of(tx, listed) == left
        assert rows(tx, "callback") == []


@pytest.mark.parametrize(("amount", "left"), [(100_000, "finished"), (40_000, "waiting")])
def test_a_payment_stops_what_rings(database: Database, listed: Listed, amount: int, left: str) -> None:
    """A call that rings when the payment comes is to be cancelled, and stays where the payment put its lead (I12)."""
    with database.write() as tx:
        one = dial(tx)
        assert restrictions.forbidden_live_attempts(tx, NOON) == []
        pay(tx, listed, amount)
        assert restrictions.forbidden_live_attempts(tx, NOON) == [one.attempt_id]
        attempts.end(tx, one.attempt_id, outcome=Outcome.CANCELLED, at_utc=NOON, at_mono_ns=1)
        recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.CANCELLED, live_answer=False, abandoned=False,
            talked=False, settings=settings_of(), pack=OPEN, now=NOON,
        )  # fmt: skip
        assert state_of(tx, listed)[0] == left


def test_a_payment_counts_once_and_can_be_taken_back(database: Database, listed: Listed) -> None:
    """The same number again changes nothing; one taken back opens the account that it had paid."""
    with database.write() as tx:
        assert pay(tx, listed, 100_000) == 1
        assert pay(tx, listed, 100_000) == 0
        assert state_of(tx, listed) == ("finished", None, "paid")
        assert pay(tx, listed, -100_000, "P1-back") == 1
        account = row_of(tx, "account", listed.account)
        assert (account["balance_minor"], account["status"]) == (100_000, "open")
        assert state_of(tx, listed) == ("dialable", None, None)


def test_a_payment_of_one_campaign_stops_every_list(database: Database, listed: Listed) -> None:
    """An account on two campaigns' lists is finished on both."""
    with database.write() as tx:
        put_list_campaign(tx, "autumn")
        lead = dict(row_of(tx, "lead", listed.lead)) | {"id": listed.account, "campaign_id": "autumn"}
        tx.execute(people._ACCOUNT.metadata.tables["lead"].insert(), lead)
        pay(tx, listed, 100_000)
        assert {(row["campaign_id"], row["state"]) for row in rows(tx, "lead")} == {
            (CAMPAIGN, "finished"),
            ("autumn", "finished"),
        }


@pytest.mark.parametrize(
    "instalments", [[], [(TODAY + DAY, 0)], [(TODAY + 2 * DAY, 5), (TODAY + DAY, 5)], [(TODAY - 2 * DAY, 5)]]
)
def test_senseless_promises_are_refused(
    database: Database, listed: Listed, instalments: list[tuple[dt.date, int]]
) -> None:
    """No instalments, nothing to pay, days out of order or past: refused, and nothing is written."""
    with database.write() as tx:
        with pytest.raises(CommandRefusedError):
            promises.make(
                tx, account_id=listed.account, instalments=instalments, kind=PromiseKind.AGREEMENT, now=NOON
            )
        assert rows(tx, "promise") == []


def test_a_payment_taken_back_ends_its_pause_but_brings_no_withdrawn_account_back(
    database: Database, listed: Listed
) -> None:
    """A part payment that is reversed pauses nothing any more; what the creditor has taken back stays so, whatever is reversed."""
    with database.write() as tx:
        pay(tx, listed, 10_000)
        assert state_of(tx, listed) == ("waiting", "payment", None)
        pay(tx, listed, -10_000, "P2")
        assert state_of(tx, listed) == ("dialable", None, None)
        people.update_account(tx, listed.account, {"status": "withdrawn"})
        pay(tx, listed, -5_000, "P3")
        assert row_of(tx, "account", listed.account)["status"] == "withdrawn"


def test_a_pause_after_a_payment_keeps_the_hour_somebody_asked_for(
    database: Database, listed: Listed
) -> None:
    """They pay a part and have asked to be called in a week: the pause of three days ends, and they are called in a week."""
    asked = NOON + 7 * DAY
    with database.write() as tx:
        one = dial(tx)
        attempts.update(tx, one.attempt_id, agent_id=ANA)
        dispositions.apply(
            tx, attempt_id=one.attempt_id, disposition=Disposition.CALLBACK, agent_id=ANA, now=NOON, callback_at=asked
        )  # fmt: skip
        attempts.end(tx, one.attempt_id, outcome=Outcome.CONNECTED, at_utc=NOON, at_mono_ns=1)
        recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.CONNECTED, live_answer=True, abandoned=False, talked=True,
            settings=settings_of(), pack=OPEN, now=NOON,
        )  # fmt: skip
        pay(tx, listed, 10_000)
        assert payments.end_pauses(tx, NOON + payments.PAUSE) == 1
        lead = row_of(tx, "lead", listed.lead)
        assert (lead["state"], lead["next_at_utc"]) == ("dialable", asked + dispositions.PERSONAL_FOR)
        promise(tx, listed, 5_000)
        promises.cancel(tx, promise_rows.open_of(tx, [listed.account])[listed.account], NOON)
        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == asked + dispositions.PERSONAL_FOR
