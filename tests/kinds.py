"""Every test says of which kind it is and what it claims; collection fails where one does not.

Owns that rule and nothing else. The kinds are the markers of `pyproject.toml`; put one on a module
(`pytestmark = pytest.mark.unit`) or on a test. The claim is the test function's docstring.
"""

import pytest

KINDS = frozenset({"unit", "db", "sip", "sim", "browser", "bench", "soak", "meta"})


@pytest.hookimpl(tryfirst=True)  # before -m deselects, so that a partial run judges the same files alike
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise UsageError naming every collected test that has no kind marker or no docstring."""
    faults = []
    for item in items:
        if not KINDS.intersection(mark.name for mark in item.iter_markers()):
            faults.append(f"{item.nodeid}: no kind marker, one of {', '.join(sorted(KINDS))}")
        if isinstance(item, pytest.Function) and not (item.function.__doc__ or "").strip():
            faults.append(f"{item.nodeid}: no docstring; a test's docstring is its claim")
    if faults:
        raise pytest.UsageError("\n".join(dict.fromkeys(faults)))
