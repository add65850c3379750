"""`docs/events.md` and `docs/hooks.md`: everything that a plugin or another program meets.

It owns their layout. Every description is the code's own; which ids an event carries is read from the places
that write it.
"""

from __future__ import annotations

import ast
import enum
import importlib.metadata
import inspect
import tomllib
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dialer_core import events as event_module
from dialer_core import hookspecs, plugin_api, plugin_host, settings, snapshot
from dialer_core.events import COMMON_FIELDS, EVENTS, Event, StoredEvent
from dialer_core.store import events as event_store
from tools.doc_source import doc, literals, members, page, paragraphs, prose, table
from tools.doc_words import VOCABULARY

ROOT = Path(__file__).resolve().parent.parent
IDS = ("campaign_id", "account_id", "attempt_id")
_ENVELOPE = {
    "node": "the machine that wrote it (`node.name`)",
    "source": "the process that wrote it: `engine`, or `host` for everything else (plugins, imports, the command line)",
    "seq": "its number among the events of (`node`, `source`): from 1, without gaps",
    "id": "a UUIDv7",
    "boot_id": "the boot of that machine during which `at_mono_ns` was read; monotonic times of two boots do not compare",
    "at_utc": "the UTC time at which it was told to the log",
    "at_mono_ns": "when it happened at its source, on the machine's monotonic clock, in nanoseconds",
    "name": "which event; the sections below",
    "campaign_id": "the campaign, where there is one",
    "account_id": "the account, where there is one",
    "attempt_id": "the attempt, where there is one",
    "data": "the event's own fields, the tables below",
}


def _annotation(kind: Any) -> str:
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    for module in (
        *(f"{part.__name__}." for part in VOCABULARY),
        "dialer_core.snapshot.",
        "collections.abc.",
        "typing.",
    ):
        text = text.replace(module, "")
    return text


def _ids_written() -> dict[str, list[set[str]]]:
    """Return, by event class, the ids given at each place of the code that makes one.

    `event_of` gives all three; a class that is chosen first and handed to it as a variable is found by its
    name in a module that calls `event_of`.
    """
    found: dict[str, list[set[str]]] = defaultdict(list)
    classes = {kind.__name__ for kind in EVENTS.values()}
    for path in sorted((ROOT / "dialer_core").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        made: set[str] = set()
        calls_event_of = False
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                calls_event_of = calls_event_of or node.func.id == "event_of"
                if node.func.id in classes:
                    made.add(node.func.id)
                    found[node.func.id].append({word.arg for word in node.keywords if word.arg in IDS})
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for name in (names & classes) - made if calls_event_of else ():
            found[name].append(set(IDS))
    return found


def _ids(places: list[set[str]]) -> str:
    """Say which ids are always there, and which not always."""
    if not places:
        return "Nothing writes this event yet."
    always, ever = set.intersection(*places), set.union(*places)
    said = [f"`{name}`" for name in IDS if name in always]
    said += [f"`{name}` (not always)" for name in IDS if name in ever - always]
    return f"Ids: {', '.join(said) or 'none'}."


def events_page() -> str:
    """Return `events.md`."""
    hints = typing.get_type_hints(StoredEvent)
    envelope = [
        (f"`{name}`", _annotation(hints[name]), _ENVELOPE[name]) for name in StoredEvent.__struct_fields__
    ]
    written = _ids_written()
    parts = []
    group = ""
    for name, kind in EVENTS.items():
        noun = name.partition(".")[0]
        if noun != group:
            group = noun
            parts.append(f"## {noun}")
        parts.append(
            f"### {name}\n\n{prose(doc(kind))} Class `{kind.__name__}`. {_ids(written[kind.__name__])}"
        )
        own = [field for field in kind.__struct_fields__ if field not in COMMON_FIELDS]
        types = typing.get_type_hints(kind)
        if own:
            parts.append(
                table(("data", "type"), [(f"`{field}`", _annotation(types[field])) for field in own])
            )
    return page(
        "Events",
        *(paragraphs(doc(event_module))[1:]),
        "`dialer events` prints the log; `GET /api/v1/events` gives pages, and with `Accept: text/event-stream` a stream of what is new; a plugin"
        " gets each event of its node by [dialer_track_event](hooks.md#dialer_track_event), and reads the log from a cursor of its own by"
        " `engine.events(since=cursor)`.",
        "## The envelope",
        prose(doc(StoredEvent)),
        table(("field", "type", "what it is"), envelope),
        "## Cursors",
        paragraphs(doc(event_store))[2],
        "Keep the cursor that came with the last event together with what you made of it: whatever dies, nothing is missed and nothing comes"
        " twice. In a stream each event's `id` is the cursor behind it, and `Last-Event-ID` goes on from there.",
        *parts,
    )


def _signature(function: Any, name: str) -> str:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in {"self", "cls"}]
    shown = [
        p.replace(
            annotation=inspect.Parameter.empty,
            default=str(p.default) if isinstance(p.default, enum.StrEnum) else p.default,
        )
        for p in parameters
    ]
    return f"{name}{inspect.Signature(shown)}"


def _calls(kind: type, prefix: str) -> Iterator[tuple[str, str]]:
    for name, function in vars(kind).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            yield f"`{_signature(function, f'{prefix}.{name}')}`", paragraphs(doc(function))[0]


