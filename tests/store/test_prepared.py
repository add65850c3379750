"""Prepared statements: they do, return and refuse what the library's own way does."""

import datetime as dt
import os
import signal
from typing import Any

import pytest
from sqlalchemy import Select, bindparam, exc, insert, select, text, update

from dialer_core.store.database import Database
from dialer_core.store.errors import DatabaseAwayError
from dialer_core.store.prepared import Prepared
from dialer_core.vocabulary import new_id
from tests.store.rows import CAMPAIGN, NOON, TABLES, put_campaign, put_debtor

pytestmark = pytest.mark.db

PERSON, LEAD = TABLES["person"], TABLES["lead"]
created = PERSON.c.created_at_utc


def row(**changes: Any) -> dict[str, Any]:
    """Return a person's row."""
    return {"id": new_id(), "name": "", "language": "es", "region": None, "created_at_utc": NOON, **changes}


def test_rows_come_back_as_they_went_in(database: Database) -> None:
    """Ids, times with their zone, JSON, truth values and absent values are what the library's own way returns."""
    add = Prepared(insert(TABLES["campaign"]))
    query = select(TABLES["campaign"]).where(TABLES["campaign"].c.id == bindparam("key"))
    with database.write() as tx:
        settings = {"weights": [1.5, None], "name": "ñ"}
        tx.execute(add, {"id": "spring", "state": "running", "settings": settings, "changed_at_utc": NOON})
        debtor = put_debtor(tx, "+525512345678")
    with database.read() as tx:
        found = tx.execute(Prepared(query), {"key": "spring"}).first()
        assert tuple(found) == tuple(tx.execute(query, {"key": "spring"}).one())
        assert (found.settings, found.changed_at_utc) == (settings, NOON)
        lead = select(LEAD).where(LEAD.c.id == bindparam("key"))
        assert tx.execute(Prepared(lead), {"key": debtor.lead}).all() == [
            tuple(one) for one in tx.execute(lead, {"key": debtor.lead})
        ]
        assert tx.scalar(Prepared(query), {"key": "autumn"}) is None


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 33])
def test_a_list_of_any_length_finds_each_of_its_values_once(database: Database, count: int) -> None:
    """`IN` with none, one or many values: the fillers at its end add nothing, and what stands beside it still counts."""
    rows = [row(created_at_utc=NOON + dt.timedelta(minutes=minute)) for minute in range(40)]
    some = Prepared(
        select(PERSON.c.id, created)
        .where(PERSON.c.id.in_(bindparam("ids", expanding=True)), created >= bindparam("since"))
        .order_by(created)
        .limit(bindparam("most"))
    )
    with database.write() as tx:
        tx.execute(Prepared(insert(PERSON)), rows)
        ids = [one["id"] for one in rows[:count]]
        found = tx.execute(some, {"ids": ids, "since": NOON + dt.timedelta(minutes=1), "most": 30}).all()
    assert [one.id for one in found] == ids[1:31]


def test_a_list_holds_any_text(database: Database) -> None:
    """Quotes, backslashes, what an array is written with, the word for nothing and no letter at all are each found as they are."""
    odd = ["", "NULL", 'a"b', "a\\", '\\"', "{a,b}", "a,b", " ", "ñ 😀", '"', '","', "'; --"]
    some = Prepared(select(PERSON.c.name).where(PERSON.c.name.in_(bindparam("names", expanding=True))))
    with database.write() as tx:
        tx.execute(Prepared(insert(PERSON)), [row(name=name) for name in [*odd, "null", "a", "b"]])
        for names in (odd, odd[:2], *([one] for one in odd)):
            assert sorted(tx.scalars(some, {"names": names})) == sorted(names)


def test_changes_count_their_rows(database: Database) -> None:
    """An UPDATE says how many rows it changed; run once for each of several parameters it changes all of them."""
    rename = Prepared(
        update(PERSON).where(PERSON.c.id == bindparam("key")).values(name=bindparam("new"), language="en")
    )
    rows = [row() for _ in range(3)]
    with database.write() as tx:
        tx.execute(Prepared(insert(PERSON)), rows)
        assert tx.execute(rename, {"key": rows[0]["id"], "new": "a"}).rowcount == 1
        assert tx.execute(rename, {"key": new_id(), "new": "a"}).rowcount == 0
        tx.execute(rename, [{"key": one["id"], "new": "b"} for one in rows[1:]])
        assert sorted(tx.scalars(select(PERSON.c.name))) == ["a", "b", "b"]
        assert set(tx.scalars(select(PERSON.c.language))) == {"en"}


