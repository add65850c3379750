"""Streams of events: who may open how many, and one reading that all viewers share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import structlog.testing

from dialer_core.errors import StoreError
from dialer_core.http.access import digest_of, new_token
from dialer_core.http.answers import MOST_STREAMS
from dialer_core.store import access as rows
from dialer_core.web import streams
from dialer_core.web.problems import Problem
from dialer_core.web.streams import Seats, SharedReading
from tests.host.running import RunningHost, running_host
from tests.polling import wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


class Count(SharedReading):
    """Counts how often it is read."""

    def __init__(self) -> None:
        super().__init__(60.0, 0.0)
        self.value = 0

    def begin(self) -> None:
        """Begin anew."""
        self.value = 0

    async def look(self) -> None:
        """Count."""
        self.value += 1
        self.tell()

    def watch(self) -> AsyncIterator[bytes]:
        """Tell the number whenever it is another."""
        seen = 0

        def news() -> bytes:
            nonlocal seen
            if seen == self.value:
                return b""
            seen = self.value
            return b"%d" % seen

        async def still() -> bool:
            return True

        return self.follow(news, still)


async def _next_number(viewer: AsyncIterator[bytes]) -> int:
    async for message in viewer:
        if not message.startswith(b":"):
            return int(message)
    raise AssertionError("it ended")


async def test_a_reading_that_fails_is_read_again() -> None:
    """The store away for a moment does not leave screens with pings alone: it is told once in the log, and the next reading reaches them."""

    class Away(Count):
        async def look(self) -> None:
            self.value += 1
            if self.value < 4:
                self.hurry()
                raise StoreError("the store is away")
            self.tell()

    count = Away()
    viewer = count.watch()
    with structlog.testing.capture_logs() as logs:
        assert await asyncio.wait_for(_next_number(viewer), 10) >= 1
        while count.value < 4:
            await asyncio.wait_for(_next_number(viewer), 10)
    assert [one["event"] for one in logs] == ["screens_not_read"]
    await viewer.aclose()  # type: ignore[attr-defined]
    count.hurry()


async def test_one_reading_serves_all_viewers_and_ends_with_the_last() -> None:
    """Whoever comes later reads nothing anew; a slow viewer gets the latest and no step twice; nobody looks, nothing is read."""
    count = Count()
    first, second = count.watch(), count.watch()
    assert await _next_number(first) == 1
    assert await _next_number(second) == 1
    for _ in range(3):
        count.hurry()
        await _next_number(first)
    assert await _next_number(second) == count.value == 4
    for viewer in (first, second):
        await viewer.aclose()  # type: ignore[attr-defined]
    count.hurry()
    await wait_until_async(
        lambda: count._reading is not None and count._reading.done(), 5, "the end of the reading"
    )
    third = count.watch()
    assert await _next_number(third) == 1
    count.close()
    assert [one async for one in third] == []


def test_seats_are_counted_in_all_and_to_each() -> None:
    """One user too many is 503, one user's stream too many 429; a seat left twice is free once."""
    seats = Seats(3, 2)
    held = [seats.take("ana"), seats.take("ana")]
    with pytest.raises(Problem, match="one user may have 2") as mine:
        seats.take("ana")
    held.append(seats.take("eva"))
    with pytest.raises(Problem, match="3 streams are open") as all_:
        seats.take("luis")
    assert (mine.value.status, all_.value.status) == (429, 503)
    for _ in range(2):
        held[0].leave()
    seats.take("luis")
    with pytest.raises(Problem):
        seats.take("eva")


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningHost]:
    """A host that notices soon that a client has gone."""
    monkeypatch.setattr(streams, "PING_S", 0.05)
    async with running_host(tmp_path) as running:
        await running.attached()
        yield running


async def test_a_token_opens_so_many_streams_and_others_still_can(host: RunningHost) -> None:
    """The next one of the same token is 429 and says why; another's is open; one that ends makes room."""
    token = new_token()
    with host.database.write() as tx:
        rows.add_token(tx, "crm", digest_of(token), ["read"], tx.utc())
    each = MOST_STREAMS // 4
    mine = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}

    async def opened(
        client: httpx2.AsyncClient, headers: dict[str, str], stack: contextlib.AsyncExitStack
    ) -> httpx2.Response:
        return await stack.enter_async_context(client.stream("GET", "/api/v1/events", headers=headers))

    async with contextlib.AsyncExitStack() as others:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(each):
                assert (await opened(host.client, mine, stack)).status_code == 200
            refused = await host.client.get("/api/v1/events", headers=mine)
            assert refused.status_code == 429
            assert "close one" in refused.json()["detail"]
            theirs = {"Accept": "text/event-stream"}
            assert (await opened(host.client, theirs, others)).status_code == 200

        async def free() -> bool:
            async with asyncio.timeout(5), host.client.stream("GET", "/api/v1/events", headers=mine) as again:
                return again.status_code == 200

        await wait_until_async(free, 10, "a seat")
