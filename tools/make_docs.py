"""The second half of `make docs`: writes the simulator's page and the index of `docs/`.

It owns the index. The other reference pages are `dialer_core/commands/docs.py`'s; `doc_simulator.py` makes
the simulator's. `tests/meta/test_reference_docs.py` holds each file equal to what is made here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools.doc_simulator import simulator_page
from tools.doc_source import page, table

DOCS = Path(__file__).resolve().parent.parent / "docs"


REFERENCE = {
    "settings.md": "every setting of every file: what it may be, and its default",
    "commands.md": "every `dialer` command with its help",
    "events.md": "every event of the log",
    "hooks.md": "every plugin hook, and the engine's handle",
    "vocabulary.md": "every word of the system",
    "states.md": "the state tables of attempts, agents and campaigns",
    "simulator.md": "the simulated carrier: what each number does, and how to run it",
}
"""Made from the code: what the index says of each."""


def index_page() -> str:
    """Return `README.md`, the index: the reference, then every other page by its own title."""
    listed = {"README.md", *REFERENCE}
    written = sorted(path.name for path in DOCS.glob("*.md") if path.name not in listed)
    others = [(f"[{name}]({name})", _title(DOCS / name)) for name in [*written, "adr/README.md"]]
    reference = [(f"[{name}]({name})", about) for name, about in REFERENCE.items()]
    return page(
        "Documentation",
        "Begin with the [README](../README.md); who works on the code goes on with [CONTRIBUTING](../CONTRIBUTING.md).",
        "## Reference",
        "Made from the code by `make docs`, and held equal to it by tests.",
        table(("page", "what is in it"), reference),
        "## More",
        table(("page", "what is in it"), others),
    )


def _title(path: Path) -> str:
    return next(
        line.removeprefix("# ")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("# ")
    )


PAGES: dict[str, Callable[[], str]] = {"simulator.md": simulator_page, "README.md": index_page}


def main() -> int:
    """Write every page that has changed."""
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
