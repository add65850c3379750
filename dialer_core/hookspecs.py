"""Every plugin hook. Read this fourth, after `vocabulary/` and `events.py`.

It owns their names, arguments and promises; `plugin_host.py` owns how they are called.

All of them run in the host process, never in the engine: a plugin can be slow, hang or raise without a call
noticing.

An implementation names only the arguments it wants, and is marked with `hookimpl` from
`dialer_core.plugin_api`. Each runs under `plugins.hook_limit_s`. An `async def` runs on the host's loop and
is cancelled at the limit, so it must not block. A plain `def` runs in its plugin's own thread, one call at a
time; it cannot be interrupted, so a plugin whose function overruns the limit is disabled. A plugin that fails
five times in a row is disabled too. `dialer plugins` says which and why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

import pluggy
from fastapi import APIRouter

from dialer_core.plugin_api import (
    PROJECT,
    AgentStateSource,
    EngineHandle,
    Event,
    MessageChannel,
    NextStep,
    PageLink,
    StepFacts,
    StoredEvent,
    StrategyAction,
    Voice,
)

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def dialer_check_settings(engine: EngineHandle) -> Awaitable[None] | None:
    """Raise `ConfigError` where settings or secrets would keep the plugin from working: what, where, and what would be right.

    Called by `dialer doctor`, before the plugin is started or beside a running dialer, in a process that has neither engine nor store: it reads
    `engine.settings` and `engine.secret`, and leaves nothing open. The start-up looks for itself: this hook is not called in the host.
    """


@hookspec
def dialer_startup(engine: EngineHandle) -> Awaitable[None] | None:
    """Begin: open what the plugin needs. Called once, before any other hook of the plugin in the host.

    A plugin whose start-up fails is disabled.
    """


@hookspec
def dialer_register_routes(engine: EngineHandle) -> APIRouter | None:
    """Return routes to serve beside the API. Called once, after the start-up.

    Nobody unknown reaches a route, and no change by a browser that another site has made: the guard in front of
    all sees to both. Which scope a route needs it says itself, with `dependencies=[needs(Scope.READ)]`; a router
    in which one does not say needs `read` as a whole. A path that belongs to the core or to an earlier plugin
    disables the plugin. Routes run on the host's loop: `async def` ones must not block.
    """


@hookspec
def dialer_register_pages(engine: EngineHandle) -> Sequence[PageLink] | None:
    """Return the pages that people go to: each stands in the bar of every page, for whoever has its scope.

    Called once, after the routes. The first page that somebody may see is where they come after the log-in.
    """


@hookspec
def dialer_register_channel(engine: EngineHandle) -> Awaitable[MessageChannel] | MessageChannel | None:
    """Return what sends and receives the messages of a channel. Called once, after the start-up.

    The core owns outbox, gate, templates, retries, opt-outs and the conversation log: a channel only speaks to its provider. Its
    methods run on the host's loop and must not block. Two plugins cannot have one channel: the later one is disabled.
    """


@hookspec
def dialer_register_strategy_actions(engine: EngineHandle) -> Mapping[str, StrategyAction] | None:
    """Return what the plugin can do in a step of a strategy, by the step's name. Called once, after the start-up.

    An action is an `async def` that takes a `StrategyStep` and runs on the host's loop, so it must not block. It is called when the step is
    due, on whichever node comes first, and again where a node died before the step was marked: under `step.key` it does a thing once. Whatever
    it raises has the step tried again, eight times with growing pauses; `StepSkippedError` passes it over for this account. Longer than 10 s
    counts as failed. Two plugins cannot have one name: the later one is disabled. `call` and `wait` are the core's. Strategies are begun with
    `engine.strategies.start`, by this or any other plugin.
    """


@hookspec
def dialer_register_voices(engine: EngineHandle) -> Sequence[Voice] | None:
    """Return voices that say what flows say. Called once, after the start-up.

    The first voice, in the order of `plugins.enabled`, that speaks a language says it; `speech.voice` names
    another. What it says is rendered ahead, made equally loud and kept, so a slow voice delays no call that
    was prepared in time. A sentence that it cannot say ends the flow of that call with its last words.
    """


@hookspec(firstresult=True)
def dialer_choose_next_step(
    facts: StepFacts, engine: EngineHandle
) -> Awaitable[NextStep | None] | NextStep | None:
    """Say what is best done next about an account: action, channel, hour, and why in both languages.

    Asked when an agent's screen shows the account, and by programs. Plugins are asked in the order of `plugins.enabled`, those
    marked `trylast` after the others, and the first that returns a step decides; None leaves it to the next. `agent_desk` has
    rules for whatever nobody else decides. One that fails, or returns no step that can be shown, is passed over.
    """


@hookspec
def dialer_register_agent_states(
    engine: EngineHandle,
) -> Awaitable[AgentStateSource] | AgentStateSource | None:
    """Return what knows whether the agents of another system are free: a PBX's queue, a workforce tool. Called once, after the start-up.

    It speaks for the agents whose `state_from` in `agents.toml` names this plugin. The engine keeps the order of its words, and believes it
    only for as long as each of them says: a source, or a host, that dies leaves nobody dialed for agents who may be gone.
    """


@hookspec
def dialer_track_event(event: Event, stored: StoredEvent, engine: EngineHandle) -> Awaitable[None] | None:
    """Look at one event of this node's log.

    Everything from the plugin's start on comes, in the order of the log, one at a time.
    `event` is the class in `events.py`; `stored` is its row, with node, source, seq and time. A slow plugin
    only falls behind: the log waits. Events committed while the host is down are not delivered here; a plugin
    that must see every event keeps a cursor and reads `engine.events(since=cursor)`.
    """


@hookspec
def dialer_shutdown(engine: EngineHandle) -> Awaitable[None] | None:
    """End: close what the start-up opened.

    Called once when the host stops in good order; not when it is killed.
    """
