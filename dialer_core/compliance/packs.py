"""Reading rule packs: TOML files of a configuration's `compliance/` folder, refused with file, line, key and reason.

It owns reading and telling mistakes. The shape of a pack is in `rules.py`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from dialer_core.compliance.rules import RulePack
from dialer_core.errors import ConfigError

_DIGEST_CHARS = 12


def load_pack(path: Path) -> RulePack:
    """Read one rule pack.

    Parameters
    ----------
    path
        `NAME.toml`; the pack's `name` must be NAME.

    Raises
    ------
    ConfigError
        It cannot be read or breaks a rule of the shape: a line per mistake with file, line, key and reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; 'dialer init' writes the packaged rule packs"
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8 at byte {error.start}; save the file as UTF-8"
        raise ConfigError(msg) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: is not valid TOML: {error}"
        raise ConfigError(msg) from error
    stated = raw.get("version", "0")
    if isinstance(stated, str):
        raw = raw | {"version": f"{stated}+{_digest(raw)}"}
    try:
        pack = RulePack.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(path, text, error)) from None
    if pack.name != path.stem:
        msg = f"{path}:{_line_of(text, ('name',))}: name: is {pack.name!r}, but the file's name says {path.stem!r}"
        raise ConfigError(msg)
    return pack


def load_packs(directory: Path) -> dict[str, RulePack]:
    """Read every `*.toml` of a folder, by name.

    Raises
    ------
    ConfigError
        A pack is wrong (every wrong one is told), or the folder holds none.
    """
    packs: dict[str, RulePack] = {}
    problems: list[str] = []
    for path in sorted(directory.glob("*.toml")):
        try:
            pack = load_pack(path)
        except ConfigError as error:
            problems.append(str(error))
        else:
            packs[pack.name] = pack
    if not problems:
        problems = [problem for pack in packs.values() if (problem := _link(directory, pack, packs))]
    if problems:
        raise ConfigError("\n".join(problems))
    if not packs:
        msg = f"{directory}: holds no rule pack (*.toml); 'dialer init' writes the packaged ones"
        raise ConfigError(msg)
    return packs


def _link(directory: Path, pack: RulePack, packs: dict[str, RulePack]) -> str:
    wrong = pack.link(packs)
    if wrong is None:
        return ""
    path = directory / f"{pack.name}.toml"
    index = next(number for number, one in enumerate(pack.local) if one.pack == wrong)
    line = _line_of(path.read_text(encoding="utf-8"), ("local", index, "pack"))
    what = "has local rules of its own" if wrong in packs else f"is not in {directory}"
    return f"{path}:{line}: local.{index}.pack: {wrong!r} {what}; known are: {', '.join(sorted(packs))}"


def _digest(raw: dict[str, Any]) -> str:
    """Name the content: the same rules in another order or with other comments are the same version."""
    canonical = msgspec.json.encode(raw, order="sorted")
    return hashlib.sha256(canonical).hexdigest()[:_DIGEST_CHARS]


def _explain(path: Path, text: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False):
        reason = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            reason = "unknown key; see the rule pack reference for the ones that exist"
        elif item["type"] == "missing":
            reason = "is missing, and a rule that is missing is refused"
        key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        lines.append(f"{path}:{_line_of(text, item['loc'])}: {key}: {reason}")
    return "\n".join(lines)


_TABLE = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\"-]+)\s*\]\]?")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\"-]+)\s*=")


def _line_of(text: str, location: tuple[int | str, ...]) -> int:
    """Return the line (from 1) where a key stands, or the nearest table above it, or 1."""
    best, best_depth = 1, 0
    table: tuple[int | str, ...] = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        here: tuple[int | str, ...] | None = None
        if match := _TABLE.match(line):
            name = match.group(2).replace('"', "")
            table = tuple(name.split("."))
            if match.group(1) == "[[":
                seen[name] = seen.get(name, -1) + 1
                table = (*table, seen[name])
            here = table
        elif match := _KEY.match(line):
            here = (*table, match.group(1).strip('"'))
        if here is not None and len(here) > best_depth and location[: len(here)] == here:
            best, best_depth = number, len(here)
    return best
