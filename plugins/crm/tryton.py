"""`kind = "tryton"`: a Tryton server by its JSON-RPC, as its own clients speak it.

It owns sessions, Tryton's types in JSON, and finding our record again. Tryton itself is a program apart (GPL): nothing of it is imported.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx2

from plugins.crm.connection_settings import TrytonSettings
from plugins.crm.connector import OK, AwayError, LoginError, MappingError, Outgoing, Page, Written
from plugins.crm.filling import fill_all
from plugins.crm.http_asking import JSON, FailedError, RefusedError, ask, encode
from plugins.crm.records import at, put
from plugins.crm.settings import AccountsSettings, FieldSettings

_CHANGED, _MADE = "write_date", "create_date"


class TrytonConnector:
    """A Tryton database.

    Parameters
    ----------
    its
        The connection.
    password
        Of its user.
    """

    def __init__(self, its: TrytonSettings, password: str) -> None:
        self._its = its
        self._password = password
        self._session = ""
        self._context: dict[str, Any] = {}
        self._login = asyncio.Lock()
        self._turns = asyncio.Semaphore(its.at_once)
        self._client = httpx2.AsyncClient(timeout=its.timeout_s, trust_env=False)

    async def close(self) -> None:
        """Close the connections; the session ends by itself."""
        await self._client.aclose()

    async def check(self) -> None:
        """Log in."""
        self._session = ""
        await self._open()

    async def fields_of(self, source: str) -> set[str] | None:
        """Return a model's fields."""
        return set(await self._call(f"model.{source}.fields_get", [], where=source))

    async def read(self, its: AccountsSettings, since: Any, resume: str | None) -> AsyncGenerator[Page, None]:
        """Yield pages in the order of ids, each asked for behind the last id: what is added meanwhile moves nothing."""
        domain: list[Any] = json.loads(its.where) if its.where else []
        if since is not None and its.modified:
            domain = [domain, ["OR", *([name, ">=", since] for name in _moments(its))]]
        names = sorted({its.key, "id", *_moments(its), *_paths(its)})
        last = int(resume or 0)
        while True:
            found = await self._call(
                f"model.{its.source}.search_read",
                [domain, ["id", ">", last]], 0, self._its.page_rows, [["id", "ASC"]], names, where=its.source,
            )  # fmt: skip
            if not isinstance(found, list) or not all(
                isinstance(one, dict) and isinstance(one.get("id"), int) for one in found
            ):
                raise AwayError(f"{its.source}: the answer is no list of records")
            last = max((one["id"] for one in found), default=last)
            whole = len(found) < self._its.page_rows
            yield Page([_plain(one, names) for one in found], None if whole else str(last))
            if whole:
                return

    async def write(self, batch: Sequence[Outgoing]) -> list[Written]:
        """Write each one after the other where it is found, and make it where it is not."""
        return [await self._write(one) for one in batch]

    async def _write(self, one: Outgoing) -> Written:
        domain = fill_all(json.loads(one.its.find), one.places)
        values: dict[str, Any] = {}
        for name, value in one.fields.items():
            put(values, name, value)
        try:
            ids = await self._call(f"model.{one.target}.search", domain, 0, 2, None, where=one.target)
            if not isinstance(ids, list):
                return Written("failed", "the answer is no list of ids")
            if ids:
                await self._call(f"model.{one.target}.write", ids[:1], values, where=one.target)
            elif one.its.create:
                await self._call(f"model.{one.target}.create", [values], where=one.target)
            else:
                return Written("refused", f"there is no {one.target} that {one.its.find} names")
        except _FaultError as error:
            return Written("refused", str(error))
        except RefusedError as error:
            return Written("refused", error.words)
        except FailedError as error:
            return Written("failed", str(error))
        return OK

    async def _open(self) -> None:
        body = {
            "id": 0,
            "method": "common.db.login",
            "params": [self._its.user, {"password": self._password}, "en"],
        }
        try:
            answer = await ask(self._client, "POST", self._url, content=encode(body), headers=JSON)
        except RefusedError as error:
            raise MappingError(
                f"url: there is no Tryton database at {self._its.url} ({error.status})"
            ) from None
        except FailedError as error:
            raise AwayError(str(error)) from None
        except LoginError:
            raise LoginError(
                f"Tryton does not let {self._its.user!r} in: name or password are wrong"
            ) from None
        told = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(told, list) or len(told) < 2:
            raise AwayError("its answer to our log-in cannot be read")
        words = f"{self._its.user}:{told[0]}:{told[1]}"
        self._session = base64.b64encode(words.encode()).decode()
        try:
            self._context = dict(await self._ask("model.res.user.get_preferences", [True, {}]))
        except (_FaultError, RefusedError, FailedError, TypeError) as error:
            raise AwayError(f"it tells no preferences of {self._its.user!r}: {error}") from None

    @property
    def _url(self) -> str:
        return self._its.url.rstrip("/") + "/rpc/"

    async def _call(self, method: str, *params: Any, where: str) -> Any:
        """Call a method; a session that has ended is opened anew, once."""
        async with self._login:
            if not self._session:
                await self._open()
        used = self._session
        try:
            try:
                async with self._turns:
                    return await self._ask(method, [*params, self._context])
            except LoginError:
                async with self._login:
                    if self._session == used:
                        await self._open()
                async with self._turns:
                    return await self._ask(method, [*params, self._context])
        except (_FaultError, RefusedError) as error:
            if ".search_read" in method or ".fields_get" in method:
                raise MappingError(f"{where}: {error}") from None
            raise
        except FailedError as error:
            if ".search_read" in method or ".fields_get" in method:
                raise AwayError(str(error)) from None
            raise

    async def _ask(self, method: str, params: list[Any]) -> Any:
        body = encode({"id": 1, "method": method, "params": _tryton(params)})
        headers = JSON | {"authorization": f"Session {self._session}"}
        answer = await ask(self._client, "POST", self._url, content=body, headers=headers)
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise FailedError("its answer is no answer of JSON-RPC")
        if "error" in answer:
            raise _fault(answer["error"])
        return _ours(answer["result"])


