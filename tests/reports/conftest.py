"""Tests of reports share the store's databases: each test that asks for `database` runs on SQLite and on PostgreSQL."""

from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves
