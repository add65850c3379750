"""Recording beeps: found at once wherever recorders put them, and nowhere else."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amd import Label, Mark, MarkKind, Reason, detect
from tests.amd.hearing import hear
from tests.amd.sounds import cadenced, pcm, silence, speech, tone

pytestmark = pytest.mark.unit


def beeps(marks: list[Mark]) -> list[Mark]:
    """Return the beep marks."""
    return [mark for mark in marks if mark.kind is MarkKind.BEEP]


@pytest.mark.parametrize("noise_dbfs", [-65.0, -32.0])
def test_a_beep_after_a_greeting_is_marked_within_100_ms_of_its_end(noise_dbfs: float) -> None:
    """Any usual pitch and length, on a quiet line and at 12 dB over noise: one mark, its end exact to a tick."""
    greeting = speech(2.5, np.random.default_rng(1), -18.0)
    cases = list(
        itertools.product([400.0, 440.0, 620.0, 800.0, 1000.0, 1100.0, 1400.0], [0.1, 0.25, 0.5, 1.5])
    )
    calls = [
        pcm(
            silence(0.5),
            greeting,
            silence(0.4),
            tone(hz, seconds, -20.0),
            silence(1.0),
            noise_dbfs=noise_dbfs,
        )
        for hz, seconds in cases
    ]
    for (hz, seconds), marks in zip(cases, hear(calls), strict=True):
        (beep,) = beeps(marks)
        end_s = 0.5 + 2.5 + 0.4 + seconds
        assert abs((beep.beep_end_tick + 1) * 0.02 - end_s) <= 0.021, (hz, seconds)
        assert 0.0 <= (beep.tick + 1) * 0.02 - end_s <= 0.1, (hz, seconds)


def test_a_beep_after_speech_makes_a_machine() -> None:
    """A beep revises the verdict of a person; one that comes before any verdict gives the machine's."""
    greeting = speech(1.5, np.random.default_rng(2))
    late = detect(pcm(silence(0.4), greeting, silence(1.2), tone(1000.0, 0.3), silence(1.0)))
    assert [(mark.kind, mark.label, mark.reason) for mark in late] == [
        (MarkKind.VERDICT, Label.HUMAN, Reason.SHORT_GREETING),
        (MarkKind.BEEP, Label.MACHINE, Reason.BEEP),
        (MarkKind.REVISED, Label.MACHINE, Reason.BEEP),
    ]
    soon = detect(pcm(silence(0.4), greeting, silence(0.15), tone(1000.0, 0.3), silence(1.0)))
    assert [(mark.kind, mark.label) for mark in soon] == [
        (MarkKind.BEEP, Label.MACHINE),
        (MarkKind.VERDICT, Label.MACHINE),
    ]


def test_a_beep_is_marked_long_after_the_verdict() -> None:
    """After a machine's verdict the row listens on for the beep, so that a message may be left."""
    sound = pcm(
        silence(0.4), speech(12.0, np.random.default_rng(3)), silence(0.6), tone(850.0, 0.4), silence(0.5)
    )
    verdict, beep = detect(sound)
    assert (verdict.kind, verdict.label) == (MarkKind.VERDICT, Label.MACHINE)
    assert verdict.reason in {Reason.LONG_GREETING, Reason.RECORDED_SPEECH}
    assert (beep.kind, beep.label) == (MarkKind.BEEP, Label.MACHINE)


def worn(seconds: float, swing_db: float, swing_hz: float, hz: float = 1000.0) -> np.ndarray:
    """Return a tone whose level and frequency swing from frame to frame, as a codec or a room leaves it."""
    t = np.arange(round(seconds * 8000)) / 8000
    swing = np.sin(2 * np.pi * 17.0 * t)
    phase = 2 * np.pi * np.cumsum(hz + swing_hz * swing) / 8000
    sound = 0.2 * np.sin(phase) * 10 ** (swing_db * swing / 20)
    sound[:16] *= np.linspace(0, 1, 16)
    sound[-16:] *= np.linspace(1, 0, 16)
    return np.asarray(sound)


