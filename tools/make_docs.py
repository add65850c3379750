"""`make docs`: writes the reference pages of `docs/` from the code.

It owns the list of pages and the index. The pages are made in `doc_settings.py`, `doc_events.py` and
`doc_words.py`; `tests/meta/test_reference_docs.py` holds each file equal to what is made here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools.doc_crm import crm_page
from tools.doc_events import events_page, hooks_page
from tools.doc_settings import commands_page, settings_page
from tools.doc_source import page, table
from tools.doc_words import invariants_page, simulator_page, states_page, vocabulary_page

DOCS = Path(__file__).resolve().parent.parent / "docs"


def index_page() -> str:
    """Return `README.md`, the index: the reference, then every other page by its own title."""
    written = sorted(path.name for path in DOCS.glob("*.md") if path.name not in PAGES)
    others = [(f"[{name}]({name})", _title(DOCS / name)) for name in [*written, "adr/README.md"]]
    return page(
        "Documentation",
        "The [README](../README.md) is where to begin; `dialer --help` and [CONTRIBUTING](../CONTRIBUTING.md) come next.",
        "## Reference",
        "Made from the code, and held equal to it by a test.",
        table(
            ("page", "what is in it"),
            [(f"[{name}]({name})", about) for name, (about, _) in PAGES.items() if about],
        ),
        "## More",
        table(("page", "what is in it"), others),
    )


def _title(path: Path) -> str:
    return next(
        line.removeprefix("# ")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("# ")
    )


PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "settings.md": (
        "every setting of every file, its values, default and environment variable",
        settings_page,
    ),
    "crm-settings.md": ("every setting of `plugins/crm.toml`", crm_page),
    "commands.md": ("every `dialer` command with its help, and the exit statuses", commands_page),
    "events.md": ("every event of the log, its fields and ids; the envelope and cursors", events_page),
    "hooks.md": ("every plugin hook; how a plugin is written, enabled and limited", hooks_page),
    "vocabulary.md": ("every word of the system", vocabulary_page),
    "states.md": ("the tables of attempts, agents, campaigns and legs, and their races", states_page),
    "invariants.md": (
        "what must always be true, and what `dialer verify` looks at for each",
        invariants_page,
    ),
    "simulator.md": ("the simulated carrier: what each number does, and how to run it", simulator_page),
    "README.md": ("", index_page),
}
"""File: what the index says of it, and what makes it."""


def main() -> int:
    """Write every page that has changed."""
    for name, (_, make) in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
