"""The table of behaviours: complete, balanced, repeatable, and true to its own description."""

import pytest

from dialer_core.sim import g711, voices
from dialer_core.sim.behaviours import (
    BEHAVIOURS,
    Ending,
    PersonTimes,
    TrueClass,
    behaviour_for,
    behaviour_table_markdown,
    plan_call,
)

pytestmark = pytest.mark.unit

OUTCOMES = {
    "answered_human",
    "machine",
    "fax",
    "sit",
    "announcement",
    "not_found",
    "temporarily_unavailable",
    "busy",
    "declined",
    "service_unavailable",
    "no_answer",
    "silence",
    "hung_up_early",
}


def _seconds(number: str, seed: int = 0) -> list[tuple[str, float, bool]]:
    plan = plan_call(number, seed, PersonTimes())
    return [(u.name, u.length_s, u.audible) for u in voices.utterances(plan, plan.law)]


def test_every_suffix_has_one_behaviour() -> None:
    """Each of 00 to 99 belongs to exactly one row."""
    assert sorted(suffix for row in BEHAVIOURS for suffix in row.suffixes) == list(range(100))


def test_a_list_of_200_holds_at_least_80_people() -> None:
    """With uniform suffixes 40 to 50 numbers in 100 are answered by a person."""
    people = [row for row in BEHAVIOURS if row.true_class is TrueClass.HUMAN]
    assert 40 <= sum(len(row.suffixes) for row in people) <= 50
    assert {row.ending for row in people} == {Ending.PERSON}


def test_every_row_expects_a_known_outcome() -> None:
    """The expected outcomes are the words that the demo maps."""
    assert {row.expected_outcome for row in BEHAVIOURS} <= OUTCOMES


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("5255000070", "busy"),
        ("+525500000100", "short_hello"),
        ("sip-7", "short_hello"),
        ("trunk", "short_hello"),
    ],
)
def test_the_last_two_digits_choose(number: str, name: str) -> None:
    """The last two digits of the called number choose the row, whatever stands before them."""
    assert behaviour_for(number).name == name


def test_plans_repeat_with_seed_and_number_alone() -> None:
    """Equal seeds and numbers give equal plans; another seed or number gives other times."""
    plan = plan_call("5512340032", 7, PersonTimes())
    assert plan == plan_call("5512340032", 7, PersonTimes())
    assert plan.ring_s != plan_call("5512340032", 8, PersonTimes()).ring_s
    assert plan.ring_s != plan_call("5512350032", 7, PersonTimes()).ring_s


def test_both_codecs_and_every_hello_are_used() -> None:
    """Over many numbers each law and each clip of a group comes up."""
    plans = [plan_call(f"55000{n:05d}", 0, PersonTimes()) for n in range(0, 20000, 7)]
    assert {plan.law for plan in plans} == set(g711.Law)
    said = {
        utterance.name
        for plan in plans
        if plan.behaviour.name == "short_hello"
        for utterance in voices.utterances(plan, plan.law)
        if utterance.audible
    }
    assert said == {clip.name for clip in voices.clips_of("hello")}


@pytest.mark.parametrize("tail", range(100))
def test_every_number_sounds_as_its_row_says(tail: int) -> None:
    """The lengths that the table promises hold for every suffix."""
    number = f"52551234{tail:02d}"
    row, sounds = behaviour_for(number), _seconds(number)
    audible = [length_s for _, length_s, heard in sounds if heard]
    pauses = [length_s for _, length_s, heard in sounds if not heard]
    if row.name == "short_hello":
        assert 0.3 <= audible[0] <= 0.7
    elif row.name == "business_greeting":
        assert 2.5 <= audible[0] <= 3.5
    elif row.name == "slow_hello":
        assert 1.2 <= pauses[0] <= 2.0
    elif row.name == "two_phrase_hello":
        assert 0.5 <= pauses[1] <= 0.8
        assert len(audible) == 2
    elif row.name == "voicemail":
        assert audible[0] >= 6
        assert audible[-1] == 0.5
    elif row.name == "voicemail_pausing":
        assert 1.4 <= audible[0] <= 1.8
        assert 1.4 <= pauses[1] <= 1.6
        assert audible[1] >= 2
    elif row.name == "fax":
        assert audible[0] == 3.0
    elif row.name in {"answered_sit", "early_announcement"}:
        assert 0.9 <= audible[0] <= 1.1
        assert audible[1] >= 4
    else:
        assert sounds == []


def test_ringing_is_short_and_spread() -> None:
    """Ring times lie in 0 to 3 s and differ from number to number."""
    rings = {plan_call(f"5500000{n:03d}", 0, PersonTimes()).ring_s for n in range(1000)}
    assert 0 <= min(rings) <= max(rings) <= 3
    assert len(rings) == 1000


def test_the_table_is_documented_row_by_row() -> None:
    """The markdown table has a line for each row, with its suffixes, code and outcome."""
    lines = behaviour_table_markdown().splitlines()[2:]
    assert len(lines) == len(BEHAVIOURS)
    for line, row in zip(lines, BEHAVIOURS, strict=True):
        assert line.count("|") == 8
        assert f"{row.suffixes[0]:02d}-{row.suffixes[-1]:02d}" in line
        assert str(row.final_code) in line
        assert row.expected_outcome in line
