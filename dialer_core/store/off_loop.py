"""Transactions for whoever runs on an event loop: each in a thread, so that a slow database holds up nobody else there.

It owns the way to the thread and back. What is asked and written is the caller's; the call loop has its own writer (`journal.py`) and reader
(`reader.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from dialer_core.store.database import Database
from dialer_core.store.tx import Tx

T = TypeVar("T")


async def read(database: Database, work: Callable[[Tx], T]) -> T:
    """Ask something in a read transaction of its own. Raises what it raises, and `StoreError`."""

    def run() -> T:
        with database.read() as tx:
            return work(tx)

    return await asyncio.to_thread(run)


async def write(database: Database, work: Callable[[Tx], T], then: Callable[[], None] = lambda: None) -> T:
    """Do something in a transaction of its own, and call `then` after its commit. Raises what it raises, and `StoreError`."""

    def run() -> T:
        with database.write() as tx:
            return work(tx)

    result = await asyncio.to_thread(run)
    then()
    return result
