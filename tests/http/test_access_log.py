"""What is written of a request: its route and status, never what was in its path, query or body."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import structlog

from dialer_core.log_setup import configure_logging
from tests.host.running import running_host

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


async def test_no_personal_data_of_a_request_is_logged(tmp_path: Path) -> None:
    """A number in path, query and body, a token in the header: the log has the route's template and none of them."""
    stream = io.StringIO()
    configure_logging(level="debug", log_format="json", process="host", stream=stream)
    try:
        async with running_host(tmp_path) as running:
            await running.attached()
            await running.client.get("/api/v1/agents/5512345678?name=Juan")
            await running.client.post("/api/v1/agents/5512345678/pause", json={"reason": "Juan 5512345678"})
            await running.client.get("/5512345678")
            token = running.client.headers["Authorization"].partition(" ")[2]
    finally:
        structlog.reset_defaults()
    out = stream.getvalue()
    assert "/api/v1/agents/{agent}/pause" in out
    assert '"unmatched"' in out
    for private in ("5512345678", "1234567", "Juan", token):
        assert private not in out
