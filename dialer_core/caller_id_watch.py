"""Caller IDs looked at again and again, in the host: who alarms is told once, in an event, and once more when it is over.

It owns when they are looked at and what is told. The rule is `campaigns/caller_id_health.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from dialer_core.campaigns import caller_id_health
from dialer_core.errors import StoreError
from dialer_core.list_events import CallerIdHealthChanged
from dialer_core.list_settings import CallerIdPool
from dialer_core.store.database import Database

log = structlog.get_logger(__name__)

INTERVAL_S = 600.0


async def watch(
    database: Database, pools: Mapping[str, CallerIdPool], told: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    """Look at every pool until cancelled; `told` is what has been told, by pool and number."""
    while True:
        try:
            await asyncio.to_thread(look, database, pools, told)
        except StoreError as error:  # looked at again in a while
            log.warning("caller_ids_not_looked_at", error=str(error))
        await asyncio.sleep(INTERVAL_S)


def look(
    database: Database, pools: Mapping[str, CallerIdPool], told: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    """Look once, and write an event for each number whose signs have changed."""
    news = []
    for name, pool in pools.items():
        with database.read() as tx:
            found = caller_id_health.look(tx, name, pool, database.clock.utc())
        for one in found:
            signs = tuple(sign.value for sign in one.signs)
            if told.get((name, one.number), ()) != signs:
                told[name, one.number] = signs
                news.append(one)
    if not news:
        return
    with database.write() as tx:
        for one in news:
            log.warning("caller_id_health_changed", pool=one.pool, signs=[*one.signs], attempts=one.attempts)
            tx.emit(
                CallerIdHealthChanged(
                    pool=one.pool, position=pools[one.pool].numbers.index(one.number) + 1, signs=tuple(s.value for s in one.signs),
                    attempts=one.attempts, answered=one.answered, short=one.short, blocked=one.blocked,
                )
            )  # fmt: skip
