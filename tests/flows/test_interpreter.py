"""Walking flows: what is said, asked and done, in which order; and that no key whatever makes one leak, hang or go on for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer_core.flows.interpreter import (
    TABLE,
    Action,
    Conversation,
    Cue,
    DoWork,
    Entered,
    Finish,
    HandOver,
    Identified,
    Listen,
    Phase,
    Speak,
    Work,
)
from dialer_core.flows.language import Flow
from dialer_core.flows.reading import load_flow
from dialer_core.vocabulary import Disposition
from tests.flows.test_checks import PACKAGED

pytestmark = pytest.mark.unit

DIGITS = """\
languages = ["es"]
start = "who"
at_limit = "bye"
anytime = { "*" = "stop" }
[steps.who]
do = "verify"
text.es = "Mensaje automático. Marque los últimos cuatro dígitos."
field = "x.clave"
digits = 4
tries = 2
next = "day"
on_timeout = "bye"
on_wrong = "stranger"
[steps.day]
do = "gather"
text.es = "Marque el día."
into = "day"
digits = 2
next = "late"
on_timeout = "bye"
[steps.late]
do = "match"
field = "day"
cases = [{ at_least = 16, next = "agent" }]
otherwise = "bye"
[steps.agent]
do = "agent"
[steps.stranger]
do = "end"
disposition = "third_party"
[steps.stop]
do = "opt_out"
text.es = "Listo."
next = "bye"
on_failed = "agent"
[steps.bye]
do = "end"
text.es = "Adiós."
"""


@pytest.fixture
def packaged() -> Flow:
    """The flow that `dialer init` writes."""
    return load_flow(PACKAGED)


@pytest.fixture
def by_digits(tmp_path: Path) -> Flow:
    """One that asks for digits."""
    file = tmp_path / "digits.toml"
    file.write_text(DIGITS)
    return load_flow(file)


def walk(flow: Flow, keys: str, values: dict[str, str] | None = None, *, fails: bool = False) -> list[Action]:
    """Walk a flow: each key when it listens, `-` for none in time, until the keys are used up; return everything done."""
    conversation = Conversation(flow, "es", values or {})
    pressed, done = list(keys), []
    actions = conversation.apply(Cue.BEGIN)
    while actions:
        done += actions
        last = actions[-1]
        if isinstance(last, Speak):
            actions = conversation.apply(Cue.SPOKEN)
        elif isinstance(last, DoWork):
            actions = conversation.apply(Cue.FAILED if fails else Cue.DONE)
        elif isinstance(last, Listen) and pressed:
            key = pressed.pop(0)
            actions = conversation.apply(Cue.TIMEOUT) if key == "-" else conversation.apply(Cue.KEY, key)
        else:
            return done
    return done


def steps(actions: list[Action]) -> list[str]:
    """Return the steps taken."""
    return [action.step for action in actions if isinstance(action, Entered)]


def test_a_promise_is_offered_stored_and_confirmed_in_this_order(packaged: Flow) -> None:
    """Identity, terms, agreement, store, and only then the confirmation."""
    done = walk(packaged, "121")
    assert steps(done) == ["hello", "who", "menu", "promise", "promised"]
    kinds = [type(action) for action in done]
    assert kinds.index(Identified) < kinds.index(DoWork) < kinds.index(Finish)
    assert isinstance(done[-1], Finish)
    assert done[-1].done


def test_opting_out_is_stored_before_it_is_confirmed(packaged: Flow) -> None:
    """Nine, before anybody is identified: stored, said, goodbye. What cannot be stored is not said, but an agent comes."""
    done = walk(packaged, "9")
    work = next(place for place, action in enumerate(done) if isinstance(action, DoWork))
    assert done[work] == DoWork(done[work].turn, Work.OPT_OUT, "stop_calls")
    assert [action.step for action in done[work:] if isinstance(action, Speak)] == ["stop_calls", "goodbye"]
    failed = walk(packaged, "9", fails=True)
    assert isinstance(failed[-1], HandOver)
    assert "stop_calls" not in [action.step for action in failed if isinstance(action, Speak)]


def test_somebody_else_hears_nothing_of_it(packaged: Flow) -> None:
    """Two: the call ends as a third party's, and no sensitive step was taken."""
    done = walk(packaged, "2")
    assert not any(isinstance(action, Entered) and action.sensitive for action in done)
    assert isinstance(done[-1], Finish)
    assert (done[-1].disposition, done[-1].done) == (Disposition.THIRD_PARTY, False)


def test_a_silent_person_is_asked_again_and_then_let_go(packaged: Flow) -> None:
    """Three times the question, then goodbye."""
    done = walk(packaged, "---")
    assert [action.step for action in done if isinstance(action, Speak)] == [
        "hello",
        "who",
        "who",
        "who",
        "goodbye",
    ]


def test_a_wrong_key_is_told_and_asked_again(packaged: Flow) -> None:
    """The prompt is repeated with a word before it."""
    done = walk(packaged, "5")
    assert [action.wrong for action in done if isinstance(action, Speak) and action.step == "who"] == [
        False,
        True,
    ]


