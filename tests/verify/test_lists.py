"""`verify` and how lists are worked: quotas, the number kept for a person, strategies; each fault is named, and what is no fault is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from dialer_core.campaigns import caller_ids
from dialer_core.list_settings import CallerIdPool
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from tests.store.rows import CAMPAIGN, TABLES, put
from tests.verify.conftest import verify
from tests.verify.plantings import attempt
from tests.verify.world import World, id_at, utc

pytestmark = pytest.mark.db

YESTERDAY = utc(-86_400)
QUOTA = {
    "hopper": {"mix": [{"segment": "a", "most_per_day": 1}]},
    "schedule": {"zone": "America/Mexico_City"},
}
OURS = ("+525511110001",)
STEPS = [{"after_s": 0, "what": "wait", "data": {}}] * 2


def told(database: Database, wire: Path) -> list[str]:
    """Return what is broken."""
    return [str(one) for one in verify(database, wire).violations]


def say(tx: Tx, settings: dict[str, object], since: dt.datetime = YESTERDAY) -> None:
    """Let the campaign's file have said this since then."""
    table = TABLES["campaign"]
    tx.execute(update(table).where(table.c.id == CAMPAIGN).values(settings=settings, changed_at_utc=since))


@pytest.mark.parametrize(
    ("since", "asked", "broken"),
    [(YESTERDAY, False, True), (utc(-60), False, False), (YESTERDAY, True, False)],
    ids=["two of one", "told today", "one was asked for"],
)
def test_quotas(
    database: Database, world: World, wire: Path, since: dt.datetime, *, asked: bool, broken: bool
) -> None:
    """Two attempts of a quota of one are found, unless the quota is of today or their person had asked for the call."""
    with database.write() as tx:
        say(tx, QUOTA, since)
        for name in ("busy", "talk"):
            attempt(name, segment="a")(tx, world)
        if asked:
            put(
                tx, "callback", id=id_at(-50), lead_id=world.leads["Alma"], campaign_id=CAMPAIGN, due_at_utc=utc(-30), open_from_utc=utc(-30),
                state="made", made_at_utc=utc(-50),
            )  # fmt: skip
    found = [one for one in told(database, wire) if "its quota is 1" in one]
    assert len(found) == broken


@pytest.mark.parametrize(
    ("number", "since_s", "broken"),
    [("+525599999999", -60, True), ("+525511110001", -60, False), ("+525599999999", 3600, False)],
)
def test_the_number_kept_for_a_person(
    database: Database, world: World, wire: Path, number: str, since_s: float, *, broken: bool
) -> None:
    """A call that shows another number than the person's is found; one from before the number was chosen is not."""
    with database.write() as tx:
        say(tx, {"caller_ids": "mx"})
        put(
            tx, "kept_caller_id", person_id=world.people["Eloy"]["person"], pool="mx", number="+525511110001", since_utc=utc(since_s),
        )  # fmt: skip
        attempt("busy", caller_id=number)(tx, world)
    assert any("the one kept for its person" in one for one in told(database, wire)) is broken


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [(OURS, (), False), ((), OURS, True), (("+525511110009",), OURS, True), (None, OURS, False)],
    ids=["in it", "an empty one", "of a later pool", "nothing told yet"],
)
def test_a_number_of_the_pool(
    database: Database,
    world: World,
    wire: Path,
    before: tuple[str, ...] | None,
    after: tuple[str, ...],
    *,
    broken: bool,
) -> None:
    """A call that shows a number which its pool did not have when it was committed is found, whatever the pool has become since."""
    table = TABLES["event"]
    with database.write() as tx:
        world.tx = tx
        attempt("busy", caller_id=OURS[0])(tx, world)
        for seq, numbers in ((0, before), (10_000, after)):
            if numbers is not None:
                its = caller_ids.digests(CallerIdPool(numbers=numbers)) if numbers else ()
                world.event("campaign.caller_ids", seq, pool="mx", digests=its)
                last = select(func.max(table.c.seq)).where(table.c.source == "engine")
                where = (table.c.name == "campaign.caller_ids", table.c.seq == tx.scalar(last))
                tx.execute(update(table).where(*where).values(seq=seq, campaign_id=CAMPAIGN))
    assert any("was not in its campaign's pool" in one for one in told(database, wire)) is broken


Plant = Callable[[Tx, World, str], None]


def paid(tx: Tx, world: World, run: str) -> None:
    """Plant a payment that has not stopped it."""
    del run
    put(
        tx, "payment", id=id_at(10), account_id=world.people["Eloy"]["account"], external_id="P1", amount_minor=5, currency="MXN",
        paid_on="2026-03-02", source="bank", received_at_utc=utc(10),
    )  # fmt: skip


def step(position: int, at_s: float) -> Plant:
    """Return a planting of a step that is told as done."""

    def plant(tx: Tx, world: World, run: str) -> None:
        del tx
        world.event(
            "strategy.step_done", at_s, run_id=run, strategy="soft", position=position, what="wait", last=False, skipped=""
        )  # fmt: skip

    return plant


def stop(tx: Tx, world: World, run: str) -> None:
    """Plant a stop that is told, of a run that is stopped."""
    table = TABLES["strategy_run"]
    tx.execute(update(table).where(table.c.id == run).values(state="stopped", stopped_because="payment"))
    world.event("strategy.stopped", 20, run_id=run, strategy="soft", reason="payment")


def columns(**changes: object) -> Plant:
    """Return a planting that changes the run's row."""

    def plant(tx: Tx, world: World, run: str) -> None:
        del world
        table = TABLES["strategy_run"]
        tx.execute(update(table).where(table.c.id == run).values(**changes))

    return plant


@pytest.mark.parametrize(
    ("plants", "words"),
    [
        ((), ""),
        ((step(0, 5), step(1, 6), columns(state="done", position=2)), ""),
        ((step(0, 5), stop), ""),
        ((paid, stop), ""),
        ((paid,), "runs on after a payment"),
        ((step(1, 5),), "has done its steps as [1]"),
        ((step(0, 5), step(0, 6)), "has done its steps as [0, 0]"),
        ((stop, step(0, 60)), "has done step 0 after it had stopped"),
        ((columns(state="stopped"),), "is stopped, and the log tells no stop"),
        ((columns(state="done", position=1),), "is done after 1 of 2 steps"),
    ],
)
def test_strategies(
    database: Database, world: World, wire: Path, plants: tuple[Plant, ...], words: str
) -> None:
    """Steps out of order, after the stop, or after a payment are found; a run that goes on, ends or stops as it should is not."""
    run = id_at(-100)
    with database.write() as tx:
        again = World.again(world, tx)
        put(
            tx, "strategy_run", id=run, account_id=world.people["Eloy"]["account"], person_id=world.people["Eloy"]["person"], strategy="soft",
            state="running", steps=STEPS, position=0, due_at_utc=utc(9000), tries=0, started_at_utc=utc(-100),
        )  # fmt: skip
        for plant in plants:
            plant(tx, again, run)
    found = [one for one in told(database, wire) if "strategy" in one]
    assert (len(found) == 1 and words in found[0]) if words else found == []
