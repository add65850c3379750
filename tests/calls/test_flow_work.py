"""What a person agrees to in a flow is written down, or they are told that it was not: one of the two, also in the instant of the limit."""

from typing import Any, cast

import pytest

from dialer_core.calls.flow_work import written_in_time
from dialer_core.errors import StoreError

pytestmark = pytest.mark.unit

NO_TX = cast("Any", None)


def test_whoever_is_first_wins() -> None:
    """Given up first, it is never written; begun first, nobody may say any more that it was not."""
    written: list[int] = []
    write, give_up = written_in_time(lambda _tx: written.append(1), lambda: True)
    assert give_up()
    with pytest.raises(StoreError):
        write(NO_TX)
    assert not written
    write, give_up = written_in_time(lambda _tx: written.append(2), lambda: True)
    write(NO_TX)
    assert not give_up()
    assert not give_up()
    write(NO_TX)  # its group failed, and it is tried alone
    assert written == [2, 2]


def test_a_conversation_that_has_gone_on_writes_nothing() -> None:
    """They hung up, or were handed on, before the store came to it."""
    write, _ = written_in_time(lambda _tx: pytest.fail("written"), lambda: False)
    with pytest.raises(StoreError):
        write(NO_TX)


def test_the_limit_in_the_middle_of_the_writing() -> None:
    """The limit comes while the unit writes: it is not given up, so its end decides what they hear."""
    heard: list[bool] = []
    write, give_up = written_in_time(lambda _tx: heard.append(give_up()), lambda: True)
    write(NO_TX)
    assert heard == [False]
