"""The enabled plugins as a command calls their hooks: in its own process, without an engine, and without the dialer's store.

It owns what stands in the engine's place. Calling hooks under a limit is `plugin_host.py`'s; a plugin's own commands, which do have the store,
are `plugin_cli.py`'s.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dialer_core.clock import SystemClock
from dialer_core.errors import NotRunningError
from dialer_core.event_tail import EventTail
from dialer_core.log_setup import configure_logging
from dialer_core.plugin_api import EngineHandle, PluginFailed
from dialer_core.plugin_host import PluginHost, installed, load
from dialer_core.settings import Settings
from dialer_core.store.database import open_database


class NoEngine:
    """Where a running engine would be."""

    async def command(self, name: str, args: Mapping[str, Any], *, actor: str) -> Any:
        """Refuse."""
        del args, actor
        raise NotRunningError(
            f"{name}: this is a command's process; only the host's plugins reach the engine"
        )


def quiet(settings: Settings) -> None:
    """Write no log of plugins that fail: the command that loads them tells what is wrong, once, and its output may be for a program."""
    configure_logging(level="critical", log_format=settings.dialer.log.format, process="cli")


@contextlib.contextmanager
def plugins_apart(
    settings: Settings, report: Callable[[PluginFailed], Awaitable[None]]
) -> Iterator[PluginHost]:
    """Yield the enabled plugins, loaded and not started; `report` is told of every hook that fails.

    Raises
    ------
    ConfigError
        A name in `plugins.enabled` is not installed.
    """
    its = settings.dialer.plugins
    quiet(settings)
    with tempfile.TemporaryDirectory() as nowhere:
        # an event log has to be given; this one stays empty, so that looking makes no store of the dialer's
        empty = open_database(f"sqlite:///{Path(nowhere) / 'empty.db'}")
        try:
            handle = EngineHandle(
                port=NoEngine(),
                tail=EventTail(empty),
                clock=SystemClock(),
                actor="command",
                directory=settings.directory,
                zone=settings.dialer.reports.zone,
            )
            plugins = load(its.enabled, installed())
            yield PluginHost(plugins, engine=handle, hook_limit_s=its.hook_limit_s, report=report)
        finally:
            empty.dispose()