def test_a_short_pure_beep_may_move_as_codecs_make_it() -> None:
    """160 ms whose level and frequency swing by 2 dB and 3 Hz, after a quarter of a second of quiet, are heard within 100 ms."""
    greeting = speech(2.0, np.random.default_rng(6))
    (beep,) = beeps(detect(pcm(greeting, silence(0.25), worn(0.16, 2.0, 3.0), silence(0.5))))
    assert abs((beep.tick + 1) * 0.02 - 2.41) <= 0.1


def test_a_beep_that_is_cut_by_loss_ends_where_its_last_part_does() -> None:
    """Three parts of 140 ms with 60 ms of nothing between them, none of which is steady: one beep, told after the last of them."""
    part, gap = worn(0.14, 2.5, 3.5), silence(0.06)
    greeting = speech(2.0, np.random.default_rng(7))
    sound = pcm(greeting, silence(0.06), part, gap, part, gap, part, silence(0.5), noise_dbfs=-60.0)
    last = beeps(detect(sound))[-1]
    assert abs((last.tick + 1) * 0.02 - 2.6) <= 0.1


def test_a_long_beep_hardly_above_the_noise_is_heard() -> None:
    """Half a second, 7 dB above white noise, right after the greeting: heard, though nothing can fall by 10 dB after it."""
    heard = 0
    for seed in range(10):
        greeting = speech(2.0, np.random.default_rng(seed), dbfs=-20.0)
        sound = pcm(
            greeting, silence(0.3), tone(900.0, 0.5, -33.0), silence(0.6), noise_dbfs=-40.0, seed=seed
        )
        heard += any(abs((beep.tick + 1) * 0.02 - 2.8) <= 0.1 for beep in beeps(detect(sound)))
    assert heard >= 9


@pytest.mark.parametrize(
    ("what", "sound"),
    [
        ("ringback of two frequencies", cadenced("us_ringback", 8.0)),
        ("ringback of one frequency", cadenced("mx_ringback", 8.0)),
        ("busy", cadenced("us_busy", 6.0)),
        ("a key of a telephone", np.concatenate([silence(0.6), tone((697.0, 1209.0), 0.3), silence(0.6)])),
        ("two frequencies", np.concatenate([silence(0.6), tone((800.0, 1000.0), 0.4), silence(0.6)])),
        ("a click", np.concatenate([silence(0.6), tone(1000.0, 0.04), silence(0.6)])),
        ("a tone that does not end", np.concatenate([silence(0.6), tone(1000.0, 6.0)])),
        (
            "a glide",
            np.concatenate(
                [
                    silence(0.6),
                    0.2 * np.sin(2 * np.pi * np.cumsum(np.linspace(600, 1400, 4000)) / 8000),
                    silence(0.6),
                ]
            ),
        ),
    ],
)
def test_other_tones_are_no_beeps(what: str, sound: np.ndarray) -> None:
    """Ringing, busy, keys, chords, clicks, glides and endless tones are not marked as beeps."""
    assert beeps(detect(pcm(sound))) == [], what


@pytest.mark.needs_shared
def test_the_shared_beeps_are_marked(shared_data: Path) -> None:
    """Each shared recording of a beep, put after a greeting, is marked within 100 ms of where its level falls."""
    greeting = speech(2.0, np.random.default_rng(4))
    for path in sorted((shared_data / "amd" / "beep").glob("*.flac")):
        sound = soundfile.read(path, dtype="float64")[0]
        level = np.abs(sound)
        loud = np.flatnonzero(level > 0.3 * level.max())
        (beep,) = beeps(detect(pcm(silence(0.5), greeting, silence(0.3), sound, silence(0.5))))
        end_s = 2.8 + loud[-1] / 8000
        assert (beep.tick + 1) * 0.02 <= end_s + 0.1, path.name
