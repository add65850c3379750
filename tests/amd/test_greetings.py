"""People and machines told by the rhythm of their speech, on made sound whose timing is known."""

import numpy as np
import pytest

from amd import DetectorConfig, Label, MarkKind, Reason, detect
from tests.amd.hearing import agent, hear
from tests.amd.sounds import pcm, silence, speech

pytestmark = pytest.mark.unit

SEEDS = range(6)


def made(seed: int, *lengths: float, dbfs: float = -22.0) -> np.ndarray:
    """Return a call of 12 s: quiet and speech in turn, beginning with quiet."""
    rng = np.random.default_rng(seed)
    parts = [speech(length, rng, dbfs) if i % 2 else silence(length) for i, length in enumerate(lengths)]
    return np.concatenate([*parts, silence(12.0)])[: 12 * 8000]


def calls(*lengths: float, noise_dbfs: float | None = -65.0) -> list[np.ndarray]:
    """Return a call of each seed with the same timing."""
    return [pcm(made(seed, *lengths), noise_dbfs=noise_dbfs, seed=seed) for seed in SEEDS]


@pytest.mark.parametrize("noise_dbfs", [None, -70.0, -50.0, -40.0])
@pytest.mark.parametrize("length_s", [0.2, 0.5, 1.0, 2.0])
def test_a_short_utterance_then_quiet_is_a_person(length_s: float, noise_dbfs: float | None) -> None:
    """From "¿sí?" to a sentence, in quiet and in noise: a person, provisional, within 0.2 and 1.0 s of the last word."""
    for verdict, settled in hear(calls(0.6, length_s, noise_dbfs=noise_dbfs)):
        assert (verdict.kind, verdict.label, verdict.reason) == (
            MarkKind.VERDICT,
            Label.HUMAN,
            Reason.SHORT_GREETING,
        )
        assert verdict.provisional
        end_s = (verdict.greeting_end_tick + 1) * 0.02
        # the last syllable of made speech fades, and may end in its gap
        assert abs(end_s - (0.6 + length_s)) <= 0.14
        assert 0.19 <= (verdict.tick + 1) * 0.02 - end_s <= 1.0
        assert (settled.kind, settled.label, settled.tick - verdict.tick) == (
            MarkKind.SETTLED,
            Label.HUMAN,
            150,
        )


@pytest.mark.parametrize("noise_dbfs", [None, -70.0, -50.0, -40.0])
def test_long_speech_is_a_machine(noise_dbfs: float | None) -> None:
    """Speech that goes on, with the pauses of a read text, is a machine, at the latest once it exceeds the longest greeting."""
    for (verdict,) in hear(calls(0.6, 2.2, 0.14, 1.6, 0.14, 4.0, noise_dbfs=noise_dbfs)):
        assert verdict.label is Label.MACHINE
        assert verdict.reason in {Reason.LONG_GREETING, Reason.RECORDED_SPEECH}
        assert not verdict.provisional
        assert (verdict.tick + 1) * 0.02 <= 0.6 + DetectorConfig().longest_greeting_s + 0.15


@pytest.mark.parametrize("pause_s", [0.6, 0.7, 0.8])
def test_a_hello_of_two_phrases_stays_a_person(pause_s: float) -> None:
    """Hello, a pause, "who is calling?": whatever is said after the first word, the verdict of a person stands."""
    for marks in hear(calls(0.6, 0.4, pause_s, 1.2)):
        assert [(mark.kind, mark.label) for mark in marks] == [
            (MarkKind.VERDICT, Label.HUMAN),
            (MarkKind.SETTLED, Label.HUMAN),
        ]


@pytest.mark.parametrize("pause_s", [1.2, 1.5, 1.9])
def test_a_greeting_that_pauses_is_revised_within_a_second_of_resuming(pause_s: float) -> None:
    """A phrase of 1.5 s, a pause, and speech that goes on over the agent: a person at first, a machine within 1 s of its resuming."""
    for first, revised in hear(calls(0.6, 1.5, pause_s, 5.0), near_dbfs=agent((3.1, 6.0))):
        assert (first.kind, first.label, first.provisional) == (MarkKind.VERDICT, Label.HUMAN, True)
        assert (revised.kind, revised.label) == (MarkKind.REVISED, Label.MACHINE)
        assert revised.reason is Reason.RESUMED_SPEECH
        assert (revised.tick + 1) * 0.02 <= 0.6 + 1.5 + pause_s + 1.0


@pytest.mark.parametrize("noise_dbfs", [None, -60.0, -45.0, -36.0, -30.0])
def test_silence_and_steady_noise_are_silence_at_the_limit(noise_dbfs: float | None) -> None:
    """Digital silence, faint noise and loud steady noise from the first sample: silence, and only at the limit."""
    for (mark,) in hear([pcm(silence(7.0), noise_dbfs=noise_dbfs, seed=seed) for seed in SEEDS]):
        assert (mark.label, mark.reason, mark.tick) == (Label.SILENCE, Reason.NO_VOICE, 324)
        assert mark.greeting_end_tick == -1


def test_a_late_hello_is_a_person() -> None:
    """Three seconds of silence before "¿bueno?" are no machine."""
    assert all(marks[0].label is Label.HUMAN for marks in hear(calls(3.0, 0.5)))


def test_speech_cut_by_the_limit_is_unknown() -> None:
    """Speech that began too late to be judged is unknown at the limit and what is added to hear it out, for good."""
    for (mark,) in hear(calls(6.1, 4.0)):
        assert (mark.label, mark.reason, mark.tick, mark.provisional) == (
            Label.UNKNOWN,
            Reason.LIMIT,
            324 + 75,
            False,
        )


def test_speech_from_the_first_sample_is_heard() -> None:
    """A person who speaks before the first packet arrives is a person; a machine under way is a machine."""
    assert all(marks[0].label is Label.HUMAN for marks in hear(calls(0.0, 0.8)))
    assert all(marks[0].label is Label.MACHINE for marks in hear(calls(0.0, 8.0)))


def test_strict_waits_longer_in_both_directions() -> None:
    """Strict never tells a person before fast does, and asks for longer speech or higher odds before it tells a machine."""
    fast, strict = (DetectorConfig.preset(name) for name in ("fast", "strict"))
    for what in ((0.4, 0.5), (0.4, 9.0)):
        for soon, late in zip(hear(calls(*what), fast), hear(calls(*what), strict), strict=True):
            assert late[0].label is soon[0].label
            assert late[0].tick >= soon[0].tick


@pytest.mark.parametrize("behind_dbfs", [-42.0, -48.0])
def test_talk_behind_is_not_a_greeting(behind_dbfs: float) -> None:
    """A room where somebody talks all the time, 20 and 26 dB softer: the person who says hello into it is one, within 1.2 s of it."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        behind = speech(9.0, rng, behind_dbfs)
        hello = np.concatenate([silence(1.6), speech(0.6, rng, -22.0), silence(6.8)])
        first = next(mark for mark in detect(pcm(behind + hello, seed=seed)) if mark.kind is MarkKind.VERDICT)
        assert first.label is Label.HUMAN
        assert (first.tick + 1) * 0.02 <= 2.2 + 1.2


def test_clicks_are_no_speech() -> None:
    """Single loud samples and bursts of 60 ms, as handsets make, are not taken for a person."""
    sound = silence(8.0)
    sound[4000::9000] = 0.8
    for first in (16000, 30000):
        sound[first : first + 480] = 0.3 * np.random.default_rng(1).standard_normal(480)
    assert [mark.label for mark in detect(pcm(sound))] == [Label.SILENCE]
