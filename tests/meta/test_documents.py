"""The documents are true: their commands run and print what they show, their links lead somewhere."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.meta.console import parse, run
from tests.skips import ROOT

pytestmark = [pytest.mark.meta, pytest.mark.timeout(600)]

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/**/*.md"))
)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_a_document_run(document: str, tmp_path: Path) -> None:
    """Each console block runs in order and prints what the document shows, or says why it is not run."""
    blocks = parse((ROOT / document).read_text(encoding="utf-8"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    place = tmp_path / "place"
    place.mkdir()
    run(blocks, place, path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_links_of_a_document_lead_somewhere(document: str) -> None:
    """Each relative link names a file or folder that is there, and each anchor a heading in it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for target, anchor in LINK.findall(text):
        file = (ROOT / document).parent / target if target else ROOT / document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{target}#{anchor}"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
