"""The words of the code as data, and the few pieces of Markdown that the reference pages are made of.

It owns reading (docstrings, and the string literals that stand below members, fields and constants) and the
shapes of a page. It owns no page.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterable, Mapping, Sequence

NOTICE = "<!-- Made from the code by `make docs`: change the code, not this page. -->"


def page(title: str, *parts: str) -> str:
    """Return a whole page."""
    return "\n\n".join([NOTICE, f"# {title}", *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def cell(text: object) -> str:
    """Return text that fits into a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns that are empty in every row are left out."""
    shown = [[cell(value) for value in row] for row in rows]
    kept = [index for index in range(len(columns)) if any(row[index] for row in shown)]
    lines = [[columns[index] for index in kept], ["---"] * len(kept)]
    lines += [[row[index] for index in kept] for row in shown]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def doc(thing: object) -> str:
    """Return a docstring of our own, or nothing: enums and messages inherit some that say nothing of them."""
    return inspect.cleandoc(getattr(thing, "__doc__", "") or "")


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring; folded lines are joined, lists and indented examples kept as they are."""
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        as_it_is = any(line.startswith(("    ", "- ")) for line in lines)
        found.append(block if as_it_is else " ".join(line.strip() for line in lines))
    return found


def prose(text: str) -> str:
    """Return a docstring as Markdown, up to its numpydoc sections."""
    head = []
    for block in paragraphs(text):
        if block.partition("\n")[2].startswith("---") or " ------" in block:
            break
        head.append(block)
    return "\n\n".join(head)


def literals(module: types.ModuleType) -> dict[str, str]:
    """Return the string literals that stand below what they explain, by name: `CONSTANT`, `Class.member`."""
    found: dict[str, str] = {}

    def read(body: Sequence[ast.stmt], prefix: str) -> None:
        for statement, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(statement, ast.ClassDef):
                read(statement.body, f"{statement.name}.")
                continue
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            for target in targets:
                if explained and isinstance(target, ast.Name):
                    found[prefix + target.id] = str(following.value.value)  # type: ignore[union-attr]

    read(ast.parse(inspect.getsource(module)).body, "")
    return found


def members(kind: type, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the members of an enum with what they mean."""
    return [(f"`{member.value}`", texts.get(f"{kind.__name__}.{member.name}", "")) for member in kind]  # type: ignore[attr-defined]
