"""Long questions: asked of a snapshot, on a thread of their own, while the journal goes on writing.

It owns that thread and its queue. A question over all of a campaign's attempts takes seconds where there are millions: on the journal's thread
nothing would be claimed or written meanwhile. It owns no question (the owner modules do) and writes nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

import structlog

from dialer_core.store.database import Database
from dialer_core.store.tx import Tx

T = TypeVar("T")
_Job = tuple[Callable[[Tx], Any], "asyncio.Future[Any]"]

log = structlog.get_logger(__name__)

LIMIT_S = 60.0
"""A statement that takes longer is given up: behind one that hangs, no other question would ever be answered."""


class Reader:
    """Asks one question after another.

    Parameters
    ----------
    database
        Of what.
    inline
        Ask each at once, on the caller's thread, and return a future that is done: for tests on a virtual clock.
    """

    def __init__(self, database: Database, *, inline: bool = False) -> None:
        self._database = database
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._inline = inline
        if not inline:
            threading.Thread(target=self._run, name="reader", daemon=True).start()

    def ask(self, question: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Ask a question in a read transaction, after those asked before; the future is resolved on this running loop.

        What was committed before the call is seen. A database that is away fails the future with `StoreError`.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._inline:
            _resolve(future, *self._answer(question))
        else:
            self._jobs.put((question, future))
        return future

    def close(self) -> None:
        """Ask nothing more. A question under way is not waited for: it writes nothing."""
        if not self._inline:
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            question, future = job
            answer = self._answer(question)
            try:
                future.get_loop().call_soon_threadsafe(_resolve, future, *answer)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits for the answer
                log.debug("reader_loop_gone")

    def _answer(self, question: Callable[[Tx], T]) -> tuple[T | None, Exception | None]:
        try:
            with self._database.read(LIMIT_S) as tx:
                return question(tx), None
        except Exception as error:  # noqa: BLE001 - the question's own: it goes to its future
            return None, error


def _resolve(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
