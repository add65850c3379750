"""What every command shares: `--config`, `--json`, the settings, and printing for people or for programs.

It owns those two options, how a picture to write is named, and the shapes of what is printed. It owns no command.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from dialer_core.settings import Settings, load_settings

WIDE = 160
"""Columns where the output is no terminal: a table in a pipe is not cut to 80."""


class PictureFile(click.Path):
    """A picture to write: PNG, and named so, because that is what will be in it."""

    name = "picture"

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a usage error where its ending names another kind of picture."""
        path = super().convert(value, param, ctx)
        if Path(os.fsdecode(path)).suffix.lower() != ".png":
            self.fail(f"{value}: pictures are PNG; name a file that ends in .png", param, ctx)
        return path


class Invocation:
    """One call of a command: its configuration folder and how to print.

    Parameters
    ----------
    config
        The configuration folder.
    as_json
        Print one JSON value on the standard output instead of tables and sentences.
    """

    def __init__(self, config: Path, *, as_json: bool) -> None:
        self.config = config
        self.as_json = as_json

    @functools.cached_property
    def settings(self) -> Settings:
        """The configuration, checked; ConfigError (exit status 2) where it is wrong."""
        return load_settings(self.config)

    @functools.cached_property
    def console(self) -> Console:
        """Where tables go."""
        return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)

    def say(self, sentence: str) -> None:
        """Print a sentence for people; nothing with `--json`."""
        if not self.as_json:
            click.echo(sentence)

    def give(self, value: Any) -> None:
        """Print a value for programs; nothing without `--json`."""
        if self.as_json:
            click.echo(msgspec.json.encode(value).decode())

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table for people; nothing with `--json`."""
        if not self.as_json:
            self.console.print(make_table(columns, rows))


def make_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Return a plain table; numbers are right-aligned."""
    shown = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(shown) and all(isinstance(row[index], int | float) for row in shown)
        table.add_column(column, justify="right" if numeric else "left")
    for row in shown:
        table.add_row(*(str(cell) for cell in row))
    return table


_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("config"),
    show_default=True,
    envvar="MARCADOR_CONFIG",
    show_envvar=True,
    metavar="DIR",
    help="Configuration folder.",
)
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people."
)


def invocation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config` and `--json`, and their `Invocation` as its first argument."""

    @_CONFIG
    @_JSON
    @functools.wraps(function)
    def wrapped(*args: Any, config: Path, as_json: bool, **options: Any) -> Any:
        return function(Invocation(config, as_json=as_json), *args, **options)

    return wrapped


def printing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that reads no configuration `--json`, and an `Invocation` as its first argument."""

    @_JSON
    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, **options: Any) -> Any:
        return function(Invocation(Path("config"), as_json=as_json), *args, **options)

    return wrapped


def example(*lines: str) -> str:
    """Return a command's epilog: how it is used."""
    return "\b\nExample:\n" + "\n".join(f"  $ {line}" for line in lines)
