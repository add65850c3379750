"""What the repository holds, for the tests that look at it as a whole; an unpacked archive will do."""

from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from tests.skips import ROOT

PACKAGES = ("dialer_core", "amd", "pacing", "plugins")
"""The packages of the wheel; `cli.py` goes with them."""


@cache
def repository_files() -> tuple[Path, ...]:
    """Return each file of the working tree that `.gitignore` does not leave out, as a path from its root."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = (".git", *(line.strip() for line in lines if line.strip() and not line.startswith("#")))
    return tuple(sorted(_walk(ROOT, ignored)))


def _walk(folder: Path, ignored: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below; of git's patterns it knows names, globs, `/` at the start and `/` at the end."""
    for entry in folder.iterdir():
        names = {entry.name, f"/{entry.relative_to(ROOT)}"}
        if any(fnmatch(name, pattern.rstrip("/")) for name in names for pattern in ignored):
            continue
        if entry.is_dir():
            yield from _walk(entry, ignored)
        else:
            yield entry.relative_to(ROOT)


def code_files() -> list[Path]:
    """Return the Python files that are installed: `cli.py` and the packages."""
    return [path for path in repository_files() if path.suffix == ".py" and _installed(path)]


def data_files() -> list[Path]:
    """Return the other files inside the packages."""
    return [path for path in repository_files() if path.suffix != ".py" and _installed(path)]


def _installed(path: Path) -> bool:
    return path.parts[0] in PACKAGES or path == Path("cli.py")
