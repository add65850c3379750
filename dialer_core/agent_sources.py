"""Sources of agents' states, run in the host: started, watched, and run again when they fail.

It owns when they run. What they say goes to the engine by their own handle, and what follows from it is `agents/presence.py`'s.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from dialer_core.plugin_api import AgentStateSource
from dialer_core.plugin_host import Plugin, PluginHost, PluginState

log = structlog.get_logger(__name__)

HOOK: Final = "dialer_register_agent_states"
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
HELD_S: Final = 60.0
"""One that has run for so long is run again at once."""


async def run(host: PluginHost, sources: list[tuple[Plugin, Any]]) -> None:
    """Run every source until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait(), name="agent-sources")  # also where there is none
        for plugin, source in sources:
            group.create_task(_run_one(host, plugin, source), name=f"agent-states-{plugin.name}")


async def _run_one(host: PluginHost, plugin: Plugin, source: AgentStateSource) -> None:
    loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
    tell = host.handle_of(plugin).agent_states
    while plugin.state is PluginState.RUNNING:
        began_s = loop.time()
        try:
            await source.run(tell)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is its own failure
            await host.reported(plugin, HOOK, error)
        else:
            log.warning("agent_source_ended", plugin=plugin.name)
        if loop.time() - began_s > HELD_S:
            pause_s = FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
