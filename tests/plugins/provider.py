"""A provider of messages on loopback: a real HTTP server that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class HttpProvider:
    """Requests that came, and what the next ones are answered."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: Callable[[bytes], tuple[int, Any, dict[str, str]]] = lambda _: (201, {}, {})
        self.url = ""

    async def take(self, request: Request) -> Response:
        """Keep a request and answer."""
        raw = await request.body()
        self.requests.append((request.url.path, dict(request.headers), raw))
        status, body, headers = self.answer(raw)
        text = body if isinstance(body, str) else json.dumps(body)
        return Response(text, status_code=status, headers=headers, media_type="application/json")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the test run."""
        yield


@asynccontextmanager
async def http_provider() -> AsyncIterator[HttpProvider]:
    """Run a provider on a free port of loopback."""
    provider = HttpProvider()
    app = Starlette(routes=[Route("/{path:path}", provider.take, methods=["POST"])])
    server = _Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none")
    )
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.005)
    provider.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.should_exit = True
        await serving
