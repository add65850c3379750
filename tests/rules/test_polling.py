"""The one way to wait."""

import time

import pytest

from tests.polling import WaitedTooLongError, wait_until, wait_until_async

pytestmark = pytest.mark.unit


def test_the_first_true_value_is_returned() -> None:
    """Polling goes on through false values and returns the first true one."""
    values = iter([0, "", None, "there"])
    assert wait_until(lambda: next(values), 5.0, "a value") == "there"


def test_time_over_says_what_was_waited_for() -> None:
    """The error names the wait, its length and the last value seen."""
    with pytest.raises(WaitedTooLongError, match=r"waited 0\.05 s for the bell; last seen: \[\]"):
        wait_until(list, 0.05, "the bell")


def test_the_condition_is_asked_at_the_deadline() -> None:
    """What comes true during the last pause is seen: the predicate is asked once more when time is over."""
    start = time.monotonic()
    assert wait_until(lambda: time.monotonic() - start >= 0.2, 0.2, "the time itself")


async def test_the_loop_goes_on_meanwhile() -> None:
    """The asynchronous form takes plain and coroutine predicates, and raises alike."""
    asked: list[None] = []

    async def third_time() -> bool:
        asked.append(None)
        return len(asked) == 3

    assert await wait_until_async(third_time, 5.0, "the third time") is True
    assert await wait_until_async(lambda: 7, 5.0, "seven") == 7
    with pytest.raises(WaitedTooLongError, match="for never; last seen: False"):
        await wait_until_async(lambda: False, 0.02, "never")
