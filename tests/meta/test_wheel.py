"""The wheel: everything in it, nothing else, and working without the tools of development."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.meta.tree import code_files, data_files, repository_files
from tests.skips import ROOT

pytestmark = pytest.mark.meta


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel built from a copy of the repository's files."""
    source = tmp_path_factory.mktemp("source")
    for path in repository_files():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        source / "dist",
        source,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (built,) = (source / "dist").glob("*.whl")
    return built


def _runtime_distributions() -> list[str]:
    """Return the canonical names of all that an installation without extras brings along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = map(Requirement, distribution(name).requires or [])
                waiting += [
                    need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})
                ]
    return sorted({name for name, _ in seen})


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a fresh environment: the wheel and its run-time dependencies, nothing else.

    The dependencies are linked in from the environment that runs the tests, which has the pinned versions.
    """
    home = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site,) = home.glob("lib/python3.*/site-packages")
    for name in _runtime_distributions():
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution(name).locate_file(top))
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet"]
    run = subprocess.run(
        [*pip, "--no-deps", "--no-index", wheel], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return home / "bin"


def _run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_holds_the_code_and_its_data(wheel: Path) -> None:
    """Every file inside the packages is in the wheel, and nothing beside them but the wheel's own papers."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        papers = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
    assert names == {path.as_posix() for path in (*code_files(), *data_files())}
    assert {"LICENSE", "NOTICE", "entry_points.txt"} <= papers


OF_EXTRAS = {Path("plugins/crm/sftp.py")}
"""Imported where its extra is there; `plugins/crm/opening.py` says so in words where it is not."""


def test_the_command_answers_without_development_tools(installed: Path, tmp_path: Path) -> None:
    """From the wheel alone, `dialer --help` answers and pytest is not there."""
    run = _run(installed / "dialer", "--help", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Usage: dialer")
    assert _run(installed / "python", "-c", "import pytest", cwd=tmp_path).returncode == 1


def test_every_module_imports_without_development_tools(installed: Path, tmp_path: Path) -> None:
    """No module needs more than the declared dependencies; the training part of amd and what an extra brings excepted."""
    modules = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in code_files()
        if "migrations" not in path.parts and path.parts[:2] != ("amd", "training") and path not in OF_EXTRAS
    ]
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    if not name.endswith('__main__'):\n"
        "        importlib.import_module(name)\n"
    )
    run = _run(installed / "python", "-c", program, *modules, cwd=tmp_path)
    assert run.returncode == 0, run.stderr


def test_bundled_plugins_are_found(installed: Path, tmp_path: Path) -> None:
    """The entry points of the group `dialer.plugins` load from the installed wheel."""
    program = (
        "from importlib.metadata import entry_points\n"
        "for point in entry_points(group='dialer.plugins'):\n"
        "    print(point.name, point.load().__name__)\n"
    )
    run = _run(installed / "python", "-c", program, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "metrics plugins.metrics" in run.stdout.splitlines()
