"""What the repository holds, for the tests that look at it as a whole."""

import subprocess
from functools import cache
from pathlib import Path

from tests.skips import ROOT

PACKAGES = ("dialer_core", "amd", "pacing", "plugins")
"""The packages of the wheel; `cli.py` goes with them."""


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file of the working tree that git tracks or would add, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = {Path(name) for name in listed.stdout.split("\0") if name}
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def code_files() -> list[Path]:
    """Return the Python files that are installed: `cli.py` and the packages."""
    return [path for path in repository_files() if path.suffix == ".py" and _installed(path)]


def data_files() -> list[Path]:
    """Return the other files inside the packages."""
    return [path for path in repository_files() if path.suffix != ".py" and _installed(path)]


def _installed(path: Path) -> bool:
    return path.parts[0] in PACKAGES or path == Path("cli.py")
