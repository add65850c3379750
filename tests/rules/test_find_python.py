"""How `make install` finds its Python."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import ROOT

pytestmark = pytest.mark.unit

PRETENDING = "#!/bin/sh\nexec {python} -c 'import sys; {pretence}; exec(sys.argv.pop(1))' \"$2\"\n"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Return the one folder of the PATH, with the shell in it and no Python."""
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    return folder


def _find(names: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script with the system's own interpreters out of its sight."""
    script = names / "find_python.sh"
    script.write_text(
        (ROOT / "tools/find_python.sh").read_text().replace("/usr/bin/python", "/nowhere/python")
    )
    return subprocess.run(
        ["/bin/sh", script, *arguments], env={"PATH": str(names)}, capture_output=True, text=True, check=False
    )


def _put(names: Path, name: str, script: str) -> None:
    file = names / name
    file.write_text(script)
    file.chmod(0o755)


def _pretend(names: Path, name: str, pretence: str) -> None:
    """Put a Python there that runs `pretence` before what it is told."""
    _put(names, name, PRETENDING.format(python=sys.executable, pretence=pretence))


def test_a_name_that_leads_nowhere_is_passed_over(names: Path) -> None:
    """A shim whose version is not installed does not count; the next name does."""
    _put(names, "python3.12", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    (names / "python3.11").symlink_to(sys.executable)
    assert _find(names).stdout.strip() == str(names / "python3.11")


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 13, 0)])
def test_other_versions_are_refused(names: Path, version: tuple[int, ...]) -> None:
    """Python before 3.11 and after 3.12 is not taken, and the message says what to install."""
    _pretend(names, "python3", f"sys.version_info = {version}")
    found = _find(names)
    assert (found.returncode, found.stdout) == (1, "")
    assert "apt-get install python3 python3-venv" in found.stderr


def test_the_missing_package_is_named(names: Path) -> None:
    """A Python that cannot make environments names the Debian package that it lacks."""
    _pretend(names, "python3", 'sys.modules["ensurepip"] = None')
    found = _find(names)
    assert found.returncode == 1
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in found.stderr


def test_a_python_that_is_named_is_taken_or_refused(names: Path) -> None:
    """PYTHON=... is used alone: where it is unfit, no other is taken in its place."""
    (names / "python3.11").symlink_to(sys.executable)
    _pretend(names, "old", "sys.version_info = (3, 9, 1)")
    found = _find(names, "old")
    assert found.returncode == 1
    assert "PYTHON=old is no Python 3.11 or 3.12" in found.stderr
