"""`dialer plugins`: what is installed, what runs, why something does not; and a package for one of your own."""

from __future__ import annotations

import importlib.metadata
import keyword
import os
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

import click
import msgspec

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation, printing
from dialer_core.commands.plugins_apart import quiet
from dialer_core.errors import ConfigError, DialerError
from dialer_core.plugin_api import ENTRY_POINT_GROUP
from dialer_core.plugin_host import PluginView, list_plugins

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,29}")
_MADE: Final = ".txt"
"""What the template's files end in: Python files of a package that is none of ours yet."""


@click.group(
    invoke_without_command=True,
    epilog=example("dialer plugins", "dialer plugins --json", "dialer plugins new aviso"),
)
@invocation
@click.pass_context
def plugins(context: click.Context, call: Invocation) -> None:
    """List installed plugins, as 'dialer plugins list' does, or make a package for a new one."""
    if context.invoked_subcommand is None:
        _list(call)


@plugins.command("list", epilog=example("dialer plugins list", "dialer plugins list --json"))
@invocation
def list_command(call: Invocation) -> None:
    """List installed plugins: those of the running dialer as they are, else as they would be."""
    _list(call)


def _list(call: Invocation) -> None:
    quiet(call.settings)
    found = {view.name: view for view in list_plugins(call.settings.dialer.plugins.enabled)}
    try:
        with api(call.settings) as client:
            running = msgspec.convert(client.get("/plugins"), list[PluginView])
    except DialerError as error:
        call.say(f"(not running, so this is what is installed: {error})")
    else:
        found |= {view.name: view for view in running}
    shown = list(found.values())
    call.give(shown)
    call.table(
        ("plugin", "state", "package", "hooks", "failures", "why"),
        [(p.name, p.state, p.package, ", ".join(p.hooks), p.failures, p.reason) for p in shown],
    )


@plugins.command(epilog=example("dialer plugins new aviso", "dialer plugins new aviso --in ~/src"))
@click.argument("name")
@click.option(
    "--in",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where the package's folder is made; by default here.",
)
@printing
def new(call: Invocation, name: str, parent: Path) -> None:
    """Write a package for a plugin called NAME: hooks, settings, a command, tests that pass, all ready to install."""
    _check(name)
    dashed, package = name.replace("_", "-"), f"marcador_{name}"
    folder = parent / f"marcador-{dashed}"
    if folder.exists():
        raise ConfigError(f"{folder} exists; nothing was written (name another, or --in another folder)")
    words = {"name": name, "dashed": dashed, "package": package}
    made = {
        (package if path.startswith("package/") else "") + path.removeprefix("package"): text
        for path, text in _template().items()
    }
    made[f"{name}.toml"] = made.pop("settings.toml")
    try:
        for path, text in made.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text).substitute(words), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename or folder}: {os.strerror(error.errno or 0)}"
        ) from error
    call.give({"directory": str(folder), "files": sorted(made)})
    call.say(f"Wrote {len(made)} files to {folder}:")
    for path in sorted(made):
        call.say(f"  {folder / path}")
    call.say(
        f"Next: pip install -e '{folder}[dev]', pytest {folder}, then [plugins] enabled = [\"{name}\"] in dialer.toml."
    )


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} is no name for a plugin: 2 to 30 small letters, digits and _, a letter first, such as aviso"
        )
    groups = (ENTRY_POINT_GROUP, "dialer.commands")
    taken = {point.name for group in groups for point in importlib.metadata.entry_points(group=group)}
    root = click.get_current_context().find_root().command
    if name in taken | set(getattr(root, "commands", {})):
        raise ConfigError(f"{name!r} is taken by an installed plugin or a command; take another name")


def _template() -> dict[str, str]:
    """Return the files of the package to make: text by path."""
    found: dict[str, str] = {}

    def collect(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                collect(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(_MADE):
                found[prefix + entry.name.removesuffix(_MADE)] = entry.read_text(encoding="utf-8")

    collect(files("dialer_core") / "plugin_template", "")
    return found
