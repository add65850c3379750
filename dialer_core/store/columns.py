"""The columns that tables are made of: times in UTC, ids as text, and the declarative base that names constraints.

It owns types and names. The tables are `models.py`'s and `portfolio_models.py`'s.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, MetaData, Text, TypeDecorator, Uuid
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase


class UtcDateTime(TypeDecorator[dt.datetime]):
    """Aware UTC in and out, on databases that keep zones and on SQLite, which does not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Refuse naive times; SQLite stores UTC without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a naive time was given to the store; use UTC with tzinfo"
            raise ValueError(msg)
        value = value.astimezone(dt.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Give every time its zone back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Id(TypeDecorator[str]):
    """A UUID as text. Refuses anything else on the way in, as PostgreSQL does; SQLite would fail when reading."""

    impl = Uuid(as_uuid=False)
    cache_ok = True
    _FORM = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse what is not an id, without quoting it."""
        del dialect
        if value is not None and not self._FORM.fullmatch(value):
            msg = "this is not an id; ids are UUIDs in text"
            raise ValueError(msg)
        return value


ID = Id()


class Base(DeclarativeBase):
    """Declarative base: names every constraint, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[type | Any, type]] = {
        dt.datetime: UtcDateTime,
        dict[str, Any]: JSON,
        str: Text,
    }
