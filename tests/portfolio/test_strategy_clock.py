"""The strategy clock: each step when it is due, over restarts and beside others, until something is paid, promised, refused or said."""

import asyncio
import datetime as dt
from typing import Any

import pytest

from dialer_core.campaigns import callbacks_asked
from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError, StoreError
from dialer_core.portfolio import payments, promises, strategy_clock
from dialer_core.portfolio.payments import NewPayment
from dialer_core.store import account_leads, events, people, restrictions, strategy_runs
from dialer_core.store.database import Database, open_database
from dialer_core.store.strategy_runs import Run, Step
from dialer_core.store.tx import Tx
from dialer_core.verify.leads import CHECKS
from dialer_core.verify.subject import Subject
from dialer_core.vocabulary import CampaignId, Outcome, PromiseKind, RestrictionKind, RestrictionScope
from tests.campaigns.lists import CAMPAIGN, NOON, TABLES, Listed, put_lead, put_list_campaign, row_of, rows
from tests.campaigns.test_recycle import dial, end

pytestmark = pytest.mark.db

DAY = dt.timedelta(days=1)
STEPS = [Step(0, "sms", {"template": "t1"}), Step(86_400, "call"), Step(86_400, "sms", {"template": "t2"})]


@pytest.fixture
def clocked(database_url: str) -> Any:
    """Return a migrated database whose clock stands still until it is moved."""
    clock = VirtualClock(NOON)
    database = open_database(database_url, clock=clock)
    database.migrate()
    yield database, clock
    database.dispose()


@pytest.fixture
def listed(clocked: tuple[Database, VirtualClock]) -> Listed:
    """Return a lead whose strategy has begun: it waits for its call."""
    database, _ = clocked
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, ["+525500000001"])
        people.update_account(tx, found.account, {"balance_minor": 100_000, "currency": "MXN"})
        strategy_clock.start(
            tx, account_id=found.account, strategy="soft", steps=STEPS, now=NOON, campaign_id=CAMPAIGN
        )
    return found


class Sent:
    """Takes messages, and fails when it is told to."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, int]] = []
        self.fails = False

    async def __call__(self, _database: Database, run: Run) -> None:
        """Send, or fail."""
        if self.fails:
            raise StoreError("the provider is away")
        self.keys.append((str(run.step.data["template"]), run.position))


def turn(database: Database, sent: Sent, owner: str = "node1") -> int:
    """Do what is due."""
    return asyncio.run(strategy_clock.run_due(database, {**strategy_clock.ACTIONS, "sms": sent}, owner))


def broken(tx: Tx) -> list[str]:
    """Return what is wrong with leads."""
    subject = Subject(tx, packs=None, trunks=None, carrier_calls=None, logs=(), now=NOON)
    return [str(one) for check in CHECKS if check.whole for one in check.whole(subject)]


def state_of(tx: Tx) -> tuple[str, str | None]:
    """Return the last run's state and why it stopped."""
    row = rows(tx, "strategy_run")[-1]
    return row["state"], row["stopped_because"]


def test_each_step_comes_when_it_is_due(clocked: tuple[Database, VirtualClock], listed: Listed) -> None:
    """A message, a day later the lead is dialable, a day later the last message; each is told, and nothing comes twice."""
    database, clock = clocked
    sent = Sent()
    assert [turn(database, sent) for _ in range(2)] == [1, 0]
    with database.read() as tx:
        assert row_of(tx, "lead", listed.lead)["state"] == "waiting"
    clock.set_elapsed_s(86_399)
    assert turn(database, sent) == 0
    clock.set_elapsed_s(86_400)
    assert turn(database, sent) == 1
    with database.read() as tx:
        assert row_of(tx, "lead", listed.lead)["state"] == "dialable"
    clock.set_elapsed_s(2 * 86_400)
    assert [turn(database, sent) for _ in range(2)] == [1, 0]
    assert sent.keys == [("t1", 0), ("t2", 2)]
    with database.read() as tx:
        told = [(one.data["what"], one.data["last"]) for one in events.tail(tx, {}, ["strategy.step_done"])]
        assert told == [("sms", False), ("call", False), ("sms", True)]
        assert state_of(tx) == ("done", None)


