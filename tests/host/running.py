"""A real host in this process: real sockets, real store, a scripted engine; and a client with its token."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from dialer_core import host
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.ipc.channel import ENGINE_SOCKET
from dialer_core.ipc.messages import HostCommand
from dialer_core.settings import DialerSettings, Settings
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import CampaignId
from tests.host.scripted_engine import Answer, ScriptedEngine
from tests.polling import wait_until_async


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningHost:
    """What a test gets."""

    settings: Settings
    engine: ScriptedEngine
    client: httpx2.AsyncClient
    database: Database
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def attached(self) -> None:
        """Wait until commands reach the engine."""

        async def answers() -> bool:
            return (await self.client.get("/api/v1/status")).status_code == 200

        await wait_until_async(answers, 10, "the host to attach to the engine")


def host_settings(
    folder: Path,
    *,
    plugins: tuple[str, ...] = (),
    hook_limit_s: float = 5.0,
    campaigns: Mapping[CampaignId, CampaignSettings] | None = None,
    **sections: dict[str, object],
) -> Settings:
    """Return settings of a host whose files are all in `folder`, with more sections of `dialer.toml`."""
    dialer = DialerSettings.model_validate(
        {
            "http": {"port": free_port()},
            "node": {"state_dir": str(folder / "state"), "run_dir": str(folder / "run")},
            "plugins": {"enabled": plugins, "hook_limit_s": hook_limit_s},
            **sections,
        }
    )
    return Settings(folder / "config", dialer, {}, {}, dict(campaigns or {}))


@contextlib.asynccontextmanager
async def running_host(
    folder: Path,
    *,
    script: Callable[[HostCommand], Answer] | None = None,
    plugins: tuple[str, ...] = (),
    hook_limit_s: float = 5.0,
    campaigns: Mapping[CampaignId, CampaignSettings] | None = None,
    **sections: dict[str, object],
) -> AsyncIterator[RunningHost]:
    """Run a host until the block ends, then stop it as SIGTERM would."""
    settings = host_settings(
        folder, plugins=plugins, hook_limit_s=hook_limit_s, campaigns=campaigns, **sections
    )
    database = open_database(settings.store_url)
    database.migrate()
    engine = await ScriptedEngine(settings.run_dir / ENGINE_SOCKET, script).start()
    stop = asyncio.Event()
    task = asyncio.create_task(host.serve(settings, stop))
    try:
        await wait_until_async(lambda: settings.token_file.exists() or task.done(), 10, "the token file")
        if task.done():
            task.result()
        token = settings.token_file.read_text().strip()
        url = f"http://127.0.0.1:{settings.dialer.http.port}"
        async with httpx2.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            running = RunningHost(settings, engine, client, database, stop, task)

            async def serves() -> bool:
                with contextlib.suppress(httpx2.TransportError):
                    return (await client.get("/api/v1/plugins")).status_code == 200
                return False

            await wait_until_async(lambda: serves() if not task.done() else True, 10, "the API to answer")
            yield running
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)
        await engine.stop()
        database.dispose()
