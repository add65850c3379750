"""What must hold of the repository's files, whoever wrote them."""

import ast
import re
from pathlib import Path

import pytest

from tests.meta.tree import code_files, repository_files
from tests.skips import ROOT

pytestmark = pytest.mark.meta

LONGEST_MODULE = 500
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
# Brackets keep these lines from finding themselves.
PLACES = re.compile(
    r"/wor[k]/|/roo[t]/|/hom[e]/[a-z]|/User[s]/|/op[t]/|/tmp/[a-z]\w{0,2}/"
    r"|pyp[i]\.org|pythonhoste[d]\.org|registry\.npmj[s]"
)
LICENCES = {Path("LICENSE"), Path("NOTICE")}


def _text(path: Path) -> str | None:
    """Return a file's text; None where it is sound or other bytes."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_every_module_says_what_it_owns() -> None:
    """Each installed module opens with a docstring."""
    silent = [str(path) for path in code_files() if not ast.get_docstring(ast.parse(_text(path) or ""))]
    assert silent == []


def test_modules_are_split_in_time() -> None:
    """No Python file, tests included, is over 500 lines."""
    long = {
        str(path): lines
        for path in repository_files()
        if path.suffix == ".py" and (lines := len((_text(path) or "").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_names_say_what_is_inside() -> None:
    """No module or folder has a name that fits anything."""
    vague = [
        str(path) for path in repository_files() if VAGUE_NAMES.intersection((*path.parent.parts, path.stem))
    ]
    assert vague == []


def test_no_file_knows_a_machine() -> None:
    """No committed text names a directory of somebody's machine or the host of a package registry."""
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in repository_files()
        if path not in LICENCES
        for number, line in enumerate((_text(path) or "").splitlines(), start=1)
        if PLACES.search(line)
    ]
    assert found == []


def test_nothing_unfinished_is_left_behind() -> None:
    """No conflict mark, breakpoint or empty promise stands in a source file."""
    marks = re.compile(r"^(<{7} |>{7} )|\bbreakpoint\(\)|\bNotImplementedErro[r]\b", re.MULTILINE)
    found = [
        f"{path}: {match.group().strip()}"
        for path in repository_files()
        if path.suffix in {".py", ".toml", ".md", ".sh"} and (match := marks.search(_text(path) or ""))
    ]
    assert found == []


def test_packaged_settings_equal_the_checkouts() -> None:
    """What `dialer init` writes is what `config/` shows: the same files with the same bytes."""
    shown = {path.relative_to("config"): path for path in repository_files() if path.parts[0] == "config"}
    inside = Path("dialer_core/config_defaults")
    packaged = {path.relative_to(inside): path for path in repository_files() if inside in path.parents}
    packaged.pop(Path("__init__.py"), None)
    assert shown
    assert sorted(shown) == sorted(packaged)
    differ = [
        str(name)
        for name in shown
        if (ROOT / shown[name]).read_bytes() != (ROOT / packaged[name]).read_bytes()
    ]
    assert differ == []


def test_decisions_are_indexed() -> None:
    """`docs/adr/README.md` lists every record, with the title and the status that the record itself gives."""
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+\.md)\) \| (.+?) \| (.+?) \|$", index, re.MULTILINE)
    records = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))[1:]  # 0000 is the template
    assert [file for _, file, _, _ in listed] == records
    for number, file, title, status in listed:
        record = (ROOT / "docs/adr" / file).read_text(encoding="utf-8")
        assert file.startswith(f"{number}-")
        assert record.startswith(f"# {number}. {title}\n"), file
        assert f"\nStatus: {status}\n" in record, file


def test_each_program_that_ci_installs_is_asked_for() -> None:
    """`.ci/run` installs exactly the programs that tests require, from the packages the skips name."""
    from tests.skips import PACKAGES

    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    installed = dict(re.findall(r"([a-z-]+):([a-z-]+)", re.search(r"programs=\(([^)]*)\)", script)[1]))
    required = {
        name
        for path in repository_files()
        if path.parts[0] == "tests" and path.suffix == ".py"
        for name in re.findall(r'requires_program\("([a-z-]+)"\)', _text(path) or "")
    }
    assert installed == {name: PACKAGES[name] for name in required}
