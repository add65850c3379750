"""A process that waits to be needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

PROGRAM = (
    "from dialer_core.liveness import Heart; from dialer_core.spare import wait_for_the_word; "
    "print(wait_for_the_word(Heart(None)), flush=True); print(repr(input()))"
)


def _told(word: bytes) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=word,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.stdout.decode().split()


def test_it_begins_with_the_word_and_reads_no_further() -> None:
    """One byte is the word; from then on its standard input is empty, whatever was sent behind."""
    assert _told(b"\nmore\n") == ["True"]


def test_it_ends_where_nobody_will_need_it() -> None:
    """The end of its input says that the supervisor is gone."""
    assert _told(b"") == ["False"]