def test_digits_identify_only_when_they_are_right(by_digits: Flow) -> None:
    """The last four of the field do; others, too few, and a person without the field do not."""
    values = {"x.clave": "99-1234"}
    assert any(isinstance(action, Identified) for action in walk(by_digits, "1234", values))
    assert not any(isinstance(action, Identified) for action in walk(by_digits, "12359999", values))
    assert steps(walk(by_digits, "12359999", values))[-1] == "stranger"
    assert not any(isinstance(action, Identified) for action in walk(by_digits, "123-", values))
    assert not any(isinstance(action, Identified) for action in walk(by_digits, "1234"))
    assert not any(isinstance(action, Identified) for action in walk(by_digits, "0000", {"x.clave": ""}))


@pytest.mark.parametrize(
    ("keys", "last"), [("123420", "agent"), ("12345#", "bye"), ("12349-", "bye"), ("123431", "agent")]
)
def test_what_is_gathered_can_be_chosen_by(by_digits: Flow, keys: str, last: str) -> None:
    """Two digits, fewer with a pound, fewer with a pause: `match` reads them as a number."""
    assert steps(walk(by_digits, keys, {"x.clave": "1234"}))[-1] == last


def test_a_key_in_the_middle_of_a_prompt_cuts_it_off(packaged: Flow) -> None:
    """Barge-in: at a question the key counts at once; where nothing is asked it is ignored."""
    conversation = Conversation(packaged, "es", {})
    conversation.apply(Cue.BEGIN)
    assert conversation.apply(Cue.KEY, "1") == []
    assert conversation.ignored == 1
    conversation.apply(Cue.SPOKEN)
    assert (conversation.step, conversation.phase) == ("who", Phase.SPEAKING)
    done = conversation.apply(Cue.KEY, "1")
    assert type(done[0]).__name__ == "Quiet"
    assert conversation.identified


def test_at_its_limit_a_flow_closes_and_at_the_next_it_ends(packaged: Flow) -> None:
    """The last words, and no more after them."""
    conversation = Conversation(packaged, "es", {})
    conversation.apply(Cue.BEGIN)
    assert steps(conversation.apply(Cue.LIMIT)) == ["goodbye"]
    assert isinstance(conversation.apply(Cue.LIMIT)[-1], Finish)
    assert conversation.phase is Phase.OVER


def test_every_cell_is_written_down() -> None:
    """The table has each phase and cue once."""
    assert len(TABLE) == len(Phase) * len(Cue)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([cue for cue in Cue if cue is not Cue.BEGIN]), st.sampled_from("0123456789*#")
        ),
        max_size=200,
    )
)
def test_no_storm_of_anything_leaks_or_outlasts_the_flow(storm: list[tuple[Cue, str]]) -> None:
    """Any keys, results and time-outs in any order: nothing sensitive before identity, and no more steps than the flow allows."""
    flow = load_flow(PACKAGED)
    conversation = Conversation(flow, "en", {})
    seen = conversation.apply(Cue.BEGIN)
    for cue, key in storm:
        done = conversation.apply(cue, key)
        seen += done
        if any(isinstance(action, Finish | HandOver) for action in done):
            assert conversation.phase is Phase.OVER
    sensitive = [
        place for place, action in enumerate(seen) if isinstance(action, Entered) and action.sensitive
    ]
    identified = [place for place, action in enumerate(seen) if isinstance(action, Identified)]
    assert not sensitive or (identified and identified[0] < sensitive[0])
    assert conversation.steps <= flow.most_steps + len(flow.steps)
    assert sum(isinstance(action, Finish | HandOver) for action in seen) <= 1


def test_a_message_means_a_key_by_its_words(packaged: Flow) -> None:
    """The same flow as a bot: `sí` is one, and a word that means nothing is asked again."""
    conversation = Conversation(packaged, "es", {})
    conversation.apply(Cue.BEGIN)
    conversation.apply(Cue.SPOKEN)
    conversation.apply(Cue.SPOKEN)
    assert any(isinstance(action, Speak) and action.wrong for action in conversation.apply(Cue.KEY, "quizá"))
    conversation.apply(Cue.SPOKEN)
    assert any(isinstance(action, Identified) for action in conversation.apply(Cue.KEY, "Sí, soy yo"))


def test_a_lookup_waits_and_can_fail(tmp_path: Path) -> None:
    """After identity the account is read again: what comes back, or does not come, decides the next step."""
    file = tmp_path / "lookup.toml"
    file.write_text(
        DIGITS.replace('next = "day"', 'next = "read"', 1)
        + '[steps.read]\ndo = "lookup"\nnext = "day"\non_failed = "bye"\n'
    )
    flow = load_flow(file)
    found = walk(flow, "123420", {"x.clave": "1234"})
    assert [action.work for action in found if isinstance(action, DoWork)] == [Work.LOOKUP]
    assert steps(found)[-1] == "agent"
    assert steps(walk(flow, "1234", {"x.clave": "1234"}, fails=True))[-1] == "bye"
