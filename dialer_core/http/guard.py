"""The wall around every route, core's and plugins' alike: who asks, forged requests, body size and pace, headers, access log, audit.

It owns what happens before routing and after the answer. It is ASGI middleware and not a dependency, so that no route, whoever mounts
it, can be reached by somebody unknown, no change is made for another site, and no body is read before it is known whose it is.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dialer_core.errors import StoreError
from dialer_core.http.access import Access
from dialer_core.log_setup import place_of, trace_of
from dialer_core.web.principals import Principal
from dialer_core.web.problems import problem_response

log = structlog.get_logger(__name__)

PREFIX = "/api/v1"
"""Where the core's routes are."""
MAX_BODY_BYTES = 1 << 20
BODY_PAUSE_S = 10.0
"""Longest wait for the next piece of a body: who sends slower is answered 408."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="marcador"'}
LOGIN = "/login"
PUBLIC_PREFIX = "/assets/"
SAFE = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER = "x-csrf-token"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not less: browsers then send forms with "Origin: null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""On every answer. No script or style stands inside a page, so none that got in there runs."""
OF_THE_PAGE = "Permissions-Policy"
"""A page that needs the device's place says so itself."""
TLS_ONLY = "max-age=31536000"


class Guard:
    """ASGI middleware, the outermost.

    Parameters
    ----------
    app
        The application behind it.
    access
        Finds out who asks.
    max_body_bytes
        Larger requests are refused with 413.
    body_pause_s
        Longest wait for the next piece of a body.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_pause_s: float = BODY_PAUSE_S,
    ) -> None:
        self._app = app
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._body_pause_s = body_pause_s

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
                self._harden(MutableHeaders(scope=message))
                if scope["method"] not in SAFE and status < 400:
                    await self._audit(scope, status)
            await send(message)

        try:
            await self._admit(scope, receive, watch)
        except Exception as error:  # noqa: BLE001 - foreign code; logged with its place
            log.error("http_request_failed", route=_route(scope), error=place_of(error))  # noqa: TRY400 - its text may be private
            log.debug("http_request_failed_trace", trace=trace_of(error))
            if status == 0:
                answer = problem_response(500, "internal", "an internal error; the host's log says where")
                await answer(scope, receive, watch)
        principal = _principal(scope)
        say = log.debug if scope["method"] == "GET" and status < 400 else log.info
        say(
            "http_request",
            method=scope["method"],
            route=_route(scope),
            status=status,
            elapsed_ms=round((time.monotonic_ns() - started_ns) / 1e6, 1),
            actor=principal.name if principal else "",
        )

    def _harden(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            if name != OF_THE_PAGE or name not in headers:
                headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
        if self._access.secure:
            headers["Strict-Transport-Security"] = TLS_ONLY

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        principal, ask_again = await self._who(headers)
        state = scope.setdefault("state", {})
        state["principal"], state["still"] = principal, ask_again
        public = scope["path"] == LOGIN or (
            scope["method"] in SAFE and scope["path"].startswith((PUBLIC_PREFIX, f"{LOGIN}/"))
        )
        if principal is None and not public:
            await _unknown(scope, headers)(scope, receive, send)
            return
        if scope["method"] not in SAFE and (why := _forged(scope, headers, principal)):
            await problem_response(403, "forged", why)(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max_body_bytes:
            await self._too_large()(scope, receive, send)
            return
        await self._counted(scope, receive, send)

    async def _who(self, headers: Headers) -> tuple[Principal | None, Callable[[], Awaitable[bool]]]:
        """Return who asks, and a question for streams: whether they still may."""
        kind, _, presented = headers.get("authorization", "").partition(" ")
        cookie = cookie_parser(headers.get("cookie", "")).get(self._access.cookie, "")

        async def ask() -> Principal | None:
            if headers.get("authorization"):
                return await self._access.of_token(presented.strip()) if kind.lower() == "bearer" else None
            return await self._access.of_cookie(cookie) if cookie else None

        async def still() -> bool:
            try:
                return await ask() is not None
            except StoreError:
                return True  # a store that is away for a moment darkens no screen

        return await ask(), still

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application read a body of the size allowed, as it comes and no slower than allowed."""
        seen = 0
        ended = slow = False
        length_limit = self._max_body_bytes

        async def counted() -> Message:
            """Count a body without a length as it comes."""
            nonlocal seen, ended, slow
            if ended:
                return await receive()  # streams wait here for the client to go
            try:
                message = await asyncio.wait_for(receive(), self._body_pause_s)
            except TimeoutError:
                slow = True
                return {"type": "http.disconnect"}
            ended = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > length_limit:
                return {"type": "http.disconnect"}
            return message

        async def answered(message: Message) -> None:
            """Whatever the application makes of half a body, the client is told why."""
            if seen <= length_limit and not slow:
                await send(message)
            elif message["type"] == "http.response.start":
                await self._half_read(slow=slow)(scope, receive, send)

        try:
            await self._app(scope, counted, answered)
        except ClientDisconnect:
            if seen > length_limit or slow:
                await self._half_read(slow=slow)(scope, receive, send)

    def _half_read(self, *, slow: bool) -> ASGIApp:
        if slow:
            text = f"a request's body may pause for {self._body_pause_s:g} s at most"
            return problem_response(408, "slow", text, headers={"Connection": "close"})
        return self._too_large()

    def _too_large(self) -> ASGIApp:
        text = f"a request's body may have {self._max_body_bytes} bytes at most"
        return problem_response(413, "too_large", text)

    async def _audit(self, scope: Scope, status: int) -> None:
        """Account for a change before it is answered. One that cannot be is told in the log: the change has been made."""
        principal = _principal(scope)
        if principal is None:
            return
        name = getattr(scope.get("endpoint"), "__name__", "unmatched")
        subject = " ".join(f"{key} {value}" for key, value in scope.get("path_params", {}).items())

        def write() -> None:
            with self._access.database.write() as tx:
                tx.audit(f"web.{name}"[:48], subject, actor=principal.actor, status=status)

        try:
            await asyncio.to_thread(write)
        except StoreError as error:
            log.error("audit_failed", action=name, actor=principal.name, error=str(error))  # noqa: TRY400 - one line says it


