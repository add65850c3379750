"""What plugins read and write of the portfolio, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError
from dialer_core.plugin_records import PaymentRow, Records
from dialer_core.portfolio import promises
from dialer_core.store import lead_ranks, plugin_tables, plugin_values, scan
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from dialer_core.vocabulary import AccountId, CampaignId, RestrictionKind, new_id
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves
from tests.store.rows import CAMPAIGN, NOON, put_campaign

pytestmark = pytest.mark.db

ROW = {
    "external_id": "4401",
    "name": "Ana Díaz",
    "phone": "55 1234 5678",
    "phone_2": "81 8000 1234",
    "email": "Ana@example.com",
    "balance": "1500.50",
    "sucursal": "Norte",
}


@pytest.fixture
def records(database: Database) -> Records:
    """Return the store as the plugin `crm` may use it, with one campaign."""
    with database.write() as tx:
        put_campaign(tx)
    return Records(database, clock=VirtualClock(NOON), actor="plugin:crm")


def rows(database: Database, table: str, *columns: str) -> list[Any]:
    """Return what stands in a table."""
    with database.read() as tx:
        return list(scan.rows(tx, table, *columns))


async def test_accounts_come_in_as_from_a_file(records: Records, database: Database) -> None:
    """A new account is put on the list with its numbers and attributes, the same again changes nothing, a changed balance is changed."""
    first = await records.accounts.upsert_many(CAMPAIGN, [ROW])
    assert (first.accepted, first.updated, first.unchanged, first.refused) == (1, 0, 0, ())
    again = await records.accounts.upsert_many(CAMPAIGN, [ROW])
    assert (again.accepted, again.updated, again.unchanged) == (0, 0, 1)
    more = await records.accounts.upsert_many(CAMPAIGN, [ROW | {"balance": "900"}])
    assert more.updated == 1
    (account,) = (await records.accounts.find(["4401", "none"])).values()
    view = await records.accounts.get(account)
    assert view.account.balance_minor == 90_000
    assert [phone.e164 for phone in view.phones] == ["+525512345678", "+528180001234"]
    assert [one.address for one in view.emails] == ["ana@example.com"]
    assert [(one.name, one.value) for one in view.attributes] == [("sucursal", "Norte")]
    assert rows(database, "lead", "campaign_id", "state") == [(CAMPAIGN, "dialable")]


async def test_what_is_wrong_is_told_by_its_place(records: Records) -> None:
    """A row without a number is refused, a cell that is none is left out of its row, and the others go in."""
    done = await records.accounts.upsert_many(
        CAMPAIGN,
        [{"external_id": "1"}, ROW | {"phone_2": "12"}, ROW | {"external_id": "3", "balance": "a lot"}],
    )
    assert done.accepted == 1
    assert [(one.index, one.field, one.taken) for one in done.refused] == [
        (0, "", False),
        (1, "phone_2", True),
        (2, "balance", False),
    ]
    with pytest.raises(CommandRefusedError, match="known are: spring"):
        await records.accounts.upsert_many(CampaignId("none"), [ROW])


async def test_payments_count_once(records: Records) -> None:
    """A payment told twice is written once and pays the account; one of an account that is not there is passed over."""
    await records.accounts.upsert_many(CAMPAIGN, [ROW])
    account = (await records.accounts.find(["4401"]))["4401"]
    paid = PaymentRow(
        account_id=account,
        external_id="p1",
        amount_minor=150_050,
        currency="MXN",
        paid_on=dt.date(2026, 3, 2),
    )
    stranger = PaymentRow(
        account_id=AccountId(new_id()),
        external_id="p2",
        amount_minor=1,
        currency="MXN",
        paid_on=dt.date(2026, 3, 2),
    )
    assert await records.accounts.receive_payments([paid, paid, stranger]) == 1
    assert await records.accounts.receive_payments([paid]) == 0
    assert (await records.accounts.get(account)).account.status == "paid"


async def test_a_list_is_put_in_order(records: Records, database: Database) -> None:
    """Priorities change where they differ; what is no number is refused and changes nothing."""
    await records.accounts.upsert_many(CAMPAIGN, [ROW, ROW | {"external_id": "4402", "phone": "5511110002", "phone_2": ""}])  # fmt: skip
    found = await records.accounts.find(["4401", "4402"])
    both = [found["4401"], found["4402"]]
    assert await records.leads.rank_many(CAMPAIGN, both, [0.5, 2.0]) == 2
    assert await records.leads.rank_many(CAMPAIGN, both, [0.5, 3.0]) == 1
    assert sorted(row.priority for row in rows(database, "lead", "priority")) == [0.5, 3.0]
    with pytest.raises(CommandRefusedError, match="finite"):
        await records.leads.rank_many(CAMPAIGN, both[:1], [float("nan")])
    assert await records.leads.rank_many(CampaignId("none"), both[:1], [1.0]) == 0


async def test_who_answers_at_which_hour_is_told_with_the_order(records: Records, database: Database) -> None:
    """Probabilities by hour are written where they differ by more than a hair or were told yesterday; nonsense is refused, silence leaves them."""
    await records.accounts.upsert_many(CAMPAIGN, [ROW, ROW | {"external_id": "4402", "phone": "5511110002", "phone_2": ""}])  # fmt: skip
    found = await records.accounts.find(["4401", "4402"])
    both = [found["4401"], found["4402"]]
    hours = np.full((2, 24), np.nan)
    hours[0, 7:22], hours[1, 7:22] = 0.25, np.linspace(0, 1, 15)
    assert await records.leads.rank_many(CAMPAIGN, both, [1.0, 2.0], hours) == 2
    assert await records.leads.rank_many(CAMPAIGN, both, [1.0, 2.0], hours + 0.001 * (hours < 1)) == 0
    hours[0, 9] = 0.4
    assert await records.leads.rank_many(CAMPAIGN, both, [1.0, 2.0], hours) == 1
    assert await records.leads.rank_many(CAMPAIGN, both, [1.0, 3.0]) == 1
    told = {
        row.account_id: [lead_ranks.at_hour(row.propensity, hour) for hour in range(24)]
        for row in rows(database, "lead", "account_id", "propensity")
    }
    assert told[both[0]][6:10] == [None, 0.25, 0.25, 0.4]
    assert told[both[1]][21:23] == [1.0, None]
    assert lead_ranks.at_hour("no hours", 3) is None
    assert isinstance(records.clock, VirtualClock)
    records.clock.set_elapsed_s(21 * 3600)
    assert await records.leads.rank_many(CAMPAIGN, both, [1.0, 3.0], hours) == 2
    for wrong in (hours - 1, hours + 1, hours[:, :7], hours[:1]):
        with pytest.raises(CommandRefusedError, match="propensit"):
            await records.leads.rank_many(CAMPAIGN, both, [1.0, 3.0], wrong)


async def test_a_promise_and_a_restriction(records: Records) -> None:
    """Both are in force and in the plugin's name; a promise asked for twice under one key is one."""
    await records.accounts.upsert_many(CAMPAIGN, [ROW])
    account, key = (await records.accounts.find(["4401"]))["4401"], new_id()
    terms = [(dt.date(2026, 3, 9), 50_000)]
    assert await records.promises.make(account, terms, key=key) == key
    assert await records.promises.make(account, terms, key=key) == key
    await records.restrictions.add(account, RestrictionKind.DECEASED)
    view = await records.accounts.get(account)
    assert [one.id for one in view.promises] == [key]
    assert [(one.kind, one.source) for one in view.restrictions] == [("deceased", "plugin:crm")]


