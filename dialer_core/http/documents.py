"""Routes of an account's documents: a link for a moment, and what it opens.

It owns the signing. A program with the scope reads a document at its address; an agent at their desk asks for a link, once the conversation's
person is known, and it opens for them alone and for two minutes. Each opening is audited.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from typing import Annotated, Final
from urllib.parse import urlsplit
from uuid import UUID

import itsdangerous
import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dialer_core.errors import CommandRefusedError
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.portfolio import proof
from dialer_core.store import documents
from dialer_core.store.documents import DocumentRow
from dialer_core.web.needs import at_a_desk, needs_account, needs_account_writer, principal_of
from dialer_core.web.pages import CORE_ASSETS, HERE, Pages
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/accounts/{account}/documents/{document}", tags=["documents"])

LASTS: Final = dt.timedelta(minutes=2)
_SHOWN: Final = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".txt": "text/plain; charset=utf-8",
}
"""Kinds of file that a browser may show by itself; every other one is stored as a file."""
_CONTENT = {
    "description": "The file; by a link to one in the customer's own archive, a page that names where it lies",
    "content": {"application/octet-stream": {}, "text/html": {}},
}
_PAGES = Pages(HERE, CORE_ASSETS.prefix)


class DocumentLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document is opened, for a moment."""

    url: str
    until_utc: dt.datetime


@router.post(
    "/link",
    dependencies=[needs_account(Scope.RECORDS)],
    responses=shape(DocumentLink, "For whoever asked, for two minutes"),
)
async def link_to_document(
    account: UUID, document: UUID, request: Request, engine: Engine, parts: Parts
) -> Response:
    """Return a link that opens a document for whoever asked, and for two minutes."""
    who = principal_of(request)
    if at_a_desk(who) and not await parts.rights.knows_person(request.state.agent, str(account)):
        raise Problem(403, "forbidden", "not before it is known that the person is on the line")
    await asyncio.to_thread(_find, parts, str(account), str(document))
    signed = str(_signer(request).dumps([str(account), str(document), who.name]))
    url = f"{request.url.path.removesuffix('/link')}/content?signed={signed}"
    return answer(DocumentLink(url=url, until_utc=engine.now() + LASTS))


@router.get(
    "/content", dependencies=[needs_account_writer(Scope.RECORDS)], response_class=Response,
    responses=shape(dict, "") | {200: _CONTENT},
)  # fmt: skip
async def read_document(
    account: UUID,
    document: UUID,
    request: Request,
    engine: Engine,
    parts: Parts,
    signed: Annotated[str, Query(max_length=512)] = "",
) -> Response:
    """A document: the file that is kept here, its checksum compared, or a notice that names the archive it lies in. Each reading is audited."""
    who = principal_of(request)
    if Scope.RECORDS not in who.scopes or signed:
        _check(request, signed, [str(account), str(document), who.name])
    found = await asyncio.to_thread(_find, parts, str(account), str(document))
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    if signed and (elsewhere := proof.address(found)) is not None:
        await asyncio.to_thread(_audit, parts, found, engine.actor)
        notice = _PAGES.page(request, "leaving.html", address=elsewhere, host=urlsplit(elsewhere).hostname or "", title=found.title)  # fmt: skip
        notice.headers.update(headers)
        return notice
    content = await asyncio.to_thread(_content, parts, found, engine.actor)
    suffix = found.location[found.location.rfind(".") :] if "." in found.location else ""
    if signed and suffix in _SHOWN:
        headers["Content-Disposition"] = "inline"
        return Response(content, media_type=_SHOWN[suffix], headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{document}{suffix}"'
    return Response(content, media_type="application/octet-stream", headers=headers)


def _signer(request: Request) -> itsdangerous.URLSafeTimedSerializer:
    return itsdangerous.URLSafeTimedSerializer(
        request.app.state.signing_key,
        salt="marcador document",
        signer_kwargs={"digest_method": hashlib.sha256},
    )


def _check(request: Request, signed: str, wanted: list[str]) -> None:
    try:
        said = _signer(request).loads(signed, max_age=int(LASTS.total_seconds()))
    except itsdangerous.SignatureExpired:
        raise Problem(410, "expired", "this link is over; open the document again from the account") from None
    except itsdangerous.BadSignature:
        raise Problem(
            403, "forbidden", "this is no link of ours; open the document from the account"
        ) from None
    if said != wanted:
        raise Problem(403, "forbidden", "this link was made for somebody else, or for another document")


def _find(parts: ApiParts, account_id: str, document_id: str) -> DocumentRow:
    with parts.database.read() as tx:
        found = documents.get(tx, document_id)
    if found is None or found.account_id != account_id:
        raise CommandRefusedError("there is no such document of this account", "unknown")
    return found


def _content(parts: ApiParts, found: DocumentRow, actor: str) -> bytes:
    content = proof.content(parts.settings.state_dir, found)
    _audit(parts, found, actor)
    return content


def _audit(parts: ApiParts, found: DocumentRow, actor: str) -> None:
    with parts.database.write() as tx:
        tx.audit("document.read", f"document {found.id}", actor=actor)
