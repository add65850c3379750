"""Bodies of requests that come from anywhere, read no further than they may be long. It owns no meaning of them, and no limit of time."""

from __future__ import annotations

from starlette.requests import Request


async def body_of(request: Request, most_bytes: int) -> bytes | None:
    """Return a request's body; None: it is larger than it may be, and the rest was not read."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            return None
        parts.append(part)
    return b"".join(parts)