def _bundled() -> dict[str, Any]:
    """Return the bundled plugins by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    group = project["entry-points"][plugin_api.ENTRY_POINT_GROUP]
    return {
        name: importlib.metadata.EntryPoint(name, place, plugin_api.ENTRY_POINT_GROUP).load()
        for name, place in group.items()
    }


def _hook(name: str, bundled: dict[str, Any]) -> str:
    function = getattr(hookspecs, name)
    users = ", ".join(f"`{plugin}`" for plugin, module in bundled.items() if hasattr(module, name))
    arguments = [
        (f"`{argument.name}`", f"`{_annotation(argument.annotation)}`")
        for argument in inspect.signature(function).parameters.values()
    ]
    returns = _annotation(inspect.signature(function).return_annotation)
    return (
        f"### {name}\n\n{prose(doc(function))}\n\n{table(('argument', 'type'), arguments)}\n\n"
        f"Returns `{returns}`. Used by the bundled: {users}."
    )


def _exports() -> list[tuple[str, str, str]]:
    rows = []
    for name in plugin_api.__all__:
        thing = getattr(plugin_api, name)
        if inspect.isclass(thing) and issubclass(thing, Event) and thing is not Event:
            rows.append((f"`{name}`", "event", f"[{thing.name}](events.md#{thing.name.replace('.', '')})"))
        elif getattr(thing, "__module__", "") == snapshot.__name__:
            rows.append((f"`{name}`", "view", f"{doc(thing)} Fields: {', '.join(thing.__struct_fields__)}."))
        elif inspect.isclass(thing) and issubclass(thing, Exception):
            rows.append((f"`{name}`", "error", paragraphs(doc(thing))[0]))
        elif inspect.isclass(thing) and hasattr(thing, "__members__"):
            rows.append((f"`{name}`", "words", f"[{name}](vocabulary.md#{name.lower()})"))
        elif inspect.isclass(thing):
            rows.append((f"`{name}`", "class", paragraphs(doc(thing))[0]))
        elif hasattr(thing, "__supertype__"):
            rows.append((f"`{name}`", "id", "[ids](vocabulary.md#ids)"))
        elif thing is EVENTS:
            rows.append((f"`{name}`", "mapping", "stored name to event class"))
        else:
            rows.append((f"`{name}`", "decorator", "marks a function of a plugin as the hook of its name"))
    return sorted(rows, key=lambda row: row[1])


def hooks_page() -> str:
    """Return `hooks.md`."""
    texts, setting_texts = literals(plugin_host), literals(settings)
    api = paragraphs(doc(plugin_api))
    example = next(index for index, block in enumerate(api) if block.startswith("    "))
    code = "\n".join(
        line.removeprefix("    ") for line in "\n\n".join(b for b in api if b.startswith("    ")).splitlines()
    )
    limits = [
        (
            "`plugins.hook_limit_s`",
            f"{settings.PluginSettings().hook_limit_s:g} s",
            setting_texts["PluginSettings.hook_limit_s"],
        ),
        ("failures in a row", plugin_host.FAILURES_IN_A_ROW, texts["FAILURES_IN_A_ROW"]),
        ("grace", f"{plugin_host.CANCEL_GRACE_S:g} s", texts["CANCEL_GRACE_S"]),
    ]
    handle = plugin_api.EngineHandle
    groups = {
        "engine": handle,
        "engine.campaigns": plugin_api.CampaignCommands,
        "engine.agents": plugin_api.AgentCommands,
        "engine.calls": plugin_api.CallCommands,
        "engine.attempts": plugin_api.AttemptCommands,
        "engine.messages": plugin_api.MessageCommands,
        "engine.chats": plugin_api.ChatCommands,
        "engine.strategies": plugin_api.StrategyCommands,
        "engine.accounts": plugin_api.AccountRecords,
        "engine.leads": plugin_api.LeadRecords,
        "engine.promises": plugin_api.PromiseRecords,
        "engine.restrictions": plugin_api.RestrictionRecords,
        "engine.store": plugin_api.PluginStore,
        "engine.desk": plugin_api.DeskCommands,
        "engine.supervision": plugin_api.SupervisionCommands,
    }
    bundled = _bundled()
    return page(
        "Hooks and plugins",
        "## Write one",
        api[example - 1],
        f"```python\n{code}\n```",
        "The entry point stands in the `pyproject.toml` of the package that holds the module; install that package beside Marcador:",
        f'```toml\n[project.entry-points."{plugin_api.ENTRY_POINT_GROUP}"]\nmine = "mine.dialer_plugin"\n```',
        "A plugin imports `dialer_core.plugin_api` and nothing else of ours. `plugins/metrics/` is the smallest complete one;"
        " `dialer plugins new` writes a package to begin with, and [plugins.md](plugins.md) goes through it.",
        "## Enable it",
        'Name it in `dialer.toml`, `[plugins] enabled = ["metrics", "mine"]`, and start the dialer again. `dialer plugins` lists what is installed'
        " and what became of it:",
        table(("state", "what it means"), members(plugin_host.PluginState, texts)),
        prose(doc(plugin_host.load)).split("\n\n")[1],
        "## What holds for every hook",
        *paragraphs(doc(hookspecs))[2:],
        table(("limit", "value", "what it is"), limits),
        "A failure is logged, counted, and written as [plugin.failed](events.md#pluginfailed). A hook wrapper, or a function with the prefix that is"
        " no hook, disables the plugin at its load.",
        "## The hooks",
        *(_hook(name, bundled) for name in vars(hookspecs) if name in plugin_host.hook_names()),
        "## The engine's handle",
        prose(doc(handle)),
        table(
            ("call", "what it does"), [row for prefix, kind in groups.items() for row in _calls(kind, prefix)]
        ),
        api[-1],
        "## What plugin_api exports",
        table(("name", "what it is", "more"), _exports()),
    )
