"""The host as a whole: attachment to the engine, events, plugins' failures, its start and its end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dialer_core import host
from dialer_core.errors import StartError
from dialer_core.events import AttemptCommitted
from dialer_core.vocabulary import AttemptId, CampaignId, new_id
from tests.host.running import host_settings, running_host
from tests.host.scripted_engine import ScriptedEngine
from tests.polling import wait_until, wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


async def test_commands_reach_the_engine_and_come_back(tmp_path: Path) -> None:
    """A command of the API is one command of the engine, with the actor, and its result is the answer."""
    async with running_host(tmp_path, script=lambda _c: ({"state": "paused"}, "", "")) as running:
        await running.attached()
        answer = await running.client.post("/api/v1/campaigns/cobranza/pause", json={"reason": "lunch"})
        assert answer.status_code == 200
        assert answer.json() == {"state": "paused"}
        command = running.engine.commands[-1]
        assert command.name == "campaigns.pause"
        assert command.args == {"campaign": "cobranza", "reason": "lunch"}
        assert command.actor == "api:local"


async def test_an_engine_that_goes_away_is_told_and_attached_again(tmp_path: Path) -> None:
    """While the engine is away a command is a 503 that says so; when it is back, commands work without a restart."""
    async with running_host(tmp_path) as running:
        await running.attached()
        await running.engine.stop()

        async def away() -> bool:
            return (await running.client.get("/api/v1/status")).status_code == 503

        await wait_until_async(away, 10, "a 503 while the engine is away")
        problem = (await running.client.post("/api/v1/agents/ana/login")).json()
        assert problem["type"] == "urn:marcador:problem:engine_away"
        assert "not attached" in problem["detail"]
        again = await ScriptedEngine(running.engine.path).start()
        await running.attached()
    await again.stop()


async def test_a_command_that_the_engine_drops_is_an_answer(tmp_path: Path) -> None:
    """An engine that dies over a command leaves the client with a 503 that says the command may have been done."""
    async with running_host(tmp_path, script=lambda _c: None) as running:
        await running.attached()
        request = asyncio.create_task(running.client.post("/api/v1/agents/ana/ready"))
        await wait_until_async(lambda: running.engine.commands[-1].name == "agents.ready", 10, "the command")
        await running.engine.stop()
        answer = await request
        assert answer.status_code == 503
        assert "before it answered" in answer.json()["detail"]


async def test_an_engine_that_keeps_silent_is_an_answer(tmp_path: Path) -> None:
    """A command without a reply ends by the limit, and the next one works."""
    engine = await ScriptedEngine(tmp_path / "e.sock", lambda _c: None).start()
    link = host.EngineLink(engine.path, lambda: None, reply_limit_s=0.05)
    task = asyncio.create_task(link.run())
    await wait_until_async(lambda: link.attached, 10, "attachment")
    with pytest.raises(host.NotRunningError, match="did not answer"):
        await link.command("agents.ready", {}, actor="test")
    assert (await link.command("status", {}, actor="test"))["node"] == "node1"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.stop()


def _commit_attempt(running: object) -> str:
    attempt = new_id()
    with running.database.write("engine") as tx:  # type: ignore[attr-defined]
        tx.emit(
            AttemptCommitted(
                attempt_id=AttemptId(attempt), campaign_id=CampaignId("cobranza"), trunk="carrier"
            )
        )
    return attempt


async def test_events_stream_as_they_are_committed(tmp_path: Path) -> None:
    """A stream opened now gets the next event, with the cursor as its id; a stream opened with that id goes on after it."""
    async with running_host(tmp_path) as running:
        await running.attached()
        headers = {"Accept": "text/event-stream"}
        async with running.client.stream("GET", "/api/v1/events", headers=headers) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith(":")
            first = _commit_attempt(running)
            running.engine.committed(1)
            frame = await _next_frame(lines)
        assert frame["event"] == "attempt.committed"
        assert json.loads(frame["data"])["attempt_id"] == first
        second = _commit_attempt(running)
        headers["Last-Event-ID"] = frame["id"]
        async with running.client.stream("GET", "/api/v1/events", headers=headers) as stream:
            frame = await _next_frame(stream.aiter_lines())
        assert json.loads(frame["data"])["attempt_id"] == second


async def _next_frame(lines: object) -> dict[str, str]:
    frame: dict[str, str] = {}
    async with asyncio.timeout(10):
        async for line in lines:  # type: ignore[attr-defined]
            key, _, value = line.partition(": ")
            if key and not line.startswith(":"):
                frame[key] = value
            elif frame:
                return frame
    raise AssertionError("the stream ended")


async def test_open_streams_do_not_keep_the_host_from_stopping(tmp_path: Path) -> None:
    """A stop ends the event streams; the host does not wait for their clients."""
    async with running_host(tmp_path) as running:
        await running.attached()
        async with running.client.stream(
            "GET", "/api/v1/events", headers={"Accept": "text/event-stream"}
        ) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            running.stop.set()
            async with asyncio.timeout(10):
                assert [line async for line in lines if line] == []
                await running.task


@pytest.mark.parametrize("heard", [True, False])
async def test_what_calls_may_be_hearing_is_left_to_them(tmp_path: Path, *, heard: bool) -> None:
    """A host that stops while an engine lives deletes no speech, for flows go on without it; once the engine is gone, all of it goes."""
    async with running_host(tmp_path) as running:
        await running.attached()
        if not heard:
            await running.engine.stop()

            async def away() -> bool:
                return (await running.client.get("/api/v1/status")).status_code == 503

            await wait_until_async(away, 10, "a 503 while the engine is away")
        piece = running.settings.speech_dir / f"{'ab' * 16}.ulaw"
        piece.parent.mkdir()
        piece.write_bytes(b"\xff" * 160)
    assert piece.exists() is heard


async def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    """The host says which address is in use and which setting moves it."""
    settings = host_settings(tmp_path)
    with host.bind_http("127.0.0.1", settings.dialer.http.port) as taken:
        taken.listen()
        with pytest.raises(
            StartError, match=rf"127.0.0.1:{settings.dialer.http.port}: Address already in use.*http.port"
        ):
            await host.serve(settings, asyncio.Event())


def test_the_process_ends_on_sigterm_and_says_nothing_private(tmp_path: Path) -> None:
    """`python -m dialer_core.host` serves without an engine and ends with status 0 on SIGTERM."""
    settings = host_settings(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dialer.toml").write_text(
        f'[node]\nstate_dir = "state"\nrun_dir = "run"\n[http]\nport = {settings.dialer.http.port}\n[plugins]\nenabled = []\n'
    )
    (tmp_path / "config" / "trunks.toml").write_text("")
    database = host.open_database(settings.store_url)
    database.migrate()
    database.dispose()
    log_file = tmp_path / "host.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dialer_core.host", "--config", str(tmp_path / "config")], stderr=log
        )
    try:
        wait_until(
            lambda: "host_started" in log_file.read_text() or process.poll() is not None,
            20,
            "host_started in its log",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, log_file.read_text()
        out = log_file.read_text()
        assert "host_stopped" in out
        assert settings.token_file.read_text().strip() not in out
        assert settings.token_file.stat().st_mode & 0o777 == 0o600
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
