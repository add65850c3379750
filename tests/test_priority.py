"""Priorities: taken where we may, passed over where we may not."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

CHILD = """
import os
from dialer_core.priority import come_before_others

come_before_others(7)
print(os.getpriority(os.PRIO_PROCESS, 0))
if os.getuid() == 0:
    os.setuid(65534)
come_before_others(-5)
print(os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_a_priority_is_taken_where_it_may_be() -> None:
    """A process steps back when asked to; one without the right to come before others stays where it is, and goes on."""
    told = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["7", "7"]