def test_a_step_of_one_who_died_is_done_again_after_its_lease(
    clocked: tuple[Database, VirtualClock], listed: Listed
) -> None:
    """While it is leased nobody else takes it; afterwards another does, and the first one's late word changes nothing."""
    del listed
    database, clock = clocked
    sent = Sent()
    with database.write() as tx:
        [dead] = strategy_runs.take_due(tx, NOON, "node1", strategy_clock.LEASE, 10)
    assert turn(database, sent, "node2") == 0
    clock.set_elapsed_s(strategy_clock.LEASE.total_seconds())
    with database.write() as tx:
        [mine] = strategy_runs.take_due(tx, database.clock.utc(), "node1", strategy_clock.LEASE, 10)
        assert mine.tries == 2
        assert not strategy_runs.done(tx, dead, NOON)  # the same node, an older lease
        assert strategy_runs.done(tx, mine, NOON)
        assert not strategy_runs.done(tx, mine, NOON)


def test_a_step_that_fails_is_tried_again_and_given_up_at_last(
    clocked: tuple[Database, VirtualClock], listed: Listed
) -> None:
    """With growing pauses, so many times; then the strategy stops and says so. Nothing that is not known is skipped over."""
    del listed
    database, clock = clocked
    sent = Sent()
    sent.fails = True
    taken, at = 0, 0.0
    while at < 6 * 3600:
        taken += turn(database, sent)
        at += 60
        clock.set_elapsed_s(at)
    assert taken == strategy_clock.MOST_TRIES
    with database.read() as tx:
        assert state_of(tx) == ("stopped", "failed")
        [told] = events.tail(tx, {}, ["strategy.stopped"])
        assert told.data["reason"] == "failed"
    assert sent.keys == []


