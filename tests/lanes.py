"""Two lanes for a run in parallel (`make test`): what uses fixed ports or the wall clock stays in one process, in order.

Owns which test stands in which lane and nothing else. A suite of real SIP and RTP mostly waits, a unit test mostly
computes: side by side they fill two cores. Without `-n` this changes nothing.
"""

import pytest

LINE_KINDS = frozenset({"sip", "browser", "bench", "soak", "meta"})
"""Kinds that share the machine's ports, its clock or the checkout itself, and therefore never run beside each other."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test of LINE_KINDS into the one group `line`; the others go wherever a process is free."""
    for item in items:
        if LINE_KINDS.intersection(mark.name for mark in item.iter_markers()):
            item.add_marker(pytest.mark.xdist_group("line"))
