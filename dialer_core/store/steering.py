"""The steered table: what supervisors have changed of campaigns and agents while the engine runs, so that the next engine knows it too.

It owns the rows and their audit entries. What a setting means and what it may be is `dialer_core/steering.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Table, delete, insert, select

from dialer_core.store.steering_models import Steered
from dialer_core.store.tx import Tx

_TABLE: Table = Steered.__table__  # type: ignore[assignment]

Kind = Literal["campaign", "agent"]


def keep(tx: Tx, kind: Kind, name: str, settings: Mapping[str, Any], *, actor: str) -> None:
    """Keep what differs from the file now, in place of what was kept; nothing: it is as the file says again."""
    tx.execute(delete(_TABLE).where(_TABLE.c.kind == kind, _TABLE.c.name == name))
    if settings:
        row = {"kind": kind, "name": name, "settings": dict(settings), "actor": actor}
        tx.execute(insert(_TABLE), row | {"changed_at_utc": tx.utc()})
    tx.audit(f"{kind}.steered", f"{kind} {name}", actor=actor, **settings)


def kept(tx: Tx, kind: Kind) -> dict[str, dict[str, Any]]:
    """Return what is kept of every campaign, or every agent, by name."""
    return {
        row.name: row.settings
        for row in tx.execute(select(_TABLE.c.name, _TABLE.c.settings).where(_TABLE.c.kind == kind))
    }
