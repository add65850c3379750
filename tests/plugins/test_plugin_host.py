"""Plugins are found, loaded and called so that none harms another, the host or itself for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest
from pluggy import HookimplMarker

from dialer_core.errors import ConfigError
from dialer_core.plugin_api import EngineHandle
from dialer_core.plugin_host import FAILURES_IN_A_ROW, PluginState, hook_names, list_plugins, load
from tests.plugins.plugin_sets import Running, entry_points

pytestmark = [pytest.mark.unit, pytest.mark.timeout(30)]


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    """A typo in `plugins.enabled` names the plugins that are installed."""
    with pytest.raises(
        ConfigError, match=r"'metrisc' is not an installed plugin; installed are: crm, metrics"
    ):
        load(["metrisc"], entry_points(metrics={}, crm={}))


def test_the_bundled_plugins_load() -> None:
    """What the package ships is found by its entry point and has its hooks."""
    (metrics,) = [view for view in list_plugins(["metrics"]) if view.name == "metrics"]
    assert metrics.state == PluginState.RUNNING
    assert "dialer_track_event" in metrics.hooks
    assert metrics.package.startswith("marcador ")


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (None, "cannot be loaded: ModuleNotFoundError"),
        (
            {"dialer_no_such_hook": lambda: None},
            "dialer_no_such_hook, which is not a hook; hooks are: dialer_",
        ),
        ({"dialer_startup": lambda colour: colour}, "cannot be loaded: PluginValidationError"),
    ],
)
async def test_a_plugin_that_does_not_fit_is_disabled_alone(plugin: object, reason: str) -> None:
    """A plugin that cannot be imported, or whose hooks are not ours, says why; the others run."""
    called = []
    running = Running(good={"dialer_startup": lambda: called.append("good")}, bad=plugin)
    await running.host.start()
    assert called == ["good"]
    assert running["bad"].state is PluginState.DISABLED
    assert reason in running["bad"].reason


async def test_wrong_settings_are_told_in_their_own_words() -> None:
    """What a plugin's start says of its settings stands in its reason; of anything else that is raised only the place, for it may hold anything."""

    def unset() -> None:
        raise ConfigError("plugins/aviso.toml: campaign: no such setting")

    def secret() -> None:
        raise ValueError("+525512345678")

    running = Running(unset={"dialer_startup": unset}, secret={"dialer_startup": secret})
    await running.host.start()
    assert "plugins/aviso.toml: campaign: no such setting" in running["unset"].reason
    assert "+525512345678" not in running["secret"].reason


def test_a_hook_wrapper_is_refused() -> None:
    """Wrappers of pluggy would sit around other plugins; they are refused by name."""

    def wrapped() -> object:
        yield

    points = entry_points(bad={})
    module = points["bad"].load()
    module.dialer_startup = HookimplMarker("dialer")(wrapper=True)(wrapped)
    (plugin,) = load(["bad"], points)
    assert "may not wrap" in plugin.reason


async def test_an_implementation_gets_only_what_it_names() -> None:
    """Arguments are matched by name; `engine` is the plugin's own handle, acting under its name."""
    got = {}

    async def narrow(stored: object) -> None:
        got["narrow"] = stored

    def wide(engine: EngineHandle, event: object, stored: object) -> None:
        got["wide"] = (engine.actor, event, stored)

    running = Running(narrow={"dialer_track_event": narrow}, wide={"dialer_track_event": wide})
    outcomes = await running.host.observe("dialer_track_event", event="event", stored="stored")
    assert {outcome.plugin for outcome in outcomes} == {"narrow", "wide"}
    assert got == {"narrow": "stored", "wide": ("plugin:wide", "event", "stored")}


async def test_one_raising_plugin_is_one_failed_outcome() -> None:
    """The others' hooks run and return; the failure is counted, reported as an event, and says where, not what."""

    def broken() -> None:
        raise KeyError("+52 55 1234 5678 owes 500")

    running = Running(broken={"dialer_startup": broken}, good={"dialer_startup": lambda: "value"})
    outcomes = {outcome.plugin: outcome for outcome in await running.host.observe("dialer_startup")}
    assert outcomes["good"].value == "value"
    assert outcomes["broken"].error.startswith("KeyError at test_plugin_host.py:")
    (event,) = running.reported
    assert (event.plugin, event.hook) == ("broken", "dialer_startup")
    assert "1234" not in event.error
    assert running["broken"].view().failures == 1


