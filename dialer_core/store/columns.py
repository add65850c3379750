"""The columns that tables are made of: times in UTC, ids as text, and the declarative base that names constraints.

It owns types and names. The tables are `models.py`'s and `portfolio_models.py`'s.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, MetaData, Text, TypeDecorator, Uuid
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase

_Convert = Callable[[Any], Any]


class UtcDateTime(TypeDecorator[dt.datetime]):
    """Aware UTC in and out, on databases that keep zones and on SQLite, which does not: there it is text, in order of time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    # The library's own processors regard every form a time may have, at several times the cost; a claim reads hundreds of times.
    def bind_processor(self, dialect: Dialect) -> _Convert | None:
        """Return what refuses naive times and gives UTC; on SQLite as text."""
        return _time_to_text if dialect.name == "sqlite" else _time_to_utc

    def result_processor(self, dialect: Dialect, coltype: object) -> _Convert | None:
        """Return what gives every time its zone back."""
        del coltype
        return _time_from_text if dialect.name == "sqlite" else _time_to_utc


def _time_to_utc(value: dt.datetime | None) -> dt.datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        msg = "a naive time was given to the store; use UTC with tzinfo"
        raise ValueError(msg)
    return value.astimezone(dt.UTC)


def _time_to_text(value: dt.datetime | None) -> str | None:
    utc = _time_to_utc(value)
    return None if utc is None else f"{utc.replace(tzinfo=None).isoformat(' ', 'microseconds')}"


def _time_from_text(value: str | None) -> dt.datetime | None:
    return None if value is None else dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)


class Id(TypeDecorator[str]):
    """A UUID as text. Refuses anything else on the way in, as PostgreSQL does; SQLite would fail when reading."""

    impl = Uuid(as_uuid=False)
    cache_ok = True
    _FORM = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.IGNORECASE)

    def bind_processor(self, dialect: Dialect) -> _Convert | None:
        """Return what refuses anything but an id, without quoting it; SQLite keeps the digits alone."""
        return self._digits if dialect.name == "sqlite" else self._checked

    def result_processor(self, dialect: Dialect, coltype: object) -> _Convert | None:
        """Return what gives the canonical form."""
        del coltype
        return _id_from_digits if dialect.name == "sqlite" else _id_as_text

    @classmethod
    def _checked(cls, value: str | None) -> str | None:
        if value is not None and not cls._FORM.fullmatch(value):
            msg = "this is not an id; ids are UUIDs in text"
            raise ValueError(msg)
        return value

    @classmethod
    def _digits(cls, value: str | None) -> str | None:
        return None if cls._checked(value) is None or value is None else value.replace("-", "").lower()


def _id_from_digits(value: str | None) -> str | None:
    if value is None:
        return None
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


def _id_as_text(value: Any) -> str | None:
    return (
        None if value is None else str(value)
    )  # the driver's own type, unless the connection was told (`database.py`)


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
