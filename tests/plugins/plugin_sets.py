"""Plugins for tests: modules made on the spot, and a host that runs them."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Callable
from typing import Any

from dialer_core.clock import SystemClock
from dialer_core.event_tail import EventTail
from dialer_core.events import PluginFailed
from dialer_core.plugin_api import EngineHandle, hookimpl
from dialer_core.plugin_host import Plugin, PluginHost, load


class Refusing:
    """A command port that nobody should use in these tests."""

    async def command(self, name: str, args: dict[str, Any], *, actor: str) -> Any:
        """Fail."""
        raise AssertionError(f"unexpected command {name} by {actor} with {args}")


class Entry(importlib.metadata.EntryPoint):
    """An entry point that needs no installed distribution."""


def entry_points(**plugins: dict[str, Callable[..., Any]] | None) -> dict[str, importlib.metadata.EntryPoint]:
    """Make a module for each plugin, its functions marked as hooks; None: one that cannot be imported."""
    points = {}
    for name, hooks in plugins.items():
        module_name = f"made_plugin_{name}"
        sys.modules.pop(module_name, None)
        if hooks is not None:
            module = types.ModuleType(module_name)
            for hook, function in hooks.items():
                setattr(module, hook, hookimpl(function))
            sys.modules[module_name] = module
        points[name] = importlib.metadata.EntryPoint(name, module_name, "dialer.plugins")
    return points


class Running:
    """A plugin host over made plugins, and what it reported."""

    def __init__(self, *, limit_s: float = 5.0, tail: EventTail | None = None, **plugins: Any) -> None:
        self.reported: list[PluginFailed] = []
        self.plugins: list[Plugin] = load(list(plugins), entry_points(**plugins))
        handle = EngineHandle(port=Refusing(), tail=tail, clock=SystemClock(), actor="test")  # type: ignore[arg-type]

        async def report(event: PluginFailed) -> None:
            self.reported.append(event)

        self.host = PluginHost(self.plugins, engine=handle, hook_limit_s=limit_s, report=report)

    def __getitem__(self, name: str) -> Plugin:
        return next(plugin for plugin in self.plugins if plugin.name == name)
