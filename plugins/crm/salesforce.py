"""`kind = "salesforce"`: Salesforce by its REST interface: SOQL for what comes in, upserts by an external id, 200 at a time, for what goes out.

It owns tokens, SOQL, and what Salesforce's errors mean. Both flows of its OAuth that need nobody at a screen are here: client credentials and JWT.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from plugins.crm.connection_settings import SalesforceSettings
from plugins.crm.connector import OK, AwayError, LoginError, MappingError, Outgoing, Page, StaleError, Written
from plugins.crm.http_asking import JSON, FailedError, RefusedError, ask, encode
from plugins.crm.mapping import paths_of
from plugins.crm.records import as_text, moment, put
from plugins.crm.settings import AccountsSettings

MOST: Final = 200
"""Records of one request, by its documentation."""
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_S: Final = 180
_LATER: Final = frozenset(
    {"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "APEX_ERROR", "UNKNOWN_EXCEPTION"}
)
"""Codes by which a record was not taken now, and may be another time."""


class SalesforceConnector:
    """One organisation.

    Parameters
    ----------
    its
        The connection.
    secret
        The connected app's consumer secret, or the private key (PEM) of the flow `jwt`.
    """

    def __init__(self, its: SalesforceSettings, secret: str) -> None:
        self._its = its
        self._secret = secret
        self._token = ""
        self._instance = ""
        self._login = asyncio.Lock()
        self._client = httpx2.AsyncClient(timeout=its.timeout_s, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def check(self) -> None:
        """Get a token, and ask what it may be used for."""
        self._token = ""
        try:
            await self._ask("GET", "/limits")
        except (RefusedError, FailedError) as error:
            raise AwayError(str(error)) from None

    async def fields_of(self, source: str) -> set[str] | None:
        """Return an object's fields, and the names by which its relations are followed."""
        try:
            told = await self._ask("GET", f"/sobjects/{source}/describe")
        except RefusedError as error:
            raise MappingError(f"{source}: {error.words}") from None
        except FailedError as error:
            raise AwayError(str(error)) from None
        fields = told.get("fields", []) if isinstance(told, dict) else []
        return {str(one["name"]) for one in fields} | {
            str(one["relationshipName"]) for one in fields if one.get("relationshipName")
        }

    async def read(self, its: AccountsSettings, since: Any, resume: str | None) -> AsyncGenerator[Page, None]:
        """Yield pages in the order of their changes; a list that ends before its `totalSize` is an answer that broke off."""
        path, asked = (resume, None) if resume else ("/query", {"q": soql(its, since)})
        seen, been = _seen(resume), {resume}
        while True:
            try:
                told = await self._ask("GET", path, params=asked)
            except RefusedError as error:
                if "INVALID_QUERY_LOCATOR" in error.words and resume:
                    raise StaleError(error.words) from None
                raise MappingError(f"{its.source}: {error.words}") from None
            except FailedError as error:
                raise AwayError(str(error)) from None
            records = told.get("records") if isinstance(told, dict) else None
            if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
                raise AwayError(f"{its.source}: there are no records in its answer")
            seen += len(records)
            following = told.get("nextRecordsUrl")
            total = told.get("totalSize")
            if told.get("done") is not True and not following:
                raise AwayError(f"{its.source}: the list is not done, and there is no next page")
            if not following and isinstance(total, int) and seen < total and not resume:
                raise AwayError(f"{its.source}: the list ended after {seen} of {total} records")
            if following and str(following) in been:
                raise AwayError(f"{its.source}: its pages lead round in a circle")
            been.add(str(following))
            yield Page(records, str(following) if following else None)
            if not following:
                return
            path, asked = str(following), None

    async def write(self, batch: Sequence[Outgoing]) -> list[Written]:
        """Upsert, object by object, 200 at a time; one that is refused stops no other."""
        found: dict[int, Written] = {}
        for places in _alike(batch):
            one = batch[places[0]]
            records = [
                {"attributes": {"type": one.target}, one.its.key: batch[at].id} | _nested(batch[at].fields)
                for at in places
            ]
            path = f"/composite/sobjects/{one.target}/{one.its.key}"
            body = encode({"allOrNone": False, "records": records})
            try:
                told = await self._ask("PATCH", path, content=body, headers=JSON)
            except RefusedError as error:
                found |= dict.fromkeys(places, Written("refused", error.words))
                continue
            except FailedError as error:
                found |= dict.fromkeys(places, Written("failed", str(error)))
                continue
            answers = told if isinstance(told, list) else []
            for index, at in enumerate(places):
                found[at] = (
                    _meaning(answers[index])
                    if index < len(answers)
                    else Written("failed", "its answer is too short")
                )
        return [found[at] for at in range(len(batch))]

    async def _open(self) -> None:
        its = self._its
        form = {"grant_type": "client_credentials", "client_id": its.client_id, "client_secret": self._secret}
        if its.flow == "jwt":
            claims = {
                "iss": its.client_id,
                "sub": its.user,
                "aud": its.login_url,
                "exp": int(time.time()) + _JWT_S,
            }
            try:
                assertion = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(self._secret))
            except ValueError as error:
                raise LoginError("private_key_file holds no RSA key in PEM") from error
            form = {"grant_type": _GRANT, "assertion": assertion}
        try:
            told = await ask(
                self._client,
                "POST",
                its.login_url.rstrip("/") + "/services/oauth2/token",
                _login_words,
                data=form,
            )
        except RefusedError as error:
            raise LoginError(f"Salesforce does not let us in: {error.words}") from None
        except FailedError as error:
            raise AwayError(str(error)) from None
        if not isinstance(told, dict) or not told.get("access_token") or not told.get("instance_url"):
            raise AwayError("its answer to our log-in cannot be read")
        self._token, self._instance = str(told["access_token"]), str(told["instance_url"]).rstrip("/")

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        """Ask; a token that is not valid any more is asked for anew, once."""
        for again in (True, False):
            async with self._login:
                if not self._token:
                    await self._open()
            used = self._token
            where = path if path.startswith("/services/") else f"/services/data/v{self._its.version}{path}"
            headers = {"authorization": f"Bearer {used}"} | request.get("headers", {})
            try:
                return await ask(
                    self._client, method, self._instance + where, _words, **(request | {"headers": headers})
                )
            except LoginError as error:
                if "REQUEST_LIMIT_EXCEEDED" in str(error):
                    raise AwayError(str(error)) from None
                if not again or "INVALID_SESSION_ID" not in str(error):
                    raise
                async with self._login:
                    if self._token == used:
                        self._token = ""
        raise AssertionError


