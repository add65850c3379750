"""The lock files: complete, hashed, and good for what `pyproject.toml` asks."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.skips import ROOT

pytestmark = pytest.mark.meta

PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)", re.MULTILINE)


def _pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {pin[1]: (pin[2], frozenset(re.findall(r"sha256:\w+", pin[3]))) for pin in PIN.finditer(text)}


@pytest.mark.parametrize(("name", "extras"), [("requirements.lock", ()), ("requirements-dev.lock", ("dev",))])
def test_the_lock_answers_every_declared_dependency(name: str, extras: tuple[str, ...]) -> None:
    """Each requirement of pyproject has a pin that satisfies it, and every pin has hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [
        r for extra in extras for r in project["optional-dependencies"][extra]
    ]
    pins = _pins(name)
    for requirement in map(Requirement, wanted):
        version, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement
    assert [package for package, (_, hashes) in pins.items() if not hashes] == []


def test_both_locks_agree() -> None:
    """What is developed with is what is run: the development lock holds every pin of the other."""
    assert _pins("requirements.lock").items() <= _pins("requirements-dev.lock").items()


def test_the_locks_name_no_place() -> None:
    """A lock holds versions and hashes; where they come from is the installer's own setting."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"^.*(?:://|--index|--find-links|--trusted|@ ).*$", text, re.MULTILINE) == []
