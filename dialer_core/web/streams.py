"""What every stream of server-sent events needs: a ping that keeps it open, and the right to it, asked for again now and then.

It owns these two. What a stream tells is its route's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

PING_S = 15.0
"""A comment line this often keeps proxies from closing an idle stream."""
ASK_AGAIN_S = 20.0
"""How often it is asked whether whoever listens still may."""

Still = Callable[[], Awaitable[bool]]
"""`request.state.still`: whether whoever asked still may."""


class StreamRight:
    """The right to an open stream: held since its request was let in, until it is asked for again and is gone."""

    def __init__(self, still: Still) -> None:
        self._still = still
        self._asked_s = time.monotonic()

    async def holds(self) -> bool:
        """Say whether the stream may go on; it is really asked for every `ASK_AGAIN_S`."""
        if time.monotonic() - self._asked_s <= ASK_AGAIN_S:
            return True
        self._asked_s = time.monotonic()
        return await self._still()
