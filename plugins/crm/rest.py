"""`kind = "rest"`: any interface of JSON over HTTP, as its mapping describes it.

It owns paging and what makes a list whole. What a status means is `http_asking.py`'s.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

import httpx2

from plugins.crm.connection_settings import AuthSettings, RestSettings
from plugins.crm.connector import OK, AwayError, MappingError, Outgoing, Page, StaleError, Written
from plugins.crm.filling import fill_text
from plugins.crm.http_asking import JSON, FailedError, RefusedError, ask, encode
from plugins.crm.records import at, kept
from plugins.crm.settings import AccountsSettings


class RestConnector:
    """A CRM of JSON over HTTP.

    Parameters
    ----------
    its
        The connection.
    secret
        Password, token or key.
    """

    def __init__(self, its: RestSettings, secret: str) -> None:
        self._its = its
        headers, auth = _shown(its.auth, secret)
        self._client = httpx2.AsyncClient(headers=headers, auth=auth, timeout=its.timeout_s, trust_env=False)
        self._turns = asyncio.Semaphore(its.at_once)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def check(self) -> None:
        """Ask for `check_path`, or for the address itself where there is none: any answer but 401 and 403 will do then."""
        try:
            await ask(self._client, "GET", self._url(self._its.check_path))
        except RefusedError as error:
            if self._its.check_path:
                raise MappingError(f"check_path {self._its.check_path!r}: {error.words}") from None
        except FailedError as error:
            if self._its.check_path:
                raise AwayError(str(error)) from None

    async def fields_of(self, source: str) -> set[str] | None:
        """Return the fields of the first record, where there is one."""
        parameters = self._first_page()
        found = self._list(await self._ask_list(self._url(source), parameters), source)
        return {name for one in found for name in one} or None

    async def read(self, its: AccountsSettings, since: Any, resume: str | None) -> AsyncGenerator[Page, None]:
        """Yield pages. One that is no list, or a list that ends before its `total`, is an answer that broke off."""
        paging = self._its.paging
        asked: dict[str, Any] = dict(parse_qsl(its.where, keep_blank_values=True)) | self._first_page()
        if since is not None and self._its.since_parameter:
            asked[self._its.since_parameter] = kept(since)
        place = json.loads(resume) if resume else {"seen": 0}
        seen = int(place["seen"])
        before: list[dict[str, Any]] = []
        been: set[str] = set()
        url = self._url(its.source)
        while True:
            answer = await self._ask_list(*self._where(url, asked, place), stale=bool(resume))
            records = self._list(answer, its.source)
            seen += len(records)
            total = at(answer, paging.total) if paging.total else None
            after = self._after(answer, place, records)
            if records and records == before and paging.by in {"page", "offset"}:
                raise MappingError(
                    f"{its.source}: each page is the same: does it know {paging.parameter or paging.by!r}?"
                )
            if paging.by in {"cursor", "link"} and after is not None:
                if str(after[paging.by]) in been:
                    raise AwayError("its pages lead round in a circle")
                been.add(str(after[paging.by]))
            before = records
            if paging.by in {"page", "offset"} and isinstance(total, int) and seen >= total:
                after = None
            elif after is None and isinstance(total, int) and seen < total:
                raise AwayError(f"{its.source}: the list ended after {seen} of {total} records")
            place = {"seen": seen} | (after or {})
            yield Page(records, json.dumps(place) if after is not None else None)
            if after is None:
                return

    async def write(self, batch: Sequence[Outgoing]) -> list[Written]:
        """Send a request for each, some at a time."""
        # each is waited for: none of them arrives after what is written next
        found = await asyncio.gather(*(self._write(one) for one in batch), return_exceptions=True)
        answers: list[Written] = []
        for one in found:
            if isinstance(one, AwayError):
                answers.append(Written("later", str(one), one.retry_after_s))
            elif isinstance(one, BaseException):
                raise one
            else:
                answers.append(one)
        if found and isinstance(found[0], AwayError) and all(one.state == "later" for one in answers):
            raise found[0]
        return answers

    async def _write(self, one: Outgoing) -> Written:
        headers = JSON | {
            name: fill_text(text, one.places, _in_a_header) for name, text in one.its.headers.items()
        }
        async with self._turns:
            try:
                await ask(
                    self._client,
                    one.its.method,
                    self._url(one.target),
                    content=encode(one.fields),
                    headers=headers,
                )
            except RefusedError as error:
                return Written("refused", error.words)
            except FailedError as error:
                return Written("failed", str(error))
        return OK

    def _url(self, path: str) -> str:
        return self._its.url.rstrip("/") + "/" + path.lstrip("/") if path else self._its.url

    def _first_page(self) -> dict[str, Any]:
        paging = self._its.paging
        sized = paging.by != "none" and paging.size_parameter
        return {paging.size_parameter: paging.size} if sized else {}

    def _where(self, url: str, asked: dict[str, Any], place: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        paging = self._its.paging
        match paging.by:
            case "link" if "link" in place:
                try:
                    link = urljoin(url, str(place["link"]))
                    there = urlsplit(link)
                except ValueError:
                    raise MappingError("the address of the next page is none") from None
                if there[:2] != urlsplit(self._its.url)[:2]:
                    raise MappingError(
                        f"the next page stands at another machine ({there.netloc}): our secret is not shown there"
                    )
                return link, {}
            case "cursor" if "cursor" in place:
                return url, asked | {paging.parameter or "cursor": place["cursor"]}
            case "page":
                return url, asked | {paging.parameter or "page": place.get("page", 1)}
            case "offset":
                return url, asked | {paging.parameter or "offset": place["seen"]}
        return url, asked

    def _after(self, answer: Any, place: dict[str, Any], records: list[Any]) -> dict[str, Any] | None:
        paging = self._its.paging
        if paging.by in {"cursor", "link"}:
            following = at(answer, str(paging.next))
            if following and following == place.get(paging.by):
                raise AwayError("the next page is this page again")
            return {paging.by: following} if following else None
        if (
            paging.by == "none" or not records
        ):  # a page that is not full says nothing: the next one is asked for
            return None
        return {"page": int(place.get("page", 1)) + 1}

    async def _ask_list(self, url: str, asked: dict[str, Any], *, stale: bool = False) -> Any:
        try:
            return await ask(self._client, "GET", url, params=asked or None)
        except RefusedError as error:
            if stale:
                raise StaleError(error.words) from None
            raise MappingError(f"{urlsplit(url).path}: {error.words}") from None
        except FailedError as error:
            raise AwayError(str(error)) from None

    def _list(self, answer: Any, source: str) -> list[dict[str, Any]]:
        found = at(answer, self._its.records) if self._its.records else answer
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            where = f"at {self._its.records!r} of its answer" if self._its.records else "in its answer"
            if isinstance(answer, dict) and self._its.records.split(".")[0] not in answer:
                raise MappingError(
                    f"{source}: there is no list {where}; it has: {', '.join(answer) or 'nothing'}"
                )
            raise AwayError(f"{source}: there is no list of records {where}")
        return found


def _shown(its: AuthSettings, secret: str) -> tuple[dict[str, str], httpx2.BasicAuth | None]:
    match its.scheme:
        case "basic":
            return {}, httpx2.BasicAuth(its.user, secret)
        case "bearer":
            return {"authorization": f"Bearer {secret}"}, None
        case "key":
            return {its.header: secret}, None
    return {}, None


def _in_a_header(text: str) -> str:
    """Return a value as it may stand in a header: what is no plain letter is written as in an address."""
    return quote(text, safe=" !#$&'()*+,/:;=?@[]~")
