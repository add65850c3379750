"""A message centre on loopback: smpp34's server, an implementation apart, that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import smpp34

RECEIPT = 0x04


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def receipt_text(message_id: str, stat: str = "DELIVRD", err: str = "000") -> bytes:
    """Return a receipt as centres customarily write it."""
    return (
        f"id:{message_id} sub:001 dlvrd:001 submit date:2611220900 done date:2611220901 stat:{stat} err:{err} text:Hola"
    ).encode()


class MessageCentre:
    """Submits that came, and what the next ones are answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.submits: list[Any] = []
        self.sessions: dict[str, Any] = {}
        self.on_submit: Callable[[MessageCentre, Any], Awaitable[None]] = MessageCentre.accept
        self.answered = 0
        self._server = smpp34.Server("127.0.0.1", port, system_id="centre")
        self._work: set[asyncio.Task[None]] = set()

    async def accept(self, event: Any) -> None:
        """Answer with ids m1, m2 and so on."""
        self.answered += 1
        event.accept(f"m{self.answered}")

    async def deliver(
        self, text: bytes, *, source: str = "525512345678", source_addr_ton: int = 1, **more: Any
    ) -> Any:
        """Hand something over to a bind; return its answer."""
        session = next(reversed(self.sessions.values()))
        return await session.deliver_sm("55000", text, source_addr=source, source_addr_ton=source_addr_ton, **more)  # fmt: skip

    async def serve(self) -> None:
        """Serve without end."""
        await self._server.start()
        while True:
            event = await self._server.next()
            if isinstance(event, smpp34.Esme):
                self.sessions[event.session_id] = event
            elif isinstance(event, smpp34.Unbound):
                self.sessions.pop(event.session_id, None)
            else:
                self.submits.append(event)
                task = asyncio.create_task(self.on_submit(self, event))
                self._work.add(task)
                task.add_done_callback(self._work.discard)

    async def stop(self) -> None:
        """Close every session."""
        await self._server.stop()


@asynccontextmanager
async def message_centre(port: int = 0) -> AsyncIterator[MessageCentre]:
    """Run a centre on a port of loopback, by default a free one."""
    centre = MessageCentre(port or free_port())
    serving = asyncio.create_task(centre.serve())
    try:
        yield centre
    finally:
        await centre.stop()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
