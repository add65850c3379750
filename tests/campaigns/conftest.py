"""Tests of campaigns share the store's databases: each test that asks for `database` runs on SQLite and on PostgreSQL."""

from tests.store.conftest import database, migrated_postgresql, migrated_url

__all__ = ["database", "migrated_postgresql", "migrated_url"]
