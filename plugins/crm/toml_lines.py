"""Where in a TOML file a setting stands: its line, for messages. It owns no reading of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_TABLE = re.compile(r"^\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_\-.]+)+)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([^.\s]+)""")


def line_of(text: str, path: Sequence[str]) -> int:
    """Return the line, from 1, at which a setting is set, or the innermost table around it that the file has; 1 where it has none.

    Parts of the path that the file does not have (the kind of a connection, by which its shape is chosen) are passed over.
    """
    best, found = 0, 1
    for line, where in _settings(text):
        matched = _common(where, path)
        if matched == len(where) and matched > best:
            best, found = matched, line
    return found


def _settings(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if opened := _TABLE.match(line):
            table = _parts(opened[1])
            yield number, table
        elif key := _KEY.match(line):
            yield number, (*table, *_parts(key[1]))


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(
        next(part for part in found if part is not None)
        for found in (m.groups() for m in _PART.finditer(dotted))
    )


def _common(where: Sequence[str], path: Sequence[str]) -> int:
    """Return how many parts of `where` stand in `path`, in order from its first."""
    place = 0
    for part in path:
        if place < len(where) and part == where[place]:
            place += 1
    return place
