"""Asking a provider over HTTP: which failures mean that nothing has left, and which that nobody can say.

It owns that. What the answer of a provider means is its channel's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from dialer_core.messaging.channel import Answer, NotAccepted, Unknown


async def post(
    client: httpx2.AsyncClient,
    path: str,
    meaning: Callable[[httpx2.Response, Mapping[str, Any]], Answer],
    *,
    method: str = "POST",
    **request: Any,
) -> Answer:
    """Send one message to a provider; return what its answer means, or what it means that none came.

    Parameters
    ----------
    client, path
        The connection, and where the provider takes messages.
    meaning
        Says what an answer means, given its JSON object: an empty one where there is none.
    method
        Of the request.
    **request
        What is sent: `data`, `json`, `params`, `headers`.
    """
    try:
        answer = await client.request(method, path, **request)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
        return NotAccepted(code="unreachable", permanent=False)  # nothing has left
    except httpx2.TransportError as error:
        return Unknown(code=type(error).__name__)
    try:
        told: Any = answer.json()
    except ValueError:
        told = None
    return meaning(answer, told if isinstance(told, dict) else {})
