"""Plugins: found by entry point, enabled by name, called so that none can harm another or the host.

It owns discovery, the plugins' states, and the isolation of every hook call: only the arguments that an
implementation names, a time limit, one outcome per plugin, a thread of its own for plain functions. It owns
no hook (`hookspecs.py`) and nothing that plugins do.

Why not pluggy's own call: one raising implementation aborts the whole call, an async one merely returns a
coroutine, and a plain function cannot be interrupted. So pluggy registers and checks; the calling is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import importlib.metadata
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import pluggy
import structlog

from dialer_core import hookspecs
from dialer_core.errors import ConfigError
from dialer_core.event_tail import EventTail, typed
from dialer_core.events import PluginFailed
from dialer_core.hook_runs import HookHungError, HookLimitError, HookThread, Run, UnfitError
from dialer_core.log_setup import place_of, trace_of
from dialer_core.plugin_api import ENTRY_POINT_GROUP, PROJECT, EngineHandle, NextStep, StepFacts
from dialer_core.portfolio.next_step import problem_of

log = structlog.get_logger(__name__)

T = TypeVar("T")

FAILURES_IN_A_ROW = 5
"""So many, and the plugin is disabled until the host starts again."""
CANCEL_GRACE_S = 1.0
"""How long a cancelled async hook may take to end before it counts as hung."""


class PluginState(enum.StrEnum):
    """What becomes of a plugin."""

    AVAILABLE = "available"
    """Installed, and not enabled in `plugins.enabled`."""
    RUNNING = "running"
    """Enabled; its hooks are called."""
    DISABLED = "disabled"
    """Enabled, and cut off after a failure; `reason` says which."""


class PluginView(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin now, for screens."""

    name: str
    state: str
    reason: str = ""
    package: str = ""
    """Distribution and version it comes from."""
    hooks: tuple[str, ...] = ()
    failures: int = 0


@dataclass(frozen=True, slots=True)
class HookOutcome:
    """What one plugin's implementation of a hook came to."""

    plugin: str
    value: Any = None
    error: str = ""
    """Empty: it returned `value`."""


@dataclass(slots=True)
class Plugin:
    """One enabled plugin."""

    name: str
    package: str
    state: PluginState = PluginState.RUNNING
    reason: str = ""
    hooks: dict[str, pluggy.HookImpl] = field(default_factory=dict)
    failures: int = 0
    failures_in_a_row: int = 0
    thread: HookThread | None = None

    def view(self) -> PluginView:
        """Return the plugin as screens show it."""
        return PluginView(
            name=self.name,
            state=self.state.value,
            reason=self.reason,
            package=self.package,
            hooks=tuple(sorted(self.hooks)),
            failures=self.failures,
        )

    def disable(self, reason: str) -> None:
        """Cut the plugin off; the first reason stays."""
        if self.state is PluginState.RUNNING:
            self.state, self.reason = PluginState.DISABLED, reason
            log.error("plugin_disabled", plugin=self.name, reason=reason)


def installed() -> dict[str, importlib.metadata.EntryPoint]:
    """Return every installed plugin by name."""
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""


def list_plugins(enabled: Sequence[str]) -> list[PluginView]:
    """Return every installed plugin; those enabled are loaded, to see whether they can be, but not started."""
    loaded = {plugin.name: plugin.view() for plugin in load(enabled, installed())}
    return [
        loaded.get(name) or PluginView(name=name, state=PluginState.AVAILABLE, package=_package(point))
        for name, point in sorted(installed().items())
    ]


def check_names(enabled: Sequence[str], available: Mapping[str, importlib.metadata.EntryPoint]) -> None:
    """Raise `ConfigError` for a name that is not installed; it names those that are."""
    if missing := [name for name in enabled if name not in available]:
        known = ", ".join(sorted(available)) or "none"
        raise ConfigError(
            f"plugins.enabled: {missing[0]!r} is not an installed plugin; installed are: {known}"
        )


def load(enabled: Sequence[str], available: Mapping[str, importlib.metadata.EntryPoint]) -> list[Plugin]:
    """Import and register the enabled plugins, in the order given.

    A plugin that cannot be imported, or whose hooks do not fit, is returned disabled with its reason: a
    broken plugin is no cause to dial nothing.

    Raises
    ------
    ConfigError
        A name that is not installed; names those that are.
    """
    check_names(enabled, available)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return [_load_one(manager, name, available[name]) for name in dict.fromkeys(enabled)]