@pytest.mark.parametrize("what", ["payment", "promise", "do_not_call", "contact", "withdrawn"])
def test_it_stops_when_there_is_no_more_reason(
    clocked: tuple[Database, VirtualClock], listed: Listed, what: str
) -> None:
    """A payment, a promise, a restriction for good, a conversation, an account taken back: no further step is done."""
    database, clock = clocked
    sent = Sent()
    turn(database, sent)
    with database.write() as tx:
        if what == "payment":
            paid = NewPayment(listed.account, "P1", 1_000, "MXN", "2025-03-04")
            payments.receive(tx, [paid], source="bank", now=NOON)
        elif what == "promise":
            day = (NOON + DAY).date()
            promises.make(
                tx, account_id=listed.account, instalments=[(day, 5)], kind=PromiseKind.AGREEMENT, now=NOON
            )
        elif what == "do_not_call":
            restrictions.add(
                tx,
                RestrictionKind.DO_NOT_CALL,
                RestrictionScope.PERSON,
                listed.person,
                source="t",
                from_utc=NOON,
            )
        elif what == "contact":
            account_leads.call_now(tx, listed.account, CampaignId(CAMPAIGN), NOON)
            end(tx, dial(tx).attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
        else:
            people.update_account(tx, listed.account, {"status": "withdrawn"})
    clock.set_elapsed_s(3 * 86_400)
    assert [turn(database, sent) for _ in range(2)] in ([0, 0], [1, 0])
    assert sent.keys == [("t1", 0)]
    with database.read() as tx:
        assert state_of(tx) == ("stopped", what)
        assert row_of(tx, "lead", listed.lead)["waiting_for"] != account_leads.STRATEGY
        assert not broken(tx)


def test_a_lead_waits_only_for_a_call_that_comes(clocked: tuple[Database, VirtualClock]) -> None:
    """Messages alone hold nobody back, nor one who asked to be called; who asks later is called before the strategy's turn."""
    database, _ = clocked
    with database.write() as tx:
        put_list_campaign(tx)
        written, asked, asks = (put_lead(tx, [f"+52550000000{n}"]) for n in range(3))
        tomorrow = NOON + DAY
        ask = {"campaign_id": CampaignId(CAMPAIGN), "at_utc": tomorrow, "now": NOON, "actor": "t"}
        callbacks_asked.ask(tx, account_id=asked.account, **ask)  # type: ignore[arg-type]
        for one, steps in ((written, STEPS[:1]), (asked, STEPS), (asks, STEPS)):
            strategy_clock.start(tx, account_id=one.account, strategy="soft", steps=steps, now=NOON)

        def states() -> list[str]:
            return [row_of(tx, "lead", one.lead)["state"] for one in (written, asked, asks)]

        assert states() == ["dialable", "dialable", "waiting"]
        callbacks_asked.ask(tx, account_id=asks.account, **ask)  # type: ignore[arg-type]
        assert states() == ["dialable"] * 3
        assert row_of(tx, "lead", asks.lead)["next_at_utc"] == tomorrow
        strategy_runs.stop(tx, "command", accounts=[asks.account])
        assert row_of(tx, "lead", asks.lead)["next_at_utc"] == tomorrow
        assert not broken(tx)
        tx.execute(TABLES["lead"].update().values(state="waiting", waiting_for=account_leads.STRATEGY))
        assert len(broken(tx)) == 2, "the strategy of one runs and has its call ahead"


def test_what_passes_does_not_stop_it(clocked: tuple[Database, VirtualClock], listed: Listed) -> None:
    """A lock for some days, hours that do not suit, a payment taken back: the strategy goes on."""
    database, _ = clocked
    with database.write() as tx:
        for more in ({"until_utc": NOON + DAY}, {"hours": "mon-fri 09:00-17:00"}):
            restrictions.add(
                tx, RestrictionKind.INCONVENIENT_HOURS, RestrictionScope.PERSON, listed.person, source="t", from_utc=NOON, **more
            )  # type: ignore[arg-type]  # fmt: skip
        back = NewPayment(listed.account, "P1", -1_000, "MXN", "2025-03-04")
        payments.receive(tx, [back], source="bank", now=NOON)
        assert state_of(tx) == ("running", None)


def test_one_of_a_name_runs_and_none_for_what_is_closed(
    clocked: tuple[Database, VirtualClock], listed: Listed
) -> None:
    """Begun again, the former run gives way; another strategy runs beside; a paid account gets none; senseless steps are refused."""
    database, _ = clocked
    with database.write() as tx:
        for name in ("soft", "hard"):
            strategy_clock.start(tx, account_id=listed.account, strategy=name, steps=STEPS, now=NOON)
        found = [(row["strategy"], row["state"], row["stopped_because"]) for row in rows(tx, "strategy_run")]
        assert found == [
            ("soft", "stopped", "replaced"),
            ("soft", "running", None),
            ("hard", "running", None),
        ]
        for steps in ([], [Step(-1, "wait")]):
            with pytest.raises(CommandRefusedError, match="1 to 200 steps"):
                strategy_clock.start(tx, account_id=listed.account, strategy="x", steps=steps, now=NOON)
        people.update_account(tx, listed.account, {"status": "paid"})
        with pytest.raises(CommandRefusedError, match="paid"):
            strategy_clock.start(tx, account_id=listed.account, strategy="x", steps=STEPS, now=NOON)


async def test_a_run_that_cannot_be_read_holds_nobody_back(
    clocked: tuple[Database, VirtualClock], listed: Listed
) -> None:
    """Its steps were spoiled in the store: it is stopped, and whoever waited for its call is called like everybody else."""
    database, _ = clocked
    with database.write() as tx:
        run = TABLES["strategy_run"]
        tx.execute(run.update().values(steps=[{"x": 1}]))
        assert row_of(tx, "lead", listed.lead)["waiting_for"] == account_leads.STRATEGY
    assert await strategy_clock.run_due(database, strategy_clock.ACTIONS, "node1") == 0
    with database.read() as tx:
        lead = row_of(tx, "lead", listed.lead)
    assert (lead["state"], lead["waiting_for"]) == ("dialable", None)
