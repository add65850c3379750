"""Flow files: read, parsed, and every mistake told with file, line and reason.

It owns the reading and the lines. What a flow may be is `language.py`'s, what it must not do `checks.py`'s.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec
from pydantic import ValidationError

from dialer_core.errors import ConfigError
from dialer_core.flows import checks
from dialer_core.flows.language import Flow

SUFFIX: Final = ".toml"
LARGEST_BYTES: Final = 512 * 1024
_KINDS: Final = frozenset(
    {
        "say",
        "play",
        "ask",
        "gather",
        "match",
        "lookup",
        "verify",
        "promise",
        "payment_info",
        "statement",
        "opt_out",
        "callback",
        "evidence",
        "agent",
        "end",
    }
)


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake in a file."""

    file: str
    line: int
    """1 where no line can be named."""
    where: str
    reason: str

    def __str__(self) -> str:
        """Return the line that people read."""
        return f"{self.file}:{self.line}: {self.where}: {self.reason}"


def read_flow(file: Path, prompts: Collection[str] | None = None) -> tuple[Flow | None, list[Problem]]:
    """Return a file's flow and what is wrong with it; a flow with problems must not be used.

    Parameters
    ----------
    file
        In TOML.
    prompts
        Ids of the recorded prompts there are; None: clips are not looked for.
    """
    try:
        if file.stat().st_size > LARGEST_BYTES:
            return None, [
                Problem(str(file), 1, "(whole file)", f"is larger than {LARGEST_BYTES // 1024} KiB")
            ]
        text = file.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        return None, [Problem(str(file), 1, "(whole file)", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return None, [Problem(str(file), 1, "(whole file)", "is not UTF-8")]
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found.group(1)) if found else len(text.splitlines()) or 1
        return None, [Problem(str(file), line, "(whole file)", f"is not valid TOML: {error}")]
    lines = Lines(text)
    try:
        flow = Flow.model_validate(raw)
    except ValidationError as error:
        return None, _unshapen(file, lines, error)
    return flow, sorted(
        Problem(str(file), lines.of(one.path), _name(one.path), one.reason)
        for one in checks.check(flow, prompts)
    )


def load_flow(file: Path, prompts: Collection[str] | None = None) -> Flow:
    """Return a file's flow.

    Raises
    ------
    ConfigError
        It is refused; a line per mistake, with file, line and reason.
    """
    flow, problems = read_flow(file, prompts)
    if flow is None or problems:
        raise ConfigError("\n".join(map(str, problems)))
    return flow


def flow_files(folder: Path) -> dict[str, Path]:
    """Return the flow files of a folder by the flow's name."""
    return {file.stem: file for file in sorted(folder.glob(f"*{SUFFIX}"))}


def _unshapen(file: Path, lines: Lines, error: ValidationError) -> list[Problem]:
    problems = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        if len(path) > 2 and path[0] == "steps" and path[2] in _KINDS:
            del path[2]  # the kind that was tried
        path = [
            part for part in path if "[" not in part and part not in ("str", "[key]")
        ]  # pydantic's own words
        reason = item["msg"].removeprefix("Value error, ")
        match item["type"]:
            case "extra_forbidden":
                reason = "is not known here"
            case "missing":
                reason = "is missing and has no default"
            case "union_tag_not_found":
                reason = "has no do, which says what the step does"
            case "union_tag_invalid":
                reason = f"there is no such kind of step; known are: {', '.join(sorted(_KINDS))}"
                path.append("do")
        problems.append(Problem(str(file), lines.of(path), _name(path), reason))
    return sorted(set(problems))


def _name(path: Sequence[str]) -> str:
    if len(path) > 1 and path[0] == "steps":
        return f"step {path[1]}" + (f": {'.'.join(path[2:])}" if len(path) > 2 else "")
    return ".".join(path) or "(whole file)"


class Lines:
    """Where the tables and keys of a TOML text stand. The parser keeps no lines, so they are looked for as they are usually written."""

    _HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]")
    _KEY = re.compile(
        r"""^\s*((?:[A-Za-z0-9_*#-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_*#-]+|"[^"]*"|'[^']*'))*)\s*="""
    )

    def __init__(self, text: str) -> None:
        self._at: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                table = _split(header.group(1))
                path = table
            elif key := self._KEY.match(line):
                path = (*table, *_split(key.group(1)))
            else:
                continue
            for length in range(1, len(path) + 1):
                self._at.setdefault(path[:length], number)

    def of(self, path: Sequence[str]) -> int:
        """Return the line of a key, or of the nearest table around it; 1 where nothing is found."""
        for length in range(len(path), 0, -1):
            if (line := self._at.get(tuple(path[:length]))) is not None:
                return line
        return 1


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[^.\s]+""", dotted))