class _FaultError(Exception):
    """Tryton's own no to what was asked: a rule of its models, a record that is not there."""


def _fault(error: Any) -> Exception:
    """Return what an error of Tryton's means: one of another transaction passes by itself, others are its no."""
    parts = [str(one) for one in error] if isinstance(error, list) else [str(error)]
    if parts[0] in {"ConcurrencyException", "RateLimitException"} or "database is locked" in parts[0]:
        return FailedError(parts[0])
    if parts[0] == "LoginException":
        return LoginError("Tryton wants us to log in again")
    told = [part for part in parts if part and "\n" not in part]
    return _FaultError(": ".join(told)[:300] or "refused")


def _paths(its: AccountsSettings) -> list[str]:
    """Return which of their fields the mapping reads."""
    wanted = [*its.fields.values(), *its.attributes.values()]
    paths = [one.path if isinstance(one, FieldSettings) else one for one in wanted]
    return [path for path in paths if path]


def _moments(its: AccountsSettings) -> list[str]:
    """Return the fields that say when a record was changed; one that was made and never changed has no `write_date`, but a `create_date`."""
    named = [name for name in (its.modified, *its.also_modified) if name]
    return named + [name.removesuffix(_CHANGED) + _MADE for name in named if name.endswith(_CHANGED)]


def _plain(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a record with `party.name` where Tryton has it, in a table named `party.`."""
    found: dict[str, Any] = {}
    for name in names:
        inner: Any = record
        *outer, last = name.split(".")
        for part in outer:
            inner = inner.get(f"{part}.") if isinstance(inner, Mapping) else None
        found[name] = inner.get(last) if isinstance(inner, Mapping) else at(record, name)
    for name in names:
        if name.endswith(_CHANGED) and found[name] is None:
            found[name] = found[name.removesuffix(_CHANGED) + _MADE]
    return found


def _tryton(value: Any) -> Any:
    """Return a value as Tryton writes it in JSON."""
    match value:
        case dt.datetime():
            told = value.astimezone(dt.UTC) if value.tzinfo else value
            names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
            return {"__class__": "datetime"} | {name: getattr(told, name) for name in names}
        case dt.date():
            return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
        case Mapping():
            return {name: _tryton(one) for name, one in value.items()}
        case list() | tuple():
            return [_tryton(one) for one in value]
    return value


def _ours(value: Any) -> Any:
    """Return what Tryton wrote in JSON as a value; its times are in UTC."""
    if isinstance(value, list):
        return [_ours(one) for one in value]
    if not isinstance(value, dict):
        return value
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    try:
        match value.get("__class__"):
            case "Decimal":
                return Decimal(value["decimal"])
            case "date":
                return dt.date(*(value[name] for name in names[:3]))
            case "datetime":
                return dt.datetime(*(value[name] for name in names), tzinfo=dt.UTC)  # type: ignore[misc]
            case "timedelta":
                return value["seconds"]
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise FailedError(f"its answer holds a {value.get('__class__')} that is none") from error
    return {name: _ours(one) for name, one in value.items()}
