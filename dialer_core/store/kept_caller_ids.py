"""The kept_caller_id table: from which number of a pool a person is called.

It owns the rows. Which number is chosen is `campaigns/caller_ids.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import Table, bindparam, insert, select, update

from dialer_core.store.dialing_models import KeptCallerId
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import PersonId

_TABLE: Table = KeptCallerId.__table__  # type: ignore[assignment]
_OF = Prepared(
    select(_TABLE.c.person_id, _TABLE.c.number).where(
        _TABLE.c.person_id.in_(bindparam("persons", expanding=True)), _TABLE.c.pool == bindparam("named")
    )
)


def of(tx: Tx, pool: str, person_ids: Collection[PersonId]) -> dict[PersonId, str]:
    """Return the numbers of a pool that these people are called from, of those who have one."""
    if not person_ids:
        return {}
    return {
        row.person_id: row.number for row in tx.execute(_OF, {"persons": list(person_ids), "named": pool})
    }


def keep(tx: Tx, pool: str, person_id: PersonId, number: str, now: dt.datetime, *, known: bool) -> None:
    """Write the number that a person is called from; `known`: in place of the one that is there."""
    row = {"person_id": person_id, "pool": pool, "number": number, "since_utc": now}
    if known:
        where = (_TABLE.c.person_id == person_id, _TABLE.c.pool == pool)
        tx.execute(update(_TABLE).where(*where).values(number=number, since_utc=now))
    else:
        tx.execute(insert(_TABLE), row)
