"""The API against its own OpenAPI document: whatever a client sends, the answer is one that the document names, and never a fault of ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.host.running import running_host

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

EXAMPLES = 4
"""Of each operation: enough to meet every parameter's bounds over the years, few enough for every run."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A host on a thread of its own: its address and its token."""
    ready, stop, found = threading.Event(), threading.Event(), []

    async def run() -> None:
        async with running_host(tmp_path_factory.mktemp("host")) as host:
            await host.attached()
            found.append((str(host.client.base_url), host.client.headers["Authorization"]))
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(60)
    yield found[0]
    stop.set()
    thread.join(30)


def test_no_request_is_answered_with_a_fault(served: tuple[str, str]) -> None:
    """Made from the document, right and wrong: no 500, every status and shape as the document says."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings

    url, token = served
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", headers={"Authorization": token})
    seen: set[str] = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call(headers={"Authorization": token, "Accept": "application/json"}, timeout=10)
            assert answer.status_code < 500, (case.method, case.path, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"][0].startswith("application/problem+json"), case.path

        check()
        seen.add(f"{operation.method} {operation.path}")
    assert len(seen) > 50
