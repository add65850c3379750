"""Music is told by how little it moves: made melodies and chords against made speech of the same length."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from amd import Label, MarkKind, Reason, detect_all
from tests.amd.hearing import hear
from tests.amd.sounds import pcm, silence, speech

pytestmark = pytest.mark.unit

SEEDS = range(6)
SCALE_HZ = 220.0 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)


def music(seconds: float, seed: int, dbfs: float = -20.0) -> np.ndarray:
    """Return chords of three instruments' notes, a new one every 0.4 to 0.9 s, without a gap."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(part.size for part in parts) < seconds * 8000:
        n = round(rng.uniform(0.4, 0.9) * 8000)
        t = np.arange(n) / 8000
        chord = sum(
            np.sin(2 * np.pi * hz * k * t + rng.uniform(0, 6)) / k
            for hz in rng.choice(SCALE_HZ, 3, replace=False)
            for k in range(1, 6)
        )
        parts.append(chord * (0.6 + 0.4 * np.exp(-t / 0.3)))
    sound = np.concatenate(parts)[: round(seconds * 8000)]
    return np.asarray(sound / np.sqrt((sound**2).mean()) * 10 ** (dbfs / 20))


def test_music_on_hold_is_music_within_five_seconds() -> None:
    """Chords that go on from the answer on are music, told once and for good, within 5 s of their begin."""
    for marks in hear([pcm(silence(0.4), music(9.0, seed), seed=seed) for seed in SEEDS]):
        (verdict,) = [mark for mark in marks if mark.kind is MarkKind.VERDICT]
        assert (verdict.label, verdict.reason, verdict.provisional) == (
            Label.MUSIC,
            Reason.STEADY_MUSIC,
            False,
        )
        assert (verdict.tick + 1) * 0.02 <= 5.4


def test_speech_is_no_music() -> None:
    """Speech of the same length, after the answer or before it, is not."""
    sound = [pcm(silence(0.4), speech(9.0, np.random.default_rng(seed)), seed=seed) for seed in SEEDS]
    assert {mark.label for marks in hear(sound) for mark in marks} == {Label.MACHINE}
    assert {mark.label for marks in hear(sound, early=True) for mark in marks} == {Label.ANNOUNCEMENT}


def test_music_instead_of_ringing_is_no_announcement() -> None:
    """Music before the answer is told as music; an announcement would be read as a number out of service."""
    for marks in hear([pcm(silence(0.4), music(6.0, seed), seed=seed) for seed in SEEDS], early=True):
        assert [mark.label for mark in marks] == [Label.MUSIC]


@pytest.mark.needs_shared
def test_no_shared_speech_is_taken_for_music(shared_data: Path) -> None:
    """Of the shared recordings of people and machines none is music."""
    sounds = []
    for path in sorted((shared_data / "amd" / "machine").rglob("*.flac"))[::7]:
        sound, rate = soundfile.read(path, dtype="int16", always_2d=True)
        if rate == 8000:
            sounds.append(sound[:, 0])
    assert sounds
    told = [mark.label for _, marks in detect_all(sounds) for mark in marks]
    assert Label.MUSIC not in told
