"""The reference pages are what the code says: each file of `docs/` equals what `make docs` makes now."""

import difflib

import pytest

from tests.skips import ROOT
from tools.doc_words import GLOSSARY, read_code
from tools.make_docs import DOCS, PAGES

pytestmark = pytest.mark.meta


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    """The file on disk equals the page made from the code."""
    path, (_, make) = DOCS / name, PAGES[name]
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    changes = list(
        difflib.unified_diff(kept.splitlines(), make().splitlines(), "kept", "made", lineterm="", n=0)
    )
    assert changes == [], f"docs/{name} is behind the code: run `make docs` and commit it"


def test_the_code_uses_each_word_of_the_glossary() -> None:
    """A word that the code has dropped does not stay in the glossary."""
    code = read_code(ROOT)
    assert [word for word in GLOSSARY if word not in code] == []
