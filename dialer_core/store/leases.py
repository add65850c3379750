"""The lease table: what each of several nodes may use of what they share, and which nodes are gone.

It owns the rows and how a trunk is shared. A node asks again every few seconds; what it does not ask for again lapses, and is
free once the node is buried. All nodes ask one after the other, so that what is given never exceeds what there is: a node that has just come
gets what the others do not use, and they go down to their share as their calls end. It does not own what a node does without a lease (`nodes.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Table, delete, func, insert, select, text, update

from dialer_core.store.lease_models import Lease
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import TrunkId

TTL: Final = dt.timedelta(seconds=15)
"""A node that has not asked for so long is gone."""

_TABLE: Table = Lease.__table__  # type: ignore[assignment]
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('lease', 0))")


class Share(msgspec.Struct, frozen=True):
    """Of one trunk: what it has, what a node uses, or what it is given."""

    lines: int
    calls_per_second: float


class Granted(msgspec.Struct, frozen=True):
    """What a node has now, for `TTL`."""

    trunks: dict[TrunkId, Share]
    pools: frozenset[str]
    paced_by: dict[str, str]
    """Of the pools it asked for and did not get: who has them."""
    gone: tuple[str, ...]
    """Nodes whose leases have lapsed, and whose calls nobody has ended yet."""
    alone: bool
    """No other node is alive."""
    at_utc: dt.datetime
    """By the clock that leases go by."""
    expelled: bool
    """Others have taken this node for gone since it last asked: what it did is not its own any more, and it gets nothing until it begins anew."""


def renew(
    tx: Tx,
    node: str,
    trunks: Mapping[TrunkId, tuple[Share, int]],
    pools: Collection[str],
    *,
    known: bool,
    now: dt.datetime | None = None,
) -> Granted:
    """Ask for what a node needs, in place of what it had.

    Parameters
    ----------
    tx
        A write transaction.
    node
        Whose.
    trunks
        By name: what the trunk has, and the lines that the node uses now, which it keeps.
    pools
        Those it wants to pace: one node has each, until it lapses or is not asked for again.
    known
        It has asked before, since it began.
    now
        By default the database's time.
    """
    if tx.dialect == "postgresql":
        tx.execute(_LOCK)
    now = now or _now(tx)
    rows = tx.execute(select(_TABLE)).all()
    if known and not any(row.node == node for row in rows):
        return Granted(
            dict.fromkeys(trunks, Share(0, 0.0)), frozenset(), {}, (), alone=False, at_utc=now, expelled=True
        )
    if any(
        row.until_utc > now + TTL for row in rows
    ):  # the clock was set back: nobody has anything for longer than it lasts
        tx.execute(update(_TABLE).where(_TABLE.c.until_utc > now + TTL).values(until_utc=now + TTL))
    gone = sorted(
        {row.node for row in rows if row.kind == "node" and row.node != node and row.until_utc <= now}
    )
    # A node that lapsed keeps what it has until it is buried: its calls may be up, and where the clock was set forward it is alive.
    others = [row for row in rows if row.node != node]
    alive = sorted({row.node for row in others if row.kind == "node"} | {node})
    held = {
        name: _share(
            whole, used, alive, node, [row for row in others if (row.kind, row.name) == ("trunk", name)]
        )
        for name, (whole, used) in trunks.items()
    }
    paced_by = {row.name: row.node for row in others if row.kind == "pool" and row.name in pools}
    got = frozenset(pools) - paced_by.keys()
    tx.execute(delete(_TABLE).where(_TABLE.c.node == node))
    common = {"node": node, "until_utc": now + TTL, "lines": None, "calls_per_second": None}
    tx.execute(
        insert(_TABLE),
        [
            common | {"kind": "node", "name": node},
            *(common | {"kind": "pool", "name": name} for name in sorted(got)),
            *(
                common | {"kind": "trunk", "name": name, **msgspec.structs.asdict(share)}
                for name, share in held.items()
            ),
        ],
    )
    return Granted(held, got, paced_by, tuple(gone), len(alive) == 1, now, expelled=False)


def give_up(tx: Tx, node: str) -> None:
    """End a node's leases at once: it stops, and others need not wait."""
    tx.execute(delete(_TABLE).where(_TABLE.c.node == node))


def bury(tx: Tx, node: str, now: dt.datetime | None = None) -> bool:
    """Take the leases of a node that is gone away; False where it is not gone, or another node was faster. Whoever did it ends its calls."""
    if tx.dialect == "postgresql":
        tx.execute(_LOCK)
    rows = tx.execute(select(_TABLE.c.until_utc).where(_TABLE.c.kind == "node", _TABLE.c.node == node)).all()
    if not rows or rows[0].until_utc > (now or _now(tx)):
        return False
    give_up(tx, node)
    return True


def _share(whole: Share, used: int, alive: list[str], node: str, others: Sequence[Row[Any]]) -> Share:
    """Return a node's share of a trunk: an equal one, or what it uses if that is more, out of what the others do not have."""
    place, count = alive.index(node), len(alive)
    equal = whole.lines // count + (place < whole.lines % count)
    left = max(0, whole.lines - sum(row.lines or 0 for row in others))
    left_rate = max(0.0, whole.calls_per_second - sum(row.calls_per_second or 0.0 for row in others))
    return Share(min(max(equal, used), left), min(whole.calls_per_second / count, left_rate))


def _now(tx: Tx) -> dt.datetime:
    if tx.dialect != "postgresql":
        return tx.utc()
    found: dt.datetime = tx.scalar(select(func.clock_timestamp()))
    return found
