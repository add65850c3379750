"""Strategies as plugins meet them: actions of their own, begun and stopped through the handle, and no account the worse for another's fault."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError
from dialer_core.event_tail import EventTail
from dialer_core.plugin_api import EngineHandle
from dialer_core.portfolio import strategy_clock
from dialer_core.portfolio.payments import NewPayment, receive
from dialer_core.portfolio.strategies import Strategies, StrategyRequest, StrategyStep
from dialer_core.portfolio.strategy_clock import StepSkippedError
from dialer_core.store import events, people, strategy_runs
from dialer_core.store.database import Database, open_database
from dialer_core.store.strategy_runs import Step
from dialer_core.vocabulary import AccountId, StrategyState
from tests.campaigns.lists import NOON, TABLES, put_lead, put_list_campaign, rows
from tests.plugins.plugin_sets import Refusing
from tests.skips import ROOT

pytestmark = pytest.mark.db

LETTER = (Step(0, "letter", {"to": "home"}), Step(86_400, "letter"))


class World:
    """Strategies over a store whose clock stands still, three accounts, and a plugin's action that does as it is told."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        self.database, self.clock = database, clock
        self.strategies = Strategies(database, clock=clock, node="n1")
        self.strategies.all_added()
        self.done: list[StrategyStep] = []
        self.fault: dict[str, Any] = {}
        """What the action does instead, by account."""
        with database.write() as tx:
            put_list_campaign(tx)
            self.accounts = [put_lead(tx, [f"+52550000000{n}"]).account for n in range(3)]
        self.strategies.add_actions("post", {"letter": self.letter})

    async def letter(self, step: StrategyStep) -> None:
        """Write it down, or fail as told."""
        fault = self.fault.get(step.account_id)
        if isinstance(fault, BaseException):
            raise fault
        if fault == "hangs":
            await asyncio.Event().wait()
        self.done.append(step)

    async def begin(self, *accounts: AccountId, steps: tuple[Step, ...] = LETTER) -> list[Any]:
        """Begin the strategy `soft` for accounts."""
        asked = [StrategyRequest(account_id=one, strategy="soft", steps=steps) for one in accounts]
        return await self.strategies.start_many(asked, actor="plugin:post")

    async def turn(self) -> int:
        """Do what is due."""
        actions = self.strategies._actions  # the clock that `run` starts, one turn of it
        return await strategy_clock.run_due(self.database, actions, "n1", limit_s=0.05)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Return a world over a migrated database."""
    clock = VirtualClock(NOON)
    database = open_database(database_url, clock=clock)
    database.migrate()
    yield World(database, clock)
    database.dispose()


@pytest.mark.parametrize(
    "fault", [KeyError("odd"), asyncio.CancelledError(), "hangs", ValueError()], ids=["key", "cancel", "hang", "value"]
)  # fmt: skip
async def test_one_accounts_fault_costs_no_other(world: World, fault: object) -> None:
    """Whatever an action does for one account, the others' steps are done, and its own is tried again later."""
    first, *others = world.accounts
    await world.begin(*world.accounts)
    world.fault[first] = fault
    assert await world.turn() == 3
    assert {step.account_id for step in world.done} == set(others)
    world.fault.clear()
    world.clock.set_elapsed_s(61)
    assert await world.turn() == 1
    [again] = [step for step in world.done if step.account_id == first]
    assert (again.tries, again.what, again.data) == (2, "letter", {"to": "home"})


async def test_a_step_that_cannot_be_done_is_passed_over_and_told(world: World) -> None:
    """The strategy goes on to its next step; the event says why this one was not done."""
    account = world.accounts[0]
    await world.begin(account)
    world.fault[account] = StepSkippedError("no address")
    await world.turn()
    with world.database.read() as tx:
        [told] = events.tail(tx, {}, ["strategy.step_done"])
        [view] = strategy_runs.of_account(tx, account, 5)
    assert (told.data["skipped"], told.data["position"], told.data["last"]) == ("no address", 0, False)
    assert (view.state, view.position, view.steps, view.next_step) == (StrategyState.RUNNING, 1, 2, "letter")


async def test_the_key_of_a_step_is_the_same_at_every_try(world: World) -> None:
    """Who does things under it does them once, however often the step is done; another step has another."""
    account = world.accounts[0]
    [run_id] = await world.begin(account)
    with world.database.write() as tx:  # a node that dies before it marks the step
        [taken] = strategy_runs.take_due(tx, NOON, "n0", strategy_clock.LEASE, 1)
    world.clock.set_elapsed_s(strategy_clock.LEASE.total_seconds())
    await world.turn()
    world.clock.set_elapsed_s(2 * 86_400)
    await world.turn()
    assert [step.key for step in world.done] == [taken.key, f"{run_id}:1"]


