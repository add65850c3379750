"""Logging in and out, one's own password, the way home: the pages of the core itself.

It owns these routes and what a log-in costs. Who somebody is afterwards, `access.py` knows.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qsl, urlsplit

import structlog
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from dialer_core.errors import CommandRefusedError
from dialer_core.http.access import SESSION_LASTS, Access
from dialer_core.http.oidc import ASKED_LASTS_S, BACK, COOKIE, START, Oidc, OidcError
from dialer_core.store import access as rows
from dialer_core.web import passwords
from dialer_core.web.login_limits import LoginLimits
from dialer_core.web.needs import principal_of
from dialer_core.web.pages import CORE_ASSETS, HERE, PageLink, Pages
from dialer_core.web.principals import Principal, Scope
from dialer_core.web.problems import Problem
from dialer_core.web.users import LONGEST_NAME

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Passwords hashed at the same time: each takes 64 MB and a core."""


_PAGES = Pages(HERE, CORE_ASSETS.prefix)


def error_page(request: Request, status: int, kind: str, detail: str) -> Response:
    """Return an error as a page for people."""
    said = kind if kind in ("unknown", "forbidden") else "internal"
    return _PAGES.page(request, "error.html", status=status, said=said, detail=detail)


def create_router(access: Access, links: list[PageLink], oidc: Oidc | None = None) -> APIRouter:
    """Return the routes.

    Parameters
    ----------
    access
        Begins and ends sessions.
    links
        The pages there are; the first that somebody may see is their home.
    oidc
        By which people may log in too, where there is one.
    """
    router = APIRouter(include_in_schema=False)
    routes = _Routes(access, links, oidc)
    if oidc is not None:
        router.add_api_route(START, routes.to_provider)
        router.add_api_route(BACK, routes.from_provider)
    router.add_api_route("/login", routes.login_page)
    router.add_api_route("/login", routes.log_in, methods=["POST"])
    router.add_api_route("/logout", routes.log_out, methods=["POST"])
    router.add_api_route("/", routes.home)
    router.add_api_route("/account", routes.account)
    router.add_api_route("/account/password", routes.change_own_password, methods=["POST"])
    router.add_api_route(f"{CORE_ASSETS.prefix}/{{name}}", CORE_ASSETS.serve)
    return router


