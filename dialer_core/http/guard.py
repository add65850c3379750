"""The wall around every route, core's and plugins' alike: token, body size, access log, unexpected errors.

It owns what happens before routing and after the answer. It is ASGI middleware and not a dependency, so that
no route, whoever mounts it, can be reached without a token, and no body is read before the token is known.
"""

from __future__ import annotations

import time

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dialer_core.http.problems import problem_response
from dialer_core.http.tokens import Principal, Tokens
from dialer_core.log_setup import place_of, trace_of

log = structlog.get_logger(__name__)

PREFIX = "/api/v1"
"""Where the core's routes are."""
MAX_BODY_BYTES = 1 << 20
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="marcador"'}


class Guard:
    """ASGI middleware, the outermost.

    Parameters
    ----------
    app
        The application behind it.
    tokens
        Who may ask.
    max_body_bytes
        Larger requests are refused with 413.
    """

    def __init__(self, app: ASGIApp, *, tokens: Tokens, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._tokens = tokens
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        started_ns = time.monotonic_ns()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._admit(scope, receive, watch)
        except Exception as error:  # noqa: BLE001 - foreign code; logged with its place
            log.error("http_request_failed", route=_route(scope), error=place_of(error))  # noqa: TRY400 - its text may be private
            log.debug("http_request_failed_trace", trace=trace_of(error))
            if status == 0:
                answer = problem_response(500, "internal", "an internal error; the host's log says where")
                await answer(scope, receive, watch)
        principal: Principal | None = scope.get("state", {}).get("principal")
        say = log.debug if scope["method"] == "GET" and status < 400 else log.info
        say(
            "http_request",
            method=scope["method"],
            route=_route(scope),
            status=status,
            elapsed_ms=round((time.monotonic_ns() - started_ns) / 1e6, 1),
            actor=principal.name if principal else "",
        )

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        kind, _, presented = headers.get("authorization", "").partition(" ")
        principal = self._tokens.principal(presented.strip()) if kind.lower() == "bearer" else None
        if principal is None:
            detail = "send 'Authorization: Bearer TOKEN' with the token of the file http.token_file names"
            await problem_response(401, "unauthenticated", detail, headers=CHALLENGE)(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max_body_bytes:
            await self._too_large()(scope, receive, send)
            return
        seen = 0
        length_limit = self._max_body_bytes

        async def counted() -> Message:
            """Count a body without a length as it comes."""
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > length_limit:
                return {"type": "http.disconnect"}
            return message

        async def answered(message: Message) -> None:
            """Whatever the application makes of half a body, the client is told why."""
            if seen <= length_limit:
                await send(message)
            elif message["type"] == "http.response.start":
                await self._too_large()(scope, receive, send)

        try:
            await self._app(scope, counted, answered)
        except ClientDisconnect:
            if seen > length_limit:
                await self._too_large()(scope, receive, send)

    def _too_large(self) -> ASGIApp:
        text = f"a request's body may have {self._max_body_bytes} bytes at most"
        return problem_response(413, "too_large", text)


def _route(scope: Scope) -> str:
    """The matched route's template, never the path itself: a path may hold personal data."""
    template: str = getattr(scope.get("route"), "path", "")
    if not template:
        return "unmatched"
    core = scope["path"].startswith(PREFIX) and not template.startswith(PREFIX)
    return f"{PREFIX}{template}" if core else template
