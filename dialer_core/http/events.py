"""The event log over HTTP: pages by cursor, or a stream of server-sent events, from the same URL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from dialer_core.errors import StoreError
from dialer_core.events import EVENTS, StoredEvent
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.store.events import EventPage, parse_cursor
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem
from dialer_core.web.streams import EVENT_STREAM, PING_S, EventStream, Still, StreamRight

router = APIRouter(tags=["events"])


def _checked_cursor(cursor: str) -> str:
    try:
        parse_cursor(cursor)
    except StoreError as error:
        raise Problem(422, "invalid", f"cursor: {error}") from error
    return cursor


def _checked_names(names: str) -> list[str] | None:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in EVENTS]:
        del unknown
        raise Problem(
            422, "invalid", f"names: not all of these are events; events are: {', '.join(sorted(EVENTS))}"
        )
    return wanted or None


@router.get(
    "/events",
    dependencies=[needs(Scope.READ)],
    responses=shape(EventPage, "Events past the cursor, and the cursor to go on with"),
)
async def list_events(
    *,
    request: Request,
    engine: Engine,
    parts: Parts,
    cursor: Annotated[
        str, Query(max_length=4096, description="From an earlier answer; empty: the beginning")
    ] = "",
    names: Annotated[str, Query(max_length=4096, description="Only these events, separated by commas")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header(description="With a stream: go on after this event")] = None,
) -> Response:
    """Events past a cursor; with `Accept: text/event-stream` a stream, from now on without a cursor."""
    wanted = _checked_names(names)
    if EVENT_STREAM in accept:
        start = _checked_cursor(last_event_id or cursor) or await engine.last_cursor()
        seat = parts.streams.take(engine.actor)
        return EventStream(_stream(engine.events(start, wanted), parts, request.state.still), seat)
    found, after = await engine.read_events(_checked_cursor(cursor), wanted, limit)
    return answer(EventPage(events=list(found), cursor=after))


async def _stream(
    events: AsyncGenerator[tuple[StoredEvent, str], None],
    parts: ApiParts,
    still: Still,
) -> AsyncIterator[bytes]:
    """Yield the wire form: `id` is the cursor, so that a client that comes back misses nothing. It ends with the right to listen."""
    right = StreamRight(still)
    stopping = asyncio.ensure_future(parts.stopping.wait())
    coming = asyncio.ensure_future(anext(events))
    try:
        yield b": marcador events\n\n"
        while True:
            await asyncio.wait({coming, stopping}, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
            if not await right.holds():
                return
            if coming.done():
                event, cursor = coming.result()
                data = msgspec.json.encode(event)
                yield b"id: %s\nevent: %s\ndata: %s\n\n" % (cursor.encode(), event.name.encode(), data)
                coming = asyncio.ensure_future(anext(events))
            else:
                yield b": ping\n\n"
    finally:
        stopping.cancel()
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await coming
        await events.aclose()
