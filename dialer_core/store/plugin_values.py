"""The plugin_value table: what plugins keep for themselves, each under its own name. It owns the rows and does not look into them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dialer_core.store.dialing_models import PluginValue
from dialer_core.store.tx import Tx

_TABLE: Table = PluginValue.__table__  # type: ignore[assignment]
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
MOST_KEY: int = 255
"""Characters of a key."""


def get(tx: Tx, plugin: str, keys: Collection[str]) -> dict[str, Any]:
    """Return the values of those of these keys that there are."""
    query = select(_TABLE.c.key, _TABLE.c.value).where(_TABLE.c.plugin == plugin, _TABLE.c.key.in_(keys))
    return {row.key: row.value for row in tx.execute(query)}


def page(tx: Tx, plugin: str, prefix: str, after: str, limit: int) -> list[tuple[str, Any]]:
    """Return so many of the keys that begin like this, in order, those behind `after`."""
    query = (
        select(_TABLE.c.key, _TABLE.c.value)
        .where(
            _TABLE.c.plugin == plugin,
            _TABLE.c.key.startswith(prefix, autoescape=True),
            _TABLE.c.key > after,
        )
        .order_by(_TABLE.c.key)
        .limit(limit)
    )
    return [(row.key, row.value) for row in tx.execute(query)]


def put(tx: Tx, plugin: str, values: Mapping[str, Any], now: dt.datetime) -> None:
    """Write values in place of what stood under their keys; of two nodes that write one at once, the later word stands."""
    if not values:
        return
    new = _INSERT[tx.dialect](_TABLE)
    kept = {"value": new.excluded.value, "changed_at_utc": new.excluded.changed_at_utc}
    tx.execute(
        new.on_conflict_do_update(index_elements=list(_TABLE.primary_key), set_=kept),
        # in one order for everybody, so that no two wait for each other
        [
            {"plugin": plugin, "key": key, "value": values[key], "changed_at_utc": now}
            for key in sorted(values)
        ],
    )


def swap(tx: Tx, plugin: str, key: str, before: Any, after: Any, now: dt.datetime) -> bool:
    """Write a value if what stands under its key is still `before` (None: nothing); say whether it was. Of several at once one does it."""
    row = {"plugin": plugin, "key": key, "value": after, "changed_at_utc": now}
    if before is None:
        new = _INSERT[tx.dialect](_TABLE).values(row).on_conflict_do_nothing().returning(_TABLE.c.key)
        return tx.execute(new).first() is not None
    this = (_TABLE.c.plugin == plugin, _TABLE.c.key == key)
    # on SQLite a write transaction is alone from its beginning
    if tx.scalar(select(_TABLE.c.value).where(*this).with_for_update()) != before:
        return False
    tx.execute(update(_TABLE).where(*this).values(value=after, changed_at_utc=now))
    return True


def remove(tx: Tx, plugin: str, keys: Collection[str]) -> None:
    """Take keys away, where they are."""
    if keys:
        tx.execute(
            delete(_TABLE).where(_TABLE.c.plugin == bindparam("whose"), _TABLE.c.key == bindparam("its")),
            [{"whose": plugin, "its": key} for key in sorted(keys)],
        )
