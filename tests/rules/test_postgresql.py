"""The private PostgreSQL that database tests run on."""

import pytest
from sqlalchemy import create_engine, inspect, text

pytestmark = pytest.mark.db


def test_the_server_answers_over_its_socket(postgresql_url: str) -> None:
    """The shared database takes a connection and is PostgreSQL in UTF-8."""
    engine = create_engine(postgresql_url)
    with engine.connect() as link:
        assert link.scalar(text("SHOW server_encoding")) == "UTF8"
        assert link.scalar(text("SHOW listen_addresses")) == ""
    engine.dispose()


def test_every_test_gets_an_empty_database(postgresql_database: str, postgresql_url: str) -> None:
    """A test's own database holds no table and is not the shared one."""
    engine = create_engine(postgresql_database)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    assert postgresql_database != postgresql_url
