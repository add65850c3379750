"""The reference pages are what the code says: each file equals what `make docs` makes now."""

import difflib

import pytest

from tools.make_docs import DOCS, PAGES, REFERENCE

pytestmark = pytest.mark.meta


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """The file on disk equals the page made from the code."""
    kept = (DOCS / name).read_text(encoding="utf-8").splitlines() if (DOCS / name).exists() else []
    changes = list(difflib.unified_diff(kept, PAGES[name]().splitlines(), "kept", "made", lineterm="", n=0))
    assert changes == [], f"docs/{name} is behind the code: run `make docs` and commit it"


def test_the_index_names_pages_that_are_there() -> None:
    """Each page of the reference exists."""
    assert [name for name in REFERENCE if not (DOCS / name).exists()] == []