class _Routes:
    """The routes, with what they share."""

    def __init__(self, access: Access, links: list[PageLink], oidc: Oidc | None) -> None:
        self._oidc = oidc
        self._access = access
        self._links = links
        self._limits = LoginLimits()
        self._hashing = asyncio.Semaphore(AT_ONCE)

    def _form(
        self,
        request: Request,
        status: int = 200,
        said: str = "",
        *,
        wait_s: float = 0,
        user: str = "",
        after: str = "",
    ) -> Response:
        headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else {}
        return _PAGES.page(
            request, "login.html", status=status, headers=headers, said=said, minutes=int(wait_s / 60) + 1, user=user,
            after=_local(after or request.query_params.get("next", "")), provider=self._oidc.settings.name if self._oidc else "",
        )  # fmt: skip

    async def login_page(self, request: Request) -> Response:
        """Ask for name and password; who is logged in is sent home."""
        if request.state.principal is not None and request.state.principal.role:
            return RedirectResponse("/", 303)
        return self._form(request)

    async def log_in(self, request: Request) -> Response:
        """Begin a session."""
        access, sent = self._access, await _fields(request)
        user, password = (
            sent.get("user", "")[:64].strip(),
            sent.get("password", "")[: passwords.MAX_CHARS + 1],
        )
        after = sent.get("next", "")
        if wait_s := self._limits.wait_s(user, _address(request), time.monotonic()):
            log.warning("login_held", wait_s=round(wait_s))
            return self._form(request, 429, "held", wait_s=wait_s, user=user, after=after)
        async with self._hashing:
            wait_s = self._limits.held_s(
                user, time.monotonic()
            )  # others sent at the same time may have been wrong
            right = not wait_s and await asyncio.to_thread(_matches, access, user, password)
            if not right and not wait_s:
                self._limits.wrong(user, time.monotonic())
        if wait_s:
            log.warning("login_held", wait_s=round(wait_s))
            return self._form(request, 429, "held", wait_s=wait_s, user=user, after=after)
        if not right:
            log.warning("login_refused")
            return self._form(request, 401, "wrong", user=user, after=after)
        self._limits.right(user)
        return await self._begun(request, user, after)

    async def _begun(self, request: Request, user: str, after: str) -> Response:
        """Begin a session in place of the one there may be, and go on."""
        access = self._access
        if old := request.cookies.get(access.cookie):
            await asyncio.to_thread(access.end, old)
        cookie = await asyncio.to_thread(access.begin, user)
        answer = RedirectResponse(_local(after) or "/", 303)
        answer.set_cookie(
            access.cookie, cookie, max_age=int(SESSION_LASTS.total_seconds()), httponly=True, samesite="lax", secure=access.secure,
            path="/",
        )  # fmt: skip
        return answer

    async def to_provider(self, request: Request) -> Response:
        """Send a browser to the OpenID provider."""
        assert self._oidc is not None  # noqa: S101 - its route is there only then
        if wait_s := self._limits.wait_s("", _address(request), time.monotonic()):
            return self._form(request, 429, "held", wait_s=wait_s)
        try:
            address, kept = await self._oidc.begin(_local(request.query_params.get("next", "")))
        except OidcError as error:
            log.warning("oidc_refused", why=str(error))
            return self._form(request, 503, "provider_away")
        answer = RedirectResponse(address, 303)
        answer.set_cookie(
            COOKIE,
            kept,
            max_age=ASKED_LASTS_S,
            httponly=True,
            samesite="lax",
            secure=self._access.secure,
            path=START,
        )
        return answer

    async def from_provider(self, request: Request) -> Response:
        """Take a browser back from the OpenID provider; whoever it names must be a user here."""
        assert self._oidc is not None  # noqa: S101 - as above
        if wait_s := self._limits.wait_s("", _address(request), time.monotonic()):
            return self._form(request, 429, "held", wait_s=wait_s)
        try:
            name, after = await self._oidc.finish(request.cookies.get(COOKIE, ""), dict(request.query_params))
        except OidcError as error:
            log.warning("oidc_refused", why=str(error))
            answer = self._form(request, 401, "provider_refused")
        else:
            known = len(name) <= LONGEST_NAME and await asyncio.to_thread(_active, self._access, name)
            answer = await (self._begun(request, name, after) if known else self._stranger(request))
        answer.delete_cookie(COOKIE, path=START, httponly=True, samesite="lax", secure=self._access.secure)
        return answer

    async def _stranger(self, request: Request) -> Response:
        log.warning("oidc_refused", why="no user of this name")
        return self._form(request, 401, "stranger")

    async def log_out(self, request: Request) -> Response:
        """End the session; what the page has kept in the browser goes with it."""
        access = self._access
        await asyncio.to_thread(access.end, request.cookies.get(access.cookie, ""))
        answer = Response(status_code=204, headers={"Clear-Site-Data": '"storage"', "X-Go-To": "/login"})
        answer.delete_cookie(access.cookie, path="/", httponly=True, samesite="lax", secure=access.secure)
        return answer

    async def home(self, request: Request) -> Response:
        """Go to the first page that one may see."""
        who = principal_of(request)
        for link in self._links:
            if who.role and link.scope in who.scopes and (who.agent or link.scope is not Scope.DESK):
                return RedirectResponse(link.path, 303)
        return _PAGES.page(request, "home.html")

    async def account(self, request: Request) -> Response:
        """One's own settings."""
        _person(request)
        return _PAGES.page(request, "account.html", shortest=passwords.MIN_CHARS)

    async def change_own_password(self, request: Request) -> Response:
        """Change one's own password, the present one given; every session of theirs ends, this one too."""
        who = _person(request)
        sent = await _fields(request)
        if wait_s := self._limits.wait_s(who.name, _address(request), time.monotonic()):
            raise Problem(
                429, "held", "too many wrong passwords: wait", headers={"Retry-After": str(int(wait_s) + 1)}
            )
        passwords.check_new(sent.get("new", ""), who.name)
        async with self._hashing:
            if not await asyncio.to_thread(_matches, self._access, who.name, sent.get("present", "")):
                self._limits.wrong(who.name, time.monotonic())
                raise CommandRefusedError("the present password is another", "invalid")
            await asyncio.to_thread(_change, self._access, who, sent["new"])
        self._access.forget()
        return Response(status_code=204, headers={"X-Go-To": "/login"})


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _person(request: Request) -> Principal:
    who = principal_of(request)
    if who.role is None:
        raise Problem(403, "forbidden", "a token has no password; log in")
    return who


def _active(access: Access, user: str) -> bool:
    with access.database.read() as tx:
        found = rows.find_user(tx, user)
    return found is not None and found.active


def _matches(access: Access, user: str, password: str) -> bool:
    with access.database.read() as tx:
        kept = rows.password_hash(tx, user)
    return passwords.matches(kept, password)


def _change(access: Access, who: Principal, password: str) -> None:
    kept = passwords.hashed(password)
    with access.database.write() as tx:
        rows.set_password(tx, who.name, kept, tx.utc(), actor=who.actor)


async def _fields(request: Request) -> dict[str, str]:
    """Return what a form sent; nothing of it may be a file."""
    body = await request.body()
    try:
        return dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
        )
    except (ValueError, UnicodeError):
        raise Problem(422, "invalid", "a form is expected (application/x-www-form-urlencoded)") from None


def _local(path: str) -> str:
    """Return a path of this server, or nothing: nobody is sent elsewhere."""
    parts = urlsplit(path)
    fine = (
        path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    )
    return path if fine and "\\" not in path and path.isprintable() else ""