def soql(its: AccountsSettings, since: Any) -> str:
    """Return the query of an `[accounts]` table. Names in it are the mapping's; the one value is a time that we write."""
    names = sorted({*paths_of(its).values(), *(name for name in (its.modified, *its.also_modified) if name)})
    text = f"SELECT {', '.join(names)} FROM {its.source}"  # noqa: S608 - the mapping's own names
    conditions = [f"({its.where})"] if its.where else []
    at = moment(since)
    if isinstance(at, dt.datetime) and its.modified:
        stamp = (
            (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        changed = [f"{name} >= {stamp}" for name in (its.modified, *its.also_modified)]
        conditions.append(f"({' OR '.join(changed)})")
    if conditions:
        text += f" WHERE {' AND '.join(conditions)}"
    return text + (f" ORDER BY {its.modified}" if its.modified else "")


def _seen(resume: str | None) -> int:
    """Return how many records stand before a locator: `01gxx-2000`."""
    number = urlsplit(resume or "").path.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _alike(batch: Sequence[Outgoing]) -> Iterator[list[int]]:
    """Yield the places of records of one object and key, at most 200 at once."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(batch):
        groups.setdefault((one.target, one.its.key), []).append(at)
    for places in groups.values():
        for first in range(0, len(places), MOST):
            yield places[first : first + MOST]


def _nested(fields: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        put(found, name, value)
    return found


def _meaning(answer: Any) -> Written:
    if isinstance(answer, dict) and answer.get("success") is True:
        return OK
    errors = answer.get("errors") if isinstance(answer, dict) else None
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        return Written("failed", "its answer for this record cannot be read")
    code = as_text(errors[0].get("statusCode"))
    words = f"{code}: {as_text(errors[0].get('message'))}"
    return Written("failed" if code in _LATER else "refused", words)


def _words(answer: Any) -> str:
    """Return what an error says: Salesforce lists them."""
    if isinstance(answer, list):
        return "; ".join(
            f"{one.get('errorCode')}: {one.get('message')}" for one in answer if isinstance(one, dict)
        )[:300]
    return _login_words(answer)


def _login_words(answer: Any) -> str:
    if isinstance(answer, dict):
        return " ".join(
            as_text(answer.get(name)) for name in ("error", "error_description", "message")
        ).strip()[:300]
    return ""