async def test_what_a_plugin_keeps(records: Records) -> None:
    """Values stand under keys of the plugin's own, in order, and no other plugin sees them."""
    assert await records.store.get("cursor", "") == ""
    await records.store.put_many({"dead/2": {"tries": 1}, "dead/1": [1, None], "cursor": "a:1"})
    await records.store.put("cursor", "a:2")
    assert await records.store.get("cursor") == "a:2"
    assert await records.store.items("dead/") == [("dead/1", [1, None]), ("dead/2", {"tries": 1})]
    assert await records.store.items("dead/", after="dead/1") == [("dead/2", {"tries": 1})]
    assert await records.acting_as("plugin:sms").store.items() == []
    await records.store.put_many({"cursor": "a:3", "dead/2": {"tries": 2}})
    assert await records.store.get_many(["cursor", "dead/2"]) == {"cursor": "a:3", "dead/2": {"tries": 2}}
    await records.store.put_many({"cursor": "a:2", "dead/2": {"tries": 1}})
    await records.store.remove("dead/1", "none")
    assert await records.store.items("dead/") == [("dead/2", {"tries": 1})]
    with pytest.raises(CommandRefusedError, match="255"):
        await records.store.put("k" * 256, 1)


def test_two_nodes_write_one_key_at_once(database: Database) -> None:
    """Neither fails, in whatever order each has its keys: the later word stands."""
    names, more = [["a", "b", "c"], ["c", "b", "a"]], 20 if database.dialect == "sqlite" else 100

    def write(keys: list[str]) -> None:
        for number in range(more):
            with database.write() as tx:
                plugin_values.put(tx, "crm", dict.fromkeys(keys, number), NOON)

    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(write, keys) for keys in names]:
            one.result()
    with database.read() as tx:
        assert plugin_values.get(tx, "crm", ["a"]) == {"a": more - 1}


