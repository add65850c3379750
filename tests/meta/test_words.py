"""The words of the system are documented: vocabulary, events, hooks and commands."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint

import click
import pytest

from dialer_core import hookspecs
from dialer_core.commands.cli import main
from dialer_core.events import EVENTS, Event
from dialer_core.plugin_api import PROJECT
from dialer_core.vocabulary import access, calls, floor, messages, portfolio
from tests.skips import ROOT

pytestmark = pytest.mark.meta

PRIVATE = re.compile(r"phone|number|e164|(^|_)name$|balance|amount|text|body|secret|password")
"""What no event may carry in its data (invariant I17)."""


def _bundled_plugins() -> list[EntryPoint]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    group = "dialer.plugins"
    return [EntryPoint(name, value, group) for name, value in project["entry-points"][group].items()]


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("dialer", *path)), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) is not None:
                yield from _commands(inner, (*path, name))


def test_every_word_of_the_vocabulary_is_explained() -> None:
    """Each member of each enum is followed by what it means."""
    unexplained = []
    for node in (
        node
        for part in (calls, floor, portfolio, messages, access)
        for node in ast.parse(inspect.getsource(part)).body
    ):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            is_member = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if is_member and not explained:
                unexplained.append(f"{node.name}.{ast.unparse(statement.targets[0])}")
    assert unexplained == []


def test_every_event_is_registered_named_and_explained() -> None:
    """Each event class is in EVENTS under `noun.what_happened`, and its docstring says when it is written."""
    assert set(EVENTS.values()) == set(Event.__subclasses__())
    for name, event in EVENTS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", name), name
        assert inspect.cleandoc(event.__doc__ or ""), name


def test_no_event_carries_what_is_private() -> None:
    """No field of an event is made for a phone number, a person's name, a balance or a message's text."""
    fields = {f"{name}.{field}" for name, event in EVENTS.items() for field in event.__struct_fields__}
    assert [field for field in sorted(fields) if PRIVATE.search(field.partition(".")[2].split(".")[-1])] == []


def test_every_hook_is_explained_and_used() -> None:
    """Each hook has the prefix and a docstring, and a bundled plugin implements it."""
    hooks = {
        name: value
        for name, value in vars(hookspecs).items()
        if inspect.isfunction(value) and hasattr(value, f"{PROJECT}_spec")
    }
    assert hooks
    used = {name for point in _bundled_plugins() for name in dir(import_module(point.module))}
    for name, hook in hooks.items():
        assert name.startswith(f"{PROJECT}_"), name
        assert inspect.getdoc(hook), name
    assert sorted(set(hooks) - used) == []


@pytest.mark.parametrize(("path", "command"), list(_commands(main)), ids=str)
def test_every_command_has_help_and_an_example(path: str, command: click.Command) -> None:
    """`--help` of each command says what it does and shows it in use; each of its options is explained."""
    assert command.help, path
    shown = f"{command.help}\n{command.epilog or ''}"
    assert re.search(rf"\$ {re.escape(path)}\b", shown), f"{path}: no example"
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not (p.help or p.hidden)]
    assert silent == []
