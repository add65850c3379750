"""What is declared is what is imported: nothing used by luck, nothing carried along for nothing."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.meta.tree import PACKAGES, code_files
from tests.skips import ROOT

pytestmark = pytest.mark.meta

LOADED_BY_NAME = {
    "psycopg": "SQLAlchemy loads it for a postgresql+psycopg URL",
    "tzdata": "zoneinfo reads it where the system has no zones",
    "librosa": "amd.training",
    "webrtcvad-wheels": "the learned detector's voice activity",
    "onnxruntime": "the plugin kokoro, when it starts: it is an extra",
}
"""Declared without an import that this test could see, and why."""


def _imported() -> set[str]:
    """Return the distributions that installed code imports, names canonical."""
    names = set()
    for path in code_files():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).partition(".")[0])
    foreign = names - sys.stdlib_module_names - {*PACKAGES, "cli"}
    providers = packages_distributions()
    return {canonicalize_name(providers[name][0]) for name in foreign}


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        text for name, texts in project["optional-dependencies"].items() if name != "dev" for text in texts
    ]
    return {canonicalize_name(Requirement(text).name) for text in (*project["dependencies"], *extras)}


def test_every_import_is_declared() -> None:
    """No module imports a package that is only there because another one needs it."""
    assert sorted(_imported() - _declared()) == []


def test_every_dependency_is_used() -> None:
    """Each declared package is imported somewhere, or is loaded by name for a reason that is given."""
    assert sorted(_declared() - _imported() - LOADED_BY_NAME.keys()) == []