def _principal(scope: Scope) -> Principal | None:
    found: Principal | None = scope.get("state", {}).get("principal")
    return found


def _unknown(scope: Scope, headers: Headers) -> ASGIApp:
    """Answer somebody unknown: a browser is sent to log in, a program is told how."""
    if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = scope.get("query_string", b"").decode("latin-1")
        wanted = scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='')}", 303)
    detail = "log in at /login, or send 'Authorization: Bearer TOKEN' with a token of 'dialer tokens add'"
    return problem_response(401, "unauthenticated", detail, headers=CHALLENGE)


def _forged(scope: Scope, headers: Headers, principal: Principal | None) -> str:
    """Say why a change is not taken for one that the user's own page makes; empty: it is, or needs no page."""
    if principal is not None and principal.role is None:
        return ""  # a token is in no browser, so no other site can send it
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site != "same-origin":
        return "a change must come from a page of this server"
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return "a change must come from a page of this server"
    if site is None and origin is None and principal is None:
        return "a log-in must say where it comes from: send Origin"
    if principal is None or scope["path"] == LOGIN:
        return ""
    if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), principal.csrf.encode()):
        return f"a change by a browser needs the header {CSRF_HEADER} of its page; load the page again"
    return ""


def _route(scope: Scope) -> str:
    """The matched route's template, never the path itself: a path may hold personal data."""
    route: Any = scope.get("route")
    template: str = getattr(route, "path", "")
    if not template:
        return "unmatched"
    core = scope["path"].startswith(PREFIX) and not template.startswith(PREFIX)
    return f"{PREFIX}{template}" if core else template
