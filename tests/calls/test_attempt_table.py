"""The table of an attempt's transitions: complete, and right in the cells where races meet."""

from __future__ import annotations

import itertools

import pytest

from dialer_core.calls.attempt import BUG, LATE, STATE_LIMIT_S, TABLE, Cue, render_table
from dialer_core.vocabulary import AttemptState

pytestmark = pytest.mark.unit

S = AttemptState
TERMINAL = S.ENDED


def test_every_state_and_cue_has_a_cell() -> None:
    """No pair is left to chance."""
    assert set(TABLE) == set(itertools.product(S, Cue))


def test_an_ended_attempt_takes_everything_as_late() -> None:
    """Nothing can move or fault an attempt that has its outcome (I2)."""
    assert {TABLE[TERMINAL, cue] for cue in Cue} == {LATE}


@pytest.mark.parametrize("state", [state for state in S if state is not TERMINAL])
def test_every_live_state_can_end(state: AttemptState) -> None:
    """The leg's end ends the attempt from anywhere, and a release or a limit leads there too."""
    assert TABLE[state, Cue.LEG_ENDED] is S.ENDED
    assert TABLE[state, Cue.OVERDUE] in (S.RELEASING, S.ENDED)
    assert TABLE[state, Cue.RELEASE] in (S.RELEASING, S.ENDED, LATE)


def test_no_state_is_entered_from_nowhere_but_the_first() -> None:
    """Every state is reachable from `committed`."""
    reached, new = set(), {S.COMMITTED}
    while new:
        reached |= new
        new = {
            cell for (state, _), cell in TABLE.items() if state in reached and isinstance(cell, S)
        } - reached
    assert reached == set(S)


@pytest.mark.parametrize(
    ("state", "first", "then", "end"),
    [
        # 200 crosses our CANCEL: whichever is seen first, the call is being released.
        (S.RINGING, Cue.RELEASE, Cue.ANSWERED, S.RELEASING),
        (S.RINGING, Cue.ANSWERED, Cue.RELEASE, S.RELEASING),
        # Their BYE crosses our hang-up.
        (S.BRIDGED, Cue.RELEASE, Cue.LEG_ENDED, S.ENDED),
        (S.BRIDGED, Cue.LEG_ENDED, Cue.RELEASE, S.ENDED),
        # The bridge crosses the deadline: the media plane's order decides.
        (S.BRIDGING, Cue.FALLBACK_STARTED, Cue.BRIDGE_REFUSED, S.ABANDONING),
        (S.BRIDGING, Cue.BRIDGED, Cue.FALLBACK_STARTED, S.BRIDGED),
        # A live verdict crosses their hang-up.
        (S.LISTENING, Cue.LIVE, Cue.LEG_ENDED, S.ENDED),
        (S.LISTENING, Cue.LEG_ENDED, Cue.LIVE, S.ENDED),
        # The agent is lost while the bridge is being made, in both orders.
        (S.BRIDGING, Cue.AGENT_LOST, Cue.BRIDGED, S.WAITING),
        (S.BRIDGING, Cue.BRIDGED, Cue.AGENT_LOST, S.WAITING),
        # A provisional answer overtakes, or comes after, the final one.
        (S.DIALING, Cue.ANSWERED, Cue.RINGING, S.LISTENING),
        (S.DIALING, Cue.RINGING, Cue.ANSWERED, S.LISTENING),
        # A revision to machine crosses the bridge.
        (S.BRIDGING, Cue.BRIDGED, Cue.REVISED_NOT_LIVE, S.BRIDGED),
        (S.BRIDGING, Cue.REVISED_NOT_LIVE, Cue.BRIDGED, S.RELEASING),
        # The message's end crosses their hang-up.
        (S.ABANDONING, Cue.PROMPT_FINISHED, Cue.LEG_ENDED, S.ENDED),
        (S.ABANDONING, Cue.LEG_ENDED, Cue.PROMPT_FINISHED, S.ENDED),
        # The INVITE's leaving is reported after an answer that came at once.
        (S.PLACING, Cue.ANSWERED, Cue.SENT, S.LISTENING),
        (S.PLACING, Cue.SENT, Cue.ANSWERED, S.LISTENING),
    ],
)
def test_a_race_is_decided_in_both_orders(
    state: AttemptState, first: Cue, then: Cue, end: AttemptState
) -> None:
    """Two messages over different sockets meet; neither order is a bug, and each has its one result."""
    for cue in (first, then):
        cell = TABLE[state, cue]
        assert cell is not BUG, f"{state} takes {cue} for a bug"
        state = cell if isinstance(cell, AttemptState) else state
    assert state is end


def test_transient_states_have_a_limit() -> None:
    """Whatever waits has a deadline (I6); the ones without a row here have the campaign's."""
    by_campaign = {S.DIALING, S.RINGING, S.EARLY_MEDIA, S.WAITING}
    assert set(STATE_LIMIT_S) | by_campaign | {S.ENDED} == set(S)


def test_the_table_renders_with_a_row_per_state() -> None:
    """The documentation shows the table itself."""
    assert len(render_table().splitlines()) == len(S) + 2
