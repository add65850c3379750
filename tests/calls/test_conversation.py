"""The table of a conversation, and who hears whom in each of its states."""

from __future__ import annotations

import itertools
from typing import cast

import pytest

from dialer_core.agents.state import Agent
from dialer_core.calls.conversation import TABLE, Talk, TalkCell, TalkCue, Third, hearing, render_table
from dialer_core.vocabulary import CampaignId, LegId, SupervisionMode, TalkState

pytestmark = pytest.mark.unit

C, A, T, V = LegId("customer"), LegId("agent"), LegId("third"), LegId("supervisor")
S, M = TalkState, SupervisionMode


def talk(state: TalkState, *, muted: bool = False) -> Talk:
    """A conversation in a state, with a third where that has one."""
    third = Third(T, extension="legal") if state in (S.CALLING, S.CONSULTING, S.THREE_WAY) else None
    return Talk(cast("Agent", None), C, CampaignId("x"), state=state, muted=muted, third=third)


def test_every_state_and_cue_has_a_cell() -> None:
    """No pair is left to chance, and the documentation shows the table itself."""
    assert set(TABLE) == set(itertools.product(S, TalkCue))
    assert len(render_table().splitlines()) == len(S) + 2


@pytest.mark.parametrize("state", S)
def test_a_customer_comes_back_from_everywhere(state: TalkState) -> None:
    """From each state one command leads back to the customer; a third that is lost never leaves the agent with nobody to go back to."""
    back = {TABLE[state, cue] for cue in (TalkCue.RESUME, TalkCue.DISMISS)}
    assert state is S.TOGETHER or S.TOGETHER in back
    lost = TABLE[state, TalkCue.THIRD_LOST]
    assert lost is TalkCell.LATE or lost in (S.HELD, S.TOGETHER)


@pytest.mark.parametrize(
    ("state", "mode", "heard", "music"),
    [
        (S.TOGETHER, None, {C: {A}, A: {C}}, set()),
        (S.HELD, None, {A: set(), C: set()}, {C}),
        (S.CALLING, None, {A: {T}, T: {A}, C: set()}, {C}),
        (S.CONSULTING, None, {A: {T}, T: {A}, C: set()}, {C}),
        (S.THREE_WAY, None, {C: {A, T}, A: {C, T}, T: {C, A}}, set()),
        (S.TOGETHER, M.LISTEN, {C: {A}, A: {C}, V: {C, A}}, set()),
        (S.TOGETHER, M.WHISPER, {C: {A}, A: {C, V}, V: {C, A}}, set()),
        (S.TOGETHER, M.BARGE, {C: {A, V}, A: {C, V}, V: {C, A}}, set()),
        (S.HELD, M.WHISPER, {C: set(), A: {V}, V: {A}}, {C}),
        (S.CONSULTING, M.LISTEN, {A: {T}, T: {A}, V: {A, T}, C: set()}, {C}),
        (S.THREE_WAY, M.WHISPER, {C: {A, T}, A: {C, T, V}, T: {A, C}, V: {A, C, T}}, set()),
        (None, M.LISTEN, {A: set(), V: set()}, set()),
        (None, M.WHISPER, {A: {V}, V: {A}}, set()),
        (None, M.BARGE, {A: {V}, V: {A}}, set()),
    ],
)
def test_who_hears_whom(
    state: TalkState | None,
    mode: SupervisionMode | None,
    heard: dict[LegId, set[LegId]],
    music: set[LegId],
) -> None:
    """Whisper reaches the agent alone, hold nobody, and a supervisor who listens to an agent without a customer hears nothing."""
    told = hearing(A, talk(state) if state else None, [(V, mode)] if mode else [])
    assert {leg: set(sources) for leg, sources in told.hears.items()} == heard
    assert told.music == music


@pytest.mark.parametrize("mode", [None, *M])
@pytest.mark.parametrize("state", S)
def test_nobody_hears_a_muted_agent_nor_themselves(state: TalkState, mode: SupervisionMode | None) -> None:
    """Muted means muted for the third and the supervisor too; no leg is ever among its own sources."""
    told = hearing(A, talk(state, muted=True), [(V, mode)] if mode else [])
    assert not [leg for leg, sources in told.hears.items() if A in sources or leg in sources]


@pytest.mark.parametrize("mode", [M.LISTEN, M.WHISPER])
@pytest.mark.parametrize("state", S)
def test_a_customer_never_hears_who_listens_or_whispers(state: TalkState, mode: SupervisionMode) -> None:
    """The supervisor reaches the customer by barging alone."""
    told = hearing(A, talk(state), [(V, mode)])
    assert V not in told.hears[C]
    assert all(V not in sources for leg, sources in told.hears.items() if leg != A)


def test_who_supervises_the_consulted_agent_hears_that_conversation() -> None:
    """Listening hears the agent and the third, not the customer on hold; whispering is heard by the third alone; neither is heard by the others."""
    consulted = talk(S.CONSULTING)
    agent, watcher = LegId("agent"), LegId("watcher")
    heard = hearing(agent, consulted, (), [(watcher, SupervisionMode.LISTEN)])
    assert set(heard.hears[watcher]) == {agent, LegId("third")}
    assert (heard.hears[agent], heard.hears[LegId("third")]) == ((LegId("third"),), (agent,))
    heard = hearing(agent, consulted, (), [(watcher, SupervisionMode.WHISPER)])
    assert (heard.hears[agent], set(heard.hears[LegId("third")])) == ((LegId("third"),), {agent, watcher})
    heard = hearing(agent, consulted, (), [(watcher, SupervisionMode.BARGE)])
    assert (set(heard.hears[agent]), heard.hears[LegId("customer")]) == ({LegId("third"), watcher}, ())