async def test_failures_in_a_row_disable_and_a_success_between_them_does_not() -> None:
    """Only a plugin that keeps failing is disabled, with the reason; then it is called no more."""
    calls = []

    def sometimes() -> None:
        calls.append(1)
        if len(calls) != FAILURES_IN_A_ROW:
            raise ValueError

    running = Running(shaky={"dialer_startup": sometimes})
    for _ in range(2 * FAILURES_IN_A_ROW - 1):
        await running.host.observe("dialer_startup")
    assert running["shaky"].state is PluginState.RUNNING
    await running.host.observe("dialer_startup")
    assert running["shaky"].state is PluginState.DISABLED
    assert f"failed {FAILURES_IN_A_ROW} times in a row" in running["shaky"].reason
    seen = len(calls)
    assert await running.host.observe("dialer_startup") == []
    assert len(calls) == seen


async def test_a_hanging_function_costs_only_its_own_plugin() -> None:
    """A plain function that does not come back is left in its thread and its plugin disabled; the others are not delayed."""
    release = threading.Event()
    running = Running(
        limit_s=0.05, stuck={"dialer_startup": lambda: release.wait(20)}, good={"dialer_startup": lambda: 1}
    )
    try:
        async with asyncio.timeout(5):
            outcomes = {outcome.plugin: outcome for outcome in await running.host.observe("dialer_startup")}
        assert outcomes["good"].value == 1
        assert "did not come back" in outcomes["stuck"].error
        assert running["stuck"].state is PluginState.DISABLED
        assert "hangs" in running["stuck"].reason
        assert running["good"].state is PluginState.RUNNING
    finally:
        release.set()


async def test_a_slow_coroutine_is_cancelled_and_may_fail_again() -> None:
    """An async hook over its limit is cancelled: a failure, but the plugin goes on."""
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running = Running(limit_s=0.02, slow={"dialer_startup": slow})
    (outcome,) = await running.host.observe("dialer_startup")
    assert cancelled.is_set()
    assert "took longer than 0.02 s" in outcome.error
    assert running["slow"].state is PluginState.RUNNING


async def test_a_coroutine_that_ignores_its_cancellation_counts_as_hung(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It cannot be stopped, so its plugin is disabled."""
    monkeypatch.setattr("dialer_core.plugin_host.CANCEL_GRACE_S", 0.02)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    running = Running(limit_s=0.02, stubborn={"dialer_startup": stubborn})
    await running.host.observe("dialer_startup")
    assert running["stubborn"].state is PluginState.DISABLED
    release.set()
    await asyncio.sleep(0)


async def test_functions_of_a_plugin_never_overlap() -> None:
    """A plain function is called one at a time and always in the same thread, so a plugin needs no locks."""
    threads, inside, most = set(), 0, 0

    def counted() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threads.add(threading.get_ident())
        inside -= 1

    running = Running(one={"dialer_startup": counted})
    await asyncio.gather(*(running.host.observe("dialer_startup") for _ in range(20)))
    assert (most, len(threads)) == (1, 1)
    await running.host.stop()


async def test_a_failed_startup_or_route_hook_disables() -> None:
    """A plugin that could not begin is not called again, and says which step failed."""

    def broken() -> None:
        raise OSError

    running = Running(first={"dialer_startup": broken}, second={"dialer_register_routes": broken})
    await running.host.start()
    assert await running.host.routes() == []
    assert "its start-up failed: OSError" in running["first"].reason
    assert "its routes could not be registered: OSError" in running["second"].reason


def test_every_hook_name_has_the_prefix() -> None:
    """The list of hooks is that of `hookspecs`, under the project's prefix."""
    assert hook_names() == [
        "dialer_check_settings",
        "dialer_choose_next_step",
        "dialer_register_agent_states",
        "dialer_register_channel",
        "dialer_register_pages",
        "dialer_register_routes",
        "dialer_register_strategy_actions",
        "dialer_register_voices",
        "dialer_shutdown",
        "dialer_startup",
        "dialer_track_event",
    ]
