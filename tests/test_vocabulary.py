"""Ids: UUIDv7, in the order of their making, within a process and across threads."""

import re
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

import dialer_core
from dialer_core.vocabulary import new_id, new_ids

pytestmark = pytest.mark.unit


def made_ms(text: str) -> float:
    """Return the milliseconds since 1970 in an id, with their fraction."""
    value = uuid.UUID(text).int
    return (value >> 80) + (value >> 64 & 0xFFF) / 4096


def test_form() -> None:
    """An id is a UUID of version 7 and the standard's variant, in canonical text."""
    for _ in range(100):
        text = new_id()
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)
        assert str(uuid.UUID(text)) == text


def test_order_and_time() -> None:
    """Thousands of ids made as fast as can be are in order, all different, and say when they were made, not later."""
    before_ms = time.time_ns() / 1e6
    made = [new_id() for _ in range(20_000)]
    after_ms = time.time_ns() / 1e6
    assert made == sorted(set(made))
    assert before_ms - 0.001 <= made_ms(made[0])
    assert made_ms(made[-1]) <= after_ms + 0.001


def test_many_at_once() -> None:
    """Ids made many at a time are of the same form, in order among those made one by one, all different, and no later than they were made."""
    made = [new_id(), *new_ids(3_000), new_id(), *new_ids(1), *new_ids(0), new_id()]
    after_ms = time.time_ns() / 1e6
    assert len(made) == 3_004
    assert made == sorted(set(made))
    assert all(str(uuid.UUID(text)) == text and text[14] == "7" and text[19] in "89ab" for text in made)
    assert made_ms(made[-1]) <= after_ms + 0.001


def test_threads() -> None:
    """Threads that make ids at once never make the same one, and each sees its own in order."""
    made: list[list[str]] = []

    def make() -> None:
        made.append([new_id() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == sorted(one) for one in made)
    assert len({text[:18] for one in made for text in one}) == 20_000


def test_processes() -> None:
    """An id made by another process, after many were made here, comes after them."""
    mine = [new_id() for _ in range(5_000)]
    other = subprocess.run(
        [sys.executable, "-c", "from dialer_core.vocabulary import new_id; print(new_id())"],
        cwd=Path(dialer_core.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert mine[-1] < other < new_id()
