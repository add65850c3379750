"""Errors as RFC 9457 problem documents: one shape for everything that goes wrong.

It owns the mapping of our errors to status codes. A detail says what is wrong and what would be right; it
never holds what the client sent (that may be personal data) nor the text of an unexpected exception.
"""

from __future__ import annotations

import http
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from dialer_core.errors import CommandRefusedError, DialerError, NotRunningError, StoreError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:marcador:problem:"

STATUS_OF_KIND = {"refused": 409, "unknown": 404, "invalid": 422, "internal": 500}
"""Kinds of a refused command."""


class Problem(Exception):  # noqa: N818 - the RFC's own word
    """Raised in a route to answer with a problem document."""

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client gets instead of what it asked for."""

    type: str
    """`urn:marcador:problem:` and the kind in one word."""
    title: str
    """The status in words."""
    status: int
    detail: str
    """What is wrong, and what would be right."""
    errors: tuple[dict[str, str], ...] = ()
    """With kind `invalid`: where (`at`) and what, without the value."""


def problem_response(
    status: int,
    kind: str,
    detail: str,
    *,
    errors: tuple[dict[str, str], ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer for one problem."""
    document = ProblemDocument(
        type=f"{TYPE_PREFIX}{kind}",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=errors,
    )
    return Response(
        msgspec.json.encode(document), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def _of_dialer_error(error: DialerError) -> tuple[int, str]:
    match error:
        case CommandRefusedError(kind=kind):
            return STATUS_OF_KIND.get(kind, 500), kind
        case NotRunningError():
            return 503, "engine_away"
        case StoreError():
            return 503, "store_away"
        case _:
            return 500, "internal"


HtmlAnswer = Callable[[Request, int, str, str], Response]
"""Makes a page for people of a status, a kind and a detail."""


def install(app: FastAPI, html: HtmlAnswer | None = None) -> None:
    """Give every error of the application its problem document, and people who look at a page a page."""

    def told(request: Request, status: int, kind: str, detail: str, **more: Any) -> Response:
        page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        if html is not None and page:
            return html(request, status, kind, detail)
        return problem_response(status, kind, detail, **more)

    async def problem(request: Request, error: Problem) -> Response:
        return told(request, error.status, error.kind, error.detail, headers=error.headers)

    async def dialer_error(request: Request, error: DialerError) -> Response:
        status, kind = _of_dialer_error(error)
        headers = {"Retry-After": "1"} if status == http.HTTPStatus.SERVICE_UNAVAILABLE else {}
        return told(request, status, kind, str(error), headers=headers)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = tuple(
            {"at": ".".join(str(part) for part in item["loc"]), "problem": item["msg"]}
            for item in error.errors()
        )
        text = "; ".join(f"{item['at']}: {item['problem']}" for item in found)
        return told(request, 422, "invalid", text, errors=found)

    async def http_exception(request: Request, error: HTTPException) -> Response:
        kind = {404: "unknown", 405: "method_not_allowed"}.get(error.status_code, "refused")
        detail = {404: "there is no such resource; /api/v1/openapi.json lists all"}.get(
            error.status_code, str(error.detail)
        )
        return told(request, error.status_code, kind, detail, headers=error.headers)

    handlers: dict[type[Exception], Any] = {
        Problem: problem,
        DialerError: dialer_error,
        RequestValidationError: invalid,
        HTTPException: http_exception,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
