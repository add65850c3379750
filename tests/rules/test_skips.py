"""The account of skips, tried on runs of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import ROOT

pytestmark = pytest.mark.unit

SKIPPING = '''
import pytest

@pytest.mark.unit
def test_one():
    """It needs a thing."""
    pytest.skip("thing is not installed: apt-get install thing")

@pytest.mark.unit
@pytest.mark.skipif(True, reason="thing is not installed: apt-get install thing")
def test_two():
    """It needs the same thing."""
'''

SHARED_ONLY = '''
import pytest

@pytest.mark.unit
@pytest.mark.needs_shared
def test_reads_shared(shared_data):
    """It reads shared data."""
    assert shared_data.is_dir()
'''


def _run(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file against a copy of the account whose ../shared is `folder`'s neighbour."""
    tests = folder / "checkout" / "tests"
    tests.mkdir(parents=True)
    (tests / "__init__.py").touch()
    (tests / "skips.py").write_text((ROOT / "tests" / "skips.py").read_text())
    (tests / "test_it.py").write_text(source)
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "MARCADOR_NO_SKIPS"}}
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-c",
                ROOT / "pyproject.toml",
                "--rootdir",
                folder / "checkout",
            ),
            *("-p", "tests.skips", "-p", "no:cacheprovider", "-o", "pythonpath=", tests / "test_it.py"),
        ],
        cwd=folder / "checkout",
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_skips_are_listed_by_reason_and_allowed(tmp_path: Path) -> None:
    """Outside CI the run passes; its last section names what is missing once, with the number of tests."""
    run = _run(tmp_path, SKIPPING)
    assert run.returncode == pytest.ExitCode.OK
    listed = run.stdout.partition("skipped, and how to get it")[2].splitlines()
    assert "   2  thing is not installed: apt-get install thing" in listed


@pytest.mark.parametrize("name", ["CI", "MARCADOR_NO_SKIPS"])
def test_a_skip_fails_a_run_that_allows_none(tmp_path: Path, name: str) -> None:
    """With CI or MARCADOR_NO_SKIPS set, a run with a skip fails and names the tests."""
    run = _run(tmp_path, SKIPPING, **{name: "true"})
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_it.py::test_one" in run.stdout.partition("this run allows no skip")[2]


def test_a_whole_module_that_skips_counts(tmp_path: Path) -> None:
    """A skip at module level is a skip as well."""
    source = 'import pytest\npytest.skip("thing is not installed", allow_module_level=True)\n' + SKIPPING
    run = _run(tmp_path, source, CI="true")
    assert "this run allows no skip" in run.stdout
    assert run.returncode != pytest.ExitCode.OK


def test_absent_shared_data_is_excused(tmp_path: Path) -> None:
    """A test marked needs_shared may skip even in CI where ../shared is absent, and is still listed."""
    run = _run(tmp_path, SHARED_ONLY, CI="true")
    assert run.returncode == pytest.ExitCode.OK
    assert "../shared is absent" in run.stdout.partition("skipped, and how to get it")[2]


def test_present_shared_data_is_used_and_excuses_nothing(tmp_path: Path) -> None:
    """Where ../shared is there, its tests run, and a skip of one is like any other."""
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert "1 passed" in _run(tmp_path, SHARED_ONLY, CI="true").stdout
    other = tmp_path / "again"
    (other / "shared" / "data").mkdir(parents=True)
    source = SHARED_ONLY.replace("assert shared_data.is_dir()", 'pytest.skip("tired")')
    assert _run(other, source, CI="true").returncode == pytest.ExitCode.TESTS_FAILED


def test_shared_data_asks_for_its_marker(tmp_path: Path) -> None:
    """The fixture refuses a test that does not say that it needs shared data."""
    run = _run(tmp_path, SHARED_ONLY.replace("@pytest.mark.needs_shared\n", ""))
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "carries the marker needs_shared" in run.stdout
