"""A customer's own database, SQLite and PostgreSQL: rows in by a column that grows, rows out by a key of theirs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    insert,
    select,
    update,
)

from dialer_core.store.database import Database
from plugins.crm.connector import AwayError, LoginError, MappingError
from tests.plugins.crm.floor import Floor
from tests.postgresql import *  # noqa: F403 - fixtures: whichever that file needs among themselves

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

MAPPING = """
begin = "start"

[connections.crm]
kind = "sql"
url_env = "CRM_URL"
page_rows = 2

[accounts.cartera]
connection = "crm"
campaign = "spring"
source = "deudas"
where = "saldo > 0"
key = "numero"
modified = "cambiado"

[accounts.cartera.fields]
external_id = "numero"
name = "nombre"
phone = "tel"
balance = "saldo"

[out.promesas]
connection = "crm"
what = "promise"
target = "promesas"
key = "marcador_id"
fields.numero = "{account}"
fields.monto = "{amount}"
fields.dia = "{first_due}"
fields.estado = "{state}"
"""
_META = MetaData()
DEBTS = Table(
    "deudas", _META, Column("numero", String(20), primary_key=True), Column("nombre", String(50)), Column("tel", String(30)),
    Column("saldo", Numeric(12, 2)), Column("cambiado", DateTime),
)  # fmt: skip
PROMISES = Table(
    "promesas", _META, Column("marcador_id", String(36), primary_key=True), Column("numero", String(20)), Column("monto", Numeric(12, 2)),
    Column("dia", String(10)), Column("estado", String(12), nullable=False),
)  # fmt: skip
NOON = dt.datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 - as that database has it


@pytest.fixture(params=["sqlite", "postgresql"])
def theirs(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Their database, with five debts of which four changed in the same second, and one that owes nothing."""
    url = (
        f"sqlite:///{tmp_path / 'theirs.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgresql_database"))
    )
    monkeypatch.setenv("CRM_URL", url)
    engine = create_engine(url)
    _META.create_all(engine)
    with engine.begin() as their:
        for number in range(6):
            row: dict[str, Any] = {
                "numero": f"N{number}",
                "nombre": f"Ana {number}",
                "tel": f"551234500{number}",
                "saldo": Decimal("1500.50"),
                "cambiado": NOON,
            }
            their.execute(insert(DEBTS), row | ({"saldo": 0} if number == 5 else {}))
    yield engine
    engine.dispose()


@pytest.fixture
def floor(database: Database, tmp_path: Path, theirs: Engine) -> Floor:
    """The plugin, mapped onto it."""
    return Floor(database, tmp_path, MAPPING)


async def test_rows_come_in_behind_each_other(floor: Floor, theirs: Engine) -> None:
    """Rows of one second are told apart by their key over pages; then only what is newer comes, and the same again changes nothing."""
    first = await floor.pull()
    assert (first.read, first.new) == (5, 5)
    view = await floor.engine.accounts.get(await floor.account("N3"))
    assert (view.person.name, view.account.balance_minor) == ("Ana 3", 150_050)
    later = NOON + dt.timedelta(minutes=10)
    with theirs.begin() as their:
        their.execute(update(DEBTS).where(DEBTS.c.numero == "N1").values(saldo=Decimal(9), cambiado=later))
    second = await floor.pull()
    assert (second.updated, second.new) == (1, 0)
    third = await floor.pull()
    assert (third.read, third.updated, third.unchanged) == (1, 0, 1)


async def test_rows_go_out_by_a_key(floor: Floor, theirs: Engine) -> None:
    """A promise is a row of their table, changed when it is told again; a row that the database refuses is a dead letter, the others are in."""
    await floor.pull()
    promise = floor.promise(await floor.account("N1"))
    assert (await floor.push()).written == 1
    await floor.engine.store.put("out/crm", "")
    assert (await floor.push()).written == 1
    with theirs.connect() as their:
        (row,) = their.execute(select(PROMISES)).all()
    assert tuple(row) == (promise, "N1", Decimal("500.00"), "2026-03-11", "open")
    long = Floor.promise(floor, await floor.account("N2"))
    floor.promise(await floor.account("N3"))
    text = floor.file.read_text().replace(
        '"{state}"', '"{state}"\nvalues.state = { open = "a word that is far too long for it" }'
    )
    if theirs.dialect.name == "postgresql":
        floor.file.write_text(text)
        done = await floor.push()
        assert (done.written, done.dead) == (0, 2)
        assert all("too long" in one["reason"] for one in (await floor.kept("dead/")).values())
    else:
        floor.file.write_text(floor.file.read_text().replace("fields.dia", "fields.day"))
        done = await floor.push()
        assert (done.written, done.dead) == (0, 2)
        assert {one["reason"] for one in (await floor.kept("dead/")).values()} == {
            "promesas has no column 'day'"
        }
    assert long


async def test_wrong_words(floor: Floor, theirs: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table, a column, a condition and a URL that are wrong are each said; no value of theirs stands in the words."""
    async with floor.connection() as connector:
        await connector.check()
        assert await connector.fields_of("deudas") == {"numero", "nombre", "tel", "saldo", "cambiado"}
        with pytest.raises(MappingError, match="no table 'nada'"):
            await connector.fields_of("nada")
    whole = floor.file.read_text()
    for wrong, right, words in (('"tel"', '"fon"', "no column 'fon'"), ("saldo > 0", "sueldo > 0", "sueldo")):
        floor.file.write_text(whole.replace(wrong, right))
        with pytest.raises(MappingError, match=words):
            await floor.pull()
    floor.file.write_text(whole)
    monkeypatch.setenv("CRM_URL", "nonsense")
    with pytest.raises(LoginError, match="none that SQLAlchemy understands"):
        await floor.pull()
    monkeypatch.setenv("CRM_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(AwayError, match="connection"):
        await floor.pull()
