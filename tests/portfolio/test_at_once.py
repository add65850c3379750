"""A payment that comes while something else writes about the same account: on PostgreSQL both are under way at once, and neither undoes the other."""

import datetime as dt
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from dialer_core.campaigns import dispositions
from dialer_core.portfolio import payments, promises
from dialer_core.portfolio.payments import NewPayment
from dialer_core.portfolio.upkeep import PREVIEW
from dialer_core.store import account_leads, attempts, people
from dialer_core.store import promises as promise_rows
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import LeadState, Outcome, PromiseKind
from tests.campaigns.lists import NOON, Listed, put_lead, put_list_campaign, row_of, rows
from tests.campaigns.test_recycle import DAY, dial, end
from tests.polling import wait_until

pytestmark = pytest.mark.db

TODAY = NOON.date()
PAUSED = ("waiting", "payment", None)


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead that owes 1,000.00."""
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, ["+525500000001"])
        people.update_account(tx, found.account, {"balance_minor": 100_000, "currency": "MXN"})
    return found


def pay(tx: Tx, listed: Listed, amount: int, number: str = "P1") -> int:
    """Receive one payment."""
    one = NewPayment(listed.account, number, amount, "MXN", TODAY.isoformat())
    return payments.receive(tx, [one], source="bank", now=NOON)


def while_it_is_paid(database: Database, listed: Listed, amount: int, other: Callable[[Tx], object]) -> None:
    """Receive a payment, and let another transaction begin before it is committed: it waits for the payment, and goes on after it."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with database.write() as tx:
                other(tx)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    def waits() -> bool:
        with database.read() as tx:
            return bool(tx.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    thread = threading.Thread(target=run)
    with database.write() as tx:
        assert pay(tx, listed, amount) == 1
        thread.start()
        if database.dialect == "postgresql":
            wait_until(waits, 5.0, "the other transaction waits for the payment")
    thread.join()
    assert not failed


def state_of(database: Database, listed: Listed) -> tuple[str, str | None, str | None]:
    """Return what the lead's row says of it."""
    with database.read() as tx:
        row = row_of(tx, "lead", listed.lead)
    return row["state"], row["waiting_for"], row["finished_reason"]


def test_the_end_of_a_call(database: Database, listed: Listed) -> None:
    """A call that ends in that moment does not take the pause after the payment back (I12)."""
    with database.write() as tx:
        one = dial(tx)
    while_it_is_paid(database, listed, 100, lambda tx: end(tx, one.attempt_id, Outcome.NO_ANSWER))
    assert state_of(database, listed) == PAUSED


def test_an_agents_word(database: Database, listed: Listed) -> None:
    """Nor does an agent's word on a talk that is over."""
    with database.write() as tx:
        one = dial(tx)
        attempts.update(tx, one.attempt_id, agent_id="ana")
        end(tx, one.attempt_id, Outcome.CONNECTED, talked=True)

    def say(tx: Tx) -> LeadState:
        return dispositions.apply(
            tx, attempt_id=one.attempt_id, disposition="third_party", agent_id=dispositions.AgentId("ana"), now=NOON
        )  # fmt: skip

    with database.write() as tx:
        say(tx)
    while_it_is_paid(database, listed, 100, say)
    assert state_of(database, listed) == PAUSED


def test_the_end_of_a_preview(database: Database, listed: Listed) -> None:
    """Nor does the end of the time for which the lead was shown to an agent."""
    with database.write() as tx:
        account_leads.wait(tx, listed.account, PREVIEW, until_utc=NOON)
    while_it_is_paid(database, listed, 100, lambda tx: account_leads.reopen_due(tx, PREVIEW, NOON + DAY))
    assert state_of(database, listed) == PAUSED


def test_a_promise_that_is_late(database: Database, listed: Listed) -> None:
    """A promise that is paid in the moment in which it would be broken is kept."""
    with database.write() as tx:
        promises.make(
            tx, account_id=listed.account, instalments=[(TODAY, 30_000)], kind=PromiseKind.AGREEMENT, now=NOON, grace_days=0
        )  # fmt: skip
    while_it_is_paid(database, listed, 30_000, lambda tx: promises.break_overdue(tx, TODAY + DAY, NOON + DAY))
    with database.read() as tx:
        assert [row["state"] for row in rows(tx, "promise")] == ["kept"]
    assert state_of(database, listed) == PAUSED


def test_another_payment(database: Database, listed: Listed) -> None:
    """Of two payments at once both are taken from what is owed, and the same one counts once."""

    def pay_two(tx: Tx) -> None:
        assert pay(tx, listed, 30_000, "P1") == 0
        assert pay(tx, listed, 20_000, "P2") == 1

    while_it_is_paid(database, listed, 30_000, pay_two)
    with database.read() as tx:
        assert row_of(tx, "account", listed.account)["balance_minor"] == 50_000


def test_promises_in_their_grace_are_not_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many instalments are late but within their promise's grace, only what is to be broken now is read, and no more than was asked for."""
    read: list[int] = []
    of_rows = promise_rows._with_instalments

    def counted(tx: Tx, found: object) -> list[promise_rows.PromiseRow]:
        made = of_rows(tx, found)
        read.append(len(made))
        return made

    with database.write() as tx:
        put_list_campaign(tx)
        for n in range(9):
            account = put_lead(tx, [f"+52550000000{n}"]).account
            promises.make(
                tx, account_id=account, instalments=[(TODAY, 100), (TODAY + DAY, 100)], kind=PromiseKind.AGREEMENT, now=NOON,
                grace_days=[0, 2, 31][n % 3],
            )  # fmt: skip
        monkeypatch.setattr(promise_rows, "_with_instalments", counted)
        for day, late in ((0, 0), (1, 3), (2, 3), (3, 6), (31, 6), (32, 9)):
            assert len(promise_rows.overdue(tx, TODAY + dt.timedelta(days=day), 100)) == late
        assert len(promise_rows.overdue(tx, TODAY + dt.timedelta(days=40), 4)) == 4
    assert read == [0, 3, 3, 6, 6, 9, 4]
