"""The rule that every test has a kind and a claim, tried on runs of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import ROOT

pytestmark = pytest.mark.unit


def _run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", path.parent),
            *("-p", "tests.kinds", "-p", "no:cacheprovider", *arguments, path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_test_without_a_kind_stops_the_run(tmp_path: Path) -> None:
    """Collection fails and names the test that carries no kind marker, even where -m would leave it out."""
    file = tmp_path / "test_it.py"
    file.write_text('def test_it():\n    """It holds."""\n')
    run = _run(file, "-m", "sip")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_it.py::test_it: no kind marker" in run.stderr


def test_a_test_without_a_claim_stops_the_run(tmp_path: Path) -> None:
    """Collection fails and names the test that has no docstring."""
    file = tmp_path / "test_it.py"
    file.write_text("import pytest\n\n@pytest.mark.unit\ndef test_it(): pass\n")
    run = _run(file)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_it.py::test_it: no docstring" in run.stderr


def test_a_test_with_both_runs(tmp_path: Path) -> None:
    """A kind on the module and a docstring on the function are enough."""
    file = tmp_path / "test_it.py"
    file.write_text('import pytest\npytestmark = pytest.mark.unit\n\ndef test_it():\n    """It holds."""\n')
    assert _run(file).returncode == pytest.ExitCode.OK
