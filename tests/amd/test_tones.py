"""Network tones: every row of the tone table, clean and in noise, from any moment on, answered and early."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amd import Label, MarkKind, detect
from tests.amd.hearing import hear
from tests.amd.sounds import (
    INFORMATION_TONES,
    NETWORK_TONES,
    cadenced,
    information,
    pcm,
    silence,
    speech,
    tone,
)

pytestmark = pytest.mark.unit

SECONDS = 9.0


@pytest.mark.parametrize("early", [False, True])
def test_a_clean_network_tone_is_told_from_its_start(*, early: bool) -> None:
    """The first verdict on a clean tone is its label; ringing is said once, as provisional; none is a beep."""
    sounds = [pcm(cadenced(name, SECONDS), noise_dbfs=None) for name in NETWORK_TONES]
    for (name, (label, _, _)), marks in zip(NETWORK_TONES.items(), hear(sounds, early=early), strict=True):
        first = marks[0]
        assert (first.label.word, first.reason.word, first.kind) == (
            label,
            "tone_cadence",
            MarkKind.VERDICT,
        ), name
        assert first.provisional == (label == "ringback"), name
        assert sum(mark.label.word == label for mark in marks) == 1, name
        assert not any(mark.kind is MarkKind.BEEP for mark in marks), name


@pytest.mark.parametrize("name", NETWORK_TONES)
def test_a_network_tone_is_told_from_any_moment_on_and_in_noise(name: str) -> None:
    """At 10 dB over white noise, beginning anywhere in the cadence, at least 19 of 20 are told and none as another tone."""
    label, _, periods = NETWORK_TONES[name]
    rng = np.random.default_rng(11)
    sounds = [
        pcm(cadenced(name, SECONDS, -20.0, start_s=rng.uniform(0, sum(periods))), noise_dbfs=-30.0, seed=k)
        for k in range(20)
    ]
    told = Counter(tuple(mark.label.word for mark in marks) for marks in hear(sounds, early=True))
    assert told[(label,)] >= 19, told
    assert all(words in ((), (label,)) for words in told), told


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("noise_dbfs", [None, -30.0])
@pytest.mark.parametrize("name", INFORMATION_TONES)
def test_an_information_tone_is_told_with_its_kind(
    name: str, noise_dbfs: float | None, *, early: bool
) -> None:
    """Each special information tone is told before it ends, with what it says, clean and at 10 dB."""
    sound = information(name, -20.0)
    (mark,) = detect(pcm(silence(0.3), sound, silence(0.5), noise_dbfs=noise_dbfs), early=early)
    assert (mark.label, mark.reason.word) == (Label.SIT, INFORMATION_TONES[name][0])
    assert (mark.tick + 1) * 0.02 <= 0.3 + sound.size / 8000


def test_information_tones_in_the_wrong_order_are_none() -> None:
    """High tones first, or only two of the three, are no special information tone."""
    wrong = pcm(tone(1776.7, 0.38), tone(1370.6, 0.27), tone(913.8, 0.27), silence(1.0))
    two = pcm(tone(913.8, 0.27), tone(1370.6, 0.27), silence(1.0))
    assert all(mark.label is not Label.SIT for mark in detect(wrong) + detect(two))


@pytest.mark.parametrize("noise_dbfs", [None, -30.0])
def test_fax_tones_are_told(noise_dbfs: float | None) -> None:
    """2100 Hz of an answering fax within half a second, 1100 Hz of a calling one when its burst ends."""
    (answer,) = detect(pcm(silence(0.5), tone(2100.0, 3.0, -20.0), noise_dbfs=noise_dbfs))
    assert (answer.label, answer.reason.word) == (Label.FAX, "fax_ced")
    assert answer.tick * 0.02 < 1.0
    (calling,) = detect(pcm(silence(0.5), tone(1100.0, 0.5, -20.0), silence(0.5), noise_dbfs=noise_dbfs))
    assert (calling.label, calling.reason.word) == (Label.FAX, "fax_cng")
    assert calling.tick * 0.02 < 1.2


def test_an_answer_tone_with_phase_reversals_is_a_fax() -> None:
    """2100 Hz that reverses its phase every 450 ms, as modems send to disable echo cancellers, is told."""
    sound = np.concatenate([tone(2100.0, 0.45, phase=np.pi * (k % 2)) for k in range(6)])
    assert detect(pcm(silence(0.2), sound))[0].reason.word == "fax_ced"


@pytest.mark.parametrize("dbfs", [-3.0, -35.0, -42.0])
def test_level_does_not_matter(dbfs: float) -> None:
    """Loud and faint tones are told alike on a quiet line."""
    for name in ("us_busy", "mx_ringback", "uk_reorder"):
        assert (
            detect(pcm(cadenced(name, SECONDS, dbfs), noise_dbfs=-68.0), early=True)[0].label.word
            == NETWORK_TONES[name][0]
        )


def test_speech_is_no_network_tone() -> None:
    """Fifty sounds with the rhythm of speech bring no tone and no beep."""
    rng = np.random.default_rng(5)
    sounds = [pcm(silence(0.3), speech(6.0, rng), seed=k) for k in range(50)]
    for marks in hear(sounds, early=False):
        assert all(mark.label in {Label.HUMAN, Label.MACHINE, Label.UNKNOWN} for mark in marks), marks
        assert not any(mark.kind is MarkKind.BEEP for mark in marks), marks


@pytest.mark.needs_shared
def test_the_shared_tones_are_all_told(shared_data: Path) -> None:
    """Each of the shared network tones gives its label, answered and early, and no other verdict before it."""
    expected = {
        "ringback": Label.RINGBACK, "busy": Label.BUSY, "reorder": Label.REORDER, "congestion": Label.REORDER,
        "fax": Label.FAX, "sit": Label.SIT,
    }  # fmt: skip
    paths = sorted((shared_data / "amd" / "tone").glob("*.flac"))
    assert len(paths) == 19
    labels = [next(label for word, label in expected.items() if word in path.name) for path in paths]
    sounds = [soundfile.read(path, dtype="int16")[0] for path in paths]
    for early in (False, True):
        for path, label, marks in zip(paths, labels, hear(sounds, early=early), strict=True):
            assert marks[0].label is label, path.name