def test_many_rows_at_once_are_as_good_as_one_by_one(database: Database) -> None:
    """JSON within JSON, quotes, odd characters, absent values and times of any zone come back as they went in, of an INSERT and of an UPDATE."""
    mexico = dt.timezone(dt.timedelta(hours=-6))
    add = Prepared(insert(TABLES["campaign"]))
    odd = ["ñ", "a'b", '{"x": "\\"}', "\u2028\n\t", "", "%(id)s %s ?"]
    rows = [
        {"id": f"c{nth}", "state": "paused", "settings": {"said": text, "n": [None, 1.5, True]}, "changed_at_utc": NOON.astimezone(mexico)}
        for nth, text in enumerate(odd)
    ]  # fmt: skip
    table = TABLES["campaign"]
    change = Prepared(
        update(table)
        .where(table.c.id == bindparam("key"))
        .values(settings=bindparam("new", type_=table.c.settings.type), state="%(state)s")
    )
    people = [row(name=text, region=None if text else "MX-BCN") for text in odd]
    with database.write() as tx:
        tx.execute(add, rows)
        tx.execute(Prepared(insert(PERSON)), people)
        found = tx.execute(Prepared(select(table).order_by(table.c.id))).all()
        assert [(one.settings, one.changed_at_utc) for one in found] == [
            (one["settings"], NOON) for one in rows
        ]
        assert {(one.name, one.region) for one in tx.execute(select(PERSON))} == {
            (one["name"], one["region"]) for one in people
        }
        assert (
            tx.execute(change, [{"key": one["id"], "new": {"now": one["id"]}} for one in rows[:3]]).rowcount
            == 3
        )
        found = tx.execute(Prepared(select(table).order_by(table.c.id))).all()
    assert [one.settings for one in found] == [{"now": f"c{nth}"} for nth in range(3)] + [
        one["settings"] for one in rows[3:]
    ]
    assert [one.state for one in found] == ["%(state)s"] * 3 + ["paused"] * 3


def test_errors_of_many_rows_are_the_librarys(database: Database) -> None:
    """A broken constraint, a time without a zone, an odd id or a surrogate in one of many rows raise what one row's would."""
    add = Prepared(insert(PERSON))
    wrong: list[tuple[type[exc.SQLAlchemyError], dict[str, Any]]] = [
        (exc.IntegrityError, row(id="00000000-0000-7000-8000-000000000001")),
        (exc.StatementError, row(created_at_utc=NOON.replace(tzinfo=None))),
        (exc.StatementError, row(id="nobody")),
    ]
    with database.write() as tx:
        tx.execute(add, row(id="00000000-0000-7000-8000-000000000001"))
        for kind, one in wrong:
            with pytest.raises(kind), tx.savepoint():
                tx.execute(add, [row(), one])
        assert len(list(tx.scalars(Prepared(select(PERSON.c.id))))) == 1


def test_errors_are_the_librarys(database: Database) -> None:
    """A broken constraint, a wrong value and a missing parameter raise what `Connection.execute` raises, without the values."""
    add = Prepared(insert(PERSON))
    first = row(external_id="P1")
    with database.write() as tx:
        tx.execute(add, first)
        with pytest.raises(exc.IntegrityError) as broken, tx.savepoint():
            tx.execute(add, row(external_id="P1"))
        assert "P1" not in str(broken.value.statement)
        with pytest.raises(exc.StatementError, match="not an id"), tx.savepoint():
            tx.execute(add, row(id="nobody", external_id=None))
        with pytest.raises(exc.StatementError), tx.savepoint():
            tx.execute(Prepared(_by_id()), {})
        assert list(tx.scalars(Prepared(select(PERSON.c.id)))) == [first["id"]]


def _by_id() -> Select[Any]:
    return select(PERSON).where(PERSON.c.id == bindparam("key"))


def test_an_insert_must_name_every_column_with_a_default(database: Database) -> None:
    """What the library would fill in by itself is asked for, not left out."""
    lead = {
        "id": new_id(),
        "campaign_id": CAMPAIGN,
        "account_id": new_id(),
        "person_id": new_id(),
        "state": "dialable",
    }
    with database.write() as tx, pytest.raises(exc.CompileError, match="priority"):  # noqa: PT012 - as above
        put_campaign(tx)
        tx.execute(Prepared(insert(LEAD)), {**lead, "next_at_utc": NOON, "created_at_utc": NOON})


def test_a_lost_connection_is_a_database_that_is_away(database: Database) -> None:
    """A server that goes away under a statement is told as such, and the next transaction has a new connection."""
    if database.dialect != "postgresql":
        return  # a file cannot be lost like that
    with pytest.raises(DatabaseAwayError), database.write() as tx:  # noqa: PT012 - as above
        os.kill(int(tx.scalar(text("SELECT pg_backend_pid()"))), signal.SIGTERM)
        for _ in range(100):
            tx.execute(Prepared(_by_id()), {"key": new_id()})
    with database.write() as tx:
        assert tx.execute(Prepared(_by_id()), {"key": new_id()}).first() is None
