"""The reference pages of `docs/`, written from the code: `python -m dialer_core.commands.docs`.

It owns their layout, and a test holds the pages equal to it. Every word in them is a docstring, a help text
or a table of the code: to change a page, change the code.
"""

from __future__ import annotations

import ast
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from dialer_core import hookspecs, plugin_api, settings, vocabulary
from dialer_core.agents.state import render_table as render_agent_table
from dialer_core.calls.attempt import render_table as render_attempt_table
from dialer_core.campaigns.run import render_table as render_campaign_table
from dialer_core.commands.cli import main as root
from dialer_core.events import EVENTS, Event
from dialer_core.plugin_host import hook_names

NOTICE = "<!-- Written by `python -m dialer_core.commands.docs` from the code; change the code, not this page. -->\n"
WIDTH = 100


def _page(title: str, *parts: str) -> str:
    return NOTICE + f"\n# {title}\n\n" + "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _text(thing: object) -> str:
    return inspect.cleandoc(getattr(thing, "__doc__", "") or "")


def _unfolded(text: str) -> str:
    """Join the lines of each paragraph: Markdown folds them itself."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)])


def _member_texts(module: types.ModuleType) -> dict[str, dict[str, str]]:
    """Return the string below each member or field: by class, then name."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = found.setdefault(node.name, {})
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            target = (
                statement.targets[0]
                if isinstance(statement, ast.Assign)
                else getattr(statement, "target", None)
            )
            said = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if isinstance(target, ast.Name):
                texts[target.id] = str(following.value.value) if said else ""  # type: ignore[union-attr]
    return found


# --- settings ---------------------------------------------------------------------------------------------------------


def _allowed(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if choices := schema.get("anyOf"):
        return " or ".join(
            dict.fromkeys(_allowed(choice, definitions) for choice in choices if choice.get("type") != "null")
        )
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kind = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}.get(
        schema.get("type", ""), schema.get("type", "")
    )
    if schema.get("type") == "array":
        return f"list: {_allowed(schema['items'], definitions)}"
    if schema.get("type") == "object":
        return "table"
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "over"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "under"),
        )
        if key in schema
    ]
    return " ".join([kind, *([", ".join(bounds)] if bounds else [])])


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    value = field.default
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, int | float) else f'`"{value}"`'


def _settings_table(model: type[BaseModel], texts: dict[str, dict[str, str]]) -> str:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    rows = [
        (
            f"`{name}`",
            _allowed(schema["properties"][name], definitions),
            _default(field),
            texts[model.__name__].get(name, ""),
        )
        for name, field in model.model_fields.items()
    ]
    return _table(("key", "allowed", "default", "meaning"), rows)


def settings_page() -> str:
    """Return `settings.md`."""
    texts = _member_texts(settings)
    parts = [
        (
            "What every file of the configuration folder may say. `dialer init` writes a folder to start from; `dialer doctor` checks one;"
            " `dialer run` refuses one with a mistake and names file, key and what is allowed."
        ),
        "## dialer.toml\n\nEvery key can also come from the environment: `MARCADOR_SECTION__KEY`, such as `MARCADOR_HTTP__PORT=8090`.",
    ]
    for section, field in settings.DialerSettings.model_fields.items():
        model = typing.cast("type[BaseModel]", field.annotation)
        about = _text(model).partition(": ")[2]
        parts.append(f"### [{section}]\n\n{about[:1].upper()}{about[1:]}\n\n{_settings_table(model, texts)}")
    for title, model, about in (
        (
            "trunks.toml: [trunks.NAME]",
            settings.TrunkSettings,
            "One table for each SIP peer that carries calls.",
        ),
        (
            "agents.toml: [agents.ID]",
            settings.AgentSettings,
            "One table for each agent. An agent is a SIP address.",
        ),
        ("campaigns/NAME.toml", settings.CampaignSettings, "One file for each campaign."),
        (
            "campaigns/NAME.toml: [recycle.OUTCOME]",
            settings.RecycleRule,
            "What becomes of a lead after an outcome, over the built-in rules. Outcomes are in [vocabulary.md](vocabulary.md#outcome).",
        ),
    ):
        parts.append(f"## {title}\n\n{about}\n\n{_settings_table(model, texts)}")
    return _page("Settings", *parts)


# --- vocabulary, events, hooks ----------------------------------------------------------------------------------------


def vocabulary_page() -> str:
    """Return `vocabulary.md`."""
    texts = _member_texts(vocabulary)
    parts = [_unfolded(_text(vocabulary).partition("\n\n")[0])]
    for name, kind in vars(vocabulary).items():
        if (
            inspect.isclass(kind)
            and issubclass(kind, enum.StrEnum)
            and kind.__module__ == vocabulary.__name__
        ):
            rows = [(f"`{member.value}`", texts[name].get(member.name, "")) for member in kind]
            parts.append(f"## {name}\n\n{_unfolded(_text(kind))}\n\n{_table(('word', 'meaning'), rows)}")
    return _page("Vocabulary", *parts)


