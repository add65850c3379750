"""The reference pages are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialer_core.commands.docs import PAGES
from dialer_core.events import EVENTS
from dialer_core.plugin_host import hook_names

pytestmark = pytest.mark.meta

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_each_page_is_written_from_the_code_as_it_is(name: str) -> None:
    """`python -m dialer_core.commands.docs` has been run since the code was changed."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_nothing_is_left_out() -> None:
    """Every event and hook has its place in a page."""
    assert all(f"| `{name}` |" in PAGES["events.md"]() for name in EVENTS)
    assert all(f"\n## {name}\n" in PAGES["hooks.md"]() for name in hook_names())