def _load_one(manager: pluggy.PluginManager, name: str, point: importlib.metadata.EntryPoint) -> Plugin:
    plugin = Plugin(name=name, package=_package(point))
    try:
        module = point.load()
        manager.register(module, name)
    except Exception as error:  # noqa: BLE001 - foreign code at its import
        log.warning("plugin_not_loaded", plugin=name, error=place_of(error))
        log.debug("plugin_not_loaded_trace", plugin=name, trace=trace_of(error))
        plugin.disable(f"cannot be loaded: {type(error).__name__}: {error}".splitlines()[0])
        return plugin
    for caller in manager.get_hookcallers(module) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin_name != name:
                continue
            if not caller.has_spec():
                plugin.disable(
                    f"implements {caller.name}, which is not a hook; hooks are: {', '.join(hook_names())}"
                )
            elif implementation.wrapper or implementation.hookwrapper:
                plugin.disable(f"{caller.name} is a hook wrapper; plugins may not wrap one another")
            else:
                plugin.hooks[caller.name] = implementation
    return plugin


def hook_names() -> list[str]:
    """Return the name of every hook."""
    return sorted(name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_"))


class PluginHost:
    """The running plugins.

    Parameters
    ----------
    plugins
        From `load`.
    engine
        The handle that each plugin gets, under its own name as the actor.
    hook_limit_s
        Longest a hook may take, in seconds.
    report
        Writes a `PluginFailed` into the event log. What it raises is logged.
    """

    def __init__(
        self,
        plugins: Sequence[Plugin],
        *,
        engine: EngineHandle,
        hook_limit_s: float,
        report: Callable[[PluginFailed], Awaitable[None]],
    ) -> None:
        self.plugins = list(plugins)
        self._handles = {plugin.name: engine.acting_as(f"plugin:{plugin.name}") for plugin in plugins}
        self._limit_s = hook_limit_s
        self._report = report

    def views(self) -> list[PluginView]:
        """Return every enabled plugin as it is now."""
        return [plugin.view() for plugin in self.plugins]

    async def observe(self, hook: str, **arguments: Any) -> list[HookOutcome]:
        """Call a hook of every running plugin, side by side; one outcome for each plugin that has it."""
        running = [p for p in self.plugins if p.state is PluginState.RUNNING and hook in p.hooks]
        return list(await asyncio.gather(*(self.call(plugin, hook, **arguments) for plugin in running)))

    async def choose_next_step(self, facts: StepFacts) -> tuple[str, NextStep] | None:
        """Return what is best done next about an account, and which plugin says so; None: none does."""
        return await self._choose("dialer_choose_next_step", NextStep, problem_of, facts=facts)

    async def _choose(
        self, hook: str, kind: type[T], problem_of: Callable[[T], str], **arguments: Any
    ) -> tuple[str, T] | None:
        """Ask plugin after plugin, until one returns what was asked for; return which did, and what.

        In the order in which they are enabled; one marked `trylast` after the others, `tryfirst` before. One that fails, or returns
        something else, is passed over and reported; None: none has an answer.
        """
        asked = [p for p in self.plugins if p.state is PluginState.RUNNING and hook in p.hooks]
        for plugin in sorted(asked, key=lambda one: one.hooks[hook].trylast - one.hooks[hook].tryfirst):
            outcome = await self.call(plugin, hook, **arguments)
            if outcome.error or outcome.value is None:
                continue
            value = outcome.value
            wrong = (
                problem_of(value)
                if isinstance(value, kind)
                else f"is a {type(value).__name__}, no {kind.__name__}"
            )
            if not wrong:
                return plugin.name, value
            await self._failed(
                plugin, hook, UnfitError(f"what it returned does not fit: {wrong}"), silent=False
            )
        return None

    async def call(self, plugin: Plugin, hook: str, *, silent: bool = False, **arguments: Any) -> HookOutcome:
        """Call one plugin's hook under the limit; a failure is counted, logged, reported and returned.

        Parameters
        ----------
        plugin, hook
            Whose, and which.
        silent
            Count and log a failure, but write no event: for failures on `plugin.failed` itself, or they would
            never end.
        arguments
            All that the hook offers; the implementation gets those it names, and `engine`.
        """
        implementation = plugin.hooks[hook]
        offered = {"engine": self._handles[plugin.name], **arguments}
        named = {name: offered[name] for name in implementation.argnames}
        try:
            value = await self._run(plugin, Run(implementation.function, [named]))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is its outcome
            text = await self._failed(plugin, hook, error, silent=silent)
            return HookOutcome(plugin.name, error=text)
        plugin.failures_in_a_row = 0
        return HookOutcome(plugin.name, value=value)

    async def start(self) -> None:
        """Run every plugin's start-up; one that fails disables its plugin."""
        for outcome in await self.observe("dialer_startup"):
            self._disable_failed(outcome, "its start-up failed")

    async def stop(self) -> None:
        """Run every plugin's shutdown and let the threads end."""
        await self.observe("dialer_shutdown")
        for plugin in self.plugins:
            if plugin.thread is not None:
                plugin.thread.close()

    async def routes(self) -> list[tuple[Plugin, Any]]:
        """Return what each plugin wants served; one whose hook fails is disabled."""
        return await self._registered("dialer_register_routes", "its routes could not be registered")

    async def pages(self) -> list[tuple[Plugin, Any]]:
        """Return the pages that each plugin has; one whose hook fails is disabled."""
        return await self._registered("dialer_register_pages", "its pages could not be registered")

    async def channels(self) -> list[tuple[Plugin, Any]]:
        """Return the channel of messages that each plugin has; one whose hook fails is disabled."""
        return await self._registered("dialer_register_channel", "its channel could not be registered")

    async def strategy_actions(self) -> list[tuple[Plugin, Any]]:
        """Return what each plugin can do in a step of a strategy; one whose hook fails is disabled."""
        return await self._registered(
            "dialer_register_strategy_actions", "its actions could not be registered"
        )

    async def agent_states(self) -> list[tuple[Plugin, Any]]:
        """Return the source of agents' states that each plugin has; one whose hook fails is disabled."""
        return await self._registered(
            "dialer_register_agent_states", "its agents' states could not be registered"
        )

    def handle_of(self, plugin: Plugin) -> EngineHandle:
        """Return what a plugin sees of the system."""
        return self._handles[plugin.name]

    async def reported(self, plugin: Plugin, hook: str, error: BaseException) -> None:
        """Log and report a failure of something that a hook has returned."""
        plugin.failures += 1
        text = place_of(error)
        log.warning("plugin_part_failed", plugin=plugin.name, hook=hook, error=text)
        with contextlib.suppress(Exception):  # a store that is away: logged it is
            await self._report(PluginFailed(plugin=plugin.name, hook=hook, error=text))

    async def _registered(self, hook: str, failed: str) -> list[tuple[Plugin, Any]]:
        found = []
        for outcome in await self.observe(hook):
            self._disable_failed(outcome, failed)
            if outcome.value is not None:
                found.append((self._named(outcome.plugin), outcome.value))
        return found

    async def voices(self) -> list[Any]:
        """Return every plugin's voices, in order; one whose hook fails is disabled."""
        found: list[Any] = []
        for outcome in await self.observe("dialer_register_voices"):
            self._disable_failed(outcome, "its voices could not be registered")
            found += outcome.value or ()
        return found

    async def track(self, tail: EventTail, node: str) -> None:
        """Give every plugin this node's events from now on, each at its own pace, until cancelled."""
        start = await tail.end()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                asyncio.Event().wait(), name="track"
            )  # also where no plugin tracks, or none any more
            for plugin in self.plugins:
                if "dialer_track_event" in plugin.hooks:
                    group.create_task(self._track_one(plugin, tail, node, start), name=f"track-{plugin.name}")

    async def _track_one(self, plugin: Plugin, tail: EventTail, node: str, start: str) -> None:
        async with contextlib.aclosing(tail.pages(start)) as stream:
            async for page in stream:
                calls = [
                    {"event": event, "stored": stored}
                    for stored in page.events
                    if stored.node == node and (event := typed(stored)) is not None
                ]
                await self._call_each(plugin, "dialer_track_event", calls)
                if plugin.state is not PluginState.RUNNING:
                    return

    async def _call_each(self, plugin: Plugin, hook: str, calls: Sequence[dict[str, Any]]) -> None:
        """Do what `call` does for one set of arguments after the other, crossing to the plugin once for all up to the first that fails."""
        implementation = plugin.hooks[hook]
        offered = [{"engine": self._handles[plugin.name], **one} for one in calls]
        left = [{name: one[name] for name in implementation.argnames} for one in offered]
        done = 0
        while done < len(calls) and plugin.state is PluginState.RUNNING:
            run = Run(implementation.function, left[done:])
            try:
                await self._run(plugin, run)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is its outcome
                made = min(
                    run.done, len(run.calls) - 1
                )  # a thread that came back a moment too late has made all
                failed = calls[done + made]["event"]
                if made:
                    plugin.failures_in_a_row = 0
                await self._failed(plugin, hook, error, silent=isinstance(failed, PluginFailed))
                done += made + 1
            else:
                plugin.failures_in_a_row = 0
                done = len(calls)

    def _named(self, name: str) -> Plugin:
        return next(plugin for plugin in self.plugins if plugin.name == name)

    def _disable_failed(self, outcome: HookOutcome, what: str) -> None:
        if outcome.error:
            self._named(outcome.plugin).disable(f"{what}: {outcome.error}")

    async def _run(self, plugin: Plugin, run: Run) -> Any:
        """Make the calls of a run, each under the limit; raise what the first one that fails raises, else return the last one's value."""
        if inspect.iscoroutinefunction(run.function):
            return await self._within_limit(asyncio.ensure_future(run.in_loop()), run, cancel_works=True)
        if plugin.thread is None:
            plugin.thread = HookThread(plugin.name)
        while True:
            future = asyncio.wrap_future(plugin.thread.submit(run.in_thread))
            value = await self._within_limit(future, run, cancel_works=False)
            if inspect.isawaitable(value):  # a plain function that returned one: it is waited for here
                run.begun_s = time.monotonic()
                value = await self._within_limit(asyncio.ensure_future(value), run, cancel_works=True)
                run.done += 1
            if run.done == len(run.calls):
                return value

    async def _within_limit(self, future: asyncio.Future[Any], run: Run, *, cancel_works: bool) -> Any:
        """Wait as long as no single call is over the limit. A thread, or a coroutine that outlives its cancellation, counts as hung."""
        try:
            while not future.done():
                left_s = run.begun_s + self._limit_s - time.monotonic()
                if left_s <= 0:
                    break
                await asyncio.wait({future}, timeout=left_s)
            if not future.done() and cancel_works:
                future.cancel()
                await asyncio.wait({future}, timeout=CANCEL_GRACE_S)
                if future.done():
                    raise HookLimitError(f"took longer than {self._limit_s:g} s")
        except asyncio.CancelledError:
            future.cancel()
            raise
        if not future.done():
            raise HookHungError(f"did not come back within {time.monotonic() - run.begun_s:.1f} s")
        return future.result()

    async def _failed(self, plugin: Plugin, hook: str, error: Exception, *, silent: bool) -> str:
        plugin.failures += 1
        plugin.failures_in_a_row += 1
        # words of ours, made for people; what else is raised may hold anything
        text = str(error) if isinstance(error, HookLimitError | ConfigError) else place_of(error)
        log.warning("plugin_failed", plugin=plugin.name, hook=hook, error=text, failures=plugin.failures)
        log.debug("plugin_failed_trace", plugin=plugin.name, trace=trace_of(error))
        if isinstance(error, HookHungError):
            plugin.disable(f"{hook} hangs: it {text}")
        elif plugin.failures_in_a_row >= FAILURES_IN_A_ROW:
            plugin.disable(f"{hook} failed {plugin.failures_in_a_row} times in a row, the last time: {text}")
        if not silent:
            try:
                await self._report(PluginFailed(plugin=plugin.name, hook=hook, error=text))
            except Exception as unreported:  # noqa: BLE001 - the store may be away; the log line above has told
                log.warning("plugin_failure_unreported", plugin=plugin.name, error=place_of(unreported))
        return text
