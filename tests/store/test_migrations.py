"""The migrations make the tables that the models say, on both databases, and take them away again."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from dialer_core.errors import StoreError
from dialer_core.store.database import open_database
from dialer_core.store.models import Base
from dialer_core.vocabulary import new_id

pytestmark = pytest.mark.db


def schema(engine: Engine) -> dict[str, object]:
    """Return what a database itself says of its tables: columns, keys, indexes with their conditions."""
    found = {}
    look = inspect(engine)
    for table in sorted(set(look.get_table_names()) - {"alembic_version"}):
        found[table] = {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in look.get_columns(table)
            ],
            "key": look.get_pk_constraint(table),
            "foreign": sorted(look.get_foreign_keys(table), key=lambda key: str(key["name"])),
            "unique": sorted(look.get_unique_constraints(table), key=lambda one: str(one["name"])),
        }
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            query = (
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
            )
        else:
            query = (
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"
            )
        found["indexes"] = {
            name: " ".join(sql.split())
            for name, sql in connection.execute(text(query))
            if "alembic" not in name
        }
    return found


def test_migrated_schema_is_the_models(database_url: str) -> None:
    """Migrating an empty database gives, column for column and index for index, what the models would create."""
    database = open_database(database_url)
    database.migrate()
    database.dispose()
    engine = create_engine(database_url)
    migrated = schema(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)
    assert migrated == schema(engine)
    assert len(migrated) == len(Base.metadata.tables) + 1
    engine.dispose()


def test_downgrade_leaves_nothing(database_url: str) -> None:
    """Downgrading to the base drops every table, and upgrading again makes them anew."""
    database = open_database(database_url)
    database.migrate()
    database.downgrade("base")
    engine = create_engine(database_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()
    database.migrate()
    database.require_current()
    database.dispose()


def test_processes_migrate_at_once(database_url: str) -> None:
    """Several programs that migrate the same database at the same time all succeed."""
    databases = [open_database(database_url) for _ in range(3)]
    failures: list[Exception] = []

    def migrate(index: int) -> None:
        try:
            databases[index].migrate()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    databases[0].require_current()
    for database in databases:
        database.dispose()


def test_require_current(database_url: str) -> None:
    """A database without tables, behind, or ahead is refused in a line that says what to do."""
    database = open_database(database_url)
    with pytest.raises(StoreError, match="has no tables yet; run the migrations"):
        database.require_current()
    database.migrate()
    database.require_current()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match=r"revision 9999.*newer.*install that version"):
        database.require_current()
    with pytest.raises(StoreError, match="revision 9999"):
        database.migrate()
    database.dispose()


def test_rows_survive_up_and_down(database_url: str) -> None:
    """Rows of the revision before are the same after going up and back, and the new columns have their defaults."""
    database = open_database(database_url)
    database.migrate()
    database.downgrade("0005")
    engine = create_engine(database_url)
    person, account, phone = (new_id().replace("-", "") for _ in range(3))
    at = "2026-03-02 18:00:00.000000"
    with engine.begin() as connection:
        for table, row in {
            "person": {"id": person, "name": "Ana", "language": "es", "created_at_utc": at},
            "phone": {"id": phone, "person_id": person, "e164": "+525511110000", "kind": "mobile", "rank": 0,
                      "zones": "America/Mexico_City", "failures": 1},
            "account": {"id": account, "person_id": person, "portfolio": "default", "external_id": "A1", "creditor": "Banco",
                        "balance_cents": 150050, "attributes": "{}", "created_at_utc": at},
        }.items():  # fmt: skip
            names = ", ".join(row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(row)})"), row)  # noqa: S608
    database.migrate()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT balance_minor, status FROM account")).one() == (150050, "open")
        found = connection.execute(
            text("SELECT failures, tries, answers, last_answer_utc, hours FROM phone")
        ).one()
        assert found == (1, 0, 0, None, None)
    database.downgrade("0005")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT balance_cents, external_id FROM account")).one() == (
            150050,
            "A1",
        )
        assert connection.scalar(text("SELECT failures FROM phone")) == 1
    engine.dispose()
    database.migrate()
    database.require_current()
    database.dispose()


def test_leads_survive_without_their_segments(database_url: str) -> None:
    """Segments and shown numbers go with the downgrade, the lead itself stays as it was, and has none after coming back."""
    database = open_database(database_url)
    database.migrate()
    database.downgrade("0012")
    engine = create_engine(database_url)
    person, account, lead = (new_id().replace("-", "") for _ in range(3))
    at = "2026-03-02 18:00:00.000000"
    with engine.begin() as connection:
        for table, row in {
            "person": {"id": person, "name": "Ana", "language": "es", "created_at_utc": at},
            "account": {"id": account, "person_id": person, "portfolio": "default", "external_id": "A1", "creditor": "Banco",
                        "attributes": "{}", "created_at_utc": at},
            "campaign": {"id": "c", "state": "running", "settings": "{}", "changed_at_utc": at},
            "lead": {"id": lead, "campaign_id": "c", "account_id": account, "person_id": person, "state": "dialable", "priority": 2,
                     "next_at_utc": at, "attempts": 3, "created_at_utc": at},
        }.items():  # fmt: skip
            names = ", ".join(row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(row)})"), row)  # noqa: S608
    database.migrate()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT attempts, segment FROM lead")).one() == (3, None)
        connection.execute(text("UPDATE lead SET segment = 'mora_60'"))
    database.downgrade("0012")
    database.migrate()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT attempts, priority, segment FROM lead")).one() == (3, 2, None)
    engine.dispose()
    database.dispose()
