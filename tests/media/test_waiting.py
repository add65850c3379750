"""The race's table: every cell, and that a deadline runs exactly while somebody waits."""

from __future__ import annotations

import pytest

from dialer_core.media.waiting import BUG, LATE, TABLE, WaitEvent, Waiting, WaitState

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("state", list(WaitState))
@pytest.mark.parametrize("event", list(WaitEvent))
def test_every_cell_is_decided(state: WaitState, event: WaitEvent) -> None:
    """Each pair is a next state, `late` (nothing moves) or `bug` (refused, nothing moves)."""
    cell = TABLE[state][event]
    waiting = Waiting()
    waiting.state, waiting.deadline_ns = state, 5 if state is WaitState.WAITING else None
    if cell == BUG:
        with pytest.raises(ValueError, match=state.value):
            waiting.apply(event, 7)
        assert waiting.state is state
    elif cell == LATE:
        assert not waiting.apply(event, 7)
        assert waiting.state is state
        assert waiting.deadline_ns == (5 if state is WaitState.WAITING else None)
    else:
        assert waiting.apply(event, 7)
        assert waiting.state == cell
        assert waiting.deadline_ns == (7 if cell is WaitState.WAITING else None)


def test_bridge_and_deadline_exclude_each_other() -> None:
    """Whichever comes first wins for good: after the message no bridge, after the bridge no message."""
    for first, second in [(WaitEvent.BRIDGE, WaitEvent.DEADLINE), (WaitEvent.DEADLINE, WaitEvent.BRIDGE)]:
        waiting = Waiting()
        waiting.apply(WaitEvent.LIVE, 1)
        assert waiting.apply(first)
        state = waiting.state
        try:
            assert not waiting.apply(second)
        except ValueError:
            assert second is WaitEvent.DEADLINE
        assert waiting.state is state


def test_no_way_leads_out_of_the_message() -> None:
    """FALLBACK is left by closing the leg alone."""
    assert set(TABLE[WaitState.FALLBACK].values()) <= {LATE, BUG}
