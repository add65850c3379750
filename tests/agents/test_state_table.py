"""The table of an agent's transitions."""

from __future__ import annotations

import itertools

import pytest

from dialer_core.agents.state import TABLE, AgentCell, AgentCue, render_table
from dialer_core.vocabulary import AgentState

pytestmark = pytest.mark.unit

S = AgentState


def test_every_state_and_cue_has_a_cell() -> None:
    """No pair is left to chance."""
    assert set(TABLE) == set(itertools.product(S, AgentCue))


def test_only_a_ready_agent_is_reserved() -> None:
    """An agent has one conversation at most (I5)."""
    assert [state for state in S if isinstance(TABLE[state, AgentCue.RESERVE], S)] == [S.READY]


@pytest.mark.parametrize("state", [S.PAUSED, S.READY, S.RESERVED, S.TALKING, S.WRAP_UP])
def test_a_lost_leg_makes_an_agent_unavailable_from_any_state(state: AgentState) -> None:
    """An agent whose leg is gone gets nobody (I5)."""
    assert TABLE[state, AgentCue.LEG_LOST] is S.PAUSED


@pytest.mark.parametrize("state", [S.RESERVED, S.TALKING])
def test_a_pause_or_log_out_never_cuts_a_conversation(state: AgentState) -> None:
    """It is done when the conversation is over."""
    assert TABLE[state, AgentCue.PAUSE] is AgentCell.AFTER
    assert TABLE[state, AgentCue.LOGOUT] is AgentCell.AFTER


def test_reservation_and_call_end_meet_in_both_orders() -> None:
    """The person hangs up while the bridge is made: ready again, and the late bridge changes nothing."""
    assert TABLE[S.RESERVED, AgentCue.UNRESERVE] is S.READY
    assert TABLE[S.RESERVED, AgentCue.BRIDGED] is S.TALKING
    assert TABLE[S.TALKING, AgentCue.UNRESERVE] is AgentCell.LATE
    assert TABLE[S.TALKING, AgentCue.CALL_ENDED] is S.WRAP_UP


def test_the_table_renders_with_a_row_per_state() -> None:
    """The documentation shows the table itself."""
    assert len(render_table().splitlines()) == len(S) + 2
