"""What time alone does to the portfolio: promises are broken, pauses after payments end, attempts are counted up for reports.

It owns the pace. The rules are `promises.py`'s and `payments.py`'s, the counting `store/rollups.py`'s.
It runs in the host; on several nodes each does a part, which is harmless.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Final

import structlog

from dialer_core.errors import StoreError
from dialer_core.portfolio import payments, promises
from dialer_core.store import account_leads, rollups
from dialer_core.store import promises as promise_rows
from dialer_core.store.database import Database

log = structlog.get_logger(__name__)

PREVIEW = "preview"
"""What a lead waits for that is shown to an agent; its time is written with it."""
INTERVAL_S: Final = 30.0
_LAST_ZONE = dt.timedelta(hours=8)
"""A due day is over when it is over at the Pacific: a promise is never broken too early."""


def keep_up(database: Database) -> tuple[int, int]:
    """Do what is due now, a few hundred rows of each at most; return (promises broken, leads whose pause is over)."""
    now = database.clock.utc()
    today = (now - _LAST_ZONE).date()
    with database.read() as tx:  # looked for first where nobody waits for it: many old instalments are read
        late = promise_rows.overdue(tx, today, 1)
    with database.write() as tx:
        broken = promises.break_overdue(tx, today, now) if late else 0
        account_leads.reopen_due(tx, PREVIEW, now)  # an engine died that had shown them
        return broken, payments.end_pauses(tx, now)


async def watch(database: Database) -> None:
    """Do what is due, again and again, until cancelled."""
    while True:
        try:
            while any(done := await asyncio.to_thread(keep_up, database)):
                log.info("portfolio_kept_up", promises_broken=done[0], pauses_over=done[1])
            if hours := await asyncio.to_thread(rollups.roll_up, database):
                log.info("attempts_counted_up", hours=hours)
        except StoreError as error:  # tried again in a moment
            log.warning("portfolio_not_kept_up", error=str(error))
        await asyncio.sleep(INTERVAL_S)