async def test_what_begins_before_all_plugins_have_told_is_not_refused(world: World) -> None:
    """At start-up a step may be another plugin's, who has yet to say so; it is looked for when the step is due."""
    early = Strategies(world.database, clock=world.clock, node="n1")
    asked = StrategyRequest(account_id=world.accounts[0], strategy="soft", steps=(Step(0, "pigeon"),))
    assert isinstance(await early.start(asked, actor="cli"), str)
    early.all_added()
    with pytest.raises(CommandRefusedError, match="pigeon"):
        await early.start(asked, actor="cli")


async def test_what_cannot_begin_is_refused_each_for_itself(world: World) -> None:
    """Of many the one whose account is paid, unknown or whose step nobody does is refused, and the others begin."""
    paid, good, _ = world.accounts
    with world.database.write() as tx:
        people.update_account(tx, paid, {"status": "paid"})
    asked = [
        StrategyRequest(account_id=paid, strategy="soft", steps=LETTER),
        StrategyRequest(account_id=good, strategy="soft", steps=LETTER),
        StrategyRequest(account_id=good, strategy="odd", steps=(Step(0, "pigeon"),)),
        StrategyRequest(account_id=good, strategy="", steps=LETTER),
        StrategyRequest(
            account_id=AccountId("01890000-0000-7000-8000-000000000000"), strategy="soft", steps=LETTER
        ),
    ]
    begun = await world.strategies.start_many(asked, actor="cli")
    refused = [str(one) for one in begun if isinstance(one, CommandRefusedError)]
    assert [isinstance(one, str) for one in begun] == [False, True, False, False, False]
    assert "paid" in refused[0]
    assert refused[1] == "nothing does the step 'pigeon'; known are: call, letter, wait"
    with pytest.raises(CommandRefusedError, match="pigeon"):
        await world.strategies.start(asked[2], actor="cli")


async def test_stopped_by_name_with_who_did_it(world: World) -> None:
    """Only the strategy of that name stops; both the beginning and the stop stand in the audit log under their actors."""
    account = world.accounts[0]
    await world.begin(account)
    await world.strategies.start(
        StrategyRequest(account_id=account, strategy="hard", steps=LETTER), actor="cli"
    )
    assert await world.strategies.stop(account, strategy="soft", actor="user:eva", reason="moved") == 1
    shown = await world.strategies.of(account)
    assert [(one.strategy, one.state.value, one.stopped_because) for one in shown] == [
        ("hard", "running", None),
        ("soft", "stopped", "moved"),
    ]
    with world.database.read() as tx:
        assert [(row["actor"], row["action"]) for row in rows(tx, "audit")] == [
            ("plugin:post", "strategy.started"),
            ("cli", "strategy.started"),
            ("user:eva", "strategy.stopped"),
        ]


async def test_a_row_that_cannot_be_read_ends_alone(world: World) -> None:
    """Steps spoiled in the store stop their own run; a payment on that account, and the other accounts' steps, go on."""
    spoiled, good, _ = world.accounts
    await world.begin(spoiled, good)
    with world.database.write() as tx:
        run = TABLES["strategy_run"]
        tx.execute(run.update().where(run.c.account_id == spoiled).values(steps=[{"x": 1}]))
    await world.turn()
    assert [step.account_id for step in world.done] == [good]
    with world.database.write() as tx:
        states = {row["account_id"]: row["state"] for row in rows(tx, "strategy_run")}
        receive(tx, [NewPayment(spoiled, "P1", 100, "MXN", "2025-03-04")], source="bank", now=NOON)
    assert (states[spoiled], states[good]) == ("stopped", "running")


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ({"call": World.letter}, "is the core's"),
        ({"letter": World.letter}, "is the plugin post's"),
        ({"x": print}, "no `async def`"),
        ({"": World.letter}, "1 to 64 characters"),
        ([World.letter], "no mapping"),
    ],
)
async def test_actions_that_do_not_fit_are_refused(world: World, actions: object, why: str) -> None:
    """A taken name, a plain function, no name, no mapping: each with what is wrong, and nothing of it stays."""
    with pytest.raises(ValueError, match=why):
        world.strategies.add_actions("other", actions)
    assert world.strategies.actions == {"call": "the core", "letter": "the plugin post", "wait": "the core"}


async def test_the_plugin_of_the_documents_does_what_they_say(world: World) -> None:
    """The code shown in `docs/campaigns.md`, as it stands there: its step is taken, its strategy begins through a plugin's handle."""
    [code] = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "campaigns.md").read_text(encoding="utf-8"), re.DOTALL
    )
    shown: dict[str, Any] = {}
    exec(code, shown)  # noqa: S102 - our own document
    database = world.database
    strategies = Strategies(database, clock=world.clock, node="n1")
    strategies.add_actions("theirs", shown["dialer_register_strategy_actions"]())
    strategies.add_actions("contact_strategy", {"message": World.letter})
    engine = EngineHandle(
        port=Refusing(),
        tail=EventTail(database),
        clock=world.clock,
        actor="plugin:theirs",
        strategies=strategies,
    )
    await shown["begin"](engine, world.accounts[0])
    [view] = await engine.strategies.of(world.accounts[0])
    assert (view.strategy, view.next_step, view.steps) == ("soft", "message", 3)
