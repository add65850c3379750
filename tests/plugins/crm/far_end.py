"""CRMs on loopback: one of plain JSON, and one of Salesforce's published shapes. Real HTTP, and trouble on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.plugins.provider import _Server

Answer = tuple[int, Any, dict[str, str]]


class FarEnd:
    """What a CRM holds, what it was asked, and what goes wrong next."""

    def __init__(self) -> None:
        self.url = ""
        self.records: list[dict[str, Any]] = []
        """What is read, in their order."""
        self.told: dict[str, dict[str, Any]] = {}
        """What was written, by where."""
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        """Method, path with query, headers, body."""
        self.trouble: list[Answer | str | None] = []
        """For the next requests: an answer, `half` for one that breaks off, `hang`, None for none."""
        self.page = 2
        self.refuse: Callable[[dict[str, Any]], Answer | None] = lambda _: None

    async def take(self, request: Request) -> Response:
        """Answer one request."""
        raw = await request.body()
        body = json.loads(raw) if raw and raw[:1] in b"[{" else raw.decode()
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append((request.method, target, dict(request.headers), body))
        wrong = self.trouble.pop(0) if self.trouble else None
        if wrong == "hang":
            await asyncio.sleep(5)
        status, answer, headers = wrong if isinstance(wrong, tuple) else await self.answer(request, body)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        if wrong == "half":
            return Response(
                text[: len(text) // 2],
                headers={"content-length": str(len(text.encode()))},
                media_type="application/json",
            )
        if wrong == "cut":  # a whole answer, of half a list
            return Response(text[: len(text) // 2], media_type="application/json")
        return Response(text, status_code=status, headers=headers, media_type="application/json")

    async def answer(self, request: Request, body: Any) -> Answer:
        """Answer as this CRM does."""
        raise AssertionError(request.url, body)


class RestCrm(FarEnd):
    """Pages by number, upserts by PUT."""

    async def answer(self, request: Request, body: Any) -> Answer:
        """Answer: `GET /accounts` in pages, `PUT /…/ID`."""
        if request.headers.get("authorization") != "Bearer the-token":
            return 401, {"error": "who are you?"}, {}
        if request.method == "GET":
            asked = parse_qs(request.url.query)
            since = asked.get("since", [""])[0].replace("+00:00", "Z")
            those = [one for one in self.records if one.get("changed", "") >= since]
            number = int(asked.get("page", ["1"])[0])
            part = those[(number - 1) * self.page : number * self.page]
            return 200, {"data": part, "meta": {"total": len(those)}}, {}
        if (no := self.refuse(body)) is not None:
            return no
        new = request.url.path not in self.told
        self.told[request.url.path] = body
        return (201 if new else 200), {}, {}


class Salesforce(FarEnd):
    """Tokens, SOQL with locators, describe, and upserts of sobject collections."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0
        self.grants: list[dict[str, list[str]]] = []
        self.fields = {"Id", "SystemModstamp", "Name", "Saldo__c", "Telefono__c", "Numero__c"}

    async def answer(self, request: Request, body: Any) -> Answer:
        """Answer as the published documents say."""
        path = request.url.path
        if path == "/services/oauth2/token":
            grant = parse_qs(body)
            self.grants.append(grant)
            if grant.get("client_secret", ["right"]) != ["right"]:
                return 400, {"error": "invalid_client", "error_description": "invalid client credentials"}, {}
            self.tokens += 1
            return (
                200,
                {"access_token": f"token-{self.tokens}", "instance_url": self.url, "token_type": "Bearer"},
                {},
            )
        if request.headers.get("authorization") != f"Bearer token-{self.tokens}":
            return 401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], {}
        base = "/services/data/v62.0"
        if path == f"{base}/limits":
            return 200, {"DailyApiRequests": {"Max": 15000, "Remaining": 14998}}, {}
        if path.startswith(f"{base}/sobjects/"):
            return 200, {"fields": [{"name": name, "relationshipName": None} for name in self.fields]}, {}
        if path.startswith(f"{base}/query"):
            return self._query(request, path.removeprefix(f"{base}/query"))
        if path.startswith(f"{base}/composite/sobjects/") and request.method == "PATCH":
            return self._upsert(path, body)
        return 404, [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}], {}

    def _query(self, request: Request, locator: str) -> Answer:
        if not locator:
            query = parse_qs(request.url.query)["q"][0]
            unknown = [
                name
                for name in query.removeprefix("SELECT ").partition(" FROM ")[0].split(", ")
                if name not in self.fields
            ]
            if unknown:
                return (
                    400,
                    [
                        {
                            "message": f"No such column '{unknown[0]}' on entity 'Deuda__c'",
                            "errorCode": "INVALID_FIELD",
                        }
                    ],
                    {},
                )
        first = int(locator.rpartition("-")[2]) if locator else 0
        part = self.records[first : first + self.page]
        after = first + len(part)
        done = after >= len(self.records)
        told = {
            "totalSize": len(self.records),
            "done": done,
            "records": [{"attributes": {"type": "Deuda__c"}} | one for one in part],
        }
        if not done:
            told["nextRecordsUrl"] = f"/services/data/v62.0/query/01gD0000002HU6KIAW-{after}"
        return 200, told, {}

    def _upsert(self, path: str, body: dict[str, Any]) -> Answer:
        *_, kind, key = path.split("/")
        told = []
        for one in body["records"]:
            if (no := self.refuse(one)) is not None:
                told.append(no[1])
                continue
            where = f"{kind}/{one[key]}"
            told.append(
                {
                    "id": f"a0{len(self.told):016d}",
                    "success": True,
                    "errors": [],
                    "created": where not in self.told,
                }
            )
            self.told[where] = one
        return 200, told, {}


@asynccontextmanager
async def serving(far_end: FarEnd) -> AsyncIterator[None]:
    """Serve a CRM on a free port of loopback."""
    app = Starlette(routes=[Route("/{path:path}", far_end.take, methods=["GET", "POST", "PUT", "PATCH"])])
    server = _Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none")
    )
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.005)
    far_end.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        await running
