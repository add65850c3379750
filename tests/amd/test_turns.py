"""Once somebody on our side speaks, who speaks over whom says who is at the other end: on made sound whose timing is known."""

from typing import Any

import numpy as np
import pytest

from amd import AmdInputError, Detector, DetectorConfig, Label, Mark, MarkKind
from tests.amd.hearing import agent, hear
from tests.amd.test_greetings import SEEDS, calls

pytestmark = pytest.mark.unit


def revised(marks: list[list[Mark]]) -> int:
    """Return how many calls were revised to a machine."""
    return sum(last.kind is MarkKind.REVISED and last.label is Label.MACHINE for *_, last in marks)


def test_what_answers_our_question_is_a_person_though_it_sounds_like_a_recording() -> None:
    """A greeting of 1.5 s, our question, and a long answer after its end: fewer are called machines than where nobody spoke to them."""
    sound = calls(0.6, 1.5, 1.6, 2.0)
    unknown = revised(hear(sound))
    asked = revised(hear(sound, near_dbfs=agent((2.6, 3.6))))
    assert unknown == len(SEEDS)
    assert asked < unknown


def test_what_goes_on_over_our_voice_is_a_machine() -> None:
    """A phrase of 0.9 s, a pause of 0.9 s and speech that goes on while we speak: a machine, which by its rhythm alone it is not."""
    sound = calls(0.6, 0.9, 0.95, 3.0)
    assert revised(hear(sound)) < len(SEEDS)
    assert revised(hear(sound, near_dbfs=agent((2.3, 5.0)))) == len(SEEDS)


def test_an_agents_noisy_room_is_no_voice() -> None:
    """A line of ours with nothing but steady noise on it changes nothing."""
    sound = calls(0.6, 1.5, 1.6, 2.0)
    assert hear(sound, near_dbfs=agent(room_dbfs=-44.0)) == hear(sound)


def test_levels_of_another_shape_are_refused() -> None:
    """A level is needed for every row, in single precision."""
    detector = Detector(2, DetectorConfig())
    rows = np.array([detector.join(), detector.join()])
    pcm = np.zeros((2, 160), np.int16)
    wrongs: list[Any] = [np.zeros(1, np.float32), np.zeros(2)]
    for wrong in wrongs:
        with pytest.raises(AmdInputError, match="near_dbfs"):
            detector.step(pcm, rows, near_dbfs=wrong)
