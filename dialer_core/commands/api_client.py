"""The command line's way to the running dialer: `/api/v1` with the node's token.

It owns connecting and turning problem documents back into our errors. It owns no command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx2

from dialer_core.errors import CommandRefusedError, NotRunningError
from dialer_core.http.tokens import read_token
from dialer_core.settings import Settings

LIMIT_S = 15.0
"""Longer than the host waits for the engine, so that its answer is the one that is told."""


class ApiClient:
    """Requests to the dialer that runs with these settings."""

    def __init__(self, settings: Settings) -> None:
        http = settings.dialer.http
        self.url = f"http://{http.bind}:{http.port}/api/v1"
        self._settings = settings
        self._client = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {read_token(settings.token_file)}"},
            timeout=LIMIT_S,
            trust_env=False,  # a proxy of the environment has no business on loopback
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """Return what a resource is now."""
        return self._json("GET", path, params={k: v for k, v in parameters.items() if v is not None})

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a command and return its result.

        Raises
        ------
        NotRunningError
            No dialer, or no engine behind it, answers.
        CommandRefusedError
            It says no, and why.
        """
        return self._json("POST", path, json=body or {})

    def bytes_of(self, path: str) -> bytes:
        """Return what a resource is that is no JSON: a sound."""
        return self._ask("GET", path).content

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return self._ask(method, path, **options).json()

    def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            raise NotRunningError(
                f"no dialer answers at {self.url} ({type(error).__name__}); start it: dialer run --config {self._settings.directory}"
            ) from error
        if answer.is_success:
            return answer
        raise self._error(answer)

    def _error(self, answer: httpx2.Response) -> Exception:
        if answer.status_code == 401:
            return CommandRefusedError(
                f"the dialer at {self.url} does not take the token of {self._settings.token_file}: another one has this port"
            )
        try:
            problem = answer.json()
            detail, kind = str(problem["detail"]), str(problem["type"]).rpartition(":")[2]
        except (ValueError, KeyError, TypeError):
            return CommandRefusedError(
                f"what answers at {self.url} is no dialer (status {answer.status_code})", "internal"
            )
        return NotRunningError(detail) if answer.status_code == 503 else CommandRefusedError(detail, kind)


@contextlib.contextmanager
def api(settings: Settings) -> Iterator[ApiClient]:
    """Open a client for one command."""
    client = ApiClient(settings)
    try:
        yield client
    finally:
        client.close()
