"""The leg table: one row per SIP dialog of ours, a customer's or an agent's.

It owns the rows, from which a dialog whose worker died can be ended. It does not own what a leg does
(`calls/`).
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Row, Table, bindparam, select, true
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from dialer_core.errors import StoreError
from dialer_core.store.errors import AlreadyEndedError
from dialer_core.store.models import Leg
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AttemptId, LegId, LegKind

_TABLE: Table = Leg.__table__  # type: ignore[assignment]
_INSERT = Prepared(sql_insert(_TABLE))
_END_ONLY = frozenset({"id", "live", "ended_at_utc"})


class NewLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a leg when it is asked for."""

    id: LegId
    kind: LegKind
    node: str
    worker: str
    opened_at_utc: dt.datetime
    attempt_id: AttemptId | None = None
    agent_id: AgentId | None = None
    media_port: int | None = None


def insert(tx: Tx, new: NewLeg) -> None:
    """Write a live leg."""
    row = {field: getattr(new, field) for field in NewLeg.__struct_fields__}
    tx.execute(_INSERT, row | {"kind": new.kind.value, "live": True})


def update(tx: Tx, leg_id: LegId, **columns: Any) -> None:
    """Set columns of a leg: `call_id`, `dialog`, `codec`, `media_port`, `worker`, `sip_code`, `statistics`.

    Raises
    ------
    StoreError
        A column is not one of the leg's, or belongs to `end`; or there is no such leg.
    """
    if wrong := columns.keys() & _END_ONLY:
        raise StoreError(f"leg.{min(wrong)} is set when the leg ends; call end()")
    if tx.execute(_update_of(frozenset(columns), False), columns | {"key": leg_id}).rowcount != 1:
        raise StoreError(f"there is no leg {leg_id}")


def set_statistics(tx: Tx, leg_id: LegId, statistics: dict[str, Any]) -> None:
    """Set a leg's totals, live or ended; nothing where there is no such leg."""
    tx.execute(_update_of(frozenset({"statistics"}), False), {"statistics": statistics, "key": leg_id})


def end(tx: Tx, leg_id: LegId, *, at_utc: dt.datetime, **columns: Any) -> None:
    """End a leg; `columns` as in `update`.

    Raises
    ------
    AlreadyEndedError
        It has ended, or never was.
    """
    values = columns | {"live": False, "ended_at_utc": at_utc}
    if tx.execute(_update_of(frozenset(values), True), values | {"key": leg_id}).rowcount != 1:
        raise AlreadyEndedError(f"leg {leg_id} is not live; it cannot end")


def live(tx: Tx, node: str | None = None, kind: LegKind | None = None) -> list[Leg]:
    """Return the live legs, of one node or all, of one kind or both, the oldest first."""
    query = select(_TABLE).where(_TABLE.c.live == true()).order_by(_TABLE.c.id)
    if node is not None:
        query = query.where(_TABLE.c.node == node)
    if kind is not None:
        query = query.where(_TABLE.c.kind == kind.value)
    return [_record(row) for row in tx.execute(query)]


def of_attempt(tx: Tx, attempt_id: AttemptId) -> list[Leg]:
    """Return every leg of an attempt, the oldest first."""
    query = select(_TABLE).where(_TABLE.c.attempt_id == attempt_id).order_by(_TABLE.c.id)
    return [_record(row) for row in tx.execute(query)]


@lru_cache(maxsize=64)
def _update_of(columns: frozenset[str], only_live: bool) -> Prepared:  # noqa: FBT001 - part of the cache's key
    if unknown := columns - set(_TABLE.c.keys()):
        raise StoreError(f"leg has no column {min(unknown)}")
    statement = (
        sql_update(_TABLE)
        .where(_TABLE.c.id == bindparam("key"))
        .values({name: bindparam(name) for name in columns})
    )
    return Prepared(statement.where(_TABLE.c.live == true()) if only_live else statement)


def _record(row: Row[Any]) -> Leg:
    """Return a row as a detached record: changing it changes nothing in the store."""
    return Leg(**row._asdict())