def _annotation(kind: Any) -> str:
    return inspect.formatannotation(kind).replace("dialer_core.vocabulary.", "").replace("typing.", "")


def events_page() -> str:
    """Return `events.md`."""
    rows = []
    for name, kind in EVENTS.items():
        hints = typing.get_type_hints(kind)
        own = [field for field in kind.__struct_fields__ if field not in Event.__struct_fields__]
        fields = ", ".join(f"`{field}` {_annotation(hints[field])}" for field in own)
        rows.append((f"`{name}`", kind.__name__, _text(kind), fields))
    common = ", ".join(f"`{field}`" for field in Event.__struct_fields__)
    return _page(
        "Events",
        _unfolded(_text(sys.modules[Event.__module__]).partition("\n\n")[2]),
        f"Every event also carries {common}. `dialer events` prints the log, `GET /api/v1/events` gives it in pages or as a stream"
        " (`Accept: text/event-stream`), and a plugin gets each by [`dialer_track_event`](hooks.md#dialer_track_event).",
        _table(("event", "class", "when", "data"), rows),
    )


def _methods(kind: type) -> Iterator[tuple[str, str]]:
    for name, function in vars(kind).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            parameters = [
                str(p).partition(":")[0].partition(" =")[0]
                for p in list(inspect.signature(function).parameters.values())[1:]
            ]
            yield (
                f"{name}({', '.join(p for p in parameters if p)})",
                _text(function).split("\n\n", maxsplit=1)[0],
            )


def hooks_page() -> str:
    """Return `hooks.md`."""
    intro = _text(hookspecs).split("\n\n", maxsplit=2)[2]  # without what the module owns
    parts = [_unfolded(intro), "```python\n" + _example() + "\n```"]
    for name in hook_names():
        function = getattr(hookspecs, name)
        arguments = ", ".join(
            f"{p.name}: {_annotation(p.annotation)}".replace("'", "")
            for p in inspect.signature(function).parameters.values()
        )
        parts.append(f"## {name}\n\n`{name}({arguments})`\n\n{_unfolded(_text(function))}")
    handle = plugin_api.EngineHandle
    groups = {
        "engine": handle,
        "engine.campaigns": plugin_api.CampaignCommands,
        "engine.agents": plugin_api.AgentCommands,
        "engine.calls": plugin_api.CallCommands,
        "engine.attempts": plugin_api.AttemptCommands,
    }
    rows = [(f"`{group}.{call}`", text) for group, kind in groups.items() for call, text in _methods(kind)]
    parts.append(
        "## EngineHandle\n\n"
        + _unfolded(_text(handle).partition("Parameters\n")[0])
        + "\n\n"
        + _table(("call", "what it does"), rows)
        + "\n\n"
        + _unfolded(_text(plugin_api).rpartition("\n\n")[2])
    )
    return _page("Plugin hooks", *parts)


def _example() -> str:
    """Return the example of `plugin_api`'s docstring."""
    lines = [line for line in _text(plugin_api).splitlines() if line.startswith("    ") or not line]
    return inspect.cleandoc("\n".join(lines)).strip()


# --- commands, states -------------------------------------------------------------------------------------------------


def _commands(
    command: click.Command, path: tuple[str, ...], parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        parent,
        path[-1],
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        color=False,
        help_option_names=command.context_settings.get("help_option_names"),
    )
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _commands(command.commands[name], (*path, name), context)


def commands_page() -> str:
    """Return `commands.md`."""
    parts = [
        (
            "Every command has `--help` with an example, and `--json` for programs. Exit status: 0 done, 1 failed or refused, 2 wrong usage or"
            " configuration. A failure is one line on the standard error; `dialer --debug COMMAND` shows the Python trace too."
        )
    ]
    parts += [f"## {name}\n\n```text\n{text}\n```" for name, text in _commands(root, ("dialer",))]
    return _page("Commands", *parts)


def states_page() -> str:
    """Return `states.md`."""
    return _page(
        "State machines",
        "A cell is the next state; `late` is a legitimate race (ignored and counted); `bug` ends that attempt as `internal` and raises an"
        " event; `-` makes no sense there (a command is refused, an observation ignored).",
        f"## An attempt\n\n{render_attempt_table()}",
        f"## An agent\n\n{render_agent_table()}",
        f"## A campaign\n\n{render_campaign_table()}",
    )


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "events.md": events_page,
    "hooks.md": hooks_page,
    "settings.md": settings_page,
    "states.md": states_page,
    "vocabulary.md": vocabulary_page,
}


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path("docs"))
def write(directory: Path) -> None:
    """Write every page into DIRECTORY (./docs by default)."""
    for name, page in PAGES.items():
        (directory / name).write_text(page(), encoding="utf-8")
        click.echo(f"wrote {directory / name}")


if __name__ == "__main__":
    write()
