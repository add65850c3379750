"""Asking a CRM over HTTP: what each failure and status means for what is to be done next.

It owns that. What is asked, and what stands in an answer, is each kind's.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import httpx2
import msgspec

from plugins.crm.connector import AwayError, LoginError

_BUSY: Final = frozenset({408, 425, 429, 502, 503, 504})
"""It was not done, and may be another time."""
_LONGEST_ANSWER: Final = 16 * 1024 * 1024
"""To read it as JSON holds up everything else in this process: half a second, not three."""
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
JSON: Final = {"content-type": "application/json"}


class RefusedError(Exception):
    """An answer that says no to what was asked: 4xx, with its status and words."""

    def __init__(self, status: int, words: str, answer: Any = None) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.answer = answer


class FailedError(Exception):
    """An answer that nobody can take for done or not done: 500, or what cannot be read."""


def encode(value: Any) -> bytes:
    """Return JSON: decimals as numbers, days and times in ISO form."""
    return _ENCODER.encode(value)


async def ask(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    words: Callable[[Any], str] = lambda answer: str(answer)[:300],
    **request: Any,
) -> Any:
    """Ask, and return the answer's JSON; None where it is empty.

    Parameters
    ----------
    client, method, url, **request
        What is asked.
    words
        Of a refusal's body.

    Raises
    ------
    AwayError
        It cannot be reached, does not answer in time, is too busy, or its answer breaks off.
    LoginError
        401 or 403.
    RefusedError
        Any other 4xx.
    FailedError
        Any other 5xx, a redirect, or a 2xx that cannot be read.
    """
    try:
        async with client.stream(method, url, **request) as answer:
            body = await _body(answer)
    except httpx2.TimeoutException as error:
        raise AwayError(f"no answer in time ({type(error).__name__})") from error
    except httpx2.RemoteProtocolError as error:
        raise AwayError(f"the answer broke off: {error}") from error
    except httpx2.TransportError as error:
        raise AwayError(f"cannot be reached: {str(error) or type(error).__name__}") from error
    except (httpx2.DecodingError, httpx2.InvalidURL) as error:
        raise FailedError(f"the answer cannot be read: {error}") from error
    status = answer.status_code
    if status in _BUSY:
        raise AwayError(f"answers {status}", _seconds(answer.headers.get("retry-after")))
    told, readable = _json(body)
    if status in {401, 403}:
        raise LoginError(f"answers {status}: {words(told) if readable else ''}".rstrip(": "))
    if 400 <= status < 500:
        raise RefusedError(
            status, f"{status}: {words(told) if readable else body[:200].decode(errors='replace')}", told
        )
    if not answer.is_success:
        raise FailedError(f"answers {status}")
    if not readable:
        raise FailedError("its answer is no JSON, or half of one")
    return told


async def _body(answer: httpx2.Response) -> bytes:
    parts, size = [], 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > _LONGEST_ANSWER:
            raise FailedError("its answer is over 16 MB: ask for smaller pages")
        parts.append(part)
    return b"".join(parts)


def _json(body: bytes) -> tuple[Any, bool]:
    if not body.strip():
        return None, True
    try:
        return json.loads(body, parse_float=Decimal), True
    except (ValueError, RecursionError):
        return None, False


def _seconds(text: str | None) -> float | None:
    """Return how long `Retry-After` asks to wait: seconds, or a date."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