async def test_tables_are_read_on(records: Records, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A table comes in pages of columns in the order of its making, goes on after an id or a time, and holds nothing that says who somebody is."""
    monkeypatch.setattr(plugin_tables, "MOST_ROWS", 2)
    for number in range(5):
        row = ROW | {"external_id": f"{number}", "phone": f"551111000{number}", "phone_2": ""}
        await records.accounts.upsert_many(CAMPAIGN, [row | ({"balance": ""} if number == 4 else {})])
    names = ["id", "balance_minor", "created_at_utc", "status", "due_date"]
    pages = [page async for page in records.table("account", names)]
    found = {name: np.concatenate([page[name] for page, _ in pages]) for name in names}
    assert [page["id"].size for page, _ in pages] == [2, 2, 1]
    stored = sorted(row.id for row in rows(database, "account", "id"))
    assert found["id"].tolist() == [one.replace("-", "").encode() for one in stored]
    assert pages[-1][1] == stored[-1]
    np.testing.assert_array_equal(found["balance_minor"], [150_050.0] * 4 + [np.nan])
    assert found["created_at_utc"].tolist() == [NOON.replace(tzinfo=None)] * 5
    assert found["status"].tolist() == ["open"] * 5
    assert found["due_date"].tolist() == [None] * 5
    assert [page async for page in records.table("account", ["id"], after=pages[-1][1])] == []
    ids = await records.accounts.find(["0"])
    begun = dt.datetime.fromtimestamp(int(ids["0"].replace("-", "")[:12], 16) / 1000, dt.UTC)
    for moved, expected in ((0, 5), (3600, 0)):
        after = plugin_tables.first_id_of(begun + dt.timedelta(seconds=moved))
        assert (
            sum([page["id"].size async for page, _ in records.table("account", ["id"], after=after)])
            == expected
        )
    assert [page async for page, _ in records.table("lead", ["priority"], campaign=CampaignId("none"))] == []
    for table, column in (("person", "name"), ("phone", "e164"), ("audit", "actor")):
        with pytest.raises(CommandRefusedError, match="for plugins"):
            await anext(records.table(table, [column]))


@pytest.mark.parametrize("table", sorted(plugin_tables.COLUMNS))
def test_every_column_for_plugins_is_there_and_says_nothing_personal(table: str) -> None:
    """What plugins may read stands in the tables, and no name, number, address or text is among it."""
    columns = set(plugin_tables.COLUMNS[table])
    assert columns <= set(Base.metadata.tables[table].c.keys())
    assert not columns & {"name", "e164", "number", "address", "body", "subject", "note", "external_id", "attributes", "region_name"}  # fmt: skip


async def test_of_several_who_change_a_value_at_once_one_does(records: Records) -> None:
    """A value is swapped only while it is what it was taken for: of many at once one is told that it was them."""
    asked = [records.store.swap("turn", None, {"by": n}) for n in range(8)]
    assert sum(await asyncio.gather(*asked)) == 1
    first = await records.store.get("turn")
    asked = [records.store.swap("turn", first, {"by": n + 10}) for n in range(8)]
    assert sum(await asyncio.gather(*asked)) == 1
    assert not await records.store.swap("turn", first, {"by": 99})
    assert not await records.store.swap("none", {"by": 1}, {"by": 99})
    with pytest.raises(CommandRefusedError, match="a key has"):
        await records.store.swap("", None, 1)


async def test_what_a_crm_needs_of_accounts(records: Records, database: Database) -> None:
    """A dry run writes nothing; an account that is known needs no number; accounts are told in a line, rows of tables by their ids."""
    would = await records.accounts.upsert_many(
        CAMPAIGN, [ROW, {"external_id": "2", "phone": "12"}], dry_run=True
    )
    assert (would.accepted, [one.index for one in would.refused]) == (1, [1])
    assert rows(database, "account", "id") == []
    await records.accounts.upsert_many(CAMPAIGN, [ROW])
    lean = await records.accounts.upsert_many(
        CAMPAIGN, [{"external_id": "4401", "balance": "7"}, {"external_id": "x", "balance": "7"}]
    )
    assert (lean.updated, [(one.index, one.taken) for one in lean.refused]) == (1, [(1, False)])
    (account,) = (await records.accounts.find(["4401"])).values()
    told = await records.accounts.summaries([account, AccountId(new_id())])
    assert [(one.external_id, one.balance_minor) for one in told.values()] == [("4401", 700)]
    await records.accounts.upsert_many(CAMPAIGN, [ROW | {"external_id": "4402"}])
    found = [
        page["balance_minor"].tolist()
        async for page, _ in records.table("account", ["balance_minor"], ids=[account])
    ]
    assert found == [[700.0]]


async def test_promises_by_id_and_taken_back(records: Records, database: Database) -> None:
    """Promises are read by id with their instalments, and one that is replaced or taken back is told in the log."""
    await records.accounts.upsert_many(CAMPAIGN, [ROW])
    (account,) = (await records.accounts.find(["4401"])).values()
    day = NOON.date() + dt.timedelta(days=3)
    first = await records.promises.make(account, [(day, 10_000)])
    second = await records.promises.make(account, [(day, 10_000), (day, 20_000)])
    found = await records.promises.get_many([first, second, new_id()])
    assert {key: (one.state.value, len(one.instalments)) for key, one in found.items()} == {
        first: ("replaced", 1),
        second: ("open", 2),
    }
    with database.write() as tx:
        promises.cancel(tx, found[second], NOON)
    told = [row[1] for row in rows(database, "event", "name", "data") if row[0] == "promise.withdrawn"]
    assert [(one["promise_id"], one["state"]) for one in told] == [(first, "replaced"), (second, "cancelled")]
