"""The table of accounts that a file has had: it answers as a dict does, in a tenth of its memory."""

import random
import tracemalloc

import pytest

from dialer_core.campaigns.seen_rows import SeenRows

pytestmark = pytest.mark.unit


def test_it_answers_as_a_dict_does() -> None:
    """Of 20,000 accounts in any order, repeated ones among them, each gives the line on which it stood first."""
    draw = random.Random(6)
    seen, slow = SeenRows(), {}
    for line in range(2, 20_002):
        account = f"default\0A{draw.randrange(15_000)}"
        assert seen.first_line(account, line) == slow.setdefault(account, line)


def test_it_stays_small() -> None:
    """Under 50 bytes an account, its growing included."""
    tracemalloc.start()
    seen = SeenRows()
    before = tracemalloc.get_traced_memory()[0]
    for line in range(50_000):
        seen.first_line(f"default\0{line}", line)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (peak - before) / 50_000 < 50
