"""Whose strategy begins: by lists, by events and before promised days, over a real store."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dialer_core.clock import VirtualClock
from dialer_core.messaging.messenger import Messenger
from dialer_core.messaging.templates import load_templates
from dialer_core.plugin_api import Answer, Channel, EngineHandle, OutboundMessage
from dialer_core.plugin_records import PaymentRow, Records
from dialer_core.portfolio import promises, strategy_clock
from dialer_core.portfolio.strategies import Strategies
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from dialer_core.vocabulary import CampaignId, PromiseKind
from plugins.contact_strategy.beginning import Beginner
from plugins.contact_strategy.settings import ContactStrategySettings
from tests.campaigns.lists import CAMPAIGN, Listed, put_lead, put_list_campaign, rows, settings_of
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

NOW = dt.datetime(2026, 3, 6, 18, 0, tzinfo=dt.UTC)
_ACCOUNT = Base.metadata.tables["account"]
RULES = {
    "strategies": {
        "late": {
            "campaign": CAMPAIGN, "where": "days_past_due >= 60", "again_after_days": 5,
            "steps": [{"do": "wait"}, {"do": "call", "days": 1, "at": "10:00"}],
        },
        "all": {"campaign": CAMPAIGN, "arms": {"a": {"steps": [{"do": "call"}]}, "b": {"steps": [{"do": "wait"}]}}},
        "broken": {"campaign": CAMPAIGN, "when": "promise_broken", "steps": [{"do": "call"}]},
        "rest": {"campaign": CAMPAIGN, "when": "paid", "where": "balance > 100", "steps": [{"do": "wait"}]},
    }
}  # fmt: skip


class Floor:
    """A store with three accounts, and the plugin over it."""

    def __init__(self, database: Database, rules: dict[str, Any]) -> None:
        self.database, self.clock = database, VirtualClock(NOW)
        database.clock = self.clock
        self.strategies = Strategies(database, clock=self.clock, node="n")
        self.engine = EngineHandle(
            port=None, tail=None, clock=self.clock, actor="plugin:contact_strategy", strategies=self.strategies,  # type: ignore[arg-type]
            records=Records(database, clock=self.clock, actor="plugin:contact_strategy"),
        )  # fmt: skip
        self.beginner = Beginner(self.engine, ContactStrategySettings.model_validate(rules))
        self.leads: list[Listed] = []
        with database.write() as tx:
            put_list_campaign(tx)
            for place, days in enumerate((90, 10, 70)):
                self.leads.append(put_lead(tx, [f"+52551234567{place}"]))
                values = {"days_past_due": days, "balance_minor": 500_000, "currency": "MXN"}
                tx.execute(_ACCOUNT.update().where(_ACCOUNT.c.id == self.leads[-1].account).values(**values))

    def of(self, place: int) -> list[tuple[str, str]]:
        """Return the strategies of an account with their states, in the order of their making."""
        with self.database.read() as tx:
            found = sorted(rows(tx, "strategy_run"), key=lambda row: row["started_at_utc"])
        return [
            (row["strategy"], row["state"]) for row in found if row["account_id"] == self.leads[place].account
        ]


@pytest.fixture
def floor(database: Database) -> Floor:
    """Three accounts: 90, 10 and 70 days past due."""
    return Floor(database, RULES)


async def test_the_first_strategy_that_names_an_account_has_it(floor: Floor) -> None:
    """Each account gets one, the first in the file that names it; looked at again, nothing more begins."""
    assert await floor.beginner.look() == 3
    assert floor.of(0) == [("late", "running")]
    assert floor.of(2) == [("late", "running")]
    [(name, _)] = floor.of(1)
    assert name in {"all.a", "all.b"}
    assert await floor.beginner.look() == 0


async def test_it_comes_again_after_its_days(floor: Floor) -> None:
    """One that has ended begins again after `again_after_days`; meanwhile the next that names the account may."""
    await floor.beginner.look()
    await floor.engine.strategies.stop(floor.leads[0].account, reason="t")
    assert await floor.beginner.look() == 1
    assert [name.partition(".")[0] for name, _ in floor.of(0)] == ["late", "all"]
    await floor.engine.strategies.stop(floor.leads[0].account, reason="t")
    assert await floor.beginner.look() == 0
    floor.clock.set_elapsed_s(5 * 86_400)
    assert await floor.beginner.look() == 1
    assert floor.of(0)[-1] == ("late", "running")


async def test_two_nodes_begin_it_once(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose look began before another's had begun anything begins nothing again, neither what is over already; so with an event."""
    second = Beginner(floor.engine, floor.beginner._its)
    known = await second._recent()

    async def as_it_was() -> Any:
        return known

    assert await floor.beginner.look() == 3
    await floor.engine.strategies.stop(floor.leads[0].account, reason="t")  # over already
    monkeypatch.setattr(second, "_recent", as_it_was)
    assert await second.look() == 1  # the next that names the account whose strategy is over
    assert [name.partition(".")[0] for name, _ in floor.of(0)] == ["late", "all"]
    assert floor.of(2) == [("late", "running")]
    before = floor.of(1)
    known._running.clear()
    assert (
        await second.happened("promise.broken", floor.leads[1].account) == 0
    )  # one of this file runs for it
    assert floor.of(1) == before


