"""Who may import whom, as `pyproject.toml` says it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.meta.tree import code_files
from tests.skips import ROOT

pytestmark = pytest.mark.meta


def test_the_import_contracts_hold() -> None:
    """import-linter finds no import across the layers."""
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_layer_of_the_list_exists() -> None:
    """The layer list, which newcomers read first, names no module that is not there."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    named = {name.strip(" ()") for layer in layers for name in layer.replace("|", ":").split(":")}
    inside = {Path(*path.parts[:2]).stem for path in code_files() if path.parts[0] == "dialer_core"} - {
        "__init__"
    }
    assert named == inside


def test_the_command_is_a_few_lines() -> None:
    """`cli.py`, which import-linter cannot see, does nothing but import the command."""
    lines = (ROOT / "cli.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 10
    assert [line for line in lines if "import" in line] == ["from dialer_core.commands.cli import main"]
