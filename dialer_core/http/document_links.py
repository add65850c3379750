"""The page behind a link to a document: a question first, then the document, on the listener that faces outside.

It owns the page, how often somebody may try, and that nothing of it is kept elsewhere: no cookie, no referrer, no cache, no line in a log that says
more than an id. Whether a link opens is `messaging/document_links.py`'s. A `GET` shows nothing of a person and opens nothing: what previews
links in messages opens none.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dialer_core.clock import Clock
from dialer_core.errors import StoreError
from dialer_core.http.bodies import body_of
from dialer_core.messaging.document_links import PATH, DocumentLinks, Found, LinkStanding
from dialer_core.store.database import Database
from dialer_core.web.login_limits import LoginLimits
from dialer_core.web.pages import CORE_ASSETS, HERE, Pages

log = structlog.get_logger(__name__)

MAX_BODY: Final = 4096
READ_LIMIT_S: Final = 10.0
_PAGES = Pages(HERE, CORE_ASSETS.prefix)
_STATUS: Final = {
    LinkStanding.OPENS: 200,
    LinkStanding.WRONG: 403,
    LinkStanding.UNKNOWN: 404,
    LinkStanding.EXPIRED: 410,
    LinkStanding.ENDED: 410,
}
_SHOWN: Final = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".txt": "text/plain; charset=utf-8",
}
_ALWAYS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class LinkPages:
    """The routes of links.

    Parameters
    ----------
    database, links
        What they are looked up in, and who signs them.
    state_dir
        Where documents are kept.
    clock
        Of every decision.
    """

    def __init__(self, database: Database, links: DocumentLinks, state_dir: Path, clock: Clock) -> None:
        self._database, self._links, self._state_dir, self._clock = database, links, state_dir, clock
        self._limits = LoginLimits()

    def routes(self) -> list[Route]:
        """Return what the listener serves of them."""
        return [Route(f"{PATH}{{token}}", self._serve, methods=["GET", "POST"])]

    async def _serve(self, request: Request) -> Response:
        token = request.path_params["token"]
        address = request.client.host if request.client else ""
        now_s = time.monotonic()
        if (wait_s := self._limits.wait_s("", address, now_s)) > 0:
            return self._wait(request, wait_s)
        try:
            if request.method != "POST":
                return self._page(request, await asyncio.to_thread(self._look, token))
            if (wait_s := self._limits.held_s(token, now_s)) > 0:
                return self._wait(request, wait_s)
            said = await asyncio.wait_for(_said(request), READ_LIMIT_S)
            if said is None:
                return Response(status_code=413, headers=_ALWAYS)
            found = await asyncio.to_thread(self._open, token, said)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408, headers=_ALWAYS)
        except StoreError as error:
            log.warning("document_link_store_away", error=str(error))
            return self._say(request, "away", 503)
        log.info("document_link_answered", message_id=found.row.message_id if found.row else None, standing=found.standing.value)  # fmt: skip
        if found.standing is LinkStanding.WRONG:
            self._limits.wrong(token, now_s)
        if found.standing is not LinkStanding.OPENS:
            return self._page(request, found)
        self._limits.right(token)
        return _document(found)

    def _look(self, token: str) -> Found:
        with self._database.read() as tx:
            return self._links.look(tx, token, self._clock.utc())

    def _open(self, token: str, said: str) -> Found:
        with self._database.write() as tx:
            return self._links.open(tx, token, said, self._clock.utc(), self._state_dir)

    def _page(self, request: Request, found: Found) -> Response:
        asks = found.standing in {LinkStanding.OPENS, LinkStanding.WRONG}
        return self._say(request, found.standing.value, _STATUS[found.standing], found if asks else None)

    def _wait(self, request: Request, wait_s: float) -> Response:
        answer = self._say(request, "wait", 429)
        answer.headers["Retry-After"] = str(int(wait_s) + 1)
        return answer

    def _say(self, request: Request, said: str, status: int, found: Found | None = None) -> Response:
        nonce = secrets.token_urlsafe(16)
        row = found.row if found else None
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        return _PAGES.page(
            request, "document_link.html", status=status, headers=_ALWAYS | {"Content-Security-Policy": policy},
            nonce=nonce, said=said, row=row,
        )  # fmt: skip


def _document(found: Found) -> Response:
    suffix = Path(found.name).suffix
    shown = _SHOWN.get(suffix)
    headers = _ALWAYS | {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        "Content-Disposition": f'{"inline" if shown else "attachment"}; filename="{found.name}"',
    }
    return Response(found.content, media_type=shown or "application/octet-stream", headers=headers)


async def _said(request: Request) -> str | None:
    """Return what they answered; None: the body is larger than any answer."""
    raw = await body_of(request, MAX_BODY)
    if raw is None:
        return None
    try:
        fields = parse_qs(raw.decode("utf-8", "replace"), max_num_fields=4)
    except ValueError:  # more fields than the page has
        return ""
    return fields.get("said", [""])[0][:64]
