"""CRM: accounts come in from the customer's systems, and what happens to them goes back: calls, messages, dispositions, promises.

It owns the hooks. The mapping is `plugins/crm.toml` (docs/crm.md); `dialer crm check|sync|status|replay` are `commands.py`'s.
"""

from __future__ import annotations

import asyncio

import structlog

from dialer_core.plugin_api import ConfigError, DialerError, EngineHandle, hookimpl
from plugins.crm.settings import place_of, settings_of
from plugins.crm.syncing import Syncing

log = structlog.get_logger(__name__)

_running: list[asyncio.Task[None]] = []


@hookimpl
async def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at the mapping, its campaigns and every connection's secret; `dialer crm check` asks the CRMs too."""
    syncing = Syncing(engine, its := settings_of(engine))
    for name, accounts in its.accounts.items():
        if not (engine.config_directory / "campaigns" / f"{accounts.campaign}.toml").exists():
            where = place_of(engine, "accounts", name, "campaign")
            raise ConfigError(f"{where}: there is no campaign {accounts.campaign!r}")
    for name in its.connections:
        async with syncing.connection(name):
            pass


@hookimpl
async def dialer_startup(engine: EngineHandle) -> None:
    """Read the mapping, and begin to sync; without one, nothing is."""
    its = settings_of(engine)
    if its.accounts or its.out:
        task = asyncio.create_task(Syncing(engine, its).run(), name="crm")
        task.add_done_callback(_tell_its_end)
        _running[:] = [task]


@hookimpl
async def dialer_shutdown() -> None:
    """Stop. Where reading and telling stand is in the store: the next start goes on from there."""
    for task in _running:
        task.cancel()
    await asyncio.gather(*_running, return_exceptions=True)
    _running.clear()


def _tell_its_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        told = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
        log.error("crm_ended", error=str(told) if isinstance(told, DialerError) else type(told).__name__)
