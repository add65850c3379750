"""A group whose commands are imported when they are asked for, from a table of where they are and what they do.

It owns the loading and the listing without imports. The tables are the groups' own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import click

Table = dict[str, tuple[str, str]]
"""Command: `module:attribute` within `dialer_core.commands`, and what the group's help says of it."""


class LazyGroup(click.Group):
    """A group of the commands of a table.

    Parameters
    ----------
    table
        In the order in which a newcomer meets them.
    **options
        What `click.Group` takes.
    """

    def __init__(self, *, table: Table, **options: Any) -> None:
        super().__init__(**options)
        self._table = table
        self.commands = _LazyCommands(table)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the table's order."""
        del ctx
        return list(self._table)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing a command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


class _LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a table, each imported when it is asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, _, attribute = self._table[name][0].partition(":")
            self._loaded[name] = getattr(importlib.import_module(f"dialer_core.commands.{module}"), attribute)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
