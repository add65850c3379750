"""Telling other systems what happens: the event log, posted to each target in order, signed, until it is taken.

It owns the pace of each target, when what was not taken is sent again, and when it is put aside (dead letters) so that the rest goes on. A
target that is slow or away only falls behind: the log is the queue, and the cursor is kept after each answer, so that nothing is lost over a
restart. What was taken in the moment of a crash is sent twice; each event has its `id`. Each node tells its own events.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import random
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import httpx2
import msgspec
import structlog

from dialer_core import outside
from dialer_core.clock import Clock
from dialer_core.errors import StoreError
from dialer_core.event_base import StoredEvent
from dialer_core.event_tail import EventTail
from dialer_core.settings import Settings
from dialer_core.store import pushes
from dialer_core.store.database import Database
from dialer_core.toml_files import read_secret
from dialer_core.web_settings import PushSettings

log = structlog.get_logger(__name__)

SIGNATURE: Final = "Marcador-Signature"
"""`t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` under the target's secret. A receiver refuses what is older than some minutes."""
DELIVERY: Final = "Marcador-Delivery"
"""The same when the same stretch of events is sent again."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 120.0
AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Answers of a target that may take it later, as it may after every 5xx; other 4xx it will never take."""
STORE_RETRY_S: Final = 2.0


class _Undelivered(Exception):  # noqa: N818 - not an error of ours
    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


def signed(secret: str, body: bytes, at_s: int) -> str:
    """Return the signature's header for a body sent at a time, in seconds since 1970."""
    digest = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


class Pusher:
    """Tells every target of the configuration.

    Parameters
    ----------
    settings
        With `[push.NAME]`.
    database, tail, clock
        Of this node.

    Raises
    ------
    ConfigError
        A secret is not where it should be.
    """

    def __init__(self, settings: Settings, database: Database, tail: EventTail, clock: Clock) -> None:
        self._targets = settings.dialer.push
        where = settings.directory / "dialer.toml"
        self._secrets = {
            name: read_secret(
                f"{where}: push.{name}.secret", one.secret_env, one.secret_file, settings.directory
            )
            for name, one in self._targets.items()
        }
        self._database = database
        self._tail = tail
        self._clock = clock
        self._node = settings.dialer.node.name

    async def run(self) -> None:
        """Tell them, until cancelled."""
        if not self._targets:
            await asyncio.Event().wait()
        async with outside.make_client() as client, asyncio.TaskGroup() as group:
            for name, target in self._targets.items():
                group.create_task(self._follow(client, name, target), name=f"push-{name}")

    async def _follow(self, client: httpx2.AsyncClient, name: str, target: PushSettings) -> None:
        """Tell one target. It begins where it was left, and with the log's end where it is new."""
        cursor = await self._begin(name)
        async for page in self._tail.pages(cursor, names=target.events or None):
            await self._replay(client, name, target)
            mine = [event for event in page.events if event.node == self._node]
            if mine:
                await self._deliver(client, name, target, cursor, page.cursor, mine)
            cursor = page.cursor

    async def _begin(self, name: str) -> str:
        while True:
            try:
                found = await asyncio.to_thread(self._kept, name)
                if found is not None:
                    return found
                end = await self._tail.end()
                await self._write(pushes.advance, name, self._node, end, 0)
            except StoreError as error:
                log.warning("push_store_away", target=name, error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return end

    def _kept(self, name: str) -> str | None:
        with self._database.read() as tx:
            return pushes.cursor(tx, name, self._node)

    async def _deliver(
        self, client: httpx2.AsyncClient, name: str, target: PushSettings, since: str, until: str, events: Sequence[StoredEvent],
    ) -> None:  # fmt: skip
        """Send one stretch until it is taken or put aside."""
        for count in range(1, target.tries + 1):
            try:
                await self._send(client, name, target, since, until, events)
            except _Undelivered as error:
                last = error.permanent or count == target.tries
                log.warning("push_not_taken", target=name, reason=error.reason, try_=count, gives_up=last)
                if last:
                    await self._write(pushes.bury, name, self._node, since, until, len(events), error.reason)
                    return
                await self._write(pushes.troubled, name, self._node, since, error.reason)
                pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (count - 1))
                await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            else:
                await self._write(pushes.advance, name, self._node, until, len(events))
                return

    async def _replay(self, client: httpx2.AsyncClient, name: str, target: PushSettings) -> None:
        """Send once more what somebody asked to."""

        def waiting() -> list[pushes.DeadLetter]:
            with self._database.read() as tx:
                return pushes.letters(tx, name, node=self._node, state=pushes.AGAIN, limit=10)

        with contextlib.suppress(StoreError):  # asked again with the next page
            for letter in await asyncio.to_thread(waiting):
                events: list[StoredEvent] = []
                cursor = letter.since
                while len(events) < letter.events:
                    page = await self._tail.read(
                        cursor, names=target.events or None, limit=letter.events - len(events)
                    )
                    if not page.events:
                        break
                    events += [event for event in page.events if event.node == self._node]
                    cursor = page.cursor
                try:
                    await self._send(client, name, target, letter.since, letter.until, events)
                except _Undelivered as error:
                    log.warning("push_not_taken", target=name, letter=letter.id, reason=error.reason)
                    await self._write(pushes.settle, letter.id, told=False, reason=error.reason)
                else:
                    await self._write(pushes.settle, letter.id, told=True)

    async def _send(
        self, client: httpx2.AsyncClient, name: str, target: PushSettings, since: str, until: str, events: Sequence[StoredEvent],
    ) -> None:  # fmt: skip
        body = msgspec.json.encode({"target": name, "since": since, "cursor": until, "events": events})
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "marcador",
            SIGNATURE: signed(self._secrets[name], body, int(self._clock.utc().timestamp())),
            DELIVERY: hashlib.sha256(f"{name} {since} {until}".encode()).hexdigest()[:32],
        }
        try:
            status = await outside.post(client, target.url, body, headers, private=target.private)
        except outside.ForbiddenAddressError as error:
            raise _Undelivered(str(error), permanent=True) from error
        except (httpx2.TransportError, httpx2.InvalidURL, OSError) as error:
            raise _Undelivered(type(error).__name__, permanent=False) from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            later = status in AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR
            raise _Undelivered(f"answered {status}", permanent=not later)

    async def _write(self, what: Callable[..., object], *values: object, **more: object) -> None:
        """Write, however long the store is away: what was told must not be forgotten, and what was not taken neither."""

        def run() -> None:
            with self._database.write() as tx:
                what(tx, *values, **more)

        while True:
            try:
                return await asyncio.to_thread(run)
            except StoreError as error:
                log.warning("push_store_away", error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