async def test_a_look_has_a_bound(database: Database) -> None:
    """No more begin at one look than are allowed; the next look goes on."""
    floor = Floor(database, RULES | {"most_a_look": 2})
    assert [await floor.beginner.look() for _ in range(3)] == [2, 1, 0]


async def test_who_is_not_collected_gets_none(floor: Floor) -> None:
    """An account with an open promise, or a paid one, gets no strategy."""
    with floor.database.write() as tx:
        promises.make(tx, account_id=floor.leads[0].account, instalments=[(NOW.date(), 10_000)], kind=PromiseKind.AGREEMENT, now=NOW)  # fmt: skip
    paid = PaymentRow(account_id=floor.leads[2].account, external_id="1", amount_minor=500_000, currency="MXN", paid_on=NOW.date())  # fmt: skip
    await floor.engine.accounts.receive_payments([paid])
    await floor.beginner.look()
    assert floor.of(0) == floor.of(2) == []


async def test_events_begin_theirs(floor: Floor) -> None:
    """A broken promise begins its follow-up, a part payment the strategy for what is left, where its expression still names the account."""
    account = floor.leads[1].account
    assert await floor.beginner.happened("promise.broken", account) == 1
    assert floor.of(1) == [("broken", "running")]
    part = PaymentRow(
        account_id=account, external_id="1", amount_minor=100_000, currency="MXN", paid_on=NOW.date()
    )
    await floor.engine.accounts.receive_payments([part])
    assert floor.of(1) == [("broken", "stopped")]
    assert await floor.beginner.happened("payment.received", account) == 1
    assert floor.of(1)[-1] == ("rest", "running")
    assert await floor.beginner.happened("payment.received", account) == 0


async def test_steps_are_done_by_the_cores_clock(floor: Floor) -> None:
    """What was planned is done: the wait at once, the call at ten the next day, and the lead waits for it no more."""
    await floor.beginner.look()
    await strategy_clock.run_due(floor.database, strategy_clock.ACTIONS, "n")
    assert floor.of(0) == [("late", "running")]
    floor.clock.set_elapsed_s(22 * 3600 + 5)
    await strategy_clock.run_due(floor.database, strategy_clock.ACTIONS, "n")
    assert floor.of(0)[0][1] != "running"


class Quiet:
    """A channel to queue for, which is never asked to send."""

    channel = Channel.SMS
    per_second = 1.0
    at_once = 1

    async def send(self, message: OutboundMessage) -> Answer:
        """Nobody asks."""
        raise AssertionError(message)


async def test_promised_days_are_remembered(floor: Floor, tmp_path: Path) -> None:
    """The day before a promised payment its reminder waits for ten o'clock, once; nothing about what was paid, or is due another day."""
    (tmp_path / "aviso.toml").write_text(
        'channel = "sms"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA para salir."\n'
    )
    messenger = Messenger(
        floor.database,
        templates=load_templates(tmp_path),
        campaigns={CampaignId(CAMPAIGN): settings_of()},
        packs={},
        clock=floor.clock,
    )
    messenger.add_channel("sms", Quiet())
    engine = EngineHandle(
        port=None, tail=None, clock=floor.clock, actor="plugin:contact_strategy", messenger=messenger,  # type: ignore[arg-type]
        records=Records(floor.database, clock=floor.clock, actor="plugin:contact_strategy"),
    )  # fmt: skip
    rules = ContactStrategySettings.model_validate(
        {"reminders": [{"days_before": 1, "at": "10:00", "template": "aviso"}]}
    )
    day = NOW.date() + dt.timedelta(days=2)
    with floor.database.write() as tx:
        for place, days in ((0, [0]), (1, [5]), (2, [0])):
            terms = [(day + dt.timedelta(days=one), 10_000) for one in days]
            promises.make(
                tx, account_id=floor.leads[place].account, instalments=terms, kind=PromiseKind.AGREEMENT, now=NOW,
                campaign_id=CampaignId(CAMPAIGN),
            )  # fmt: skip
    paid = PaymentRow(
        account_id=floor.leads[2].account,
        external_id="1",
        amount_minor=10_000,
        currency="MXN",
        paid_on=NOW.date(),
    )
    await engine.accounts.receive_payments([paid])
    beginner = Beginner(engine, rules)
    assert await beginner.remind() == 0  # ten o'clock of the day before is farther than its queue
    floor.clock.set_elapsed_s(8 * 3600)
    assert await beginner.remind() == 1
    await beginner.remind()
    with floor.database.read() as tx:
        [message] = rows(tx, "message")
    assert message["account_id"] == floor.leads[0].account
    assert message["next_at_utc"] == dt.datetime(2026, 3, 7, 16, 0, tzinfo=dt.UTC)
    assert message["reminds"]["open_minor"] == 10_000
    part = msgspec.structs.replace(
        paid, account_id=floor.leads[0].account, external_id="2", amount_minor=4_000
    )
    await engine.accounts.receive_payments([part])
    assert await beginner.remind() == 1
    with floor.database.read() as tx:
        open_minor = sorted(row["reminds"]["open_minor"] for row in rows(tx, "message"))
    assert open_minor == [6_000, 10_000]  # the outbox takes the one before back when its hour comes
