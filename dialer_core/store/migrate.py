"""Alembic without its command line: to the newest revision, back, and the check of a database's revision.

It owns where revisions lie and how they are run. The revisions are in `migrations/versions/`; a new one is
written by `python -m dialer_core.store.migrate NAME` against a database at the newest revision.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, text

from dialer_core.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant does: processes that migrate the same PostgreSQL database at once wait for one another on it.
_LOCK_KEY = 0x6D617263


def upgrade(connection: Connection, place: str) -> None:
    """Bring the tables to the newest revision in one transaction."""
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        _refuse_newer(_revision(connection), place)
        command.upgrade(_config(connection), "head")


def downgrade(connection: Connection, revision: str) -> None:
    """Take the tables back to a revision."""
    with connection.begin():
        command.downgrade(_config(connection), revision)


def require_current(connection: Connection, place: str) -> None:
    """Raise StoreError unless the tables are at the newest revision."""
    revision, head = _revision(connection), _scripts().get_current_head()
    _refuse_newer(revision, place)
    if revision is None:
        raise StoreError(
            f"the database {place} has no tables yet; run the migrations ('dialer run' does at its start)"
        )
    if revision != head:
        raise StoreError(
            f"the database {place} is at revision {revision} and this program needs {head}; "
            "run the migrations ('dialer run' does at its start)"
        )


def _refuse_newer(revision: str | None, place: str) -> None:
    if revision is None:
        return
    try:
        _scripts().get_revision(revision)
    except CommandError:
        raise StoreError(
            f"the database {place} is at revision {revision}, which this program does not know: "
            "it was migrated by a newer one; install that version"
        ) from None


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _write_revision() -> None:
    parser = argparse.ArgumentParser(
        description="Write a revision that takes the tables to the models as they are now."
    )
    parser.add_argument("name", help="what it does, in a few words")
    parser.add_argument(
        "--url", required=True, help="a scratch database to compare with; it is migrated first"
    )
    arguments = parser.parse_args()
    with create_engine(arguments.url).begin() as connection:
        config = _config(connection)
        command.upgrade(config, "head")
        last = int(_scripts().get_current_head() or 0)
        command.revision(config, arguments.name, autogenerate=True, rev_id=f"{last + 1:04d}")


if __name__ == "__main__":
    _write_revision()
